"""Reading into a buffer of the caller's: the same octets and the same accounts as `recv`, without joining pieces."""

from hypothesis import given
from hypothesis import strategies as st

from stack.config import TcpConfig
from stack.tcp.memory import Budget
from stack.tcp.receiver import Receiver
from tests.support.tcp_dsl import ACK

STEPS = st.lists(st.tuples(st.lists(st.integers(1, 70_000), max_size=4), st.integers(0, 150_000)), max_size=12)


def test_it_ends_with_a_whole_piece_and_cuts_only_the_first(tcp):
    t = tcp().established()
    for data in (b"a" * 300, b"b" * 300, b"c" * 300):
        t.peer.sends(ACK, data=data)
    buffer = bytearray(700)
    assert t.conn.recv_into(memoryview(buffer)) == 600
    assert buffer == b"a" * 300 + b"b" * 300 + bytes(100)
    assert t.conn.recv_into(memoryview(buffer)[:100]) == 100
    assert buffer[:101] == b"c" * 100 + b"a"
    assert t.conn.recv_pending() == 200
    assert t.conn.recv_into(memoryview(bytearray())) == 0
    assert t.conn.recv_into(memoryview(buffer)) == 200
    assert t.conn.recv_into(memoryview(buffer)) == 0
    assert t.conn.recv_pending() == 0


def test_reading_opens_a_closed_window(tcp):
    t = tcp(recv_buffer=3000, recv_buffer_initial=3000).established()
    t.peer.sends(ACK, data=bytes(3000))
    t.peer.drain()
    assert t.conn.recv_into(memoryview(bytearray(10))) == 10
    assert not t.conn.ack_pending
    assert t.conn.recv_into(memoryview(bytearray(3000))) == 2990
    assert t.conn.ack_pending


@given(STEPS)
def test_octets_and_accounts_are_those_of_take(steps):
    budgets = Budget(1 << 30), Budget(1 << 30)
    one, other = (Receiver(TcpConfig(), budget) for budget in budgets)
    letter = 0
    for pieces, size in steps:
        for length in pieces:
            letter += 1
            data = bytes([letter & 0xFF]) * length
            assert one.on_next(data) == other.on_next(data)
        buffer = bytearray(size)
        taken = one.take(size)
        assert other.take_into(memoryview(buffer)) == len(taken)
        assert buffer[: len(taken)] == taken
        assert (one.queued, one.paid, budgets[0].used) == (other.queued, other.paid, budgets[1].used)
    assert one.take_all() == other.take_all()
