"""Reading and writing a TAP descriptor in Python: what TapDevice does where the C core is not built.

Same frames, same bursts; each frame costs a system call and some tens of microseconds of Python.
"""

import os
from struct import Struct
from typing import Final

from stack.wire import accel
from stack.wire.burst import MAX_FRAME, META, Burst
from stack.wire.frame import GSO_ECN, Caps, TxFrame

# struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; in the host's byte order
_VNET: Final = Struct("=BBHHHH")


class PlainTap:
    """The descriptor `fd`, which belongs to the caller."""

    __slots__ = ("_caps", "_mac", "_vnet", "fd")

    def __init__(self, fd: int, mac: bytes, caps: Caps, *, vnet: bool) -> None:
        self.fd = fd
        self._mac = mac
        self._caps = caps
        self._vnet = vnet

    def rx_burst(self, burst: Burst) -> int:
        """Read what waits, at most one burst.  Raises OSError if the first read fails."""
        frames: list[accel.Raw] = []
        at = 0
        # load_burst takes all of these: the last one may be as long as it likes
        limit = len(burst.meta) // META.size
        while len(frames) < limit and at + 2 * MAX_FRAME <= len(burst.pool):
            try:
                data = os.read(self.fd, MAX_FRAME)
            except BlockingIOError:
                break
            except OSError:
                if frames:
                    break
                raise
            frames.append(self._raw(data))
            at += len(data) + 63
        accel.load_burst(burst, frames, self._mac)
        return burst.count if self._caps.tso4 else accel.merge_burst(burst)

    def _raw(self, data: bytes) -> accel.Raw:
        if not self._vnet or len(data) < _VNET.size:
            return (data, 0, 0, 0, 0, 0)
        flags, gso_type, _, gso_size, csum_start, csum_offset = _VNET.unpack_from(data)
        return (data[_VNET.size :], flags, gso_type, gso_size, csum_start, csum_offset)

    def send(self, frame: TxFrame) -> int:
        """Write `frame`; returns the wire frames that it was, or a negative errno."""
        count = 0
        for data, flags, gso_type, gso_size, csum_start, csum_offset in accel.finish(frame, self._caps):
            parts = [data]
            if self._vnet:
                head = frame.header_end - frame.start if gso_type & ~GSO_ECN else 0
                parts.insert(0, _VNET.pack(flags, gso_type, head, gso_size, csum_start, csum_offset))
            try:
                os.writev(self.fd, parts)
            except OSError as exc:
                return -(exc.errno or 1)
            count += 1
        return count
