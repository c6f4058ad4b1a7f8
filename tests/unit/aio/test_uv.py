"""What UvLoop has beyond uvloop: the same as asyncio's own loop, which is the oracle here."""

import asyncio
import socket

import pytest

from stack.aio.loop import SelectorLoop, UvLoop
from tests.unit.aio.conftest import runner_on

LOCAL = "127.0.0.1"


@pytest.fixture(params=[asyncio.SelectorEventLoop, SelectorLoop, UvLoop])
def on_any(request):
    """asyncio's, and ours."""
    return runner_on(request.param)


@pytest.fixture
def udp():
    """Two bound sockets of the kernel."""
    with socket.socket(type=socket.SOCK_DGRAM) as a, socket.socket(type=socket.SOCK_DGRAM) as b:
        for sock in (a, b):
            sock.setblocking(False)
            sock.bind((LOCAL, 0))
        yield a, b


def test_datagrams_on_socket_objects(on_any, udp):
    a, b = udp

    async def main():
        loop = asyncio.get_running_loop()
        waiting = loop.create_task(loop.sock_recvfrom(b, 100))
        await asyncio.sleep(0)  # it waits: nothing was sent
        assert await loop.sock_sendto(a, b"one", b.getsockname()) == 3
        assert await waiting == (b"one", a.getsockname())
        await loop.sock_sendto(a, b"twenty", b.getsockname())
        room = bytearray(10)
        assert await loop.sock_recvfrom_into(b, room) == (6, a.getsockname())
        assert room[:6] == b"twenty"
        await loop.sock_sendto(a, b"cut off", b.getsockname())
        assert await loop.sock_recvfrom_into(b, room, 3) == (3, a.getsockname())

    on_any(main())


def test_a_cancelled_wait_leaves_nothing_behind(on_any, udp):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = loop.create_task(loop.sock_recvfrom(udp[0], 100))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert loop.remove_reader(udp[0].fileno()) is False

    on_any(main())


def test_a_blocking_socket_is_refused_in_debug_mode(on_any):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ValueError, match="non-blocking"):
                await loop.sock_recvfrom(sock, 1)
            with pytest.raises(ValueError, match="non-blocking"):
                await loop.sock_sendto(sock, b"", (LOCAL, 9))

    on_any(main())


def test_errors_are_the_sockets(on_any, udp):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="too long"):
            await loop.sock_sendto(udp[0], bytes(70_000), udp[1].getsockname())

    on_any(main())


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_removing_tells_whether_there_was_one(kind, on_any, udp):
    async def main():
        loop = asyncio.get_running_loop()
        add, remove = getattr(loop, f"add_{kind}"), getattr(loop, f"remove_{kind}")
        sock = udp[0]
        assert remove(sock) is False
        add(sock, print)
        add(sock.fileno(), print)  # in the place of the first
        assert remove(sock.fileno()) is True
        assert remove(sock) is False

    on_any(main())


def test_a_loop_that_runs_makes_no_task_of_what_it_refuses(on_any):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_until_complete(asyncio.Event().wait())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with pytest.warns(RuntimeWarning, match="never awaited"):
        on_any(main())
