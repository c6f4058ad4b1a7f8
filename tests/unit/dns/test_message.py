"""Messages: round trips, sections, EDNS, truncation, and everything that is refused."""

import struct

import pytest

from stack.dns import rdata
from stack.dns.constants import Opcode, Rcode, RRClass, RRType
from stack.dns.edns import Edns, cookie_option, ede_option, keepalive_option, padding_option
from stack.dns.errors import Ede, FormError, FormReason
from stack.dns.message import Message, Question, RRset
from stack.dns.names import ROOT, Name
from tests.support.rfc import rfc

WWW = Name.parse("www.example.test")
ZONE = Name.parse("example.test")
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
RECORD = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"


def header(questions=0, answers=0, authorities=0, additionals=0, bits=0x8180):
    return struct.pack("!6H", 7, bits, questions, answers, authorities, additionals)


def message(answers=b"", authorities=b"", additionals=b"", counts=(0, 0, 0), bits=0x8180, rest=b""):
    """A response about www.example.test A, whose name is at offset 12."""
    return header(1, *counts, bits=bits) + WWW + b"\0\1\0\1" + answers + authorities + additionals + rest


def addresses(name=WWW, count=3, ttl=300):
    return RRset.of(name, ttl, [rdata.A(f"192.0.2.{number}") for number in range(count)])


def refusal(wire):
    with pytest.raises(FormError) as caught:
        Message.parse(wire)
    return caught.value.reason


def test_a_query_and_its_reply():
    query = Message.query(WWW, RRType.A, id=4711, edns=Edns())
    asked = Message.parse(query.build())
    assert asked.question == Question(WWW, RRType.A, RRClass.IN)
    assert (asked.id, asked.rd, asked.qr, asked.opcode) == (4711, True, False, Opcode.QUERY)
    assert asked.edns == Edns()
    reply = asked.reply(Rcode.NXDOMAIN)
    reply.ra = True
    back = Message.parse(reply.build())
    assert (back.id, back.qr, back.rd, back.ra, back.aa, back.rcode) == (4711, True, True, True, False, Rcode.NXDOMAIN)
    assert back.question == asked.question
    assert back.flags_text() == "qr rd ra"


def test_records_of_one_name_and_type_are_one_set():
    reply = Message(question=Question(WWW, RRType.A))
    other = Name.parse("mail.example.test")
    reply.answer = [addresses(), RRset.of(other, 60, [rdata.A("192.0.2.9")]), addresses(ZONE)]
    back = Message.parse(reply.build())
    assert back.answer == reply.answer
    assert [type(raw) for raw in back.answer[0].raws] == [bytes] * 3
    assert str(back.answer[0]).splitlines()[0] == "www.example.test.\t300\tIN\tA\t192.0.2.0"


def test_interleaved_records_and_names_in_another_case_join_their_set():
    upper = WWW.upper()
    record = struct.pack("!HHIH", 1, 1, 300, 4)
    other = b"\5other\0" + record + b"\0\0\0\2"
    parts = [b"\xc0\x0c" + record + b"\0\0\0\1", other, upper + record + b"\0\0\0\3"]
    parsed = Message.parse(message(b"".join(parts), counts=(3, 0, 0)))
    assert [rrset.raws for rrset in parsed.answer] == [[b"\0\0\0\1", b"\0\0\0\3"], [b"\0\0\0\2"]]


@rfc("2181", "5", "D-CODEC-RRSET")
def test_a_record_is_in_its_set_once_and_the_least_ttl_counts():
    parsed = Message.parse(message(RECORD + RECORD[:9] + b"\x0a" + RECORD[10:], counts=(2, 0, 0)))
    (rrset,) = parsed.answer
    assert rrset.raws == [b"\xc0\0\2\1"]
    assert rrset.ttl == 0x010A


@rfc("2181", "8", "D-CODEC-TTL")
@pytest.mark.parametrize(("ttl", "taken"), [(0x7FFFFFFF, 0x7FFFFFFF), (0x80000000, 0), (0xFFFFFFFF, 0)])
def test_a_ttl_with_the_first_bit_set_is_zero(ttl, taken):
    record = b"\xc0\x0c\0\1\0\1" + ttl.to_bytes(4, "big") + RECORD[10:]
    assert Message.parse(message(record, counts=(1, 0, 0))).answer[0].ttl == taken


