"""A client of one server: calls in flight, over whatever channel leads there.

Theory of operation.  `Calls` decides what is sent, sent again, and given up; here is its timer, and a future for each
call.  The channel is opened by `stack.rpc.client`: when it is lost, one like it is opened, from the same local port,
and then the calls that wait are sent again, or given up, as their semantics say.

*The run of the server.*  At-most-once holds as long as the server's duplicate request cache does, so not beyond a new
start of the server.  Servers of ours say which run of theirs answers (`session`).  It is asked for when a channel is
new, before a call that was sent already is sent on it; over UDP, copies of calls name the run that they are for.  While
it is not known there (all that was asked is lost), what must not be executed twice has no copies, and is asked on.
Another run than before: those calls fail with ServerRebooted, and may have been executed.  Of a server that does not
say nothing is known; libtirpc's have no cache.  So what was sent to it on a connection that is lost fails with
ConnectionLost; over UDP, where it cannot be known that a reply is lost, it is believed to have one.

*Back-pressure.*  At most `max_in_flight` calls are in flight; further ones wait, as they do while the channel is full.
A call that is cancelled or given up before it was sent has not run.  If it was sent, a server of ours is told that
nobody waits.

*Deadlines.*  A call ends at its timeout, whatever it is waiting for.  TCP learns of it as its user timeout: a
connection on which nothing is acknowledged for as long as the longest of its calls may take is given up.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final

from stack.config import NEVER, SECOND, Rng
from stack.errors import ConfigError
from stack.rpc import session
from stack.rpc.batch import Batch
from stack.rpc.calls import Calls, Pending, Semantics
from stack.rpc.channel import Channel
from stack.rpc.constants import MAX_DATAGRAM, NULL_PROCEDURE, Status
from stack.rpc.dispatch import LOCAL, TCP, UDP
from stack.rpc.errors import (
    BadReply,
    ClientClosed,
    ConnectionLost,
    MessageError,
    Rejected,
    RpcError,
    RpcTimeout,
    Unreachable,
)
from stack.rpc.message import call_head, parse_reply
from stack.rpc.program import CallOptions, Procedure, Version
from stack.rpc.record import RecordFault
from stack.rpc.settings import ClientSettings, options_of, semantics_of
from stack.rpc.xdr import XdrError

Opener = Callable[["RpcClient"], Awaitable[tuple[Channel, bool]]]
HELLO_S: Final = 3.0  # for the server to say which run of it this is
ROUNDS: Final = 3  # of that, over datagrams: each begins with the shortest wait again
_SPARE: Final = 8  # calls of ours that are not counted
CONNECT_S: Final = 10.0  # for one attempt
FIRST_PAUSE_S: Final = 0.05  # between attempts; then twice as long, up to
MAX_PAUSE_S: Final = 0.5
MAX_DOUBLED: Final = 10
ALONE_US: Final = 2 * SECOND  # what is refused so long after all messages but one is that one


class RpcClient:
    """See the head of this file; `connect` and `local` make one.  The stubs of `version` are made over it.

    `open_channel` opens a channel for this sink, and says whether its local address is that of the one before.
    """

    # fmt: off
    __slots__ = (
        "_again_xid", "_asking", "_calls", "_channel", "_closed", "_context", "_futile", "_guarded", "_heads",
        "_instance", "_loop", "_max_in_flight", "_open_channel", "_opening", "_peer", "_posted_at", "_previous_at",
        "_queue", "_rng", "_semantics", "_settings", "_sure_at", "_timeout", "_timer", "_timer_at", "_unsure",
        "_version", "_xdr",
    )
    # fmt: on

    def __init__(
        self, version: type[Version], settings: ClientSettings, peer: str, open_channel: Opener, *, datagrams: bool
    ) -> None:
        settings.validate(version)
        self._version = version
        self._settings = settings
        self._timeout = settings.timeout
        self._max_in_flight = settings.max_in_flight
        self._xdr = settings.xdr
        self._peer = peer
        self._open_channel = open_channel
        self._loop = running_loop()
        self._context = copy_context()  # whose active host is ours, whoever loses the connection
        self._rng: Rng = getattr(self._loop, "new_rng", _new_rng)()  # a simulation's loop has its own
        self._calls = Calls(self._rng, peer, datagrams=datagrams, max_in_flight=settings.max_in_flight + _SPARE)
        self._channel: Channel | None = None
        self._heads: dict[int, bytes] = {}  # by procedure
        self._semantics = dict.fromkeys(version.procedures, semantics_of(settings.semantics))
        for number, procedure in version.procedures.items():
            if procedure.name in settings.idempotent or number == NULL_PROCEDURE:
                self._semantics[number] = Semantics.AT_LEAST_ONCE
        self._instance: int | None = None  # the run of the server; None: it does not say
        self._unsure = False  # nothing was heard of that yet
        self._sure_at = -NEVER
        self._asking: asyncio.Task[None] | None = None
        self._again_xid = 0
        self._futile = 0  # connections opened again since the last reply
        self._guarded = False  # calls were sent again under that xid
        self._queue: deque[asyncio.Future[None]] = deque()  # calls that wait for room
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._posted_at = self._previous_at = -NEVER  # the last datagram, and that before
        self._closed = False

    # -- calls

    async def __call__(self, procedure: Procedure, args: tuple[Any, ...], options: CallOptions) -> Any:
        """What the stubs do.  Raises RpcError, XdrError for arguments that are none."""
        data = procedure.encode_args(args, self._xdr) if args or procedure.args else b""
        timeout, semantics = self._timeout, None
        if options:
            timeout, semantics = options_of(procedure.name, options, timeout)
        calls, loop = self._calls, self._loop
        if self._closed:
            raise ClientClosed(self._what(procedure))
        if asyncio.get_running_loop() is not loop:
            raise ConfigError("this client belongs to another event loop: make its calls there, or connect here")
        if self._queue or len(calls) >= self._max_in_flight or (self._channel is not None and self._channel.is_full):
            timeout = await self._wait_for_room(procedure, timeout)
        now = int(loop.time() * SECOND)
        call = calls.start(
            self._heads.get(procedure.number) or self._head(procedure.number),
            data,
            now,
            timeout_us=NEVER if timeout is None else int(timeout * SECOND),
            waiter=loop.create_future(),
            name=procedure.name,
            semantics=semantics or self._semantics[procedure.number],
        )
        try:
            self._send(call, now, timeout)
            if self._queue:
                self._wake_next()
            message = await call.waiter
        except asyncio.CancelledError:
            calls.cancel(call)
            self._tell(call)
            raise
        except BaseException:  # its error, or it could not be sent: then it takes no room any more
            calls.cancel(call)
            raise
        finally:
            if self._queue:
                self._wake_next()
        try:
            return procedure.decode_result(message, call.results_at, self._xdr)
        except XdrError as error:
            calls.stats.bad_results += 1
            raise BadReply(self._what(procedure), because=str(error)) from error

    def _what(self, procedure: Procedure) -> str:
        return f"{procedure.name} at {self._peer}"

    def _head(self, number: int) -> bytes:
        auth = self._settings.auth
        head = call_head(self._version.program, self._version.version, number, auth.wire, auth.verifier)
        self._heads[number] = head
        return head

    def _send(self, call: Pending, now: int, timeout: float | None) -> None:
        channel = self._channel
        if channel is not None and call.sent:
            if channel.carrier is TCP:
                self._set_timeout(channel, timeout)
            else:
                self._note_post(now)
            channel.post(call.message)
            if self._unsure:
                self._ask_on()
        else:
            self._reopen()
        if self._calls.deadline < self._timer_at:
            self._arm(self._calls.deadline)

    def _note_post(self, now: int) -> None:
        """Of datagrams, whichever: a later refusal may be of any that was sent shortly before."""
        self._previous_at, self._posted_at = self._posted_at, now

    def _set_timeout(self, channel: Channel, timeout: float | None) -> None:
        """TCP's user timeout is that of the longest call in flight, as far as those are known to end."""
        longer = channel.timeout and (timeout is None or timeout > channel.timeout)
        if longer or len(self._calls) == 1:
            channel.set_timeout(timeout or 0.0)

    def _tell(self, call: Pending) -> None:
        """Nobody waits for this call: let the server stop it."""
        channel = self._channel
        if call.sent and self._instance is not None and channel is not None and channel.is_open:
            self._note_post(int(self._loop.time() * SECOND))
            channel.post(session.build_cancel(self._rng.getrandbits(32), call.xid))

    # -- room

    def _is_full(self) -> bool:
        full = self._channel is not None and self._channel.is_full
        return full or len(self._calls) >= self._max_in_flight

    async def _wait_for_room(self, procedure: Procedure, timeout: float | None) -> float | None:  # noqa: ASYNC109
        """Wait until a call may be in flight; what is left of its time.  Raises RpcTimeout."""
        until = None if timeout is None else self._loop.time() + timeout
        is_new = True
        try:
            async with asyncio.timeout_at(until):
                while (is_new and self._queue) or self._is_full():
                    await self._wait_in_queue(is_new=is_new)
                    is_new = False
        except TimeoutError:
            raise RpcTimeout(self._what(procedure), maybe_executed=False, because="too many in flight") from None
        if self._closed:
            raise ClientClosed(self._what(procedure))
        if until is None:
            return None
        left = until - self._loop.time()
        if left <= 0:
            raise RpcTimeout(self._what(procedure), maybe_executed=False, because="too many in flight")
        return left

    async def _wait_in_queue(self, *, is_new: bool) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        if is_new:
            self._queue.append(future)
        else:  # it was its turn, and somebody was quicker
            self._queue.appendleft(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._wake_next()
            raise
        finally:
            with suppress(ValueError):  # whoever woke it took it out
                self._queue.remove(future)

    def _wake_next(self) -> None:
        """Whoever has waited for the longest may look whether there is room."""
        if not self._closed and self._is_full():
            return
        while self._queue:
            future = self._queue.popleft()
            if not future.done():
                future.set_result(None)
                return

    # -- time

    def _arm(self, at: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at / SECOND, self._on_timer)

    def _on_timer(self) -> None:
        now = max(int(self._loop.time() * SECOND), self._timer_at)  # whatever is lost in a float
        self._timer, self._timer_at = None, NEVER
        again, over = self._calls.on_timer(now)
        for call in over:
            self._tell(call)
        self._give_up(over)
        if again:
            self._send_again(again)
        if self._calls.deadline < NEVER:
            self._arm(self._calls.deadline)

    @staticmethod
    def _give_up(calls: list[Pending]) -> None:
        for call in calls:
            if not call.waiter.done():
                call.waiter.set_exception(call.error)

    def _send_again(self, again: list[Pending]) -> None:
        """Over datagrams.  What must not be executed twice goes to the same run of the server only."""
        channel, instance = self._channel, self._instance
        if channel is None:
            return
        if self._unsure:
            self._ask_on()
        for call in again:
            if call.semantics is Semantics.AT_MOST_ONCE and (self._unsure or call.started_at < self._sure_at):
                continue  # it is not known to which run its first one went
            message = call.message
            if instance is not None and call.semantics is Semantics.AT_MOST_ONCE:
                if len(message) > MAX_DATAGRAM - session.AGAIN_ROOM:
                    continue  # its copy would be too large: its first one has to do
                message = session.build_again(self._again_xid, instance, message)
                self._guarded = True
            self._note_post(call.sent_at)
            channel.post(message)

    # -- the run of the server

    async def _ask_instance(self, semantics: Semantics, within_s: float = HELLO_S) -> None:
        """Learn which run of the server answers.  If it is another one, calls sent to the last are given up.

        Raises RpcTimeout, ConnectionLost; nothing for a server that does not say.
        """
        calls, channel = self._calls, self._channel
        assert channel is not None
        now = int(self._loop.time() * SECOND)
        call = calls.start(
            session.HELLO_HEAD,
            b"",
            now,
            timeout_us=int(within_s * SECOND),
            waiter=self._loop.create_future(),
            name=session.HELLO.name,
            semantics=semantics,
        )
        self._again_xid = call.xid  # no other call will have it
        call.sent = 1  # though perhaps nothing else may be sent yet
        self._note_post(now)
        channel.post(call.message)
        if calls.deadline < self._timer_at:
            self._arm(calls.deadline)
        instance: int | None
        try:
            message = await call.waiter
            instance = session.HELLO.decode_result(message, call.results_at)
        except (Rejected, XdrError):
            instance = None
        except asyncio.CancelledError:
            calls.cancel(call)
            raise
        finally:
            self._wake_next()  # it took the room of a call
        self._on_instance(instance)

    def _on_instance(self, instance: int | None) -> None:
        """This run of the server answers; None: it does not say which."""
        if self._instance not in {None, instance}:
            self._calls.stats.reboots += 1
            self._give_up(self._calls.on_rebooted())
        elif self._unsure and instance is not None:
            self._sure_at = int(self._loop.time() * SECOND)
        self._unsure = False
        self._instance = instance

    async def _ask_within(self, channel: Channel, until: float | None) -> None:
        """Entering takes no longer than a call; of a server that was too slow nothing is known, as of one without."""
        within_s = HELLO_S if until is None else min(HELLO_S, until - self._loop.time())
        with suppress(RpcError):  # calls will tell
            if channel.carrier is UDP:
                await self._ask_at_first(within_s)
            else:
                await self._ask_instance(Semantics.MAYBE, within_s)

    async def _ask_at_first(self, within_s: float) -> None:
        """Over datagrams, any of which may be lost."""
        self._unsure = True
        for _ in range(ROUNDS):
            with suppress(RpcTimeout):
                await self._ask_instance(Semantics.AT_LEAST_ONCE, within_s / ROUNDS)
                return

    def _ask_on(self) -> None:
        if self._asking is None and not self._closed:
            self._asking = self._loop.create_task(self._ask_later(), context=self._context.copy())

    async def _ask_later(self) -> None:
        try:
            with suppress(RpcError):
                await self._ask_instance(Semantics.AT_LEAST_ONCE)
        finally:
            self._asking = None

    def _on_other_run(self, message: bytes) -> None:
        """A copy of a call came to a run of the server that is not the one it was sent to."""
        with suppress(MessageError, XdrError):
            reply = parse_reply(message)
            if reply.status == Status.SUCCESS:
                self._on_instance(session.AGAIN.decode_result(message, reply.results_offset))
            else:
                self._on_instance(None)

    # -- the channel

    async def open(self) -> None:
        """The first channel.  Raises Unreachable, and what asking rpcbind raises."""
        what = f"{self._version.name} at {self._peer}"
        self._context = copy_context()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                self._channel, _ = await self._open_channel(self)
        except RpcError:  # rpcbind does not know it, or cannot be asked
            raise
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
            raise Unreachable(what, because=_reason(error)) from error
        self._calls.on_connected(same_address=True)
        if self._settings.session and self._channel.carrier is not LOCAL:
            await self._ask_within(self._channel, limit.when())

    def use(self, channel: Channel) -> None:
        """Take a channel that is open, within the process."""
        self._channel = channel
        self._calls.on_connected(same_address=True)

    def _reopen(self) -> None:
        if self._opening is None and not self._closed:
            self._opening = self._loop.create_task(self._open_again(), context=self._context.copy())

    async def _open_again(self) -> None:
        """Whatever happens here, no call waits for it in vain."""
        try:
            await self._open_until()
        except asyncio.CancelledError:
            self._give_up(self._calls.on_unreachable("connecting was cancelled"))
            raise
        except Exception as error:  # noqa: BLE001  (of whichever host, loop or resolver)
            self._give_up(self._calls.on_unreachable(_reason(error)))
        finally:
            self._opening = None

    async def _open_until(self) -> None:
        """Until there is a channel, or nobody waits for one, or it has taken too long."""
        give_up_at = self._loop.time() + self._settings.reconnect_s
        pause_s = FIRST_PAUSE_S
        if self._futile:  # the last connection brought no reply
            await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** min(self._futile, MAX_DOUBLED), MAX_PAUSE_S))
        self._futile += 1
        while len(self._calls):
            try:
                await self._open_once()
            except TimeoutError:  # the network loses much: the calls have deadlines of their own
                give_up_at = self._loop.time() + self._settings.reconnect_s
            except OSError as error:
                if self._loop.time() + pause_s > give_up_at:
                    self._give_up(self._calls.on_unreachable(_reason(error)))
                    return
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            else:
                return

    async def _open_once(self) -> None:
        """A new channel, and on it what waits.  Raises OSError."""
        calls = self._calls
        async with asyncio.timeout(CONNECT_S):
            channel, same_address = await self._open_channel(self)
        self._channel = channel
        if self._instance is not None:
            try:
                await self._ask_instance(Semantics.MAYBE, CONNECT_S)
            except BaseException:
                self._channel = None
                channel.abort()
                raise
        if not channel.is_open:  # lost already
            self._channel = None
            raise ConnectionLost(f"{self._version.name} at {self._peer}")
        # a server that says which run of it answers has a cache, and it is the same one; libtirpc's have none
        has_cache = self._instance is not None or channel.carrier is LOCAL
        send, given_up = calls.on_connected(same_address=same_address, has_cache=has_cache)
        self._give_up(given_up)
        channel.cork()
        for call in send:
            channel.post(call.message)
        channel.uncork()
        self._wake_next()

    # -- what comes

    def on_open(self, _: Channel) -> bool:
        """Ours."""
        return not self._closed

    def on_message(self, message: bytes, _: Channel) -> None:
        """A reply."""
        self._futile = 0
        if self._guarded:
            xid = int.from_bytes(message[:4], "big")
            if xid == self._again_xid and xid not in self._calls:
                self._on_other_run(message)
                return
        call = self._calls.on_message(message, int(self._loop.time() * SECOND))
        if call is not None and not call.waiter.done():
            if call.error is None:
                call.waiter.set_result(message)
            else:
                call.waiter.set_exception(call.error)

    def on_partial(self, _: Channel) -> None:
        """A large reply is on its way."""

    def on_room(self, _: Channel) -> None:
        """Calls that wait may go."""
        self._wake_next()

    def on_fault(self, _: Channel, fault: RecordFault) -> None:
        """The server does not speak RPC, or its reply is too large: it would be so again."""
        self._calls.stats.faults[fault] += 1
        why = f"{fault.name.lower().replace('_', ' ')}: what came is no record, or more than max_record"

        def lost(call: Pending) -> RpcError:
            return ConnectionLost(f"{call.name} at {self._peer}", maybe_executed=call.sent > 0, because=why)

        self._give_up(self._calls.fail(lost))

    def on_error(self, _: Channel, error: Exception) -> None:
        """ICMP.  It says that a datagram was refused, but not which: only when there was one, that is known."""
        if isinstance(error, ConnectionRefusedError) and len(self._calls) == 1:
            alone = self._posted_at - self._previous_at > ALONE_US
            self._give_up(
                self._calls.fail(
                    lambda call: Unreachable(
                        f"{call.name} at {self._peer}",
                        maybe_executed=not (alone and call.sent == 1),
                        because=_reason(error),
                    )
                )
            )

    def on_closed(self, channel: Channel, _: Exception | None) -> None:
        """The channel was lost."""
        if channel is not self._channel or self._closed:
            return
        self._channel = None
        if channel.carrier in {UDP, LOCAL}:  # whoever ended it is gone for good
            self._give_up(self._calls.on_unreachable("this host, or the server in this process, was closed"))
            return
        self._give_up(self._calls.on_lost())
        if len(self._calls):
            self._reopen()
        self._wake_next()  # the channel is not full any more: it is gone

    # -- the end

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name, and the calls in flight."""
        return {"in_flight": len(self._calls), "waiting": len(self._queue), **self._calls.stats.by_name()}

    @property
    def channel(self) -> Channel | None:
        """The channel that calls take at present."""
        return self._channel

    def batch(self) -> "Batch":
        """Calls that leave together; see Batch."""
        return Batch(self)

    async def aclose(self) -> None:
        """Take no more calls; those in flight fail with ClientClosed.  Safe to call twice."""
        self._closed = True
        self._give_up(
            self._calls.fail(lambda call: ClientClosed(f"{call.name} at {self._peer}", maybe_executed=call.sent > 0))
        )
        while self._queue:
            self._wake_next()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        for task in (self._opening, self._asking):
            if task is not None:  # (which closes the channel that it has opened)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def _reason(error: Exception) -> str:
    silent = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return (getattr(error, "strerror", None) or str(error) or silent).lower()


def running_loop() -> asyncio.AbstractEventLoop:
    """Raises ConfigError where none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError("no event loop is running: make clients in a coroutine, like one for asyncio.run()") from None


def _new_rng() -> random.Random:
    """Begun with the system's randomness, which would be slow to ask for each call."""
    return random.Random(random.SystemRandom().getrandbits(128))
