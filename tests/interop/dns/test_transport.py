"""Datagrams, streams and cookies, as they pass on our TAP device."""

import asyncio
import contextlib
import socket

import pytest

from tests.support import dns_wire
from tests.support.dns_ours import iterative, outcomes, run, stub
from tests.support.dns_sniffer import is_truncated, rcode, sniffing
from tests.support.dns_zones import AUTH, AUTH_TOO, BIG_RRS, HUGE_RRS, OURS, TLD

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


class AlwaysTruncated(asyncio.DatagramProtocol):
    """Answers TC: the question is to be put by TCP."""

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        self._transport.sendto(data[:2] + b"\x87\x80\0\1\0\0\0\0\0\0" + data[12 : data.index(0, 12) + 5], addr)


def test_a_hundred_questions_on_one_connection_are_answered_in_any_order(hierarchy):
    """Half of them are in unbound's cache, so that their answers overtake the others."""
    names = [f"n{number}.huge.glueless.test" for number in range(PIPELINED)]

    async def main(server: str, truncating: socket.socket):
        loop = asyncio.get_running_loop()
        endpoint, _ = await loop.create_datagram_endpoint(AlwaysTruncated, sock=truncating)
        with contextlib.closing(endpoint), sniffing(hierarchy) as sniffer:
            async with stub(hierarchy, server) as resolver:
                for question, answer in (await outcomes(resolver, [(name, "TXT") for name in names])).items():
                    assert not isinstance(answer, BaseException), (question, answer)
                    assert len(answer.rrset.rdatas) == HUGE_RRS
                    assert str(answer.rrset.name).lower() == f"{question[0]}."
            assert len([reply for reply in sniffer.replies() if is_truncated(reply)]) == PIPELINED
            assert sniffer.connections() == 1
            asked = [message.id for message in sniffer.stream(queries=True)]
            answered = [message.id for message in sniffer.stream(queries=False)]
            assert len(asked) == PIPELINED
            assert sorted(asked) == sorted(answered)
            assert asked != answered, "unbound kept the order: this has shown nothing"

    with hierarchy.unbound_by_tcp_only() as server:
        for name in names[1::2]:
            dns_wire.ask_tcp(hierarchy.client, server, dns_wire.query(name, "TXT"))
        with hierarchy.places["resolvers"].entered():
            truncating = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            truncating.bind((server, 53))
        run(main(server, truncating))


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
