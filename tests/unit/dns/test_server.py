"""The server's ports on simulated hosts: UDP, TCP with many questions, connections that are bounded, the resolver."""

import asyncio
import errno
import inspect
import struct
from ipaddress import IPv4Address

import pytest

from stack.device.fault_settings import Faults
from stack.dns.constants import EdeCode, Rcode, RRType
from stack.dns.core.answer import Answer
from stack.dns.edns import Edns
from stack.dns.errors import NXDOMAIN, BadName, DnsError, Ede, NoData, ServFail, Timeout, ZoneError
from stack.dns.message import Message, Question
from stack.dns.names import Name
from stack.dns.rdata import CNAME, A
from stack.dns.resolver import Resolver
from stack.dns.rrset import RRset
from stack.dns.server import ServerLimits, load_zone, serve
from stack.dns.zone import Zone
from stack.errors import ConfigError
from stack.sim import run
from tests.support import dns_zones
from tests.support.rfc import rfc

ZONE = Zone.parse(dns_zones.EXAMPLE_ZONE, Name.parse("example.test"))
ELSEWHERE = "www.elsewhere.net"


def query(name="www.example.test", rrtype=RRType.A, number=7):
    return Message.query(Name.parse(name), int(rrtype), id=number, edns=Edns()).build()


def framed(*wires):
    return b"".join(struct.pack("!H", len(wire)) + wire for wire in wires)


async def read(reader):
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return Message.parse(await reader.readexactly(length))


async def ended(reader):
    """The server has closed or reset the connection, and had said nothing more."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


class Asking(asyncio.DatagramProtocol):
    """A client: what came is in `replies`."""

    def __init__(self):
        self.replies = asyncio.Queue()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.replies.put_nowait(Message.parse(data))

    async def ask(self, wire):
        self.transport.sendto(wire)
        return await asyncio.wait_for(self.replies.get(), 30)


class Oracle:
    """A resolver that knows one thing for each name, and takes its time."""

    def __init__(self, *, delay=0.0, **known):
        self.known = {name.replace("_", "."): what for name, what in known.items()}
        self.delay = delay
        self.asked = []
        self.waiting = self.most = 0

    async def query(self, name, rrtype="A", *, timeout=0):  # noqa: ASYNC109  (the interface)
        self.asked.append((name, rrtype, timeout))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await asyncio.sleep(self.delay(name) if callable(self.delay) else self.delay)
        finally:
            self.waiting -= 1
        what = self.known.get(name.removesuffix("."))
        if isinstance(what, Answer):
            return what
        if what is None:
            return found(name)
        if not issubclass(what, DnsError):
            raise what("it is of no use")
        raise what(Question(Name.parse(name), rrtype), ede=None if name == "alone.net." else Ede(EdeCode.OTHER, "so"))


def found(name, **more):
    rrset = RRset.of(Name.parse(name), 60, [A("192.0.2.1")])
    return Answer(rrset.name, int(RRType.A), rrset, 60, **{"chain": (), **more})


def simulated(test):
    """Run the test on hosts of a simulation; `net` is that, other parameters are pytest's."""

    def run_it(**values):
        run(lambda net: test(net=net, **values), seed=1, faults=Faults(delay_us=1000))

    names = [name for name in inspect.signature(test).parameters if name != "net"]
    run_it.__signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    )
    run_it.__name__ = test.__name__
    return run_it


class Setting:
    """A client and a server."""

    def __init__(self, net, **options):
        self.client, self.host = (host.stack for host in net.add_hosts("client", "server"))
        self.options = options
        self.opened = []

    async def __aenter__(self):
        self.server = await serve([ZONE], host=self.host, **self.options)
        self.to = str(IPv4Address(self.host.addresses()[0][0]))
        _, self.udp = await self.client.create_datagram_endpoint(Asking, remote_addr=(self.to, 53))
        self.opened.append(self.udp.transport)
        return self

    async def __aexit__(self, *_):
        for transport in self.opened:
            transport.close()
        await self.server.aclose()

    async def connect(self):
        reader, writer = await self.client.open_connection(self.to, 53)
        self.opened.append(writer)
        return reader, writer


