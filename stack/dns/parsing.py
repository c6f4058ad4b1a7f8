"""Reading a message.

One walk over the records.  The usual ones (A, AAAA, and those whose data are one name) are checked in the loop itself
and kept as octets; the data of all other known types are decoded once to see that they are right, and kept as octets,
too.  So what has been parsed can be decoded without errors, and nothing is decoded that nobody asks for.

What bounds the cost: counts are compared with the length first, names are expanded once per offset (stack.dns.names),
and whatever does not fit ends the walk with a FormError (or, where the message ends, IndexError or struct.error).
"""

import struct
from typing import Final

from stack.dns.constants import RRClass, RRType
from stack.dns.edns import Edns
from stack.dns.errors import FormError, FormReason
from stack.dns.names import HEADER, ROOT, Name, read_name
from stack.dns.rdata import normalize
from stack.dns.rrset import Question, RRset

MIN_QUESTION: Final = 5  # octets: the root's name, type and class
MIN_RECORD: Final = 11

_OPT: Final = int(RRType.OPT)
_TSIG: Final = int(RRType.TSIG)
_IN: Final = int(RRClass.IN)
_SIGNATURES: Final = frozenset((int(RRType.RRSIG), int(RRType.SIG)))
_ONE_NAME: Final = frozenset((int(RRType.NS), int(RRType.CNAME), int(RRType.PTR), int(RRType.DNAME)))
_ADDRESSES: Final = {int(RRType.A): 4, int(RRType.AAAA): 16}  # octets
_FIXED: Final = struct.Struct("!HHIH").unpack_from
_TYPE_CLASS: Final = struct.Struct("!HH").unpack_from


def read_question(wire: bytes, count: int, memo: dict[int, Name]) -> tuple[Question | None, int]:
    """The question, and the offset after it."""
    if not count:
        return None, HEADER
    if count > 1:
        # RFC 9619 §4: a message with more than one is to be refused
        raise FormError(FormReason.QUESTIONS, str(count))
    name, at = read_name(wire, HEADER, memo)
    rrtype, rrclass = _TYPE_CLASS(wire, at)
    return Question(name, rrtype, rrclass), at + 4


class Opt:
    """The OPT record that a message was found to have, and the upper bits of the response code in it."""

    __slots__ = ("edns", "rcode")

    def __init__(self) -> None:
        self.edns: Edns | None = None
        self.rcode = 0


def _take_opt(opt: Opt | None, name: Name, rrclass: int, ttl: int, raw: bytes) -> None:
    if opt is None:
        raise FormError(FormReason.OPT_MISPLACED)
    if opt.edns is not None:
        raise FormError(FormReason.OPT_TWICE)
    if len(name) > 1:
        raise FormError(FormReason.OPT_OWNER, str(name))
    opt.edns = Edns.from_record(rrclass, ttl, raw)
    opt.rcode = ttl >> 24 << 4


def read_records(wire: bytes, at: int, count: int, memo: dict[int, Name], opt: Opt | None) -> tuple[list[RRset], int]:
    """`count` records as RRsets, and the offset after them.  `opt` takes the OPT record; None: there may be none."""
    found: list[RRset] = []
    index: dict[bytes, RRset] = {}
    size, several = len(wire), False
    last_name, last_type, last_class = ROOT, -1, -1
    rrset: RRset | None = None
    for left in range(count, 0, -1):
        length = wire[at]
        name = memo.get((length & 0x3F) << 8 | wire[at + 1]) if length >= 0xC0 else None
        if name is None:
            name, at = read_name(wire, at, memo)
        else:
            at += 2
        rrtype, rrclass, ttl, rdlength = _FIXED(wire, at)
        head = at
        at += 10
        end = at + rdlength
        if end > size:
            raise FormError(FormReason.RDLENGTH, f"{rdlength} at {at}, of {size}")
        if rrclass == _IN and rrtype in _ADDRESSES:
            raw = wire[at:end]
            if rdlength != _ADDRESSES[rrtype]:
                raise FormError(FormReason.RDATA, f"an address of {rdlength} octets")
        elif rrclass == _IN and rrtype in _ONE_NAME:
            raw, at = read_name(wire, at, memo)
            if at != end:
                raise FormError(FormReason.RDATA, f"a name of {at - head - 10} octets in {rdlength}")
        elif rrtype == _OPT:
            _take_opt(opt, name, rrclass, ttl, wire[at:end])
            at = end
            continue
        else:
            if rrtype == _TSIG and (left > 1 or opt is None):
                raise FormError(FormReason.TSIG)
            raw = normalize(rrtype, rrclass, wire, at, end, memo)
        at = end
        if ttl > 0x7FFF_FFFF:
            ttl = 0  # RFC 2181 §8: the most significant bit set means 0
        if name is not last_name or rrtype != last_type or rrclass != last_class or rrset is None:
            key = name.lower() + wire[head : head + 4]
            if rrtype in _SIGNATURES:
                # RFC 4034 §3: their TTL is that of the records signed, so each type's are a set of their own
                key += raw[:2]
                last_type = -1
            else:
                last_name, last_type, last_class = name, rrtype, rrclass
            rrset = index.get(key)
            if rrset is None:
                rrset = index[key] = RRset(name, rrtype, rrclass, ttl, [raw])
                found.append(rrset)
                continue
        rrset.raws.append(raw)
        several = True
        if ttl < rrset.ttl:
            rrset.ttl = ttl  # RFC 2181 §5.2: different TTLs are an error; the least is safe
    if several:
        _once(found)
    return found, at


def _once(rrsets: list[RRset]) -> None:
    """RFC 2181 §5: a record is in its set once."""
    for rrset in rrsets:
        if len(set(rrset.raws)) != len(rrset.raws):
            rrset.raws = list(dict.fromkeys(rrset.raws))
