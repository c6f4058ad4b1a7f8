"""Numbers of the DNS with names: types, classes, operation and response codes, options (IANA "DNS Parameters").

What comes from the wire stays an int; members of these enumerations are ints too, so both compare equal.  The text
of a number that has no name here is that of RFC 3597 §5: TYPE65280, CLASS7.
"""

import errno
from enum import IntEnum, unique
from typing import Final

from stack.errors import StackError

PORT: Final = 53
MAX_MESSAGE: Final = 65_535  # the length that precedes a message on TCP has 16 bits (RFC 1035 §4.2.2)
UDP_SIZE: Final = 1232  # what passes everywhere without fragments: 1280 less the headers of IPv6 and UDP
MIN_UDP_SIZE: Final = 512  # RFC 1035 §4.2.1, and the least an OPT record can mean (RFC 6891 §6.2.3)


class BadType(StackError, ValueError):
    """No type or class, or none that can be asked for; the message says how to write one (EINVAL)."""

    code = errno.EINVAL


@unique
class RRType(IntEnum):
    """Types of records, and of questions."""

    A = 1
    NS = 2
    MD = 3
    MF = 4
    CNAME = 5
    SOA = 6
    MB = 7
    MG = 8
    MR = 9
    NULL = 10
    WKS = 11
    PTR = 12
    HINFO = 13
    MINFO = 14
    MX = 15
    TXT = 16
    RP = 17
    AFSDB = 18
    X25 = 19
    ISDN = 20
    RT = 21
    NSAP = 22
    NSAP_PTR = 23
    SIG = 24
    KEY = 25
    PX = 26
    GPOS = 27
    AAAA = 28
    LOC = 29
    NXT = 30
    SRV = 33
    NAPTR = 35
    KX = 36
    CERT = 37
    A6 = 38
    DNAME = 39
    OPT = 41
    APL = 42
    DS = 43
    SSHFP = 44
    IPSECKEY = 45
    RRSIG = 46
    NSEC = 47
    DNSKEY = 48
    DHCID = 49
    NSEC3 = 50
    NSEC3PARAM = 51
    TLSA = 52
    SMIMEA = 53
    HIP = 55
    NINFO = 56
    CDS = 59
    CDNSKEY = 60
    OPENPGPKEY = 61
    CSYNC = 62
    ZONEMD = 63
    SVCB = 64
    HTTPS = 65
    DSYNC = 66
    HHIT = 67
    BRID = 68
    SPF = 99
    UNSPEC = 103
    NID = 104
    L32 = 105
    L64 = 106
    LP = 107
    EUI48 = 108
    EUI64 = 109
    NXNAME = 128
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255
    URI = 256
    CAA = 257
    AVC = 258
    AMTRELAY = 260
    RESINFO = 261
    WALLET = 262
    TA = 32768
    DLV = 32769


@unique
class RRClass(IntEnum):
    """Classes of records."""

    IN = 1
    CH = 3
    HS = 4
    NONE = 254
    ANY = 255


@unique
class Opcode(IntEnum):
    """What a message wants."""

    QUERY = 0
    IQUERY = 1
    STATUS = 2
    NOTIFY = 4
    UPDATE = 5
    DSO = 6


