"""Resolver over kernel sockets, over hosts of the stack and in the simulator."""

import asyncio
import errno
import random
import socket

import pytest
import uvloop

from stack.aio.loop import SelectorLoop, UvLoop
from stack.device.fault_settings import Faults
from stack.dns import (
    NXDOMAIN,
    BadName,
    BadType,
    Name,
    NoData,
    Resolver,
    ResolverClosed,
    ResolverConfig,
    ServFail,
    Timeout,
)
from stack.errors import ConfigError
from tests.support.aio_nets import SERVER_IP, StackNet
from tests.support.dns_zone_server import Served, Zone
from tests.support.netns import Namespace
from tests.support.rfc import rfc
from tests.support.worlds import run as simulate

LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop, SelectorLoop, UvLoop]
RECORDS = (
    "www.example.test A 10.0.0.1",
    "www.example.test AAAA 2001:db8::1",
    "four.test A 10.0.0.4",
    "six.test AAAA 2001:db8::6",
    "mail.test MX 10 mx.test.",
    "1.0.0.10.in-addr.arpa PTR www.example.test.",
    "_nfs._tcp.test SRV 1 0 2049 www.example.test.",
    "_nfs._tcp.test SRV 2 0 2050 four.test.",
    "_nfs._tcp.test SRV 3 0 2051 nobody.test.",
    "_none._tcp.test SRV 0 0 0 .",
    "_lost._tcp.test SRV 0 0 7 nobody.test.",
)


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop", "ours-asyncio", "ours-uvloop"])
def run(request):
    """Run a coroutine on a loop; what the loop was told of is an error."""

    def run_main(main):
        told = []

        async def guarded():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
            async with asyncio.timeout(30):
                return await main

        with asyncio.Runner(loop_factory=request.param) as runner:
            result = runner.run(guarded())
        assert not told
        return result

    return run_main


def resolver(*served, **options):
    return Resolver(servers=[one.server for one in served], **options)


def drained(made):
    """Nothing is in hand any more."""
    return not made._engine.transport.__len__() and not made._engine._futures


async def eventually(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never came true")


# -- questions


def test_query_and_its_cache(run):
    async def main():
        async with Served(Zone(*RECORDS)) as served, resolver(served) as r:
            answer = await r.query("WWW.example.test")
            assert [rdata.address for rdata in answer.rrset.rdatas] == ["10.0.0.1"]
            assert answer.server == served.server
            assert answer.ttl == 300
            assert answer.secure is None
            assert not answer.stale
            again = await r.query("www.EXAMPLE.test.", 1)
            assert [rdata.address for rdata in again.rrset.rdatas] == ["10.0.0.1"]
            assert served.zone.asked == [("www.example.test.", "A", False)]
            assert drained(r)

    run(main())


def test_what_there_is_not(run):
    async def main():
        async with Served(Zone(*RECORDS)) as served, resolver(served) as r:
            for _ in range(2):  # the second time from the cache
                with pytest.raises(NXDOMAIN, match=r"nobody\.test\. does not exist"):
                    await r.query("nobody.test")
                with pytest.raises(NoData, match=r"four\.test\. has no MX record"):
                    await r.query("four.test", "MX")
            assert len(served.zone.asked) == 2

    run(main())


@pytest.mark.parametrize(
    ("name", "rrtype", "error"),
    [
        ("a..b", "A", BadName),
        ("a.test", "NOTYPE", BadType),
        ("a.test", "AXFR", BadType),
        ("a.test", 0, BadType),
        ("a.test", 1 << 16, BadType),
        ("a.test", "ANY", BadType),
        ("", "A", BadName),
    ],
)
def test_what_cannot_be_asked(name, rrtype, error):
    async def main():
        async with Resolver(servers=["127.0.0.1#1"]) as r:
            for ask in (r.query, r.explain):
                with pytest.raises(error) as info:
                    await ask(name, rrtype)
                # a caller's mistake, of the kinds that it would be elsewhere
                assert isinstance(info.value, ValueError | OSError)
                assert info.value.errno == errno.EINVAL

    asyncio.run(main())


def test_any_is_refused_with_the_reason():
    async def main():
        async with Resolver(servers=["127.0.0.1#1"]) as r:
            with pytest.raises(BadType, match=r"\] ANY cannot be asked .* \(RFC 8482\): ask for a type of"):
                await r.query("a.test", "any")

    asyncio.run(main())


@pytest.mark.parametrize("name", [None, 7, b"a.test", ["a.test"]])
def test_a_name_is_text_or_a_name(name):
    async def main():
        async with Resolver(servers=["127.0.0.1#1"]) as r:
            for ask in (r.query, r.addresses, r.explain):
                with pytest.raises(TypeError, match="use a name and a type like "):
                    await ask(name)
            with pytest.raises(TypeError, match="not str and float"):
                await r.query("a.test", 1.0)
            with pytest.raises(ConfigError, match="family 1: use"):
                await r.addresses("a.test", family=1)

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), None, "long"])
def test_a_timeout_is_a_number_of_seconds(timeout):
    async def main():
        async with Resolver(servers=["127.0.0.1#1"]) as r:
            for ask in (r.query, r.addresses, r.explain):
                with pytest.raises(ConfigError, match=f"timeout {timeout!r}: use a number of seconds, like 10"):
                    await ask("a.test", timeout=timeout)

    asyncio.run(main())


