"""The procedures of rpcbind, versions 2, 3 and 4, over one table (RFC 1833 §2.2, §3.2).

Theory of operation.  All three versions are views of one `Registry`; a `Desk` is what they share: the table, the
statistics, who is of this host, and the clock of GETTIME.  What a caller must not do is refused: as AUTH_TOOWEAK where
it is for this host only (SET, UNSET), as a procedure that is not there where lists would go out by datagram.  CALLIT
and BCAST are for broadcasts, and not answered where there is no result; calls are passed on only if somebody has said
who may have that (`passing`).

A datagram's source can be forged, so what goes out must not be much more than what came in.  An address that is given
out has at most 53 octets, and the questions for one at least 56: no reply has twice the octets of its call.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from stack.rpc.constants import AuthStat
from stack.rpc.dispatch import NO_REPLY, Invocation
from stack.rpc.errors import AuthError, ProcUnavail, SystemErr
from stack.rpc.program import Server
from stack.rpc.rpcbind import protocol
from stack.rpc.rpcbind.address import (
    LOCAL,
    NETIDS,
    OF_PROTOCOL,
    TCP,
    UDP,
    merged,
    pack_sockaddr,
    parse_universal,
    to_universal,
    unpack_sockaddr,
)
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_V3, RPCB_V4, pmap_mapping, rpcb, rpcb_netbuf, rpcb_stat
from stack.rpc.rpcbind.registry import Asker, Mapping, Registry, Want
from stack.rpc.rpcbind.statistics import VERSIONS, Question, Statistics

NO_PORT: Final = 0  # what GETPORT says of a program that is not there
NO_ADDRESS: Final = ""  # the same of GETADDR
_ANYWHERE: Final = "0.0.0.0"  # noqa: S104  (what version 2 registers: it knows ports only)

_N = TypeVar("_N")
_V = TypeVar("_V")


class Asked(NamedTuple):
    """What is to be called."""

    program: int
    version: int
    procedure: int
    args: bytes


class Passing(Protocol):
    """Who passes calls on; see `stack.rpc.rpcbind.passing`."""

    def may(self, ctx: Invocation) -> bool:
        """Whether who calls may have calls passed on."""

    async def call(self, owner: str, ctx: Invocation, asked: Asked) -> bytes | None:
        """The results that the server of this owner has; None if there are none, or too many."""


class Desk:
    """What the versions share.

    `is_local` tells whether an address is of this host, `local_for` by which of this host's addresses a client reaches
    it ("" if that is not known), `clock` the time in seconds since 1970, `passing` passes calls on; None: nobody does.
    """

    __slots__ = ("clock", "is_local", "local_for", "passing", "registry", "statistics")

    def __init__(
        self,
        registry: Registry,
        *,
        is_local: Callable[[str], bool],
        local_for: Callable[[str], str],
        clock: Callable[[], float],
        passing: Passing | None = None,
    ) -> None:
        self.registry = registry
        self.passing = passing
        self.is_local = is_local
        self.local_for = local_for
        self.clock = clock
        self.statistics = {version: Statistics() for version in VERSIONS}

    def services(self) -> list[Server]:
        """One for each version, to be served together."""
        return [PortMapper(self), Rpcbind3(self), Rpcbind4(self)]

    # --- who ----------------------------------------------------------------------------------------------------------

    def asker(self, ctx: Invocation) -> Asker:
        """Who calls.  What has no address has come by a Unix socket, or from this process."""
        host = ctx.source[0]
        return Asker(local=not host or self.is_local(host), datagram=ctx.transport == UDP)

    def enter(self, ctx: Invocation, version: int, procedure: int, want: Want) -> bool:
        """Count a call; whether it is allowed."""
        self.statistics[version].on_call(procedure)
        return self.registry.may(want, self.asker(ctx))

    def change(self, ctx: Invocation, version: int, procedure: int) -> str:
        """The owner's name, of somebody who may change the table.  Raises AuthError."""
        if not self.enter(ctx, version, procedure, Want.CHANGE):
            raise AuthError(AuthStat.TOOWEAK, "a change of registrations from another host")
        return self.asker(ctx).owner

    def list(self, ctx: Invocation, version: int, procedure: int) -> None:
        """Somebody wants a list.  Raises ProcUnavail."""
        # DEVIATES RFC 1833 §2.2.1: other hosts get no lists (DUMP, GETADDRLIST, GETSTAT) by datagram, since these would
        # be many times the question, and sent to whoever a forged source names
        if not self.enter(ctx, version, procedure, Want.LIST):
            raise ProcUnavail("a list for another host over UDP: ask over TCP")

    # --- the table ----------------------------------------------------------------------------------------------------

    def set(self, version: int, mapping: Mapping) -> bool:
        """Register, for one of the versions of rpcbind."""
        done = self.registry.set(mapping)
        if done:
            self.statistics[version].on_changed(set_=True)
        return done

    def unset(self, version: int, mapping: Mapping) -> bool:
        """The opposite."""
        done = self.registry.unset(mapping.program, mapping.version, mapping.netid, mapping.owner)
        if done:
            self.statistics[version].on_changed(set_=False)
        return done

    def address(self, ctx: Invocation, by: int, question: Question, *, exact: bool = False) -> str:
        """Where a program is for this caller; NO_ADDRESS if it is not there."""
        found = self.registry.find(*question, exact=exact)
        self.statistics[by].on_asked(question, found=found is not None)
        return self.seen_by(ctx, found) if found is not None else NO_ADDRESS

    async def pass_on(
        self, ctx: Invocation, by: int, procedure: int, call: protocol.pmap_call | protocol.rpcb_call
    ) -> tuple[Mapping, bytes] | None:
        """Where a program is, and what it answers to a call of this caller; None if it is not to be, or does not."""
        if self.passing is None or not self.passing.may(ctx):
            self.enter(ctx, by, procedure, Want.FORWARD)
            return None
        self.statistics[by].on_call(procedure)
        mapping = self.registry.find(call.prog, call.vers, netid_of(ctx), exact=True)
        if mapping is None:
            return None
        results = await self.passing.call(mapping.owner, ctx, Asked(call.prog, call.vers, call.proc, call.args))
        return None if results is None else (mapping, results)

    def seen_by(self, ctx: Invocation, mapping: Mapping) -> str:
        """A registered address as this caller must see it."""
        if mapping.netid == LOCAL:
            return mapping.address
        return merged(mapping.address, self.local_for(ctx.source[0]))


