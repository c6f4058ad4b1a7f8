"""create_datagram_endpoint on a StackLoop: with addresses, and without any."""

import asyncio
import errno
import socket
from dataclasses import replace

import pytest

from stack.aio.datagram import StackDatagramTransport
from stack.aio.endpoints import RoutedTransport
from stack.aio.network import AsyncHost
from stack.device.virtual import Switch
from tests.support.aio_nets import CLIENT_IP, CONFIG, SERVER_IP, StackNet

NOBODY = "10.0.0.77"
ANYWHERE = "0.0.0.0"
LARGEST = 65_507
# uvloop leaves its own transport open when it cannot bind it
LEAKY = pytest.mark.filterwarnings(
    "ignore:unclosed resource <UDPTransport", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Endpoint(asyncio.DatagramProtocol):
    """Keeps what it is told."""

    def __init__(self, *, answers=False):
        self.answers = answers
        self.log = []
        self.inbox = asyncio.Queue()
        self.errors = asyncio.Queue()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.log.append("made")
        self.transport = transport

    def datagram_received(self, data, addr):
        assert "made" in self.log
        self.inbox.put_nowait((data, addr))
        if self.answers:
            self.transport.sendto(data.upper(), addr)

    def error_received(self, exc):
        self.errors.put_nowait(exc)

    def connection_lost(self, exc):
        self.log.append("lost")
        self.lost.set_result(exc)


async def opened(*, answers=False, **options):
    """(transport, protocol)."""
    make = asyncio.get_running_loop().create_datagram_endpoint
    return await make(lambda: Endpoint(answers=answers), **options)


def told(exc):
    """The errno; uvloop has it only in the cause."""
    return exc.errno or told(exc.__cause__ or exc.__context__)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((ANYWHERE, 0))
        return sock.getsockname()[1]


async def shut(*transports):
    for transport in transports:
        protocol = transport.get_protocol()
        transport.close()
        assert transport.is_closing()
        await protocol.lost
        assert protocol.log == ["made", "lost"]


# -- over the kernel and over ours


def test_datagrams_go_both_ways(place):
    async def main():
        async with place.net() as net:
            server, _ = await opened(local_addr=(net.ip, 0), answers=True)
            address = server.get_extra_info("sockname")
            assert address[0] == net.ip
            client, protocol = await opened(remote_addr=address)
            assert client.get_extra_info("peername") == address
            for data in (b"x", b"y" * 1000, bytearray(b"z"), memoryview(b"v" * LARGEST)):
                client.sendto(data)
                assert await protocol.inbox.get() == (bytes(data).upper(), address)
            client.sendto(b"named", address)
            assert await protocol.inbox.get() == (b"NAMED", address)
            with pytest.raises(ValueError):
                client.sendto(b"wrong", (net.ip, 9))
            with pytest.raises(TypeError):
                client.sendto("text")
            await shut(client, server)

    place.run(main())


def test_a_fixed_peer_is_the_only_one_heard(place):
    async def main():
        async with place.net() as net:
            server, to_server = await opened(local_addr=(net.ip, 0))
            address = server.get_extra_info("sockname")
            client, protocol = await opened(remote_addr=address)
            client.sendto(b"hello")
            _, client_address = await to_server.inbox.get()
            stranger, _ = await opened(local_addr=(net.ip, 0))
            stranger.sendto(b"spam", client_address)
            server.sendto(b"answer", client_address)
            assert await protocol.inbox.get() == (b"answer", address)
            assert protocol.inbox.empty()
            await shut(client, server, stranger)

    place.run(main())


def test_a_closed_port_of_the_fixed_peer_is_an_error(place):
    async def main():
        async with place.net() as net:
            gone, _ = await opened(local_addr=(net.ip, 0))
            address = gone.get_extra_info("sockname")
            await shut(gone)
            client, protocol = await opened(remote_addr=address)
            client.sendto(b"anybody?")
            assert isinstance(await protocol.errors.get(), ConnectionRefusedError)
            await shut(client)

    place.run(main())


def test_what_is_too_large_is_an_error(place):
    async def main():
        async with place.net() as net:
            client, protocol = await opened(remote_addr=(net.ip, 9))
            client.sendto(bytes(LARGEST + 1))
            assert (await protocol.errors.get()).errno == errno.EMSGSIZE
            assert not client.is_closing()
            await shut(client)

    place.run(main())


def test_after_close_nothing_is_sent(place):
    async def main():
        async with place.net() as net:
            server, to_server = await opened(local_addr=(net.ip, 0))
            client, _ = await opened(remote_addr=server.get_extra_info("sockname"))
            await shut(client)
            for _ in range(10):
                client.sendto(b"late")
            client.close()
            client.abort()
            await asyncio.sleep(0.01)
            assert to_server.inbox.empty()
            await shut(server)

    place.run(main())


@LEAKY
def test_ports_are_taken_and_can_be_shared(place):
    async def main():
        async with place.net() as net:
            first, _ = await opened(local_addr=(net.ip, 0))
            address = first.get_extra_info("sockname")
            with pytest.raises(OSError) as caught:
                await opened(local_addr=address)
            assert told(caught.value) == errno.EADDRINUSE
            await shut(first)
            first, _ = await opened(local_addr=address, reuse_port=True)
            second, _ = await opened(local_addr=address, reuse_port=True)
            await shut(first, second)

    place.run(main())


@LEAKY
def test_nobodys_address_is_not_available(place):
    async def main():
        async with place.net():
            with pytest.raises(OSError) as caught:
                await opened(local_addr=(NOBODY, 0))
            assert told(caught.value) == errno.EADDRNOTAVAIL
            if place.is_ours:
                assert caught.value.errno == errno.EADDRNOTAVAIL
                assert "the hosts of this loop have 10.0.0.1, 10.0.0.2, and no interface" in str(caught.value)

    place.run(main())


def test_arguments_that_do_not_go_together(place):
    async def main():
        async with place.net() as net:
            with pytest.raises(ValueError):
                await opened()
            with pytest.raises((TypeError, ValueError)):
                await opened(local_addr=net.ip)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(ValueError):
                await opened(sock=sock, local_addr=(net.ip, 0))
            with pytest.raises(TypeError):
                await opened(local_addr=(net.ip, 0), nonsense=1)

    place.run(main())


def test_a_kernel_socket_is_the_base_loops(place):
    async def main():
        async with place.net():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            transport, _ = await opened(sock=sock)
            assert not isinstance(transport, StackDatagramTransport | RoutedTransport)
            await shut(transport)

    place.run(main())


def test_an_error_in_a_callback_leaves_the_endpoint_open(asyncio_place):
    class Bad(Endpoint):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            raise ZeroDivisionError

    async def main():
        async with asyncio_place.net() as net:
            server, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Bad, local_addr=(net.ip, 0))
            client, _ = await opened(remote_addr=server.get_extra_info("sockname"))
            for _ in range(2):
                client.sendto(b"x")
                await protocol.inbox.get()
            await shut(client, server)

    errors = asyncio_place.run(main(), expect_errors=True)
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError] * 3
    for context in errors if asyncio_place.is_ours else ():  # ours say who it was
        assert context["transport"].get_protocol() is context["protocol"]


