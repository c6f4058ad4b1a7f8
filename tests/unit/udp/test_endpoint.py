import errno

import pytest

from stack.udp.endpoint import DATAGRAM_COST, ERROR, READABLE, UdpEndpoint, to_exception
from stack.wire.icmp import ErrorKind, TransportError
from tests.support.rfc import rfc


def datagram(data=b"x"):
    return (data, 1, 2, 3, 64, 0, 1)


def endpoint(limit_bytes=10_000, limit_datagrams=10):
    return UdpEndpoint(0, 5000, limit_bytes=limit_bytes, limit_datagrams=limit_datagrams)


def error(kind=ErrorKind.PORT_UNREACHABLE):
    return TransportError(kind, 17, 3, 5000, 1, 2, mtu=1400)


def test_datagrams_come_out_in_order():
    e = endpoint()
    assert e.on_datagram(datagram(b"1")) == 1  # the driver has to be told
    assert e.on_datagram(datagram(b"2")) == 0  # it knows
    assert e.take_events() == READABLE
    assert e.events == 0
    assert e.recv()[0] == b"1"
    assert e.on_datagram(datagram(b"3")) == 1
    assert [d[0] for d in e.recv_all()] == [b"2", b"3"]
    assert e.recv() is None


def test_the_queue_is_bounded_by_number_and_by_bytes():
    e = endpoint()
    assert [e.on_datagram(datagram(b"")) >= 0 for _ in range(12)] == [True] * 10 + [False] * 2
    assert e.dropped == 2
    e.recv()
    assert e.on_datagram(datagram()) == 0
    e = endpoint(limit_bytes=1000 + 2 * DATAGRAM_COST)
    assert [e.on_datagram(datagram(bytes(500))) >= 0 for _ in range(3)] == [True, True, False]
    e.recv_all()
    assert e.on_datagram(datagram(bytes(1000))) == 0


@rfc("1122", "4.1.3.3", "UDP-4")
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.PORT_UNREACHABLE, errno.ECONNREFUSED),
        (ErrorKind.FRAG_NEEDED, errno.EMSGSIZE),
        (ErrorKind.NET_UNREACHABLE, errno.ENETUNREACH),
        (ErrorKind.HOST_UNREACHABLE, errno.EHOSTUNREACH),
        (ErrorKind.TIME_EXCEEDED, errno.EHOSTUNREACH),
        (ErrorKind.ADMIN_PROHIBITED, errno.EHOSTUNREACH),
    ],
)
def test_errors_are_those_of_a_socket(kind, code):
    e = endpoint()
    assert e.on_error(error(kind))
    assert not e.on_error(error(kind))
    assert e.take_events() == ERROR
    assert e.take_error().errno == code
    assert e.take_error_record().kind == kind
    assert e.take_error() is None
    assert to_exception(error(kind)).errno == code


def test_errors_are_bounded():
    e = endpoint()
    for _ in range(100):
        e.on_error(error())
    count = 0
    while e.take_error_record():
        count += 1
    assert count == 16