def test_a_name_made_before_can_be_asked_for(run):
    async def main():
        async with Served(Zone(*RECORDS)) as served, resolver(served) as r:
            name = (await r.query("www.example.test")).rrset.name
            assert (await r.query(name)).rrset.name == name
            assert await r.addresses(name, family=socket.AF_INET) == ["10.0.0.1"]
            # it is as it is, also where a search list is
        config = ResolverConfig(search=(Name.parse("example.test"),), attempts=1)
        async with Served(Zone(*RECORDS)) as served, resolver(served, config=config) as r:
            assert (await r.query("www")).name == Name.parse("www.example.test")
            with pytest.raises(NXDOMAIN):
                await r.query(Name.parse("www"))

    run(main())


def test_addresses_reverse_services(run):
    async def main():
        async with Served(Zone(*RECORDS)) as served, resolver(served) as r:
            assert set(await r.addresses("www.example.test")) == {"10.0.0.1", "2001:db8::1"}
            assert await r.addresses("four.test") == ["10.0.0.4"]
            assert await r.addresses("six.test") == ["2001:db8::6"]
            assert await r.addresses("192.0.2.7") == ["192.0.2.7"]
            assert await r.addresses("www.example.test", family=socket.AF_INET) == ["10.0.0.1"]
            with pytest.raises(NoData):
                await r.addresses("four.test", family=socket.AF_INET6)
            with pytest.raises(NoData):
                await r.addresses("mail.test")
            with pytest.raises(NXDOMAIN):
                await r.addresses("nobody.test")
            assert await r.reverse("10.0.0.1") == "www.example.test"
            with pytest.raises(NXDOMAIN, match=r"^\[Errno 2\] 1\.0\..*\.8\.e\.f\.ip6\.arpa\. does not exist"):
                await r.reverse("fe80::1%lo")
            with pytest.raises(BadName):
                await r.reverse("www.example.test")
            found = [service async for service in r.services("_nfs._tcp.test")]
            assert [(service.host, service.port) for service in found] == [
                ("www.example.test", 2049),
                ("four.test", 2050),
            ]
            assert set(found[0].addresses) == {"10.0.0.1", "2001:db8::1"}
            assert [service async for service in r.services("_none._tcp.test")] == []
            with pytest.raises(NXDOMAIN):
                assert [service async for service in r.services("_lost._tcp.test")]

    run(main())


def test_one_question_of_many(run):
    async def main():
        async with Served(Zone(*RECORDS)) as served, resolver(served) as r:
            answers = await asyncio.gather(*(r.query("www.example.test") for _ in range(100)))
            assert len(answers) == 100
            assert len(served.zone.asked) == 1

    run(main())


@pytest.mark.parametrize(
    "servers", [["one.test"], ["10.0.0.1#0"], ["10.0.0.1#many"], [("10.0.0.1", 70_000)], [], ["1"]]
)
def test_servers_that_cannot_be(servers):
    with pytest.raises(ConfigError):
        Resolver(servers=servers)


@pytest.mark.parametrize("servers", ["10.53.0.10", b"10.53.0.10", ("10.0.0.1", 53), [("10.0.0.1", "53")], [7]])
def test_servers_are_a_list(servers):
    with pytest.raises(TypeError, match=r"^servers? .*: use (a list,|text) like "):
        Resolver(servers=servers)


