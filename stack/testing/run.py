"""Runs one test on simulated hosts, and says what happened when it fails.

Theory of operation.  The network is there before the test is called, so that other fixtures can put hosts into it.
Its loop is run by `run_in` of `stack.sim.world`, as for any simulation; around the test itself are only the limit of
virtual time and, when it has passed, the search for leaks.  A failure of any of these is raised as the test's own; a
section of the report, "simulated network", has the seed, the call that repeats it, the capture, and the last events.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Coroutine
from functools import wraps
from hashlib import sha256
from inspect import isasyncgen, iscoroutine
from math import isfinite
from pathlib import Path
from shlex import quote
from string import ascii_lowercase
from typing import Any, Final

import pytest

from stack.config import NEVER, HostConfig
from stack.device.fault_settings import Faults
from stack.errors import ConfigError
from stack.sim.isolated import Deadlock, OutOfTime
from stack.sim.world import HOST_CONFIG, VirtualHost, VirtualNet, run_in
from stack.testing.leaks import KINDS, Collected, Leaked, in_words, leaks

DELAY_S: Final = 0.0005  # of a test that says nothing of it
SECTION: Final = "simulated network"
_US: Final = 1_000_000
_LONGEST_NAME: Final = 100  # of the file of a capture, before its end


class Hosts:
    """The fixture `hosts`.  `net` is the VirtualNet: partitions, names, time, other links than those to the switch."""

    __slots__ = ("_captures", "_item", "_seed_given", "net")

    def __init__(self, item: pytest.Function, captures: Callable[[], Path]) -> None:
        self._item = item
        self._captures = captures
        self._seed_given = False  # by the test itself
        seed = item.config.getoption("--stack-seed")
        self.net = VirtualNet(seed_of(item.nodeid) if seed is None else seed)

    def __call__(
        self,
        count: int | None = None,
        *,
        names: Collection[str] | None = None,
        seed: int | None = None,
        loss: float = 0.0,
        delay: float = DELAY_S,
        jitter: float = 0.0,
        reorder: float = 0.0,
        duplicate: float = 0.0,
        corrupt: float = 0.0,
        rate: float = 0.0,
        mtu: int = 1500,
        invariants: bool | None = None,
        config: HostConfig = HOST_CONFIG,
    ) -> list[VirtualHost]:
        """`count` more hosts on one switch, called "a", "b" and so on, or as `names` says.

        What a host sends passes these faults once, on its way to the switch.  `delay` and `jitter` are seconds; `loss`,
        `reorder`, `duplicate` and `corrupt` are probabilities per packet; `rate` is bytes per second, 0 for no limit.
        `seed` and `invariants` (whether what hosts do is checked after every event, which they are by default) are for
        the first call.  Raises ConfigError, TypeError.
        """
        if names is None:
            if count is None:
                raise TypeError("how many? hosts(2), or hosts(names=['client', 'server'])")
            first = len(self.net.hosts)
            names = [_name(number) for number in range(first, first + count)]
        elif isinstance(names, str) or (count is not None and count != len(names)):
            raise TypeError(f"names={names!r}: a list with as many names as hosts")
        faults = Faults(
            loss=loss,
            delay_us=_us("delay", delay),
            jitter_us=_us("jitter", jitter),
            reordering=reorder,
            duplication=duplicate,
            corruption=corrupt,
            rate=round(rate),
        )
        if seed is not None:
            self._seed_given = True
        if (seed is not None and seed != self.net.network.seed) or invariants is not None:
            self.net.reset(seed=seed, invariants=invariants)
        made = self.net.add_hosts(*names, config=config)
        for host in made:
            host.link.configure(faults, Faults())
            if mtu != host.link.mtu:
                host.link.set_mtu(mtu)
        return made

    # -- for the plugin

    def run(self, item: pytest.Function) -> None:
        """Call the test, which other plugins see as a plain function meanwhile.  Raises what it raises."""
        __tracebackhide__ = True
        function: Callable[..., Coroutine[Any, Any, object]] = item.obj
        limit_us, allowed = _limit_us(item), _allowed(item)

        @wraps(function)
        def plain(**values: object) -> None:
            __tracebackhide__ = True
            _refuse_async_fixtures(values)
            self._run(lambda: function(**values), limit_us, allowed)

        del plain.__wrapped__  # by which it would be seen to be a coroutine function
        item.obj = plain
        try:
            pytest.Function.runtest(item)
        finally:
            item.obj = function

    def _run(self, call: Callable[[], Coroutine[Any, Any, object]], limit_us: int, allowed: Collection[str]) -> None:
        item, loop = self._item, self.net.loop
        collected = Collected(self.net)

        async def main(net: VirtualNet) -> None:
            __tracebackhide__ = True
            own = asyncio.current_task()
            assert own is not None
            own.set_name(item.name)
            loop.end_at = net.network.clock.now + limit_us
            await call()
            loop.end_at = NEVER
            if found := await leaks(net, collected, allowed):
                loop.end_at = net.network.clock.now + limit_us  # for what does not end when it is cancelled
                raise Leaked(in_words(found))

        try:
            with collected:
                run_in(self.net, main)
        except (Deadlock, Leaked, OutOfTime) as error:  # not raised by the test's code: the traceback says nothing
            item.add_report_section("call", SECTION, self._report(error))
            hints = ["more virtual time: --stack-timeout, @pytest.mark.stack_timeout"] * isinstance(error, OutOfTime)
            failure = "\n".join((f"{type(error).__name__}: {error}", *hints, *getattr(error, "__notes__", ())))
        except (Exception, pytest.fail.Exception) as error:
            if not isinstance(error, (pytest.skip.Exception, pytest.xfail.Exception)):
                item.add_report_section("call", SECTION, self._report(error))
            raise
        else:
            return
        pytest.fail(failure, pytrace=False)

    def _report(self, error: BaseException) -> str:
        """Seed, how to repeat it, capture, last events."""
        network = self.net.network
        notes = getattr(error, "__notes__", [])
        events = next((note for note in notes if note.startswith(f"seed {network.seed}, at ")), None)
        if events is None:
            events = network.report()
        else:
            notes.remove(events)  # it is in the section
        again = f"pytest {quote(self._item.nodeid)}"
        if not self._seed_given:
            again += f" --stack-seed={network.seed}"
        return f"again: {again}\ncapture: {self._capture()}\n{events}"

    def _capture(self) -> str:
        """Write it; where, or why not."""
        try:
            folder = self._captures()
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / file_name(self._item.nodeid)
            self.net.write_capture(path)
        except OSError as error:
            return f"not written: {error}"
        return str(path)

    def close(self) -> None:
        """The test is over, or was never called."""
        self.net.loop.close()


def seed_of(nodeid: str) -> int:
    """The seed of a test that names none: the same in every run, another one for every test."""
    return int.from_bytes(sha256(nodeid.encode()).digest()[:4], "big")


def file_name(nodeid: str) -> str:
    """That of the capture of a test: readable, and no other test's."""
    readable = re.sub(r"[^\w.-]+", "-", nodeid, flags=re.ASCII)[-_LONGEST_NAME:].strip("-")
    return f"{readable}-{seed_of(nodeid):08x}.pcapng"