@simulated
async def test_udp_and_tcp_say_the_same(net):
    async with Setting(net) as s:
        by_udp = await s.udp.ask(query())
        reader, writer = await s.connect()
        writer.write(framed(query()))
        by_tcp = await read(reader)
        assert str(by_udp) == str(by_tcp)
        assert str(by_udp.answer[0].rdatas[0]) == "10.53.0.51"
        assert (s.server.stats["queries"], s.server.stats["tcp"], s.server.stats["rcodes"]) == (2, 1, {"noerror": 2})


@simulated
async def test_a_cut_answer_is_whole_over_tcp(net):
    async with Setting(net) as s:
        assert (await s.udp.ask(query("big.example.test", RRType.TXT))).tc
        reader, writer = await s.connect()
        writer.write(framed(query("big.example.test", RRType.TXT)))
        assert len((await read(reader)).answer[0]) == dns_zones.BIG_RRS


@rfc("7766", "6.2.1")
@simulated
async def test_many_questions_in_one_write_and_one_in_many(net):
    async with Setting(net) as s:
        reader, writer = await s.connect()
        writer.write(framed(*(query(number=number) for number in range(300))))
        assert [(await read(reader)).id for _ in range(300)] == list(range(300))
        for octet in framed(query(number=9)):
            writer.write(bytes((octet,)))
            await asyncio.sleep(0.01)
        assert (await read(reader)).id == 9


@rfc("7766", "6.2.1.1")
@simulated
async def test_answers_that_wait_for_others_are_overtaken(net):
    oracle = Oracle(delay=lambda name: 1.0 if "slow" in name else 0.1)
    async with Setting(net, resolver=oracle) as s:
        reader, writer = await s.connect()
        writer.write(framed(query("slow.net", number=1), query("fast.net", number=2), query(number=3)))
        assert [(await read(reader)).id for _ in range(3)] == [3, 2, 1]


@simulated
async def test_a_client_that_has_ended_gets_what_it_asked_for(net):
    async with Setting(net, resolver=Oracle(delay=2.0)) as s:
        reader, writer = await s.connect()
        writer.write(framed(query("slow.net", number=1), query(number=3)))
        writer.write_eof()
        assert [(await read(reader)).id for _ in range(2)] == [3, 1]
        assert await reader.read() == b""


@simulated
async def test_replies_come_from_the_address_that_was_asked(net):
    server, client = net.add_hosts("server", "client")
    ifindex, second = next(iter(server.stack.host.ip.interfaces)), "10.0.0.77"
    server.stack.host.add_address(ifindex, int(IPv4Address(second)), 24, net.network.clock.now)
    server.stack.addresses_changed()
    await asyncio.sleep(10)  # until it has claimed that
    async with await serve([ZONE], host=server.stack):
        for address in (server.address, second):
            # a connected endpoint takes nothing from elsewhere
            _, udp = await client.stack.create_datagram_endpoint(Asking, remote_addr=(address, 53))
            assert (await udp.ask(query())).rcode == Rcode.NOERROR
            udp.transport.close()


# -- limits


@rfc("7766", "6.2.3")
@simulated
async def test_idle_connections_are_closed(net):
    async with Setting(net, limits=ServerLimits(idle_s=5)) as s:
        reader, writer = await s.connect()
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3)
        writer.write(framed(query()))
        await read(reader)
        assert await reader.read() == b""
        assert 8 <= asyncio.get_running_loop().time() - began < 8.1
        assert s.server.stats["connections_idle"] == 1


@pytest.mark.parametrize("idle_s", [5, 500])
@simulated
async def test_an_octet_now_and_then_keeps_no_connection_open(net, idle_s):
    """As the control, with time enough the same octets are a question."""
    async with Setting(net, limits=ServerLimits(idle_s=idle_s)) as s:
        reader, writer = await s.connect()
        began = asyncio.get_running_loop().time()
        reading = asyncio.ensure_future(reader.read(65535))
        for octet in framed(query()):
            writer.write(bytes((octet,)))
            await asyncio.wait([reading], timeout=1)
            if reading.done():
                break
        if idle_s == 500:
            assert Message.parse((await reading)[2:]).rcode == Rcode.NOERROR
        else:
            assert await reading == b""
            assert 5 <= asyncio.get_running_loop().time() - began < 6.1


