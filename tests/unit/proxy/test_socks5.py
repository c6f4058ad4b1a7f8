"""The codec and the handshake of SOCKS5, byte by byte and with nonsense."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.proxy import socks5
from stack.proxy.socks5 import Handshake, Malformed, Request, reply, unwrap, wrap
from tests.support.rfc import rfc

GREETING = b"\x05\x01\x00"
TO_ADDRESS = b"\x05\x01\x00\x01\xc6\x12\x00\x01\x00\x50"
TO_NAME = b"\x05\x01\x00\x03\x0cexample.test\x01\xbb"
PASSWORD = b"\x01\x04user\x06secret"

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=255)


def dribble(data, credentials=None):
    """What a handshake answers when it gets one octet at a time, and the handshake."""
    handshake = Handshake(credentials)
    answers = b"".join(handshake.feed(data[i : i + 1]) for i in range(len(data)))
    return answers, handshake


def at_once(data, credentials=None):
    handshake = Handshake(credentials)
    return handshake.feed(data), handshake


@pytest.mark.parametrize("give", [dribble, at_once])
@rfc("1928", "4")
def test_a_connection_to_an_address_and_to_a_name(give):
    answers, handshake = give(GREETING + TO_ADDRESS)
    assert (answers, handshake.failure) == (b"\x05\x00", "")
    assert handshake.request == Request(socks5.CONNECT, "198.18.0.1", 80)
    answers, handshake = give(GREETING + TO_NAME)
    assert handshake.request == Request(socks5.CONNECT, "example.test", 443)
    assert handshake.rest == b""


@rfc("1928", "4")
def test_what_follows_the_request_is_kept():
    _, handshake = at_once(GREETING + TO_NAME + b"GET / HTTP/1.0\r\n\r\n")
    assert handshake.rest == b"GET / HTTP/1.0\r\n\r\n"


@rfc("1928", "3", "SOCKS-METHODS")
def test_a_method_is_selected_or_none_of_them():
    assert at_once(b"\x05\x03\x80\x02\x00")[0] == b"\x05\x00"
    for offered in (b"\x05\x00", b"\x05\x01\x02", b"\x05\x02\x01\x80"):
        answers, handshake = at_once(offered)
        assert (answers, handshake.failure) == (b"\x05\xff", "method")
    answers, handshake = at_once(GREETING, ("user", "secret"))  # who asks for a password gets nobody without one
    assert (answers, handshake.failure) == (b"\x05\xff", "method")


@pytest.mark.parametrize("give", [dribble, at_once])
@rfc("1929", "2", "SOCKS-PASSWORD")
def test_a_password(give):
    offer = b"\x05\x02\x00\x02"
    answers, handshake = give(offer + PASSWORD + TO_ADDRESS, ("user", "secret"))
    assert answers == b"\x05\x02\x01\x00"
    assert handshake.request is not None
    for wrong in (b"\x01\x04user\x06secre!", b"\x01\x04usex\x06secret", b"\x01\x00\x00", b"\x01\x04user\x00"):
        answers, handshake = give(offer + wrong, ("user", "secret"))
        assert (answers, handshake.failure, handshake.request) == (b"\x05\x02\x01\x01", "password", None)
    assert at_once(offer + b"\x05\x04user", ("user", "secret"))[1].failure == "version"


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (b"\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50", 7, "command"),  # BIND
        (b"\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50", 7, "command"),
        (b"\x05\xff", 7, "command"),
        (b"\x05\x01\x00\x04" + bytes(16) + b"\x00\x50", 8, "address_type"),  # IPv6
        (b"\x05\x01\x00\x02\x00", 8, "address_type"),
        (b"\x05\x01\x00\x03\x00\x00\x50", 1, "name"),
        (b"\x05\x01\x00\x03\x03a\x00b\x00\x50", 1, "name"),
        (b"\x05\x01\x00\x03\x02\xc3\xa9\x00\x50", 1, "name"),
        (b"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x00", 1, "port"),
        (b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", 1, "version"),
    ],
)
@rfc("1928", "6", "SOCKS-REPLIES")
def test_requests_that_are_refused(request_, code, reason):
    for give in (dribble, at_once):
        answers, handshake = give(GREETING + request_)
        assert (answers, handshake.failure) == (b"\x05\x00" + reply(code), reason)
        assert handshake.feed(b"more") == b""


@pytest.mark.parametrize(
    "nonsense", [b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]
)
def test_what_is_not_socks_is_not_answered(nonsense):
    answers, handshake = at_once(nonsense)
    assert (answers, handshake.failure, handshake.request) == (b"", "version", None)


@given(st.lists(st.binary(max_size=40), max_size=12), st.booleans())
def test_any_octets_end_in_a_request_a_failure_or_a_wait_and_hold_little(pieces, asks):
    handshake = Handshake(("user", "secret") if asks else None)
    for piece in pieces:
        answer = handshake.feed(piece)
        assert len(answer) <= 2 + 2 + 10
        assert len(handshake._buffer) <= 2 + 255 + 3 + 510 + 262
        assert not (handshake.failure and handshake.request)


@given(names, st.integers(1, 65_535), st.binary(max_size=30), st.data())
def test_however_the_octets_come_the_request_is_the_same(name, port, after, data):
    octets = GREETING + b"\x05\x01\x00\x03" + bytes((len(name),)) + name.encode() + port.to_bytes(2, "big") + after
    handshake, at = Handshake(), 0
    while at < len(octets) and handshake.request is None:
        step = data.draw(st.integers(1, len(octets)))
        handshake.feed(octets[at : at + step])
        at += step
    assert handshake.request == Request(socks5.CONNECT, name, port)
    assert handshake.rest + octets[at:] == after


@given(st.integers(0, 2**32 - 1), st.integers(1, 65_535), st.binary(max_size=2000))
@rfc("1928", "7")
def test_datagrams_come_out_as_they_went_in(number, port, payload):
    address = ".".join(map(str, number.to_bytes(4, "big")))
    assert unwrap(wrap(address, port, payload)) == (address, port, payload)


@given(st.binary(max_size=300))
def test_any_datagram_is_read_or_refused(datagram):
    with contextlib.suppress(Malformed):
        host, port, payload = unwrap(datagram)
        assert host
        assert 0 < port < 65_536
        assert datagram.endswith(payload)


@rfc("1928", "7", "SOCKS-FRAG")
def test_fragments_and_bad_headers_are_refused():
    whole = wrap("198.18.0.1", 53, b"data")
    assert unwrap(b"\0\0\0\x03\x04host\x00\x35data") == ("host", 53, b"data")
    for damaged, reason in (
        (b"\0\0\x01" + whole[3:], "fragment"),
        (b"\0\0\x81" + whole[3:], "fragment"),
        (b"\0\x01" + whole[2:], "header"),
        (whole[:9], "header"),
        (b"", "header"),
        (whole[:8] + b"\0\0data", "port"),
        (b"\0\0\0\x04" + bytes(18), "address_type"),
    ):
        with pytest.raises(Malformed, match=reason):
            unwrap(damaged)