def test_the_write_buffers_limits(place):
    async def main():
        async with place.net() as net:
            client, _ = await opened(remote_addr=(net.ip, 9))
            assert client.get_write_buffer_size() == 0
            client.set_write_buffer_limits(high=100, low=10)
            with pytest.raises(ValueError):
                client.set_write_buffer_limits(high=1, low=2)
            await shut(client)

    place.run(main())


def test_an_endpoint_without_addresses_speaks_to_anybody(place):
    async def main():
        async with place.net() as net:
            servers = [await opened(local_addr=(ip, 0), answers=True) for ip in (net.ip, "127.0.0.1")]
            client, protocol = await opened(family=socket.AF_INET)
            assert client.get_extra_info("sockname")[0] == ANYWHERE
            assert client.get_extra_info("socket").type == socket.SOCK_DGRAM
            assert client.get_extra_info("peername") is None
            for _ in range(2):
                for server, _ in servers:
                    address = server.get_extra_info("sockname")
                    client.sendto(b"hello", address)
                    assert await protocol.inbox.get() == (b"HELLO", address)
            await shut(client, *(server for server, _ in servers))

    place.run(main())


# -- ours alone


class ThreeHosts(StackNet):
    OTHER_IP = "10.0.0.3"

    async def __aenter__(self):
        switch = Switch()
        self.hosts = []
        for number, ip in enumerate((CLIENT_IP, SERVER_IP, self.OTHER_IP), 1):
            host = AsyncHost(self.config)
            host.add_device(switch.plug(bytes((2, 0, 0, 0, 0, number))), ip + "/24")
            self.hosts.append(host)
        self.client, self.server, self.other = self.hosts
        return self

    async def __aexit__(self, *exc_info):
        for host in self.hosts:
            await host.aclose(0.5)


