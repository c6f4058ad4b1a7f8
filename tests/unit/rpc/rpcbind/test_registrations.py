"""What a server has registered stays so, on virtual time; an rpcbind of ours in a simulated network."""

import asyncio
from typing import NamedTuple

import pytest

import stack.sim
from stack import dns, rpc
from stack.errors import AddressInUse, ConfigError
from stack.rpc.errors import Unreachable
from stack.rpc.rpcbind.binding import services
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_V4, pmap_mapping, pmap_node, rpcb
from stack.rpc.rpcbind.registrations import PERIOD_S, MachineRegistrar, Registrations, mappings
from stack.rpc.rpcbind.registry import RPCBIND, SUPERUSER, UNKNOWN, Mapping, Registry
from stack.rpc.rpcbind.service import Desk, PortMapper, Rpcbind3, Rpcbind4
from stack.rpc.transports import Listening, own_addresses
from tests.support.rpc_ours import calc, programs

P = 536873369
WANTED = [Mapping(P, version, netid, "198.18.0.2.8.1", "me") for version in (1, 2) for netid in ("udp", "tcp")]


class Rpcbind:
    """One that can be killed, and started anew with nothing in it."""

    def __init__(self):
        self.registry = Registry()
        self.is_there = True
        self.asked = 0

    def _table(self):
        self.asked += 1
        if not self.is_there:
            raise Unreachable("rpcbind")
        return self.registry

    async def listed(self):
        return list(self._table())

    async def set(self, mapping):
        return self._table().set(mapping)

    async def unset(self, mapping):
        return self._table().unset(mapping.program, mapping.version, mapping.netid, mapping.owner)


def on_virtual_time(main):
    stack.sim.run(lambda net: main(), seed=1)


def test_what_rpcbind_forgot_is_registered_again():
    async def main():
        rpcbind = Rpcbind()
        kept = Registrations(rpcbind)
        await kept.add(WANTED)
        assert list(rpcbind.registry) == WANTED
        rpcbind.registry = Registry()
        await asyncio.sleep(PERIOD_S - 0.1)
        assert list(rpcbind.registry) == []
        await asyncio.sleep(0.2)
        assert list(rpcbind.registry) == WANTED
        assert kept.stats == {"set": 4, "renewed": 4}
        await kept.aclose()
        assert list(rpcbind.registry) == []

    on_virtual_time(main)


def test_a_silent_rpcbind_is_tried_again():
    async def main():
        rpcbind = Rpcbind()
        kept = Registrations(rpcbind, period_s=1)
        await kept.add(WANTED)
        rpcbind.is_there, rpcbind.registry = False, Registry()
        await asyncio.sleep(3.5)
        assert kept.stats["failed"] == 3
        rpcbind.is_there = True
        await asyncio.sleep(1)
        assert list(rpcbind.registry) == WANTED
        rpcbind.is_there = False
        await kept.aclose()  # there is nobody to tell

    on_virtual_time(main)


def test_what_others_took_is_left_to_them():
    async def main():
        rpcbind = Rpcbind()
        kept = Registrations(rpcbind, period_s=1)
        await kept.add(WANTED)
        rpcbind.registry = Registry()
        theirs = Mapping(P, 1, "udp", "198.18.0.2.8.9", "they")
        rpcbind.registry.set(theirs)
        await asyncio.sleep(1.5)
        assert rpcbind.registry.find(P, 1, "udp") == theirs
        assert kept.stats == {"set": 4, "renewed": 3, "taken": 1}
        await kept.aclose()
        assert list(rpcbind.registry) == [theirs]

    on_virtual_time(main)


def test_what_one_s_own_dead_server_left_is_replaced_and_another_s_is_not():
    async def main():
        rpcbind = Rpcbind()
        rpcbind.registry.set(WANTED[0]._replace(address="198.18.0.2.1.1"))
        kept = Registrations(rpcbind)
        await kept.add(WANTED[:1])
        assert list(rpcbind.registry) == WANTED[:1]
        other = Registrations(rpcbind)
        with pytest.raises(ConfigError, match="registered by somebody else on this host"):
            await other.add([WANTED[0]._replace(owner="other", address="198.18.0.2.1.1")])
        await other.aclose()
        await kept.aclose()

    on_virtual_time(main)