def test_hints_are_a_list():
    with pytest.raises(TypeError, match=r"^hints is '10.53.0.1': use a list, like \['10.53.0.1'\]$"):
        Resolver.iterative(hints="10.53.0.1")


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("10.0.0.1#5353", "from the root down all servers are asked on port 53"),
        ("2001:db8::1", "IPv6 is off"),
        ("127.0.0.1", "an address of this host or a group is nobody's server"),
        ("224.0.0.1", "an address of this host or a group is nobody's server"),
        ("root.test", "give an address in figures"),
    ],
)
def test_root_servers_that_would_not_be_asked(hint, said):
    with pytest.raises(ConfigError, match=f"server .*{hint}.*: {said}"):
        Resolver.iterative(hints=[hint])


def test_root_servers_in_every_form():
    made = Resolver.iterative(hints=["10.0.0.1", "10.0.0.2#53", "2001:db8::1"], config=ResolverConfig(ipv6=True))
    assert [hint.addresses for hint in made._config.hints] == [("10.0.0.1",), ("10.0.0.2",), ("2001:db8::1",)]


def test_servers_in_every_form():
    made = Resolver(servers=["10.0.0.1", "10.0.0.2#5353", ("10.0.0.3", 54), "2001:DB8::1", "fe80::1%eth0"])
    assert made._config.servers == (
        ("10.0.0.1", 53),
        ("10.0.0.2", 5353),
        ("10.0.0.3", 54),
        ("2001:db8::1", 53),
        ("fe80::1%eth0", 53),
    )


# -- ends


def test_a_cancelled_question_leaves_nothing(run):
    async def main():
        async with Served(Zone(*RECORDS, silent_for=("A", "AAAA"))) as served, resolver(served) as r:
            for ask in (r.query, r.addresses, r.resolve, r.explain):
                task = asyncio.ensure_future(ask("www.example.test"))
                await eventually(lambda: served.zone.asked)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert task.cancelled()
                await eventually(lambda: drained(r))
                served.zone.asked.clear()

    run(main())


def test_closing_it_ends_who_waits(run):
    async def main():
        async with Served(Zone(*RECORDS, silent_for=("A",))) as served:
            r = resolver(served)
            task = asyncio.ensure_future(r.query("www.example.test"))
            await eventually(lambda: served.zone.asked)
            await r.aclose()
            await r.aclose()
            with pytest.raises(ResolverClosed, match=r"closed before it answered www\.example\.test\. A$") as info:
                await task
            assert info.value.errno == errno.ECANCELED
            assert drained(r)
        unused = Resolver(servers=["10.0.0.1"])
        await unused.aclose()
        for closed in (r, unused):
            for ask in (closed.query, closed.addresses, closed.explain):
                with pytest.raises(ResolverClosed, match=r"www\.example\.test\. A \(make a new one\)") as info:
                    await ask("www.example.test")
                assert info.value.errno == errno.EBADF
        loop = asyncio.get_running_loop()
        if isinstance(loop, SelectorLoop | UvLoop):
            loop.resolver = unused
            with pytest.raises(socket.gaierror) as info:
                await loop.getaddrinfo("www.example.test", 80)
            assert info.value.errno == socket.EAI_AGAIN  # nobody said that there is no such name

    run(main())


# -- whose network


def test_as_a_host_of_the_stack(run):
    async def main():
        async with StackNet() as net:
            zone = Zone(*RECORDS, truncate=("four.test.",))
            udp, endpoint = await net.server.create_datagram_endpoint(lambda: _udp(zone), (SERVER_IP, 53))
            server = await net.server.start_server(_tcp(zone), port=53)
            async with Resolver(servers=[SERVER_IP], host=net.client) as r:
                assert (await r.query("www.example.test")).server == (SERVER_IP, 53)
                assert (await r.query("four.test")).server == (SERVER_IP, 53)
                # what the stack cannot reach comes last, or is not there
                assert await r.addresses("www.example.test") == ["10.0.0.1", "2001:db8::1"]
                assert len(set(endpoint.ports)) == len(endpoint.ports) == 3
                assert ("four.test.", "A", True) in zone.asked
            udp.close()
            server.close()

    run(main())


def _udp(zone):
    from tests.support.dns_zone_server import UdpServer  # noqa: PLC0415

    return UdpServer(zone)


