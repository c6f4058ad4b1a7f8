"""A CallbackDevice for asyncio programs: what the host sends is awaited, and other threads may feed it.

    device = QueueDevice("wg0", mtu=1420)
    host.add_device(device, "10.7.0.2/32", routes=["0.0.0.0/0"])
    async for packet in device:
        tunnel.send(packet)

Theory of operation.  What is sent waits in a queue, bounded in packets; when that is full, what comes is dropped and
counted (`tx_dropped`), and the host is told, as by any full device.  The queue is left as it is by `close`, so that
the last packets of a host (its FINs and RSTs) still come out; then the iteration ends.  What threads feed is collected
under a lock, bounded too, with one wake-up of the loop however much there is.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from typing import Self

from stack.device.callback import QUEUE_BYTES, QUEUE_FRAMES, CallbackDevice, Data, Layer
from stack.errors import DeviceGone


class QueueDevice(CallbackDevice):
    """See the head of this file; made on the running loop.  Arguments as of CallbackDevice."""

    __slots__ = ("_limit", "_lock", "_loop", "_out", "_some", "_threads_dropped", "_waiting", "tx_dropped")

    def __init__(
        self,
        name: str,
        *,
        layer: Layer = "packets",
        mtu: int = 1500,
        mac: bytes | None = None,
        queue_frames: int = QUEUE_FRAMES,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        super().__init__(
            name, self._put, layer=layer, mtu=mtu, mac=mac, queue_frames=queue_frames, queue_bytes=queue_bytes
        )
        self._loop = asyncio.get_running_loop()
        self._limit = queue_frames
        self._out: deque[bytes] = deque()
        self._some = asyncio.Event()  # something is in `_out`, or nothing will be any more
        self.tx_dropped = 0
        self._lock = threading.Lock()  # of the two below
        self._waiting: list[Data] = []
        self._threads_dropped = 0

    # -- out

    async def get(self) -> bytes:
        """The next packet (or frame) that the host sent.  Raises DeviceGone when the device is closed and empty."""
        await self._wait()
        return self._out.popleft()

    async def get_many(self) -> list[bytes]:
        """All that wait, at least one.  Raises DeviceGone when the device is closed and empty."""
        await self._wait()
        batch = list(self._out)
        self._out.clear()
        return batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.get()
        except DeviceGone:
            raise StopAsyncIteration from None

    async def _wait(self) -> None:
        while not self._out:
            if self._closed:
                raise DeviceGone(f"{self.name} is closed")
            self._some.clear()
            await self._some.wait()

    def _put(self, data: bytes) -> bool:
        if len(self._out) >= self._limit:
            self.tx_dropped += 1
            return False
        self._out.append(data)
        self._some.set()
        return True

    # -- in

    def feed_threadsafe(self, batch: Iterable[Data]) -> int:
        """As `feed_many`, from any thread; returns how many are on their way to the queue."""
        packets = list(batch)
        with self._lock:
            room = self._limit - len(self._waiting)
            first = not self._waiting
            self._waiting += packets[:room]
            taken = min(len(packets), room)
            self._threads_dropped += len(packets) - taken
        if first and taken:
            try:
                self._loop.call_soon_threadsafe(self._take_waiting)
            except RuntimeError:  # the loop is closed: so is everything on it
                return 0
        return taken

    def _take_waiting(self) -> None:
        with self._lock:
            packets, self._waiting = self._waiting, []
            self.rx_dropped += self._threads_dropped
            self._threads_dropped = 0
        self.feed_many(packets)

    def close(self) -> None:
        """End: what the host has sent can still be taken, then iteration ends."""
        super().close()
        self._some.set()
