"""Damaged messages: a FormError or a message that holds together, in bounded time and memory."""

import random
import struct
import time
import tracemalloc

import dns.exception
import dns.message
import dns.rdatatype
import pytest

from stack.dns import rdata
from stack.dns.constants import RRType
from stack.dns.edns import Edns, cookie_option, ede_option, keepalive_option
from stack.dns.errors import FormError, FormReason
from stack.dns.message import Message, RRset
from stack.dns.names import Name
from tests.unit.dns.test_message_dnspython import of_ours, of_theirs

WWW, ZONE = Name.parse("www.example.test"), Name.parse("example.test")
TEXTS = {
    RRType.A: "192.0.2.1",
    RRType.AAAA: "2001:db8::1",
    RRType.NS: "ns1.example.test.",
    RRType.CNAME: "other.example.test.",
    RRType.SOA: "ns1.example.test. admin.example.test. 1 2 3 4 5",
    RRType.MX: "10 mail.example.test.",
    RRType.TXT: '"one" "two"',
    RRType.SRV: "1 2 3 srv.example.test.",
    RRType.NAPTR: '1 2 "u" "sip+E2U" "!^.*$!sip:a@b!" .',
    RRType.CAA: '0 issue "ca.test"',
    RRType.DS: "1 13 2 " + "ab" * 32,
    RRType.DNSKEY: "257 3 13 AQID",
    RRType.RRSIG: "A 13 3 300 20260101000000 20250101000000 7 example.test. AQID",
    RRType.NSEC: "a.example.test. A NS RRSIG TYPE1234",
    RRType.NSEC3: "1 0 10 ab 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG",
    RRType.HTTPS: '1 . alpn="h2,h3" port=443 ipv4hint=192.0.2.1',
    65280: r"\# 3 010203",
}


def corpus() -> list[bytes]:
    """One message for each type, with compression, and some with everything."""
    found = []
    for rrtype, text in TEXTS.items():
        reply = Message.query(WWW, rrtype, id=7).reply()
        rrset = RRset.of(WWW, 300, [rdata.parse(rrtype, text)])
        reply.answer = [rrset, rrset.with_name(ZONE)]
        reply.edns = Edns()
        found.append(reply.build())
    referral = Message.query(WWW, RRType.A, id=8).reply()
    servers = [ZONE.child(b"ns%d" % number) for number in range(5)]
    referral.authority = [RRset.of(ZONE, 60, [rdata.NS(server) for server in servers])]
    referral.additional = [RRset.of(server, 60, [rdata.A("192.0.2.1")]) for server in servers]
    options = (cookie_option(b"12345678", b"abcdefgh"), ede_option(22, "why"), keepalive_option(100_000))
    referral.edns = Edns(options=options)
    return [*found, referral.build(), Message.query(WWW, RRType.A, id=9, edns=Edns()).build()]


