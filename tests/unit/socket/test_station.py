"""Where blocking sockets find their host, and what goes wrong with that."""

import asyncio
import contextlib
import errno
import socket as stdlib
import threading
import warnings

import pytest

from stack import socket
from stack.aio.network import AsyncHost
from stack.errors import ConfigError, DeviceError, HostClosed
from tests.support.blocking import CONFIG, OURS, PATIENCE_S, PEER, two_hosts


@contextlib.contextmanager
def a_loop_of_the_programs_own():
    """(host, loop) in another thread, on asyncio's own loop, which knows no hosts."""
    ready, done = threading.Event(), threading.Event()
    made = []

    async def main():
        async with two_hosts() as host:
            made.append(host)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield made[0]
    finally:
        done.set()
        thread.join()


def test_a_host_of_the_program(warm):
    with a_loop_of_the_programs_own() as host:
        for _ in range(2):
            with socket.use(host), socket.create_connection((PEER, 7), PATIENCE_S) as sock:
                assert sock.getsockname()[0] == OURS
                sock.sendall(b"hello")
                assert sock.recv(10) == b"hello"
        assert host.driver.is_open  # it stays the program's
        with socket.use(host), socket.patched(), stdlib.create_connection((PEER, 7), PATIENCE_S) as sock:
            assert sock.getpeername() == (PEER, 7)


def test_a_host_of_the_same_thread():
    async def main():
        async with AsyncHost(CONFIG) as host:
            with pytest.raises(RuntimeError, match="another thread"), socket.use(host):
                pass

    asyncio.run(main())


def test_a_host_whose_loop_does_not_run():
    loop = asyncio.new_event_loop()
    host = AsyncHost(CONFIG, loop=loop)
    with pytest.raises(ConfigError, match="does not run"), socket.use(host):
        pass
    loop.run_until_complete(host.aclose())
    loop.close()


def test_what_is_no_host():
    with pytest.raises(TypeError, match="AsyncHost"), socket.use("tap0"):
        pass


def test_a_host_that_cannot_be_made():
    @contextlib.asynccontextmanager
    async def broken():
        raise DeviceError("there is no such device")
        yield

    with socket.use(broken), socket.socket() as sock:
        for _ in range(2):
            with pytest.raises(DeviceError, match="no such device"):
                sock.connect((PEER, 7))


def test_blocks_nest_and_sockets_keep_their_host(warm):
    with socket.use(two_hosts) as outer:
        first = socket.create_connection((PEER, 7), PATIENCE_S)
        with socket.use(two_hosts) as inner:
            second = socket.create_connection((PEER, 7), PATIENCE_S)
            assert first._end.station is outer
            assert second._end.station is inner
            second.close()
        first.sendall(b"x")
        assert first.recv(1) == b"x"
        third = socket.create_connection((PEER, 7), PATIENCE_S)
        assert third._end.station is outer
        first.close()
        third.close()


def test_who_waits_when_the_host_is_closed(warm):
    """Nobody is left waiting: neither for data nor for connections."""
    outcomes = []

    def attempt(call):
        try:
            outcomes.append(call())
        except OSError as exc:
            outcomes.append(exc.errno)

    with socket.use(two_hosts) as station:
        sock = socket.create_connection((PEER, 9), None)
        listener = socket.create_server((OURS, 0))
        udp = socket.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM)
        udp.bind((OURS, 0))
        calls = (lambda: sock.recv(1), listener.accept, lambda: udp.recv(1))
        threads = [threading.Thread(target=attempt, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        station.close()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert outcomes == [errno.ENETDOWN] * 3
    for one in (sock, listener, udp):
        one.close()
    with pytest.raises(HostClosed):
        station.run(int)


def test_a_socket_of_the_loops_own_thread_is_the_kernels(station):
    def inside():
        with warnings.catch_warnings(), socket.patched(), stdlib.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return sock.getsockname()[0], stdlib.getaddrinfo("127.0.0.1", 80)[0][4]

    assert station.run(inside) == ("127.0.0.1", ("127.0.0.1", 80))
    with pytest.raises(RuntimeError, match="wait for itself"):
        station.run(lambda: station.run(int))


class Names:
    """A resolver that knows one name."""

    async def resolve(self, name):
        if name != "peer.test":
            raise OSError(f"{name} is not known")
        return [PEER]


@contextlib.asynccontextmanager
async def with_names():
    async with two_hosts() as host:
        host.resolver = Names()
        yield host


def test_names(warm):
    with socket.use(with_names):
        assert socket.gethostbyname("peer.test") == PEER
        assert socket.gethostbyname_ex("peer.test") == ("peer.test", [], [PEER])
        infos = socket.getaddrinfo("peer.test", "http", type=stdlib.SOCK_STREAM)
        assert infos == [(stdlib.AF_INET, stdlib.SOCK_STREAM, stdlib.IPPROTO_TCP, "", (PEER, 80))]
        with socket.create_connection(("peer.test", 7), PATIENCE_S) as sock:
            assert sock.getpeername() == (PEER, 7)
        with socket.socket() as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(("peer.test", 7))
        with pytest.raises(stdlib.gaierror):
            socket.create_connection(("nobody.test", 7))
        with pytest.raises(stdlib.gaierror):
            socket.gethostbyname("nobody.test")
        with socket.patched():
            assert stdlib.gethostbyname("peer.test") == PEER
