"""As a stub of each of four resolvers, on our stack; servers that die, and come back."""

import asyncio

import pytest

from stack.config import MS
from stack.dns.core.config import ResolverConfig
from stack.dns.errors import NXDOMAIN, NoData, ServFail, Timeout
from tests.support.dns_ours import dig, lines_of, outcomes, run, stub
from tests.support.dns_sniffer import sniffing
from tests.support.dns_zones import ANSWERED, BIND, DNSMASQ, FAILING, MISSING, NOBODY, NODATA, PDNS, UNBOUND

pytestmark = [pytest.mark.netns, pytest.mark.interop]
RESOLVERS = {"unbound": UNBOUND, "bind": BIND, "pdns": PDNS, "dnsmasq": DNSMASQ}
GENEROUS_S = 5.0  # for what takes less than one on a machine with nothing else to do; tests/sim has the exact times
every_resolver = pytest.mark.parametrize("name", RESOLVERS)


@every_resolver
def test_every_answer_is_what_dig_has_from_it(hierarchy, name):
    dig(hierarchy, RESOLVERS[name], ANSWERED)  # what dnsmasq says from its cache has less in it than the first time
    theirs = dig(hierarchy, RESOLVERS[name], ANSWERED)

    async def main():
        async with stub(hierarchy, RESOLVERS[name]) as resolver:
            for question, answer in (await outcomes(resolver, ANSWERED)).items():
                assert not isinstance(answer, BaseException), (question, answer)
                assert lines_of(answer) == sorted(theirs[question]), question
                assert answer.server == (RESOLVERS[name], 53)

    run(main())


@every_resolver
def test_what_is_not_there(hierarchy, name):
    async def main():
        async with stub(hierarchy, RESOLVERS[name]) as resolver:
            for questions, error in ((NODATA, NoData), (MISSING, NXDOMAIN), (FAILING, ServFail)):
                for question, result in (await outcomes(resolver, questions)).items():
                    assert type(result) is error, (question, result)

    run(main())


async def ask_in_turn(resolver, count: int, label: str) -> float:
    """Names that are in no cache of ours; the longest that one took, in seconds."""
    loop, worst = asyncio.get_running_loop(), 0.0
    for number in range(count):
        began = loop.time()
        answer = await resolver.query(f"{label}{number}.wild.example.test", "A")
        assert [str(rdata) for rdata in answer.rrset.rdatas] == ["10.53.0.81"]
        worst = max(worst, loop.time() - began)
    return worst


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_the_other_server_answers_when_one_dies(hierarchy, how):
    """`stopped`: ICMP says so.  `frozen`: nothing says so."""

    async def main():
        async with stub(hierarchy, BIND, UNBOUND) as resolver:
            await ask_in_turn(resolver, 4, how)
            with getattr(hierarchy.servers["bind"], how)():
                assert await ask_in_turn(resolver, 10, f"{how}-later-") < GENEROUS_S

    run(main())


def test_a_dead_server_is_tried_again(hierarchy):
    config = ResolverConfig(probe_us=200 * MS)

    async def main():
        with sniffing(hierarchy) as sniffer:
            async with stub(hierarchy, BIND, UNBOUND, config=config) as resolver:
                with hierarchy.servers["bind"].stopped():
                    await ask_in_turn(resolver, 10, "again-")
                    asked_when_dead = len(sniffer.queries(BIND))
                    assert 0 < asked_when_dead < 10
                sniffer.clear()
                async with asyncio.timeout(20):
                    number = 0
                    while not sniffer.replies(BIND):
                        await ask_in_turn(resolver, 1, f"again-{number}-")
                        await asyncio.sleep(0.05)
                        number += 1

    run(main())


def test_nobody_there_is_told_with_all_that_was_tried(hierarchy):
    async def main():
        async with stub(hierarchy, NOBODY, PDNS) as resolver:
            with hierarchy.servers["pdns"].stopped(), pytest.raises((Timeout, ServFail)) as caught:
                await resolver.query("www.example.test", "A", timeout=3)
            assert isinstance(caught.value, OSError)
            tried = str(caught.value.tries)
            assert PDNS in tried
            assert NOBODY in tried

    run(main())


def test_a_closed_port_ends_a_try_at_once(hierarchy):
    """ICMP port unreachable: long before any timeout of ours."""
    config = ResolverConfig(rto_unknown_us=60_000 * MS, rto_max_us=60_000 * MS, timeout_us=60_000 * MS)

    async def main():
        async with stub(hierarchy, PDNS, UNBOUND, config=config) as resolver:
            with hierarchy.servers["pdns"].stopped():
                async with asyncio.timeout(GENEROUS_S):
                    await ask_in_turn(resolver, 4, "icmp-")

    run(main())
