"""Datagrams, streams and cookies, as they pass on our TAP device."""

import pytest

from tests.support import dns_wire
from tests.support.dns_ours import iterative, outcomes, run, stub
from tests.support.dns_sniffer import is_truncated, rcode, sniffing
from tests.support.dns_zones import AUTH, AUTH_TOO, BIG_RRS, HUGE_RRS, OURS, TLD, UNBOUND

pytestmark = [pytest.mark.netns, pytest.mark.interop]
PIPELINED = 100


def test_what_is_truncated_is_asked_again_by_tcp(hierarchy):
    async def main():
        with sniffing(hierarchy) as sniffer:
            async with iterative(hierarchy) as resolver:
                answer = await resolver.query("big.example.test", "TXT")
            assert len(answer.rrset.rdatas) == BIG_RRS
            cut = [reply for reply in sniffer.replies(AUTH, AUTH_TOO) if is_truncated(reply)]
            assert len(cut) == 1
            assert {packet.target for packet in sniffer.replies()} == {OURS}
            (whole,) = sniffer.stream(queries=False)
            assert len(dns_wire.texts(whole.answer)) == BIG_RRS
            # RFC 6891 §6.2.5, and no fragments: what we announce, and nothing larger comes
            assert {packet.message.payload for packet in sniffer.queries()} == {1232}
            assert max(len(packet.payload) for packet in sniffer.replies()) <= 1232

    run(main())


def test_a_hundred_questions_on_one_connection_are_answered_in_any_order(hierarchy):
    """Half of them are in unbound's cache, so that their answers overtake the others."""
    names = [f"n{number}.huge.glueless.test" for number in range(PIPELINED)]
    for name in names[1::2]:
        dns_wire.ask_tcp(hierarchy.client, UNBOUND, dns_wire.query(name, "TXT"))

    async def main():
        with sniffing(hierarchy) as sniffer:
            async with stub(hierarchy, UNBOUND) as resolver:
                for question, answer in (await outcomes(resolver, [(name, "TXT") for name in names])).items():
                    assert not isinstance(answer, BaseException), (question, answer)
                    assert len(answer.rrset.rdatas) == HUGE_RRS
                    assert str(answer.rrset.name).lower() == f"{question[0]}."
            assert sniffer.connections() == 1
            asked = [message.id for message in sniffer.stream(queries=True)]
            answered = [message.id for message in sniffer.stream(queries=False)]
            assert len(asked) == PIPELINED
            assert sorted(asked) == sorted(answered)
            assert asked != answered, "unbound kept the order: this has shown nothing"

    run(main())


def test_one_refusal_for_want_of_a_cookie_and_never_again(hierarchy):
    async def main():
        with sniffing(hierarchy) as sniffer:
            async with iterative(hierarchy) as resolver:
                await resolver.query("example.test", "DS")
                assert [rcode(reply) for reply in sniffer.replies(TLD)].count("BADCOOKIE") == 1
                sniffer.clear()
                for zone in ("glueless.test", "lame.test", "brief.test"):
                    await outcomes(resolver, [(zone, "DS")])
                assert [rcode(reply) for reply in sniffer.replies(TLD)] == ["NOERROR"] * 3
                assert len({packet.payload[-24:] for packet in sniffer.queries(TLD)}) == 1

    run(main())
