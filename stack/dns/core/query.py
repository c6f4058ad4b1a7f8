"""Queries and the first look at replies: bytes only, no state.

A query is a header, one question and one OPT record: built here from its bytes, with the case of the letters in its
name changed at random (draft-vixie-dnsext-dns0x20).  A reply is looked at in the same way: what is not a reply to just
this question is told apart before anything is parsed.
"""

from struct import Struct
from typing import Final

from stack.dns.core.stats import Refused

HEADER_LEN: Final = 12
QDCOUNT: Final = 5  # offset of its low octet; the high one is 0 in all that `refuse` lets pass
ID_BITS: Final = 16

FLAG_QR: Final = 0x8000
FLAG_TC: Final = 0x0200
FLAG_RD: Final = 0x0100
OPCODE: Final = 0x7800
RCODE: Final = 0x000F

FORMERR: Final = 1
_NO_QUESTION: Final = (FORMERR, 4)  # FORMERR and NOTIMP may come from a server that did not read as far as the question

_HEADER: Final = Struct("!HHHHHH")
_TYPE_CLASS: Final = Struct("!HH")
_OPT: Final = Struct("!BHHIH")  # root, type 41, size, extended rcode and flags (DO clear: RFC 3225 §3), length
_OPTION: Final = Struct("!HH")

_OPT_TYPE: Final = 41
_OPT_LENGTH: Final = 9  # where the length of its options stands, which is the last of what is fixed
_COOKIE: Final = 10
_ASK_TO_KEEP: Final = _OPTION.pack(11, 0)  # RFC 7828 §3.2.1: edns-tcp-keepalive, in a query without a time
_CLASS_IN: Final = 1
# 0x20 where a byte is a letter; the lengths within a name are below all letters
_CASE_BITS: Final = bytes(0x20 if 65 <= byte <= 90 or 97 <= byte <= 122 else 0 for byte in range(256))


def change_case(name: bytes, bits: int) -> bytes:
    """The name with the case of each letter flipped where `bits`, read as bytes, has a 0x20."""
    flips = int.from_bytes(name.translate(_CASE_BITS), "big") & bits
    return (int.from_bytes(name, "big") ^ flips).to_bytes(len(name), "big")


def build_question(name: bytes, rrtype: int) -> bytes:
    """As it stands in the message, and has to come back."""
    return name + _TYPE_CLASS.pack(rrtype, _CLASS_IN)


def build_opt(udp_size: int, cookie: bytes) -> bytes:
    """The OPT record of a query; `cookie` may be empty."""
    if not cookie:
        return _OPT.pack(0, _OPT_TYPE, udp_size, 0, 0)
    opt = _OPT.pack(0, _OPT_TYPE, udp_size, 0, 4 + len(cookie))
    return opt + _OPTION.pack(_COOKIE, len(cookie)) + cookie


def with_keepalive(opt: bytes) -> bytes:
    """The OPT record of a query by TCP, which asks for how long the connection may be idle."""
    fixed, options = opt[:_OPT_LENGTH], opt[_OPT_LENGTH + 2 :] + _ASK_TO_KEEP
    return fixed + len(options).to_bytes(2, "big") + options


def build_query(message_id: int, question: bytes, opt: bytes, *, recursion: bool) -> bytes:
    """The whole message; with an empty `opt` it is one without EDNS."""
    return _HEADER.pack(message_id, FLAG_RD if recursion else 0, 1, 0, 0, 1 if opt else 0) + question + opt


def refuse(wire: bytes, message_id: int, question: bytes, *, check_question: bool) -> Refused | None:
    """Why these bytes are no reply to a question sent under this id; None when they are.  RFC 5452 §9.1."""
    if len(wire) < HEADER_LEN:
        return Refused.TOO_SHORT
    got_id, flags, questions, _, _, _ = _HEADER.unpack_from(wire)
    if got_id != message_id:
        return Refused.WRONG_ID
    if not flags & FLAG_QR or flags & OPCODE:
        return Refused.NOT_A_REPLY
    if questions == 1:
        echo = wire[HEADER_LEN : HEADER_LEN + len(question)]
        if echo == question or not check_question:
            return None
        if echo[:-4].lower() == question[:-4].lower() and echo[-4:] == question[-4:]:
            return Refused.WRONG_CASE
    elif not questions and flags & RCODE in _NO_QUESTION:
        return None
    return Refused.WRONG_QUESTION


def is_truncated(wire: bytes) -> bool:
    """TC of a reply; what follows it is of no interest then."""
    return bool(wire[2] & (FLAG_TC >> 8))