def netid_of(ctx: Invocation) -> str:
    """The netid by which a call came (RFC 1833 §2.2.1: GETADDR answers for this one)."""
    if ctx.transport not in {UDP, TCP}:
        return LOCAL
    return f"{ctx.transport}6" if ":" in ctx.source[0] else ctx.transport


def linked(kind: Callable[[_V, _N | None], _N], values: Iterable[_V]) -> _N | None:
    """A linked list of the protocol."""
    head: _N | None = None
    for value in reversed(list(values)):
        head = kind(value, head)
    return head


class PortMapper(PMAP_V2.Server):
    """Version 2: ports of UDP and TCP."""

    __slots__ = ("_desk",)

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def PMAPPROC_SET(self, ctx: Any, mapping: pmap_mapping) -> bool:
        """Register; True if it is registered now."""
        owner = self._desk.change(ctx, 2, 1)
        netid = OF_PROTOCOL.get(mapping.prot, "")
        if mapping.port > 0xFFFF:
            return False
        address = to_universal(_ANYWHERE, mapping.port)
        return self._desk.set(2, Mapping(mapping.prog, mapping.vers, netid, address, owner))

    async def PMAPPROC_UNSET(self, ctx: Any, mapping: pmap_mapping) -> bool:
        """Take away the registrations for UDP and TCP, whatever protocol and port are given (RFC 1833 §3.2)."""
        owner = self._desk.change(ctx, 2, 2)
        done = [self._desk.unset(2, Mapping(mapping.prog, mapping.vers, netid, "", owner)) for netid in (UDP, TCP)]
        return any(done)

    async def PMAPPROC_GETPORT(self, ctx: Any, mapping: pmap_mapping) -> int:
        """The port; 0 if there is none."""
        self._desk.enter(ctx, 2, 3, Want.LOOK_UP)
        netid = OF_PROTOCOL.get(mapping.prot, "")
        address = self._desk.address(ctx, 2, Question(mapping.prog, mapping.vers, netid))
        return parse_universal(address).port if address else NO_PORT

    async def PMAPPROC_DUMP(self, ctx: Any) -> protocol.pmap_node | None:
        """All that version 2 knows of."""
        self._desk.list(ctx, 2, 4)
        known = [one for one in self._desk.registry if one.netid in {UDP, TCP}]
        return linked(
            protocol.pmap_node,
            (
                pmap_mapping(one.program, one.version, NETIDS[one.netid].protocol, parse_universal(one.address).port)
                for one in known
            ),
        )

    async def PMAPPROC_CALLIT(self, ctx: Any, call: protocol.pmap_call) -> Any:
        """The port of a program, and its result; no reply without one."""
        found = await self._desk.pass_on(ctx, 2, 5, call)
        if found is None:
            return NO_REPLY
        return protocol.pmap_called(parse_universal(found[0].address).port, found[1])


