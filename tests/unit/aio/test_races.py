"""create_connection by a name with several addresses: they race, on virtual time and over kernel sockets."""

import asyncio
import errno
import socket

import pytest

from stack.aio.names import is_numeric
from tests.support.netns import Namespace, need
from tests.support.rfc import rfc
from tests.support.worlds import run, serve

ECHO = 7


class Book:
    def __init__(self, *addresses):
        self.addresses = list(addresses)

    async def resolve(self, name):
        assert not is_numeric(name)
        return self.addresses


def took(first_is_silent, **options):
    """Microseconds until client is connected to a name with two addresses, of which one may be silent; and to whom."""

    async def main(net):
        client, hole, server = net.add_hosts("client", "hole", "server")
        server.boot(serve)
        hole.link.down()
        await asyncio.sleep(1)
        order = [hole, server] if first_is_silent else [server, hole]
        net.loop.resolver = Book(*(host.address for host in order))
        with client.active():
            begun = net.time
            _, writer = await asyncio.open_connection("two.example", ECHO, **options)
            elapsed = net.time - begun
        assert writer.get_extra_info("peername") == (server.address, ECHO)
        writer.close()
        await asyncio.sleep(1)
        assert not client.stack.host.connections() or all(
            conn.remote_addr != hole.stack.addresses()[0][0] for conn in client.stack.host.connections()
        )
        return round(elapsed * 1e6)

    return run(main)


@rfc("8305", "5", "D-HE-DELAY")
def test_an_address_from_which_nothing_comes_costs_250_ms():
    at_once = took(first_is_silent=False)
    assert took(first_is_silent=True) == at_once + 250_000


def test_without_a_race_it_costs_as_long_as_an_attempt_takes_to_fail():
    assert took(first_is_silent=True, happy_eyeballs_delay=None) > 5_000_000


def test_the_delay_is_the_callers():
    assert took(first_is_silent=True, happy_eyeballs_delay=1.5) == took(first_is_silent=False) + 1_500_000


def test_ipv6_is_not_tried_where_a_host_of_the_stack_speaks():
    async def main(net):
        client, server = net.add_hosts("client", "server")
        server.boot(serve)
        await asyncio.sleep(1)
        net.loop.resolver = Book("2001:db8::1", server.address)
        with client.active():
            begun = net.time
            _, writer = await asyncio.open_connection("both.example", ECHO)
            assert net.time - begun < 0.01
            assert writer.get_extra_info("peername") == (server.address, ECHO)
            writer.close()
            for addresses in (["2001:db8::1"], ["2001:db8::1", "2001:db8::2"]):
                net.loop.resolver = Book(*addresses)
                with pytest.raises(OSError, match="no IPv6") as info:
                    await asyncio.open_connection("six.example", ECHO)
                assert info.value.errno in {errno.ENETUNREACH, None}  # of several errors asyncio makes one without

    run(main)


@pytest.mark.netns
@pytest.mark.parametrize("silent", ["127.0.0.2", "::1"])
def test_over_kernel_sockets_with_one_address_silent(on_loop, silent):
    need("nft")
    family = "ip6" if ":" in silent else "ip"
    with Namespace() as namespace:
        namespace.sysctl("net.ipv6.conf.lo.disable_ipv6=0")
        namespace.run(
            "nft", f"add table inet t; add chain inet t c {{ type filter hook input priority 0; }};"
            f"add rule inet t c {family} daddr {silent} tcp flags syn drop",
        )  # fmt: skip

        async def main():
            loop = asyncio.get_running_loop()
            server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            loop.resolver = Book(silent, "127.0.0.1")
            begun = loop.time()
            async with asyncio.timeout(0.9):  # the kernel's first retransmission of a SYN comes after a second
                _, writer = await asyncio.open_connection("two.example", port)
            assert loop.time() - begun > 0.2
            assert writer.get_extra_info("peername") == ("127.0.0.1", port)
            writer.close()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.9):
                    await asyncio.open_connection("two.example", port, happy_eyeballs_delay=None)
            server.close()

        with namespace.entered():
            on_loop(main())


def test_families_take_turns():
    from stack.aio.connecting import interleaved  # noqa: PLC0415

    infos = [
        (kind, socket.SOCK_STREAM, 6, "", (text, 80))
        for kind, text in (
            (socket.AF_INET6, "::1"),
            (socket.AF_INET6, "::2"),
            (socket.AF_INET, "1.1.1.1"),
            (socket.AF_INET, "1.1.1.2"),
        )
    ]
    assert [info[4][0] for info in interleaved(infos, 1)] == ["::1", "1.1.1.1", "::2", "1.1.1.2"]
    assert [info[4][0] for info in interleaved(infos, 2)] == ["::1", "::2", "1.1.1.1", "1.1.1.2"]
