"""RACK on the scoreboard against RFC 8985 §6.2 written down naively, over random histories.

The model keeps one entry per unit of data and looks at all of them on each ACK; the product has super-segments, splits,
merges, cursors and queues, and must mark the same units lost at the same time.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from stack.config import TcpConfig
from stack.tcp.rack import Rack
from stack.tcp.recovery import Recovery
from stack.tcp.rtt import RttEstimator
from stack.tcp.scoreboard import LOST, RETRANSMITTED, SACKED, WHY_RACK, Scoreboard
from tests.support.rfc import rfc

UNIT = 100
MASK = 0xFFFFFFFF


class Unit:
    def __init__(self, at: int) -> None:
        self.at = at
        self.sends = 1
        self.state = "flight"  # or sacked, lost


class Model:
    """RFC 8985 §6.2, unit by unit; `base` is the number of the first unit outstanding."""

    def __init__(self) -> None:
        self.units: dict[int, Unit] = {}
        self.base = self.next = 0
        self.xmit = (-1, -1)
        self.rtt = 0
        self.reordered = False

    def deliver(self, got: list[int], min_rtt: int, now: int) -> None:
        best = once = None
        fack = max((n for n, u in self.units.items() if u.state == "sacked"), default=-1)
        for n in got:
            u = self.units[n]
            if u.sends == 1:
                once = max(once or (-1, -1), (u.at, n))
                if n < fack:
                    self.reordered = True
            best = max(best or (-1, -1), (u.at, n))
        if best is None:
            return
        if self.units[best[1]].sends > 1 and now - best[0] < min_rtt:
            best = once
        if best is not None:
            self.rtt = max(now - best[0], 1)
            self.xmit = max(self.xmit, best)

    def detect(self, window: int, now: int) -> None:
        for n, u in self.units.items():
            if u.state == "flight" and (u.at, n) < self.xmit and u.at + self.rtt + window <= now:
                u.state = "lost"


class Subject:
    """Both, and the bookkeeping of what a Sender does with them."""

    def __init__(self, origin: int) -> None:
        self.origin = origin
        self.board = Scoreboard()
        self.board.tracks_resent = True
        self.rack = Rack()
        self.model = Model()
        self.now = 1000
        self.min_rtt = 40

    def seq(self, n: int) -> int:
        return (self.origin + n * UNIT) & MASK

    def send(self, count: int) -> None:
        m = self.model
        self.board.append(self.seq(m.next), self.seq(m.next + count), self.now)
        for n in range(m.next, m.next + count):
            m.units[n] = Unit(self.now)
        m.next += count

    def resend(self, limit: int) -> None:
        r = self.board.next_lost()
        if r is None:
            assert not any(u.state == "lost" for u in self.model.units.values())
            return
        if (r.end - r.seq) & MASK > limit * UNIT:
            self.board.split(self.board.index_of(r), (r.seq + limit * UNIT) & MASK)
        for n in self.covered(r.seq, r.end):
            u = self.model.units[n]
            assert u.state == "lost"
            u.state, u.at = "flight", self.now
            u.sends += 1
        self.board.retransmitted(r, self.now)

    def covered(self, seq: int, end: int) -> range:
        first = ((seq - self.origin) & MASK) // UNIT
        return range(first, first + ((end - seq) & MASK) // UNIT)

    def ack(self, upto: int, blocks: list[tuple[int, int]], window: int) -> None:
        m, board = self.model, self.board
        board.newest = None
        upto = min(max(upto, m.base), m.next)
        got = [n for n in range(m.base, upto) if m.units[n].state != "sacked"]
        spans = sorted((max(a, upto + 1), min(b, m.next)) for a, b in blocks)
        spans = [(a, b) for a, b in spans if a < b]
        got += sorted({n for a, b in spans for n in range(a, b) if m.units[n].state != "sacked"})
        m.deliver(got, self.min_rtt, self.now)
        board.on_ack(self.seq(upto))
        for n in range(m.base, upto):
            del m.units[n]
        m.base = upto
        for a, b in spans:
            board.on_sack(self.seq(a), self.seq(b))
            for n in range(a, b):
                m.units[n].state = "sacked"
        self.rack.on_delivered(board, self.min_rtt, -1, self.now)
        self.look(window)

    def look(self, window: int) -> None:
        self.rack.detect(self.board, window, self.now)
        self.model.detect(window, self.now)
        self.compare()

    def compare(self) -> None:
        m = self.model
        self.board.check_invariants(self.seq(m.base), self.seq(m.next))
        lost: set[int] = set()
        sacked: set[int] = set()
        for r in self.board.records[self.board.head :]:
            if r.mark & SACKED:
                sacked.update(self.covered(r.seq, r.end))
            elif r.mark & (LOST | RETRANSMITTED) == LOST:
                lost.update(self.covered(r.seq, r.end))
        assert sacked == {n for n, u in m.units.items() if u.state == "sacked"}
        assert lost == {n for n, u in m.units.items() if u.state == "lost"}
        assert self.board.reordered == m.reordered


numbers = st.integers(0, 60)
steps = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 12)),
    st.tuples(st.just("wait"), st.integers(1, 60)),
    st.tuples(st.just("resend"), st.integers(1, 8)),
    st.tuples(st.just("ack"), st.integers(0, 6), st.lists(st.tuples(numbers, st.integers(1, 10)), max_size=3)),
    st.tuples(st.just("look"), st.sampled_from([0, 10, 30])),
)


@rfc("8985", "6.2", "8985-1")
@rfc("2018", "8")
@given(
    history=st.lists(steps, max_size=60),
    origin=st.sampled_from([0, (1 << 32) - 550, (1 << 31) - 550]),
    window=st.sampled_from([0, 10, 25]),
)
@settings(max_examples=400, deadline=None)
def test_the_same_is_lost_as_in_the_rfc(history, origin, window):
    s = Subject(origin)
    for step in history:
        what, arg = step[0], step[1]
        if what == "send":
            s.send(arg)
        elif what == "wait":
            s.now += arg
        elif what == "resend":
            s.resend(arg)
        elif what == "look":
            s.look(arg)
        elif s.model.units:
            base = s.model.base
            s.ack(base + arg, [(base + arg + a, base + arg + a + n) for a, n in step[2]], window)


# -- the work per ACK (CVE-2019-11477 to 11479) ----------------------------------------------------------------------


def _attack(detection: str) -> tuple[Scoreboard, list[int]]:
    """A peer SACKs scattered bytes of a large window, four blocks an ACK; the steps that each ACK took."""
    board, rack, recovery = Scoreboard(), Rack(), Recovery()
    if detection == "rack":
        board.tracks_resent = True
    rtt = RttEstimator(TcpConfig())
    rtt.on_sample(40)
    size = 4000
    for i in range(50):
        board.append(i * size, (i + 1) * size, 1000 + i)
    cost, now = [], 2000
    for i in range(0, 50 * size - 64, 24):
        before = board.steps
        board.newest = None
        at = 1 + (i * 7919) % (50 * size - 64)
        for k in range(4):
            board.on_sack(at + 6 * k + 1, at + 6 * k + 2)
        now += 1
        if detection == "rack":
            rack.on_delivered(board, rtt.min_rtt_us, -1, now)
            rack.detect(board, 10, now)
        else:
            recovery.detect(board, 1000)
            recovery.first_hole(board)
        if i % 240 == 0:
            r = board.next_lost()
            if r is not None:
                board.retransmitted(r, now)
        cost.append(board.steps - before)
    return board, cost


@rfc("2018", "8", "SACK-DOS")
def test_scattered_sacks_cost_a_bounded_number_of_steps_with_rack():
    """Each record is passed once: over the whole attack the steps grow with the ACKs, not with ACKs times records."""
    board, cost = _attack("rack")
    assert len(board) > 5000
    assert sum(cost) < 12 * len(cost) + 3 * len(board)


@rfc("2018", "8", "SACK-DOS")
def test_scattered_sacks_cost_a_bounded_number_of_steps_with_rfc6675():
    board, cost = _attack("rfc6675")
    assert len(board) > 5000
    assert sum(cost) < 300 * len(cost)


def test_no_ack_splits_past_the_bound():
    """CVE-2019-11477: once there are MAX_RECORDS a SACK inside a record is not taken."""
    board, _ = _attack("rack")
    assert len(board) <= 8192


def test_the_queue_of_what_waits_is_no_longer_than_the_marks():
    """Ranges, not records: a split of what waits adds nothing to the queue."""
    board = Scoreboard()
    for i in range(100):
        board.mark_lost(board.append(i * 4000, (i + 1) * 4000, 1), WHY_RACK)
    before = board.steps
    for at in range(1, 390_000, 100):
        board.on_sack(at, at + 1)
    assert board.steps - before <= 4 * 3900
    seen = 0
    r = board.next_lost()
    while r is not None:
        board.retransmitted(r, 2)
        seen += (r.end - r.seq) & MASK
        r = board.next_lost()
    assert seen == 400_000 - 3900
    board.check_invariants(0, 400_000)