class _Rpcbind:
    """What versions 3 and 4 have in common; `_version` says which it is."""

    __slots__ = ()
    _desk: Desk
    _version: int

    async def RPCBPROC_SET(self, ctx: Any, asked: rpcb) -> bool:
        """Register; True if it is registered now.  The owner is who calls, whatever is given."""
        owner = self._desk.change(ctx, self._version, 1)
        return self._desk.set(self._version, Mapping(asked.prog, asked.vers, asked.netid, asked.addr, owner))

    async def RPCBPROC_UNSET(self, ctx: Any, asked: rpcb) -> bool:
        """Take away the registration for a netid, or for all if none is given (RFC 1833 §2.2.1)."""
        owner = self._desk.change(ctx, self._version, 2)
        return self._desk.unset(self._version, Mapping(asked.prog, asked.vers, asked.netid, "", owner))

    async def RPCBPROC_GETADDR(self, ctx: Any, asked: rpcb) -> str:
        """The address on the transport by which one asks, also of another version; "" if there is none."""
        self._desk.enter(ctx, self._version, 3, Want.LOOK_UP)
        return self._desk.address(ctx, self._version, Question(asked.prog, asked.vers, netid_of(ctx)))

    async def RPCBPROC_DUMP(self, ctx: Any) -> protocol.rpcb_node | None:
        """All registrations."""
        self._desk.list(ctx, self._version, 4)
        return linked(
            protocol.rpcb_node,
            (rpcb(one.program, one.version, one.netid, one.address, one.owner) for one in self._desk.registry),
        )

    async def _pass_on(self, ctx: Any, procedure: int, call: protocol.rpcb_call) -> protocol.rpcb_called | None:
        found = await self._desk.pass_on(ctx, self._version, procedure, call)
        return None if found is None else protocol.rpcb_called(self._desk.seen_by(ctx, found[0]), found[1])

    async def RPCBPROC_GETTIME(self, ctx: Any) -> int:
        """Seconds since 1970."""
        self._desk.enter(ctx, self._version, 6, Want.LOOK_UP)
        return int(self._desk.clock()) & 0xFFFF_FFFF

    async def RPCBPROC_UADDR2TADDR(self, ctx: Any, address: str) -> rpcb_netbuf:
        """A universal address as a sockaddr of this host; empty for what is none."""
        self._desk.enter(ctx, self._version, 7, Want.LOOK_UP)
        try:
            data = pack_sockaddr(address)
        except ValueError:
            data = b""
        return rpcb_netbuf(len(data), data)

    async def RPCBPROC_TADDR2UADDR(self, ctx: Any, address: rpcb_netbuf) -> str:
        """The opposite."""
        self._desk.enter(ctx, self._version, 8, Want.LOOK_UP)
        try:
            return unpack_sockaddr(address.buf)
        except ValueError:
            return NO_ADDRESS


class Rpcbind3(_Rpcbind, RPCB_V3.Server):
    """Version 3."""

    __slots__ = ("_desk",)
    _version = 3

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def RPCBPROC_CALLIT(self, ctx: Any, call: protocol.rpcb_call) -> Any:
        """The address of a program, and its result; no reply without one."""
        return await self._pass_on(ctx, 5, call) or NO_REPLY


class Rpcbind4(_Rpcbind, RPCB_V4.Server):
    """Version 4."""

    __slots__ = ("_desk",)
    _version = 4

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def RPCBPROC_BCAST(self, ctx: Any, call: protocol.rpcb_call) -> Any:
        """As CALLIT of version 3."""
        return await self._pass_on(ctx, 5, call) or NO_REPLY

    async def RPCBPROC_GETVERSADDR(self, ctx: Any, asked: rpcb) -> str:
        """As GETADDR, of just this version."""
        self._desk.enter(ctx, 4, 9, Want.LOOK_UP)
        return self._desk.address(ctx, 4, Question(asked.prog, asked.vers, netid_of(ctx)), exact=True)

    async def RPCBPROC_INDIRECT(self, ctx: Any, call: protocol.rpcb_call) -> Any:
        """The same, and one is told where there is no result."""
        # DEVIATES RFC 1833 §2.2.2: by default no call is passed on (nor by CALLIT and BCAST); where calls are, they go
        # to servers of this process only, as those of who has asked: not as this host's, which would be trusted
        found = await self._pass_on(ctx, 10, call)
        if found is not None:
            return found
        if self._desk.passing is None:
            raise ProcUnavail("a call to be passed on")
        raise SystemErr("a call to be passed on")

    async def RPCBPROC_GETADDRLIST(self, ctx: Any, asked: rpcb) -> protocol.rpcb_entry_node | None:
        """The addresses of just this version on all transports of the kind by which one asks."""
        self._desk.list(ctx, 4, 11)
        family = NETIDS[netid_of(ctx)].family
        return linked(
            protocol.rpcb_entry_node,
            (
                protocol.rpcb_entry(self._desk.seen_by(ctx, one), one.netid, kind.semantics, kind.family, kind.proto)
                for one in self._desk.registry.everywhere(asked.prog, asked.vers)
                if (kind := NETIDS[one.netid]).family == family
            ),
        )

    async def RPCBPROC_GETSTAT(self, ctx: Any) -> list[rpcb_stat]:
        """What was asked, by version."""
        self._desk.list(ctx, 4, 12)
        return [_stat(self._desk.statistics[version]) for version in VERSIONS]


def _stat(counted: Statistics) -> rpcb_stat:
    asked = None
    for question, (found, missing) in reversed(counted.asked.items()):
        asked = protocol.rpcb_asked(question.program, question.version, found, missing, question.netid, asked)
    return rpcb_stat(list(counted.calls), counted.set_count, counted.unset_count, asked, None)