@simulated
async def test_when_all_connections_are_taken_the_idlest_gives_way(net):
    async with Setting(net, limits=ServerLimits(connections=3)) as s:
        first, second, third = [await s.connect() for _ in range(3)]
        for reader, writer in (second, third, first):
            writer.write(framed(query()))
            await read(reader)
        fourth = await s.connect()
        for reader, writer in (first, third, fourth):
            writer.write(framed(query()))
            await read(reader)
        assert await ended(second[0])
        assert s.server.stats["connections"] == 3
        assert s.server.stats["connections_given_up"] == 1


@pytest.mark.parametrize("most", [2, 10])
@simulated
async def test_of_the_connections_of_one_client_the_idlest_gives_way(net, most):
    """As the control, where it may have more none does."""
    (another,) = net.add_hosts("another")
    async with Setting(net, limits=ServerLimits(connections=10, connections_per_client=most)) as s:
        reader, writer = await another.stack.open_connection(s.to, 53)  # the idlest of all
        first, second = [await s.connect() for _ in range(2)]
        for connection in (second, first):
            connection[1].write(framed(query()))
            await read(connection[0])
        third = await s.connect()
        for connection in (first, third, (reader, writer)):
            connection[1].write(framed(query()))
            assert (await read(connection[0])).rcode == Rcode.NOERROR
        stats = s.server.stats
        if most == 2:
            assert await ended(second[0])
            assert (stats["connections"], stats["connections_given_up"]) == (3, 1)
        else:
            assert (stats["connections"], stats["connections_given_up"]) == (4, 0)
        writer.close()


@simulated
async def test_a_client_that_holds_all_it_may_is_not_locked_out(net):
    """It opens connections and says nothing on them, and is served on each new one."""
    async with Setting(net) as s:
        for _ in range(ServerLimits().connections_per_client + 10):
            reader, writer = await s.connect()
        writer.write(framed(query()))
        assert (await read(reader)).rcode == Rcode.NOERROR
        stats = s.server.stats
        assert (stats["connections"], stats["connections_given_up"]) == (64, 10)


@simulated
async def test_who_does_not_read_is_not_read_from(net):
    wanted = 1500
    async with Setting(net, limits=ServerLimits(idle_s=30)) as s:
        reader, writer = await s.connect()
        writer.write(framed(*(query("big.example.test", RRType.TXT) for _ in range(wanted))))
        await asyncio.sleep(10)
        held = s.server.stats["queries"]
        assert held < wanted / 4
        for _ in range(wanted):
            assert len((await read(reader)).answer[0]) == dns_zones.BIG_RRS
        assert s.server.stats["queries"] == wanted


@simulated
async def test_who_never_reads_is_closed(net):
    async with Setting(net, limits=ServerLimits(idle_s=30)) as s:
        _, writer = await s.connect()
        writer.write(framed(*(query("big.example.test", RRType.TXT) for _ in range(4000))))
        await asyncio.sleep(70)
        assert (s.server.stats["connections"], s.server.stats["connections_idle"]) == (0, 1)


@pytest.mark.parametrize("junk", [b"\0\0", b"\0\1x", b"GET / HTTP/1.1\r\n\r\n" * 2000, framed(b"\0\1\x80" + bytes(9))])
@simulated
async def test_what_is_no_dns_ends_the_connection(net, junk):
    async with Setting(net) as s:
        reader, writer = await s.connect()
        writer.write(junk)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            while True:
                assert (await read(reader)).rcode == Rcode.FORMERR
        assert s.server.stats["connections"] == 0


