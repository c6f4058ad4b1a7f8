"""The filter language of `tapstack capture` and of the page's packet list.

    host A | net A/LEN | port N | portrange N-M    each with `src` or `dst` before it, if only one end is meant
    ip tcp udp icmp arp                            protocols
    syn fin rst                                    flags of TCP
    in out                                         what came, what was sent
    dropped retransmission comment                 what the stack says of the packet: dropped, sent again, anything
    and or not ( )                                 `not` binds closest, then `and`; `and` may be left out

As in tcpdump, `&&`, `||` and `!` need no spaces, `src or dst` is either end, and a value after `and` or `or` is of the
kind before it: `port 80 or 443`.  Other than there, where both bind alike, `and` binds closer than `or`.

A filter is compiled once to a chain of closures; nothing in it depends on the length of what it is asked about.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from stack.device.pcapng import INBOUND, OUTBOUND
from stack.errors import ConfigError, InvalidAddress
from stack.observe.packets import Seen
from stack.wire import ipv4
from stack.wire.addr import parse_addr, parse_cidr, prefix_mask
from stack.wire.ethernet import TYPE_ARP, TYPE_IPV4

Test = Callable[[Seen], bool]

MAX_LENGTH: Final = 1000  # characters
_TOKEN: Final = re.compile(r"\s*([()!]|&&|\|\||(?:(?!&&|\|\|)[^\s()!])+)")
_FIN, _SYN, _RST = 1, 2, 4
_SIMPLE: Final[dict[str, Test]] = {
    "ip": lambda seen: seen.head.ethertype == TYPE_IPV4,
    "arp": lambda seen: seen.head.ethertype == TYPE_ARP,
    "tcp": lambda seen: seen.head.proto == ipv4.PROTO_TCP,
    "udp": lambda seen: seen.head.proto == ipv4.PROTO_UDP,
    "icmp": lambda seen: seen.head.proto == ipv4.PROTO_ICMP,
    "syn": lambda seen: bool(seen.head.tcp_flags & _SYN),
    "fin": lambda seen: bool(seen.head.tcp_flags & _FIN),
    "rst": lambda seen: bool(seen.head.tcp_flags & _RST),
    "in": lambda seen: seen.direction == INBOUND,
    "out": lambda seen: seen.direction == OUTBOUND,
    "dropped": lambda seen: "dropped" in seen.note,
    "retransmission": lambda seen: "retransmission" in seen.note,
    "comment": lambda seen: bool(seen.note),
}
_WITH_VALUE: Final = ("host", "net", "port", "portrange")
_KNOWN: Final = ", ".join((*_WITH_VALUE, "src", "dst", *_SIMPLE, "and", "or", "not"))


def compile_filter(text: str) -> Test | None:
    """What `text` asks for; None when it is empty: everything.  Raises ConfigError with a sentence."""
    if len(text) > MAX_LENGTH:
        raise ConfigError(f"the filter has {len(text)} characters: use at most {MAX_LENGTH}")
    words = _TOKEN.findall(text)
    if not words:
        return None
    parser = _Parser(words)
    test = parser.either()
    if parser.word is not None:
        raise ConfigError(f"the filter has an unexpected {parser.word!r}; known are {_KNOWN}")
    return test


class _Parser:
    """Recursive descent; the depth is bounded by `MAX_LENGTH`, and checked."""

    __slots__ = ("_depth", "_last", "_words", "word")

    def __init__(self, words: list[str]) -> None:
        self._words: Iterator[str] = iter(words)
        self._depth = 0
        self._last: tuple[str, str] | None = None  # kind and end of the last value, until another test comes
        self.word: str | None = None
        self._next()

    def _next(self) -> str | None:
        word, self.word = self.word, next(self._words, None)
        return word

    def either(self) -> Test:
        """Alternatives."""
        found = [self._all()]
        while self.word in {"or", "||"}:
            self._next()
            found.append(self._all())
        return found[0] if len(found) == 1 else lambda seen: any(test(seen) for test in found)

    def _all(self) -> Test:
        found = [self._one()]
        while self.word is not None and self.word not in {"or", "||", ")"}:
            if self.word in {"and", "&&"}:
                self._next()
            else:
                self._last = None  # "port 80 443" is no way to say two ports
            found.append(self._one())
        return found[0] if len(found) == 1 else lambda seen: all(test(seen) for test in found)

    def _one(self) -> Test:
        word = self._next()
        if word in {"not", "!", "("}:
            self._depth += 1
            if self._depth > 50:
                raise ConfigError("the filter is nested too deeply: use at most 50 levels")
            test = self._inner(word)
            self._depth -= 1
            return test
        if word is None:
            raise ConfigError(f"the filter ends where something is missing; known are {_KNOWN}")
        if word in {"src", "dst"}:
            return self._of_end(word)
        if word in _WITH_VALUE:
            return self._valued(word, "")
        if self._last is not None and word[0].isdigit():
            kind, end = self._last
            return _with_value(kind, word, end)
        self._last = None
        if word not in _SIMPLE:
            raise ConfigError(f"the filter has an unknown word {word!r}; known are {_KNOWN}")
        return _SIMPLE[word]

    def _inner(self, word: str) -> Test:
        if word != "(":
            test = self._one()
            return lambda seen: not test(seen)
        test = self.either()
        if self._next() != ")":
            raise ConfigError("the filter has a '(' without its ')'")
        return test

    def _of_end(self, end: str) -> Test:
        if self.word in {"or", "||"}:
            self._next()
            if self._next() not in {"src", "dst"}:
                raise ConfigError(f"the filter's '{end} or' is of either end, as in 'src or dst port 80'")
            end = ""
        kind = self.word
        if kind is None or kind in _WITH_VALUE:
            return self._valued(self._next(), end)
        return self._valued("host", end)

    def _valued(self, kind: str | None, end: str) -> Test:
        value = self._next()
        if kind is None or value is None:
            raise ConfigError(f"the filter ends after {kind or end!r}, which needs a value")
        self._last = kind, end
        return _with_value(kind, value, end)


def _with_value(kind: str, value: str, end: str) -> Test:
    """`end` is src, dst, or empty for either."""
    low, high = _range(kind, value)
    if kind in {"port", "portrange"}:
        if end == "src":
            return lambda seen: low <= seen.head.sport <= high and seen.head.proto != 0
        if end == "dst":
            return lambda seen: low <= seen.head.dport <= high and seen.head.proto != 0
        return lambda seen: (low <= seen.head.sport <= high or low <= seen.head.dport <= high) and seen.head.proto != 0
    if end == "src":
        return lambda seen: low <= seen.head.src <= high
    if end == "dst":
        return lambda seen: low <= seen.head.dst <= high
    return lambda seen: low <= seen.head.src <= high or low <= seen.head.dst <= high


def _range(kind: str, value: str) -> tuple[int, int]:
    """The first and last address or port that is meant.  Raises ConfigError."""
    if kind in {"port", "portrange"}:
        first, dash, last = value.partition("-")
        numbers = [first, last] if dash and kind == "portrange" else [value]
        if not all(number.isascii() and number.isdigit() and 0 < int(number) < 65_536 for number in numbers):
            example = "portrange 8000-8080" if kind == "portrange" else "port 80"
            raise ConfigError(f"the filter's {kind} {value!r} is no number from 1 to 65535, as in '{example}'")
        return int(numbers[0]), int(numbers[-1])
    try:
        if kind == "net":
            addr, prefix = parse_cidr(value)
            low = addr & prefix_mask(prefix)
            return low, low | (~prefix_mask(prefix) & 0xFFFF_FFFF)
        addr = parse_addr(value)
    except InvalidAddress:
        example = "net 198.18.0.0/24" if kind == "net" else "host 198.18.0.1"
        raise ConfigError(f"the filter's {kind} {value!r} is no IPv4 address, as in '{example}'") from None
    return addr, addr
