"""Reading and writing a TAP, a TUN, a packet socket or an attached device in Python: where the C core is not built.

Same frames, same bursts; each frame costs a system call and some tens of microseconds of Python.
"""

import errno
import os
from struct import Struct
from typing import Final

from stack.device.bare_ip import to_frame
from stack.wire import accel
from stack.wire.burst import MAX_FRAME, META, Burst
from stack.wire.frame import ETH_HLEN, GSO_ECN, VNET_NEEDS_CSUM, Caps, TxFrame

# struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; in the host's byte order
_VNET: Final = Struct("=BBHHHH")


class PlainTap:
    """The descriptor `fd`, which belongs to the caller."""

    __slots__ = ("_caps", "_failed", "_link", "_mac", "_sock", "_vnet", "fd")

    def __init__(self, fd: int, mac: bytes, caps: Caps, *, vnet: bool, sock: bool = False) -> None:
        self.fd = fd
        self._mac = mac
        self._caps = caps
        self._link = ETH_HLEN if caps.bare_ip else 0  # bytes of a frame that stay here
        self._vnet = vnet
        self._sock = sock  # a socket: reading nothing is its end
        self._failed: OSError | None = None  # for the next call

    def rx_burst(self, burst: Burst) -> int:
        """Read what waits, at most one burst.  Raises OSError; frames that were read before come first."""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        frames: list[accel.Raw] = []
        at = 0
        # load_burst takes all of these: the last one may be as long as it likes
        limit = len(burst.meta) // META.size
        while len(frames) < limit and at + 2 * MAX_FRAME <= len(burst.pool):
            try:
                data = os.read(self.fd, MAX_FRAME)
            except BlockingIOError:
                break
            except OSError as exc:
                if frames:
                    self._failed = exc  # a packet socket tells it once
                    break
                raise
            if self._sock and len(data) < _VNET.size:
                if frames or data:
                    break
                raise OSError(errno.ENODEV, "the other end has gone")
            frames.append(self._raw(data))
            at += len(data) + 63
        accel.load_burst(burst, frames, self._mac)
        return accel.merge_burst(burst)

    def _raw(self, data: bytes) -> accel.Raw:
        flags = gso_type = gso_size = csum_start = csum_offset = 0
        if self._vnet and len(data) >= _VNET.size:
            flags, gso_type, _, gso_size, csum_start, csum_offset = _VNET.unpack_from(data)
            data = data[_VNET.size :]
        if self._link:
            data = to_frame(data)
            if flags & VNET_NEEDS_CSUM:
                csum_start = csum_start + self._link & 0xFFFF
        return (data, flags, gso_type, gso_size, csum_start, csum_offset)

    def send(self, frame: TxFrame) -> int:
        """Write `frame`; returns the wire frames that it was, or a negative errno."""
        link = self._link
        count = 0
        for data, flags, gso_type, gso_size, csum_start, csum_offset in accel.finish(frame, self._caps):
            parts: list[bytes | memoryview] = [memoryview(data)[link:] if link else data]
            if self._vnet:
                head = frame.header_end - frame.start - link if gso_type & ~GSO_ECN else 0
                start = csum_start - link & 0xFFFF if flags else 0
                parts.insert(0, _VNET.pack(flags, gso_type, head, gso_size, start, csum_offset))
            try:
                os.writev(self.fd, parts)
            except OSError as exc:
                return -(exc.errno or 1)
            count += 1
        return count
