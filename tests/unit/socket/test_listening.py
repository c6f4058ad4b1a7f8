"""Ports of blocking sockets."""

import errno
import select
import socket as stdlib
import threading

import pytest

from stack import socket
from stack.errors import AddressInUse
from tests.support.blocking import OURS, PATIENCE_S, PEER


def listening(address=(OURS, 0), backlog=128):
    made = socket.socket()
    made.settimeout(PATIENCE_S)
    made.bind(address)
    made.listen(backlog)
    return made


def client_of(listener, timeout=PATIENCE_S):
    made = socket.socket()
    made.settimeout(timeout)
    made.connect((OURS, listener.getsockname()[1]))
    return made


def test_accepting(station):
    with listening() as listener:
        assert listener.getsockname()[0] == OURS
        assert listener.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_ACCEPTCONN) == 1
        with client_of(listener) as client:
            accepted, peer = listener.accept()
            with accepted:
                assert peer == client.getsockname() == accepted.getpeername()
                assert accepted.getsockname() == client.getpeername()
                assert isinstance(accepted, socket.socket)
                client.sendall(b"hello")
                assert accepted.recv(10) == b"hello"


def test_a_listener_can_be_waited_for(station):
    with listening() as listener:
        assert select.select([listener], [], [], 0)[0] == []
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        with client_of(listener):
            assert select.select([listener], [], [], PATIENCE_S)[0] == [listener]
            listener.accept()[0].close()
            assert select.select([listener], [], [], 0)[0] == []


def test_all_addresses(station):
    with listening(("", 0)) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"
        with client_of(listener):
            accepted, _ = listener.accept()
            assert accepted.getsockname()[0] == OURS
            accepted.close()


def test_without_bind(station):
    with socket.socket() as listener:
        listener.listen()
        with client_of(listener):
            listener.accept()[0].close()


def test_many_connections_and_threads(station):
    count = 60
    with listening() as listener:
        accepted = []
        threads = [
            threading.Thread(target=lambda: [accepted.append(listener.accept()[0]) for _ in range(count // 4)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        clients = [client_of(listener) for _ in range(count)]
        for thread in threads:
            thread.join(PATIENCE_S)
        assert {sock.getpeername() for sock in accepted} == {sock.getsockname() for sock in clients}
        for sock in (*clients, *accepted):
            sock.close()


def test_the_backlog_bounds_what_waits(station):
    with listening(backlog=2) as listener:
        clients = [socket.socket() for _ in range(30)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex((OURS, listener.getsockname()[1]))
        done = []
        while ready := select.select([], [c for c in clients if c not in done], [], 0.2)[1]:
            done += ready
        assert 2 <= len(done) <= 15  # the listener's own, those that were made ready, and who has only heard a SYN-ACK
        for client in clients:
            client.close()


def test_what_was_not_accepted_is_reset(station):
    listener = listening()
    with client_of(listener) as client:
        select.select([listener], [], [], PATIENCE_S)
        listener.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_the_port_is_free_after_closing(station):
    listener = listening()
    address = listener.getsockname()
    with socket.socket() as second, pytest.raises(AddressInUse):
        second.bind(address)
    listener.close()
    for _ in range(20):
        with listening(address):
            pass


def test_a_copy_keeps_the_port(station):
    listener = listening()
    copy = listener.dup()
    listener.close()
    with copy, client_of(copy):
        copy.accept()[0].close()


def test_shutdown_ends_accept(station):
    with listening() as listener:
        errors = []

        def wait():
            try:
                listener.accept()
            except OSError as exc:
                errors.append(exc.errno)

        thread = threading.Thread(target=wait)
        thread.start()
        listener.shutdown(stdlib.SHUT_RDWR)
        thread.join(PATIENCE_S)
        assert errors == [errno.EINVAL]


def test_an_address_of_nobody(station):
    with socket.socket() as sock, pytest.raises(OSError) as info:
        sock.bind(("10.9.9.9", 0))
    assert info.value.errno == errno.EADDRNOTAVAIL


def test_connecting_from_a_bound_port(station):
    with socket.socket() as sock:
        sock.settimeout(PATIENCE_S)
        sock.bind((OURS, 0))
        local = sock.getsockname()
        sock.connect((PEER, 7))
        assert sock.getsockname() == local
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"


def test_what_is_not_listening(station):
    with socket.socket() as sock:
        sock.bind((OURS, 0))
        with pytest.raises(OSError) as info:
            sock.accept()
        assert info.value.errno == errno.EINVAL
        with pytest.raises(OSError) as info:
            sock.recv(1)
        assert info.value.errno == errno.ENOTCONN
