"""The server's side of a call: octets in, and out of them a reply at once, or an Invocation to be executed.

Theory of operation.  `receive` takes a message through the steps of RFC 5531 §9, in this order: is it a call, of this
version of RPC, with a credential that can be read; is the program there, this version, the procedure; may the caller;
can the arguments be decoded; was it executed before.  What fails is answered or dropped as the table in docs/rpc.md
says, and counted.  The NULL procedure is answered here, for all callers.

What remains is an Invocation, which is the `ctx` of the procedure too.  Its owner executes `handler(ctx, *args)` and
says what came of it with exactly one of `complete`, `fail` and `abandon`; the first two give the reply, to be sent to
`reply_to`.  That is where the last copy of the call came from: when a client has connected anew and sent it again, the
reply goes there.

A call that is in the duplicate request cache (`once`) should run to its end though its connection is gone, for the
client will ask again what came of it; others can be cancelled.

No clock, no tasks, no sockets: `now` is in microseconds of any clock that does not go back.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from stack.errors import ConfigError
from stack.rpc.auth import NOBODY, Credential, Credentials
from stack.rpc.constants import MAX_DATAGRAM, NULL_PROCEDURE, AuthStat, Status
from stack.rpc.duplicates import DuplicateCache, Key, Seen, Source, key_of
from stack.rpc.errors import MessageError, MessageReason
from stack.rpc.message import (
    ACCEPTED,
    Call,
    build_auth_error,
    build_error,
    build_prog_mismatch,
    build_refusal,
    build_rpc_mismatch,
    parse_call,
)
from stack.rpc.policy import Policy
from stack.rpc.record import MAX_FRAGMENT
from stack.rpc.stats import Dropped, ServerStats

MAX_RUNNING: Final = 1024
_SUCCESS: Final = int(Status.SUCCESS)
_XID: Final = 4  # octets
_AUTH_ERROR_LEN: Final = 20  # octets; no other reply is as short


class NoReply:
    """The type of NO_REPLY."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_REPLY"


NO_REPLY: Final = NoReply()  # what a procedure returns for its caller to hear nothing (RFC 5531 §8.4.1: batching)


class Pieces:
    """Results that are encoded already, in pieces: what a procedure returns that has much to say.

    Over a connection they are sent as they are, never joined, so large pieces are not copied.  `octets` are what the
    results of the procedure's type look like on the wire, padding included; what they say is not looked at.
    `size` is their length.  Raises ValueError for one that no XDR value has.
    """

    __slots__ = ("octets", "size")

    def __init__(self, *octets: bytes) -> None:
        self.octets = octets
        self.size = sum(map(len, octets))
        # RFC 4506 §3: what is encoded takes a multiple of four octets
        if self.size % 4:
            raise ValueError(f"results of {self.size} octets: a multiple of 4 is needed, with the padding at the end")

    def joined(self) -> bytes:
        """All of them in one."""
        return b"".join(self.octets)


class Procedure(Protocol):
    """What of a procedure its dispatch needs; `stack.rpc.xdr` describes arguments and results."""

    @property
    def name(self) -> str:
        """As in the interface definition."""

    @property
    def number(self) -> int:
        """As in the interface definition."""

    def decode_args(self, data: bytes, at: int, limits: Any, /) -> Iterable[Any]:
        """The arguments, from octet `at` on.  Raises ValueError, whose `reason` is counted, for what is no value."""

    def encode_result(self, value: Any, /) -> bytes:
        """The results on the wire."""


class Served(NamedTuple):
    """A procedure and who executes it; `idempotent`: to execute it twice does no harm, so its calls are not cached."""

    procedure: Procedure
    handler: Callable[..., Any]
    idempotent: bool = False


class Carrier(NamedTuple):
    """What a transport can carry; `again`: clients send again what is dropped."""

    name: str
    max_reply: int
    again: bool


UDP: Final = Carrier("udp", MAX_DATAGRAM, again=True)
TCP: Final = Carrier("tcp", MAX_FRAGMENT, again=False)
UNIX: Final = Carrier("unix", MAX_FRAGMENT, again=False)
LOCAL: Final = Carrier("local", MAX_FRAGMENT, again=False)


