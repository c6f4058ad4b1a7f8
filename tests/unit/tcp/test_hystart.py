"""HyStart++ (RFC 9406): NewReno and CUBIC leave the first slow start when round trips get longer."""

import pytest

from stack.config import TcpConfig
from stack.tcp.congestion.base import INFINITE_SSTHRESH, AckSample
from stack.tcp.congestion.cubic import Cubic
from stack.tcp.congestion.newreno import NewReno
from stack.tcp.congestion.reno import Reno
from tests.support.rfc import rfc

MSS = 1000
MS = 1_000


class Rounds:
    """A controller fed with whole rounds of ACKs for one segment each."""

    def __init__(self, kind=NewReno, *, hystart=True, paced=False):
        self.c = kind(MSS, 10 * MSS)
        self.c.configure(TcpConfig(hystart=hystart))
        self.sample = AckSample()
        self.sample.paced = paced
        self.sample.acked = MSS
        self.sample.srtt_us = 50 * MS

    def run(self, rtt_us, acks=10, rounds=1):
        """So many rounds; returns the growth of the window in the last one."""
        s = self.sample
        for _ in range(rounds):
            s.round_count += 1
            before = self.c.cwnd
            for n in range(acks):
                s.round_start = n == 0
                s.rtt_us = rtt_us
                s.now += rtt_us // acks
                s.delivered += s.acked
                self.c.on_ack(s)
        return self.c.cwnd - before


@rfc("9406", "4.2", "9406-1")
@pytest.mark.parametrize("kind", [NewReno, Cubic])
def test_a_longer_round_trip_ends_slow_start_after_five_careful_rounds(kind):
    r = Rounds(kind)
    assert r.run(50 * MS, rounds=3) == 10 * MSS
    # 50 ms / 8 more: the eighth sample shows it, and the rest of the round grows by a quarter
    assert r.run(60 * MS) == 7 * MSS + 3 * MSS // 4
    assert r.run(60 * MS, rounds=4) == 10 * MSS // 4
    assert r.c.ssthresh == INFINITE_SSTHRESH
    cwnd = r.c.cwnd
    r.run(60 * MS)  # the partial round counted as one of five
    assert r.c.ssthresh == cwnd
    assert 0 <= r.c.cwnd - cwnd <= MSS


@rfc("9406", "4.2", "9406-1")
@pytest.mark.parametrize("kind", [NewReno, Cubic])
def test_without_hystart_slow_start_goes_on(kind):
    """Control of the test above; Reno has none whatever the setting."""
    for r in (Rounds(kind, hystart=False), Rounds(Reno)):
        r.run(50 * MS, rounds=3)
        assert r.run(60 * MS, rounds=20) == 10 * MSS
        assert r.c.ssthresh == INFINITE_SSTHRESH


@rfc("9406", "4.3", "9406-1")
@pytest.mark.parametrize(("rtt_us", "threshold_us"), [(10 * MS, 4 * MS), (80 * MS, 10 * MS), (400 * MS, 16 * MS)])
def test_the_threshold_is_an_eighth_between_4_and_16_ms(rtt_us, threshold_us):
    for extra, grown in ((threshold_us - 1, 10 * MSS), (threshold_us, 7 * MSS + 3 * MSS // 4)):
        r = Rounds()
        r.run(rtt_us)
        assert r.run(rtt_us + extra) == grown


@rfc("9406", "4.2", "9406-1")
def test_fewer_than_eight_samples_decide_nothing():
    r = Rounds()
    r.run(50 * MS, acks=7)
    assert r.run(90 * MS, acks=7) == 7 * MSS
    r = Rounds()
    r.run(50 * MS, acks=7)
    assert r.run(90 * MS, acks=9) == 7 * MSS + 2 * MSS // 4, "the round before needs no eight"
    r = Rounds()
    r.run(50 * MS)
    assert r.run(-1, acks=30) == 30 * MSS, "ACKs of retransmitted data are no samples"


@rfc("9406", "4.2", "9406-1")
def test_a_round_trip_that_falls_again_resumes_slow_start():
    r = Rounds()
    r.run(50 * MS, rounds=2)
    r.run(60 * MS, rounds=2)
    assert r.run(59 * MS) == 7 * MSS // 4 // 250 * 250 + 3 * MSS  # seven samples at a quarter, then it is known
    assert r.run(59 * MS, rounds=20) == 10 * MSS
    assert r.c.ssthresh == INFINITE_SSTHRESH
    r.run(70 * MS)
    assert r.run(70 * MS) == 10 * MSS // 4, "and it may be left again"


@rfc("9406", "4.3", "9406-1")
def test_only_the_first_slow_start_is_watched():
    r = Rounds()
    r.run(50 * MS)
    r.c.on_loss(r.sample.now, 100 * MSS)
    r.c.on_rto(r.sample.now, 100 * MSS, first=True)
    r.run(50 * MS)
    assert r.c.cwnd < r.c.ssthresh - 30 * MSS
    assert r.run(90 * MS) == 10 * MSS


@rfc("9406", "4.3")
@pytest.mark.parametrize(("paced", "grown"), [(False, 8), (True, 40)])
def test_an_ack_for_a_super_segment_grows_eight_segments_unless_paced(paced, grown):
    r = Rounds(paced=paced)
    r.sample.acked = 40 * MSS
    assert r.run(50 * MS, acks=1) == grown * MSS
