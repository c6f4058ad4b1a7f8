"""What a run showed, kept for plots: samples of each flow's sender, its segments, the queue of each link.

Theory of operation.  A FlowTrace sees the frames at the port of the host that opened the flow, in the order in which
they pass: what it sends are data segments, what comes back are ACKs with window and SACK blocks.  Sequence numbers
become offsets from the initial one, and do not wrap.  A segment that ends at or before the highest offset sent so far
is a retransmission.  Losses are told by the links, wherever on the way they are; of a segment that reaches the other
host its receiver knows whether it had the data already.  Which transmissions these were is found out afterwards
(`fates`): links and receiver see segments, not how often they were sent.

All lists are columns that grow together: memory is bounded by the length of the run, and `max_points` leaves out what
comes after (`truncated` says so).
"""

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, fields

from stack.sim.flows import FourTuple
from stack.wire import tcp as codec
from stack.wire.accel import checksum

MAX_POINTS = 1_000_000  # segments kept of one flow: about 100 MB
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_IPV4, _PROTO_TCP = b"\x08\x00", 6
_ETH = 14


@dataclass(slots=True)
class Samples:
    """One value each at `at` (microseconds): bytes, bytes per second, microseconds, counts."""

    at: list[int] = field(default_factory=list)
    cwnd: list[int] = field(default_factory=list)
    ssthresh: list[int] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    srtt_us: list[int] = field(default_factory=list)
    min_rtt_us: list[int] = field(default_factory=list)
    mss: list[int] = field(default_factory=list)
    pacing_rate: list[int] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)

    def thin(self) -> None:
        """Keep every other sample."""
        for one in fields(self):
            del getattr(self, one.name)[1::2]


@dataclass(slots=True)
class QueueSamples:
    """What waited in one direction of a link at `at`: bytes; and when a frame was dropped."""

    at: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    dropped_at: list[int] = field(default_factory=list)
    limit: int = 0  # bytes, 0 for none
    rate: int = 0  # bytes per second, 0 for no limit
    drops: int = 0

    def sample(self, now: int, queued: int, drops: int) -> None:
        """What waits at `now`, and how many frames the queue has dropped so far."""
        self.at.append(now)
        self.queued.append(queued)
        if drops > self.drops:
            self.dropped_at.append(now)
            self.drops = drops

    def thin(self) -> None:
        """Keep every other sample, and all drops."""
        del self.at[1::2], self.queued[1::2]


@dataclass(frozen=True, slots=True)
class Header:
    """The TCP header of a frame: addresses and ports of the two ends, sender first (`FourTuple`), raw sequence
    numbers, flags, window as on the wire, length of the text.
    """

    ends: FourTuple
    seq: int
    ack: int
    flags: int
    window: int
    length: int
    options: bytes


def header_of(frame: bytes) -> Header | None:
    """The TCP header in a finished Ethernet frame; None for other protocols, for fragments, and for what is damaged."""
    if frame[12:14] != _IPV4 or len(frame) < _ETH + 40 or frame[_ETH + 9] != _PROTO_TCP:
        return None
    if int.from_bytes(frame[_ETH + 6 : _ETH + 8], "big") & 0x3FFF:
        return None
    start = _ETH + (frame[_ETH] & 0x0F) * 4
    end = _ETH + int.from_bytes(frame[_ETH + 2 : _ETH + 4], "big")
    if end > len(frame) or start + codec.HEADER_LEN > end or checksum(frame[_ETH:start]):
        return None
    pseudo = frame[_ETH + 12 : _ETH + 20] + bytes((0, _PROTO_TCP)) + (end - start).to_bytes(2, "big")
    if checksum(pseudo + frame[start:end]):
        return None
    sport, dport, seq, ack, offset_flags, window, _, _ = codec.HEADER.unpack_from(frame, start)
    text = start + (offset_flags >> 12) * 4
    src, dst = (int.from_bytes(frame[_ETH + at : _ETH + at + 4], "big") for at in (12, 16))
    options = frame[start + codec.HEADER_LEN : text]
    return Header((src, sport, dst, dport), seq, ack, offset_flags & 0xFF, window, max(0, end - text), options)


Segment = tuple[int, int, int]  # time, first byte, byte behind the last one


