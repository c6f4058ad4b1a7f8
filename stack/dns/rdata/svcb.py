"""SVCB and HTTPS (RFC 9460): where a service is, and what a client has to know before it connects.

`params` are pairs of number and octets, in ascending order; the properties decode those of RFC 9460.  A record that
breaks a rule of a parameter is malformed as a whole (RFC 9460 §2.2), so all of it is checked when it is read.
"""

import base64
from dataclasses import dataclass
from typing import Final

from stack.dns.constants import RRType
from stack.dns.names import Name
from stack.dns.rdata import text as texts
from stack.dns.rdata.base import Rdata
from stack.dns.rdata.kinds import PLAIN_NAME, U16, Kind, Memo, bad, unbase64
from stack.dns.rdata.text import Tokens

MANDATORY: Final = 0
ALPN: Final = 1
NO_DEFAULT_ALPN: Final = 2
PORT: Final = 3
IPV4HINT: Final = 4
ECH: Final = 5
IPV6HINT: Final = 6
_NAMES: Final = ("mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp")
_NUMBERS: Final = {name: number for number, name in enumerate(_NAMES)}
_EMPTY: Final = frozenset((NO_DEFAULT_ALPN, 8))

Params = tuple[tuple[int, bytes], ...]


def _split(value: bytes) -> tuple[bytes, ...]:
    """The protocol ids of `alpn`, each after its length.  Raises ValueError."""
    found, at = [], 0
    while at < len(value):
        after = at + 1 + value[at]
        found.append(value[at + 1 : after])
        at = after
    if at != len(value) or not found or not all(found):
        raise ValueError("alpn is not a list of protocol ids")
    return tuple(found)


def _numbers(value: bytes) -> list[int]:
    return [value[at] << 8 | value[at + 1] for at in range(0, len(value), 2)]


def check(params: Params) -> None:
    """The rules of RFC 9460 §2.2, §7 and §8.  Raises ValueError."""
    keys = [key for key, _ in params]
    if any(keys[at] >= keys[at + 1] for at in range(len(keys) - 1)):
        raise ValueError("parameters out of order or twice")
    for key, value in params:
        size = len(value)
        if key == MANDATORY:
            wanted = _numbers(value) if size and size % 2 == 0 else [MANDATORY]
            if wanted != sorted(set(wanted)) or MANDATORY in wanted or not set(wanted) <= set(keys):
                raise ValueError("mandatory is not an ascending list of parameters that are there")
        elif key == ALPN:
            _split(value)
        elif key in _EMPTY and size:
            raise ValueError(f"{_NAMES[key]} has a value")
        elif (key == PORT and size != 2) or (key == ECH and not size):
            raise ValueError(f"{_NAMES[key]} of {size} octets")
        elif (key == IPV4HINT and (not size or size % 4)) or (key == IPV6HINT and (not size or size % 16)):
            raise ValueError(f"{_NAMES[key]} is not a list of addresses")
    if NO_DEFAULT_ALPN in keys and ALPN not in keys:
        raise ValueError("no-default-alpn without alpn")  # RFC 9460 §7.1.1


