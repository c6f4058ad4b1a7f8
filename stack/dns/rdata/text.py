r"""The text of zone files below the level of records: tokens, character strings, durations, times, addresses.

A token is what stands between blanks.  Its text still has the backslashes, so that who reads it knows which
characters were escaped; quotation marks are gone, and `quoted` says that there were some.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from stack.dns.names import Name, unescape

_UNITS: Final = {"S": 1, "M": 60, "H": 3600, "D": 86_400, "W": 604_800}
_MAPPED: Final = bytes(10) + b"\xff\xff"  # RFC 4291 §2.5.5.2: before an IPv4 address
MAX_TTL: Final = 0x7FFF_FFFF  # RFC 2181 §8


class Token(NamedTuple):
    """One word of a record's text."""

    text: str
    quoted: bool = False


class Tokens:
    """The words of one record's data, taken from left to right; names in them are relative to `origin`."""

    __slots__ = ("_at", "_tokens", "origin")

    def __init__(self, tokens: Sequence[Token], origin: bytes | None = None) -> None:
        self._tokens = tokens
        self._at = 0
        self.origin = origin

    def next(self) -> Token:
        """The next word.  Raises ValueError when there is none."""
        if self._at == len(self._tokens):
            raise ValueError("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def word(self) -> str:
        """The next word's text."""
        return self.next().text

    def rest(self) -> Sequence[Token]:
        """All words that are left."""
        taken = self._tokens[self._at :]
        self._at = len(self._tokens)
        return taken

    def end(self) -> None:
        """Raises ValueError when words are left."""
        if self._at < len(self._tokens):
            raise ValueError(f"{self._tokens[self._at].text!r} is too much")


def tokenize(line: str) -> list[Token]:
    """The words of one line without comments and parentheses.  Raises ValueError for a quotation that does not end."""
    tokens: list[Token] = []
    at, size = 0, len(line)
    while at < size:
        if line[at] in " \t\r\n":
            at += 1
            continue
        chars: list[str] = []
        quoted = line[at] == '"'
        inside = False
        while at < size and (inside or line[at] not in " \t\r\n"):
            char = line[at]
            if char == '"':
                inside = not inside
            else:
                step = 2 if char == "\\" else 1
                chars.append(line[at : at + step])
                at += step - 1
            at += 1
        if inside:
            raise ValueError("a quotation mark has no other")
        tokens.append(Token("".join(chars), quoted))
    return tokens


def octets(text: str) -> bytes:
    r"""What `text` writes, with \c and \DDD; non-ASCII characters are UTF-8.  Raises ValueError."""
    if "\\" not in text:
        return text.encode()
    out, at = bytearray(), 0
    while at < len(text):
        if text[at] == "\\":
            octet, at = unescape(text, at + 1)
            out.append(octet)
        else:
            out += text[at].encode()
            at += 1
    return bytes(out)


_QUOTED: Final = tuple(
    "\\" + chr(octet) if octet in b'"\\' else chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"
    for octet in range(256)
)
_UNQUOTED: Final = bytes(octet for octet in range(0x20, 0x7F) if octet not in b'"\\')


def escaped(data: bytes) -> str:
    r"""Text of octets, with \" \\ and \DDD, as it stands between quotation marks."""
    if not data.translate(None, _UNQUOTED):
        return data.decode("ascii")
    return "".join([_QUOTED[octet] for octet in data])


def number(text: str, limit: int) -> int:
    """A decimal number from 0 to `limit`.  Raises ValueError."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > limit:
        raise ValueError(f"{text!r} is not a number from 0 to {limit}")
    return int(text)


def parse_ttl(text: str, limit: int = MAX_TTL) -> int:
    """Seconds of "300", "1h" or "1d12h" (units s m h d w, as zone files have them).  Raises ValueError."""
    if text.isascii() and text.isdigit():
        return number(text, limit)
    total, digits = 0, ""
    for char in text.upper():
        if char.isascii() and char.isdigit() and len(digits) < 10:
            digits += char
        elif digits and char in _UNITS:
            total += int(digits) * _UNITS[char]
            digits = ""
        else:
            digits = ""
            break
    else:
        if not digits and text and total <= limit:
            return total
    raise ValueError(f"{text!r} is not a time: write seconds, or like 1h30m")


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a date of the Gregorian calendar."""
    year -= month <= 2
    era_day = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + era_day - 719_468


def format_time(seconds: int) -> str:
    """Like "20260131235959" (RFC 4034 §3.2)."""
    days, rest = divmod(seconds, 86_400)
    year = 1970 + days // 366
    while _days(year + 1, 1, 1) <= days:
        year += 1
    month = 12
    while _days(year, month, 1) > days:
        month -= 1
    day = days - _days(year, month, 1) + 1
    return f"{year:04d}{month:02d}{day:02d}{rest // 3600:02d}{rest // 60 % 60:02d}{rest % 60:02d}"


def parse_time(text: str) -> int:
    """Seconds since 1970 of "20260131235959", or of a number of them (RFC 4034 §3.2).  Raises ValueError."""
    if len(text) != 14 or not (text.isascii() and text.isdigit()):
        return number(text, 0xFFFF_FFFF)
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:8])
    hour, minute, second = int(text[8:10]), int(text[10:12]), int(text[12:])
    if year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60:
        seconds = _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        if seconds <= 0xFFFF_FFFF and format_time(seconds) == text:  # else a day that its month does not have
            return seconds
    raise ValueError(f"{text!r} is not a time like 20260131235959")


