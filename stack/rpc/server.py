"""A server: programs behind UDP, TCP and Unix ports, and for callers of the same process.

    class Calc(calc.CALC_V1.Server):
        @rpc.proc(idempotent=True)
        async def CALC_DO(self, ctx, a):
            return calc.result(status=0, value=a.a + a.b)

    async with await rpc.serve([Calc()], host=host) as server: ...

Theory of operation.  What a message means is decided in `dispatch`, and which connections stay in `connections`; here
calls are executed, by the coroutine method of their procedure, with the Invocation as `ctx`: at once up to where it
waits for something, and from there in a task (`standby`).  What it raises of `rpc.errors` (ProcUnavail, GarbageArgs,
SystemErr, AuthError) the caller is told; all else is SYSTEM_ERR, and told to the loop's exception
handler (of each procedure once a second at most).

A task is cancelled when its connection ends, when the client cancels the call (see `session`), and after `call_s`.  But
if it may be executed once only and is in the duplicate request cache, it runs on when its connection ends: the client
will connect again, and ask what came of it.

Where there is no room for a call, its connection is not read from until there is; so what is too much waits with the
clients.  Over UDP it is dropped, and counted, and comes again.  A client that does not read its replies is not read
from either.
"""

import asyncio
import errno
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from itertools import islice
from socket import gaierror
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from stack.config import NEVER, SECOND
from stack.errors import AddressNotAvailable, ConfigError
from stack.rpc import session
from stack.rpc.channel import Channel
from stack.rpc.connections import Connection, Connections, ServerLimits
from stack.rpc.dispatch import NO_REPLY, UDP, Dispatcher, Invocation, NoReply, Pieces, Served
from stack.rpc.duplicates import DuplicateCache, Duplicates, Source
from stack.rpc.durable import DurableDuplicates
from stack.rpc.errors import Rejected, SystemErr
from stack.rpc.program import Server, Version
from stack.rpc.record import MAX_RECORD, RecordFault
from stack.rpc.serving import Auth, check_kinds, check_ports, checked
from stack.rpc.settings import check_max_record
from stack.rpc.standby import Standby
from stack.rpc.transports import Listening, Maker, maker_of, own_addresses
from stack.rpc.xdr import LIMITS, Limits

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

F = TypeVar("F", bound=Callable[..., Any])
RESUMED_AT_ONCE: Final = 64  # connections that are looked at when a call ends
PORT_TRIES: Final = 8  # to have the same free port at all addresses
SWEEP_S: Final = 1.0  # how often connections are looked at
TELL_S: Final = 1.0  # between two reports of one procedure's failures
_XID: Final = 4  # octets
LISTEN: Final = "give an address of this host, or '0.0.0.0' for all"
IDEMPOTENT: Final = "rpc_idempotent"  # the attribute of methods


def proc(*, idempotent: bool = False) -> Callable[[F], F]:
    """Say of a server's method that to execute it twice does no harm: then its calls are not kept in the cache."""

    def mark(method: F) -> F:
        setattr(method, IDEMPOTENT, idempotent)
        return method

    return mark


class Running(NamedTuple):
    """A call that is being executed."""

    task: "asyncio.Task[None]"
    connection: Connection | None
    key: tuple[Source, bytes]


