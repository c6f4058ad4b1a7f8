"""Whose a socket is: asked of the kernel, and never guessed."""

import os
import socket
import struct
import subprocess

import pytest

from stack.proxy import owner

OTHER = 1234
BELOW_EPHEMERAL, SPREAD = 12_000, 10_000  # ports that no kernel chooses by itself, one for each process of the tests


SEND = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(b"x", ("127.0.0.1", int(sys.argv[1])))
sys.stdin.read()
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(10)
        yield made


def by_another_user(program, *arguments):
    """A program of another user's that runs until its input ends."""
    return subprocess.Popen(
        ["setpriv", f"--reuid={OTHER}", "--clear-groups", "/usr/bin/python3", "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
    )


CONNECT = """
import socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.sendall(b"x")
if sys.argv[2] == "close":
    sock.close()
sys.stdin.read()
"""


def test_a_connection_of_ours_is_ours(listener):
    with socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        with far:
            assert owner.of_connection(far) == owner.of_connection(near) == os.geteuid()
            near.shutdown(socket.SHUT_WR)  # it still waits for an answer
            assert owner.of_connection(far) == os.geteuid()


@pytest.mark.netns  # needs root, to be somebody else
@pytest.mark.parametrize("how", ["stay", "close"])
def test_a_connection_of_another_user_is_theirs_or_nobodys(listener, how):
    program = by_another_user(CONNECT, listener.getsockname()[1], how)
    far, peer = listener.accept()
    try:
        with far:
            far.settimeout(10)
            assert far.recv(1) == b"x"
            if how == "close":
                assert far.recv(1) == b""
                found = owner._ask(socket.IPPROTO_TCP, peer, far.getsockname())
                assert found is not None
                assert found[2] in (0, OTHER)  # most kernels call a socket root's that its process has closed
                assert found[3] == 0  # what tells it
                assert owner.of_connection(far) is None
            else:
                assert owner.of_connection(far) == OTHER
    finally:
        program.stdin.close()
        program.wait(10)


def test_after_a_reset_it_is_nobodys_though_the_port_is_used_again(listener):
    port = BELOW_EPHEMERAL + os.getpid() % SPREAD  # one that the kernel chose might be another process's meanwhile
    near = socket.create_connection(listener.getsockname(), source_address=("127.0.0.1", port))
    near.sendall(b"request")
    far, peer = listener.accept()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()
    with far, socket.socket() as again:
        again.bind(("127.0.0.1", port))
        again.connect(listener.getsockname())
        found = owner._ask(socket.IPPROTO_TCP, peer, listener.getsockname())
        assert found is not None
        assert found[2:] != (0, 0)  # the control: the kernel's answer is about the second connection
        assert owner.of_connection(far) is None


def test_nobody_is_at_the_other_end(listener):
    assert owner.of_connection(listener) is None
    with socket.socket() as fresh:
        assert owner.of_connection(fresh) is None
    # the kernel finds the listening socket, where no connection is
    assert owner._ask(socket.IPPROTO_TCP, listener.getsockname(), ("127.0.0.1", 9)) is not None


@pytest.mark.netns
def test_senders_of_datagrams():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        here.bind(("127.0.0.1", 0))
        here.settimeout(10)
        there.sendto(b"x", here.getsockname())
        _, source = here.recvfrom(10)
        assert owner.of_datagrams(source, here.getsockname()) == os.geteuid()
        program = by_another_user(SEND, here.getsockname()[1])
        _, source = here.recvfrom(10)
        assert owner.of_datagrams(source, here.getsockname()) == OTHER
        program.stdin.close()
        program.wait(10)
        assert owner.of_datagrams(source, here.getsockname()) is None


def test_a_connection_that_is_reset_is_closed_though_nobody_reads(listener):
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    with far:
        assert not owner.is_closed(far)
        near.sendall(b"unread")
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.close()
        assert owner.is_closed(far)
    assert owner.is_closed(far)
