"""A resolver at work on one loop: between the core, which decides, the transport, which has the sockets, and who asks.

Theory of operation.  Whatever comes in - a question, a datagram, the time - is told to the core, and then `_run` does
what the core wants until it wants no more.  There is one timer, for the core's earliest deadline; most deadlines are
taken back, so a timer that is early enough is left as it is and looks again when it rings.

A question is answered at once when the core has the answer at hand, else there is a future for it; who is cancelled
takes the question back.  An engine that was retired answers what it has in hand and closes.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from stack.aio import uv
from stack.config import SECOND, Rng
from stack.dns.core.actions import Close, Finished, KeepOpen, Release, SendTcp, SendUdp
from stack.dns.core.answer import Answer, Failure, Step
from stack.dns.core.config import ResolverConfig, Server
from stack.dns.core.core import ResolverCore
from stack.dns.errors import DnsError
from stack.dns.names import Name
from stack.dns.transport import Transport

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

_MIN_WAIT_S: Final = 0.001  # uvloop's timers count whole milliseconds, and may be early

Result = Answer | DnsError


class Engine:
    """See the head of this file.  `host` None: as whom it speaks is the loop's business."""

    # fmt: off
    __slots__ = (
        "_busy", "_futures", "_is_closed", "_is_retired", "_results", "_timer", "_timer_at", "clock", "core", "loop",
        "transport",
    )
    # fmt: on

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: ResolverConfig, rng: Rng, host: "AsyncHost | None"
    ) -> None:
        self.loop = loop
        self.clock = _clock_of(loop)
        self.core = ResolverCore(config, rng, self.clock())
        self.transport = Transport(loop, rng, self, host=host)
        self._busy = False
        self._is_retired = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._results: dict[int, Result] = {}

    # -- questions

    def ask(
        self, name: Name, rrtype: int, timeout_us: int, *, search: bool, trace: list[Step] | None = None
    ) -> Result | Coroutine[Any, Any, Answer]:
        """What is at hand, or what to await.  Raises BadType for a type that cannot be asked for."""
        handle = self.core.start(name, rrtype, self.clock(), timeout_us=timeout_us, trace=trace, search=search)
        self._run()
        result = self._results.pop(handle, None)
        if result is not None:
            return result
        future = self._futures[handle] = self.loop.create_future()
        return self._wait(handle, future)

    async def _wait(self, handle: int, future: "asyncio.Future[Answer]") -> Answer:
        try:
            return await future
        except asyncio.CancelledError:
            if self._futures.pop(handle, None) is not None:
                self.core.cancel(handle, self.clock())
                self._run()
            raise

    def cached(self, name: Name, rrtype: int) -> Answer | None:
        """An answer that is there for the taking; None only means: `ask`."""
        answer = self.core.cached(name, rrtype, self.clock())
        if answer is not None:
            self._run()  # it may want to fetch anew what will soon expire
        return answer

    # -- between core and transport

    def _run(self) -> None:
        """Do what the core wants, until it wants no more."""
        if self._busy:  # called from within: the one who is at it goes on
            return
        self._busy = True
        core, transport = self.core, self.transport
        try:
            while actions := core.poll():
                for action in actions:
                    if isinstance(action, SendUdp):
                        transport.send_udp(action.exchange, action.server, action.wire)
                    elif isinstance(action, Release):
                        transport.release(action.exchange)
                    elif isinstance(action, Finished):
                        self._finish(action.handle, action.result)
                    elif isinstance(action, SendTcp):
                        transport.send_tcp(action.stream, action.server, action.wire)
                    elif isinstance(action, Close):
                        transport.close_stream(action.stream)
                    elif isinstance(action, KeepOpen):
                        transport.keep_open(action.stream, action.idle_us)
        finally:
            self._busy = False
        while core.faults:
            self.loop.call_exception_handler(
                {"message": "an error within a resolver; who asked was told", "exception": core.faults.popleft()}
            )
        deadline = core.deadline
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline)
        if self._is_retired and not self._futures:
            self.close()

    def _finish(self, handle: int, result: Result) -> None:
        future = self._futures.pop(handle, None)
        if future is None:
            self._results[handle] = result  # for who is just asking
        elif not future.done():
            if isinstance(result, DnsError):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _set_timer(self, deadline: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        wait_s = max((deadline - self.clock()) / SECOND, _MIN_WAIT_S)
        self._timer = self.loop.call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.core.on_timer(self.clock())
        self._run()

    # -- the transport's calls

    def on_datagram(self, exchange: int, source: Server, wire: bytes) -> None:
        """A datagram came to the port of an exchange."""
        self.core.on_datagram(exchange, source, wire, self.clock())
        self._run()

    def on_stream_message(self, stream: int, wire: bytes) -> None:
        """A message came on a stream."""
        self.core.on_stream_message(stream, wire, self.clock())
        self._run()

    def on_failed(self, number: int, failure: Failure) -> None:
        """An exchange or a stream has come to nothing."""
        self.core.on_failed(number, failure, self.clock())
        self._run()

    # -- the end

    def retire(self) -> None:
        """Close when what is in hand is answered."""
        self._is_retired = True
        if not self._futures:
            self.close()

    def close(self) -> None:
        """Close all sockets; who waits is told.  Safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            self.core.close(self.clock())
            self._run()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self.transport.close()


def _clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], int]:
    """The loop's time in microseconds, which is virtual in a simulation; uvloop's has whole milliseconds."""
    if uv.counts_milliseconds(loop):
        return lambda: time.monotonic_ns() // 1000
    return lambda: round(loop.time() * SECOND)