@unique
class Rcode(IntEnum):
    """What came of it; those over 15 need EDNS (RFC 6891 §6.1.3)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    YXRRSET = 7
    NXRRSET = 8
    NOTAUTH = 9
    NOTZONE = 10
    DSOTYPENI = 11
    BADVERS = 16
    BADKEY = 17
    BADTIME = 18
    BADMODE = 19
    BADNAME = 20
    BADALG = 21
    BADTRUNC = 22
    BADCOOKIE = 23


@unique
class OptionCode(IntEnum):
    """Options of an OPT record (RFC 6891 §6.1.2)."""

    NSID = 3
    CLIENT_SUBNET = 8
    EXPIRE = 9
    COOKIE = 10
    TCP_KEEPALIVE = 11
    PADDING = 12
    EDE = 15


@unique
class EdeCode(IntEnum):
    """Extended DNS errors (RFC 8914 §4, and those registered since)."""

    OTHER = 0
    UNSUPPORTED_DNSKEY_ALGORITHM = 1
    UNSUPPORTED_DS_DIGEST_TYPE = 2
    STALE_ANSWER = 3
    FORGED_ANSWER = 4
    DNSSEC_INDETERMINATE = 5
    DNSSEC_BOGUS = 6
    SIGNATURE_EXPIRED = 7
    SIGNATURE_NOT_YET_VALID = 8
    DNSKEY_MISSING = 9
    RRSIGS_MISSING = 10
    NO_ZONE_KEY_BIT_SET = 11
    NSEC_MISSING = 12
    CACHED_ERROR = 13
    NOT_READY = 14
    BLOCKED = 15
    CENSORED = 16
    FILTERED = 17
    PROHIBITED = 18
    STALE_NXDOMAIN_ANSWER = 19
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22
    NETWORK_ERROR = 23
    INVALID_DATA = 24
    SIGNATURE_EXPIRED_BEFORE_VALID = 25
    TOO_EARLY = 26
    UNSUPPORTED_NSEC3_ITERATIONS = 27
    UNABLE_TO_CONFORM_TO_POLICY = 28
    SYNTHESIZED = 29


_TYPE_TEXT: Final = {int(number): number.name.replace("_", "-") for number in RRType}
_CLASS_TEXT: Final = {int(number): number.name for number in RRClass}
_RCODE_TEXT: Final = {int(number): number.name for number in Rcode}
_OPCODE_TEXT: Final = {int(number): number.name for number in Opcode}
_EDE_TEXT: Final = {int(number): number.name.replace("_", " ").lower() for number in EdeCode}
_TYPE_NUMBER: Final = {text: number for number, text in _TYPE_TEXT.items()}
_CLASS_NUMBER: Final = {text: number for number, text in _CLASS_TEXT.items()}


def type_text(rrtype: int) -> str:
    """Like "AAAA" or "TYPE65280"."""
    return _TYPE_TEXT.get(rrtype) or f"TYPE{rrtype}"


def class_text(rrclass: int) -> str:
    """Like "IN" or "CLASS7"."""
    return _CLASS_TEXT.get(rrclass) or f"CLASS{rrclass}"


def rcode_text(rcode: int) -> str:
    """Like "NXDOMAIN" or "RCODE19"."""
    return _RCODE_TEXT.get(rcode) or f"RCODE{rcode}"


def opcode_text(opcode: int) -> str:
    """Like "QUERY" or "OPCODE15"."""
    return _OPCODE_TEXT.get(opcode) or f"OPCODE{opcode}"


def ede_text(code: int) -> str:
    """Like "stale answer" or "EDE4711"."""
    return _EDE_TEXT.get(code) or f"EDE{code}"


def parse_type(text: str) -> int:
    """The number of "aaaa", "AAAA" or "TYPE28".  Raises BadType."""
    return _number(text, _TYPE_NUMBER, "TYPE", "a type of record: write it like AAAA, or like TYPE65280")


def parse_class(text: str) -> int:
    """The number of "IN", "ch" or "CLASS7".  Raises BadType."""
    return _number(text, _CLASS_NUMBER, "CLASS", "a class: write IN, CH or HS, or a number like CLASS7")


def _number(text: str, known: dict[str, int], prefix: str, what: str) -> int:
    upper = text.upper()
    if (number := known.get(upper)) is not None:
        return number
    digits = upper.removeprefix(prefix)
    # RFC 3597 §5: the word, immediately followed by a decimal number
    if digits != upper and digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 0xFFFF:
        return int(digits)
    raise BadType(f"{text!r} is not {what}")
