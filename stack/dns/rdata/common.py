"""Types of records that every zone has, and some that few have (RFC 1035, and those named)."""

from dataclasses import dataclass
from typing import Final, Self

from stack.dns.constants import RRType
from stack.dns.errors import FormError, FormReason
from stack.dns.names import Name
from stack.dns.rdata.base import Rdata
from stack.dns.rdata.kinds import (
    IPV4,
    IPV6,
    NAME,
    PLAIN_NAME,
    QUOTED,
    QUOTED_SOMETHING,
    SECONDS,
    STRING,
    STRINGS,
    TAG,
    U8,
    U16,
    U32,
    Groups,
)
from stack.dns.rdata.text import format_ipv4

_IPV4_SIZE: Final = 4


@dataclass(frozen=True, slots=True)
class A(Rdata):
    """An IPv4 address."""

    rrtype = RRType.A
    layout = (IPV4,)
    address: str

    @classmethod
    def from_wire(cls, raw: bytes) -> Self:
        """As of all types, but straight: these are nearly all that is ever decoded.  Raises FormError."""
        if len(raw) != _IPV4_SIZE:
            raise FormError(FormReason.RDATA, f"an address of {len(raw)} octets")
        return cls(format_ipv4(raw))


@dataclass(frozen=True, slots=True)
class AAAA(Rdata):
    """An IPv6 address (RFC 3596)."""

    rrtype = RRType.AAAA
    layout = (IPV6,)
    address: str


@dataclass(frozen=True, slots=True)
class NS(Rdata):
    """A server of the zone."""

    rrtype = RRType.NS
    layout = (NAME,)
    target: Name


@dataclass(frozen=True, slots=True)
class CNAME(Rdata):
    """The name that this is an alias of."""

    rrtype = RRType.CNAME
    layout = (NAME,)
    target: Name


@dataclass(frozen=True, slots=True)
class PTR(Rdata):
    """Another name, as that of the host with an address."""

    rrtype = RRType.PTR
    layout = (NAME,)
    target: Name


@dataclass(frozen=True, slots=True)
class DNAME(Rdata):
    """What names below this one are to end with instead (RFC 6672)."""

    rrtype = RRType.DNAME
    layout = (NAME,)
    target: Name


@dataclass(frozen=True, slots=True)
class SOA(Rdata):
    """The zone: its first server, who is responsible, its serial number, seconds for its copies and for caches."""

    rrtype = RRType.SOA
    layout = (NAME, NAME, U32, SECONDS, SECONDS, SECONDS, SECONDS)
    mname: Name
    rname: Name
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


@dataclass(frozen=True, slots=True)
class MX(Rdata):
    """A host that takes mail; the lowest preference comes first."""

    rrtype = RRType.MX
    layout = (U16, NAME)
    preference: int
    exchange: Name


@dataclass(frozen=True, slots=True)
class TXT(Rdata):
    """Texts."""

    rrtype = RRType.TXT
    layout = (STRINGS,)
    strings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SPF(Rdata):
    """Texts, once used for mail (RFC 7208 §3.1)."""

    rrtype = RRType.SPF
    layout = (STRINGS,)
    strings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HINFO(Rdata):
    """Processor and operating system; also the answer to ANY (RFC 8482 §4.2)."""

    rrtype = RRType.HINFO
    layout = (STRING, STRING)
    cpu: bytes
    os: bytes


@dataclass(frozen=True, slots=True)
class SRV(Rdata):
    """A host and port of a service (RFC 2782)."""

    rrtype = RRType.SRV
    layout = (U16, U16, U16, NAME)
    priority: int
    weight: int
    port: int
    target: Name


@dataclass(frozen=True, slots=True)
class NAPTR(Rdata):
    """A rule that rewrites a name (RFC 3403 §4.1)."""

    rrtype = RRType.NAPTR
    layout = (U16, U16, STRING, STRING, STRING, NAME)
    order: int
    preference: int
    flags: bytes
    service: bytes
    regexp: bytes
    replacement: Name


@dataclass(frozen=True, slots=True)
class CAA(Rdata):
    """Who may issue certificates (RFC 8659)."""

    rrtype = RRType.CAA
    layout = (U8, TAG, QUOTED)
    flags: int
    tag: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class URI(Rdata):
    """A URI of a service (RFC 7553)."""

    rrtype = RRType.URI
    layout = (U16, U16, QUOTED_SOMETHING)
    priority: int
    weight: int
    target: bytes


@dataclass(frozen=True, slots=True)
class RP(Rdata):
    """Who is responsible: mailbox, and where texts about them are (RFC 1183 §2.2)."""

    rrtype = RRType.RP
    layout = (NAME, NAME)
    mbox: Name
    txt: Name


@dataclass(frozen=True, slots=True)
class AFSDB(Rdata):
    """A server of a cell of AFS (RFC 1183 §1)."""

    rrtype = RRType.AFSDB
    layout = (U16, NAME)
    subtype: int
    hostname: Name


@dataclass(frozen=True, slots=True)
class KX(Rdata):
    """A host that exchanges keys (RFC 2230)."""

    rrtype = RRType.KX
    layout = (U16, PLAIN_NAME)
    preference: int
    exchanger: Name


@dataclass(frozen=True, slots=True)
class EUI48(Rdata):
    """A link address of 48 bits (RFC 7043)."""

    rrtype = RRType.EUI48
    layout = (Groups(6, "-", 2),)
    address: int


@dataclass(frozen=True, slots=True)
class EUI64(Rdata):
    """A link address of 64 bits (RFC 7043)."""

    rrtype = RRType.EUI64
    layout = (Groups(8, "-", 2),)
    address: int


@dataclass(frozen=True, slots=True)
class NID(Rdata):
    """A node identifier (RFC 6742 §2.1)."""

    rrtype = RRType.NID
    layout = (U16, Groups(8, ":", 4))
    preference: int
    node_id: int


@dataclass(frozen=True, slots=True)
class L32(Rdata):
    """A locator of 32 bits, written as an IPv4 address (RFC 6742 §2.2)."""

    rrtype = RRType.L32
    layout = (U16, IPV4)
    preference: int
    locator: str


@dataclass(frozen=True, slots=True)
class L64(Rdata):
    """A locator of 64 bits (RFC 6742 §2.3)."""

    rrtype = RRType.L64
    layout = (U16, Groups(8, ":", 4))
    preference: int
    locator: int


@dataclass(frozen=True, slots=True)
class LP(Rdata):
    """A name that has locators (RFC 6742 §2.4)."""

    rrtype = RRType.LP
    layout = (U16, PLAIN_NAME)
    preference: int
    target: Name
