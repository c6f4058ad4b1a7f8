"""Connections by blocking sockets."""

import errno
import os
import select
import selectors
import socket as stdlib
import struct
import threading

import pytest

from stack import socket
from stack.errors import HostClosed
from stack.socket.ends import end_of
from tests.support.blocking import MB, OURS, PATIENCE_S, PEER, eventually, two_hosts

LINGER_0 = struct.pack("ii", 1, 0)


def connected(port=7):
    made = socket.socket()
    made.settimeout(PATIENCE_S)
    made.connect((PEER, port))
    return made


def receive(sock, size):
    data = bytearray()
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return bytes(data)


@pytest.fixture
def pair(station):
    """Two connected sockets of the same host: (client, accepted)."""
    with socket.socket() as listener:
        listener.bind((OURS, 0))
        listener.listen()
        client = socket.socket()
        client.settimeout(PATIENCE_S)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.settimeout(PATIENCE_S)
    with client, accepted:
        yield client, accepted


def test_both_ways(station):
    payload = os.urandom(5 * MB)
    with connected() as sock:
        assert sock.getpeername() == (PEER, 7)
        assert sock.getsockname()[0] == OURS
        assert sock.family == stdlib.AF_INET
        assert sock.type == stdlib.SOCK_STREAM

        def send():
            sock.sendall(payload)
            sock.shutdown(stdlib.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        got = b"".join(iter(lambda: sock.recv(1 << 18), b""))
        thread.join()
        assert got == payload


def test_a_thread_may_use_what_another_one_has_not_returned_from_connecting(station, monkeypatch):
    """As CPython's own testClose does: it accepts, closes, and waits for the end of the stream at the other side."""
    held, run = threading.Event(), type(station).run

    def slow(self, function, *args):
        result = run(self, function, *args)
        if threading.current_thread() is connecting:
            held.wait(PATIENCE_S)
        return result

    with socket.socket() as listener, socket.socket() as client:
        listener.bind((OURS, 0))
        listener.listen()
        address = listener.getsockname()
        monkeypatch.setattr(type(station), "run", slow)
        connecting = threading.Thread(target=client.connect, args=(address,))
        connecting.start()
        try:
            accepted, peer = listener.accept()
            with accepted:
                accepted.sendall(b"x")
                assert select.select([client], [], [], PATIENCE_S)[0] == [client]
                assert client.recv(1) == b"x"
                assert client.getsockname() == peer
            assert client.recv(1) == b""
            assert connecting.is_alive()
        finally:
            held.set()
            connecting.join()


def test_what_cannot_be_dialled_leaves_the_socket_as_it_was(station):
    with socket.socket() as sock:
        sock.settimeout(PATIENCE_S)
        before = os.fstat(sock.fileno()).st_ino
        with pytest.raises(ConnectionRefusedError, match="port 0"):
            sock.connect((PEER, 0))
        assert os.fstat(sock.fileno()).st_ino == before
        assert (sock.gettimeout(), sock.get_inheritable()) == (PATIENCE_S, False)
        sock.connect((PEER, 7))
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"


@pytest.mark.parametrize("method", ["connect", "connect_ex", "nonblocking"])
def test_a_refused_connection(station, method):
    with socket.socket() as sock:
        sock.settimeout(PATIENCE_S)
        if method == "connect":
            with pytest.raises(ConnectionRefusedError) as info:
                sock.connect((PEER, 99))
            assert info.value.errno == errno.ECONNREFUSED
        elif method == "connect_ex":
            assert sock.connect_ex((PEER, 99)) == errno.ECONNREFUSED
        else:
            sock.setblocking(False)
            assert sock.connect_ex((PEER, 99)) == errno.EINPROGRESS
            assert select.select([], [sock], [], PATIENCE_S)[1] == [sock]
            assert sock.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_ERROR) == errno.ECONNREFUSED
            assert sock.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_ERROR) == 0
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        sock.settimeout(PATIENCE_S)
        sock.connect((PEER, 7))  # as on Linux the same socket may try again
        sock.sendall(b"again")
        assert receive(sock, 5) == b"again"


