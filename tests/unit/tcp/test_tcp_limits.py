"""Bounds that hold when a peer is odd rather than hostile."""

from stack.config import TcpConfig
from stack.tcp.memory import UNLIMITED, Budget
from stack.tcp.receiver import JOIN_BYTES, JOIN_FROM, Receiver
from stack.tcp.segment import ACK, FIN, Segment
from stack.tcp.time_wait import ANSWER, DROP, QUIET_US, TimeWait
from tests.support.rfc import rfc


@rfc("4987", "1", "SACK-DOS")
def test_tiny_segments_that_nobody_reads_are_joined():
    rcv = Receiver(TcpConfig(recv_buffer_initial=1 << 20), Budget(UNLIMITED))
    rcv.start(0)
    count = 100_000
    for i in range(count):
        rcv.on_next(bytes((i & 0xFF,)))
    assert len(rcv.chunks) <= JOIN_FROM + 2 + count // JOIN_BYTES
    assert b"".join(rcv.take_all()) == bytes(i & 0xFF for i in range(count))


def test_a_few_small_segments_stay_as_they_came():
    rcv = Receiver(TcpConfig(recv_buffer_initial=1 << 20), Budget(UNLIMITED))
    rcv.start(0)
    for _ in range(JOIN_FROM):
        rcv.on_next(b"x")
    assert rcv.chunks == [b"x"] * JOIN_FROM


@rfc("5961", "7", "5961-7")
def test_two_time_waits_that_contradict_each_other_do_not_echo_acks():
    record = TimeWait(1000, 2000, 100, (False, 0, 0), 60_000_000, 0)
    seg = Segment()
    seg.flags, seg.seq, seg.ack = ACK, 5000, 1000
    verdicts = [record.on_segment(seg, now) for now in range(0, QUIET_US, QUIET_US // 10)]
    assert verdicts == [ANSWER] + [DROP] * 9
    assert record.on_segment(seg, QUIET_US) == ANSWER
    # the control: a retransmitted FIN is always answered
    seg.flags, seg.seq = ACK | FIN, 1999
    assert [record.on_segment(seg, QUIET_US + i) for i in range(5)] == [ANSWER] * 5


def test_a_syn_sent_again_does_not_take_the_window_back():
    """RFC 9293 §3.8.6 (MUST-34): an ACK in SYN-RECEIVED says more than a SYN can.  Found by `make sim`."""
    rcv = Receiver(TcpConfig(recv_buffer_initial=1 << 20), Budget(UNLIMITED))
    rcv.start(0xFFFF_FFF0)
    rcv.rcv_wscale = 7
    assert rcv.syn_window_field() == 0xFFFF
    assert rcv.window_field() << 7 > 0xFFFF
    edge = rcv.rcv_adv
    assert rcv.syn_window_field() == 0xFFFF
    assert rcv.rcv_adv == edge
