"""How much work a hostile zone can cause, whatever it multiplies: NXNS, NRDelegation, CAMP, chains, loops."""

import pytest

from stack.config import SECOND
from stack.dns.core import Answer, ResolverConfig, ResolverLimits
from stack.dns.errors import NXDOMAIN, DnsError, ServFail
from tests.support.dns_world import (
    EXAMPLE_ADDRESS,
    HINTS,
    SOA,
    TEST_ADDRESS,
    TEST_ZONE,
    Recursive,
    Scripted,
    World,
    Zones,
    internet,
    iterative,
    records,
    stub,
    texts,
)


def hostile(respond, **limits) -> World:
    """The internet with evil.test, whose only server does what it is told to."""
    servers = internet()
    servers[TEST_ADDRESS] = Zones({"test": f"{TEST_ZONE}\nevil 600 NS ns.evil\nns.evil 600 A 10.0.0.66"})
    servers["10.0.0.66"] = Scripted(respond)
    return World(ResolverConfig(hints=HINTS, limits=ResolverLimits(**limits)), servers)


def refer(query, names):
    """A referral below evil.test to servers without glue."""
    reply = query.reply()
    labels = query.question.name.labels
    zone = ".".join(label.decode() for label in labels[-3:])
    reply.authority = records("\n".join(f"{zone}. 600 NS {name}." for name in names))
    return reply


def test_nxns_a_referral_to_many_servers_without_glue():
    """Afek et al. 2020: each name would be looked up at the victim."""
    world = hostile(lambda query, tcp: refer(query, [f"n{i}.example.test" for i in range(60)]))
    assert isinstance(world.ask("x.evil.test"), ServFail)
    assert len(world.asked(EXAMPLE_ADDRESS)) == 5  # names looked up in vain
    assert world.refused()["ns_limit"] == 40
    assert world.refused()["target_limit"] == 1


def test_control_of_nxns_without_limits_it_is_as_many_as_are_named():
    world = hostile(
        lambda query, tcp: refer(query, [f"n{i}.example.test" for i in range(60)]),
        failed_targets=1000,
        targets_per_zone=1000,
        targets=1000,
        ns_names=1000,
    )
    world.ask("x.evil.test")
    assert len(world.asked(EXAMPLE_ADDRESS)) == 60


def in_vain_after_falling_back(**limits) -> int:
    """How many names of servers are looked up in vain, where addresses of others were of no use either."""
    names = [f"n{i}.example.test" for i in range(15)]
    zone = "\n".join(f"many 60 NS {name}." for name in names)
    servers = internet()
    servers[TEST_ADDRESS] = Zones({"test": f"{TEST_ZONE}\n{zone}\nmany 60 NS ns.many\nns.many 60 A 10.0.0.70"})
    servers["10.0.0.71"] = Zones({"many.test": f"@ {SOA}\nns 900 A 10.0.0.71\nwww 60 A 192.0.2.7"})
    servers["10.0.0.70"] = servers["10.0.0.71"]
    world = World(ResolverConfig(hints=HINTS, limits=ResolverLimits(**limits)), servers)
    world.ask("ns.many.test")
    world.advance(100 * SECOND)
    world.refusing = {"10.0.0.70", "10.0.0.71"}
    before = len(world.asked(EXAMPLE_ADDRESS))
    assert isinstance(world.ask("www.many.test"), DnsError)
    return len(world.asked(EXAMPLE_ADDRESS)) - before


def test_ten_names_of_servers_may_fail_where_glue_is_fallen_back_to():
    assert in_vain_after_falling_back() == 10
    assert in_vain_after_falling_back(failed_targets_fallback=5) == 5
    assert in_vain_after_falling_back(failed_targets=1000, failed_targets_fallback=1000) == 15


def huge_referral(**limits) -> World:
    names = [f"n{i}.{'x' * 30}.victim.test" for i in range(1100)]
    world = hostile(lambda query, tcp: refer(query, names), **limits)
    world.ask("x.evil.test")
    sizes = [sent.tcp for sent in world.sent if sent.server == "10.0.0.66"]
    assert sizes == [False, True]  # it has no room in a datagram
    return world


def test_64_kib_of_servers_without_glue():
    world = huge_referral()
    assert world.refused()["ns_limit"] == 1080
    assert len(world.sent) < 30
    assert world.core.cache.size < 40_000