def test_there_is_no_route(station):
    with socket.socket() as sock, pytest.raises(OSError) as info:
        sock.connect(("192.0.2.1", 80))
    assert info.value.errno == errno.ENETUNREACH


def test_nobody_answers_arp(station):
    with socket.socket() as sock:
        sock.settimeout(PATIENCE_S)
        with pytest.raises(OSError) as info:
            sock.connect(("10.0.0.77", 80))
    assert info.value.errno == errno.EHOSTUNREACH


def test_a_timeout_of_connect(station):
    with socket.socket() as sock:
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError, match="timed out"):
            sock.connect(("10.0.0.77", 80))
        assert sock.connect_ex(("10.0.0.77", 80)) in {errno.EALREADY, errno.EAGAIN}


def test_a_connection_in_progress(station):
    """Neither readable nor writable before the peer has answered: here ARP asks for one that does not exist."""
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError) as info:
            sock.connect(("10.0.0.77", 80))
        assert info.value.errno == errno.EINPROGRESS
        assert select.select([sock], [sock], [sock], 0) == ([], [], [])
        with pytest.raises(BlockingIOError) as info:
            sock.connect(("10.0.0.77", 80))
        assert info.value.errno == errno.EALREADY
        with pytest.raises(OSError) as info:
            sock.send(b"too early")
        assert info.value.errno == errno.ENOTCONN
        poll = select.poll()
        poll.register(sock, select.POLLIN | select.POLLOUT)
        [(_, mask)] = poll.poll(PATIENCE_S * 1000)
        assert mask & select.POLLERR
        assert mask & select.POLLHUP
        assert sock.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_ERROR) == errno.EHOSTUNREACH


def test_what_is_connected_is_not_connected_again(station):
    with connected() as sock:
        with pytest.raises(OSError) as info:
            sock.connect((PEER, 7))
        assert info.value.errno == errno.EISCONN


def test_half_close_both_ways(pair):
    client, accepted = pair
    client.sendall(b"question")
    client.shutdown(stdlib.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        client.send(b"more")
    assert receive(accepted, 100) == b"question"
    accepted.sendall(b"answer")
    accepted.shutdown(stdlib.SHUT_WR)
    assert receive(client, 100) == b"answer"
    assert client.recv(1) == b""


def test_a_reset_is_told_to_who_sends(pair):
    client, accepted = pair
    accepted.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, LINGER_0)
    accepted.close()
    with pytest.raises(ConnectionResetError):
        while True:
            client.sendall(bytes(1000))
    with pytest.raises(BrokenPipeError):
        client.send(b"x")
    assert client.recv(1) == b""


def test_a_reset_is_seen_by_who_has_the_descriptor_only(pair):
    """TLS reads and writes the descriptor itself."""
    client, accepted = pair
    other = os.dup(client.fileno())
    client.close()
    os.set_blocking(other, True)
    accepted.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, LINGER_0)
    accepted.close()
    with pytest.raises(ConnectionResetError):
        os.read(other, 1)
    os.close(other)


def test_closing_with_something_unread_resets(pair):
    client, accepted = pair
    client.sendall(b"for nobody")
    select.select([accepted], [], [], PATIENCE_S)
    accepted.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_what_was_sent_arrives_after_closing(pair):
    client, accepted = pair
    payload = os.urandom(3 * MB)

    def send():
        client.sendall(payload)
        client.close()

    thread = threading.Thread(target=send)
    thread.start()
    assert receive(accepted, 2 * len(payload)) == payload
    thread.join()


def test_a_peer_that_does_not_read(station):
    """The program is stopped, and nothing piles up but what the buffers of both hosts take."""
    with connected(9) as sock:
        sock.settimeout(0.3)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 * MB:
                sent += sock.send(bytes(1 << 16))
        assert sent < 16 * MB
        held = station.run(station.host.host.connections()[0].send_pending)
        assert held <= 5 * MB
        sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, LINGER_0)


def test_a_program_that_does_not_read(pair):
    client, accepted = pair
    client.settimeout(0.3)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 64 * MB:
            sent += client.send(bytes(1 << 16))
    assert sent < 16 * MB
    assert len(receive(accepted, sent)) == sent  # and then it goes on


