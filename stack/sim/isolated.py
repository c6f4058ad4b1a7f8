"""An asyncio loop whose time is that of a simulated network, and which has no way to the outside.

Theory of operation.  asyncio's own loop runs callbacks until none is ready, and then waits in its selector: for
descriptors, at most until the next timer is due.  Here the selector waits for nothing.  It lets the network go on,
event by event, until one of them has made a callback ready, or else moves the clock to the timer.  So the loop's time
passes only there, and a program's computations take none of it.

What would make a run depend on anything but its seed is refused with NotSimulated: descriptors, processes, signals,
calls from other threads.  Functions for an executor run in place.  Tasks hash by their number and not by their place in
memory, so that the sets which asyncio keeps of them have the same order in every run; garbage is collected after so
many events, and not after so many allocations, because a collected writer or generator acts.

The end of everything is an error, too: no callback, no timer and no event left, while a task waits.  It names the
tasks.  So is a time beyond `end_at`, if one was set.  After an error of the network, or these, only callbacks and
timers go on, for the tasks that are cancelled then, and for some time; when these are at their end as well the same
error is raised again.
"""

import asyncio
import gc
import math
import random
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from pathlib import Path
from types import CodeType, CoroutineType, FrameType
from typing import Any, Final, NoReturn, TypeVar

from stack.aio.active import ACTIVE
from stack.config import NEVER
from stack.sim.driver import SimDriver
from stack.sim.network import Network, SimulationError

T = TypeVar("T")

MAX_ROUNDS: Final = 1_000_000  # of the loop at one instant; more means that tasks wake each other for ever
GARBAGE_EVERY: Final = 2_000  # events and rounds
_OLDER_EVERY: Final = (10, 100)  # collections of the youngest, between two of the generations before it
_US: Final = 1_000_000
_CLEANUP_US: Final = 3600 * _US  # for tasks that are cancelled because of an error
_FLOAT_US: Final = 0.05  # what sums of times as floats may be off, in microseconds
_LONGEST_WAIT_S: Final = 24 * 3600  # that asyncio asks a selector for
_INNER: Final = (f"{Path(asyncio.__file__).parent}/", f"{Path(__file__).parents[1]}/")  # asyncio's files, and ours


class NotSimulated(SimulationError, NotImplementedError):
    """What was asked for would reach outside of the simulation."""


class Deadlock(SimulationError):
    """Tasks wait, and nothing will ever happen."""


class OutOfTime(SimulationError):
    """Tasks are not at their end, and the virtual time that they were given is."""


class SimTask(asyncio.Task[T]):
    """A task that hashes by its number.  `made_in` is the program's function and line, None if a handler began it."""

    __slots__ = ("made_in", "serial")

    def __init__(
        self, serial: int, coro: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, context: Context | None
    ) -> None:
        self.serial = serial  # first: asyncio puts new tasks into a set
        self.made_in = _maker()
        super().__init__(coro, loop=loop, name=f"Task-{serial}", context=context)

    def __hash__(self) -> int:
        return self.serial