def _tcp(zone):
    from tests.support.dns_zone_server import serve_tcp  # noqa: PLC0415

    async def on_client(reader, writer):
        await serve_tcp(zone, reader, writer)

    return on_client


def test_a_nameserver_on_loopback_is_the_kernels_also_for_a_host(run):
    async def main():
        async with StackNet() as net, Served(Zone(*RECORDS)) as served, resolver(served, host=net.client) as r:
            assert (await r.query("www.example.test")).server == served.server
            assert await r.addresses("www.example.test") == ["10.0.0.1", "2001:db8::1"]

    run(main())


@pytest.mark.netns
def test_without_a_route_it_ends_at_once(run):
    async def main():
        async with Resolver(servers=["192.0.2.1", "2001:db8::1"]) as r:
            with pytest.raises(ServFail, match=r"192\.0\.2\.1: no route; 2001:db8::1: no route"):
                await r.query("www.example.test")
            assert r.stats["timeouts"] == 0

    with Namespace() as namespace, namespace.entered():
        run(main())


def test_a_closed_port_ends_a_try_at_once(run):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        async with (
            Served(Zone(*RECORDS)) as served,
            Resolver(servers=[("127.0.0.1", port), served.server]) as r,
        ):
            assert (await r.query("www.example.test")).server == served.server
            assert r.stats["failures"] == 1
            assert r.stats["timeouts"] == 0

    run(main())


# -- the loop's names


def test_getaddrinfo(run):
    async def main():
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SelectorLoop | UvLoop):
            return
        async with Served(Zone(*RECORDS, silent_for=("AAAA",))) as served:
            config = ResolverConfig(timeout_us=50_000, rto_unknown_us=50_000, attempts=1)
            async with resolver(served, config=config) as r:
                loop.resolver = r
                infos = await loop.getaddrinfo("four.test", 80, type=socket.SOCK_STREAM, family=socket.AF_INET)
                assert [info[4] for info in infos] == [("10.0.0.4", 80)]
                for name, family, code, cause in (
                    ("nobody.test", socket.AF_INET, socket.EAI_NONAME, NXDOMAIN),
                    ("mail.test", socket.AF_INET, socket.EAI_NONAME, NoData),
                    ("four.test", socket.AF_INET6, socket.EAI_AGAIN, Timeout),
                ):
                    with pytest.raises(socket.gaierror) as info:
                        await loop.getaddrinfo(name, 80, family=family)
                    assert info.value.errno == code
                    assert isinstance(info.value.__cause__, cause)
        async with Resolver(servers=["127.0.0.1#1"]) as loop.resolver:
            with pytest.raises(socket.gaierror) as info:
                await loop.getaddrinfo("four.test", 80)
            assert info.value.errno == socket.EAI_AGAIN
            assert isinstance(info.value.__cause__, ServFail)

    run(main())


def test_getnameinfo(run):
    async def main():
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SelectorLoop | UvLoop):
            return
        records = ("9.0.0.10.in-addr.arpa PTR www.example.test.",)
        async with Served(Zone(*records)) as served, resolver(served) as r:
            loop.resolver = r
            assert await loop.getnameinfo(("10.0.0.9", 80)) == ("www.example.test", "http")
            assert await loop.getnameinfo(("10.0.0.8", 80)) == ("10.0.0.8", "http")
            with pytest.raises(socket.gaierror) as info:
                await loop.getnameinfo(("10.0.0.8", 80), socket.NI_NAMEREQD)
            assert info.value.errno == socket.EAI_NONAME
            assert isinstance(info.value.__cause__, NXDOMAIN)

    run(main())


def test_errors_are_those_of_the_system():
    for kind, number in ((NXDOMAIN, errno.ENOENT), (NoData, errno.ENODATA), (Timeout, errno.ETIMEDOUT)):
        assert kind.code == number


# -- in the simulator


async def _boot(net, zone, name="server"):
    host = net.add_host(name)

    async def serve(_host):
        async with Served(zone, host.address, 53):
            await asyncio.get_running_loop().create_future()

    host.boot(serve)
    await asyncio.sleep(1)
    return host


