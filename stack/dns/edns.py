"""EDNS: what the OPT record says (RFC 6891), with the options for cookies (RFC 7873), extended errors (RFC 8914),
keepalive of TCP (RFC 7828) and padding (RFC 7830).

Options are kept as octets.  Lengths of those known here are checked when a message is parsed, so that the properties
never fail afterwards; an option that is not known is ignored (RFC 6891 §6.1.2) but kept.
"""

import struct
from collections.abc import Iterable
from typing import Final

from stack.dns.constants import MIN_UDP_SIZE, UDP_SIZE, OptionCode
from stack.dns.errors import Ede, FormError, FormReason

CLIENT_COOKIE: Final = 8  # octets (RFC 7873 §4.1)
MAX_COOKIE: Final = 40  # with the server's part of 8 to 32 (RFC 7873 §4.2)
KEEPALIVE_UNIT_US: Final = 100_000  # RFC 7828 §3.1
DO: Final = 0x8000  # RFC 3225 §3
OPT_FIXED: Final = 11  # octets of an OPT record without options

_HEAD: Final = struct.Struct("!BHHIH").pack
_OPTION: Final = struct.Struct("!HH")

Option = tuple[int, bytes]


class Edns:
    """The OPT record of a message."""

    __slots__ = ("do", "options", "udp_size", "version")

    def __init__(
        self, udp_size: int = UDP_SIZE, *, do: bool = False, version: int = 0, options: Iterable[Option] = ()
    ) -> None:
        self.udp_size = udp_size
        self.do = do
        self.version = version
        self.options = tuple(options)

    def option(self, code: int) -> bytes | None:
        """The octets of the first option `code`, None without one."""
        for known, data in self.options:
            if known == code:
                return data
        return None

    @property
    def cookie(self) -> bytes | None:
        """Client cookie (8 octets) and, after it, the server's (8 to 32) if there is one."""
        return self.option(OptionCode.COOKIE)

    @property
    def ede(self) -> tuple[Ede, ...]:
        """Extended errors, in the order of the message."""
        return tuple(
            Ede(data[0] << 8 | data[1], data[2:].rstrip(b"\0").decode("utf-8", "replace"))
            for code, data in self.options
            if code == OptionCode.EDE
        )

    @property
    def padding(self) -> int | None:
        """Octets of padding, None without the option."""
        data = self.option(OptionCode.PADDING)
        return None if data is None else len(data)

    @property
    def keepalive_us(self) -> int | None:
        """How long the server keeps an idle connection open, in microseconds; None if it does not say."""
        data = self.option(OptionCode.TCP_KEEPALIVE)
        return int.from_bytes(data, "big") * KEEPALIVE_UNIT_US if data else None

    @staticmethod
    def from_record(rrclass: int, ttl: int, raw: bytes) -> "Edns":
        """What class, TTL and data of an OPT record mean.  Raises FormError."""
        version = ttl >> 16 & 0xFF
        # of another version only the fixed part is known: the answer is BADVERS (RFC 6891 §6.1.3)
        options = parse_options(raw) if raw and not version else ()
        # RFC 6891 §6.2.3: less than 512 means 512
        return Edns(max(rrclass, MIN_UDP_SIZE), do=ttl & DO != 0, version=version, options=options)

    def build(self, rcode: int) -> bytes:
        """The OPT record of a message with this response code."""
        data = b"".join([_OPTION.pack(code, len(option)) + option for code, option in self.options])
        ttl = (rcode >> 4) << 24 | self.version << 16 | (DO if self.do else 0)
        return _HEAD(0, 41, self.udp_size, ttl, len(data)) + data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edns) and (self.udp_size, self.do, self.version, self.options) == (
            other.udp_size,
            other.do,
            other.version,
            other.options,
        )

    def __repr__(self) -> str:
        return f"Edns({self.udp_size}, do={self.do}, version={self.version}, options={self.options!r})"


def parse_options(raw: bytes) -> tuple[Option, ...]:
    """The options in the data of an OPT record.  Raises FormError."""
    found = []
    at, size = 0, len(raw)
    while at < size:
        if at + 4 > size:
            raise FormError(FormReason.OPTION, "cut off")
        code, length = _OPTION.unpack_from(raw, at)
        at += 4
        data = raw[at : at + length]
        if len(data) != length:
            raise FormError(FormReason.OPTION, f"option {code} reaches past the end")
        at += length
        # RFC 7873 §5.2.2, RFC 8914 §2, RFC 7828 §3.1
        if (
            (code == OptionCode.COOKIE and length != CLIENT_COOKIE and not 2 * CLIENT_COOKIE <= length <= MAX_COOKIE)
            or (code == OptionCode.EDE and length < 2)
            or (code == OptionCode.TCP_KEEPALIVE and length not in {0, 2})
        ):
            raise FormError(FormReason.OPTION, f"option {code} of {length} octets")
        found.append((code, data))
    return tuple(found)


def cookie_option(client: bytes, server: bytes = b"") -> Option:
    """A COOKIE option.  Raises ValueError for parts of a wrong length."""
    if len(client) != CLIENT_COOKIE or (server and not CLIENT_COOKIE <= len(server) <= MAX_COOKIE - CLIENT_COOKIE):
        raise ValueError(f"cookies of {len(client)} and {len(server)} octets: 8 and none or 8 to 32 would do")
    return OptionCode.COOKIE, client + server


def ede_option(code: int, text: str = "") -> Option:
    """An extended error."""
    return OptionCode.EDE, code.to_bytes(2, "big") + text.encode()


def keepalive_option(timeout_us: int | None = None) -> Option:
    """A client asks for a connection kept open (None); a server says for how long, in microseconds."""
    if timeout_us is None:
        return OptionCode.TCP_KEEPALIVE, b""
    return OptionCode.TCP_KEEPALIVE, min(timeout_us // KEEPALIVE_UNIT_US, 0xFFFF).to_bytes(2, "big")


def padding_option(size: int) -> Option:
    """Zeros, so that the length of a message says less (RFC 7830)."""
    return OptionCode.PADDING, bytes(size)