class SvcParams(Kind[Params]):
    """Parameters up to the end of the record."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[Params, int]:
        found = []
        while at < end:
            if at + 4 > end:
                raise bad("a parameter is cut off")
            key, size = wire[at] << 8 | wire[at + 1], wire[at + 2] << 8 | wire[at + 3]
            at += 4
            if at + size > end:
                raise bad("a parameter is cut off")
            found.append((key, wire[at : at + size]))
            at += size
        params = tuple(found)
        try:
            check(params)
        except ValueError as error:
            raise bad(str(error)) from error
        return params, at

    def write(self, value: Params) -> bytes:
        check(value)
        return b"".join([U16.write(key) + U16.write(len(data)) + data for key, data in value])

    def parse(self, tokens: Tokens) -> Params:
        found: dict[int, bytes] = {}
        for token in tokens.rest():
            word, equals, value = token.text.partition("=")
            key = _key(word)
            if key in found:
                raise ValueError(f"{word} twice")
            found[key] = _parse_value(key, value, given=bool(equals))
        return tuple(sorted(found.items()))

    def format(self, value: Params) -> str:
        return " ".join([_format(key, data) for key, data in value])


def _key(word: str) -> int:
    lower = word.lower()
    if lower in _NUMBERS:
        return _NUMBERS[lower]
    digits = lower.removeprefix("key")
    if digits == lower or (digits != digits.lstrip("0") and digits != "0"):
        raise ValueError(f"{word!r} is not a parameter: write one like alpn, or key65400")
    return texts.number(digits, 0xFFFF)


def _name_of(key: int) -> str:
    return _NAMES[key] if key < len(_NAMES) else f"key{key}"


def _commas(text: str) -> list[bytes]:
    r"""Values between commas; a comma within one has a backslash (RFC 9460, Appendix A.1)."""
    data = texts.octets(text)
    found, piece, at = [], bytearray(), 0
    while at < len(data):
        octet = data[at]
        if octet == 0x2C:
            found.append(bytes(piece))
            piece.clear()
        else:
            if octet == 0x5C:
                at += 1
                if at == len(data):
                    raise ValueError(f"{text!r} ends with a backslash")
            piece.append(data[at])
        at += 1
    found.append(bytes(piece))
    return found


def _parse_value(key: int, text: str, *, given: bool) -> bytes:
    if key in _EMPTY:
        if text:
            raise ValueError(f"{_NAMES[key]} has no value")
        return b""
    if not given or not text:
        if key <= IPV6HINT:
            raise ValueError(f"{_name_of(key)} needs a value")
        return b""
    if key == MANDATORY:
        return b"".join([number.to_bytes(2, "big") for number in sorted({_key(word) for word in text.split(",")})])
    if key == ALPN:
        return b"".join([bytes((len(part),)) + part for part in _protocols(text)])
    if key == PORT:
        return U16.write(texts.number(text, 0xFFFF))
    if key == IPV4HINT:
        return b"".join([texts.parse_ipv4(address) for address in text.split(",")])
    if key == IPV6HINT:
        return b"".join([texts.parse_ipv6(address) for address in text.split(",")])
    if key == ECH:
        return unbase64(text)
    return texts.octets(text)


def _protocols(text: str) -> list[bytes]:
    parts = _commas(text)
    if any(not 0 < len(part) <= 255 for part in parts):
        raise ValueError(f"{text!r} is not a list of protocol ids")
    return parts


def _format(key: int, value: bytes) -> str:
    name = _name_of(key)
    if key == MANDATORY:
        return f"{name}={','.join(map(_name_of, _numbers(value)))}"
    if key == ALPN:
        # first the commas of the list, then what quotation marks demand
        escaped = [part.replace(b"\\", b"\\\\").replace(b",", b"\\,") for part in _split(value)]
        return f'{name}="{texts.escaped(b",".join(escaped))}"'
    if key == PORT:
        return f"{name}={int.from_bytes(value, 'big')}"
    if key == IPV4HINT:
        return f"{name}={','.join(texts.format_ipv4(value[at : at + 4]) for at in range(0, len(value), 4))}"
    if key == IPV6HINT:
        return f"{name}={','.join(texts.format_ipv6(value[at : at + 16]) for at in range(0, len(value), 16))}"
    if key == ECH:
        return f"{name}={base64.b64encode(value).decode('ascii')}"
    return f'{name}="{texts.escaped(value)}"' if value else name


PARAMS: Final = SvcParams()


class _Service(Rdata):
    __slots__ = ()
    params: Params

    def param(self, key: int) -> bytes | None:
        """The octets of a parameter, None without it."""
        for number, value in self.params:
            if number == key:
                return value
        return None

    @property
    def alpn(self) -> tuple[bytes, ...]:
        """Protocols that the service speaks, beside the default one."""
        value = self.param(ALPN)
        return () if value is None else _split(value)

    @property
    def port(self) -> int | None:
        """Where the service is, None for the default."""
        value = self.param(PORT)
        return None if value is None else int.from_bytes(value, "big")

    @property
    def ipv4hint(self) -> tuple[str, ...]:
        """IPv4 addresses of the target, to be used until its A records are there."""
        value = self.param(IPV4HINT) or b""
        return tuple(texts.format_ipv4(value[at : at + 4]) for at in range(0, len(value), 4))

    @property
    def ipv6hint(self) -> tuple[str, ...]:
        """IPv6 addresses of the target."""
        value = self.param(IPV6HINT) or b""
        return tuple(texts.format_ipv6(value[at : at + 16]) for at in range(0, len(value), 16))


@dataclass(frozen=True, slots=True)
class SVCB(_Service):
    """A service at another name, or here (target "."); priority 0 makes it an alias."""

    rrtype = RRType.SVCB
    layout = (U16, PLAIN_NAME, PARAMS)
    priority: int
    target: Name
    params: Params = ()


@dataclass(frozen=True, slots=True)
class HTTPS(_Service):
    """SVCB for the web."""

    rrtype = RRType.HTTPS
    layout = (U16, PLAIN_NAME, PARAMS)
    priority: int
    target: Name
    params: Params = ()
