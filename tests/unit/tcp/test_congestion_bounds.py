"""Whatever happens in whatever order: a window holds one segment, and no loss leaves ssthresh below two."""

from random import Random

import pytest

from stack.config import MINUTE, MS, SECOND, TcpConfig
from stack.tcp.congestion.base import INFINITE_SSTHRESH, AckSample, Controller, initial_window
from stack.tcp.congestion.lossbased import LossBased
from stack.tcp.congestion.newreno import NewReno
from stack.tcp.congestion.registry import ALGORITHMS
from tests.support.rfc import rfc

MSS = 1000

SIZES = (28, 216, 500, 536, 1012, 1448, 8948)
IDLE = (0, 1, 50 * MS, SECOND, 6 * MINUTE, 60 * MINUTE)


class Chaos:
    """Calls every hook of a controller with what an engine could say, at random; `steps` tells of them."""

    def __init__(self, kind: type[Controller], seed: int) -> None:
        rng = self.rng = Random(seed)
        self.config = TcpConfig(
            hystart=rng.random() < 0.5,
            window_validation=rng.choice(("rfc7661", "rfc2861", "rfc5681")),
            initial_window_segs=rng.choice((1, 2, 10)),
            fixed_window_segs=rng.choice((1, 10)),
        )
        self.mss = rng.choice(SIZES)
        first = self.mss if rng.random() < 0.3 else initial_window(self.mss, self.config.initial_window_segs)
        self.c = kind(self.mss, first)
        self.c.configure(self.config)
        self.sample = AckSample()
        self.sample.now = rng.randrange(SECOND)
        self.c.on_start(self.sample.now, rng.choice((0, 1, 20 * MS)), seed)
        self.steps: list[str] = []

    def flight(self) -> int:
        """FlightSize: no more than cwnd, and perhaps nothing."""
        return self.rng.choice((0, 1, self.c.cwnd // 3, self.c.cwnd))

    def ack(self) -> None:
        rng, s, c = self.rng, self.sample, self.c
        s.acked = rng.choice((0, 1, self.mss, c.cwnd))
        s.sacked = rng.choice((0, self.mss))
        s.newly_delivered = rng.choice((0, 1, s.acked + s.sacked))
        s.prior_delivered = rng.choice((-1, s.delivered, max(0, s.delivered - c.cwnd)))
        s.delivered += s.newly_delivered
        s.lost_total += rng.choice((0, 0, self.mss))
        s.lost_since = rng.choice((0, 1, self.mss, c.cwnd))
        s.tx_in_flight = rng.choice((0, 1, self.mss, c.cwnd))
        s.in_flight = self.flight()
        s.rtt_us = rng.choice((-1, 1, 20 * MS, SECOND))
        s.srtt_us = rng.choice((1, 20 * MS))
        s.rto_us = rng.choice((50 * MS, SECOND))
        s.delivery_rate = rng.choice((0, 1, 10**5, 10**9))
        s.round_start = rng.random() < 0.5
        s.round_count += s.round_start
        s.app_limited, s.rate_app_limited = rng.random() < 0.2, rng.random() < 0.2
        s.in_recovery, s.paced = rng.random() < 0.2, rng.random() < 0.5
        c.on_ack(s)

    def idle(self) -> None:
        us = self.rng.choice(IDLE)
        self.sample.now += us
        self.c.after_idle(self.sample.now, us, initial_window(self.mss, self.config.initial_window_segs))

    def resize(self) -> None:
        self.mss = self.rng.choice(SIZES)
        self.c.on_mss(self.mss)

    def step(self) -> None:
        rng, c, now = self.rng, self.c, self.sample.now
        name = rng.choice(("ack",) * 12 + ("sent", "loss", "range", "rto", "ecn", "exit", "spurious", "idle", "resize"))
        self.steps.append(name)
        self.sample.now += rng.choice((0, 1, MS, 20 * MS, SECOND))
        if name == "ack":
            self.ack()
        elif name == "sent":
            c.on_sent(now, self.mss, rng.choice((self.mss, c.cwnd)), rng.random() < 0.5)
        elif name == "loss":
            c.on_loss(now, self.flight())
        elif name == "range":
            c.on_range_lost(now, rng.choice((1, self.mss)), max(self.flight(), self.mss), c.cwnd, rng.random() < 0.5)
        elif name == "rto":
            c.on_rto(now, self.flight(), rng.random() < 0.5)
        elif name == "ecn":
            c.on_ecn(now, self.flight())
        elif name == "exit":
            rng.choice((c.on_recovery_exit, c.on_rto_exit))(now)
        elif name == "spurious":
            c.on_spurious(now)
        elif name == "idle":
            self.idle()
        else:
            self.resize()


def run(kind: type[Controller], seeds: range, steps: int) -> None:
    for seed in seeds:
        chaos = Chaos(kind, seed)
        for _ in range(steps):
            chaos.step()
            c = chaos.c
            tail = (seed, chaos.mss, c.cwnd, c.ssthresh, chaos.steps[-8:])
            assert c.mss == chaos.mss
            assert c.cwnd >= c.mss, tail
            assert c.ssthresh >= 2 * c.mss or c.name == "fixed", tail
            c.check_invariants()


@rfc("5681", "3.1", "5681-3.1c")
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_no_order_of_events_leaves_less_than_a_segment(name: str) -> None:
    run(ALGORITHMS[name], range(60), 150)


class _Stale(LossBased):
    """The bounds stay what they were in smaller segments."""

    name = "stale"

    def on_ack(self, sample: AckSample) -> None:
        if sample.round_start:
            self.on_round(sample)
        if self.cwnd < self.ssthresh:
            self.slow_start(sample, self.counted(sample))

    def on_mss(self, mss: int) -> None:
        self.mss = mss
        self.cwnd = max(self.cwnd, mss)


class _Raw(LossBased):
    """A reduction that minds no floor."""

    name = "raw"

    def reduced(self, in_flight: int) -> int:
        return in_flight // 2


@pytest.mark.parametrize("kind", [_Stale, _Raw])
def test_control_events_like_these_find_a_missing_floor(kind: type[Controller]) -> None:
    with pytest.raises(AssertionError):
        run(kind, range(60), 150)


def test_the_end_of_a_gentle_slow_start_is_no_less_than_a_loss_would_leave() -> None:
    """RFC 9406 §4.2 sets ssthresh to cwnd, which may be one segment after a quiet time."""
    c = NewReno(1000, 1000)
    c.configure(TcpConfig())
    s = AckSample()
    s.srtt_us = s.rtt_us = 20 * MS
    while c.ssthresh == INFINITE_SSTHRESH:
        s.round_count += 1
        s.rtt_us += 10 * MS
        for _ in range(10):
            s.acked = 1
            c.on_ack(s)
        assert s.round_count < 50
    assert c.cwnd < 2000
    assert c.ssthresh == 2000


@pytest.mark.parametrize("name", ["newreno", "cubic"])
def test_the_ack_that_ends_recovery_counts_by_what_it_delivers(name: str) -> None:
    """Nine tenths of what it acknowledges were reported before, and slowed the window down already."""
    grown = []
    for ended, delivered in ((False, 20), (True, 20), (True, 2), (True, 0)):
        c = ALGORITHMS[name](MSS, 10 * MSS)
        c.on_loss(0, 40 * MSS)
        if ended:
            c.on_recovery_exit(0)
        sample = AckSample()
        sample.srtt_us = 1000
        sample.acked, sample.newly_delivered = 20 * MSS, delivered * MSS
        before = c.cwnd
        for now in (1000, 2000, 3000):  # the second and the third count whole
            sample.now = now
            c.on_ack(sample)
            sample.newly_delivered = 0
        grown.append(c.cwnd - before)
    whole, the_same, tenth, nothing = grown
    assert whole == the_same >= tenth >= nothing > 0
    assert whole > nothing