def test_control_of_64_kib_without_limits_all_are_kept_and_looked_up():
    world = huge_referral(ns_names=2000, targets_per_zone=2000, targets=2000, failed_targets=2000, quota=10_000)
    assert "ns_limit" not in world.refused()
    assert len(world.sent) > 1100
    assert world.core.cache.size > 100_000


def nrdelegation(**limits) -> tuple[int, World]:
    """Afek et al. 2023: a referral to many names whose server refers back; how many of the names were looked up."""
    servers = internet()
    parent = "\n".join(f"many 600 NS n{i}.lame.test." for i in range(60))
    lame = "lame 600 NS ns.lame\nns.lame 600 A 10.0.0.67"
    servers[TEST_ADDRESS] = Zones({"test": f"{TEST_ZONE}\n{parent}\n{lame}"})
    addresses = "\n".join(f"n{i} 60 A 10.1.0.{i}" for i in range(60))
    servers["10.0.0.67"] = Zones({"lame.test": f"@ {SOA}\n{addresses}"})
    for i in range(60):
        servers[f"10.1.0.{i}"] = Zones({"other.example": "@ 60 A 192.0.2.1"})
    world = World(ResolverConfig(hints=HINTS, limits=ResolverLimits(**limits)), servers)
    assert isinstance(world.ask("x.many.test"), ServFail)
    return len(world.asked("10.0.0.67")), world


def test_nrdelegation_the_servers_named_are_lame():
    looked_up, world = nrdelegation()
    assert looked_up == 10  # as many servers of a zone are tried
    assert len(world.sent) == 24


def test_nrdelegation_names_looked_up_are_bounded_for_themselves():
    looked_up, world = nrdelegation(ns_names=1000, tries=1000, sent=1000)
    assert looked_up == 16
    assert world.refused()["target_limit"] == 1
    looked_up, world = nrdelegation(ns_names=1000, tries=1000, sent=1000, targets_per_zone=1000, targets=12)
    assert looked_up == 12


def test_control_of_nrdelegation_without_limits_it_is_as_many_as_are_named():
    looked_up, world = nrdelegation(ns_names=1000, tries=1000, sent=1000, targets_per_zone=1000, targets=1000)
    assert looked_up == 60
    assert len(world.sent) == 124
    assert "target_limit" not in world.refused()


def camp(**limits) -> tuple[DnsError, World]:
    """Duan et al. 2024: aliases, times servers of the zones that they are in, times labels of all these names."""
    deep = ".".join("abcdefgh")

    def respond(query, tcp):
        name = query.question.name
        labels = [label.decode().lower() for label in name.labels]
        kind, number, apex = labels[-3][0], int(labels[-3][1:]), ".".join(labels[-3:])
        reply = query.reply()
        if kind == "c" and len(labels) == 3:
            servers = [f"{what}.{deep}.t{number}.evil.test" for what in ("lame", "good")]
            reply.authority = records("\n".join(f"{apex}. 0 NS {server}." for server in servers))
            return reply
        reply.aa = True
        if len(labels) < 12:
            reply.authority = records(f"{apex}. 0 SOA a. b. 1 2 3 4 0")
        elif kind == "c":
            reply.answer = records(f"{name} 0 CNAME x.{deep}.c{number + 1}.evil.test.")
        else:
            reply.answer = records(f"{name} 0 A 10.0.0.{66 if labels[0] == 'good' else 67}")
        return reply

    world = hostile(respond, **limits)
    world.servers["10.0.0.67"] = Zones({"elsewhere": "@ 60 A 192.0.2.1"})
    error = world.ask(f"x.{deep}.c0.evil.test")
    assert isinstance(error, DnsError)
    return error, world


def test_camp_aliases_times_servers_times_labels():
    """Limits for each step multiply, unless there is one for all."""
    error, world = camp()
    assert type(error) is ServFail
    assert "more than 200 messages" in str(error)
    assert len(world.sent) == 200
    assert world.refused()["quota"] == 1


def test_control_of_camp_without_the_quota_it_is_many_times_as_much():
    _, world = camp(quota=100_000)
    assert 600 < len(world.sent) < 1000  # until names of servers that may be looked up are used up
    assert world.refused()["target_limit"] >= 1
    _, world = camp(quota=100_000, targets=1000, restarts=50)
    assert len(world.sent) > 2000


