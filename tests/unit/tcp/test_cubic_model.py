"""CUBIC against RFC 9438 in floating point, written here from the text: segments and seconds."""

import pytest

from stack.config import SECOND, TcpConfig
from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.cubic import Cubic
from tests.support.rfc import rfc

MSS = 1448
C, BETA = 0.4, 0.7
ALPHA = 3 * (1 - BETA) / (1 + BETA)


class Model:
    """RFC 9438 §4, one variable per name of §4.1.2."""

    def __init__(self, cwnd):
        self.cwnd = self.cwnd_prior = cwnd
        self.w_max = 0.0
        self.t_epoch = None
        self.w_est = self.k = 0.0
        self.reno = False

    def congestion(self, flight):
        self.cwnd_prior = self.cwnd  # §4.6
        self.w_max = self.cwnd * (1 + BETA) / 2 if self.cwnd < self.w_max else self.cwnd  # §4.7
        self.cwnd = max(flight * BETA, 2)
        self.t_epoch = None

    def ack(self, now, segments, rtt):
        if self.t_epoch is None:
            self.t_epoch = now
            self.w_est = self.cwnd
            if self.cwnd >= self.w_max:
                self.w_max = self.cwnd
            self.k = ((self.w_max - self.cwnd) / C) ** (1 / 3)
        alpha = 1 if self.w_est >= self.cwnd_prior else ALPHA  # §4.3
        self.w_est += alpha * segments / self.cwnd
        t = now - self.t_epoch
        self.reno = self.w_cubic(t) < self.w_est
        if self.reno:
            self.cwnd = max(self.cwnd, self.w_est)
        else:
            target = min(max(self.w_cubic(t + rtt), self.cwnd), 1.5 * self.cwnd)  # §4.2
            self.cwnd += segments * (target - self.cwnd) / self.cwnd  # §4.4, §4.5

    def w_cubic(self, t):
        return C * (t - self.k) ** 3 + self.w_max


class Both:
    """The engine's controller and the model under the same ACKs."""

    def __init__(self, cwnd, rtt_us):
        self.c = Cubic(MSS, cwnd * MSS)
        self.c.configure(TcpConfig(hystart=False))
        self.c.ssthresh = 0  # congestion avoidance at once, as after HyStart++
        self.m = Model(float(cwnd))
        self.rtt_us = rtt_us
        self.sample = AckSample()
        self.sample.acked, self.sample.srtt_us = 2 * MSS, rtt_us

    def loss(self):
        self.c.on_loss(self.sample.now, self.c.cwnd)
        self.m.congestion(self.m.cwnd)

    def run(self, seconds):
        """The largest relative difference meanwhile, and the share of ACKs in the Reno-friendly region."""
        s, worst, reno, acks = self.sample, 0.0, 0, 0
        end = s.now + int(seconds * SECOND)
        while s.now < end:
            s.now += self.rtt_us * 2 * MSS // self.c.cwnd
            self.c.on_ack(s)
            self.m.ack(s.now / SECOND, 2, self.rtt_us / SECOND)
            worst = max(worst, abs(self.c.cwnd / MSS - self.m.cwnd) / self.m.cwnd)
            reno += self.m.reno
            acks += 1
        return worst, reno / acks


@rfc("9438", "4.2", "9438-1")
@rfc("9438", "4.4", "9438-2")
@pytest.mark.parametrize(("cwnd", "rtt_ms"), [(300, 100), (2000, 50), (100, 200)])
def test_cubic_follows_the_text_over_several_losses(cwnd, rtt_ms):
    """Concave and convex, with fast convergence at the second loss, which comes below the first W_max."""
    both = Both(cwnd, rtt_ms * 1000)
    shares = []
    for seconds in (2, 15, 3, 12):
        both.loss()
        worst, share = both.run(seconds)
        shares.append(share)
        assert worst < 0.005
    assert min(shares) < 0.2, "the curve was at work"