def test_peek_waitall_and_into(pair):
    client, accepted = pair
    client.sendall(b"abcdef")
    assert accepted.recv(3, stdlib.MSG_PEEK) == b"abc"
    buffer = bytearray(4)
    assert accepted.recv_into(buffer, 0, stdlib.MSG_WAITALL) == 4
    assert buffer == b"abcd"
    assert accepted.recvfrom(10) == (b"ef", None)
    accepted.setblocking(False)
    with pytest.raises(BlockingIOError):
        accepted.recv(1)


def test_selectors(pair):
    client, accepted = pair
    with selectors.DefaultSelector() as selector:
        selector.register(accepted, selectors.EVENT_READ)
        selector.register(client, selectors.EVENT_WRITE)
        assert [key.fileobj for key, _ in selector.select(PATIENCE_S)] == [client]
        selector.unregister(client)
        assert selector.select(0) == []
        client.send(b"x")
        assert [key.fileobj for key, _ in selector.select(PATIENCE_S)] == [accepted]


def test_files_and_sendfile(pair, tmp_path):
    client, accepted = pair
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 1000)
    with path.open("rb") as source:
        assert client.sendfile(source) == 256_000
    client.shutdown(stdlib.SHUT_WR)
    with accepted.makefile("rb") as reader:
        assert reader.read(256) == bytes(range(256))
        assert len(reader.read()) == 256_000 - 256


def test_copies(pair):
    client, accepted = pair
    copy = client.dup()
    assert copy.getpeername() == client.getpeername() == accepted.getsockname()
    client.close()
    copy.sendall(b"still there")
    assert receive(accepted, 11) == b"still there"
    fd = copy.detach()
    assert end_of(fd) is not None
    with socket.socket(fileno=fd) as again:
        assert again.getpeername() == accepted.getsockname()
    assert accepted.recv(1) == b""


def test_many_threads_on_one_socket(pair):
    client, accepted = pair
    total = 40 * 50_000

    def send(number):
        for _ in range(10):
            client.sendall(bytes([number]) * 50_000)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    data = receive(accepted, total)
    for thread in threads:
        thread.join()
    assert [data.count(number) for number in range(4)] == [500_000] * 4


def test_closing_in_another_thread(pair):
    """As of a kernel socket it is `shutdown` that ends a call that waits."""
    client, _ = pair
    got = []
    thread = threading.Thread(target=lambda: got.append(client.recv(1)))
    thread.start()
    client.shutdown(stdlib.SHUT_RDWR)
    thread.join(PATIENCE_S)
    assert got == [b""]


def test_options(pair):
    client, _ = pair
    client.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
    assert client.getsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY) == 1
    client.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_KEEPALIVE, 1)
    assert client.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_KEEPALIVE) == 1
    assert client.getsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_CONGESTION, 16).startswith(b"cubic")
    assert client.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_TYPE) == stdlib.SOCK_STREAM
    assert client.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_ERROR) == 0
    with pytest.raises(OSError) as info:
        client.setsockopt(stdlib.IPPROTO_TCP, 9999, 1)
    assert info.value.errno == errno.ENOPROTOOPT


def test_options_before_there_is_a_connection(station):
    with socket.socket() as sock:
        sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
        sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_RCVBUF, 100_000)
        sock.settimeout(PATIENCE_S)
        sock.connect((PEER, 7))
        assert sock.getsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY) == 1
        assert sock.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_RCVBUF) == 200_000
        assert sock.gettimeout() == PATIENCE_S


def test_a_connection_that_was_collected(station):
    sock = connected()
    with pytest.warns(ResourceWarning, match="unclosed"):
        del sock
    eventually(lambda: not station.run(lambda: len(station.poller)))


def test_the_host_is_closed(warm):
    with socket.use(two_hosts) as station:
        sock = connected(9)
        station.close()
        with sock, pytest.raises(HostClosed):
            sock.recv(1)
        with socket.socket() as late, pytest.raises(HostClosed):
            late.connect((PEER, 7))


def test_without_a_host():
    with socket.socket() as sock, pytest.raises(OSError, match=r"stack.socket.use") as info:
        sock.connect((PEER, 7))
    assert info.value.errno == errno.ENETDOWN