@simulated
async def test_questions_for_others_are_bounded(net):
    oracle = Oracle(delay=5.0)
    limits = ServerLimits(resolving=20, resolving_per_connection=5)
    async with Setting(net, resolver=oracle, limits=limits) as s:
        reader, writer = await s.connect()
        writer.write(framed(*(query(f"n{number}.net", number=number) for number in range(12))))
        await asyncio.sleep(1)
        assert (oracle.waiting, s.server.stats["resolving"]) == (5, 5)
        for number in range(30):
            s.udp.transport.sendto(query(f"u{number}.net", number=number))
        early = [await s.udp.replies.get() for _ in range(15)]
        assert all(reply.rcode == Rcode.SERVFAIL for reply in early)
        assert (oracle.waiting, s.server.stats["busy"]) == (20, 15)
        assert sorted([(await read(reader)).id for _ in range(12)]) == list(range(12))
        late = [await s.udp.replies.get() for _ in range(15)]
        assert all(reply.rcode == Rcode.NOERROR for reply in late)
        assert oracle.most == 20


# -- others


@simulated
async def test_what_the_resolver_says(net):
    chain = (RRset.of(Name.parse("alias.net"), 60, [CNAME(Name.parse("www.net"))]),)
    known = {
        "missing_net": NXDOMAIN,
        "empty_net": NoData,
        "broken_net": ServFail,
        "silent_net": Timeout,
        "alone_net": Timeout,
        "closed_net": ConfigError,
        "cancelled_net": asyncio.CancelledError,
        "stale_net": found("stale.net", stale=True),
        "alias_net": found("www.net", chain=chain),
    }
    oracle = Oracle(**known)
    async with Setting(net, resolver=oracle) as s:
        for name, rcode, answers, codes in (
            ("missing.net", Rcode.NXDOMAIN, 0, [EdeCode.OTHER]),
            ("empty.net", Rcode.NOERROR, 0, [EdeCode.OTHER]),
            ("broken.net", Rcode.SERVFAIL, 0, [EdeCode.OTHER]),
            ("silent.net", Rcode.SERVFAIL, 0, [EdeCode.OTHER]),
            ("alone.net", Rcode.SERVFAIL, 0, [EdeCode.NO_REACHABLE_AUTHORITY]),
            ("closed.net", Rcode.SERVFAIL, 0, []),
            ("cancelled.net", Rcode.SERVFAIL, 0, []),
            ("stale.net", Rcode.NOERROR, 1, [EdeCode.STALE_ANSWER]),
            ("alias.net", Rcode.NOERROR, 2, []),
            (ELSEWHERE, Rcode.NOERROR, 1, []),
        ):
            reply = await s.udp.ask(query(name))
            assert (reply.rcode, len(reply.answer), [ede.code for ede in reply.edns.ede]) == (rcode, answers, codes)
            assert reply.ra
        assert (oracle.asked[0][0], oracle.asked[0][2]) == ("missing.net.", ServerLimits().resolve_s)


@simulated
async def test_others_are_only_asked_for_own_networks(net):
    oracle = Oracle()
    async with Setting(net, resolver=oracle, allow=["192.0.2.0/24"]) as s:
        assert (await s.udp.ask(query(ELSEWHERE))).rcode == Rcode.REFUSED
        assert (await s.udp.ask(query())).rcode == Rcode.NOERROR
        assert oracle.asked == []


@simulated
async def test_closing_says_servfail_to_who_waits_for_others(net):
    oracle = Oracle(delay=1000.0)
    async with Setting(net, resolver=oracle, limits=ServerLimits(resolving_per_connection=2)) as s:
        s.udp.transport.sendto(query(ELSEWHERE))
        reader, writer = await s.connect()
        writer.write(framed(*[query(ELSEWHERE)] * 3))
        await asyncio.sleep(1)
        assert oracle.waiting == 3  # the third of the connection is read when there is room again
        await s.server.aclose()
        assert (oracle.waiting, s.server.stats["resolving"], len(oracle.asked)) == (0, 0, 3)
        assert (await asyncio.wait_for(s.udp.replies.get(), 30)).rcode == Rcode.SERVFAIL
        assert [(await read(reader)).rcode for _ in range(3)] == [Rcode.SERVFAIL] * 3
        assert await reader.read() == b""


