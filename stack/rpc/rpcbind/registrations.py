"""What a server has registered, and keeps registered while it lives.

Theory of operation.  `Registrations` holds what is wanted, and asks a `Registrar` for it: that of an rpcbind of ours in
this process, or one that speaks with the machine's rpcbind over its local socket (which tells it who we are; over the
loopback interface a careful rpcbind takes nothing).

An rpcbind that is started anew has forgotten everything.  So every `period_s` what is there is compared with what is
wanted, and what is missing is registered again; an rpcbind of ours says when it begins.  What somebody else has taken
meanwhile is left to them, and counted.  When the machine's rpcbind does not answer, that is counted, too, and tried
again; a server serves on without it.

What is left over from a server that died, under the same owner, is replaced, as all servers do it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from stack.errors import ConfigError
from stack.rpc.channel import Sink
from stack.rpc.client import Connecting, connect
from stack.rpc.duplicates import Source
from stack.rpc.errors import ProgMismatch, RpcError, Unreachable
from stack.rpc.program import Version
from stack.rpc.rpcbind.address import LOCAL, NETIDS, TCP, UDP, UNSPECIFIED, parse, to_universal
from stack.rpc.rpcbind.binding import registered
from stack.rpc.rpcbind.own import OwnRegistrar, own_rpcbinds
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_PORT, RPCB_V3, RPCB_V4, pmap_mapping, rpcb
from stack.rpc.rpcbind.registry import Mapping
from stack.rpc.transports import ANY, Listening, stack_of

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

LOCAL_SOCKET: Final = "/run/rpcbind.sock"
LOOPBACK: Final = "127.0.0.1"
PERIOD_S: Final = 30.0
TIMEOUT_S: Final = 5.0
_serial: Final = count(1)
Watch = Callable[[Callable[[], None]], Callable[[], None]]  # what gets a watcher, and returns what ends its watch


class Registrar(Protocol):
    """An rpcbind of this host."""

    async def listed(self) -> list[Mapping]:
        """All that is registered.  Raises RpcError."""

    async def set(self, mapping: Mapping) -> bool:
        """Register; False if it is taken.  Raises RpcError."""

    async def unset(self, mapping: Mapping) -> bool:
        """Take away what this owner registered.  Raises RpcError."""


class MachineRegistrar:
    """The rpcbind of this machine: by its local socket, or by loopback where there is none.

    Version 4 of it, or 3, or a port mapper of version 2: that knows ports of UDP and TCP over IPv4 only, and takes both
    away at once; for all else it is a ProgMismatch.
    """

    __slots__ = ("_path", "_timeout_s")

    def __init__(self, path: str = LOCAL_SOCKET, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s

    async def listed(self) -> list[Mapping]:
        """All that is registered.  Raises RpcError."""
        address, proto = self._place()
        return await registered(address, proto=proto, timeout=self._timeout_s)

    async def set(self, mapping: Mapping) -> bool:
        """Register; False if it is taken.  Raises RpcError."""
        return await self._change(mapping, "SET")

    async def unset(self, mapping: Mapping) -> bool:
        """Take away what this user registered.  Raises RpcError."""
        return await self._change(mapping, "UNSET")

    async def _change(self, mapping: Mapping, what: str) -> bool:
        newer: tuple[Any, ...] = (RPCB_V4, RPCB_V3)
        for interface in newer:
            try:
                async with self._connect(interface) as rpcbind:
                    return bool(await getattr(rpcbind, f"RPCBPROC_{what}")(rpcb(*mapping)))
            except ProgMismatch:
                if interface is RPCB_V3 and mapping.netid not in {UDP, TCP}:
                    raise
        port = parse(mapping.netid, mapping.address).port
        asked = pmap_mapping(mapping.program, mapping.version, NETIDS[mapping.netid].protocol, port)
        async with self._connect(PMAP_V2) as mapper:
            return bool(await getattr(mapper, f"PMAPPROC_{what}")(asked))

    def _place(self) -> tuple[str, str]:
        return (self._path, "unix") if Path(self._path).is_socket() else (LOOPBACK, TCP)

    def _connect(self, interface: Any) -> Connecting[Any]:
        address, proto = self._place()
        return connect(interface, address, proto=proto, port=RPCB_PORT, timeout=self._timeout_s)


class Registrations:
    """See the head of this file.  `stats` counts: set, renewed, taken by others, failed."""

    __slots__ = ("_period_s", "_registrar", "_soon", "_task", "_unwatch", "_wanted", "on_closed", "stats")

    def __init__(self, registrar: Registrar, *, period_s: float = PERIOD_S, watch: Watch | None = None) -> None:
        self._registrar = registrar
        self._period_s = period_s
        self._unwatch = watch(self.check_soon) if watch is not None else None
        self._wanted: dict[tuple[int, int, str], Mapping] = {}
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.on_closed: Callable[[], object] | None = None
        self.stats: Counter[str] = Counter()

    async def add(self, mappings: Iterable[Mapping]) -> None:
        """Register, and keep registered from now on.  Raises ConfigError for what is somebody else's, RpcError."""
        replaced = False
        for mapping in mappings:
            if not await self._registrar.set(mapping):
                replaced = True
                await self._registrar.unset(mapping)
                if not await self._registrar.set(mapping):
                    raise ConfigError(
                        f"program {mapping.program} version {mapping.version} over {mapping.netid} is registered by "
                        "somebody else on this host: end that server, or serve with register=False"
                    )
            self._wanted[mapping[:3]] = mapping
            self.stats["set"] += 1
        if replaced:  # a port mapper of version 2 has taken away the other transport, too
            await self.check()
        if self._task is None:
            self._task = asyncio.create_task(self._keep())

    def check_soon(self) -> None:
        """Something has changed: look at once."""
        self._soon.set()

    async def check(self) -> None:
        """Register again what is missing.  Raises RpcError."""
        there = await self._there()
        for key, mapping in list(self._wanted.items()):
            if key not in there and await self._registrar.set(mapping):
                self.stats["renewed"] += 1
            elif not _is_place(mapping, there.get(key, "")):
                self.stats["taken"] += 1

    async def _there(self) -> dict[tuple[int, int, str], str]:
        return {one[:3]: one.address for one in await self._registrar.listed()}

    async def aclose(self) -> None:
        """Take away what was registered, and is still ours; where rpcbind does not answer it stays."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self.on_closed is not None:
            self.on_closed()
            self.on_closed = None
        # (the machine's rpcbind lets a user, and the superuser above all, take away what another server has by now)
        with suppress(RpcError):
            there = await self._there() if self._wanted else {}
            for key, mapping in self._wanted.items():
                if _is_place(mapping, there.get(key, "")):
                    with suppress(RpcError):
                        await self._registrar.unset(mapping)
        self._wanted.clear()

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period_s):
                    await self._soon.wait()
            self._soon.clear()
            try:
                await self.check()
            except RpcError:
                self.stats["failed"] += 1


def _is_place(mapping: Mapping, address: str) -> bool:
    """Whether this address is what was registered; version 2 makes it "everywhere", at the same port."""
    if address == mapping.address:
        return True
    try:
        there, ours = parse(mapping.netid, address), parse(mapping.netid, mapping.address)
    except ValueError:
        return False
    return there.host in UNSPECIFIED and mapping.netid != LOCAL and there.port == ours.port


async def register(
    versions: Iterable[type[Version]],
    listening: Listening,
    host: "AsyncHost | VirtualHost | None" = None,
    *,
    sink: Sink | None = None,
    period_s: float = PERIOD_S,
) -> Registrations:
    """Register what a server serves with the rpcbind of its host, until `aclose`; `sink` takes its calls.

    That is an rpcbind of ours in this process, if the host has one, else the machine's.  Raises ConfigError where there
    is none, or somebody else is registered, and RpcError.
    """
    stack, rpcbinds = stack_of(host), own_rpcbinds()
    owner = f"server {next(_serial)}"
    made = mappings(versions, listening, owner)
    if rpcbinds.get(stack) is not None:
        registrations = Registrations(
            OwnRegistrar(rpcbinds, stack), period_s=period_s, watch=partial(rpcbinds.watch, stack)
        )
        if sink is not None:
            rpcbinds.servers[owner] = sink
            registrations.on_closed = partial(rpcbinds.servers.pop, owner, None)
    elif stack is None:
        registrations = Registrations(MachineRegistrar(), period_s=period_s)
    else:
        raise ConfigError(
            "this host has no rpcbind to register with: begin with `await rpc.rpcbind_server(host=...)`, or serve with "
            "register=False, and give clients the port"
        )
    try:
        await registrations.add(made)
    except BaseException as error:
        await registrations.aclose()
        if isinstance(error, Unreachable):
            raise ConfigError(
                f"{error.strerror}: start rpcbind on this machine, or serve with register=False"
            ) from None
        raise
    return registrations


def mappings(versions: Iterable[type[Version]], listening: Listening, owner: str) -> list[Mapping]:
    """What there is to register: one address for each version and transport."""
    places: dict[str, list[Source]] = {}
    for netid, sources in ((UDP, listening.udp), (TCP, listening.tcp)):
        for source in sources:
            places.setdefault(f"{netid}6" if ":" in source[0] else netid, []).append(source)
    addresses = {netid: _address(sources) for netid, sources in places.items()}
    if listening.unix:
        addresses[LOCAL] = listening.unix[0]
    return [
        Mapping(version.program, version.version, netid, address, owner)
        for version in versions
        for netid, address in addresses.items()
    ]


def _address(sources: list[Source]) -> str:
    """The universal address for all of them: that of a single one, else "everywhere" on their port."""
    host, port = sources[0]
    if len(sources) > 1:
        host = "::" if ":" in host else ANY
    return to_universal(host, port)