def test_between_simulated_hosts_one_seed_is_one_history():
    zone_names = [f"h{i}.test" for i in range(40)]

    def once(seed):
        async def main(net):
            zone = Zone(*(f"{name} A 10.1.0.{i}" for i, name in enumerate(zone_names)))
            server = await _boot(net, zone)
            client = net.add_host("client")
            with client.active():
                async with Resolver(servers=[server.address]) as r:
                    answers = await asyncio.gather(*(r.query(name) for name in zone_names))
                    assert [a.rrset.rdatas[0].address for a in answers] == [f"10.1.0.{i}" for i in range(40)]
                    timeouts = r.stats["timeouts"]
            return timeouts, net.digest()

        return simulate(main, seed, faults=Faults(delay_us=2000, loss=0.05))

    first = once(7)
    assert first[0] > 0  # datagrams were lost, and asked again
    assert once(7) == first
    assert once(8) != first


def test_host_pins_a_host_and_the_place_of_making_does_not_matter():
    async def main(net):
        zone = Zone(*RECORDS, truncate=("four.test.",))
        server = await _boot(net, zone)
        client = net.add_host("client")
        async with Resolver(servers=[server.address], host=client) as r:
            assert await r.addresses("www.example.test") == ["10.0.0.1", "2001:db8::1"]
            assert (await r.query("four.test")).server == (server.address, 53)
        with client.active():
            r = Resolver(servers=[server.address])
            await r.query("www.example.test")
        await r.query("mail.test", "MX")  # as the host that was active when it began
        await r.aclose()

    simulate(main)


@rfc("8305", "3", "D-HE-RESOLUTION")
def test_a_family_that_is_slow_holds_up_connections_for_50_ms_only():
    async def main(net):
        server = await _boot(net, Zone(*RECORDS, silent_for=("AAAA",)))
        client = net.add_host("client")
        with client.active():
            async with Resolver(servers=[server.address]) as r:
                await r.query("mail.test", "MX")  # now the server's address is known to ARP, and how far it is
                begun = net.time
                assert await r.resolve("www.example.test") == ["10.0.0.1"]
                round_trip = 0.001
                assert net.time - begun == pytest.approx(round_trip + 0.05)
                begun = net.time
                assert await r.addresses("four.test") == ["10.0.0.4"]
                assert net.time - begun > 1  # all that `timeout` allows, since that call wants them all

    simulate(main)


def test_a_question_has_its_time():
    async def main(net):
        server = await _boot(net, Zone(silent_for=("A",)))
        client = net.add_host("client")
        with client.active():
            async with Resolver(servers=[server.address]) as r:
                begun = net.time
                with pytest.raises(Timeout) as info:
                    await r.query("www.example.test", timeout=2.5)
                assert net.time - begun == pytest.approx(2.5)
                assert isinstance(info.value, TimeoutError)
                assert info.value.tries[0].server == server.address

    simulate(main)


def test_randomness_may_be_given():
    async def main():
        async with Served(Zone(*RECORDS)) as served, resolver(served, rng=random.Random(1)) as r:
            await r.query("www.example.test")

    asyncio.run(main())


@pytest.mark.parametrize("make", [Resolver.system, Resolver.iterative, lambda **given: Resolver(["10.0.0.1"], **given)])
@pytest.mark.parametrize("config", [{}, 5])
def test_a_config_is_a_config(make, config):
    with pytest.raises(TypeError, match=r"^config is .*: use a ResolverConfig of stack\.dns$"):
        make(config=config)


def test_a_hint_with_a_port_is_no_hint():
    with pytest.raises(ConfigError, match=r"^.*hint \('10\.1\.1\.1', 5353\): use a Hint, a name and its addresses"):
        Resolver.iterative(hints=[("10.1.1.1", 5353)])


def test_a_number_is_no_list_of_servers():
    with pytest.raises(TypeError, match=r"^servers is 5: use a list, like \[5\]$"):
        Resolver(5)


def test_only_addresses_lead_to_names():
    async def main():
        await Resolver(["10.0.0.1"]).reverse(None)

    with pytest.raises(TypeError, match=r'use an address like "192\.0\.2\.1", not NoneType'):
        asyncio.run(main())


def test_a_resolver_stays_with_its_loop():
    made = Resolver(["10.0.0.1"])

    async def main():
        return await made.addresses("localhost", family=socket.AF_INET)

    assert asyncio.run(main()) == ["127.0.0.1"]
    with pytest.raises(RuntimeError, match="belongs to the loop that it was first asked on: make one for each loop"):
        asyncio.run(main())