def test_names_in_data_are_expanded_and_compressed_again():
    reply = Message(question=Question(ZONE, RRType.MX), flags=0x8000)
    reply.answer = [RRset.of(ZONE, 60, [rdata.MX(10, WWW), rdata.MX(20, ZONE)])]
    soa = rdata.SOA(ZONE, WWW, 1, 2, 3, 4, 5)
    reply.authority = [RRset.of(ZONE, 60, [rdata.NS(WWW)]), RRset.of(ZONE, 60, [soa])]
    wire = reply.build()
    assert wire.count(b"\7example") == 1
    back = Message.parse(wire)
    assert back.answer == reply.answer
    assert back.authority == reply.authority
    assert back.authority[0].names == [WWW]
    assert back.authority[1].rdatas == (soa,)


@rfc("4034", "3", "D-CODEC-RRSIG")
def test_signatures_are_a_set_for_each_type_they_cover():
    def signature(covered, ttl):
        made = rdata.RRSIG(covered, 13, 2, ttl, 2, 1, 3, ZONE, b"x")
        return RRset.of(WWW, ttl, [made])

    reply = Message()
    reply.answer = [signature(RRType.A, 300), signature(RRType.AAAA, 60)]
    back = Message.parse(reply.build())
    assert back.answer == reply.answer
    assert [rrset.type_covered for rrset in back.answer] == [RRType.A, RRType.AAAA]
    assert [rrset.ttl for rrset in back.answer] == [300, 60]


class TestEdns:
    def test_options(self):
        options = (
            cookie_option(b"12345678", b"abcdefgh"),
            ede_option(3, "stale"),
            keepalive_option(2_500_000),
            padding_option(5),
            (65001, b"?"),
        )
        reply = Message(rcode=Rcode.BADCOOKIE, edns=Edns(4096, do=True, options=options))
        back = Message.parse(reply.build())
        assert back.rcode == Rcode.BADCOOKIE
        assert back.edns == reply.edns
        assert back.edns.cookie == b"12345678abcdefgh"
        assert back.edns.ede == (Ede(3, "stale"),)
        assert str(back.edns.ede[0]) == "stale answer (stale)"
        assert back.edns.keepalive_us == 2_500_000
        assert back.edns.padding == 5
        assert back.edns.option(65001) == b"?"

    def test_without_options(self):
        edns = Message.parse(Message(edns=Edns()).build()).edns
        assert (edns.cookie, edns.ede, edns.padding, edns.keepalive_us) == (None, (), None, None)

    @rfc("6891", "6.2.3", "D-EDNS-512")
    def test_less_than_512_means_512(self):
        assert Message.parse(message(OPT[:3] + b"\0\1" + OPT[5:], counts=(0, 0, 1))).edns.udp_size == 512

    @rfc("6891", "6.1.3", "D-EDNS-VERSION")
    def test_another_version_is_no_format_error(self):
        parsed = Message.parse(message(OPT[:6] + b"\1\0\0\0\3xyz", counts=(0, 0, 1)))
        assert parsed.edns.version == 1
        assert parsed.edns.options == ()

    def test_a_response_code_of_12_bits_needs_it(self):
        with pytest.raises(ValueError, match="needs EDNS"):
            Message(rcode=Rcode.BADVERS).build()

    @pytest.mark.parametrize("pad", [128, 468])
    @rfc("7830", "3", "D-EDNS-PADDING")
    def test_padding_fills_up_to_a_multiple(self, pad):
        query = Message.query(WWW, RRType.A, id=1, edns=Edns())
        wire = query.build(pad=pad)
        assert len(wire) == pad
        assert Message.parse(wire).question == query.question

    def test_padding_never_passes_the_limit(self):
        reply = Message.query(WWW, RRType.A, id=1, edns=Edns()).reply()
        reply.edns = Edns()
        reply.answer = [addresses(count=28)]
        assert len(reply.build(512, pad=468)) == 512


