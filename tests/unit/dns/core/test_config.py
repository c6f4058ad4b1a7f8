"""Settings of a resolver that cannot work are refused in one sentence, before anything is sent."""

import pytest

from stack import dns
from stack.errors import ConfigError
from tests.support.dns_world import Recursive, stub


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"servers": ("127.0.0.1",)}, "use an address in figures and a port"),
        ({"servers": (("localhost", 53),)}, "use an address in figures and a port"),
        ({"servers": (("192.0.2.1", 0),)}, "use an address in figures and a port"),
        ({"search": ("x",)}, "is no Name"),
        ({"forward": ((dns.ROOT, (("x", 53),)),)}, "use an address in figures and a port"),
        ({"hints": (("10.1.1.1", 5353),)}, "use a Hint"),
        ({"timeout_us": 1.5}, "timeout_us 1.5: use a whole number"),
        ({"timeout_us": "x"}, "timeout_us 'x': use a whole number"),
        ({"edns": 1}, "edns 1: use True or False"),
        ({"port": 0}, "port 0"),
        ({"port": 99_999}, "port 99999"),
        ({"cache_bytes": -1}, "cache_bytes -1"),
        ({"stale_us": -1}, "stale_us -1"),
        ({"lame_ttl_us": -5}, "lame_ttl_us -5"),
        ({"rtt_band_us": -1}, "rtt_band_us -1"),
        ({"rto_min_us": 2, "rto_max_us": 1}, "is more than rto_max_us"),
        ({"limits": dns.ServerLimits()}, "limits are ResolverLimits"),
        ({"guards": None}, "guards are Guards"),
    ],
)
def test_what_cannot_work(settings, said):
    with pytest.raises(ConfigError, match=said):
        dns.ResolverConfig(**settings).validate()


def test_what_comes_works():
    dns.ResolverConfig().validate()
    dns.ResolverConfig(servers=(("fe80::1%eth0", 53),), search=(dns.Name.parse("example.test"),)).validate()


def test_what_is_in_use_is_not_evicted():
    """A denial that stops a flood of random names below it, while others come and go."""
    text = "\n".join(f"h{i}.test. 300 A 192.0.2.1" for i in range(60))
    world = stub({"10.0.0.1": Recursive(f"{text}\ntest. 300 SOA ns.test. m.test. 1 1 1 1 300")}, cache_bytes=20_000)
    world.ask("gone.test")
    for i in range(60):
        world.ask(f"h{i}.test")
        sent = len(world.sent)
        assert type(world.ask(f"{i}.gone.test")) is dns.NXDOMAIN
        assert len(world.sent) == sent
    assert world.counts()["cache_evictions"] > 20