def test_what_others_have_by_now_is_not_taken_away_at_the_end():
    """The machine's rpcbind would: to it both are the same user."""

    class OfOneUser(Rpcbind):
        async def unset(self, mapping):
            return self._table().unset(*mapping[:3], SUPERUSER)

    async def main():
        rpcbind = OfOneUser()
        kept = Registrations(rpcbind)
        await kept.add(WANTED)
        theirs = WANTED[0]._replace(address="198.18.0.2.8.9")
        rpcbind.registry = Registry()
        rpcbind.registry.set(theirs)
        await kept.check()
        await kept.aclose()
        assert list(rpcbind.registry) == [theirs]

    on_virtual_time(main)


@pytest.mark.parametrize("service", [PortMapper, Rpcbind3, Rpcbind4])
def test_the_machine_s_rpcbind_may_be_old(tmp_path, service):
    async def main():
        registry, path = Registry(), str(tmp_path / "rpcbind.sock")
        desk = Desk(registry, is_local=lambda _: True, local_for=lambda _: "", clock=lambda: 0.0)
        async with await rpc.serve([service(desk)], udp=None, tcp=None, unix=path):
            registry.set(WANTED[1]._replace(address="0.0.0.0.1.1", owner=UNKNOWN))  # of a server that died
            kept = Registrations(MachineRegistrar(path))
            await kept.add(WANTED)
            assert {(*one[:3], one.address[-4:]) for one in registry} == {(*one[:3], ".8.1") for one in WANTED}
            registry.unset(P, 1, "udp", SUPERUSER)
            before = kept.stats["renewed"]
            await kept.check()
            assert (kept.stats["renewed"] - before, kept.stats["taken"], len(registry)) == (1, 0, 4)
            await kept.aclose()
            assert list(registry) == []
            if service is PortMapper:
                with pytest.raises(rpc.ProgMismatch):  # it knows nothing else
                    await MachineRegistrar(path).set(Mapping(P, 1, "tcp6", "::1.8.1", "me"))

    asyncio.run(main())


class Wrong2(PMAP_V2.Server):
    async def PMAPPROC_GETPORT(self, ctx, mapping):
        return 70_000

    async def PMAPPROC_DUMP(self, ctx):
        return pmap_node(pmap_mapping(P, 1, 6, 70_000), None)


class Wrong4(RPCB_V4.Server):
    async def RPCBPROC_GETADDR(self, ctx, asked):
        return "nowhere"


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_an_rpcbind_that_gives_out_what_is_no_port(proto):
    async def main(a, b, address):
        async with await rpc.serve([Wrong2()], host=b, udp=111, tcp=111):
            with pytest.raises(rpc.BadReply, match="70000 is no port") as caught:
                async with rpc.connect(calc.CALC_V1, address, proto=proto, host=a):
                    pass
            assert not caught.value.maybe_executed
            assert await rpc.registered(address, host=a) == [Mapping(P, 1, "tcp", "", UNKNOWN)]

    simulated(main)


def test_an_rpcbind_that_gives_out_what_is_no_address():
    async def main():
        async with await rpc.serve([Wrong4()], address="::1", udp=None, tcp=0) as wrong:
            with pytest.raises(rpc.BadReply, match="'nowhere' is not a universal address"):
                await rpc.find_port("::1", P, 1, "tcp", rpcbind_port=wrong.tcp_port)

    asyncio.run(main())


def test_ports_become_mappings():
    listening = Listening()
    listening.udp = [("198.18.0.2", 2049), ("198.18.1.2", 2049)]
    listening.tcp = [("198.18.0.2", 2049), ("::1", 2050)]
    listening.unix = ["/run/calc"]
    made = mappings([calc.CALC_V1], listening, "me")
    assert {one.netid: one.address for one in made} == {
        "udp": "0.0.0.0.8.1", "tcp": "198.18.0.2.8.1", "tcp6": "::1.8.2", "local": "/run/calc",
    }  # fmt: skip
    assert {one[:2] for one in made} == {(P, 1)}


