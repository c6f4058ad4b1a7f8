"""Datagrams by blocking sockets."""

import errno
import select
import socket as stdlib

import pytest

from stack import socket
from stack.errors import AddressInUse
from tests.support.blocking import OURS, PATIENCE_S, PEER, eventually


@pytest.fixture
def udp(station):
    with socket.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM) as made:
        made.settimeout(PATIENCE_S)
        yield made


@pytest.mark.parametrize("size", [0, 1, 1472, 20_000, 65_507])
def test_echo(udp, size):
    data = bytes(range(256)) * 256
    assert udp.sendto(data[:size], (PEER, 7)) == size
    assert udp.recvfrom(70_000) == (data[:size], (PEER, 7))
    assert udp.getsockname()[0] == "0.0.0.0"
    assert udp.getsockname()[1] != 0


def test_too_long(udp):
    with pytest.raises(OSError) as info:
        udp.sendto(bytes(65_508), (PEER, 7))
    assert info.value.errno == errno.EMSGSIZE


def test_a_fixed_peer(udp):
    udp.connect((PEER, 7))
    assert udp.getpeername() == (PEER, 7)
    assert udp.getsockname()[0] == OURS
    assert udp.send(b"hello") == 5
    assert udp.recv(3) == b"hel"  # the rest of a datagram is lost, as everywhere
    udp.sendall(b"again")
    assert udp.recv(10, stdlib.MSG_PEEK) == b"again"
    buffer = bytearray(10)
    assert udp.recv_into(buffer) == 5
    assert buffer[:5] == b"again"
    udp.sendmsg([b"in ", b"pieces"])
    assert udp.recvmsg(100) == (b"in pieces", [], 0, (PEER, 7))
    udp.send(b"x" * 50)
    assert udp.recvmsg(10) == (b"x" * 10, [], stdlib.MSG_TRUNC, (PEER, 7))


def test_without_an_address(udp):
    udp.bind((OURS, 0))
    with pytest.raises(OSError) as info:
        udp.send(b"to whom")
    assert info.value.errno == errno.EDESTADDRREQ


def test_a_closed_port(udp):
    udp.connect((PEER, 99))
    udp.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        udp.recv(10)
    udp.setblocking(False)
    with pytest.raises(BlockingIOError):
        udp.recv(10)


def test_waiting(udp):
    udp.bind((OURS, 0))
    assert select.select([udp], [udp], [], 0)[:2] == ([], [udp])
    udp.settimeout(0.05)
    with pytest.raises(TimeoutError):
        udp.recv(1)
    udp.sendto(b"x", (PEER, 7))
    assert select.select([udp], [], [], PATIENCE_S)[0] == [udp]


def test_between_two(udp):
    udp.bind((OURS, 0))
    with socket.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM) as other:
        other.settimeout(PATIENCE_S)
        other.bind((PEER, 0))
        other.sendto(b"ping", udp.getsockname())
        data, sender = udp.recvfrom(100)
        assert (data, sender) == (b"ping", other.getsockname())
        udp.sendto(b"pong", sender)
        assert other.recv(100) == b"pong"


def test_ports(udp):
    udp.bind((OURS, 0))
    address = udp.getsockname()
    with socket.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM) as second:
        with pytest.raises(AddressInUse):
            second.bind(address)
        udp.close()
        second.bind(address)


def test_nobody_reads(station, udp):
    """What finds no room is dropped and counted; memory stays what the buffers are."""
    udp.bind((OURS, 0))
    port = udp.getsockname()[1]
    with socket.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM) as other:
        other.bind((PEER, 0))
        for _ in range(3000):
            other.sendto(bytes(1000), (OURS, port))
        [end] = station.run(
            lambda: [h for h in station.host.driver.handlers if getattr(h, "sockname", None) == (OURS, port)]
        )
        eventually(lambda: end._endpoint.dropped > 0, "a drop")
        got = 0
        udp.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                got += len(udp.recv(2000)) // 1000
    assert 10 < got < 3000


def test_shutdown_of_a_peer_less_socket_and_close(udp):
    udp.sendto(b"the last word", (PEER, 7))
    udp.close()
    with pytest.raises(OSError) as info:
        udp.recv(1)
    assert info.value.errno == errno.EBADF


def test_the_loopback_address_is_the_kernels(udp):
    with stdlib.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM) as kernel:
        kernel.bind(("127.0.0.1", 0))
        kernel.settimeout(PATIENCE_S)
        udp.sendto(b"x", kernel.getsockname())
        data, sender = kernel.recvfrom(10)
        assert data == b"x"
        assert sender[0] == "127.0.0.1"
