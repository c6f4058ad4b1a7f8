"""Ports and connections of a resolver: each port used once, one connection for many questions."""

import asyncio
import contextlib
import os
import resource
from pathlib import Path

import pytest
import uvloop

from stack.dns import NXDOMAIN, Resolver, ResolverConfig, ServFail
from stack.dns.core import Failure
from stack.dns.core.stats import Count
from stack.dns.ports import LOW_PORT, failure_of
from stack.dns.transport import IDLE_S
from tests.support.dns_zone_server import Served, Zone, serve_tcp
from tests.support.rfc import rfc
from tests.support.worlds import run as simulate

COUNT = 200


@pytest.fixture(params=[asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def run_main(main):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(main, 30))

    return run_main


def names(count=COUNT):
    return [f"h{i}.test" for i in range(count)]


def zone(count=COUNT, **options):
    return Zone(*(f"h{i}.test A 10.0.{i >> 8}.{i & 255}" for i in range(count)), **options)


async def ask_all(r, count=COUNT):
    answers = await asyncio.gather(*(r.query(name) for name in names(count)))
    assert [a.rrset.rdatas[0].address for a in answers] == [f"10.0.{i >> 8}.{i & 255}" for i in range(count)]


# -- UDP


@rfc("5452", "9.2", "D-PORT-FRESH")
def test_every_question_has_a_port_of_its_own(run):
    async def main():
        async with Served(zone()) as served, Resolver(servers=[served.server]) as r:
            for name in names():
                await r.query(name)
            ports = served.endpoint.ports
            assert len(ports) == COUNT
            # of 64512 ports 200 draws meet in one pair with probability 0.27, in four with 0.0002
            assert len(set(ports)) > COUNT - 4
            assert min(ports) >= LOW_PORT
            # the kernel would draw from 32768 to 60999; of ours two fifths are outside
            outside = sum(not 32_768 <= port <= 60_999 for port in ports)
            assert outside > COUNT // 4
            assert r.stats["sockets"] == 0

    run(main())


def test_many_at_once(run):
    async def main():
        async with Served(zone()) as served, Resolver(servers=[served.server]) as r:
            await ask_all(r)
            assert r.stats["sockets"] == 0

    run(main())


def test_what_others_send_to_the_port_is_not_heard(run):
    """The socket is connected: the kernel turns others away, before anything has to look at what they say."""

    async def main():
        loop = asyncio.get_running_loop()

        other, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        answers = []

        class Server(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                reply = served.answer(data, is_tcp=False)
                other.sendto(reply, addr)
                answers.append(reply)
                loop.call_later(0.05, self.transport.sendto, reply, addr)

        served = zone(1)
        endpoint, _ = await loop.create_datagram_endpoint(Server, ("127.0.0.1", 0))
        async with Resolver(servers=[endpoint.get_extra_info("sockname")]) as r:
            await ask_all(r, 1)
            assert r.stats["received"] == 1
            assert r.stats["refused"] == {}
            assert len(answers) == 1
        other.close()
        endpoint.close()

    run(main())


def test_when_there_are_no_sockets_left_the_try_fails(run):
    async def main():
        async with Served(zone(2)) as served, Resolver(servers=[served.server]) as r:
            with no_more_files(), pytest.raises(ServFail, match="no socket left"):
                await r.query("h0.test")
            await r.query("h1.test")

    run(main())


@contextlib.contextmanager
def no_more_files():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as first_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free.fileno() + 1, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ConnectionRefusedError(111, ""), Failure.REFUSED),
        (OSError(101, "network unreachable"), Failure.NO_ROUTE),
        (OSError(113, "no route to host"), Failure.UNREACHABLE),
        (OSError(24, "too many files"), Failure.NO_SOCKET),
        (TimeoutError(110, ""), Failure.CONNECT_TIMEOUT),
        (ConnectionResetError(104, ""), Failure.CLOSED),
        (None, Failure.CLOSED),
        (RuntimeError("?"), Failure.UNREACHABLE),
    ],
)
def test_what_errors_mean(error, failure):
    assert failure_of(error) is failure


# -- TCP


def test_one_connection_serves_many_questions(run):
    async def main():
        truncated = tuple(f"{name}." for name in names())
        async with Served(zone(truncate=truncated)) as served, Resolver(servers=[served.server]) as r:
            await ask_all(r, 100)
            assert r.stats["truncated"] == 100
            assert served.connections == 1
            await r.query("h150.test")
            assert served.connections == 1
            assert r.stats["sockets"] == 1

    run(main())


