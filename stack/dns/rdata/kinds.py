"""What fields of records are made of: numbers, names, strings, addresses, octets, lists of types.

A Kind reads its field from wire, writes it to wire, and does the same for text.  A type of record is then a list of
kinds.  `read` is for what comes from the network: it raises FormError (and IndexError where the message ends).
`write` and `parse` are for what a caller gives: they raise ValueError.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from stack.dns.constants import parse_type, type_text
from stack.dns.errors import FormError, FormReason
from stack.dns.names import MAX_NAME, Name, read_name
from stack.dns.rdata import text as texts
from stack.dns.rdata.text import Tokens

T = TypeVar("T")

MAX_STRING: Final = 255
Memo = dict[int, Name]


def bad(detail: str) -> FormError:
    """The data of a record are not what its type demands."""
    return FormError(FormReason.RDATA, detail)


class Kind(Generic[T]):
    """One field."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[T, int]:
        """The value at `at`, and the offset after it.  The record's data end at `end`."""
        raise NotImplementedError

    def write(self, value: T) -> bytes:
        """Its bytes."""
        raise NotImplementedError

    def parse(self, tokens: Tokens) -> T:
        """The value that the next words say."""
        raise NotImplementedError

    def format(self, value: T) -> str:
        """Its words."""
        raise NotImplementedError


class Int(Kind[int]):
    """An unsigned number."""

    __slots__ = ("_size", "limit")

    def __init__(self, size: int) -> None:
        self._size = size
        self.limit = (1 << 8 * size) - 1

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[int, int]:
        after = at + self._size
        if after > end:
            raise bad("too short")
        return int.from_bytes(wire[at:after], "big"), after

    def write(self, value: int) -> bytes:
        if not 0 <= value <= self.limit:
            raise ValueError(f"{value!r} is not a number from 0 to {self.limit}")
        return int(value).to_bytes(self._size, "big")

    def parse(self, tokens: Tokens) -> int:
        return texts.number(tokens.word(), self.limit)

    def format(self, value: int) -> str:
        return str(int(value))


class Duration(Int):
    """Seconds, which zone files may also write like 1h30m."""

    __slots__ = ()

    def parse(self, tokens: Tokens) -> int:
        return texts.parse_ttl(tokens.word(), self.limit)


class Time(Int):
    """A point in time (RFC 4034 §3.1.5)."""

    __slots__ = ()

    def parse(self, tokens: Tokens) -> int:
        return texts.parse_time(tokens.word())

    def format(self, value: int) -> str:
        return texts.format_time(value)


class TypeNumber(Int):
    """A type of record."""

    __slots__ = ()

    def parse(self, tokens: Tokens) -> int:
        return parse_type(tokens.word())

    def format(self, value: int) -> str:
        return type_text(value)


class Mnemonic(Int):
    """A number that may be written as a word; it is printed as a number."""

    __slots__ = ("_words",)

    def __init__(self, size: int, words: dict[str, int]) -> None:
        super().__init__(size)
        self._words = words

    def parse(self, tokens: Tokens) -> int:
        word = tokens.word()
        known = self._words.get(word.upper())
        return texts.number(word, self.limit) if known is None else known


class Groups(Int):
    """A number written as groups of hex digits (RFC 6742 §2, RFC 7043)."""

    __slots__ = ("_digits", "_separator")

    def __init__(self, size: int, separator: str, digits: int) -> None:
        super().__init__(size)
        self._separator, self._digits = separator, digits

    def parse(self, tokens: Tokens) -> int:
        word = tokens.word()
        groups = word.split(self._separator)
        wanted = self._size * 2 // self._digits
        shortest = self._digits if self._separator == "-" else 1
        hexadecimal = all(shortest <= len(group) <= self._digits and group.isalnum() for group in groups)
        if len(groups) != wanted or not hexadecimal or not word.isascii():
            raise ValueError(f"{word!r} is not {wanted} groups of hex digits with {self._separator!r} between")
        return int("".join(group.zfill(self._digits) for group in groups), 16)

    def format(self, value: int) -> str:
        digits = f"{value:0{self._size * 2}x}"
        return self._separator.join(digits[at : at + self._digits] for at in range(0, len(digits), self._digits))


