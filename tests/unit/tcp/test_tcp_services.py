"""What the application is offered beyond a byte stream: urgent data, keep-alive of its own, word of soft errors."""

from stack.tcp.events import URGENT, WRITABLE
from stack.wire.icmp import ErrorKind
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, HOUR, SECOND, URG


@rfc("9293", "3.8.5", "MUST-30, MUST-62")
def test_the_pointer_names_the_octet_after_the_urgent_data(tcp):
    t = tcp().established()
    t.rules.written += b"urgent"
    t.conn.send_urgent(b"urgent", t.clock.now)
    t.pump()
    t.peer.expects(ACK | URG, seq=1, data=b"urgent", up=6)


@rfc("9293", "3.8.5", "MUST-33")
def test_the_application_learns_how_much_urgent_data_is_left(tcp):
    t = tcp().established()
    assert t.conn.urgent_remaining() == 0
    t.peer.sends(ACK | URG, up=10, data=b"abcd")
    assert t.events() & URGENT
    assert t.conn.urgent_remaining() == 10
    t.recv(3)
    assert t.conn.urgent_remaining() == 7
    t.peer.sends(ACK | URG, up=6, data=b"efghijkl")
    t.recv()
    assert t.conn.urgent_remaining() == 0


@rfc("9293", "3.8.4", "MUST-24")
def test_keepalive_is_a_matter_of_each_connection(tcp):
    quiet, lively = tcp().established(), tcp(keepalive=True).established()
    for t in (quiet, lively):
        t.clock.advance(us=2 * HOUR + SECOND)
    quiet.peer.expects_nothing()
    assert len(lively.peer.drain()) == 1


@rfc("9293", "3.9.1.8", "MUST-47")
@rfc("9293", "3.9.2.2", "SHLD-25")
def test_a_soft_error_is_known_at_once_and_is_the_reason_when_the_connection_fails(tcp):
    t = tcp(user_timeout_us=30 * SECOND).established()
    t.send(100)
    t.icmp(3, 1, seq=1)
    assert t.conn.soft_error == ErrorKind.HOST_UNREACHABLE
    assert t.conn.error is None
    t.clock.advance(s=40)
    assert "host unreachable" in str(t.conn.error)


def test_the_application_may_write_again_whichever_segment_brought_the_ack(tcp):
    """The last ACK may come on a retransmission of old data, and nothing after it."""
    t = tcp(send_buffer=4000, nodelay=True).established()
    t.peer.sends(ACK, data=b"old")
    t.send(4000)
    t.peer.drain()
    t.events()
    t.peer.sends(ACK, seq=1, ack=4001, data=b"old")
    assert t.events() & WRITABLE


@rfc("9293", "3.8.4", "MUST-24")
def test_a_fin_that_goes_out_in_place_of_a_keepalive_is_retransmitted(tcp):
    t = tcp(keepalive=True).established()
    t.clock.now = t.deadline
    t.subject.on_timer(t.clock.now)
    t.close()  # in the pass in which the timer fired
    t.peer.expects(FIN | ACK, seq=1)
    assert t.until_sent() < 2 * SECOND
    t.peer.expects(FIN | ACK, seq=1)
