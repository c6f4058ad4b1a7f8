"""A faulty wire between two TAP devices, for comparisons.

relay.py JSON; the object: left and right ([namespace, device] each), seed, loss, delay_us (one way), rate (bytes per
second), queue_bytes, seconds.  "ready" goes to standard output when frames pass; at SIGTERM or after `seconds` one
JSON object with what each direction did and the relay's own processor time.

Both directions are the seeded fault model of the simulator and of `tapstack up`.  The n-th IP packet of a
direction meets the same fate in every run with the same seed; ARP passes untouched, so that it neither costs a
second nor shifts that sequence.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from stack.device.fault import FaultModel, Faults
from stack.device.tap import TapDevice

_CLONE_NEWNET = 0x40000000
_PR_SET_TIMERSLACK = 29
ETHERTYPE_IPV4 = b"\x08\x00"
BURST = 64  # frames read from one side before the other has its turn


@contextlib.contextmanager
def namespace(name: str) -> Iterator[None]:
    """This thread inside the network namespace called `name`."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as back, Path(f"/run/netns/{name}").open() as inside:
        if libc.setns(inside.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")
        try:
            yield
        finally:
            libc.setns(back.fileno(), _CLONE_NEWNET)


def now_us() -> int:
    """The clock of the fault models."""
    return time.monotonic_ns() // 1000


class Direction:
    """Frames from one TAP device to the other."""

    def __init__(self, source: int, sink: int, model: FaultModel) -> None:
        self.source = source
        self.sink = sink
        self.model = model
        self.refused = 0

    def read(self) -> None:
        """Take what waits at the source."""
        for _ in range(BURST):
            try:
                frame = os.read(self.source, 65_536)
            except BlockingIOError:
                return
            if frame[12:14] == ETHERTYPE_IPV4:
                self.model.offer(frame, now_us())
            else:
                self._write(frame)

    def write(self) -> None:
        """Give the sink what has arrived."""
        for frame in self.model.poll(now_us()):
            self._write(frame)

    def _write(self, frame: bytes) -> None:
        try:
            os.write(self.sink, frame)
        except OSError:
            self.refused += 1  # the device is down


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Relay until told to stop; what happened."""
    faults = Faults(
        loss=setting["loss"],
        delay_us=setting["delay_us"],
        rate=setting["rate"],
        queue_bytes=setting["queue_bytes"],
    )
    taps = []
    for place, device in (setting["left"], setting["right"]):
        with namespace(place):
            taps.append(TapDevice(device, offload=False))
    left, right = taps[0].fileno(), taps[1].fileno()
    seeds = Random(setting["seed"])
    directions = [
        Direction(source, sink, FaultModel(Random(seeds.getrandbits(64)), faults))
        for source, sink in ((left, right), (right, left))
    ]
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(1))
    print("ready", flush=True)
    began, end = resource.getrusage(resource.RUSAGE_SELF), now_us() + int(setting["seconds"] * 1e6)
    started = time.monotonic()
    while not stop and (now := now_us()) < end:
        due = min(*(direction.model.deadline for direction in directions), end)
        readable, _, _ = select.select([left, right], [], [], max(0, due - now) / 1e6)
        for direction in directions:
            if direction.source in readable:
                direction.read()
            direction.write()
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - began.ru_utime - began.ru_stime
    wall = time.monotonic() - started
    return {
        "cpu_share": cpu / wall,
        "directions": [direction.model.counts.by_name() | {"refused": direction.refused} for direction in directions],
    }


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1_000, 0, 0, 0)  # wake within a microsecond or so
    print(json.dumps(run(json.loads(sys.argv[1]))), flush=True)
