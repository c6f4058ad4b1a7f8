"""A device with a faulty link in front of it.

Theory of operation.  A FaultDevice puts a FaultModel on each direction of any device.  It works on finished wire
frames: they carry real checksums and no offload metadata, so that damage shows.
"""

from collections import deque
from collections.abc import Callable
from random import Random

from stack.config import Rng
from stack.device.base import Device
from stack.device.fault import FaultModel
from stack.device.fault_settings import Faults
from stack.device.wrapper import NO_OFFLOAD, WrapperDevice, raw_at, refill
from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import TxFrame


class FaultDevice(WrapperDevice):
    """Faults around any device, settable per direction while it runs (`inbound.configure(...)`).

    `clock` gives microseconds; without one, time is what `on_timer` was last told.
    """

    __slots__ = ("_arrived", "_clock", "_frame", "_now_us", "inbound", "outbound")

    def __init__(
        self,
        inner: Device,
        rng: Rng,
        clock: Callable[[], int] | None = None,
        *,
        inbound: Faults | None = None,
        outbound: Faults | None = None,
    ) -> None:
        super().__init__(inner)
        # Each direction has a generator of its own, so that traffic one way does not change the fate of the other.
        self.inbound = FaultModel(Random(rng.getrandbits(64)), inbound)
        self.outbound = FaultModel(Random(rng.getrandbits(64)), outbound)
        self._clock = clock
        self._now_us = 0
        self._arrived: deque[bytes] = deque()
        self._frame = TxFrame()

    def send(self, frame: TxFrame) -> bool:
        """Put the frame on the faulty link; always True, what happens to it there is not known here."""
        now = self._now()
        for raw in accel.finish(frame, NO_OFFLOAD):
            self.outbound.offer(raw[0], now)
        self._transmit(now)
        return True

    def rx_burst(self, burst: Burst) -> int:
        """Frames that have arrived over the faulty link; 0 when none has yet.  Raises DeviceGone."""
        now = self._now()
        # The inner device is emptied even when nothing comes out here: it may tell of new frames only once.
        while not self._arrived and self.inner.rx_burst(burst):
            for index in range(burst.count):
                for raw in accel.finish_raw(raw_at(burst, index), NO_OFFLOAD):
                    self.inbound.offer(raw[0], now)
            self._arrived.extend(self.inbound.poll(now))
        self._arrived.extend(self.inbound.poll(now))
        self._set_deadline()
        if not self._arrived:
            return 0
        taken = accel.load_burst(burst, ((data, 0, 0, 0, 0, 0) for data in self._arrived), self.mac)
        for _ in range(taken):
            self._arrived.popleft()
        return burst.count

    def on_timer(self, now: int) -> None:
        """Send what fell due; what has arrived waits for `rx_burst`."""
        self._now_us = now
        self.inner.on_timer(now)
        self._transmit(now)
        self.inner.flush()

    def _transmit(self, now: int) -> None:
        for data in self.outbound.poll(now):
            self.inner.send(refill(self._frame, data))
        self._set_deadline()

    def _set_deadline(self) -> None:
        self.deadline = min(self.inbound.deadline, self.outbound.deadline, self.inner.deadline)

    def _now(self) -> int:
        return self._now_us if self._clock is None else self._clock()
