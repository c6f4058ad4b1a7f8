"""Segments as they pass a port, for observers: who sent what, with numbers that begin at the SYN.

Theory of operation.  A Tap sees every wire frame of one port and finds the flow by the addresses and ports of both
ends: flows may share a server's port.  It remembers the initial number of each side from its SYN.  Nothing here runs
without an observer.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from stack.device.pcapng import OUTBOUND
from stack.sim.flows import FlowRun, FourTuple
from stack.tcp.segment import FIN, SYN
from stack.wire.seq import HALF, MASK

_TCP: Final = Struct("!HHIIBB")
_ADDRS: Final = Struct("!II")
_ETH: Final = 14
_PROTO_TCP: Final = 6

OnSegment = Callable[[int, str, str, int, int, int, int, str], None]


class Tap:
    """What `Port.tap` calls; `flows`: those whose client is at the port, `known`: those that were opened anywhere."""

    __slots__ = ("_isn", "_known", "_on_segment", "flows")

    def __init__(self, on_segment: OnSegment, known: dict[FourTuple, FlowRun]) -> None:
        self._on_segment = on_segment
        self._known = known
        self._isn: dict[tuple[str, str], int] = {}
        self.flows: set[FlowRun] = set()

    def __call__(self, now: int, direction: int, data: bytes, on_its_way: bool) -> None:
        """A frame enters (OUTBOUND) or leaves the link at the port."""
        if data[12:14] != b"\x08\x00" or data[_ETH + 9] != _PROTO_TCP or data[20] & 0x1F or data[21]:
            return
        at = _ETH + (data[_ETH] & 15) * 4
        sport, dport, seq, ack, offset, flags = _TCP.unpack_from(data, at)
        src, dst = _ADDRS.unpack_from(data, _ETH + 12)
        run, way, other = self._known.get((src, sport, dst, dport)), "there", "back"
        if run is None:
            run, way, other = self._known.get((dst, dport, src, sport)), "back", "there"
        if run is None or run not in self.flows:
            return
        name = run.flow.name
        length = _ETH + (data[16] << 8 | data[17]) - at - (offset >> 4) * 4
        if flags & SYN:
            self._isn[name, way] = seq
        seq = _relative(seq, self._isn.get((name, way), seq))
        ack = _relative(ack, self._isn.get((name, other), ack))
        fate = "arrived" if direction != OUTBOUND else "sent" if on_its_way else "lost"
        length += bool(flags & SYN) + bool(flags & FIN)
        self._on_segment(now, name, way, seq, length, ack, flags, fate)


def _relative(number: int, base: int) -> int:
    ahead = (number - base) & MASK
    return ahead if ahead < HALF else ahead - MASK - 1