def _name(number: int) -> str:
    return ascii_lowercase[number] if number < len(ascii_lowercase) else f"host{number + 1}"


def _us(what: str, seconds: float) -> int:
    if not isfinite(seconds):
        raise ConfigError(f"{what}={seconds}: use seconds")
    return round(seconds * _US)


def _limit_us(item: pytest.Function) -> int:
    marker = item.get_closest_marker("stack_timeout")
    seconds = item.config.getoption("--stack-timeout") if marker is None else marker.args[0] if marker.args else None
    if not isinstance(seconds, int | float) or not 0 < seconds < NEVER / _US:
        pytest.fail(f"stack_timeout: {seconds} is no number of virtual seconds", pytrace=False)
    return round(seconds * _US)


def _allowed(item: pytest.Function) -> Collection[str]:
    """The kinds of leaks that all its markers allow."""
    allowed: set[str] = set()
    for marker in item.iter_markers("stack_leaks"):
        if unknown := set(marker.args) - set(KINDS):
            pytest.fail(f"stack_leaks: unknown {sorted(unknown)}; there are {', '.join(KINDS)}", pytrace=False)
        allowed.update(marker.args or KINDS)
    return allowed


def _refuse_async_fixtures(values: dict[str, object]) -> None:
    """A fixture that is a coroutine has not been run by anyone, and is on no loop."""
    for name, value in values.items():
        if iscoroutine(value):
            value.close()
        elif not isasyncgen(value):
            continue
        pytest.fail(
            f"the fixture {name!r} is async, which `hosts` does not run: the network lives for the test only.  Make it "
            "an async function or context manager, and use it in the test",
            pytrace=False,
        )