def damaged(originals: list[bytes], rng: random.Random) -> bytes:
    """Octets changed to what hurts, cut, repeated, inserted, from two messages; counts changed."""
    wire = bytearray(rng.choice(originals))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(wire))
        how = rng.randrange(8)
        if how == 0:
            wire[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            wire[at] = rng.choice((0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFF))
        elif how == 2:
            wire[at : at + 2] = (0xC000 | rng.randrange(len(wire) + 8)).to_bytes(2, "big")
        elif how == 3:
            wire[min(rng.randrange(4, 12), len(wire) - 1)] = rng.choice((0, 1, 2, 3, 255))
        elif how == 4:
            del wire[at : at + rng.randrange(1, 12)]
        elif how == 5:
            wire[at:at] = wire[at : at + rng.randrange(1, 40)]
        elif how == 6:
            wire[at:] = rng.choice(originals)[at:]
        else:
            del wire[max(at, 1) :]
        wire = wire or bytearray(1)
    return bytes(wire)


def judge(wire: bytes, reasons: list[int]) -> Message | None:
    """The message, if it is one; then it can be decoded, printed and built again."""
    try:
        message = Message.parse(wire)
    except FormError as error:
        reasons[error.reason] += 1
        return None
    assert str(message)
    assert all(len(rrset.rdatas) == len(rrset.raws) > 0 for section in message.sections for rrset in section)
    if all(rrset.rrtype != RRType.TSIG for rrset in message.additional):
        again = Message.parse(message.build(65535))
        assert str(again) == str(message)
    return message


def run(count: int, seed: int, compare_every: int) -> tuple[list[int], int, int]:
    rng, originals = random.Random(seed), corpus()
    reasons, accepted, compared = [0] * len(FormReason), 0, 0
    for number in range(count):
        wire = damaged(originals, rng)
        message = judge(wire, reasons)
        accepted += message is not None
        if message is not None and not number % compare_every:
            compared += agrees(message, wire)
    return reasons, accepted, compared


def agrees(message: Message, wire: bytes) -> bool:
    """dnspython makes the same of it, if it takes it."""
    try:
        theirs = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return False  # it knows more rules of some types, and more than one rule of UPDATE
    if message.opcode:
        return False
    for mine, other in zip(message.sections, (theirs.answer, theirs.authority, theirs.additional), strict=True):
        # of types that have one record only it keeps the last
        several = {
            rrset.key
            for rrset in mine
            if len(rrset) > 1 and dns.rdatatype.is_singleton(dns.rdatatype.RdataType.make(rrset.rrtype))
        }
        keep = [rrset for rrset in mine if rrset.key not in several]
        names = {(name, rrtype) for name, rrtype, _ in several}
        rest = [
            rrset for rrset in other if (bytes(rrset.name.to_wire() or b"").lower(), int(rrset.rdtype)) not in names
        ]
        assert of_ours(keep) == of_theirs(rest)
    return True


def test_damage_is_refused_with_a_reason_or_does_none():
    reasons, accepted, compared = run(8_000, seed=1, compare_every=5)
    # what damage of this kind can cause was caused
    rare = {FormReason.NAME_TOO_LONG, FormReason.OPT_TWICE, FormReason.TSIG}
    assert [reason.name for reason in FormReason if not reasons[reason] and reason not in rare] == []
    assert accepted > 1_300
    assert compared > 150


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_damage_for_long(seed):
    reasons, accepted, _ = run(100_000, seed=100 + seed, compare_every=10)
    assert sum(reasons) + accepted == 100_000


def test_noise():
    rng, reasons = random.Random(5), [0] * len(FormReason)
    for _ in range(3_000):
        judge(rng.randbytes(rng.randrange(100)), reasons)
    assert sum(reasons) > 2_900


# -- messages made to be costly


def header(answers: int = 0, additionals: int = 0) -> bytes:
    return struct.pack("!6H", 7, 0x8180, 0, answers, 0, additionals)


def record(data: bytes, rrtype: int = 65280, name: bytes = b"\0") -> bytes:
    return name + struct.pack("!HHIH", rrtype, 1, 0, len(data)) + data


def pointer(offset: int) -> bytes:
    return (0xC000 | offset).to_bytes(2, "big")


def to_every_label(rrtype: int, *, inside: bool) -> bytes:
    """Names of 127 labels in data of an unknown type, and records that point to each of their labels."""
    blob = (b"\1a" * 127 + b"\0") * 60
    at = 12 + 11
    targets = [at + 255 * name + 2 * label for name in range(60) for label in range(127)]
    records = [record(pointer(to) if inside else b"", rrtype, pointer(to)) for to in targets[:3400]]
    return header(1 + len(records)) + record(blob) + b"".join(records)


def in_a_run_without_end() -> bytes:
    """Thousands of labels and no end, and pointers to each."""
    records = [record(b"", name=pointer(23 + 2 * label)) for label in range(3_500)]
    return header(1 + len(records)) + record(b"\1a" * 8_000) + b"".join(records)


def chains() -> bytes:
    """Pointers that lead to pointers, and names that begin at each."""
    blob = b"\0" + pointer(23) + b"".join(pointer(24 + 2 * number) for number in range(7_000))
    records = [record(b"", name=pointer(24 + 2 * number)) for number in range(3_500)]
    return header(1 + len(records)) + record(blob) + b"".join(records)


FULL_BITMAP = b"".join(bytes((window, 32)) + b"\xff" * 32 for window in range(256))
COSTLY = {
    "names by pointers": lambda: to_every_label(65280, inside=False),
    "names by pointers, in data too": lambda: to_every_label(RRType.NS, inside=True),
    "a run of labels": in_a_run_without_end,
    "chains of pointers": chains,
    "one large set": lambda: header(4_000) + b"".join(record(n.to_bytes(4, "big"), RRType.A) for n in range(4_000)),
    "the same record again": lambda: header(4_000) + record(b"1234", RRType.A) * 4_000,
    "as many sets as fit": lambda: header(5_900) + b"".join(record(b"", 1000 + number) for number in range(5_900)),
    "full bitmaps": lambda: (
        header(7) + b"".join(record(bytes((1, 65 + n, 0)) + FULL_BITMAP, RRType.NSEC) for n in range(7))
    ),
    "empty strings": lambda: header(1) + record(bytes(65_000), RRType.TXT),
    "options": lambda: header(0, 1) + b"\0\0\x29" + struct.pack("!HIH", 1232, 0, 64_000) + b"\0\1\0\0" * 16_000,
    "parameters": lambda: (
        header(1) + record(b"\0\1\0" + b"".join(struct.pack("!HH", 10 + n, 0) for n in range(16_000)), RRType.SVCB)
    ),
}


@pytest.mark.parametrize("title", COSTLY)
def test_no_message_costs_more_than_its_length_allows(title):
    wire = COSTLY[title]()
    assert 24_000 < len(wire) <= 65_535
    reasons = [0] * len(FormReason)

    def parse():
        try:
            Message.parse(wire)
        except FormError as error:
            reasons[error.reason] += 1

    began = time.process_time()
    parse()
    assert time.process_time() - began < 1  # some 50 ms; what is not bounded takes minutes
    tracemalloc.start()
    try:
        parse()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(wire)