class TestTruncation:
    def reply(self, answers=(), authorities=(), additionals=()):
        made = Message.query(WWW, RRType.A, id=1, edns=Edns()).reply()
        made.edns = Edns()
        made.answer, made.authority, made.additional = list(answers), list(authorities), list(additionals)
        return made

    @rfc("2181", "9", "D-CODEC-TC")
    def test_sets_that_do_not_fit_are_left_out_whole(self):
        reply = self.reply([addresses(count=3), addresses(ZONE, 40)], [addresses(Name.parse("x"))])
        wire = reply.build(512)
        back = Message.parse(wire)
        assert back.tc
        assert back.answer == [addresses(count=3)]
        assert back.authority == []
        assert back.edns == Edns()
        assert not Message.parse(reply.build(1232)).tc

    def test_exactly_as_long_as_allowed(self):
        reply = self.reply([addresses(count=3)])
        size = len(reply.build())
        assert not Message.parse(reply.build(size)).tc
        assert Message.parse(reply.build(size - 1)).tc

    def test_additional_records_are_left_out_silently(self):
        reply = self.reply([addresses()], additionals=[addresses(ZONE, 40)])
        back = Message.parse(reply.build(512))
        assert not back.tc
        assert back.additional == []

    @rfc("9471", "3.1", "D-CODEC-GLUE")
    @pytest.mark.parametrize(
        ("server", "truncated"), [(Name.parse("ns.example.test"), True), (Name.parse("ns.x"), False)]
    )
    def test_glue_of_a_referral_is_required_within_the_zone(self, server, truncated):
        referral = self.reply(authorities=[RRset.of(ZONE, 60, [rdata.NS(server)])], additionals=[addresses(server, 40)])
        assert Message.parse(referral.build(512)).tc is truncated
        referral.aa = True
        assert not Message.parse(referral.build(512)).tc

    def test_what_cannot_hold_even_the_question(self):
        with pytest.raises(ValueError, match="40 octets do not hold"):
            self.reply().build(40)

    def test_names_far_into_the_message_are_not_pointed_to(self):
        reply = self.reply([RRset.of(WWW, 60, [rdata.TXT((bytes([number]) * 255,)) for number in range(70)])])
        far = Name.parse("far.away")
        reply.additional = [addresses(far, 2), addresses(Name.parse("very.far.away"), 1)]
        wire = reply.build(65535)
        assert len(wire) > 0x4000
        assert Message.parse(wire).additional == reply.additional


