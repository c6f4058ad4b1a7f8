"""A descriptor that carries frames, perhaps behind virtio-net headers: what TAP, TUN and attached devices share.

Theory of operation.  A burst is read and parsed by one call into C.  A frame is completed by one call; a large one is
written at once, small ones are written together by `flush`, in order: whoever receives them is then woken once.  Where
the C core is not built, `PlainTap` does all in Python, frame by frame.
"""

import errno
import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from mypy_extensions import mypyc_attr

from stack.device.base import Device
from stack.device.tap_plain import PlainTap
from stack.errors import DeviceGone
from stack.wire import accel
from stack.wire.burst import META, POOL_BYTES, Burst
from stack.wire.frame import Caps, TxFrame

try:
    from stack.device import _io
except ImportError:  # not built here
    NATIVE = False
else:
    NATIVE = accel.backend == "c"
    _rx_burst: Final = _io.lib.ts_rx_burst
    _tx_send: Final = _io.lib.ts_tx_send
    _tx_flush: Final = _io.lib.ts_tx_flush
    _tx_pass: Final = _io.lib.ts_tx_pass

if TYPE_CHECKING:
    from stack.device._io import Tap


class Closes(Protocol):
    """What a descriptor belongs to."""

    def close(self) -> None:
        """Give it back."""


FULL: Final = POOL_BYTES >> 16  # rows that are in any full burst: none has more than 64 KiB


@mypyc_attr(allow_interpreted_subclasses=True)
class VnetDevice(Device):
    """The descriptor `fd`, which `closes` ends; non-blocking.

    `vnet`: each frame has a virtio-net header.  `patience_ms`: it is a socket, whose reader is waited for so long.
    """

    __slots__ = (
        "_burst",
        "_closes",
        "_fd",
        "_header",
        "_header_at",
        "_plain",
        "_rx_args",
        "_tap",
        "tx_dropped",
        "tx_errors",
    )

    def __init__(
        self,
        name: str,
        mac: bytes,
        mtu: int,
        caps: Caps,
        fd: int,
        closes: Closes,
        *,
        vnet: bool,
        native: bool = NATIVE,
        patience_ms: int = 0,
    ) -> None:
        super().__init__(name, mac, mtu, caps)
        self._fd = fd
        self._closes = closes
        self.tx_dropped = 0  # the other end's queue was full
        self.tx_errors = 0  # the interface is down or gone, or the frame contradicts itself
        self._burst: Burst | None = None
        self._rx_args: Any
        self._header: bytearray | None = None
        self._plain: PlainTap | None = None
        self._tap: Tap
        if native:
            self._tap = _io.ffi.new(
                "ts_tap *",
                {
                    "fd": fd,
                    "mac": mac,
                    "vnet": int(vnet),
                    "bare": int(caps.bare_ip),
                    "gro": 1,
                    "caps": caps.bits,
                    "max_gso": caps.max_gso,
                    "sock": int(patience_ms > 0),
                    "patience_ms": patience_ms,
                },
            )
        else:
            self._plain = PlainTap(fd, mac, caps, vnet=vnet, sock=patience_ms > 0)

    def fileno(self) -> int:
        """The descriptor to watch for reading; -1 after `close`."""
        return self._fd

    def rx_burst(self, burst: Burst) -> int:
        """Read what waits, at most one burst.  Raises DeviceGone if the other end has gone."""
        if self._plain is not None:
            try:
                return self._plain.rx_burst(burst)
            except OSError as exc:
                raise self._gone(exc.errno) from exc
        if burst is not self._burst:
            self._bind_burst(burst)
        count = _rx_burst(*self._rx_args)
        if count < 0:
            burst.count = 0
            raise self._gone(-count)
        burst.count = count
        burst.more = count >= FULL and self._tap.more != 0
        return count

    def send(self, frame: TxFrame) -> bool:
        """Write the frame, or keep it until `flush`.  False: dropped, and counted in `tx_dropped` or `tx_errors`."""
        if self._plain is not None:
            code = self._plain.send(frame)
        else:
            if frame.header is not self._header:
                self._bind_header(frame.header)
            payload = frame.payload
            code = _tx_send(
                self._tap,
                frame.start,
                frame.header_end,
                payload if type(payload) is bytes else _io.ffi.from_buffer("uint8_t[]", payload),
                len(payload),
                frame.payload_off,
                frame.payload_len,
                frame.flags,
                frame.gso_type,
                frame.gso_size,
                frame.csum_start,
                frame.csum_offset,
            )
        return code > 0 or self.not_sent(code)

    def pass_on(self, burst: Burst, first: int, count: int, link: bytes) -> int:
        """Write received frames from where they are in the burst; how many were dropped, and counted as by `send`."""
        if self._plain is not None:
            return super().pass_on(burst, first, count, link)
        if burst is not self._burst:
            self._bind_burst(burst)
        _, pool, room, meta, _, _ = self._rx_args
        lost = _tx_pass(self._tap, pool, room, meta + first, count, link)
        if lost:
            self.not_sent(-self._tap.error, lost)
        return lost

    def not_sent(self, code: int, frames: int = 1) -> bool:
        """Count frames that were not taken, for the negative errno `code`; False."""
        if code in {-errno.EAGAIN, -errno.ENOBUFS, -errno.ENOMEM}:
            self.tx_dropped += frames
        else:
            self.tx_errors += frames  # an interface that has gone is reported by rx_burst
        return False

    def flush(self) -> int:
        """Write the frames that were kept; how many of them were dropped, and counted as by `send`."""
        if self._plain is not None:
            return 0
        lost = _tx_flush(self._tap)
        if lost:
            self.not_sent(-self._tap.error, lost)
        return lost

    def close(self) -> None:
        """Give the descriptor back; safe to call twice."""
        if self._plain is not None:
            self._plain.fd = -1
        else:
            self._tap.fd = -1
        if self._fd >= 0:
            self._fd = -1
            self._closes.close()

    def _gone(self, code: int | None) -> DeviceGone:
        return DeviceGone(f"{self.name} disappeared ({os.strerror(code or 0)})", code or 0)

    def _bind_burst(self, burst: Burst) -> None:
        # Pointers cost more to make than to use: they are kept for as long as the same burst comes again.
        from_buffer = _io.ffi.from_buffer
        self._burst = burst
        self._rx_args = (
            self._tap,
            from_buffer("uint8_t[]", burst.pool),
            len(burst.pool),
            from_buffer("ts_meta[]", burst.meta),
            from_buffer("ts_row[]", burst.rows),
            len(burst.meta) // META.size,
        )

    def _bind_header(self, header: bytearray) -> None:
        self._header = header
        self._header_at = _io.ffi.from_buffer("uint8_t[]", header)  # kept alive: a C structure holds no reference
        self._tap.header = self._header_at
        self._tap.header_room = len(header)