class Reordered:
    """A server on TCP that answers every ten questions, the last one first, and sends octet by octet if `dribble`."""

    def __init__(self, table, dribble=False):
        self.table = table
        self.dribble = dribble
        self.connections = 0

    async def __call__(self, reader, writer):
        self.connections += 1
        replies = []
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                reply = self.table.answer(await reader.readexactly(length), is_tcp=True)
                replies.append(len(reply).to_bytes(2, "big") + reply)
                if len(replies) == 10:
                    stream = b"".join(reversed(replies))
                    replies.clear()
                    for piece in [stream[i : i + 1] for i in range(len(stream))] if self.dribble else [stream]:
                        writer.write(piece)
                        await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@rfc("7766", "7", "D-TCP-ORDER")
@pytest.mark.parametrize("dribble", [False, True])
def test_replies_come_in_any_order_and_any_pieces(run, dribble):
    async def main():
        table = zone(truncate=tuple(f"{name}." for name in names()))
        async with Served(table) as served:
            served.tcp.close()
            answer = Reordered(table, dribble)
            tcp = await asyncio.start_server(answer, *served.server)
            async with Resolver(servers=[served.server]) as r:
                await ask_all(r, 100)
                assert answer.connections == 1
                assert r.stats["refused"] == {}
            tcp.close()

    run(main())


@rfc("7766", "6.2.3", "D-TCP-IDLE")
def test_an_idle_connection_is_closed():
    async def main(net):
        server, client = net.add_hosts("server", "client")
        lives = []
        table = zone(2, truncate=("h0.test.", "h1.test."))

        async def timed(reader, writer):
            begun = net.time
            await serve_tcp(table, reader, writer)
            lives.append(net.time - begun)

        async def serve(_host):
            async with Served(table, server.address, 53) as served:
                served.tcp.close()
                await served.tcp.wait_closed()
                await asyncio.start_server(timed, server.address, 53)
                await asyncio.get_running_loop().create_future()

        server.boot(serve)
        await asyncio.sleep(1)
        with client.active():
            async with Resolver(servers=[server.address]) as r:
                await r.query("h0.test")
                await asyncio.sleep(IDLE_S - 1)
                await r.query("h1.test")  # which keeps it
                assert r.stats["sockets"] == 1
                await asyncio.sleep(IDLE_S - 1)
                assert r.stats["sockets"] == 1
                await asyncio.sleep(2)
                assert r.stats["sockets"] == 0
                assert r.stats["failures"] == 0
        assert len(lives) == 1
        assert lives[0] == pytest.approx(2 * IDLE_S - 1, abs=0.1)

    simulate(main)


@pytest.mark.parametrize("how", ["at once", "after a byte", "length 0", "garbage", "refused"])
def test_a_server_that_does_tcp_badly_fails_and_the_next_is_asked(run, how):
    async def main():
        async def bad(reader, writer):
            await reader.readexactly(2)
            writer.write(
                {"after a byte": b"\0", "length 0": b"\0\0" * 100, "garbage": b"\0\x0c" + b"x" * 12}.get(how, b"")
            )
            writer.close()

        async with Served(zone(1, truncate=("h0.test.",))) as first, Served(zone(1)) as second:
            first.tcp.close()
            tcp = await asyncio.start_server(bad, *first.server) if how != "refused" else None
            async with Resolver(servers=[first.server, second.server]) as r:
                assert (await r.query("h0.test")).server == second.server
                assert r.stats["timeouts"] == 0
                await asyncio.sleep(0.01)
                assert r.stats["sockets"] == 0
            if tcp is not None:
                tcp.close()

    run(main())


def test_closing_while_a_connection_is_opened_leaves_nothing(run):
    async def main():
        async with Served(zone(1, truncate=("h0.test.",))) as served:
            for pause in (0, 0, 1, 2, 3, 5, 8):
                r = Resolver(servers=[served.server])
                task = asyncio.ensure_future(r.query("h0.test"))
                while not (r._engine and r._engine.core.stats.counts[Count.SENT_TCP]):
                    await asyncio.sleep(0)
                for _ in range(pause):
                    await asyncio.sleep(0)
                await r.aclose()
                await asyncio.gather(task, return_exceptions=True)
                assert task.done()
                assert len(r._engine.transport) == 0
            await asyncio.sleep(0.01)

    run(main())


def test_without_tcp_a_truncated_answer_is_a_failure(run):
    async def main():
        async with Served(zone(1, truncate=("h0.test.",))) as served:
            served.tcp.close()
            async with Resolver(servers=[served.server], config=ResolverConfig(attempts=1)) as r:
                said = r"\(127\.0\.0\.1#\d+: truncated over UDP; TCP: connection refused\)$"
                with pytest.raises(ServFail, match=said):
                    await r.query("h0.test")
                with pytest.raises(NXDOMAIN):
                    await r.query("nobody.test")

    run(main())
