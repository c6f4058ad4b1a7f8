"""The loops of programs under `tapstack run`: each has a host of its own from its first run to its end.

Theory of operation.  A loop attaches to the daemon when it first runs, not when it is made: programs make loops that
they never run.  Its host ends with it, after what was written had some time to arrive; so a process that runs one
loop after the other attaches again, and asks for the address that it had.  Servers without an address are on ours
(`wildcard="stack"`); 127/8 stays the kernel's, as do addresses of other networks unless `capture` is "all".

What to attach to is in the variable TAPSTACK_RUN, as JSON (`RunOptions`); `tapstack run` sets it.
"""

import asyncio
import atexit
import dataclasses
import json
import os
import sys
import warnings
from collections import deque
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from stack import app
from stack.aio.loop import Capture, SelectorLoop, StackLoop, UvLoop
from stack.aio.network import AsyncHost
from stack.daemon.lookups import make_resolver
from stack.device.attached import AttachedDevice
from stack.device.queues import Share
from stack.dns.resolver import Resolver
from stack.errors import ConfigError, StackError

VARIABLE: Final = "TAPSTACK_RUN"
DRAIN_S: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class RunOptions:
    """What `tapstack run` was told.  `tap`: no daemon, a TAP of the process's own (settings of `stack.aio:factory`)."""

    dev: str = "tapstack0"
    socket: str = ""  # "": where the daemon on `dev` listens
    address: str = ""
    name: str = ""
    capture: Capture = "own"
    tap: bool = False
    quiet: bool = False
    share: str = ""  # with `tap`: a queue of the TAP that this process shares with others, see stack.device.queues

    def to_json(self) -> str:
        """For the variable."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "RunOptions":
        """Of the variable.  Raises ConfigError."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            raise ConfigError(f"{VARIABLE} was not set by this version of 'tapstack run'") from None


# addresses of this process's loops that have ended: the next loop asks for one of them
_previous: deque[str] = deque(maxlen=16)
os.register_at_fork(after_in_child=_previous.clear)
_told: deque[tuple[int, str]] = deque(maxlen=16)


_loops: "WeakSet[_RunLoop]" = WeakSet()


class _RunLoop(StackLoop):
    """The mixin."""

    def __init__(self) -> None:
        self._options = RunOptions.from_json(os.environ.get(VARIABLE, "{}"))
        self._host: AsyncHost | None = None
        self._address = ""
        self._tried = False
        super().__init__(wildcard="stack")
        _loops.add(self)

    # -- the host

    def run_forever(self) -> None:
        """As the base loop's; attaches before, if that has not been done."""
        self._attach()
        super().run_forever()

    def run_until_complete(self, future: Any) -> Any:
        """The same."""
        self._attach()
        return super().run_until_complete(future)

    def _attach(self) -> None:
        """Ends the program with one sentence when it cannot be."""
        if self._tried or self.is_closed() or self.is_running() or asyncio._get_running_loop() is not None:  # noqa: SLF001
            return
        self._tried = True
        try:
            self._begin()
        except (StackError, ImportError) as exc:
            # the program's coroutine is of no interest now
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            raise SystemExit(f"tapstack run: {getattr(exc, 'strerror', None) or exc}") from None

    def _begin(self) -> None:
        options = self._options
        if options.tap:
            settings = app.tap_settings()
            if options.share:
                share = Share.from_json(options.share)
                self._host = app.shared_host(share, settings, self, options.capture)
            else:
                self._host = app.tap_host(self, settings, options.capture)
            self._address, setting = str(settings.interface.ip), settings.resolver
        else:
            device = self._open(options)
            try:
                host = app.attached_host(device, loop=self, capture=options.capture)
            except BaseException:
                device.close()
                raise
            self._host, self._address, setting = host, device.lease.address, device.lease.resolver
        if setting not in {None, "system"}:  # else the C library, as without us
            self.resolver = make_resolver(setting)
        if not options.quiet and sys.stderr is not None and (os.getpid(), self._address) not in _told:
            _told.append((os.getpid(), self._address))
            sys.stderr.write(f"tapstack: {self._name()} (pid {os.getpid()}) is {self._address}\n")

    def _open(self, options: RunOptions) -> AttachedDevice:
        path = Path(options.socket) if options.socket else None
        if not options.address and _previous:
            try:
                return app.open_attached(path, dev=options.dev, address=_previous.pop(), name=self._name())
            except (StackError, IndexError):  # somebody else has it by now, or another thread's loop asked before
                pass
        return app.open_attached(path, dev=options.dev, address=options.address, name=self._name())

    def _name(self) -> str:
        program = sys.argv[0] if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else sys.executable
        name = Path(program).name
        if name == "__main__.py":  # python -m package
            name = Path(program).parent.name
        return self._options.name or name

    def leave(self) -> None:
        """Let what was written arrive, then leave the daemon; nothing while the loop runs."""
        if self._host is None or self.is_running() or self.is_closed():
            return
        host, self._host = self._host, None
        if _is_of_this_process(host):
            self.run_until_complete(host.aclose(DRAIN_S))
            if isinstance(self.resolver, Resolver):
                self.run_until_complete(self.resolver.aclose())
            _previous.append(self._address)

    def close(self) -> None:
        """`leave`, then close the loop."""
        self.leave()
        super().close()


def _is_of_this_process(host: AsyncHost) -> bool:
    """Not left with the parent by a fork."""
    try:
        host.driver.check_process()
    except RuntimeError:
        return False
    return True


class UvRunLoop(_RunLoop, UvLoop):  # type: ignore[misc]  # as UvLoop itself
    """Over uvloop."""


class SelectorRunLoop(_RunLoop, SelectorLoop):
    """Over asyncio's own loop."""


@atexit.register
def _leave_all() -> None:
    """Programs end without closing their loops; what they wrote to a kernel's socket would still arrive."""
    for loop in list(_loops):
        loop.leave()
