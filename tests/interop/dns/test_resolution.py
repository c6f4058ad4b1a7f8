"""From the root, on our stack: what unbound finds is what we find, for every name and type of the hierarchy."""

import math
import random
from collections import Counter

import pytest

from stack.dns.errors import NXDOMAIN, NoData, ServFail
from tests.support.dns_hierarchy import Hierarchy
from tests.support.dns_ours import dig, iterative, lines_of, outcomes, run
from tests.support.dns_sniffer import sniffing
from tests.support.dns_zones import ANSWERED, AUTH, AUTH_TOO, FAILING, MISSING, NODATA, ROOT, TLD, UNBOUND

pytestmark = [pytest.mark.netns, pytest.mark.interop]
DRAWS = 2_000
CHI_SQUARED_2_DOF_999 = 13.8
CHAIN = [
    ("alias.example.test.", "CNAME", "chain1.example.test."),
    ("chain1.example.test.", "CNAME", "chain2.example.test."),
    ("chain2.example.test.", "CNAME", "www.example.test."),
    ("www.example.test.", "A", "10.53.0.51"),
]


def check_answers(hierarchy: Hierarchy) -> None:
    """Ours are those of unbound; no TTL is longer, but for the time that unbound has had them."""
    theirs = dig(hierarchy, UNBOUND, ANSWERED)
    zones = dig(hierarchy, AUTH, ANSWERED)

    async def main():
        async with iterative(hierarchy) as resolver:
            ours = await outcomes(resolver, ANSWERED)
        for question, answer in ours.items():
            assert not isinstance(answer, BaseException), (question, answer)
            assert lines_of(answer) == sorted(theirs[question]), question
            assert answer.secure is None
            assert not answer.stale
            for line, ttl in zones[question].items():
                if line[1] == "CNAME" or not answer.chain:
                    assert answer.ttl <= ttl or line not in theirs[question], question
        return ours

    run(main())


def test_every_name_and_type_as_unbound_has_it(hierarchy):
    check_answers(hierarchy)


def test_no_other_resolver_is_needed(hierarchy):
    """With all of them stopped, and nobody asked but the three kinds of authoritative servers."""
    theirs = dig(hierarchy, UNBOUND, ANSWERED)

    async def main():
        with sniffing(hierarchy) as sniffer:
            async with iterative(hierarchy) as resolver:
                for question, answer in (await outcomes(resolver, ANSWERED)).items():
                    assert lines_of(answer) == sorted(theirs[question]), question
            assert {packet.target for packet in sniffer.queries()} == {ROOT, TLD, AUTH, AUTH_TOO}

    servers = hierarchy.servers
    with (
        servers["dnsmasq"].stopped(),
        servers["pdns"].stopped(),
        servers["bind"].stopped(),
        servers["unbound"].stopped(),
    ):
        run(main())


@pytest.mark.parametrize(
    ("questions", "error"),
    [(NODATA, NoData), (MISSING, NXDOMAIN), (FAILING, ServFail)],
    ids=["nodata", "nxdomain", "servfail"],
)
def test_what_is_not_there(hierarchy, questions, error):
    async def main():
        async with iterative(hierarchy) as resolver:
            for question, result in (await outcomes(resolver, questions)).items():
                assert type(result) is error, (question, result)
                assert question[0].lower() in str(result).lower()

    run(main())


def test_a_lame_server_is_named_in_the_error(hierarchy):
    async def main():
        async with iterative(hierarchy) as resolver:
            with pytest.raises(ServFail) as caught:
                await resolver.query("www.lame.test", "A")
            assert AUTH in str(caught.value.tries)

    run(main())


def test_an_alias_leads_through_its_chain(hierarchy):
    async def main():
        async with iterative(hierarchy) as resolver:
            answer = await resolver.query("alias.example.test", "A")
            assert lines_of(answer) == CHAIN
            assert [str(rrset.name) for rrset in answer.chain] == [line[0] for line in CHAIN[:-1]]

    run(main())


def test_the_name_of_an_address(hierarchy):
    async def main():
        async with iterative(hierarchy) as resolver:
            assert await resolver.reverse("10.53.0.51") == "www.example.test"
            with pytest.raises(NXDOMAIN):
                await resolver.reverse("10.53.0.52")

    run(main())


def test_addresses_of_both_kinds_and_in_order(hierarchy):
    async def main():
        async with iterative(hierarchy) as resolver:
            # the host has no IPv6: what it can reach comes first (RFC 6724 §6, rule 1)
            assert await resolver.addresses("www.example.test") == ["10.53.0.51", "2001:db8::51"]
            assert sorted(await resolver.addresses("three.example.test")) == [f"10.53.0.6{k}" for k in (1, 2, 3)]

    run(main())


def test_services_come_by_priority_and_weight(hierarchy):
    """RFC 2782: of weights 60, 30 and 10 each is first in proportion; chi-squared over 2000 draws, seeded."""
    weights = {"www.example.test": 60, "mail.example.test": 30, "mail2.example.test": 10}
    firsts: Counter[str] = Counter()

    async def main():
        async with iterative(hierarchy, rng=random.Random(1)) as resolver:
            for _ in range(DRAWS):
                found = [service async for service in resolver.services("_nfs._tcp.example.test")]
                assert {service.host for service in found[:3]} == set(weights)
                assert (found[3].host, found[3].priority, found[3].port) == ("three.example.test", 10, 2050)
                firsts[found[0].host] += 1
            assert [service async for service in resolver.services("_none._tcp.example.test")] == []

    run(main())
    expected = {host: DRAWS * weight / sum(weights.values()) for host, weight in weights.items()}
    statistic = math.fsum((firsts[host] - count) ** 2 / count for host, count in expected.items())
    assert statistic < CHI_SQUARED_2_DOF_999, firsts


def test_questions_reveal_no_more_than_they_must(hierarchy):
    """RFC 9156: the root is told of one label, the top level of two."""

    async def main():
        with sniffing(hierarchy) as sniffer:
            async with iterative(hierarchy) as resolver:
                await resolver.query("a.b.ent.example.test", "A")
            asked = {
                server: {str(p.message.question[0].name).lower() for p in sniffer.queries(server)}
                for server in (ROOT, TLD)
            }
            assert asked[ROOT] <= {".", "test.", "a.root."}
            assert asked[TLD] <= {"example.test.", "test."}

    run(main())


def test_every_question_has_a_port_an_id_and_a_spelling_of_its_own(hierarchy):
    async def main():
        with sniffing(hierarchy) as sniffer:
            async with iterative(hierarchy) as resolver:
                await outcomes(resolver, [(f"port{number}.wild.example.test", "A") for number in range(100)])
            sent = sniffer.queries(AUTH, AUTH_TOO)
            assert len(sent) >= 100
            assert len({packet.source_port for packet in sent}) > 0.95 * len(sent)
            assert len({packet.payload[:2] for packet in sent}) > 0.95 * len(sent)
            names = [str(packet.message.question[0].name) for packet in sent]
            spelt = {name[name.index("wild") if "wild" in name else -12 :] for name in names}
            assert len(spelt) > 50
            ports = [packet.source_port for packet in sent]
            # all that there are, not only those that hosts use for clients (RFC 5452 §9.2)
            assert 1024 <= min(ports) < 32_768
            assert max(ports) > 61_000

    run(main())
