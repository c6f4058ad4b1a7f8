"""The processes of `tapstack run --queues`: started together, started again when one is killed, ended together."""

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

import click

ENDING_S: Final = 10.0  # for what a process does when it is told to end
_RESTART_S: Final = 1.0  # no process is started more often
_LOOK_S: Final = 0.05
_INTERRUPTED: Final = 128  # and the signal's number: as shells have it


class Worker:
    """One process: what it runs, with `descriptors` that it inherits.  Started by `start`."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], descriptors: tuple[int, ...]) -> None:
        self._command = command
        self._environment = environment
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = -_RESTART_S

    def start(self, now: float) -> bool:
        """Unless it was started just before `now` (seconds); whether it was."""
        if now < self._started_at + _RESTART_S:
            return False
        self._started_at = now
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            pass_fds=self._descriptors,
            process_group=0,  # Ctrl-C is for us: they are told once, by us
        )
        return True

    @property
    def pid(self) -> int:
        """Of the process that runs or ran last."""
        return self._process.pid if self._process is not None else 0

    def status(self) -> int | None:
        """How it ended, less than 0 for a signal; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def end(self, deadline: float) -> None:
        """Tell it to, and see that it has by `deadline`."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tell(self, number: int) -> None:
        """Send it a signal, while it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def supervise(workers: Sequence[Worker], name: str) -> int:
    """Run them; returns the status for us to end with.

    One that is killed by a signal is started again in its place; one that ends by itself ends all, with its status.
    SIGINT, SIGTERM and SIGHUP end all.
    """
    told = threading.Event()
    received: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        received.append(number)
        told.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    waiting = set(range(len(workers)))
    try:
        while not told.is_set():
            now = time.monotonic()
            waiting -= {index for index in sorted(waiting) if workers[index].start(now)}
            for index, worker in enumerate(workers):
                status = None if index in waiting else worker.status()
                if status is None:
                    continue
                if status >= 0:
                    return status
                how = signal.Signals(-status).name
                click.echo(f"tapstack run: process {index} of {name} was ended by {how}: starting it again", err=True)
                waiting.add(index)
            told.wait(_LOOK_S)
        return _INTERRUPTED + received[0]
    finally:
        for worker in workers:
            worker.tell(received[0] if received else signal.SIGTERM)
        deadline = time.monotonic() + ENDING_S
        for worker in workers:
            worker.end(deadline)
        for number, handler in before.items():
            signal.signal(number, handler)
