"""Watchers at the control socket: `watch` sends a snapshot a second, `capture` the packets that pass as pcapng.

A client that says something more, or whose writing side ends, has seen enough: a capture then ends with a statistics
block that tells what was left out.  A slow client is waited for with bounded queues, so it loses packets, which are
counted, and nobody else does.
"""

import asyncio
import contextlib
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from stack.daemon.control import Operation, reply
from stack.device.pcapng import PcapngWriter
from stack.errors import ConfigError
from stack.observe.bus import Subscription
from stack.observe.filter import compile_filter
from stack.observe.observer import Observer
from stack.observe.packets import Seen

MAX_COUNT: Final = 1 << 40
MIN_SNAPLEN: Final = 64
MAX_SNAPLEN: Final = 256 << 10
QUEUE_ITEMS: Final = 8192
QUEUE_BYTES: Final = 16 << 20
_BATCH: Final = 64  # packets written before the client is waited for


def operations(observer: Observer) -> Mapping[str, Operation]:
    """What a ControlServer offers besides."""

    async def watch(_request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _watch(observer, reader, writer)

    async def capture(request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _capture(observer, request, reader, writer)

    return {"watch": watch, "capture": capture}


async def _watch(observer: Observer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One snapshot at once, then one a second."""
    ready = asyncio.Event()
    subscription = observer.ticks.subscribe(ready.set, max_items=1, max_bytes=16 << 20, newest=True)
    observer.joined("status")
    try:
        await reply(writer, {"ok": True})
        writer.write(observer.encoded() + b"\n")

        async def send() -> None:
            while True:
                await ready.wait()
                ready.clear()
                while (line := subscription.take()) is not None and not writer.is_closing():
                    writer.write(line + b"\n")
                    await writer.drain()

        await _until_gone(reader, send())
    finally:
        observer.left("status")
        subscription.close()


async def _until_gone(reader: asyncio.StreamReader, work: Awaitable[None]) -> None:
    """Do `work` until it is done, or the client has seen enough."""
    gone = asyncio.ensure_future(reader.read(1))
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([gone, working], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.gather(gone, working, return_exceptions=True)


def _whole(request: dict[str, Any], name: str, low: int, high: int, default: int) -> int:
    """A whole number of the request.  Raises ValueError."""
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not (low <= value <= high or value == default):
        raise ValueError(f"{name} must be a whole number from {low} to {high}")
    return value


async def _capture(
    observer: Observer, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Everything is checked before the answer; then nothing but pcapng is sent."""
    text = request.get("filter", "")
    if not isinstance(text, str):
        raise ConfigError("the filter must be text")
    accepts = compile_filter(text)
    most = _whole(request, "count", 1, MAX_COUNT, 0)
    snaplen = _whole(request, "snaplen", MIN_SNAPLEN, MAX_SNAPLEN, 0)
    ready = asyncio.Event()
    subscription = observer.packets.subscribe(
        ready.set, accepts, whole=True, max_items=QUEUE_ITEMS, max_bytes=QUEUE_BYTES
    )
    observer.joined("capture")
    try:
        await reply(writer, {"ok": True})
        buffer = io.BytesIO()

        def send(data: bytes) -> None:
            if not writer.is_closing():  # of a client that has gone we hear in `_until_gone`; uvloop raises for a write
                writer.write(data)

        made = _Stream(PcapngWriter(buffer, snaplen=snaplen), buffer, send, most)
        made.flush()
        await _until_gone(reader, made.run(subscription, ready, writer.drain))
        made.finish(subscription)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
    finally:
        observer.left("capture")
        subscription.close()


class _Stream:
    """Packets to pcapng, `most` of them (0: no end)."""

    __slots__ = ("_buffer", "_interfaces", "_most", "_pcapng", "_write", "written")

    def __init__(self, pcapng: PcapngWriter, buffer: io.BytesIO, write: Callable[[bytes], None], most: int) -> None:
        self._pcapng = pcapng
        self._buffer = buffer
        self._write = write
        self._most = most
        self._interfaces: dict[str, int] = {}
        self.written = 0

    async def run(
        self, subscription: Subscription[Seen], ready: asyncio.Event, drain: Callable[[], Awaitable[None]]
    ) -> None:
        """Until there are enough."""
        while not self.is_full():
            await ready.wait()
            ready.clear()
            while len(subscription) and not self.is_full():
                self._some(subscription)
                self.flush()
                await drain()

    def is_full(self) -> bool:
        """Whether all that were asked for are written."""
        return self._most > 0 and self.written >= self._most

    def _some(self, subscription: Subscription[Seen]) -> None:
        for _ in range(_BATCH):
            seen = subscription.take()
            if seen is None or self.is_full():
                return
            interface = self._interfaces.get(seen.device)
            if interface is None:
                interface = self._interfaces[seen.device] = self._pcapng.add_interface(seen.device)
            note = seen.note
            for data in seen.wire_frames():
                self._pcapng.write(interface, seen.time, seen.direction, data, note)
                note = ""  # said once, of the first
                self.written += 1
                if self.is_full():
                    return

    def flush(self) -> None:
        """Send what has been written."""
        data = self._buffer.getvalue()
        if data:
            self._buffer.seek(0)
            self._buffer.truncate()
            self._write(data)

    def finish(self, subscription: Subscription[Seen]) -> None:
        """What waits still, and how many were left out."""
        while len(subscription) and not self.is_full():
            self._some(subscription)
        if not self._interfaces:
            self._interfaces[""] = self._pcapng.add_interface("none")
        self._pcapng.statistics(next(iter(self._interfaces.values())), self.written, subscription.lost)
        self.flush()