# -- in a simulated network


def simulated(main):
    async def with_hosts(net):
        a, b = net.add_hosts("a", "b")
        await main(a, b, own_addresses(b)[0])

    stack.sim.run(with_hosts, seed=1)


def test_a_server_is_found_by_the_rpcbind_of_its_host():
    async def main(a, b, address):
        async with await rpc.rpcbind_server(host=b) as binder:
            async with await rpc.serve(programs(), host=b, register=True) as server:
                for proto, port in (("udp", server.udp_port), ("tcp", server.tcp_port)):
                    assert await rpc.find_port(address, P, 1, proto, host=a) == port
                    async with rpc.connect(calc.CALC_V1, address, proto=proto, host=a) as client:
                        assert await client.CALC_GREET("a") == "hello a"
                listed = await rpc.registered(address, host=a)
                assert listed == binder.registered
                assert {(one.program, one.version) for one in listed} == {(RPCBIND, v) for v in (2, 3, 4)} | {
                    (P, 1),
                    (P, 2),
                }
                assert {one.owner for one in listed if one.program == P} == {listed[-1].owner}
            assert [one for one in binder.registered if one.program == P] == []
            with pytest.raises(rpc.NotRegistered):
                await rpc.find_port(address, P, 1, "tcp", host=a)

    simulated(main)


def test_servers_follow_an_rpcbind_that_begins_anew():
    async def main(a, b, address):
        binder = await rpc.rpcbind_server(host=b)
        async with await rpc.serve(programs(), host=b, register=True):
            before = binder.registered
            await binder.aclose()
            await binder.aclose()  # does no harm
            with pytest.raises(rpc.Unreachable):
                await rpc.find_port(address, P, 1, "tcp", host=a)
            async with await rpc.rpcbind_server(host=b) as again:
                await asyncio.sleep(0.1)  # at once, long before the next look
                assert again.registered == before

    simulated(main)


def test_a_client_follows_its_server_to_another_port():
    async def main(a, b, address):
        async with await rpc.rpcbind_server(host=b):
            server = await rpc.serve(programs(), host=b, tcp=4000, register=True)
            async with rpc.connect(calc.CALC_V1, address, host=a, idempotent=["CALC_GREET"]) as client:
                assert await client.CALC_GREET("a") == "hello a"
                await server.aclose()
                async with await rpc.serve(programs(), host=b, tcp=4001, register=True):
                    assert await client.CALC_GREET("a") == "hello a"

    simulated(main)


def test_a_host_has_one_rpcbind():
    async def main(a, b, address):
        async with await rpc.rpcbind_server(host=b), await rpc.rpcbind_server(host=a):
            with pytest.raises(AddressInUse):
                await rpc.rpcbind_server(host=b)
            with pytest.raises(AddressInUse, match="has an rpcbind already"):
                await rpc.rpcbind_server(host=b, port=1111)

    simulated(main)


def test_without_an_rpcbind_one_is_told_what_to_do():
    async def main(a, b, address):
        with pytest.raises(ConfigError, match="begin with `await rpc"):
            await rpc.serve(programs(), host=b, register=True)

    simulated(main)


def test_two_servers_of_one_host_do_not_take_each_other_s_place():
    async def main(a, b, address):
        async with await rpc.rpcbind_server(host=b), await rpc.serve(programs(), host=b, register=True):
            before = await rpc.registered(address, host=a)
            with pytest.raises(ConfigError, match="registered by somebody else"):
                await rpc.serve(programs(), host=b, register=True)
            assert await rpc.registered(address, host=a) == before

    simulated(main)


