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
    size, left, several = len(wire), count, False
    last_name, last_type, last_class = ROOT, -1, -1
    rrset: RRset | None = None
    while left:
        left -= 1
        start, length = at, wire[at]
        name = memo.get((length & 0x3F) << 8 | wire[at + 1]) if length >= 0xC0 else None
        if name is not None:
            at += 2
        else:
            name, at = read_name(wire, at, memo) if length else (ROOT, at + 1)
        rrtype, rrclass, ttl, rdlength = _FIXED(wire, at)
        data = at + 10
        end = data + rdlength
        if end > size:
            raise FormError(FormReason.RDLENGTH, f"{rdlength} at {data}, of {size}")
        if rrclass == _IN and rrtype in _ADDRESSES:
            raws = [wire[data:end]]
            if rdlength != _ADDRESSES[rrtype]:
                raise FormError(FormReason.RDATA, f"an address of {rdlength} octets")
            if left and opt is None and wire.startswith(wire[start:data], end):
                end, left = _more(wire, wire[start:data], rdlength, end, left, raws)
                several = True
        elif rrclass == _IN and rrtype in _ONE_NAME:
            target, after = read_name(wire, data, memo)
            if after != end:
                raise FormError(FormReason.RDATA, f"a name of {after - data} octets in {rdlength}")
            raws = [target]
        elif rrtype == _OPT:
            _take_opt(opt, name, rrclass, ttl, wire[data:end])
            at = end
            continue
        else:
            if rrtype == _TSIG and (left or opt is None):
                raise FormError(FormReason.TSIG)
            raws = [normalize(rrtype, rrclass, wire, data, end, memo)]
        ttl = 0 if ttl > 0x7FFF_FFFF else ttl  # RFC 2181 §8: the most significant bit set means 0
        if rrset is None or name is not last_name or rrtype != last_type or rrclass != last_class:
            key = name.lower() + wire[at : at + 4]
            last_name, last_type, last_class = name, rrtype, rrclass
            if rrtype in _SIGNATURES:
                # RFC 4034 §3: their TTL is that of the records signed, so each type's are a set of their own
                key += raws[0][:2]
                last_type = -1
            rrset = index.get(key)
        at = end
        if rrset is None:
            rrset = index[key] = RRset(name, rrtype, rrclass, ttl, raws)
            found.append(rrset)
            continue
        rrset.raws += raws
        several = True
        rrset.ttl = ttl if ttl < rrset.ttl else rrset.ttl  # RFC 2181 §5.2: they should be equal; the least is safe
    if several:
        _once(found)
    return found, at


def _more(wire: bytes, head: bytes, size: int, at: int, left: int, raws: list[bytes]) -> tuple[int, int]:
    """Add the data of records that begin with the same octets: of one name, type, class, TTL and `size`."""
    step = len(head) + size
    while left and wire.startswith(head, at):
        at += step
        raws.append(wire[at - size : at])
        left -= 1
    if at > len(wire):
        raise FormError(FormReason.RDLENGTH, f"{size} at {at - size}, of {len(wire)}")
    return at, left


def _once(rrsets: list[RRset]) -> None:
    """RFC 2181 §5: a record is in its set once."""
    for rrset in rrsets:
        if len(set(rrset.raws)) != len(rrset.raws):
            rrset.raws = list(dict.fromkeys(rrset.raws))