class _Bound:
    """A procedure that is served."""

    __slots__ = ("decode", "encode", "handler", "name", "once", "policy")

    def __init__(self, served: Served, policy: Policy | None, *, once: bool) -> None:
        self.name = served.procedure.name
        self.decode = served.procedure.decode_args
        self.encode = served.procedure.encode_result
        self.handler = served.handler
        self.policy = policy
        self.once = once


class Invocation:
    """A call to be executed: the `ctx` of its procedure.

    `source` is the caller's address and port, `credential` what it says of itself, `transport` the kind of transport
    (like "udp"), `deadline_at` when nobody waits for the result any more (NEVER, unless its owner knows).
    """

    # fmt: off
    __slots__ = (
        "args", "bound", "carrier", "credential", "deadline_at", "handler", "key", "reply_to", "source", "xid_wire",
    )
    # fmt: on

    def __init__(
        self,
        bound: _Bound,
        args: Iterable[Any],
        xid_wire: bytes,
        source: Source,
        credential: Credential,
        carrier: Carrier,
        reply_to: object,
        key: Key | None,
    ) -> None:
        self.bound = bound
        self.handler = bound.handler
        self.args = args
        self.xid_wire = xid_wire
        self.source = source
        self.credential = credential
        self.carrier = carrier
        self.reply_to = reply_to
        self.key = key
        self.deadline_at: int | None = None

    @property
    def xid(self) -> int:
        """The number that the client gave this call."""
        return int.from_bytes(self.xid_wire, "big")

    @property
    def transport(self) -> str:
        """How it came: "udp", "tcp", "unix" or "local"."""
        return self.carrier.name

    @property
    def once(self) -> bool:
        """It is in the duplicate request cache: it should run to its end."""
        return self.key is not None

    @property
    def procedure(self) -> str:
        """The name of the procedure."""
        return self.bound.name

    def __repr__(self) -> str:
        return f"<call of {self.bound.name} by {self.source[0]}:{self.source[1]} over {self.carrier.name}>"