def test_what_is_the_kernels_is_the_base_loops_own(on_loop):
    async def main():
        async with StackNet():
            server, _ = await opened(local_addr=("127.0.0.1", 0))
            client, _ = await opened(remote_addr=server.get_extra_info("sockname"))
            for transport in (server, client):
                assert not isinstance(transport, StackDatagramTransport | RoutedTransport)
            await shut(client, server)

    on_loop(main())


def test_members_are_opened_once_and_only_for_who_is_spoken_to(on_loop):
    async def main():
        async with ThreeHosts() as net:
            client, _ = await opened(family=socket.AF_INET)
            assert not any(host.driver.handlers for host in net.hosts)
            for _ in range(3):
                client.sendto(b"x", (SERVER_IP, 9))
                client.sendto(b"x", (NOBODY, 9))
            assert [len(host.driver.handlers) for host in net.hosts] == [1, 0, 0]
            client.sendto(b"x", (CLIENT_IP, 9))
            assert [len(host.driver.handlers) for host in net.hosts] == [1, 1, 0]
            await shut(client)
            assert not any(host.driver.handlers for host in net.hosts)

    on_loop(main())


def test_a_datagram_that_cannot_be_sent_is_an_error_of_the_endpoint(on_loop):
    async def main():
        async with StackNet():
            client, protocol = await opened(family=socket.AF_INET)
            client.sendto(bytes(LARGEST + 1), (SERVER_IP, 9))
            assert (await protocol.errors.get()).errno == errno.EMSGSIZE
            client.sendto(b"x", (SERVER_IP, 0))
            assert (await protocol.errors.get()).errno == errno.EINVAL
            with pytest.raises(TypeError):
                client.sendto("x", (SERVER_IP, 9))
            await shut(client)
            client.sendto(b"late", (SERVER_IP, 9))

    on_loop(main())


BAD_ADDRESSES = [
    (None, TypeError, "needs an address"),
    ("10.0.0.2", TypeError, "tuple"),
    (5, TypeError, "tuple"),
    ((), TypeError, "tuple"),
    ((SERVER_IP,), TypeError, "tuple"),
    ((SERVER_IP, 9, 0), TypeError, "tuple"),
    ([SERVER_IP, 9], TypeError, "tuple"),
    ((5, 9), TypeError, "host as a str"),
    ((None, 9), TypeError, "host as a str"),
    ((SERVER_IP, "9"), TypeError, "port as an int"),
    ((SERVER_IP, 9.0), TypeError, "port as an int"),
    ((SERVER_IP, -1), OverflowError, "0-65535"),
    ((SERVER_IP, 65_536), OverflowError, "0-65535"),
]
NO_FIGURES = [("a.invalid", socket.EAI_NONAME), ("256.1.1.1", socket.EAI_NONAME), ("::1", socket.EAI_ADDRFAMILY)]


@pytest.mark.parametrize("options", [{"family": socket.AF_INET}, {"local_addr": (CLIENT_IP, 0)}], ids=["any", "host"])
def test_what_is_no_address_raises_as_a_socket_does(on_loop, options):
    async def main():
        async with StackNet():
            client, protocol = await opened(**options)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for address, kind, message in BAD_ADDRESSES:
                    with pytest.raises(kind):
                        sock.sendto(b"x", address)
                    with pytest.raises(kind, match=message):
                        client.sendto(b"x", address)
                for host, code in NO_FIGURES:
                    client.sendto(b"x", (host, 9))
                    error = await protocol.errors.get()
                    assert (type(error), error.errno) == (socket.gaierror, code)
                    with pytest.raises(socket.gaierror) as caught:
                        sock.sendto(b"x", (host, 9))
                    assert caught.value.errno in {code, socket.EAI_AGAIN}  # where no server answers
            client.sendto(b"x", (SERVER_IP.encode(), 0))
            assert (await protocol.errors.get()).errno == errno.EINVAL
            assert not client.is_closing()
            await shut(client)

    on_loop(main())


