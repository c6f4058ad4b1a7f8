"""Writing a message.

Names are compressed wherever RFC 3597 §4 allows it: in owners, and in the data of the types of RFC 1035.  The table
of suffixes has bytes as keys with their case, so that what was given comes out as it was given.
"""

import struct
from typing import TYPE_CHECKING, Final

from stack.dns.constants import OptionCode, RRClass, RRType
from stack.dns.edns import Edns
from stack.dns.errors import BadName
from stack.dns.names import HEADER, MAX_NAME, Name
from stack.dns.rrset import RRset

if TYPE_CHECKING:
    from stack.dns.message import Message

AA: Final = 0x0400
TC: Final = 0x0200
MAX_POINTER: Final = 0x3FFF  # offsets have 14 bits
OPTION_HEAD: Final = 4

_HEADER: Final = struct.Struct("!6H").pack_into
_TYPE_CLASS: Final = struct.Struct("!HH").pack
_TYPE_CLASS_TTL: Final = struct.Struct("!HHI").pack
# where in the data of a type the names begin that may be compressed, and how many there are
_COMPRESSED: Final = {
    int(RRType.NS): (0, 1),
    int(RRType.CNAME): (0, 1),
    int(RRType.PTR): (0, 1),
    int(RRType.SOA): (0, 2),
    int(RRType.MX): (2, 1),
}
_NOT_IN_SECTIONS: Final = frozenset((int(RRType.OPT), int(RRType.TSIG)))

Table = dict[bytes, bytes]  # suffixes of names, and the pointer to each


def build_message(message: "Message", limit: int, pad: int) -> bytes:
    """The octets of `message`, at most `limit`; see Message.build."""
    try:
        return _build(message, limit, pad)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"message {message.id} has a number that does not fit its field: {error}") from error
    except IndexError as error:
        raise ValueError(f"message {message.id} has an RRset whose octets are not of its type") from error


def _build(message: "Message", limit: int, pad: int) -> bytes:
    rcode, edns, question = message.rcode, message.edns, message.question
    if rcode > 15 and edns is None:
        raise ValueError(f"response code {rcode} needs EDNS: give the message an `edns`")
    opt = b"" if edns is None else edns.build(rcode)
    out = bytearray(HEADER)
    table: Table = {}
    if question is not None:
        out += _compress(question.name, HEADER, table)
        out += _TYPE_CLASS(question.rrtype, question.rrclass)
    space = limit - len(opt)
    if len(out) > space:
        raise ValueError(f"{limit} octets do not hold the question and the OPT record: {len(out) + len(opt)}")
    answers = authorities = additionals = left = 0
    if message.answer:
        answers, left = _write(out, message.answer, table, space)
    if message.authority and not left:
        authorities, left = _write(out, message.authority, table, space)
    if message.additional and not left:
        additionals, left = _write(out, message.additional, table, space)
        # RFC 2181 §9: TC only when something required does not fit
        left = left and _is_glue(message, message.additional[-left:])
    if edns is not None:
        out += _padded(edns, rcode, len(out), pad, limit) if pad > 1 else opt
        additionals += 1
    bits = message.flags | (message.opcode & 15) << 11 | rcode & 15
    if left:
        bits |= TC
    _HEADER(out, 0, message.id, bits, question is not None, answers, authorities, additionals)
    return bytes(out)


def _write(out: bytearray, rrsets: list[RRset], table: Table, space: int) -> tuple[int, int]:
    """Append RRsets while they fit into `space`; how many records were written, and how many RRsets were not."""
    written = 0
    for index, rrset in enumerate(rrsets):
        mark = len(out)
        name, rrtype, raws = rrset.name, rrset.rrtype, rrset.raws
        if rrtype in _NOT_IN_SECTIONS:
            raise ValueError("OPT goes into `edns`, and messages are not signed here (TSIG)")
        owner = table.get(name) or _compress(name, mark, table)
        head = _TYPE_CLASS_TTL(rrtype, rrset.rrclass, rrset.ttl)
        place = _COMPRESSED.get(rrtype) if rrset.rrclass == RRClass.IN else None  # else they are any octets
        size = -1
        for raw in raws:
            if place is not None:
                raw = _compress_data(raw, len(out) + len(owner) + 10, table, place)  # noqa: PLW2901
            if len(raw) != size:
                size = len(raw)
                fixed = owner + head + size.to_bytes(2, "big")
            out += fixed + raw
            if len(owner) > 2:
                owner, size = table.get(name, owner), -1
        if len(out) > space:
            # What the table has of this RRset is wrong now, but nothing is written after it that looks there.
            del out[mark:]
            return written, len(rrsets) - index
        written += len(raws)
    return written, 0


def _compress(name: bytes, at: int, table: Table) -> bytes:
    """`name` as it is to stand at offset `at`: its first labels, and a pointer to where the rest was written before."""
    size = len(name)
    if size > MAX_NAME:
        raise BadName(f"{Name(name[:MAX_NAME])!r}... has {size} octets, at most {MAX_NAME}")
    cut = 0
    while cut < size - 1:
        rest = name[cut:]
        if (pointer := table.get(rest)) is not None:
            return name[:cut] + pointer
        if at + cut <= MAX_POINTER:
            table[rest] = (0xC000 | at + cut).to_bytes(2, "big")
        cut += name[cut] + 1
    return name


def _compress_data(raw: bytes, at: int, table: Table, place: tuple[int, int]) -> bytes:
    """The data of a record of RFC 1035, which begin at `at`, with their names compressed."""
    cut, names = place
    if not cut and names == 1:
        return table.get(raw) or _compress(raw, at, table)
    out = raw[:cut]
    for _ in range(names):
        end = cut
        while raw[end]:
            end += raw[end] + 1
        out += _compress(raw[cut : end + 1], at + len(out), table)
        cut = end + 1
    return out + raw[cut:]


def _is_glue(message: "Message", left_out: list[RRset]) -> bool:
    """A referral lacks addresses that cannot be had otherwise: of servers within the zone (RFC 9471 §3.1)."""
    if message.answer or message.flags & AA:
        return False
    needed = {
        name.key
        for rrset in message.authority
        if rrset.rrtype == RRType.NS
        for name in rrset.names
        if name.is_within(rrset.name)
    }
    return any(rrset.name.key in needed for rrset in left_out)


def _padded(edns: Edns, rcode: int, written: int, pad: int, limit: int) -> bytes:
    """The OPT record with as much padding as makes the message a multiple of `pad` octets, or of `limit` in all."""
    size = written + len(edns.build(rcode)) + OPTION_HEAD
    fill = min(-size % pad, limit - size)
    if fill < 0:
        return edns.build(rcode)
    options = (*edns.options, (OptionCode.PADDING, bytes(fill)))
    return Edns(edns.udp_size, do=edns.do, version=edns.version, options=options).build(rcode)