class DomainName(Kind[Name]):
    """A name; `compressed` says that it may come compressed."""

    __slots__ = ("_compressed",)

    def __init__(self, *, compressed: bool) -> None:
        self._compressed = compressed

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[Name, int]:
        name, after = read_name(wire, at, memo)
        if after - at != len(name) and not self._compressed:
            # RFC 3597 §4: only names in types of RFC 1035 (and some old ones) are ever compressed
            raise FormError(FormReason.COMPRESSED, f"at {at}")
        return name, after

    def write(self, value: Name) -> bytes:
        if type(value) is not Name or len(value) > MAX_NAME:  # a str or plain bytes are easily given instead
            raise ValueError(f"{value!r} is not a Name: make one with Name.parse")
        return value

    def parse(self, tokens: Tokens) -> Name:
        return Name.parse(tokens.word(), tokens.origin)

    def format(self, value: Name) -> str:
        return str(value)


class Address(Kind[str]):
    """An IPv4 address as text."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[str, int]:
        if at + 4 > end:
            raise bad("too short")
        return texts.format_ipv4(wire[at : at + 4]), at + 4

    def write(self, value: str) -> bytes:
        return texts.parse_ipv4(value)

    def parse(self, tokens: Tokens) -> str:
        return texts.format_ipv4(texts.parse_ipv4(tokens.word()))

    def format(self, value: str) -> str:
        return value


class Address6(Kind[str]):
    """An IPv6 address as text, in the form of RFC 5952."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[str, int]:
        if at + 16 > end:
            raise bad("too short")
        return texts.format_ipv6(wire[at : at + 16]), at + 16

    def write(self, value: str) -> bytes:
        return texts.parse_ipv6(value)

    def parse(self, tokens: Tokens) -> str:
        return texts.format_ipv6(texts.parse_ipv6(tokens.word()))

    def format(self, value: str) -> str:
        return value


class String(Kind[bytes]):
    """A character string: at most 255 octets after their number (RFC 1035 §3.3)."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[bytes, int]:
        after = at + 1 + wire[at] if at < end else end + 1
        if after > end:
            raise bad("a string reaches past its end")
        return wire[at + 1 : after], after

    def write(self, value: bytes) -> bytes:
        if len(value) > MAX_STRING:
            raise ValueError(f"a string of {len(value)} octets: at most {MAX_STRING}")
        return bytes((len(value),)) + value

    def parse(self, tokens: Tokens) -> bytes:
        return texts.octets(tokens.word())

    def format(self, value: bytes) -> str:
        return f'"{texts.escaped(value)}"'


class Tag(String):
    """Letters and digits, at least one (RFC 8659 §4.1)."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[bytes, int]:
        value, at = super().read(wire, at, end, memo)
        if not value.isalnum():
            raise bad("a tag that is not letters and digits")
        return value, at

    def write(self, value: bytes) -> bytes:
        if not value.isalnum():
            raise ValueError(f"{value!r} is not letters and digits")
        return super().write(value)

    def format(self, value: bytes) -> str:
        return value.decode("ascii")


class Strings(Kind[tuple[bytes, ...]]):
    """One or more character strings, up to the end."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[tuple[bytes, ...], int]:
        found = []
        while at < end:
            after = at + 1 + wire[at]
            found.append(wire[at + 1 : after])
            at = after
        if at != end or not found:
            raise bad("a string reaches past its end" if found else "no string")
        return tuple(found), at

    def write(self, value: Sequence[bytes]) -> bytes:
        if not value or type(value) not in {tuple, list}:
            raise ValueError(f"{value!r}: give a tuple of at least one string of octets")
        return b"".join([STRING.write(string) for string in value])

    def parse(self, tokens: Tokens) -> tuple[bytes, ...]:
        found = tuple(texts.octets(token.text) for token in tokens.rest())
        if not found:
            raise ValueError("it ends too early")
        return found

    def format(self, value: Sequence[bytes]) -> str:
        return " ".join([STRING.format(string) for string in value])


class _Rest(Kind[bytes]):
    """All octets up to the end."""

    __slots__ = ("_empty",)

    def __init__(self, *, empty: bool = True) -> None:
        self._empty = empty  # nothing at all is allowed

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[bytes, int]:
        if at > end or (at == end and not self._empty):
            raise bad("too short")
        return wire[at:end], end

    def write(self, value: bytes) -> bytes:
        if not value and not self._empty:
            raise ValueError("it must not be empty")
        return bytes(value)


class Quoted(_Rest):
    """Octets up to the end, written as one quoted text of any length (RFC 8659 §4.1.1)."""

    __slots__ = ()

    def parse(self, tokens: Tokens) -> bytes:
        return texts.octets(tokens.word())

    def format(self, value: bytes) -> str:
        return f'"{texts.escaped(value)}"'


class Hex(_Rest):
    """Octets up to the end, written as hex digits, with blanks or without."""

    __slots__ = ()

    def parse(self, tokens: Tokens) -> bytes:
        return unhex(texts.joined(tokens.rest()))

    def format(self, value: bytes) -> str:
        return value.hex()


class Base64(_Rest):
    """Octets up to the end, written in base 64, with blanks or without."""

    __slots__ = ()

    def parse(self, tokens: Tokens) -> bytes:
        return unbase64(texts.joined(tokens.rest()))

    def format(self, value: bytes) -> str:
        return base64.b64encode(value).decode("ascii")


class SizedHex(String):
    """At most 255 octets after their number, in hex digits, or "-" for none (RFC 5155 §3.3)."""

    __slots__ = ()

    def parse(self, tokens: Tokens) -> bytes:
        word = tokens.word()
        return b"" if word == "-" else unhex(word)

    def format(self, value: bytes) -> str:
        return value.hex() or "-"


class SizedBase32(String):
    """A hash after its length, in base 32 with the alphabet that keeps order (RFC 5155 §3.3)."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[bytes, int]:
        value, at = super().read(wire, at, end, memo)
        if not value:
            raise bad("an empty hash")
        return value, at

    def write(self, value: bytes) -> bytes:
        if not value:
            raise ValueError("an empty hash")
        return super().write(value)

    def parse(self, tokens: Tokens) -> bytes:
        word = tokens.word()
        try:
            return base64.b32hexdecode(word.upper() + "=" * (-len(word) % 8))
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{word!r} is not base 32 (digits and letters up to V)") from error

    def format(self, value: bytes) -> str:
        return base64.b32hexencode(value).decode("ascii").rstrip("=").lower()


