"""The same resolver on kernel sockets, by the files of a machine, and for programs that only know loops and names."""

import asyncio
import random
import socket

import pytest

from stack import dns
from stack.aio.loop import new_event_loop
from tests.support import dns_zones
from tests.support.dns_ours import HINTS, dig, host_in, iterative, lines_of, outcomes, run
from tests.support.dns_zones import ANSWERED, AUTH, BIND, DNSMASQ, FAILING, MISSING, NODATA, PDNS, UNBOUND

pytestmark = [pytest.mark.netns, pytest.mark.interop]
GENEROUS_S = 5.0


@pytest.fixture
def on_kernel(hierarchy):
    """on_kernel(main): run it with the kernel's sockets in the client's namespace."""

    def go(main):
        with hierarchy.client.entered():
            run(main)

    return go


def resolv_conf(folder, *lines):
    (folder / "resolv.conf").write_text("\n".join(lines) + "\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n192.0.2.7 pinned.example.test pinned\n")
    return dns.Resolver.system(resolv_conf=str(folder / "resolv.conf"), hosts=str(folder / "hosts"))


@pytest.mark.parametrize("servers", [(), (UNBOUND,), (BIND,), (PDNS,)], ids=["root", "unbound", "bind", "pdns"])
def test_every_name_and_type_on_kernel_sockets(hierarchy, on_kernel, servers):
    # of the one that we ask: BIND keeps the letters of whoever asked it first
    theirs = dig(hierarchy, *(servers or (UNBOUND,)), ANSWERED)

    async def main():
        async with dns.Resolver(servers) if servers else dns.Resolver.iterative(hints=HINTS) as resolver:
            for question, answer in (await outcomes(resolver, ANSWERED)).items():
                assert not isinstance(answer, BaseException), (question, answer)
                assert lines_of(answer) == sorted(theirs[question]), question
            for questions, error in ((NODATA, dns.NoData), (MISSING, dns.NXDOMAIN), (FAILING, dns.ServFail)):
                for question, result in (await outcomes(resolver, questions)).items():
                    assert type(result) is error, (question, result)

    on_kernel(main())


def test_the_files_of_the_machine(on_kernel, tmp_path):
    async def main():
        lines = (f"nameserver {DNSMASQ}", "search sub.example.test example.test", "options ndots:1 timeout:1")
        async with resolv_conf(tmp_path, *lines) as resolver:
            assert str((await resolver.query("www", "A")).rrset.rdatas[0]) == "10.53.0.51"
            assert await resolver.addresses("pinned") == ["192.0.2.7"]
            assert await resolver.addresses("localhost") == ["127.0.0.1"]
            with pytest.raises(dns.NXDOMAIN):
                await resolver.query("missing", "A")

    on_kernel(main())


def test_icmp_tells_the_kernels_sockets_too(hierarchy, on_kernel):
    async def main():
        async with dns.Resolver([PDNS, UNBOUND], rng=random.Random(1)) as resolver:
            with hierarchy.servers["pdns"].stopped():
                async with asyncio.timeout(GENEROUS_S):
                    for number in range(10):
                        await resolver.query(f"kernel-icmp{number}.wild.example.test", "A")
            assert resolver.stats["failures"], "the dead server was never asked: this has shown nothing"

    on_kernel(main())


def test_a_host_connects_by_name(hierarchy):
    """From the name to bytes on a TCP connection, all of it ours at this end."""

    async def main():
        async with host_in(hierarchy) as host, dns.Resolver.iterative(hints=HINTS, host=host) as resolver:
            host.resolver = resolver
            reader, writer = await host.open_connection("ns1.example.test", 53)
            assert writer.get_extra_info("peername") == (AUTH, 53)
            # the SOA of example.test, by hand
            query = b"\x12\x34\0\0\0\1\0\0\0\0\0\0\7example\4test\0\0\6\0\1"
            writer.write(len(query).to_bytes(2, "big") + query)
            reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            assert dns.Message.parse(reply).answer[0].rrtype == dns.RRType.SOA
            writer.close()
            await writer.wait_closed()
            with pytest.raises(OSError, match=r"missing\.example\.test"):
                await host.open_connection("missing.example.test", 53)

    run(main())


def test_getaddrinfo_of_the_loop(hierarchy):
    async def main():
        loop = asyncio.get_running_loop()
        async with iterative(hierarchy) as resolver:
            loop.resolver = resolver
            found = await loop.getaddrinfo("www.example.test", 80, type=socket.SOCK_STREAM)
            assert [(family, address[0]) for family, _, _, _, address in found] == [
                (socket.AF_INET, "10.53.0.51"),
                (socket.AF_INET6, "2001:db8::51"),
            ]
            for name, error, cause in (
                ("missing.example.test", socket.EAI_NONAME, dns.NXDOMAIN),
                ("_nfs._tcp.example.test", socket.EAI_NONAME, dns.NoData),
                ("www.lame.test", socket.EAI_AGAIN, dns.ServFail),
            ):
                with pytest.raises(socket.gaierror) as caught:
                    await loop.getaddrinfo(name, 80)
                assert caught.value.errno == error
                assert type(caught.value.__cause__) is cause

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def test_an_explanation_names_every_server_on_the_way(hierarchy):
    async def main():
        async with iterative(hierarchy) as resolver:
            explanation = await resolver.explain("www.glueless.test", "A")
        text = str(explanation)
        for word in (dns_zones.ROOT, dns_zones.TLD, AUTH, "ns.elsewhere.arpa.", "10.53.0.101", "www.glueless.test."):
            assert word in text, text
        assert explanation.status == "answer"
        asked = [hop.server for hop in explanation.hops if hop.server]
        assert asked[0].startswith(dns_zones.ROOT)
        assert asked[-1].startswith(AUTH)

    run(main())
