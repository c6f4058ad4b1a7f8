"""StackLoop: its hosts, what it is made with, its end, several of it in threads."""

import asyncio
import errno
import threading

import pytest
import uvloop

import stack.aio
from stack.aio.loop import SelectorLoop, StackLoop, UvLoop, new_event_loop
from stack.aio.network import AsyncHost
from stack.device.virtual import link
from stack.errors import AddressInUse, ConfigError, HostClosed, InvalidAddress
from stack.wire.addr import parse_addr
from tests.support.aio_nets import CLIENT_IP, CONFIG, SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder, echo


class Book:
    async def resolve(self, name):
        return [SERVER_IP]


def cable():
    return link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2")


def test_a_host_makes_itself_known_and_is_forgotten_when_it_closes(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        a, _ = cable()
        async with AsyncHost(CONFIG) as host:
            assert loop.ownership.hosts == (host,)
            assert loop.source_for(parse_addr(CLIENT_IP)) is None  # it has no address yet
            host.add_device(a, "10.0.0.1/24")
            assert loop.source_for(parse_addr("10.0.0.9")) is host
            assert loop.source_for(parse_addr("10.0.1.9")) is None
        assert loop.ownership.hosts == ()
        assert loop.source_for(parse_addr("10.0.0.9")) is None

    on_loop(main())


def test_a_host_whose_device_is_lost_is_forgotten(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        a, _ = cable()
        host = AsyncHost(CONFIG)
        host.add_device(a, "10.0.0.1/24")
        a.close()
        a.on_readable()
        await host.driver.closed
        await asyncio.sleep(0)
        assert loop.ownership.hosts == ()

    [told] = on_loop(main(), expect_errors=True)
    assert "is closed: the host on it has ended" in told["message"]


def test_prefixes_and_capture(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        a, b = cable()
        async with (
            AsyncHost(CONFIG, prefixes=["172.16.0.0/12"]) as narrow,
            AsyncHost(CONFIG, capture="all") as wide,
        ):
            narrow.add_device(a, "10.0.0.1/24")
            wide.add_device(b, "10.0.0.2/24")
            assert loop.source_for(parse_addr("172.17.0.1")) is narrow
            assert loop.source_for(parse_addr("8.8.8.8")) is wide
            assert loop.source_for(parse_addr("127.0.0.1")) is None
            loop.add_host(wide)
            assert loop.source_for(parse_addr("8.8.8.8")) is None
            loop.remove_host(wide)
            assert loop.source_for(parse_addr("10.0.0.9")) is None

    on_loop(main())


def test_addresses_given_to_the_host_directly(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        a, _ = cable()
        async with AsyncHost(CONFIG) as host:
            ifindex = host.add_device(a, "10.0.0.1/24")
            host.host.add_address(ifindex, parse_addr("10.9.0.1"), 24, host.driver.time())
            assert loop.ownership.owner(parse_addr("10.9.0.1")) is None
            host.addresses_changed()
            assert loop.ownership.owner(parse_addr("10.9.0.1")) is host

    on_loop(main())


def test_a_second_host_with_the_same_address(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        a, b = cable()
        async with AsyncHost(CONFIG) as host, AsyncHost(CONFIG) as twin:
            host.add_device(a, "10.0.0.1/24")
            with pytest.raises(AddressInUse, match="another host of this loop") as info:
                twin.add_device(b, "10.0.0.3/24", "10.0.0.1/24")
            assert info.value.errno == errno.EADDRINUSE
            assert twin.addresses() == []
            twin.add_device(b, "10.0.0.3/24")
            assert loop.ownership.owner(parse_addr("10.0.0.1")) is host

    on_loop(main())


def test_what_a_host_cannot_be_added_with(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ConfigError, match="capture"):
            AsyncHost(CONFIG, capture="some")
        for prefixes, error, message in [
            (["ten"], InvalidAddress, "not an IPv4 address"),
            (["10.0.0.0"], ConfigError, "10.0.0.0 has no prefix length"),
            (["10.0.0.1/8"], ConfigError, "10.0.0.1/8 is no network: write 10.0.0.0/8"),
            (["10.0.0.0/8", "127.0.0.0/8"], ConfigError, "127.0.0.0/8 is the kernel's"),
            (["0.0.0.0/32"], ConfigError, "0.0.0.0/32 is the kernel's"),
            ("10.0.0.0/8", ConfigError, r"write \['10.0.0.0/8'\]"),
            ([10], TypeError, "not 10"),
        ]:
            with pytest.raises(error, match=message):
                AsyncHost(CONFIG, prefixes=prefixes)
        with pytest.raises(TypeError, match="resolver is 3: use an object with"):
            AsyncHost(CONFIG, resolver=3)
        with pytest.raises(TypeError, match="an AsyncHost, not 3"):
            loop.add_host(3)
        assert loop.ownership.hosts == ()
        loop.add_host(AsyncHost(CONFIG), prefixes=["0.0.0.0/0", "126.0.0.0/7"])
        assert loop.source_for(parse_addr("127.0.0.1")) is None
        other = SelectorLoop()
        with pytest.raises(ConfigError, match="another loop"):
            loop.add_host(AsyncHost(CONFIG, loop=other))
        other.close()

    on_loop(main())


@pytest.mark.parametrize("choice", [True, False])
def test_what_is_no_resolver(choice):
    with pytest.raises(TypeError, match="resolver is 3: use an object with a coroutine method"):
        new_event_loop(uvloop=choice, resolver=3)  # a loop left open would be a ResourceWarning, which is an error here


def test_other_loops_take_no_prefixes(run):
    async def main():
        for options in ({"capture": "all"}, {"prefixes": []}):
            with pytest.raises(ConfigError, match="new_event_loop"):
                AsyncHost(CONFIG, **options)

    run(main())


def test_a_closed_host_connects_no_more(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        async with StackNet() as net:
            await net.client.aclose()
            with net.client.active(), pytest.raises(HostClosed, match="closed") as info:
                await loop.create_connection(Recorder, SERVER_IP, 7)
            assert info.value.errno == errno.ENETDOWN
            assert loop.source_for(parse_addr(CLIENT_IP)) is net.server  # by its subnet

    on_loop(main())


def test_the_host_of_another_loop_is_not_active_here(on_loop):
    async def main():
        other = SelectorLoop()
        stranger = AsyncHost(CONFIG, loop=other)
        async with StackNet() as net:
            with stranger.active():
                assert asyncio.get_running_loop().source_for(parse_addr(SERVER_IP)) is net.client
        other.close()

    on_loop(main())


@pytest.mark.parametrize("kind", [SelectorLoop, UvLoop])
def test_the_end_of_a_loop_is_that_of_its_hosts(kind):
    loop = kind()
    a, _ = cable()
    host = AsyncHost(CONFIG, loop=loop)
    host.add_device(a, "10.0.0.1/24")
    loop.close()
    assert loop.is_closed()
    assert not host.driver.is_open
    with pytest.raises(HostClosed):
        host.open_driver()
    loop.close()


def test_a_running_loop_is_not_closed(on_loop):
    async def main():
        async with StackNet() as net:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop().close()
            assert net.client.driver.is_open

    on_loop(main())


def test_new_event_loop():
    for choice, base in ((None, uvloop.Loop), (True, uvloop.Loop), (False, asyncio.SelectorEventLoop)):
        resolver = Book()
        loop = new_event_loop(uvloop=choice, resolver=resolver, wildcard="both")
        assert isinstance(loop, base)
        assert isinstance(loop, StackLoop)
        assert (loop.resolver, loop.wildcard) == (resolver, "both")
        loop.close()
    for kind in (UvLoop, SelectorLoop):
        with pytest.raises(ConfigError, match="wildcard"):
            kind(wildcard="everything")


def test_the_public_names():
    for name in stack.aio.__all__:
        assert getattr(stack.aio, name).__name__ == name
    assert stack.aio.factory.__module__ == "stack.app"
    with pytest.raises(AttributeError):
        _ = stack.aio.nothing


@pytest.mark.parametrize("kind", [SelectorLoop, UvLoop])
def test_loops_in_threads_with_the_same_addresses(kind):
    """Each loop has hosts of its own; what is said in one is not heard in another."""
    said = {}
    barrier = threading.Barrier(3, timeout=20)

    async def main(number):
        loop = asyncio.get_running_loop()
        async with StackNet() as net:
            await net.server.create_server(lambda: Recorder(on_data=echo), port=7)
            transport, protocol = await loop.create_connection(Recorder, SERVER_IP, 7)
            barrier.wait()
            text = f"this is {number}".encode() * 20_000
            transport.write(text)
            await protocol.received(len(text))
            transport.close()
            await protocol.closed
            barrier.wait()
            assert len(loop.ownership.hosts) == 2
            said[number] = bytes(protocol.data) == text

    def thread(number):
        with asyncio.Runner(loop_factory=kind) as runner:
            runner.run(main(number))

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert said == {0: True, 1: True, 2: True}
