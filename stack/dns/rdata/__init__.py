r"""The data of records, a class for each type.

    decode(RRType.MX, b"\0\n\4mail\0")            MX(preference=10, exchange=Name('mail.'))
    parse(RRType.MX, "10 mail.example.test.")

Types without a class, and those of class IN (as A) in another one, are `Unknown`: octets.
"""

from typing import Final

from stack.dns.constants import RRClass, type_text
from stack.dns.errors import BadRdata, FormError
from stack.dns.names import Name
from stack.dns.rdata.base import Rdata, Unknown
from stack.dns.rdata.common import (
    AAAA,
    AFSDB,
    CAA,
    CNAME,
    DNAME,
    EUI48,
    EUI64,
    HINFO,
    KX,
    L32,
    L64,
    LP,
    MX,
    NAPTR,
    NID,
    NS,
    PTR,
    RP,
    SOA,
    SPF,
    SRV,
    TXT,
    URI,
    A,
)
from stack.dns.rdata.dnssec import (
    CDNSKEY,
    CDS,
    CERT,
    CSYNC,
    DHCID,
    DNSKEY,
    DS,
    NSEC,
    NSEC3,
    NSEC3PARAM,
    OPENPGPKEY,
    RRSIG,
    SMIMEA,
    SSHFP,
    TLSA,
    ZONEMD,
)
from stack.dns.rdata.kinds import NAME
from stack.dns.rdata.svcb import HTTPS, SVCB
from stack.dns.rdata.text import Token, Tokens, tokenize

__all__ = [
    "AAAA",
    "AFSDB",
    "CAA",
    "CDNSKEY",
    "CDS",
    "CERT",
    "CLASSES",
    "CNAME",
    "CSYNC",
    "DHCID",
    "DNAME",
    "DNSKEY",
    "DS",
    "EUI48",
    "EUI64",
    "HINFO",
    "HTTPS",
    "KX",
    "L32",
    "L64",
    "LP",
    "MX",
    "NAPTR",
    "NID",
    "NS",
    "NSEC",
    "NSEC3",
    "NSEC3PARAM",
    "OPENPGPKEY",
    "PTR",
    "RP",
    "RRSIG",
    "SMIMEA",
    "SOA",
    "SPF",
    "SRV",
    "SSHFP",
    "SVCB",
    "TLSA",
    "TXT",
    "URI",
    "ZONEMD",
    "A",
    "Rdata",
    "Unknown",
    "class_for",
    "decode",
    "normalize",
    "parse",
]

_ALL: Final[tuple[type[Rdata], ...]] = (
    A, AAAA, AFSDB, CAA, CDNSKEY, CDS, CERT, CNAME, CSYNC, DHCID, DNAME, DNSKEY, DS, EUI48, EUI64, HINFO, HTTPS, KX,
    L32, L64, LP, MX, NAPTR, NID, NS, NSEC, NSEC3, NSEC3PARAM, OPENPGPKEY, PTR, RP, RRSIG, SMIMEA, SOA, SPF, SRV, SSHFP,
    SVCB, TLSA, TXT, URI, ZONEMD,
)  # fmt: skip
CLASSES: Final[dict[int, type[Rdata]]] = {int(cls.rrtype): cls for cls in _ALL}
_COMPRESSED: Final = frozenset(cls.rrtype for cls in _ALL if NAME in cls.layout)
# These are defined for class IN alone; all others mean the same in every class.
_IN: Final = int(RRClass.IN)  # a plain int is compared in a fraction of the time
_ONLY_IN: Final = frozenset(cls.rrtype for cls in (A, AAAA, DHCID, HTTPS, KX, L32, L64, LP, NAPTR, NID, SRV, SVCB))


def class_for(rrtype: int, rrclass: int = _IN) -> type[Rdata] | None:
    """The class that decodes such records, None if they are `Unknown`."""
    return None if rrclass != _IN and rrtype in _ONLY_IN else CLASSES.get(rrtype)


def decode(rrtype: int, raw: bytes, rrclass: int = RRClass.IN) -> Rdata:
    """Data in wire form, uncompressed, as the object of its type.  Raises FormError."""
    cls = class_for(rrtype, rrclass)
    if cls is None or (not raw and rrclass == RRClass.ANY):  # RFC 2136 §2.4, §2.5: no data, for what is to be deleted
        return Unknown(int(rrtype), bytes(raw))
    return cls.from_wire(raw)


def normalize(rrtype: int, rrclass: int, wire: bytes, at: int, end: int, memo: dict[int, Name]) -> bytes:
    """wire[at:end] of a message as uncompressed data, found to be right for its type.  Raises FormError, IndexError."""
    cls = class_for(rrtype, rrclass)
    if cls is None or (at == end and rrclass == RRClass.ANY):
        return wire[at:end]
    rdata = cls.read(wire, at, end, memo)
    return rdata.to_wire() if rrtype in _COMPRESSED else wire[at:end]


def parse(rrtype: int, text: str | list[Token], origin: bytes | None = None, rrclass: int = RRClass.IN) -> Rdata:
    r"""Data as a zone file writes them, also in the form \# LENGTH HEX of RFC 3597 §5.  Raises BadRdata.

    `origin`: what names without a final dot are relative to; without it all names are absolute.
    """
    cls = class_for(rrtype, rrclass)
    if isinstance(text, str):
        try:
            text = tokenize(text)
        except ValueError as error:
            raise BadRdata(f"{type_text(rrtype)}: {error}") from error
    tokens = Tokens(text, origin)
    if text and text[0] == Token("\\#"):
        tokens.next()
        unknown = Unknown.parse_as(int(rrtype), tokens)
        try:
            return unknown if cls is None else cls.from_wire(unknown.data)
        except FormError as error:
            raise BadRdata(f"{type_text(rrtype)}: {error}") from error
    if cls is None:
        raise BadRdata(rf"data of {type_text(rrtype)} are only known in the form \# LENGTH HEX (RFC 3597)")
    return cls.parse(tokens)