def test_closing_says_servfail_on_sockets_of_the_kernel_too():
    async def main():
        loop, oracle = asyncio.get_running_loop(), Oracle(delay=1000.0)
        said = []
        loop.set_exception_handler(lambda _, context: said.append(context))
        server = await serve([ZONE], resolver=oracle, port=0)
        transport, udp = await loop.create_datagram_endpoint(Asking, remote_addr=("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        transport.sendto(query(ELSEWHERE))
        writer.write(framed(query(ELSEWHERE)))
        while oracle.waiting < 2:
            await asyncio.sleep(0)
        await server.aclose()
        assert (await asyncio.wait_for(udp.replies.get(), 30)).rcode == Rcode.SERVFAIL
        assert (await read(reader)).rcode == Rcode.SERVFAIL
        assert await reader.read() == b""
        transport.close()
        writer.close()
        assert said == []

    asyncio.run(main())


@simulated
async def test_other_zones_take_their_place_while_it_runs(net):
    async with Setting(net) as s:
        assert len((await s.udp.ask(query())).answer) == 1
        s.server.zones = []
        assert (await s.udp.ask(query())).rcode == Rcode.REFUSED


@simulated
async def test_a_resolver_of_ours_through_servers_of_ours(net):
    """Root, top level, leaf and a resolver service are all ours: with 0x20, cookies, minimised names, referrals."""
    root, tld, auth, middle, client = net.add_hosts("root", "tld", "auth", "middle", "client")
    head = "$TTL 300\n@ SOA ns h 1 2 3 4 60\n"
    texts = {
        root: (".", f"{head}@ NS a.root.\na.root. A {root.address}\ntest. NS ns.test.\nns.test. A {tld.address}\n"),
        tld: ("test", f"{head}@ NS ns\nns A {tld.address}\nexample NS ns.example\nns.example A {auth.address}\n"),
        auth: (
            "example.test",
            dns_zones.EXAMPLE_ZONE.replace(dns_zones.AUTH_TOO, auth.address).replace(
                "10.53.0.3\n", f"{auth.address}\n"
            ),
        ),
    }
    servers = [await serve([Zone.parse(text, Name.parse(name))], host=host) for host, (name, text) in texts.items()]
    iterative = Resolver.iterative(hints=[root.address], host=middle)
    servers.append(await serve(resolver=iterative, host=middle))
    stub = Resolver([middle.address], host=client)
    for name, rrtype, expected in (
        ("www.example.test", "A", ["10.53.0.51"]),
        ("alias.example.test", "AAAA", ["2001:db8::51"]),
        ("x.y.wild.example.test", "A", ["10.53.0.81"]),
        ("www.d.example.test", "A", ["10.53.0.71"]),
        ("a.b.ent.example.test", "A", ["10.53.0.91"]),
    ):
        answer = await stub.query(name, rrtype)
        assert [str(rdata) for rdata in answer.rrset.rdatas] == expected
    assert len((await stub.query("big.example.test", "TXT")).rrset) == dns_zones.BIG_RRS
    with pytest.raises(NXDOMAIN) as caught:
        await stub.query("nowhere.example.test")
    assert (len(caught.value.chain), caught.value.soa.ttl) == (1, 60)
    with pytest.raises(NoData):
        await stub.query("b.ent.example.test")
    with pytest.raises(ServFail):
        await stub.query("loop1.example.test")
    for server in servers:
        assert server.stats["malformed"] == {}
        assert server.stats["dropped"] == {}
    before = [server.stats["queries"] for server in servers[:3]]
    await stub.query("www.example.test")
    assert [server.stats["queries"] for server in servers[:3]] == before
    for one in (stub, iterative, *servers):
        await one.aclose()


def test_in_a_simulation_the_seed_decides_the_cookies_too():
    async def main(net):
        async with Setting(net) as s:
            wire = Message.query(Name.parse("www.example.test"), 1, id=7, edns=Edns(options=[(10, bytes(8))])).build()
            return (await s.udp.ask(wire)).edns.cookie

    assert run(main, seed=1) == run(main, seed=1)
    assert run(main, seed=1) != run(main, seed=2)


# -- ports, files


def test_on_sockets_of_the_kernel_with_any_free_port():
    asyncio.run(on_sockets_of_the_kernel())


async def on_sockets_of_the_kernel():
    async with await serve([ZONE], port=0) as server:
        loop = asyncio.get_running_loop()
        transport, udp = await loop.create_datagram_endpoint(Asking, remote_addr=("127.0.0.1", server.port))
        assert (await udp.ask(query())).rcode == Rcode.NOERROR
        transport.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(framed(query()))
        assert (await read(reader)).rcode == Rcode.NOERROR
        writer.close()
        with pytest.raises(OSError, match="in use") as caught:
            await serve([ZONE], port=server.port)
        assert caught.value.errno == errno.EADDRINUSE


def test_a_zone_of_files(tmp_path):
    (tmp_path / "hosts.inc").write_text("www A 192.0.2.1\n")
    file = tmp_path / "example.zone"
    file.write_text("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n$INCLUDE hosts.inc\n")
    assert len(load_zone(file, "example.test")) == 3
    with pytest.raises(ZoneError, match=r"no\.zone: no such file"):
        load_zone(tmp_path / "no.zone", "example.test")
    file.write_bytes(b'$TTL 60\n@ TXT "\xff"\n')
    with pytest.raises(ZoneError, match=r"\] [^:]*example\.zone:2: not UTF-8"):
        load_zone(file, "example.test")
    file.write_bytes(b'\xef\xbb\xbf$TTL 60\r@ TXT "\xff"\r')
    with pytest.raises(ZoneError, match=r"\] [^:]*example\.zone:2: not UTF-8"):
        load_zone(file, "example.test")
    (tmp_path / "bad.inc").write_bytes(b'www A 192.0.2.1\n\n@ TXT "\xff"\n')
    file.write_text("$TTL 60\n$INCLUDE bad.inc\n")
    with pytest.raises(ZoneError, match=r"\] [^:]*bad\.inc:3: not UTF-8"):
        load_zone(file, "example.test")
    file.write_text("")
    with pytest.raises(ZoneError, match=r"example\.zone:1: zone example\.test\. has no SOA record"):
        load_zone(file, "example.test")
    file.write_text("$TTL 60\n$INCLUDE gone.inc\n")
    with pytest.raises(ZoneError, match=r"example\.zone:2: gone\.inc: No such file"):
        load_zone(file, "example.test")
    with pytest.raises(BadName):
        load_zone(file, "a..b")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (ServerLimits(connections=0), "connections is 0: use a number from 1 to"),
        (ServerLimits(answers_per_second=-1), "answers_per_second is -1: use a number from 0 to"),
        (ServerLimits(idle_s=0), "idle_s is 0: use seconds"),
        (ServerLimits(resolve_s=float("nan")), "resolve_s is nan: use seconds"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits, said):
    with pytest.raises(ConfigError, match=said):
        asyncio.run(serve([ZONE], port=0, limits=limits))


@simulated
async def test_networks_that_are_none_are_refused(net):
    with pytest.raises(ConfigError, match="write it like"):
        await serve([ZONE], host=net.add_hosts("a")[0].stack, allow=["everybody"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"zones": ZONE}, "use a list of zones"),
        ({"zones": ["x"]}, "zones: 'x' is no Zone: use load_zone"),
        ({"resolver": 5}, "resolver is 5: use a Resolver"),
        ({"port": "53"}, "port is '53': use a number"),
        ({"limits": 5}, "limits is 5: use .*Limits"),
    ],
)
def test_what_cannot_be_served_is_a_type_error(given, said):
    with pytest.raises(TypeError, match=said):
        asyncio.run(serve(**{"zones": [ZONE], "port": 0, **given}))


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(ConfigError, match=f"port is {port}: use 1 to 65535, or 0 for a free one"):
        asyncio.run(serve([ZONE], port=port))


def test_a_zone_has_a_name(tmp_path):
    with pytest.raises(TypeError, match="use the name of the zone as its origin"):
        load_zone(tmp_path / "example.zone", None)