def test_the_quota_holds_for_everything_that_a_question_needs():
    counter = iter(range(100_000))

    def respond(query, tcp):  # every name is an alias of a new one, each behind a server to be looked up
        reply = query.reply()
        reply.aa = True
        if query.question.name.depth <= 3:
            return refer(query, [f"ns.z{next(counter)}.evil.test" for _ in range(3)])
        reply.answer = records(f"{query.question.name} 0 CNAME z{next(counter)}.evil.test.")
        return reply

    world = hostile(respond, quota=50, failed_targets=1000, depth=100, restarts=1000, sent=1000)
    error = world.ask("x.evil.test")
    assert isinstance(error, ServFail)
    assert len(world.sent) == 50
    assert "more than 50 messages" in str(error)
    assert world.refused()["quota"] == 1


def chain_in_one_reply(**limits) -> tuple[Answer | DnsError, World]:
    text = "\n".join(f"a{i}.test. 300 CNAME a{i + 1}.test." for i in range(50)) + "\na50.test. 300 A 192.0.2.1"
    # a list, since a server of these tests follows 20 at most
    reply = records(text)
    world = stub({"10.0.0.1": Scripted(lambda query, tcp: with_answer(query, reply))}, limits=ResolverLimits(**limits))
    return world.ask("a0.test"), world


def with_answer(query, answer):
    reply = query.reply()
    reply.aa = reply.ra = True
    reply.answer = answer
    return reply


def chain_one_by_one(**limits) -> tuple[Answer | DnsError, World]:
    def respond(query, tcp):
        name = query.question.name
        number = int(name.labels[0][1:])
        alias = f"{name} 300 CNAME a{number + 1}.evil.test."
        return with_answer(query, records(alias if number < 50 else f"{name} 300 A 192.0.2.1"))

    world = hostile(respond, **limits)
    return world.ask("a0.evil.test"), world


def test_a_chain_of_50_aliases_in_one_reply():
    error, world = chain_in_one_reply()
    assert isinstance(error, ServFail)
    assert "aliases away" in str(error)
    assert world.refused()["alias_limit"] == 1
    assert len(world.sent) == 1


def test_a_chain_of_50_aliases_one_by_one():
    error, world = chain_one_by_one()
    assert isinstance(error, ServFail)
    assert world.refused()["alias_limit"] == 1
    assert len(world.asked("10.0.0.66")) == 12


@pytest.mark.parametrize("ask", [chain_in_one_reply, chain_one_by_one])
def test_control_of_chains_without_the_limit_they_are_followed_to_the_end(ask):
    answer, world = ask(restarts=1000)
    assert texts(answer) == ["192.0.2.1"]
    assert len(answer.chain) == 50
    assert world.refused() == {}


def test_a_chain_of_11_aliases_is_followed():
    text = "\n".join(f"a{i}.test. 300 CNAME a{i + 1}.test." for i in range(11)) + "\na11.test. 300 A 192.0.2.1"
    answer = stub({"10.0.0.1": Recursive(text)}).ask("a0.test")
    assert texts(answer) == ["192.0.2.1"]
    assert len(answer.chain) == 11
    servers = internet()
    zone = "\n".join(f"a{i} 300 CNAME a{i + 1}" for i in range(11)) + "\na11 300 A 192.0.2.1"
    servers[EXAMPLE_ADDRESS] = Zones({"example.test": f"@ {SOA}\n{zone}"})
    assert texts(World(ResolverConfig(hints=HINTS), servers).ask("a0.example.test")) == ["192.0.2.1"]


def referrals_without_end(**limits) -> tuple[Answer | DnsError, World]:
    def respond(query, tcp):  # one label further down each time, with glue
        name = query.question.name
        reply = query.reply()
        zone = name.suffix(min(name.depth, 2 + len(world.asked("10.0.0.66"))))
        if len(zone) == len(name):
            return with_answer(query, records(f"{name} 60 A 192.0.2.1"))
        reply.authority = records(f"{zone} 600 NS ns.{zone}")
        reply.additional = records(f"ns.{zone} 600 A 10.0.0.66")
        return reply

    world = hostile(respond, **limits)
    return world.ask(f"{'.'.join(['a'] * 100)}.evil.test"), world