@dataclass(frozen=True, slots=True)
class Fates:
    """Transmissions that a link lost, and retransmissions of what the receiver had already; in order of time."""

    lost: list[Segment]
    needless: list[Segment]


@dataclass(slots=True)
class FlowTrace:
    """One flow as its sender saw it.  Numbers are bytes from the initial one."""

    name: str
    congestion: str = ""
    samples: Samples = field(default_factory=Samples)
    sent: list[Segment] = field(default_factory=list)
    resent: list[Segment] = field(default_factory=list)
    lost: list[Segment] = field(default_factory=list)  # by the time at which a link lost it
    duplicates: Counter[int] = field(default_factory=Counter)  # arrivals of data that was there, by its first byte
    acks: list[tuple[int, int, int]] = field(default_factory=list)  # (time, acknowledged, window's right edge)
    sacks: list[tuple[int, int, int]] = field(default_factory=list)
    max_points: int = MAX_POINTS
    truncated: bool = False
    _iss: int = -1
    _highest: int = 0
    _wscale: int = 0

    def on_sent(self, now: int, header: Header) -> None:
        """The sender put a segment on its link."""
        if header.flags & _SYN:
            if self._iss < 0:
                self._iss = header.seq
            return
        if not header.length or self._iss < 0 or self._full():
            return
        left = self._offset(header.seq)
        right = left + header.length
        if right <= self._highest:
            self.resent.append((now, left, right))
        else:
            self.sent.append((now, left, right))
            self._highest = right

    def on_reached(self, header: Header, *, had: bool) -> None:
        """A segment of the sender reached the other host, whose receiver `had` all of its data."""
        if had and header.length and not self._full():
            self.duplicates[self._offset(header.seq)] += 1

    def on_lost(self, now: int, header: Header) -> None:
        """A link lost a segment of the sender, or damaged it."""
        if header.length and self._iss >= 0 and not self._full():
            left = self._offset(header.seq)
            self.lost.append((now, left, left + header.length))

    def on_arrived(self, now: int, header: Header) -> None:
        """A segment came back to the sender."""
        if header.flags & _SYN:
            wscale = codec.parse_syn(header.options).wscale
            self._wscale = max(wscale, 0)
            return
        if not header.flags & _ACK or header.flags & _RST or self._iss < 0 or self._full():
            return
        ack = self._offset(header.ack)
        self.acks.append((now, ack, ack + (header.window << self._wscale)))
        if len(header.options) > codec.LEN_TS or (header.options and header.options[0] != 1):
            for left, right in codec.parse_sack(header.options):
                self.sacks.append((now, self._offset(left), self._offset(right)))

    def fates(self) -> Fates:
        """What became of transmissions.

        The one that was lost is the last before the loss.  A duplicate at the receiver is the last retransmission that
        was not lost, if an earlier transmission was not either: if all others were lost, a link has made it.
        """
        first = {left for _, left, _ in self.sent}
        times: dict[int, list[int]] = {}
        for at, left, _ in sorted(self.sent + self.resent):
            times.setdefault(left, []).append(at)
        lost = set()
        for at, left, right in self.lost:
            before = bisect_right(times.get(left, []), at)
            if before:
                lost.add((times[left][before - 1], left, right))
        gone = {(at, left) for at, left, _ in lost}
        again: dict[int, list[Segment]] = {}
        for one in self.resent:
            if one[:2] not in gone:
                again.setdefault(one[1], []).append(one)
        needless = []
        for left, count in self.duplicates.items():
            arrived = sum((at, left) not in gone for at in times.get(left, [])) + (left not in first)
            most = min(count, arrived - 1)
            needless += again.get(left, [])[-most:] if most > 0 else []
        return Fates(sorted(lost), sorted(needless))

    def _offset(self, seq: int) -> int:
        """Bytes from the first one of data, near the highest sent."""
        off = (seq - self._iss - 1 - self._highest) & 0xFFFF_FFFF
        return self._highest + (off - (1 << 32) if off >= 1 << 31 else off)

    def _full(self) -> bool:
        self.truncated = self.truncated or len(self.sent) + len(self.resent) + len(self.acks) >= self.max_points
        return self.truncated