def test_registering_over_the_network_is_for_the_same_host():
    async def main(a, b, address):
        async with await rpc.rpcbind_server(host=b) as binder:
            for proto in ("udp", "tcp"):
                async with rpc.connect(RPCB_V4, address, proto=proto, port=111, host=a) as stranger:
                    with pytest.raises(rpc.AuthError) as caught:
                        await stranger.RPCBPROC_SET(rpcb(P, 1, "udp", f"{address}.8.1", ""))
                    assert caught.value.stat == rpc.AuthStat.TOOWEAK
            assert binder.stats["denied_change"] == 2
            async with rpc.connect(PMAP_V2, address, proto="tcp", port=111, host=b) as neighbour:
                assert await neighbour.PMAPPROC_SET(pmap_mapping(P, 1, 17, 2049))
                assert not await neighbour.PMAPPROC_SET(pmap_mapping(P, 1, 17, 2050))
            assert await rpc.find_port(address, P, 1, "udp", host=a) == 2049
            assert (binder.stats["registered"], binder.stats["refused_taken"]) == (1, 1)

    simulated(main)


def test_lists_over_udp_are_for_the_same_host():
    async def main(a, b, address):
        async with await rpc.rpcbind_server(host=b) as binder:
            assert await rpc.registered(address, proto="udp", host=b) == binder.registered
            with pytest.raises(rpc.ProcUnavail):
                await rpc.registered(address, proto="udp", host=a)
            assert binder.stats["denied_list"] == 3  # one for each version

    simulated(main)


# -- services of the DNS


class Target(NamedTuple):
    port: int
    addresses: list[str]


class Names:
    """A resolver, as far as services go."""

    def __init__(self, *targets):
        self.targets = targets

    async def services(self, name, *, timeout=5.0):  # noqa: ASYNC109
        assert name == "_calc._tcp.example.test"
        for target in self.targets:
            yield target


def test_services_are_tried_in_their_order():
    async def main():
        names = Names(Target(1, ["10.0.0.1", "10.0.0.2"]), Target(2, ["10.0.0.3"]))
        found = [one async for one in services("_calc._tcp.example.test", resolver=names)]
        assert found == [("10.0.0.1", 1), ("10.0.0.2", 1), ("10.0.0.3", 2)]

    on_virtual_time(main)


def test_a_client_of_a_service_goes_to_the_first_that_answers():
    async def main(a, b, address):
        async with await rpc.serve(programs(), host=b) as server:
            names = Names(Target(9, [address]), Target(server.tcp_port, [address]), Target(10, [address]))
            async with rpc.connect_service(calc.CALC_V1, "_calc._tcp.example.test", resolver=names, host=a) as client:
                assert await client.CALC_GREET("a") == "hello a"
            with pytest.raises(rpc.Unreachable):
                async with rpc.connect_service(
                    calc.CALC_V1, "_calc._tcp.example.test", resolver=Names(Target(9, [address])), host=a
                ):
                    pass
            with pytest.raises(rpc.NotRegistered):
                async with rpc.connect_service(calc.CALC_V1, "_calc._tcp.example.test", resolver=Names(), host=a):
                    pass

    simulated(main)


ZONE = """
$TTL 60
@ SOA ns hostmaster 1 1 1 1 1
@ NS ns
ns A 10.0.0.2
srv A 10.0.0.2
_calc._tcp SRV 1 0 9 srv
_calc._tcp SRV 2 0 4000 srv
"""


def test_services_of_the_dns(tmp_path):
    (tmp_path / "zone").write_text(ZONE)
    zone = dns.load_zone(tmp_path / "zone", "example.test")

    async def main(a, b, address):
        async with (
            await dns.serve([zone], host=b),
            await rpc.serve(programs(), host=b, tcp=4000),
            dns.Resolver([address], host=a) as resolver,
        ):
            name = "_calc._tcp.example.test"
            assert [one async for one in rpc.services(name, resolver=resolver)] == [(address, 9), (address, 4000)]
            async with rpc.connect_service(calc.CALC_V1, name, resolver=resolver, host=a) as client:
                assert await client.CALC_GREET("a") == "hello a"

    simulated(main)


def test_nobody_knows_services():
    async def main():
        with pytest.raises(ConfigError, match="knows no services"):
            async for _ in services("_calc._tcp.example.test"):
                pass

    on_virtual_time(main)
