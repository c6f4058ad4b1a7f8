"""What is known is not asked for, as counted on our TAP device; what is too old is, or serves if nobody answers."""

import asyncio

import pytest

from stack.config import SECOND
from stack.dns.core.config import ResolverConfig
from stack.dns.errors import NXDOMAIN, NoData
from tests.support.dns_ours import iterative, run
from tests.support.dns_sniffer import sniffing
from tests.support.dns_zones import BRIEF_S

pytestmark = [pytest.mark.netns, pytest.mark.interop]
GENEROUS_S = 10.0
# a refresh ahead of time would be one more question, and whether it happens depends on the machine
NO_PREFETCH = ResolverConfig(prefetch_percent=0)


async def ask(resolver, name: str, rrtype: str, error: type[Exception] | None) -> None:
    if error is None:
        await resolver.query(name, rrtype)
    else:
        with pytest.raises(error):
            await resolver.query(name, rrtype)


@pytest.mark.parametrize(
    ("name", "rrtype", "error"),
    [("www.brief.test", "A", None), ("missing.brief.test", "A", NXDOMAIN), ("www.brief.test", "TXT", NoData)],
    ids=["positive", "nxdomain", "nodata"],
)
def test_nothing_is_sent_within_the_ttl_and_one_question_after_it(hierarchy, name, rrtype, error):
    async def main():
        with sniffing(hierarchy) as sniffer:
            async with iterative(hierarchy, NO_PREFETCH) as resolver:
                await ask(resolver, name, rrtype, error)
                assert len(sniffer.queries()) >= 3
                sniffer.clear()
                for _ in range(10):
                    await ask(resolver, name.upper(), rrtype, error)
                assert sniffer.packets == []
                await asyncio.sleep(BRIEF_S + 0.5)  # virtual time has its tests elsewhere; these servers know none
                await ask(resolver, name, rrtype, error)
                assert len(sniffer.queries()) == 1
                await ask(resolver, name, rrtype, error)
                assert len(sniffer.queries()) == 1
                assert sniffer.connections() == 0

    run(main())


def test_questions_for_the_same_are_one(hierarchy):
    async def main():
        with sniffing(hierarchy) as sniffer:
            async with iterative(hierarchy) as resolver:
                await resolver.query("www.example.test", "A")
                sniffer.clear()
                await asyncio.gather(*(resolver.query("mail.example.test", "A") for _ in range(50)))
                assert len(sniffer.queries()) == 1

    run(main())


def test_what_is_too_old_is_given_out_while_nobody_answers(hierarchy):
    config = ResolverConfig(prefetch_percent=0, stale_answer_us=1 * SECOND)

    async def main():
        async with iterative(hierarchy, config) as resolver:
            fresh = await resolver.query("again.brief.test", "A")
            assert not fresh.stale
            with hierarchy.servers["auth"].frozen():
                await asyncio.sleep(BRIEF_S + 0.5)
                async with asyncio.timeout(GENEROUS_S):
                    stale = await resolver.query("again.brief.test", "A")
                assert stale.stale
                assert stale.ttl == 30  # RFC 8767 §4
                assert stale.rrset.rdatas == fresh.rrset.rdatas

    run(main())


def test_what_was_stale_is_fresh_again_when_the_server_is_back(hierarchy):
    config = ResolverConfig(prefetch_percent=0, stale_answer_us=SECOND // 2, stale_recheck_us=SECOND // 10)

    async def main():
        async with iterative(hierarchy, config) as resolver:
            await resolver.query("stale.brief.test", "A")
            with hierarchy.servers["auth"].stopped():
                await asyncio.sleep(BRIEF_S + 0.5)
                assert (await resolver.query("stale.brief.test", "A")).stale
            async with asyncio.timeout(GENEROUS_S):
                while (await resolver.query("stale.brief.test", "A")).stale:
                    await asyncio.sleep(0.05)

    run(main())
