"""Segments as they pass a port, for observers: who sent what, with numbers that begin at the SYN.

Theory of operation.  A Tap sees every wire frame of one port and knows flows by the server's port number, which is the
flow's own.  It remembers the initial number of each side from its SYN.  Nothing here runs without an observer.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from stack.device.pcapng import OUTBOUND
from stack.sim.flows import FlowRun
from stack.tcp.segment import FIN, SYN
from stack.wire.seq import HALF, MASK

_TCP: Final = Struct("!HHIIBB")
_ETH: Final = 14
_PROTO_TCP: Final = 6

OnSegment = Callable[[int, str, str, int, int, int, int, str], None]


class Tap:
    """What `Port.tap` calls; `flows` by the server's port."""

    __slots__ = ("_isn", "_on_segment", "flows")

    def __init__(self, on_segment: OnSegment) -> None:
        self._on_segment = on_segment
        self._isn: dict[tuple[int, str], int] = {}
        self.flows: dict[int, FlowRun] = {}

    def __call__(self, now: int, direction: int, data: bytes, on_its_way: bool) -> None:
        """A frame enters (OUTBOUND) or leaves the link at the port."""
        if data[12:14] != b"\x08\x00" or data[_ETH + 9] != _PROTO_TCP or data[20] & 0x1F or data[21]:
            return
        at = _ETH + (data[_ETH] & 15) * 4
        sport, dport, seq, ack, offset, flags = _TCP.unpack_from(data, at)
        run, way, other = self.flows.get(dport), "there", "back"
        if run is None:
            run, way, other = self.flows.get(sport), "back", "there"
        if run is None:
            return
        number = run.port
        length = _ETH + (data[16] << 8 | data[17]) - at - (offset >> 4) * 4
        if flags & SYN:
            self._isn[number, way] = seq
        seq = _relative(seq, self._isn.get((number, way), seq))
        ack = _relative(ack, self._isn.get((number, other), ack))
        fate = "arrived" if direction != OUTBOUND else "sent" if on_its_way else "lost"
        length += bool(flags & SYN) + bool(flags & FIN)
        self._on_segment(now, run.flow.name, way, seq, length, ack, flags, fate)


def _relative(number: int, base: int) -> int:
    ahead = (number - base) & MASK
    return ahead if ahead < HALF else ahead - MASK - 1
