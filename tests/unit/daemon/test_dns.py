"""The daemon's DNS service: what `[dns]` of its settings makes, and what is wrong with it before anything is opened."""

import pytest

from stack import sim
from stack.cli import render
from stack.daemon.lookups import Lookups
from stack.daemon.services.dns import DnsService
from stack.daemon.settings import DnsSettings
from stack.dns.names import Name
from stack.dns.resolver import Resolver
from stack.dns.server import serve
from stack.dns.zone import Zone
from stack.errors import ConfigError

ZONE = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.7\n"


@pytest.fixture
def zones(tmp_path):
    (tmp_path / "a.zone").write_text(ZONE)
    return {"example.test": str(tmp_path / "a.zone")}


def test_zones_are_served_to_everybody_and_others_asked_for_the_own_network(zones):
    async def main(net):
        server, client = net.add_hosts("server", "client")
        service = DnsService(DnsSettings(zones=zones, forward=["10.0.0.99"]))
        await service.open(server.stack)
        async with Resolver(servers=[server.address], host=client) as resolver:
            answer = await resolver.query("www.example.test")
        assert [str(rdata) for rdata in answer.rrset.rdatas] == ["192.0.2.7"]
        status = service.status()
        assert status["zones"] == {"example.test.": 4}
        assert (status["server"]["queries"], status["server"]["rcodes"]) == (1, {"noerror": 1})
        lines = render._dns(status)
        assert "  answered noerror  1" in lines
        assert "  zone example.test. 4 records" in lines
        await service.aclose()

    sim.run(main, seed=1)


@pytest.mark.parametrize("beyond", [{"forward": ["10.0.0.2"]}, {"iterate": True, "hints": ["10.0.0.2"]}, {}])
def test_the_daemon_finds_the_names_of_its_own_zones(zones, beyond):
    async def main(net):
        server, other = net.add_hosts("server", "other")
        assert other.address == "10.0.0.2"
        service = DnsService(DnsSettings(zones=zones, **beyond))
        await service.open(server.stack)
        lookups = Lookups(service.resolver, server.stack, about=service.about)
        for _ in range(2):
            found = await lookups.answer({"want": "addresses", "name": "www.example.test"})
            assert found == {"found": ["192.0.2.7"], "about": service.about}
        missing = await lookups.answer({"want": "addresses", "name": "gone.example.test"})
        assert missing["status"] == "NXDOMAIN"
        assert service.status()["server"]["rcodes"]["nxdomain"] >= 1
        await service.aclose()

    sim.run(main, seed=1)


def test_other_names_are_looked_up_as_the_settings_say(zones):
    other_zone = Zone.parse("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.9\n", Name.parse("other.test"))

    async def main(net):
        server, other = net.add_hosts("server", "other")
        async with await serve([other_zone], host=other):
            service = DnsService(DnsSettings(zones=zones, forward=[other.address]))
            await service.open(server.stack)
            assert await service.resolver.addresses("www.other.test") == ["192.0.2.9"]
            await service.aclose()

    sim.run(main, seed=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"zones": {"example.test": "/no/such.zone"}}, "dns.zones: /no/such.zone: no such file or directory"),
        ({"zones": {"a..b": "/no/such.zone"}}, "dns.zones: 'a..b' is not a domain name"),
        ({"forward": ["resolver.test"]}, "server 'resolver.test': give an address in figures"),
        ({"iterate": True, "hints": ["x"]}, "server 'x': give an address in figures"),
        ({"forward": ["192.0.2.1"], "allow": ["everybody"]}, "'everybody' is not a network"),
    ],
)
def test_mistakes_are_told_before_anything_is_opened(settings, said):
    with pytest.raises(ConfigError) as caught:
        DnsService(DnsSettings(**settings))
    assert said in caught.value.strerror


def test_a_mistake_in_a_zone_is_told_with_its_line(zones, tmp_path):
    (tmp_path / "a.zone").write_text(f"{ZONE}www A nonsense\n")
    with pytest.raises(ConfigError, match=r"dns\.zones: .*a\.zone:6: A address: 'nonsense' is not an IPv4 address"):
        DnsService(DnsSettings(zones=zones))


def test_one_zone_under_two_names_is_refused(zones, tmp_path):
    with pytest.raises(ConfigError, match=r"zone EXAMPLE\.test\. is given twice"):
        DnsService(DnsSettings(zones=zones | {"EXAMPLE.test.": str(tmp_path / "a.zone")}))