def test_a_name_when_the_kernel_is_not_asked(on_loop):
    async def main():
        async with StackNet():
            asyncio.get_running_loop().wildcard = "stack"
            client, protocol = await opened(local_addr=(ANYWHERE, 0))
            client.sendto(b"x", ("localhost", 9))
            error = await protocol.errors.get()
            assert type(error) is socket.gaierror
            assert "getaddrinfo" in str(error)
            await shut(client)

    on_loop(main())


def test_a_bound_one_hears_on_the_kernel_and_answers_of_hosts(on_loop):
    async def main():
        async with StackNet():
            server, _ = await opened(local_addr=(SERVER_IP, 0), answers=True)
            bound, protocol = await opened(local_addr=(ANYWHERE, 0))
            port = bound.get_extra_info("sockname")[1]
            assert port
            near, _ = await opened(remote_addr=("127.0.0.1", port))
            near.sendto(b"near")
            assert (await protocol.inbox.get())[0] == b"near"
            bound.sendto(b"far", server.get_extra_info("sockname"))
            assert await protocol.inbox.get() == (b"FAR", server.get_extra_info("sockname"))
            await shut(bound, near, server)

    on_loop(main())


@pytest.mark.parametrize("wildcard", ["stack", "both"])
def test_nothing_is_heard_before_the_endpoint_was_returned(on_loop, wildcard):
    port = free_port()
    returned = []

    class Early(Endpoint):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.peer.sendto(b"first", (SERVER_IP, port))

        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.when.append(list(returned))

    async def main():
        loop = asyncio.get_running_loop()
        loop.wildcard = wildcard
        async with StackNet() as net:
            Early.peer, peer = await net.client.create_datagram_endpoint(Endpoint, (CLIENT_IP, 0))
            # ARP is done with, and nothing is in the way of the datagram
            await net.client.ping(SERVER_IP)
            Early.when = []
            transport, protocol = await loop.create_datagram_endpoint(Early, (ANYWHERE, port))
            returned.append(True)
            assert (await protocol.inbox.get())[0] == b"first"
            assert Early.when == [[True]]
            transport.sendto(b"answer", (CLIENT_IP, Early.peer.get_extra_info("sockname")[1]))
            assert await peer.inbox.get() == (b"answer", (SERVER_IP, port))
            await shut(transport)

    on_loop(main())


@pytest.mark.parametrize("wildcard", ["stack", "both"])
@pytest.mark.parametrize("fixed", [False, True])
def test_a_bound_one_hears_on_every_host(on_loop, wildcard, fixed):
    async def main():
        port = free_port() if fixed else 0
        asyncio.get_running_loop().wildcard = wildcard
        async with ThreeHosts() as net:
            bound, protocol = await opened(local_addr=(ANYWHERE, port), answers=True)
            assert isinstance(bound, RoutedTransport)
            ip, taken = bound.get_extra_info("sockname")
            assert ip == ANYWHERE
            assert taken == port if port else taken
            for ip in (SERVER_IP, net.OTHER_IP, *(["127.0.0.1"] if wildcard == "both" else [])):
                client, answers = await opened(remote_addr=(ip, taken))
                client.sendto(b"hello")
                assert await answers.inbox.get() == (b"HELLO", (ip, taken))
                assert (await protocol.inbox.get())[0] == b"hello"
                await shut(client)
            with pytest.raises(OSError) as caught:
                await opened(local_addr=(net.OTHER_IP, taken))
            assert told(caught.value) == errno.EADDRINUSE
            await shut(bound)

    on_loop(main())