def parse_ipv6(text: str) -> bytes:
    """The 16 octets of an IPv6 address (RFC 4291 §2.2).  Raises ValueError."""
    head, gap, tail = text.partition("::")
    try:
        left = _groups(head, last=not gap)
        right = _groups(tail, last=True) if gap else b""
    except ValueError:
        left, right = b"", bytes(17)
    missing = 16 - len(left) - len(right)
    # RFC 5952 §4.2.2 has "::" never stand for less than two groups, but RFC 4291 §2.2 lets it stand for one
    if (missing < 2) if gap else missing:
        raise ValueError(f"{text!r} is not an IPv6 address")
    return left + bytes(missing) + right


def _groups(text: str, *, last: bool) -> bytes:
    if not text:
        return b""
    out = bytearray()
    parts = text.split(":")
    for index, part in enumerate(parts):
        if "." in part and last and index == len(parts) - 1:
            out += parse_ipv4(part)
            continue
        if not 1 <= len(part) <= 4 or not part.isalnum() or not part.isascii():
            raise ValueError(part)
        out += int(part, 16).to_bytes(2, "big")
    return bytes(out)


def format_ipv6(raw: bytes) -> str:
    """The form of RFC 5952: lower case, no leading zeros, "::" for the first longest run of zeros."""
    if raw.startswith(_MAPPED):
        return f"::ffff:{format_ipv4(raw[12:])}"  # RFC 5952 §5
    groups = [f"{raw[at] << 8 | raw[at + 1]:x}" for at in range(0, 16, 2)]
    best = best_at = run = 0
    for at, group in enumerate(groups):
        run = run + 1 if group == "0" else 0
        if run > best:
            best, best_at = run, at - run + 1
    if best < 2:
        return ":".join(groups)
    return f"{':'.join(groups[:best_at])}::{':'.join(groups[best_at + best :])}"


def parse_ipv4(text: str) -> bytes:
    """The 4 octets of a dotted quad.  Raises ValueError."""
    parts = text.split(".")
    # a leading zero is refused: some read it as octal (RFC 6943 §3.1.1)
    if len(parts) == 4 and all(part.isascii() and part.isdigit() and str(int(part[:4])) == part for part in parts):
        values = [int(part) for part in parts]
        if max(values) <= 255:
            return bytes(values)
    raise ValueError(f"{text!r} is not an IPv4 address: write four numbers, like 198.18.0.2")


def format_ipv4(raw: bytes) -> str:
    """Dotted quad."""
    a, b, c, d = raw
    return f"{a}.{b}.{c}.{d}"


def joined(tokens: Iterable[Token]) -> str:
    """Words that only blanks separate, as base64 and hex are written."""
    return "".join([token.text for token in tokens])


def reverse_name(address: str) -> Name:
    """The name whose PTR record names the host of this address (RFC 1035 §3.5, RFC 3596 §2.5).  Raises ValueError."""
    if ":" in address:
        nibbles = parse_ipv6(address).hex()
        return Name.parse(".".join(reversed(nibbles)) + ".ip6.arpa")
    return Name.parse(".".join(str(octet) for octet in reversed(parse_ipv4(address))) + ".in-addr.arpa")