@rfc("9438", "4.3", "9438-1")
@pytest.mark.parametrize(("cwnd", "rtt_ms"), [(20, 10), (40, 20), (12, 40)])
def test_alpha_is_one_from_cwnd_prior_on(cwnd, rtt_ms):
    """In the Reno-friendly region, past the window at the last reduction, growth is a segment per round trip."""
    both = Both(cwnd, rtt_ms * 1000)
    both.loss()
    slopes = []
    while len(slopes) < 2:
        past = both.m.w_est >= both.m.cwnd_prior
        before, rounds = both.c.cwnd, 4
        worst, share = both.run(rounds * rtt_ms / 1000)
        assert worst < 0.01
        if share == 1.0 and past == bool(slopes):
            slopes.append((both.c.cwnd - before) / MSS / rounds)
    assert slopes[0] == pytest.approx(ALPHA, rel=0.1)
    assert slopes[1] == pytest.approx(1.0, rel=0.1)


@rfc("9438", "4.6", "9438-1")
@rfc("9438", "4.7", "9438-1")
def test_fast_convergence_lowers_the_plateau():
    """Without it (a first loss) the window comes back to W_max; after a loss below W_max it aims lower."""
    c = Cubic(MSS, 100 * MSS)
    c.on_loss(0, 100 * MSS)
    assert (c.cwnd, c.ssthresh, c.describe()["w_max"]) == (70 * MSS, 70 * MSS, 100 * MSS)
    c.on_loss(SECOND, 70 * MSS)
    assert c.describe()["w_max"] == 70 * MSS * 17 // 20


@rfc("9438", "4.9", "9438-1")
def test_a_spurious_reduction_leaves_no_trace_in_the_curve():
    both, undisturbed = Both(300, 50_000), Both(300, 50_000)
    for b in (both, undisturbed):
        b.loss()
        b.run(2)
    both.c.on_loss(both.sample.now, both.c.cwnd)
    assert both.c.cwnd < undisturbed.c.cwnd
    both.c.on_spurious(both.sample.now)
    for _ in range(5):
        both.run(1)
        undisturbed.run(1)
        assert both.c.cwnd == undisturbed.c.cwnd


@rfc("9438", "4.9.2", "9438-1")
def test_a_late_undo_keeps_the_newer_curve():
    both = Both(50, 50_000)
    both.loss()
    both.run(20)
    grown, curve = both.c.cwnd, both.c.describe()
    assert grown > 50 * MSS
    both.c.on_spurious(both.sample.now)
    assert (both.c.cwnd, both.c.describe()) == (grown, curve)


@rfc("9438", "5.8")
@rfc("9438", "4.2")
def test_time_limited_by_the_application_does_not_count():
    """Ten seconds of an idle, and ten of a slow application, change nothing of what follows."""
    both = Both(300, 50_000)
    both.loss()
    both.run(10)  # past K, in the convex part: a new epoch would show
    s = both.sample
    at, before = s.now, both.c.cwnd
    both.c.on_sent(s.now + 10 * SECOND, MSS, MSS, app_limited=True)
    s.app_limited = True
    for k in range(1, 101):
        s.now = at + 10 * SECOND + k * SECOND // 10
        both.c.on_ack(s)
    assert both.c.cwnd == before
    s.app_limited = False
    for _ in range(20):
        s.now += both.rtt_us * 2 * MSS // both.c.cwnd
        both.c.on_ack(s)
        both.m.ack((s.now - 20 * SECOND) / SECOND, 2, both.rtt_us / SECOND)
    assert both.c.cwnd / MSS == pytest.approx(both.m.cwnd, rel=0.002)


@rfc("9438", "4.8", "9438-1")
@rfc("9438", "4.8", "9438-2")
def test_after_a_timeout_the_curve_begins_where_slow_start_ends():
    c = Cubic(MSS, 100 * MSS)
    c.on_rto(0, 100 * MSS, first=True)
    c.on_rto(SECOND, 100 * MSS, first=False)
    assert (c.cwnd, c.ssthresh) == (MSS, 70 * MSS)
    s = AckSample()
    s.acked, s.srtt_us = 2 * MSS, 50_000
    while c.cwnd < 70 * MSS:
        s.now += 1000
        c.on_ack(s)
    s.now += 1000
    c.on_ack(s)
    assert (c.describe()["k_us"], c.describe()["w_max"]) == (0, 70 * MSS)
