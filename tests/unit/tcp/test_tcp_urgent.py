"""Urgent data (RFC 9293 §3.8.5, RFC 6093), soft errors, keep-alive per connection, wide addresses."""

import pytest

from stack.config import TcpConfig
from stack.errors import HostUnreachable
from stack.tcp.connection import Connection
from stack.tcp.events import URGENT
from stack.tcp.isn import initial_sequence
from stack.tcp.state import CLOSED, ESTABLISHED
from stack.wire.frame import L4_OFF, TxFrame
from stack.wire.icmp import ErrorKind
from tests.support import tcp_codec as codec
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, HOUR, MINUTE, PSH, SECOND, SYN, URG


@rfc("9293", "3.8.5", "MUST-30")
@rfc("6093", "3", "MUST-62")
def test_sent_pointer_names_the_octet_after_the_urgent_data(tcp):
    t = tcp().established()
    t.send_urgent(b"stop")
    t.peer.expects(ACK | URG | PSH, seq=1, data=b"stop", up=4)
    t.peer.sends(ACK)
    t.send(b"more")
    t.peer.expects(ACK | PSH, seq=5, data=b"more")


@rfc("9293", "3.8.5", "MUST-31")
@pytest.mark.parametrize("size", [1, 1460, 4000, 70_000])
def test_urgent_data_of_any_length(tcp, size):
    """Every segment up to the mark carries URG, its pointer counts from its own number (at most 65535)."""
    t = tcp().established(wscale=2, wnd=200_000)
    t.send_urgent(bytes(size))
    at = 1
    while at <= size:
        for s in t.peer.drain():
            assert s.flags & URG
            assert s.up == min(size + 1 - at, 65_535)
            at += len(s.data)
        t.peer.sends(ACK)
    t.send(b"x")
    assert not t.peer.drain()[-1].flags & URG


@rfc("9293", "3.8.5", "MUST-30")
def test_urgent_data_is_never_a_super_segment(tcp):
    t = tcp(max_gso=60_000).established()
    t.send_urgent(bytes(8000))
    assert all(len(s.data) <= 1460 for s in t.peer.drain())


@rfc("9293", "3.8.5", "MUST-33")
def test_application_learns_how_much_urgent_data_is_left(tcp):
    t = tcp().established()
    assert t.conn.urgent_remaining() == 0
    t.peer.sends(ACK | URG, up=8, data=b"abcd")
    assert t.events() & URGENT
    assert t.conn.urgent_remaining() == 8
    t.recv(3)
    assert t.conn.urgent_remaining() == 5
    t.peer.sends(ACK | URG, up=4, data=b"efghij")
    assert t.conn.urgent_remaining() == 5
    assert t.recv() == b"defghij"
    assert t.conn.urgent_remaining() == 0
    t.peer.sends(ACK, data=b"klm")
    assert t.conn.urgent_remaining() == 0


@rfc("9293", "3.9.1.8", "MUST-47")
@rfc("9293", "3.9.2.2", "MUST-54")
def test_soft_error_is_told_when_the_connection_fails(tcp):
    t = tcp().open()
    t.icmp(3, 1, seq=0)
    assert t.conn.soft_error == ErrorKind.HOST_UNREACHABLE
    t.run(lambda: t.state == CLOSED)
    assert isinstance(t.conn.error, HostUnreachable)


@rfc("9293", "3.8.4", "MUST-24")
def test_keepalive_is_switched_per_connection(tcp):
    t, other = tcp(keepalive_idle_us=MINUTE).established(), tcp(keepalive_idle_us=MINUTE).established()
    t.conn.set_keepalive(True, t.clock.now)
    assert t.until_sent() == MINUTE
    other.clock.advance(us=HOUR)
    other.peer.expects_nothing()
    t.peer.drain()
    t.peer.sends(ACK)
    t.conn.set_keepalive(False, t.clock.now)
    t.clock.advance(us=HOUR)
    t.peer.expects_nothing()
    assert t.state == ESTABLISHED


@rfc("9293", "3.8.4", "MUST-24")
def test_keepalive_switched_on_before_the_handshake_ends(tcp):
    t = tcp(keepalive=True, keepalive_idle_us=MINUTE).established(passive=True)
    assert t.until_sent() == MINUTE


@rfc("9293", "3.1", "MUST-68")
@rfc("9293", "3.1", "MUST-69")
@pytest.mark.parametrize("mix", range(8))
def test_sent_options_are_well_formed(tcp, mix):
    """The decoder of the scripts refuses options without length and padding that is not zero."""
    settings = {"sack": bool(mix & 1), "timestamps": bool(mix & 2), "window_scaling": bool(mix & 4)}
    t = tcp(**settings).open()
    s = t.peer.expects(SYN, mss=1460)
    assert (s.sack_ok, s.ts is not None, s.wscale is not None) == tuple(settings.values())
    assert len(s.option_bytes) % 4 == 0
    t.peer.sends(SYN | ACK, seq=0, mss=1460, sack_ok=True, ts=True, wscale=3)
    t.peer.expects(ACK)
    t.peer.sends(ACK, seq=50, data=b"x")
    s = t.peer.expects(ACK, ack=1)
    assert bool(s.sack) == settings["sack"]


def test_decoder_refuses_what_is_malformed():
    """Control of the test above."""
    good = bytes.fromhex("1f909c40 00000001 00000002 6010 ffff 0000 0000 0101 0402".replace(" ", ""))
    codec.decode(0, good, b"", 0)
    for bad in (
        good[:20] + b"\x08\x0a\0\0",
        good[:20] + b"\0\0\0\1",
        good[:20] + b"\1\1\1\x02",
        good[:16] + b"\1\1" + good[18:],
        good[:20],
    ):
        with pytest.raises(AssertionError):
            codec.decode(0, bad, b"", 0)


def test_addresses_are_opaque_numbers():
    """Nothing in the core may assume that an address has 32 bits (IPv6 will come)."""
    ours, theirs = 0x20010DB8 << 96 | 1, 0x20010DB8 << 96 | 2
    iss, ts_offset = initial_sequence(b"k" * 16, ours, 80, theirs, 4000, SECOND)
    assert iss != initial_sequence(b"k" * 16, ours, 80, theirs + (1 << 64), 4000, SECOND)[0]
    conn = Connection(ours, 80, theirs, 4000, TcpConfig(), iss, ts_offset, SECOND, 1440)
    conn.open(SECOND)
    frame = TxFrame()
    assert conn.poll_transmit(frame, SECOND)
    s = codec.decode(0, bytes(frame.header[L4_OFF : frame.header_end]), b"", 0)
    assert (s.seq, s.flags & ~FIN, s.mss) == (iss, SYN, 1440)