def test_values_that_no_field_holds():
    for made in (Message(id=70000), Message(question=Question(WWW, 70000))):
        with pytest.raises(ValueError, match="does not fit"):
            made.build()
    with pytest.raises(ValueError, match="a TTL of"):
        RRset.of(WWW, -1, [rdata.A("192.0.2.1")])
    with pytest.raises(ValueError, match="of 2 types"):
        RRset.of(WWW, 1, [rdata.A("192.0.2.1"), rdata.NS(WWW)])
    reply = Message()
    reply.additional = [RRset(ROOT, RRType.OPT, 1232, 0, [b""])]
    with pytest.raises(ValueError, match="edns"):
        reply.build()
    reply.additional = [RRset(ROOT, RRType.MX, RRClass.IN, 0, [b""])]
    with pytest.raises(ValueError, match="not of its type"):
        reply.build()


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        pytest.param(b"", FormReason.SHORT, id="nothing"),
        pytest.param(header()[:-1], FormReason.SHORT, id="header cut off"),
        pytest.param(header(1), FormReason.COUNTS, id="no question"),
        pytest.param(header(1) + WWW, FormReason.SHORT, id="question cut off"),
        pytest.param(header(1) + WWW[:-4], FormReason.SHORT, id="name of the question cut off"),
        pytest.param(header(2) + (WWW + b"\0\1\0\1") * 2, FormReason.QUESTIONS, id="two questions"),
        pytest.param(header(65535) + WWW, FormReason.COUNTS, id="65535 questions"),
        pytest.param(message(RECORD, counts=(65535, 0, 0)), FormReason.COUNTS, id="65535 answers"),
        pytest.param(message(RECORD, counts=(0, 65535, 0)), FormReason.COUNTS, id="65535 authorities"),
        pytest.param(message(RECORD, counts=(0, 0, 65535)), FormReason.COUNTS, id="65535 additionals"),
        pytest.param(message(RECORD * 3, counts=(4, 0, 0)), FormReason.SHORT, id="one answer too few"),
        pytest.param(message(RECORD[:-1], counts=(1, 0, 0)), FormReason.RDLENGTH, id="rdlength past the end"),
        pytest.param(message(RECORD[:11], counts=(1, 0, 0)), FormReason.SHORT, id="a record cut off"),
        pytest.param(message(RECORD + b"x", counts=(1, 0, 0)), FormReason.TRAILING, id="garbage at the end"),
        pytest.param(message(RECORD), FormReason.TRAILING, id="a record that is not announced"),
        pytest.param(message(OPT * 2, counts=(0, 0, 2)), FormReason.OPT_TWICE, id="two OPT records"),
        pytest.param(message(OPT, counts=(1, 0, 0)), FormReason.OPT_MISPLACED, id="OPT in the answer"),
        pytest.param(message(OPT, counts=(0, 1, 0)), FormReason.OPT_MISPLACED, id="OPT in the authority"),
        pytest.param(message(b"\1a" + OPT, counts=(0, 0, 1)), FormReason.OPT_OWNER, id="OPT with a name"),
        pytest.param(message(OPT[:-1] + b"\3abc", counts=(0, 0, 1)), FormReason.OPTION, id="half an option"),
        pytest.param(message(OPT[:-1] + b"\4\0\1\0\1", counts=(0, 0, 1)), FormReason.OPTION, id="option too long"),
        pytest.param(message(OPT[:-1] + b"\5\0\x0a\0\1x", counts=(0, 0, 1)), FormReason.OPTION, id="cookie of 1"),
        pytest.param(message(OPT[:-1] + b"\5\0\x0f\0\1x", counts=(0, 0, 1)), FormReason.OPTION, id="error of 1"),
        pytest.param(message(OPT[:-1] + b"\5\0\x0b\0\1x", counts=(0, 0, 1)), FormReason.OPTION, id="keepalive of 1"),
        pytest.param(
            message(b"\0\0\xfa\0\xff\0\0\0\0\0\0" + RECORD, counts=(0, 0, 2)), FormReason.TSIG, id="TSIG not the last"
        ),
        pytest.param(
            message(b"\0\0\xfa\0\xff\0\0\0\0\0\0", counts=(1, 0, 0)), FormReason.TSIG, id="TSIG in the answer"
        ),
        pytest.param(
            message(RECORD[:11] + b"\5\0\0\0\0\0", counts=(1, 0, 0)), FormReason.RDATA, id="address of five octets"
        ),
        pytest.param(
            message(b"\xc0\x0c\0\2\0\1\0\0\0\0\0\3\xc0\x0c\0", counts=(1, 0, 0)),
            FormReason.RDATA,
            id="more than a name",
        ),
        pytest.param(
            message(b"\xc0\x0c\0\2\0\1\0\0\0\0\0\1\xc0\x0c", counts=(1, 0, 0)), FormReason.RDATA, id="less than a name"
        ),
        pytest.param(
            message(b"\xc0\x0c\0\x10\0\1\0\0\0\0\0\2\5a", counts=(1, 0, 0)), FormReason.RDATA, id="string too long"
        ),
        pytest.param(message(b"\xc0\x0c\0\x10\0\1\0\0\0\0\0\0", counts=(1, 0, 0)), FormReason.RDATA, id="no string"),
        pytest.param(
            message(b"\xc0\x0c\0\x2f\0\1\0\0\0\0\0\5\xc0\x0c\0\1\1", counts=(1, 0, 0)),
            FormReason.COMPRESSED,
            id="compression in NSEC",
        ),
        pytest.param(message(b"\xc0\x2b" + RECORD[2:], counts=(1, 0, 0)), FormReason.POINTER, id="pointer forward"),
        pytest.param(message(b"\xc0\x22" + RECORD[2:], counts=(1, 0, 0)), FormReason.POINTER, id="pointer to itself"),
        pytest.param(header(1) + b"\1a\xc0\x0c\0\1\0\1", FormReason.POINTER, id="pointer loop"),
        pytest.param(header(1) + b"\x3fa\0\0\1\0\1", FormReason.SHORT, id="label past the end"),
        pytest.param(header(1) + b"\x41a\0\0\1\0\1", FormReason.BAD_LABEL, id="label of type 01"),
        pytest.param(
            header(1) + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", FormReason.NAME_TOO_LONG, id="name of 257 octets"
        ),
    ],
)
def test_refused_with_its_reason(wire, reason):
    assert refusal(wire) is reason


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_octets_in_another_form(kind):
    wire = message(RECORD, counts=(1, 0, 0))
    assert Message.parse(kind(wire)).build() == Message.parse(wire).build()


def test_a_question_is_not_needed():
    assert Message.parse(header() + b"").question is None