def test_on_the_stack_alone_the_kernel_is_not_asked(on_loop):
    async def main():
        asyncio.get_running_loop().wildcard = "stack"
        async with StackNet():
            bound, protocol = await opened(local_addr=(ANYWHERE, 0))
            bound.sendto(b"x", ("127.0.0.1", 9))
            assert (await protocol.errors.get()).errno == errno.EHOSTUNREACH
            await shut(bound)

    on_loop(main())


@LEAKY
def test_a_port_that_somebody_has_leaves_nothing_behind(on_loop):
    async def main():
        asyncio.get_running_loop().wildcard = "both"
        async with ThreeHosts() as net:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
                taken.bind(("127.0.0.1", 0))
                with pytest.raises(OSError) as caught:
                    await opened(local_addr=(ANYWHERE, taken.getsockname()[1]))
            assert told(caught.value) == errno.EADDRINUSE
            for host in net.hosts:
                assert not host.driver.handlers
                assert not host.host.ip.udp.snapshot()

    on_loop(main())


def test_another_port_is_chosen_when_the_first_is_not_free_everywhere(on_loop):
    async def main():
        asyncio.get_running_loop().wildcard = "stack"
        async with ThreeHosts(config=replace(CONFIG, port_range=(40_000, 40_001))) as net:
            net.other.host.udp_open(0, 40_000)
            bound, _ = await opened(local_addr=(ANYWHERE, 0))
            assert bound.get_extra_info("sockname") == (ANYWHERE, 40_001)
            await shut(bound)

    on_loop(main())


def test_with_a_host_active_it_is_that_hosts(on_loop):
    async def main():
        async with ThreeHosts() as net:
            with net.other.active():
                client, _ = await opened(family=socket.AF_INET)
                bound, protocol = await opened(local_addr=(ANYWHERE, 5300))
            assert isinstance(client, StackDatagramTransport)
            assert len(net.other.driver.handlers) == 2
            sender, _ = await opened(remote_addr=(net.OTHER_IP, 5300))
            sender.sendto(b"hello")
            assert (await protocol.inbox.get())[0] == b"hello"
            await shut(client, bound, sender)

    on_loop(main())


def test_it_lives_on_without_a_host_and_ends_with_the_last(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        async with ThreeHosts() as net:
            client, protocol = await opened(family=socket.AF_INET)
            client.sendto(b"x", (SERVER_IP, 9))
            await net.client.aclose(0.5)
            assert protocol.log == ["made"]
            client.sendto(b"x", (SERVER_IP, 9))
            assert len(net.other.driver.handlers) == 1
            await shut(client)
            loop.wildcard = "stack"
            bound, protocol = await opened(local_addr=(ANYWHERE, 0))
            for host in (net.server, net.other):
                await host.aclose(0.5)
            assert await protocol.lost is None
            assert bound.is_closing()

    on_loop(main())


def test_a_factory_that_fails_leaves_nothing_behind(on_loop):
    def fail():
        raise ZeroDivisionError

    async def main():
        loop = asyncio.get_running_loop()
        async with ThreeHosts() as net:
            for wildcard in ("kernel", "stack"):
                loop.wildcard = wildcard
                for local in (SERVER_IP, ANYWHERE):
                    with pytest.raises(ZeroDivisionError):
                        await loop.create_datagram_endpoint(fail, local_addr=(local, 0))
            for host in net.hosts:
                assert not host.driver.handlers
                assert not host.host.ip.udp.snapshot()

    on_loop(main())


def test_broadcasts_are_for_those_who_asked(on_loop):
    async def main():
        async with ThreeHosts() as net:
            heard = [await opened(local_addr=(ip, 5300), allow_broadcast=True) for ip in (SERVER_IP, net.OTHER_IP)]
            plain, protocol = await opened(local_addr=(CLIENT_IP, 0))
            plain.sendto(b"no", ("10.0.0.255", 5300))
            assert (await protocol.errors.get()).errno == errno.EACCES
            sender, _ = await opened(local_addr=(CLIENT_IP, 0), allow_broadcast=True)
            sender.sendto(b"all", ("10.0.0.255", 5300))
            for _, listener in heard:
                assert (await listener.inbox.get())[0] == b"all"
            await shut(plain, sender, *(transport for transport, _ in heard))

    on_loop(main())