class TypeBitmap(Kind[tuple[int, ...]]):
    """Types of records, in ascending order (RFC 4034 §4.1.2)."""

    __slots__ = ()

    def read(self, wire: bytes, at: int, end: int, memo: Memo) -> tuple[tuple[int, ...], int]:
        found: list[int] = []
        before = -1
        while at < end:
            if end - at < 3:
                raise bad("a window of types is cut off")
            window, size = wire[at], wire[at + 1]
            at += 2
            after = at + size
            if window <= before or not 1 <= size <= 32 or after > end:
                raise bad("windows of types out of order or of a wrong length")
            if not wire[after - 1]:
                raise bad("a window of types ends with zeros")  # RFC 4034 §4.1.2: they are left out
            before = window
            base = window << 8
            for octet in wire[at:after]:
                if octet:
                    found += [base + bit for bit in range(8) if octet & 0x80 >> bit]
                base += 8
            at = after
        return tuple(found), at

    def write(self, value: Sequence[int]) -> bytes:
        windows: dict[int, bytearray] = {}
        for rrtype in sorted(value):
            if not 0 <= rrtype <= 0xFFFF:
                raise ValueError(f"{rrtype!r} is not a type of record")
            bits = windows.setdefault(rrtype >> 8, bytearray())
            bits += bytes((rrtype >> 3 & 31) + 1 - len(bits))
            bits[-1] |= 0x80 >> (rrtype & 7)
        return b"".join([bytes((window, len(bits))) + bits for window, bits in windows.items()])

    def parse(self, tokens: Tokens) -> tuple[int, ...]:
        return tuple(sorted({parse_type(token.text) for token in tokens.rest()}))

    def format(self, value: Sequence[int]) -> str:
        return " ".join([type_text(rrtype) for rrtype in value])


def unhex(word: str) -> bytes:
    """Octets of hex digits.  Raises ValueError."""
    try:
        return binascii.unhexlify(word)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{word!r} is not an even number of hex digits") from error


def unbase64(word: str) -> bytes:
    """Octets of base 64.  Raises ValueError."""
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{word!r} is not base 64 ({error})") from error


U8: Final = Int(1)
U16: Final = Int(2)
U32: Final = Int(4)
SECONDS: Final = Duration(4)
TIME: Final = Time(4)
TYPE: Final = TypeNumber(2)
NAME: Final = DomainName(compressed=True)
PLAIN_NAME: Final = DomainName(compressed=False)
IPV4: Final = Address()
IPV6: Final = Address6()
STRING: Final = String()
STRINGS: Final = Strings()
TAG: Final = Tag()
QUOTED: Final = Quoted()
QUOTED_SOMETHING: Final = Quoted(empty=False)
HEX: Final = Hex(empty=False)
BASE64: Final = Base64(empty=False)
BASE64_OR_NOTHING: Final = Base64()
SALT: Final = SizedHex()
HASH: Final = SizedBase32()
BITMAP: Final = TypeBitmap()
