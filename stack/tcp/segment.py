"""One received TCP segment; a Host owns one and refills it for every row of a burst."""

import mmap
from typing import Final

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80
CE: Final = 0x100  # no bit of the header: the ECN field of the IP header says "congestion experienced"


class Segment:
    """SEG.* of RFC 9293 §3.3.1.  `length` is payload bytes; SYN and FIN are not counted in it.
    `flags` is the flag byte, and CE.

    `pool[off : off + length]` is the payload; it is valid until the burst is refilled.  `wnd` is the
    window field as it came, unscaled.  `options` holds the raw option bytes when there are any besides
    timestamps, else b"".
    """

    __slots__ = (
        "ack",
        "flags",
        "has_ts",
        "length",
        "off",
        "options",
        "pool",
        "seq",
        "tsecr",
        "tsval",
        "up",
        "wnd",
    )

    def __init__(self) -> None:
        self.seq = 0
        self.ack = 0
        self.wnd = 0
        self.flags = 0
        self.length = 0
        self.has_ts = False
        self.tsval = 0
        self.tsecr = 0
        self.up = 0  # urgent pointer, meaningful with URG
        self.options: bytes = b""
        self.pool: mmap.mmap | bytes = b""
        self.off = 0

    def text(self) -> bytes:
        """A copy of the payload."""
        return self.pool[self.off : self.off + self.length]