class RpcServer:
    """A running server; `serve` makes one.  `aclose`, or leaving its context, ends it."""

    # fmt: off
    __slots__ = (
        "_at_once", "_by_xid", "_call_us", "_closed", "_counts", "_draining", "_durable", "_held", "_limits", "_loop",
        "_standby", "_sweeper", "_tasks", "_told", "_unseen", "_versions", "connections", "dispatcher", "instance",
        "listening", "registration",
    )
    # fmt: on

    def __init__(
        self,
        programs: Iterable[Server],
        *,
        auth: Auth = None,
        duplicates: DuplicateCache | None = None,
        limits: ServerLimits | None = None,
        xdr: Limits = LIMITS,
    ) -> None:
        check_kinds(limits, duplicates, xdr)
        self._limits = limits = limits or ServerLimits()
        limits.validate()
        self._call_us = int(limits.call_s * SECOND)
        self._loop = asyncio.get_running_loop()
        # procedures have the context of who made the server, whoever calls
        self._standby = Standby(self._loop, copy_context())
        self._counts: Counter[str] = Counter()
        self._draining = False
        self._versions: list[type[Version]] = []
        self._tasks: dict[Invocation, Running] = {}
        self._told: dict[str, tuple[float, int]] = {}  # failures by procedure: when, and how many since
        self._by_xid: dict[tuple[Source, bytes], Invocation] = {}
        self._held: dict[Channel, Connection] = {}  # not read from until there is room for their calls
        self._unseen = 0  # of those, to be looked at in this round
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        is_durable = isinstance(duplicates, DurableDuplicates) and duplicates.attach(self._loop)
        self._durable: Any = duplicates if is_durable else None  # that is written by a thread
        self.connections = Connections(limits, self._counts, self._on_end)
        self.dispatcher = Dispatcher(xdr, duplicates, max_running=limits.running, per_client=limits.running_per_client)
        self.listening = Listening()
        self.registration: Any = None  # with rpcbind; has `aclose`
        rng = getattr(self._loop, "new_rng", random.SystemRandom)()  # a simulation's loop has its own
        kept = duplicates.instance if duplicates is not None else None  # a durable cache outlives this run
        self.instance: int = rng.getrandbits(session.INSTANCE_BITS) if kept is None else kept  # see `session`
        for program in checked(programs, auth):
            self._add(program, auth)
        self._add_session()

    def _add(self, program: object, auth: Auth) -> None:
        if not isinstance(program, Server):
            raise ConfigError(f"{program!r} serves no program: derive it from the Server of a version, and make one")
        for version in program.interfaces():
            served = []
            for number, procedure in version.procedures.items():
                handler = program.handler(version, number)
                if handler is not None:
                    served.append(Served(procedure, handler, idempotent=getattr(handler, IDEMPOTENT, False)))
            policy = auth.get(version) if isinstance(auth, Mapping) else auth
            self.dispatcher.add(version.program, version.version, served, policy)
            self._versions.append(version)

    def _add_session(self) -> None:
        served = [
            Served(session.HELLO, self._on_hello, idempotent=True),
            Served(session.CANCEL, self._on_cancel, idempotent=True),
            Served(session.AGAIN, self._on_again, idempotent=True),
        ]
        self._at_once = frozenset(one.handler for one in served)
        self.dispatcher.add(session.PROGRAM, session.VERSION, served)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- what is known

    @property
    def versions(self) -> list[type[Version]]:
        """The versions of programs that it serves."""
        return list(self._versions)

    @property
    def udp_port(self) -> int | None:
        """The UDP port, None if it has none."""
        return self.listening.udp[0][1] if self.listening.udp else None

    @property
    def tcp_port(self) -> int | None:
        """The TCP port, None if it has none."""
        return self.listening.tcp[0][1] if self.listening.tcp else None

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name, and how much there is at present."""
        now = {"connections": len(self.connections), "running": self.dispatcher.running, "held": len(self._held)}
        return {**now, **self._counts, **self.dispatcher.stats.by_name()}

    async def aclose(self, *, drain_s: float = 0) -> None:
        """Give the ports back, close the connections, cancel what is running.  Safe to call twice.

        `drain_s`: seconds for the calls that are running to end by themselves; no new ones are taken.  What is
        cancelled then has no reply: its clients lose the connection, and come again to whoever serves next.
        """
        if drain_s and not self._closed:
            await self._drain(drain_s)
        self._closed = True
        if self.registration is not None:
            registration, self.registration = self.registration, None
            await registration.aclose()
        self.listening.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._standby.end()
        here = asyncio.current_task()  # perhaps of a procedure that closes its own server
        tasks = [running.task for running in self._tasks.values() if running.task is not here]
        for invocation, running in list(self._tasks.items()):
            if running.task is not here:
                self._stop(invocation)
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._durable is not None and (written := self._durable.settled()) is not None:
            await asyncio.wait([written])
        for connection in self.connections:
            connection.channel.close()

    async def _drain(self, seconds: float) -> None:
        self._draining = True
        self.listening.close()
        here = asyncio.current_task()
        tasks = [running.task for running in self._tasks.values() if running.task is not here]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    # -- messages

    def on_message(self, message: bytes, channel: Channel) -> None:
        """A message, of a connection or a datagram."""
        now = int(self._loop.time() * SECOND)
        connection = None if channel.carrier is UDP else self.connections.get(channel)
        if connection is None:
            if self._by_xid and (channel.source, message[:_XID]) in self._by_xid:
                self._counts["dropped_running"] += (
                    1  # a copy: also of what may be executed twice, once at a time will do
                )
                return
        else:
            self.connections.touch(connection, now)
            if self._is_full_for(connection):
                connection.waiting = message
                self._hold(connection)
                return
        self._take(message, channel, connection, now)

    def _take(self, message: bytes, channel: Channel, connection: Connection | None, now: int) -> None:
        reply = self.dispatcher.receive(message, channel.source, channel.carrier, now, channel)
        if type(reply) is bytes:
            channel.post(reply)
        elif reply is not None:
            self._execute(reply, channel, connection, now)  # type: ignore[arg-type]  # it is no bytes
        if connection is not None and (channel.is_full or self._is_full_for(connection)):
            self._hold(connection)

    def _execute(self, invocation: Invocation, channel: Channel, connection: Connection | None, now: int) -> None:
        handler = invocation.handler
        if self._closed or self._draining:  # of a connection that is still to be closed
            self.dispatcher.abandon(invocation)
            return
        if handler in self._at_once:
            self._finish(invocation, handler(invocation, *invocation.args))
            return
        invocation.deadline_at = now + self._call_us
        task = self._standby.begin(self._run(invocation))
        if self._sweeper is None:
            self._sweep_later()
        if task is None:
            return  # it has ended without waiting for anything, as most do
        key = (channel.source, invocation.xid_wire)
        self._tasks[invocation] = Running(task, connection, key)
        self._by_xid[key] = invocation
        if connection is not None:
            connection.running.add(invocation)

    async def _run(self, invocation: Invocation) -> None:
        try:
            noted = self._durable.settled() if self._durable is not None and invocation.once else None
            if noted is not None and not await asyncio.shield(noted):
                self._leave(invocation)
                self._post(invocation, self.dispatcher.give_back(invocation))
                return
            result = await invocation.handler(invocation, *invocation.args)
        except asyncio.CancelledError:
            self._counts["cancelled"] += 1
            if self._closed:
                invocation.reply_to = None  # another run may execute it, or answer from what was noted down
            self._fail(invocation, SystemErr())
            raise
        except GeneratorExit:  # the loop has ended
            raise
        except BaseException as error:  # a procedure may raise anything
            self._fail(invocation, error)
            if isinstance(error, SystemExit | KeyboardInterrupt):  # it ends the loop
                raise
        else:
            self._finish(invocation, result)

    def _finish(self, invocation: Invocation, result: Any) -> None:
        try:
            reply = self.dispatcher.complete(invocation, result, int(self._loop.time() * SECOND))
        except Exception as error:  # noqa: BLE001  (a result of another type, whose parts may raise anything)
            self._fail(invocation, error)
        else:
            self._reply(invocation, reply)

    def _fail(self, invocation: Invocation, error: BaseException) -> None:
        """What the procedure raised; the caller learns of it what is meant for callers."""
        if not isinstance(error, Rejected) or error.received:
            self._counts["procedures_failed"] += 1
            self._tell(invocation.procedure, error)
        self._reply(invocation, self.dispatcher.fail(invocation, error, int(self._loop.time() * SECOND)))

    def _tell(self, procedure: str, error: BaseException) -> None:
        """The loop hears of a procedure's failures once a second: who may call could fill a log with them."""
        now = self._loop.time()
        told_at, untold = self._told.get(procedure, (-TELL_S, 0))
        if now - told_at < TELL_S:
            self._told[procedure] = (told_at, untold + 1)
            return
        self._told[procedure] = (now, 0)
        more = f" ({untold} more since this was last told)" if untold else ""
        message = f"{procedure} failed: its caller gets SYSTEM_ERR{more}"
        self._loop.call_exception_handler({"message": message, "exception": error})

    def _reply(self, invocation: Invocation, reply: bytes | Pieces | None) -> None:
        if self._tasks:
            self._leave(invocation)
        written = self._durable.settled() if self._durable is not None and invocation.once else None
        if written is None:
            self._post(invocation, reply)
        else:  # not before the disk has it
            written.add_done_callback(partial(self._post, invocation, reply))

    @staticmethod
    def _post(invocation: Invocation, reply: bytes | Pieces | None, _: object = None) -> None:
        channel = invocation.reply_to  # perhaps not that on which the call came first
        if not isinstance(channel, Channel) or not channel.is_open:
            return
        if isinstance(reply, Pieces):
            channel.post_pieces(reply)
        elif reply is not None:
            channel.post(reply)

    def _leave(self, invocation: Invocation) -> None:
        running = self._tasks.pop(invocation, None)
        if running is None:
            return
        if self._by_xid.get(running.key) is invocation:
            del self._by_xid[running.key]
        connection = running.connection
        if connection is not None:
            connection.running.discard(invocation)
        if self._held:
            self._make_room()

    def _stop(self, invocation: Invocation) -> None:
        """Cancel it; if it was not begun at all, it was not executed."""

        def ended(_: "asyncio.Task[None]") -> None:
            if invocation in self._tasks:
                self.dispatcher.abandon(invocation)
                self._leave(invocation)

        task = self._tasks[invocation].task
        task.cancel()
        task.add_done_callback(ended)

    # -- the session program

    def _on_hello(self, _: Invocation) -> int:
        return self.instance

    def _on_cancel(self, ctx: Invocation, xid: int) -> NoReply:
        """The caller does not wait any more for another call of its own."""
        invocation = self._by_xid.get((ctx.source, xid.to_bytes(4, "big")))
        if invocation is not None and _may_cancel(ctx, invocation):
            invocation.reply_to = None
            self._stop(invocation)
        return NO_REPLY

    def _on_again(self, ctx: Invocation, instance: int, message: bytes) -> int | NoReply:
        """A copy of a call that was sent to this run of the server, or to another."""
        channel = ctx.reply_to
        if instance != self.instance or not isinstance(channel, Channel) or not channel.carrier.again:
            return self.instance
        if not session.is_session(message):
            self._loop.call_soon(self.on_message, message, channel)  # when this one does not count any more
        return NO_REPLY

    # -- room

    def _is_full_for(self, connection: Connection) -> bool:
        if len(connection.running) >= self._limits.running_per_connection:
            return True
        return not self.dispatcher.has_room(connection.channel.source)

    def _hold(self, connection: Connection) -> None:
        if not connection.held:
            connection.held = True
            self._counts["times_held"] += 1
            self._held[connection.channel] = connection
            connection.channel.hold()

    def _make_room(self) -> None:
        """A call has ended, or a client has read replies: read on from those that wait and may, in turn.

        All of them are looked at, some in each turn of the loop: those in front may wait for something else.
        """
        is_due = self._unseen > 0
        self._unseen = len(self._held)
        if not is_due:
            self._resume_some()

    def _resume_some(self) -> None:
        for channel, connection in list(islice(self._held.items(), RESUMED_AT_ONCE)):
            self._unseen -= 1
            if self._held.pop(channel, None) is None:
                continue  # it has ended meanwhile
            if channel.is_full or self._is_full_for(connection):
                self._held[channel] = connection  # behind the others
                continue
            connection.held = False
            message, connection.waiting = connection.waiting, None
            if message is not None:
                self._take(message, channel, connection, int(self._loop.time() * SECOND))
            if not connection.held:
                channel.resume()
        self._unseen = min(self._unseen, len(self._held))
        if self._unseen > 0:
            self._loop.call_soon(self._resume_some)

    # -- connections

    def on_open(self, channel: Channel) -> bool:
        """Somebody has connected."""
        if self._closed or self._draining:
            return False
        admitted = self.connections.admit(channel, int(self._loop.time() * SECOND))
        if self._sweeper is None and admitted:
            self._sweep_later()
        return admitted

    def on_partial(self, channel: Channel) -> None:
        """A part of a message came."""
        self.connections.on_partial(channel, int(self._loop.time() * SECOND))

    def on_room(self, channel: Channel) -> None:
        """The client reads its replies again."""
        if channel in self._held:
            self._make_room()

    def on_fault(self, _: Channel, fault: RecordFault) -> None:
        """It sent what is no record; it is closed."""
        self._counts[f"fault_{fault.name.lower()}"] += 1

    def on_error(self, _: Channel, error: Exception) -> None:
        """What was sent to somebody may not have arrived: who wants it asks again."""
        if isinstance(error, BlockingIOError):
            self._counts["replies_dropped"] += 1

    def on_closed(self, channel: Channel, _: Exception | None) -> None:
        """It has ended."""
        self.connections.forget(channel)

    def _on_end(self, connection: Connection) -> None:
        self._held.pop(connection.channel, None)
        connection.waiting = None
        for invocation in list(connection.running):
            if not invocation.once:
                self._stop(invocation)

    def _sweep_later(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """End connections and calls whose time is over."""
        self._sweeper = None
        now = int(self._loop.time() * SECOND)
        self.connections.sweep(now)
        for invocation in [one for one in self._tasks if (one.deadline_at or NEVER) <= now]:
            self._counts["calls_over_time"] += 1
            invocation.deadline_at = NEVER  # what does not let itself be cancelled is not asked twice
            self._stop(invocation)
        self._standby.tire()
        if self._tasks or len(self.connections) or not self._standby.is_idle:
            self._sweep_later()


def _may_cancel(ctx: Invocation, call: Invocation) -> bool:
    """Only who made a call may: on its connection, or, over UDP, from its address.

    There the address may be forged, and then the xid must be guessed as well; but not to reach a connection's call.
    """
    return ctx.reply_to is call.reply_to or ctx.carrier is call.carrier is UDP


async def serve(
    programs: Iterable[Server],
    *,
    host: "AsyncHost | VirtualHost | None" = None,
    address: str | None = None,
    udp: int | None = 0,
    tcp: int | None = 0,
    unix: str | None = None,
    register: bool = False,
    auth: Auth = None,
    duplicates: DuplicateCache | bool = True,
    max_record: int = MAX_RECORD,
    limits: ServerLimits | None = None,
    xdr: Limits = LIMITS,
) -> RpcServer:
    """Serve programs on a UDP port, a TCP port and a Unix socket; port 0 is a free one, None is none at all.

    It listens on `address`, by default on those that `host` has now (without `host`: the one that is active), and
    without any host on 127.0.0.1.  With `register` the rpcbind there is told of TCP and UDP ports.  `auth` says who
    may call: a Policy (see `allow`), or one for each version; None: everybody.

    `duplicates`: the duplicate request cache, by which calls are executed at most once; True: one in memory, False:
    none.  `max_record`: octets of a message on a stream.  `limits` are those of connections and calls, `xdr` those of
    arguments.  Raises ConfigError, OSError, RpcError when it cannot be registered.
    """
    # (a cache that is empty is false)
    check_ports(udp, tcp)
    check_max_record(max_record)
    cache = Duplicates() if duplicates is True else None if duplicates is False else duplicates
    server = RpcServer(programs, auth=auth, duplicates=cache, limits=limits, xdr=xdr)
    if address is not None and not isinstance(address, str):
        raise ConfigError(f"address is {address!r}: use text, like '0.0.0.0'")
    addresses = [address] if address is not None else own_addresses(host)
    try:
        await _take_ports(server, maker_of(host), addresses, udp, tcp, max_record)
        if unix is not None:
            await server.listening.listen_unix(server, unix, max_record)
        if register:
            from stack.rpc.rpcbind.registrations import register as keep  # noqa: PLC0415  (which makes calls)

            server.registration = await keep(server.versions, server.listening, host, sink=server)
    except BaseException:
        await server.aclose()
        raise
    return server


async def _take_ports(
    server: RpcServer, maker: Maker, addresses: list[str], udp: int | None, tcp: int | None, max_record: int
) -> None:
    """At each address a UDP endpoint of its own, so that replies come from where was asked."""
    for tries_left in reversed(range(PORT_TRIES)):
        listening = Listening()
        udp_port, tcp_port = udp, tcp
        try:
            for address in addresses:
                if udp_port is not None:
                    udp_port = await listening.listen_udp(server, maker, address, udp_port)
                if tcp_port is not None:
                    tcp_port = await listening.listen_tcp(server, maker, address, tcp_port, max_record)
        except gaierror as error:
            listening.close()
            raise AddressNotAvailable(f"cannot listen at {address}: {error.strerror}; {LISTEN}") from None
        except OSError as error:
            listening.close()
            if type(error) is OSError and error.errno == errno.EADDRNOTAVAIL:  # the kernel does not say which
                raise AddressNotAvailable(f"cannot listen at {address}: it is not this host's; {LISTEN}") from None
            if not tries_left or len(addresses) == 1:  # a free port may be taken at another address
                raise
        else:
            server.listening = listening
            return
