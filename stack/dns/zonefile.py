r"""Master files: the text that zones are kept in (RFC 1035 §5), as records.

    records = zonefile.parse(text, Name.parse("example.test"), source="example.zone", read=read)

What is understood: comments, parentheses, quotation marks, \c and \DDD, "@", names relative to the origin, owners left
out, TTL and class in either order or left out, times like 1h30m, $ORIGIN, $TTL (RFC 2308 §4), $INCLUDE (whose files
`read` gives), and types unknown here as \# LENGTH HEX (RFC 3597 §5).  $GENERATE is BIND's own and refused.

What is wrong is told with file and line; the first mistake ends it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from stack.dns import rdata as rdatas
from stack.dns.constants import RRClass, RRType, class_text, parse_class, parse_type
from stack.dns.errors import ZoneError
from stack.dns.names import Name
from stack.dns.rdata import SOA, Rdata
from stack.dns.rdata.text import Token, parse_ttl
from stack.errors import StackError

MAX_INCLUDES: Final = 16  # files within files; a file that includes itself ends here

Read = Callable[[str], str]

# A quotation may contain anything but the end of the line.  `key="a b"` is one word (RFC 9460 §2.1), `"a""b"` are two.
_QUOTED: Final = r'"(?:[^"\\\n]|\\[^\n])*"'
_WORDS: Final = re.compile(
    rf'(?P<blank>[ \t\r\f]+)|(?P<comment>;[^\n]*)|(?P<end>\n)|(?P<paren>[()])|(?P<quoted>{_QUOTED})'
    rf'|(?P<word>(?:(?<==){_QUOTED}|[^\s;()"\\]|\\[^\n])+)'
)  # fmt: skip
_CLASSES: Final = frozenset(("IN", "CH", "HS"))


class Record(NamedTuple):
    """One record of a file, and where it stands ("example.zone:12")."""

    name: Name
    ttl: int
    rdata: Rdata
    where: str


class Line(NamedTuple):
    """One entry: its words, whether a blank precedes them, and the number of the line that it begins in."""

    words: list[Token]
    indented: bool
    number: int


def parse(
    text: str, origin: Name, *, source: str = "zone", read: Read | None = None, rrclass: int = RRClass.IN
) -> list[Record]:
    """All records of a file, in its order.  `origin` is what relative names end with at first.

    `read(name)` gives the text of an $INCLUDEd file; it may raise OSError or ZoneError.  Raises ZoneError.
    """
    reader = _Reader(origin, read, int(rrclass))
    reader.file(text, source, 0)
    return reader.records


def lines(text: str, source: str) -> Iterator[Line]:
    """The entries of a file, comments and parentheses taken away.  Raises ZoneError."""
    # editors put the mark of UTF-8 before a text, and end its lines as their systems do
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    words: list[Token] = []
    at, size, number, began, opened = 0, len(text), 1, 1, 0
    indented, fresh = False, True  # fresh: nothing of the entry has come yet
    while at < size:
        match = _WORDS.match(text, at)
        if match is None:
            what = "a quotation mark has no other on its line" if text[at] == '"' else "a backslash ends the line"
            raise ZoneError(f"{source}:{number}: {what}")
        kind, at = match.lastgroup, match.end()
        if kind == "end":
            number += 1
            if not opened:
                if words:
                    yield Line(words, indented, began)
                words, indented, fresh = [], False, True
            continue
        if fresh:
            began, indented, fresh = number, kind == "blank", False
        if kind == "word":
            words.append(Token(match[0] if '"' not in match[0] else _unquoted(match[0])))
        elif kind == "quoted":
            words.append(Token(match[0][1:-1], quoted=True))
        elif kind == "paren":
            opened += 1 if match[0] == "(" else -1
            if opened < 0:
                raise ZoneError(f"{source}:{number}: a closing parenthesis was not opened")
    if opened:
        raise ZoneError(f"{source}:{began}: a parenthesis is not closed")
    if words:
        yield Line(words, indented, began)


def _unquoted(word: str) -> str:
    """`key="a b"` without the quotation marks, but with the escaped ones."""
    return re.sub(r'\\.|"', lambda found: "" if found[0] == '"' else found[0], word)


class _Reader:
    """What is known while a file is read: origin, owner and TTLs carry over from entry to entry."""

    __slots__ = ("_class", "_default_ttl", "_last_ttl", "_origin", "_owner", "_read", "records")

    def __init__(self, origin: Name, read: Read | None, rrclass: int) -> None:
        self._origin = origin
        self._read = read
        self._class = rrclass
        self._owner: Name | None = None
        self._default_ttl: int | None = None  # of $TTL
        self._last_ttl: int | None = None
        self.records: list[Record] = []

    def file(self, text: str, source: str, depth: int) -> None:
        for line in lines(text, source):
            where = f"{source}:{line.number}"
            try:
                first = line.words[0]
                if first.text.startswith("$") and not first.quoted and not line.indented:
                    self._directive(first.text.upper(), line.words[1:], depth)
                else:
                    self._record(line, where)
            except ZoneError:
                raise
            except StackError as error:  # of a name, a type, or data
                raise ZoneError(f"{where}: {error.strerror}") from error
            except ValueError as error:
                raise ZoneError(f"{where}: {error}") from error

    def _directive(self, name: str, words: list[Token], depth: int) -> None:
        most = 2 if name == "$INCLUDE" else 1
        if name not in {"$ORIGIN", "$TTL", "$INCLUDE"}:
            raise ValueError(f"{name} is not known here: $ORIGIN, $TTL and $INCLUDE are")
        if not 1 <= len(words) <= most:
            raise ValueError(f"{name} takes {'a file and an origin' if most == 2 else 'one word'}, not {len(words)}")
        if name == "$ORIGIN":
            self._origin = Name.parse(words[0].text, self._origin)
        elif name == "$TTL":
            self._default_ttl = parse_ttl(words[0].text)
        else:
            self._include(words, depth)

    def _include(self, words: list[Token], depth: int) -> None:
        if self._read is None:
            raise ValueError("$INCLUDE cannot be followed: this text was given without a way to read files")
        if depth == MAX_INCLUDES:
            raise ValueError(f"$INCLUDE more than {MAX_INCLUDES} files deep: does a file include itself?")
        path = words[0].text
        try:
            text = self._read(path)
        except ZoneError:
            raise
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from error
        # RFC 1035 §5.1: it "never changes the relative origin of the parent file"
        before = self._origin, self._owner
        if len(words) == 2:
            self._origin = Name.parse(words[1].text, self._origin)
        self.file(text, path, depth + 1)
        self._origin, self._owner = before

    def _record(self, line: Line, where: str) -> None:
        words, at = line.words, 0
        if not line.indented:
            self._owner = Name.parse(words[0].text, self._origin)
            at = 1
        if self._owner is None:
            raise ValueError("the first record has no name before it")
        ttl: int | None = None
        rrclass: int | None = None
        while at < len(words):
            word = words[at].text
            if ttl is None and word[:1].isdigit():
                ttl = parse_ttl(word)
            elif rrclass is None and (word.upper() in _CLASSES or word.upper().startswith("CLASS")):
                rrclass = parse_class(word)
            else:
                break
            at += 1
        if at == len(words):
            raise ValueError("the record ends before its type")
        if rrclass is not None and rrclass != self._class:
            raise ValueError(f"a record of class {class_text(rrclass)} in a zone of class {class_text(self._class)}")
        rrtype = parse_type(words[at].text)
        if rrtype == RRType.OPT or 128 <= rrtype <= 255 or not rrtype:
            raise ValueError(f"{words[at].text} is no type that a zone can have records of")  # RFC 6895 §3.1
        data = rdatas.parse(rrtype, words[at + 1 :], self._origin, self._class)
        self.records.append(Record(self._owner, self._ttl(ttl, data), data, where))

    def _ttl(self, given: int | None, data: Rdata) -> int:
        """RFC 2308 §4: that of $TTL where none is given; RFC 1035 §5.1: else the last one; else the SOA's minimum."""
        if given is not None:
            self._last_ttl = given
            return given
        if self._default_ttl is not None:
            return self._default_ttl
        if self._last_ttl is None:
            if not isinstance(data, SOA):
                raise ValueError("the first record has no TTL: begin the file with $TTL 3600, for example")
            self._last_ttl = data.minimum
        return self._last_ttl
