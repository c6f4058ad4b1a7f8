"""Calls of a StackLoop that are cancelled at each of their await points leave nothing behind."""

import asyncio
import gc
import socket
from pathlib import Path

import pytest

from stack.aio.loop import SelectorLoop, UvLoop
from tests.support.aio_nets import SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder, echo

MAX_STEPS = 30


class Cut:
    """Awaits `coroutine`, and has it cancelled while it waits for the `step`-th time: at once, or as it is woken."""

    def __init__(self, coroutine, step, *, woken):
        self.coroutine = coroutine
        self.step = step
        self.woken = woken
        self.steps = 0

    def __await__(self):
        inside, error = self.coroutine.__await__(), None
        while True:
            try:
                waits_for = inside.throw(error) if error else inside.send(None)
            except StopIteration as end:
                return end.value
            self.steps += 1
            is_it, error = self.steps == self.step, None
            if is_it and not self.woken:
                asyncio.current_task().cancel()
            try:
                yield waits_for
            except BaseException as exc:  # noqa: BLE001  (a cancellation, too)
                error = exc
            else:
                if is_it and self.woken:
                    error = asyncio.CancelledError()


class Book:
    async def resolve(self, name):
        await asyncio.sleep(0)
        return {"ours": [SERVER_IP], "two": ["10.0.0.77", SERVER_IP]}[name]


async def connection(loop, certificate):
    return (await loop.create_connection(Recorder, "ours", 7))[0]


async def secure_connection(loop, certificate):
    options = {"ssl": certificate[1], "server_hostname": "stack.example"}
    return (await loop.create_connection(Recorder, SERVER_IP, 8, **options))[0]


async def upgrade(loop, certificate):
    transport, protocol = await loop.create_connection(Recorder, SERVER_IP, 8)
    try:
        return await loop.start_tls(transport, protocol, certificate[1], server_hostname="stack.example")
    except BaseException:
        transport.abort()
        raise


async def race(loop, certificate):
    return (await loop.create_connection(Recorder, "two", 7, happy_eyeballs_delay=0.001))[0]


async def carried(loop, certificate):
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (SERVER_IP, 7))
        await loop.sock_sendall(sock, bytes(300_000))
        await loop.sock_recv(sock, 10)
        return (await loop.create_connection(Recorder, sock=sock))[0]


async def server(loop, certificate):
    return await loop.create_server(Recorder, None, 0)


async def datagrams(loop, certificate):
    return (await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("0.0.0.0", 0)))[0]


async def datagrams_to_anybody(loop, certificate):
    return (await loop.create_datagram_endpoint(asyncio.DatagramProtocol, family=socket.AF_INET))[0]


async def leak(loop, certificate):
    """The control: nobody closes the connection when what follows is cancelled."""
    transport, _ = await loop.create_connection(Recorder, SERVER_IP, 7)
    await asyncio.sleep(0)
    return transport


CALLS = (connection, secure_connection, upgrade, race, carried, server, datagrams, datagrams_to_anybody)


def there_is(net):
    handlers = [handler for host in (net.client, net.server) for handler in host.driver.handlers]
    return len(handlers), len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


async def settles(net, before):
    for _ in range(1000):
        if there_is(net) == before:
            return True
        await asyncio.sleep(0.001)
    return False


async def once(net, call, certificate):
    """Call it and close what it made; what stays from the first time (a thread, a descriptor) is no leak."""
    handlers, tasks, _ = there_is(net)
    (await call(asyncio.get_running_loop(), certificate)).close()
    while there_is(net)[:2] != (handlers, tasks):
        await asyncio.sleep(0.001)
    for _ in range(10):  # rounds in which the loop closes descriptors
        await asyncio.sleep(0)


async def cut_everywhere(net, call, certificate, *, woken):
    """The steps after whose cancellation something was left, and the number of steps."""
    loop = asyncio.get_running_loop()
    loose = []
    gc.collect()  # descriptors that others have left are not closed meanwhile
    for step in range(1, MAX_STEPS):
        before = there_is(net)
        cut = Cut(call(loop, certificate), step, woken=woken)
        try:
            made = await asyncio.ensure_future(awaited(cut))
        except asyncio.CancelledError:
            if not await settles(net, before):
                loose.append(step)
        else:
            made.close()
            assert cut.steps < step
            assert await settles(net, before)
            return loose, cut.steps
    raise AssertionError("it never ends")


async def awaited(cut):
    return await cut


async def started(certificate):
    """A resolver's thread, the selector's descriptors and the like are there from now on."""
    net = await StackNet().__aenter__()
    await net.server.create_server(lambda: Recorder(on_data=echo), port=7)
    await net.server.create_server(Recorder, port=8, ssl=certificate[0])
    return net


@pytest.fixture(params=[SelectorLoop, UvLoop])
def run_on_both(request):
    """With names, and servers without an address on the kernel and the stack."""

    def run(main):
        with asyncio.Runner(loop_factory=lambda: request.param(resolver=Book(), wildcard="both")) as runner:
            return runner.run(main)

    return run


@pytest.mark.parametrize("woken", [False, True])
@pytest.mark.parametrize("call", CALLS, ids=[call.__name__ for call in CALLS])
def test_a_cancelled_call_leaves_nothing_behind(run_on_both, certificate, call, woken):
    async def main():
        net = await started(certificate)
        await once(net, call, certificate)
        loose, steps = await cut_everywhere(net, call, certificate, woken=woken)
        assert not loose
        assert steps
        await net.__aexit__(None, None, None)

    run_on_both(main())


def test_a_leak_would_be_seen(run_on_both, certificate):
    async def main():
        net = await started(certificate)
        loose, steps = await cut_everywhere(net, leak, certificate, woken=False)
        assert loose == [steps]
        await net.__aexit__(None, None, None)

    run_on_both(main())