def test_referrals_without_end():
    error, world = referrals_without_end()
    assert isinstance(error, ServFail)
    assert "more than 32 messages" in str(error)
    assert len(world.sent) == 33  # with priming
    assert world.refused()["quota"] == 1


def test_referrals_are_counted_too():
    error, world = referrals_without_end(referrals=5)
    assert isinstance(error, ServFail)
    assert "more than 5 referrals" in str(error)
    assert world.refused() == {"referral_limit": 1}
    assert len(world.sent) == 6  # with priming


def test_control_of_referrals_without_limits_they_are_followed_to_the_end():
    answer, world = referrals_without_end(sent=1000, referrals=1000)
    assert texts(answer) == ["192.0.2.1"]
    assert len(world.sent) > 100


def glueless_all_the_way_down(**limits) -> World:
    """Each zone's server is in another zone whose server is in another zone ..."""
    parent = "\n".join(f"z{i} 600 NS ns.z{i + 1}.test." for i in range(40))
    servers = internet()
    servers[TEST_ADDRESS] = Zones({"test": f"{TEST_ZONE}\n{parent}"})
    world = World(ResolverConfig(hints=HINTS, limits=ResolverLimits(**limits)), servers)
    assert isinstance(world.ask("www.z0.test"), ServFail)
    return world


def test_glueless_servers_all_the_way_down():
    world = glueless_all_the_way_down()
    assert world.refused()["target_limit"] >= 1
    assert len(world.sent) <= 20


def test_control_of_glueless_servers_without_the_limit_they_are_followed_to_the_end():
    world = glueless_all_the_way_down(depth=1000)
    assert "target_limit" not in world.refused()
    assert len(world.sent) > 40


def test_a_failed_attack_is_not_repeated_for_the_next_client():
    world = hostile(lambda query, tcp: refer(query, [f"n{i}.example.test" for i in range(60)]))
    world.ask("x.evil.test")
    before = len(world.sent)
    assert isinstance(world.ask("x.evil.test"), ServFail)
    assert len(world.sent) == before


def test_more_clients_than_there_may_be_are_told_so():
    world = stub({"10.0.0.1": Recursive("")}, limits=ResolverLimits(clients=10))
    handles = [world.start(f"h{i}.test") for i in range(12)]
    assert sorted(world.results) == handles[10:]
    for handle in handles[10:]:
        error = world.results[handle]
        assert isinstance(error, ServFail)
        assert "10 questions in hand" in str(error)
    assert world.refused() == {"client_limit": 2}
    assert isinstance(world.wait(handles[0]), NXDOMAIN)
    assert isinstance(world.ask("later.test"), DnsError)


def test_refreshes_are_bounded():
    text = "\n".join(f"h{i}.test. 100 A 192.0.2.1" for i in range(20))
    world = stub({"10.0.0.1": Recursive(text)}, limits=ResolverLimits(background=5))
    for i in range(20):
        world.ask(f"h{i}.test")
    world.advance(95 * SECOND)
    for i in range(20):
        world.ask(f"h{i}.test")
    assert world.refused()["background_limit"] == 15
    world.settle()
    assert len(world.sent) == 25


def test_refreshes_of_what_was_given_stale_are_bounded():
    text = "\n".join(f"h{i}.test. 100 A 192.0.2.1" for i in range(20))
    world = stub({"10.0.0.1": Recursive(text)}, limits=ResolverLimits(background=5))
    for i in range(20):
        world.ask(f"h{i}.test")
    world.advance(200 * SECOND)
    world.down = {"10.0.0.1"}
    handles = [world.start(f"h{i}.test") for i in range(20)]
    assert all(world.wait(handle).stale for handle in handles)
    assert len(world.open) == 5
    assert len(world.core._background) == 5
    world.settle()
    assert len(world.core._background) == 0


def test_facts_of_servers_are_bounded():
    world = iterative(limits=ResolverLimits(servers=3))
    world.ask("www.example.test")
    world.ask("www.other.net")
    assert len(world.core.servers) == 3


def test_every_name_with_its_own_bytes_costs_no_more_than_the_cache_may_hold():
    world = iterative(cache_bytes=50_000)
    for n in range(300):
        world.ask(f"n{n}.example.test")
    assert world.core.cache.size <= 50_000