class Dispatcher:
    """See the head of this file.  `limits` are handed to the decoders of arguments.

    `duplicates`: the cache, or None: then calls that come twice are executed twice.  `max_running`: how many calls are
    executed at a time; `per_client`: how many of one client, None: a quarter of them.  A client is an address, or a
    connection without one.
    """

    # fmt: off
    __slots__ = (
        "_bound", "_by_client", "_credentials", "_duplicates", "_limits", "_max_running", "_share", "_versions",
        "running", "stats",
    )
    # fmt: on

    def __init__(
        self,
        limits: Any = None,
        duplicates: DuplicateCache | None = None,
        *,
        max_running: int = MAX_RUNNING,
        per_client: int | None = None,
    ) -> None:
        if max_running < 1:
            raise ConfigError(f"max_running={max_running}: a server must be allowed to execute at least 1 call")
        self._limits = limits
        self._duplicates = duplicates
        self._max_running = max_running
        self._share = (max_running + 3) // 4 if per_client is None else per_client
        self._bound: dict[tuple[int, int, int], _Bound | None] = {}  # None: the NULL procedure
        self._versions: dict[int, set[int]] = {}
        self._by_client: dict[str | Source, int] = {}  # calls running, by address, or by connection
        self._credentials = Credentials()
        self.running = 0
        self.stats = ServerStats()

    def add(self, program: int, version: int, served: Iterable[Served], policy: Policy | None = None) -> None:
        """Serve a version of a program from now on; all callers may, without a policy.  Raises ConfigError."""
        versions = self._versions.setdefault(program, set())
        if version in versions:
            raise ConfigError(f"program {program} version {version} is served already")
        versions.add(version)
        self._bound[program, version, NULL_PROCEDURE] = None
        for one in served:
            if one.procedure.number != NULL_PROCEDURE:
                once = not one.idempotent and self._duplicates is not None
                self._bound[program, version, one.procedure.number] = _Bound(one, policy, once=once)

    def remove(self, program: int, version: int) -> None:
        """Serve it no longer; calls running go on."""
        versions = self._versions.get(program, set())
        versions.discard(version)
        if not versions:
            self._versions.pop(program, None)
        for key in [key for key in self._bound if key[:2] == (program, version)]:
            del self._bound[key]

    def has_room(self, source: Source) -> bool:
        """Whether a call of the client at this address would be executed; where not, a stream should wait."""
        return self.running < self._max_running and self._by_client.get(source[0] or source, 0) < self._share

    # -- in

    def receive(
        self, data: bytes, source: Source, carrier: Carrier, now: int, reply_to: object = None
    ) -> bytes | Invocation | None:
        """A message has come: the reply, or what is to be executed; None: no reply.  Nothing that comes raises."""
        stats = self.stats
        stats.calls += 1
        try:
            call = parse_call(data)
        except MessageError as error:
            return self._malformed(data, error.reason)
        credential = NOBODY if call.flavor == 0 else self._credentials.read(call.flavor, call.credential)
        if isinstance(credential, AuthStat):
            return self._refuse_caller(data, credential)
        procedure = (call.program, call.version, call.procedure)
        bound = self._bound.get(procedure)
        if bound is None:
            return self._without(data, call, procedure)
        if bound.policy is not None:
            stat = bound.policy.check(credential, source[0])
            if stat is not None:
                return self._refuse_caller(data, stat)
        try:
            args = bound.decode(data, call.args_offset, self._limits)
        except ValueError as error:
            return self._garbage(data, error)
        host = source[0] or source
        theirs = self._by_client.get(host, 0)
        room = theirs < self._share and self.running < self._max_running
        if bound.once and self._duplicates is not None:
            key = key_of(source, data)
            seen = self._duplicates.look(key, now)
            if seen is not None:
                return self._again(key, seen, reply_to)
            if not room:
                return self._busy(data, carrier)
            invocation = Invocation(bound, args, data[:_XID], source, credential, carrier, reply_to, key)
            if not self._duplicates.begin(key, invocation):
                return self._not_noted(data)
        elif room:
            invocation = Invocation(bound, args, data[:_XID], source, credential, carrier, reply_to, None)
        else:
            return self._busy(data, carrier)
        self.running += 1
        self._by_client[host] = theirs + 1
        return invocation

    def _malformed(self, data: bytes, reason: MessageReason) -> bytes | None:
        self.stats.malformed[reason] += 1
        if reason is not MessageReason.RPC_VERSION:
            return None  # nobody may expect an answer: perhaps it is one, or the sender is forged
        self.stats.replies[Status.RPC_MISMATCH] += 1
        return build_rpc_mismatch(data[:_XID])

    def _refuse_caller(self, data: bytes, stat: AuthStat) -> bytes:
        self.stats.auth[stat] += 1
        self.stats.replies[Status.AUTH_ERROR] += 1
        return build_auth_error(data[:_XID], stat)

    def _without(self, data: bytes, call: Call, procedure: tuple[int, int, int]) -> bytes:
        """The NULL procedure, or what is not there."""
        if procedure in self._bound:
            # RFC 5531 §12.1: procedure 0 never requires any kind of authentication
            self.stats.replies[_SUCCESS] += 1
            return data[:_XID] + ACCEPTED
        versions = self._versions.get(call.program)
        if versions is None:
            self.stats.replies[Status.PROG_UNAVAIL] += 1
            return build_refusal(data[:_XID], Status.PROG_UNAVAIL)
        if call.version not in versions:
            self.stats.replies[Status.PROG_MISMATCH] += 1
            return build_prog_mismatch(data[:_XID], min(versions), max(versions))
        self.stats.replies[Status.PROC_UNAVAIL] += 1
        return build_refusal(data[:_XID], Status.PROC_UNAVAIL)

    def _garbage(self, data: bytes, error: ValueError) -> bytes:
        reason = getattr(error, "reason", None)
        self.stats.garbage[getattr(reason, "name", "other").lower()] += 1
        self.stats.replies[Status.GARBAGE_ARGS] += 1
        return build_refusal(data[:_XID], Status.GARBAGE_ARGS)

    def _again(self, key: Key, seen: bytes | Seen, reply_to: object) -> bytes | None:
        """A call that has come before."""
        if isinstance(seen, bytes):
            self.stats.replayed += 1
            return seen
        if seen is Seen.RUNNING and self._duplicates is not None:
            self.stats.dropped[Dropped.IN_PROGRESS] += 1
            first = self._duplicates.running(key)
            if isinstance(first, Invocation):
                first.reply_to = reply_to
        else:
            self.stats.dropped[Dropped.FORGOTTEN] += 1
        return None

    def _not_noted(self, data: bytes) -> bytes:
        """What could not be noted down (the disk is full) is not executed: it could not be told from its copies."""
        self.stats.not_noted += 1
        self.stats.replies[Status.SYSTEM_ERR] += 1
        return build_refusal(data[:_XID], Status.SYSTEM_ERR)

    def give_back(self, invocation: Invocation) -> bytes:
        """The reply to a call that is not executed, as it could not be noted down after all."""
        self.abandon(invocation)
        return self._not_noted(invocation.xid_wire)

    def _busy(self, data: bytes, carrier: Carrier) -> bytes | None:
        """No room: dropped where the client sends again; else told, for a stream loses nothing by itself."""
        full = self.running >= self._max_running
        self.stats.dropped[Dropped.BUSY if full else Dropped.CLIENT_BUSY] += carrier.again
        if carrier.again:
            return None
        self.stats.replies[Status.SYSTEM_ERR] += 1
        return build_refusal(data[:_XID], Status.SYSTEM_ERR)

    # -- out

    def complete(self, invocation: Invocation, result: Any, now: int) -> bytes | Pieces | None:
        """The reply with this result; None: none is sent.  Raises what the encoder raises: then say `fail`.

        It is in pieces if the result is, unless it must be kept or fit in a datagram.
        """
        if result is NO_REPLY:
            self.stats.dropped[Dropped.NO_REPLY] += 1
            self._end(invocation)
            if invocation.key is not None and self._duplicates is not None:
                self._duplicates.finish(invocation.key, None, now)
            return None
        head = invocation.xid_wire + ACCEPTED
        if isinstance(result, Pieces):
            if (
                invocation.key is None
                and not invocation.carrier.again
                and result.size + len(head) <= invocation.carrier.max_reply
            ):
                self.stats.replies[_SUCCESS] += 1
                self._end(invocation)
                return Pieces(head, *result.octets)
            reply = head + result.joined()
        else:
            reply = head + invocation.bound.encode(result)
        status = _SUCCESS
        if len(reply) > invocation.carrier.max_reply:
            self.stats.too_large += 1
            reply = build_refusal(invocation.xid_wire, Status.SYSTEM_ERR)
            status = Status.SYSTEM_ERR
        return self._finish(invocation, reply, status, now)

    def fail(self, invocation: Invocation, error: BaseException, now: int) -> bytes | None:
        """The reply for what the procedure raised: SYSTEM_ERR, unless it is an error for the caller."""
        reply = build_error(invocation.xid_wire, error)
        status: int = reply[-1]
        if len(reply) == _AUTH_ERROR_LEN:
            stat = int.from_bytes(reply[-4:], "big")
            self.stats.auth[stat if stat < len(self.stats.auth) else AuthStat.FAILED] += 1
            status = Status.AUTH_ERROR
        return self._finish(invocation, reply, status, now, failed=True)

    def abandon(self, invocation: Invocation) -> None:
        """The procedure was not entered, and no reply is sent: if the call comes again, it is executed."""
        self._end(invocation)
        if invocation.key is not None and self._duplicates is not None:
            self._duplicates.abandon(invocation.key)

    def _finish(
        self, invocation: Invocation, reply: bytes, status: int, now: int, *, failed: bool = False
    ) -> bytes | None:
        self.stats.replies[status] += 1
        self._end(invocation)
        if invocation.key is not None and self._duplicates is not None:
            return self._duplicates.finish(invocation.key, reply, now, failed=failed)
        return reply

    def _end(self, invocation: Invocation) -> None:
        self.running -= 1
        host = invocation.source[0] or invocation.source
        left = self._by_client[host] - 1
        if left:
            self._by_client[host] = left
        else:
            del self._by_client[host]