class _Selector(selectors.BaseSelector):
    """Waits by calling `wait`.  Its one descriptor is that by which asyncio's loop wakes itself, and never readable."""

    __slots__ = ("_keys", "_wait")

    def __init__(self, wait: Callable[[float | None], None]) -> None:
        self._wait = wait
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """The first descriptor, and no other."""
        if self._keys:
            raise NotSimulated(
                "a file or socket of the kernel cannot be waited for in a simulation: it has its own time"
            )
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, fileobj, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Forget it."""
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let virtual time pass; nothing is ever readable."""
        self._wait(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What is registered."""
        return self._keys

    def close(self) -> None:
        """Forget all."""
        self._keys.clear()


class IsolatedLoop(asyncio.SelectorEventLoop):
    """See the head of this file."""

    _check_closed: Callable[[], None]  # of asyncio.BaseEventLoop, which has no public names for them
    _ready: Any
    _scheduled: Any
    _stopping: bool

    def __init__(self, network: Network) -> None:
        self.network = network
        self._virtual_clock = network.clock
        self._limit = NEVER  # us; the next timer, while the network goes on
        self.end_at = NEVER  # us; no later than this is anything to happen
        self._instant = -1  # us; of the round before
        self._rounds = 0  # at this instant
        self._failure: Exception | None = None
        self._serial = 0
        self._rngs = 0
        self._thread = threading.get_ident()
        self._collected = 0
        self._until_garbage = GARBAGE_EVERY
        self.tasks: dict[
            asyncio.Task[Any], SimDriver | None
        ] = {}  # those not done, oldest first; on whose host each is
        super().__init__(_Selector(self._wait))
        self._clock_resolution = 1 / _US

    # -- time

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._virtual_clock.now / _US

    def new_rng(self) -> random.Random:
        """Randomness of the simulation's seed, another one each time: for what would take the kernel's elsewhere."""
        self._rngs += 1
        return self.network.rng(f"loop/{self._rngs}")

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; the network goes on no further than to this time."""
        timer = super().call_at(when, callback, *args, context=context)
        at = self._after(when - self.time())
        if at < self._limit:
            self._limit = at
        return timer

    def _after(self, delay: float) -> int:
        """The first microsecond at which `delay` seconds have passed."""
        if delay <= 0:
            return self._virtual_clock.now
        return NEVER if math.isinf(delay) else self._virtual_clock.now + math.ceil(delay * _US - _FLOAT_US)

    def _wait(self, timeout: float | None) -> None:
        """What the selector does in place of waiting."""
        clock = self._virtual_clock
        if timeout is None or (timeout >= _LONGEST_WAIT_S and math.isinf(self._scheduled[0].when())):
            self._limit = NEVER
        else:
            self._limit = self._after(timeout)
        if clock.now != self._instant:
            self._instant = clock.now
            self._rounds = 0
        self._rounds += 1
        if self._failure is None:
            try:
                self._go_on()
            except Exception as error:
                self._failure = error
                self.end_at = clock.now + _CLEANUP_US
                raise
        elif self._limit <= self.end_at:
            clock.jump_to(self._limit)
        elif not (self._ready or self._stopping):
            raise self._failure

    def _go_on(self) -> None:
        """Let the network go on until there is a callback to run or a timer is due."""
        network = self.network
        if self._rounds > MAX_ROUNDS:
            raise network.explain(
                SimulationError(f"no end of callbacks at {network.clock.now} us: time passes only while all tasks wait")
            )
        self._count()
        if self._ready:
            if network.next_deadline() <= network.clock.now:
                network.step()
            return
        while not (self._ready or self._stopping):
            at = network.next_deadline()
            if at > self._limit or at >= NEVER:
                if self._limit >= NEVER:
                    raise network.explain(Deadlock(self._waiting("nothing is left to do", "these wait for ever")))
                if self._limit > self.end_at:
                    self._out_of_time()
                network.clock.jump_to(self._limit)
                return
            if at > self.end_at:
                self._out_of_time()
            network.step()
            self._count()

    def _count(self) -> None:
        """Collect garbage now and then."""
        self._until_garbage -= 1
        if not self._until_garbage:
            self._until_garbage = GARBAGE_EVERY
            self._collected += 1
            gc.collect(sum(self._collected % every == 0 for every in _OLDER_EVERY))

    def _out_of_time(self) -> NoReturn:
        """The program is not at its end at `end_at`."""
        raise self.network.explain(OutOfTime(self._waiting("the virtual time is over", "these are not at their end")))

    def _waiting(self, what: str, who: str) -> str:
        waiting = [f"  {describe_task(task)}{_on(driver)}" for task, driver in self.tasks.items()]
        now = self._virtual_clock.now
        return "\n".join((f"{what} at {now} us (seed {self.network.seed}), and {who}:", *waiting))

    # -- tasks

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None, **options: Any) -> Any:
        """As asyncio's.  A task on a host that has crashed is cancelled before it begins."""
        task: asyncio.Task[Any]
        if self.get_task_factory() is None:
            self._check_closed()
            self._serial += 1
            task = SimTask(self._serial, coro, self, context)
            if name is not None:
                task.set_name(name)
        else:
            task = super().create_task(coro, name=name, context=context, **options)
        host = ACTIVE.get() if context is None else context.get(ACTIVE)
        driver = host.driver if host is not None and isinstance(host.driver, SimDriver) else None
        self.tasks[task] = driver
        task.add_done_callback(self._forget)
        if driver is not None and driver.crashed:
            task.cancel()
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        del self.tasks[task]

    def cancel_tasks_of(self, driver: SimDriver) -> None:
        """Cancel all tasks on the host of `driver`."""
        for task in [task for task, of in self.tasks.items() if of is driver]:
            task.cancel()

    # -- threads

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`.  Raises NotSimulated in another thread, whose calls come at no time that a seed decides."""
        if threading.get_ident() != self._thread:
            raise NotSimulated("another thread cannot call into a simulation: when it does is not repeatable")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ARG002  (whichever it is, none is used)
        func: Callable[..., T],
        *args: Any,
    ) -> asyncio.Future[T]:
        """Call `func` here and now, in which no virtual time passes; the result is a future that is done."""
        self._check_closed()
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001  (it is for whoever awaits the future)
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    # -- names: in figures only, nobody is asked

    async def getaddrinfo(self, host: Any, port: Any, *, flags: int = 0, **options: Any) -> Any:
        """Addresses in figures.  Raises socket.gaierror for names."""
        return socket.getaddrinfo(host or None, port, flags=flags | socket.AI_NUMERICHOST, **options)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """The address and the port in figures."""
        return socket.getnameinfo(sockaddr, flags | socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)

    # -- errors

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio's; but that the handler of a stream was cancelled is no error (before 3.12 asyncio says it is)."""
        if not isinstance(context.get("exception"), asyncio.CancelledError):
            super().call_exception_handler(context)


# -- what is refused


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise NotSimulated(
            f"{name} needs the kernel, which has no part in a simulation; use streams of simulated hosts"
        )

    return refuse


def _refused_later(name: str) -> Callable[..., Coroutine[Any, Any, NoReturn]]:
    refuse = _refused(name)

    async def refuse_later(*_args: Any, **_options: Any) -> NoReturn:
        refuse()

    return refuse_later


for _name in ("add_reader", "add_signal_handler", "add_writer"):
    setattr(IsolatedLoop, _name, _refused(_name))
for _name in (
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "subprocess_exec",
    "subprocess_shell",
):
    setattr(IsolatedLoop, _name, _refused_later(_name))


def describe_task(task: "asyncio.Task[Any]") -> str:
    """Its name, and the functions that it is in, outermost first, from the first that is not ours."""
    places: list[str] = []
    awaited: Any = task.get_coro()
    while isinstance(awaited, CoroutineType):
        frame: FrameType | None = awaited.cr_frame
        if frame is None:
            break
        code = frame.f_code
        awaited = awaited.cr_await
        if places or not code.co_filename.startswith(_INNER[1]) or not isinstance(awaited, CoroutineType):
            places.append(f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{frame.f_lineno})")
    return f"{task.get_name()} in {' > '.join(places)}"


def _maker() -> tuple[CodeType, int] | None:
    """The function, and its line, that makes a task now: the innermost that is neither asyncio's nor ours."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001  (the way to one's callers)
    while frame is not None and frame.f_code.co_name != "_run_once":  # asyncio's loop: above are its callers
        if not frame.f_code.co_filename.startswith(_INNER):
            return frame.f_code, frame.f_lineno
        frame = frame.f_back
    return None


def _on(driver: SimDriver | None) -> str:
    return "" if driver is None else f", on {driver.name}"


__all__ = ["Deadlock", "IsolatedLoop", "NotSimulated", "OutOfTime", "SimTask"]