def test_the_loopback_address_is_the_kernels(station):
    with stdlib.create_server(("127.0.0.1", 0)) as server, socket.socket() as sock:
        sock.connect(server.getsockname())
        assert sock.getpeername() == server.getsockname()
        server.accept()[0].close()


@pytest.mark.parametrize("whose", ["stack", "kernel"])
def test_a_reset_comes_after_the_data(pair, whose):
    """What arrived in order before the reset can be read first, in the kernel as here."""
    client, accepted = pair
    with stdlib.create_server(("127.0.0.1", 0)) as server:
        kernels = stdlib.create_connection(server.getsockname())
        kernels_accepted, _ = server.accept()
    with kernels, kernels_accepted:
        if whose == "kernel":
            client, accepted = kernels, kernels_accepted
            client.settimeout(PATIENCE_S)
        accepted.sendall(bytes(range(100)))
        assert client.recv(50, stdlib.MSG_WAITALL) == bytes(range(50))
        accepted.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, LINGER_0)
        accepted.close()
        poll = select.poll()
        poll.register(client, select.POLLRDHUP)
        assert poll.poll(PATIENCE_S * 1000)
        assert receive(client, 50) == bytes(range(50, 100))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert client.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            client.send(b"x")
        with pytest.raises(OSError) as info:
            client.getpeername()
        assert info.value.errno == errno.ENOTCONN


def test_a_reset_does_not_take_what_waits_in_the_connection(pair):
    """More than the pair holds: the rest waits in TCP when the reset comes."""
    client, accepted = pair
    payload = os.urandom(16 * MB)
    accepted.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < len(payload):
            sent += accepted.send(payload[sent : sent + 65_536])
    accepted.settimeout(PATIENCE_S)
    accepted.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, LINGER_0)
    accepted.close()
    got = bytearray()
    with pytest.raises(ConnectionResetError):
        while True:
            got += client.recv(65_536)
    assert len(got) > 400_000
    assert payload.startswith(bytes(got))


def test_a_port_of_any_address_is_kept(station):
    """What is bound without an address is a port of the kernel's, until it is known where it leads."""
    with socket.socket() as server:
        server.bind((PEER, 0))
        server.listen()
        with socket.patched(), stdlib.create_connection(server.getsockname(), PATIENCE_S, ("", 40_123)) as sock:
            assert sock.getsockname() == (OURS, 40_123)


def test_a_child_has_the_connection_and_nothing_else(pair):
    """After a fork the descriptor works, and what needs the stack says why it does not."""
    client, accepted = pair
    child = os.fork()
    if not child:
        try:
            client.sendall(b"from the child")
            assert client.recv(100) == b"to the child"
            with socket.socket() as another:
                try:
                    another.connect((PEER, 7))
                except HostClosed:
                    client.sendall(b", which is alone")
        finally:
            os._exit(0)
    assert receive(accepted, 14) == b"from the child"
    accepted.sendall(b"to the child")
    assert receive(accepted, 16) == b", which is alone"
    os.waitpid(child, 0)
    client.sendall(b"from the parent")
    assert receive(accepted, 15) == b"from the parent"
    client.close()
    assert accepted.recv(1) == b""


def test_closing_waits_while_it_lingers(pair):
    client, accepted = pair
    station = client._end.station
    conn = client._end.conn
    client.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, struct.pack("ii", 1, 20))
    payload = os.urandom(4 * MB)
    got = []
    thread = threading.Thread(target=lambda: got.append(receive(accepted, 5 * MB)))
    thread.start()
    client.sendall(payload)
    client.close()
    assert station.run(conn.send_pending) == 0  # the peer's host has acknowledged all of it
    thread.join(PATIENCE_S)
    assert got == [payload]


def test_closing_lingers_only_so_long(station):
    with connected(9) as sock:  # which never reads
        conn = sock._end.conn
        sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, struct.pack("ii", 1, 1))
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                sock.sendall(bytes(MB))
        sock.close()
        assert station.run(conn.send_pending) > 0
        station.run(conn.abort, station.host.driver.time())
        station.run(station.host.driver.wake, conn)
