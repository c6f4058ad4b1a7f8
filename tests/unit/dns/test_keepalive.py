"""How long the resolver keeps TCP connections open: what it asks, and what servers say (RFC 7828)."""

import asyncio
from contextlib import suppress

import pytest

from stack.config import SECOND
from stack.dns import Edns, Message, OptionCode, Resolver
from stack.dns.edns import keepalive_option
from stack.dns.transport import IDLE_MAX_S, IDLE_S
from tests.support.dns_zone_server import Served, Zone
from tests.support.rfc import rfc
from tests.support.worlds import run as simulate

NAMES = [f"h{i}.test" for i in range(3)]


class Keeping(Zone):
    """A server that answers what is asked by TCP, says for how long it keeps a connection, and may take its time."""

    def __init__(self, *records, keep_us, slow_s=0.0, **options):
        super().__init__(*records, **options)
        self.keep_us = keep_us
        self.slow_s = slow_s
        self.asked_to_keep = []  # (by TCP, the data of the option in the question)
        self.lives = []

    def answer(self, wire, *, is_tcp):
        edns = Message.parse(wire).edns
        self.asked_to_keep.append((is_tcp, edns.option(OptionCode.TCP_KEEPALIVE)))
        reply = Message.parse(super().answer(wire, is_tcp=is_tcp))
        if is_tcp and self.keep_us is not None:
            reply.edns = Edns(options=[keepalive_option(self.keep_us)])
        return reply.build(65_535)

    async def on_client(self, reader, writer):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with suppress(asyncio.IncompleteReadError):
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                reply = self.answer(await reader.readexactly(length), is_tcp=True)
                loop.call_later(self.slow_s, writer.write, len(reply).to_bytes(2, "big") + reply)
        self.lives.append(loop.time() - begun)
        writer.close()


def with_a_server_that_keeps(table, ask):
    """`ask(resolver)` on virtual time; the questions need TCP."""

    async def main(net):
        server, client = net.add_hosts("server", "client")

        async def serve(_host):
            async with Served(table, server.address, 53) as served:
                served.tcp.close()
                await served.tcp.wait_closed()
                await asyncio.start_server(table.on_client, server.address, 53)
                await asyncio.get_running_loop().create_future()

        server.boot(serve)
        await asyncio.sleep(1)
        with client.active():
            async with Resolver(servers=[server.address]) as r:
                await ask(r)
                assert r.stats["failures"] == 0
        await asyncio.sleep(1)

    simulate(main)


def keeping(keep_us, **options):
    return Keeping(
        *(f"{name} A 10.0.0.1" for name in NAMES), keep_us=keep_us, truncate=tuple(f"{n}." for n in NAMES), **options
    )


@rfc("7828", "3.2.1", "D-TCP-KEEPALIVE-ASKED")
def test_a_connection_kept_open_is_asked_for_by_tcp_only_and_without_a_time():
    async def ask(r):
        await r.query("h0.test")
        await r.query("h1.test")

    table = keeping(30 * SECOND)
    with_a_server_that_keeps(table, ask)
    assert table.asked_to_keep == [(False, None), (True, b"")] * 2


@rfc("7828", "3.2.2", "D-TCP-KEEPALIVE-TIME")
@pytest.mark.parametrize(
    ("keep_us", "kept_s"),
    [
        (30 * SECOND, 27),  # longer than ours, and ended before the server ends it
        (2 * SECOND, 1.8),  # shorter
        (6000 * SECOND, IDLE_MAX_S),
        (None, IDLE_S),  # the control: a server that says nothing
    ],
)
def test_an_idle_connection_is_kept_for_as_long_as_the_server_says(keep_us, kept_s):
    async def ask(r):
        await r.query("h0.test")
        await asyncio.sleep(kept_s - 0.5)
        assert r.stats["sockets"] == 1
        await r.query("h1.test")  # on the same connection, which is not idle before this is answered
        await asyncio.sleep(kept_s - 0.5)
        assert r.stats["sockets"] == 1
        await asyncio.sleep(1)
        assert r.stats["sockets"] == 0

    table = keeping(keep_us)
    with_a_server_that_keeps(table, ask)
    assert len(table.lives) == 1
    assert table.lives[0] == pytest.approx(2 * kept_s - 0.5, abs=0.1)


@rfc("7828", "3.2.2", "D-TCP-KEEPALIVE-TIME")
def test_a_connection_that_the_server_wants_ended_ends_after_the_outstanding_replies():
    async def ask(r):
        first = asyncio.ensure_future(r.query("h0.test"))
        await asyncio.sleep(0.3)
        second = asyncio.ensure_future(r.query("h1.test"))
        await first  # with 0 in it, while the second is outstanding
        assert r.stats["sockets"] == 1
        await r.query("h2.test")  # on another connection
        await second
        assert r.stats["sockets"] == 0

    table = keeping(0, slow_s=0.5)
    with_a_server_that_keeps(table, ask)
    assert len(table.lives) == 2


@rfc("7828", "3.2.2", "D-TCP-KEEPALIVE-TIME")
def test_a_connection_with_outstanding_replies_is_not_idle():
    table = keeping(SECOND // 5)

    async def ask(r):
        await r.query("h0.test")
        table.slow_s = 1.0  # longer than it may be idle
        await r.query("h1.test")
        await asyncio.sleep(0.1)
        assert r.stats["sockets"] == 1
        await asyncio.sleep(0.2)
        assert r.stats["sockets"] == 0

    with_a_server_that_keeps(table, ask)
    assert len(table.lives) == 1
