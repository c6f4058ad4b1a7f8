"""Records of keys, signatures and fingerprints: DNSSEC (RFC 4034, 5155), DANE (RFC 6698) and their kin."""

from dataclasses import dataclass
from typing import Final

from stack.dns.constants import RRType
from stack.dns.names import Name
from stack.dns.rdata.base import Rdata
from stack.dns.rdata.kinds import (
    BASE64,
    BASE64_OR_NOTHING,
    BITMAP,
    HASH,
    HEX,
    PLAIN_NAME,
    SALT,
    TIME,
    TYPE,
    U8,
    U16,
    U32,
    Mnemonic,
)

_ALGORITHM: Final = Mnemonic(
    1,
    {
        "RSAMD5": 1,
        "DH": 2,
        "DSA": 3,
        "ECC": 4,
        "RSASHA1": 5,
        "DSA-NSEC3-SHA1": 6,
        "DSANSEC3SHA1": 6,
        "NSEC3DSA": 6,
        "NSEC3RSASHA1": 7,
        "RSASHA1-NSEC3-SHA1": 7,
        "RSASHA1NSEC3SHA1": 7,
        "RSASHA256": 8,
        "RSASHA512": 10,
        "ECCGOST": 12,
        "ECDSAP256SHA256": 13,
        "ECDSAP384SHA384": 14,
        "ED25519": 15,
        "ED448": 16,
        "MLDSA44": 18,
        "INDIRECT": 252,
        "PRIVATEDNS": 253,
        "PRIVATEOID": 254,
    },
)
_CERTIFICATE: Final = Mnemonic(
    2,
    {
        "PKIX": 1,
        "SPKI": 2,
        "PGP": 3,
        "IPKIX": 4,
        "ISPKI": 5,
        "IPGP": 6,
        "ACPKIX": 7,
        "IACPKIX": 8,
        "URI": 253,
        "OID": 254,
    },
)


@dataclass(frozen=True, slots=True)
class DS(Rdata):
    """The hash of a key of the zone below (RFC 4034 §5)."""

    rrtype = RRType.DS
    layout = (U16, _ALGORITHM, U8, HEX)
    key_tag: int
    algorithm: int
    digest_type: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class CDS(Rdata):
    """The DS record that the zone wants its parent to have (RFC 7344)."""

    rrtype = RRType.CDS
    layout = (U16, _ALGORITHM, U8, HEX)
    key_tag: int
    algorithm: int
    digest_type: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class DNSKEY(Rdata):
    """A key of the zone (RFC 4034 §2)."""

    rrtype = RRType.DNSKEY
    layout = (U16, U8, _ALGORITHM, BASE64_OR_NOTHING)
    flags: int
    protocol: int
    algorithm: int
    key: bytes

    @property
    def key_tag(self) -> int:
        """The number that signatures and DS records call it by (RFC 4034, Appendix B)."""
        raw = self.to_wire()
        total = sum(raw[0::2]) * 256 + sum(raw[1::2])
        return total + (total >> 16 & 0xFFFF) & 0xFFFF


@dataclass(frozen=True, slots=True)
class CDNSKEY(Rdata):
    """The key that the zone wants its parent to vouch for (RFC 7344)."""

    rrtype = RRType.CDNSKEY
    layout = (U16, U8, _ALGORITHM, BASE64_OR_NOTHING)
    flags: int
    protocol: int
    algorithm: int
    key: bytes


@dataclass(frozen=True, slots=True)
class RRSIG(Rdata):
    """A signature of the records of one type at this name (RFC 4034 §3)."""

    rrtype = RRType.RRSIG
    layout = (TYPE, _ALGORITHM, U8, U32, TIME, TIME, U16, PLAIN_NAME, BASE64_OR_NOTHING)
    type_covered: int
    algorithm: int
    labels: int
    original_ttl: int
    expiration: int
    inception: int
    key_tag: int
    signer: Name
    signature: bytes


@dataclass(frozen=True, slots=True)
class NSEC(Rdata):
    """The next name of the zone, and the types that this name has (RFC 4034 §4)."""

    rrtype = RRType.NSEC
    layout = (PLAIN_NAME, BITMAP)
    next: Name
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NSEC3(Rdata):
    """The next hash of a name of the zone, and the types of the name with this hash (RFC 5155 §3)."""

    rrtype = RRType.NSEC3
    layout = (U8, U8, U16, SALT, HASH, BITMAP)
    algorithm: int
    flags: int
    iterations: int
    salt: bytes
    next: bytes
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NSEC3PARAM(Rdata):
    """How names of the zone are hashed (RFC 5155 §4)."""

    rrtype = RRType.NSEC3PARAM
    layout = (U8, U8, U16, SALT)
    algorithm: int
    flags: int
    iterations: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class TLSA(Rdata):
    """The certificate of a TLS server (RFC 6698)."""

    rrtype = RRType.TLSA
    layout = (U8, U8, U8, HEX)
    usage: int
    selector: int
    matching_type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SMIMEA(Rdata):
    """The certificate of a user (RFC 8162)."""

    rrtype = RRType.SMIMEA
    layout = (U8, U8, U8, HEX)
    usage: int
    selector: int
    matching_type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SSHFP(Rdata):
    """The fingerprint of an SSH server's key (RFC 4255)."""

    rrtype = RRType.SSHFP
    layout = (U8, U8, HEX)
    algorithm: int
    fingerprint_type: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class OPENPGPKEY(Rdata):
    """A user's key (RFC 7929)."""

    rrtype = RRType.OPENPGPKEY
    layout = (BASE64,)
    key: bytes


@dataclass(frozen=True, slots=True)
class CERT(Rdata):
    """A certificate (RFC 4398)."""

    rrtype = RRType.CERT
    layout = (_CERTIFICATE, U16, _ALGORITHM, BASE64_OR_NOTHING)
    certificate_type: int
    key_tag: int
    algorithm: int
    certificate: bytes


@dataclass(frozen=True, slots=True)
class DHCID(Rdata):
    """Whose lease of an address this name is (RFC 4701)."""

    rrtype = RRType.DHCID
    layout = (BASE64,)
    data: bytes


@dataclass(frozen=True, slots=True)
class CSYNC(Rdata):
    """Types that the zone wants its parent to copy (RFC 7477)."""

    rrtype = RRType.CSYNC
    layout = (U32, U16, BITMAP)
    serial: int
    flags: int
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ZONEMD(Rdata):
    """The hash of the whole zone (RFC 8976)."""

    rrtype = RRType.ZONEMD
    layout = (U32, U8, U8, HEX)
    serial: int
    scheme: int
    hash_algorithm: int
    digest: bytes
