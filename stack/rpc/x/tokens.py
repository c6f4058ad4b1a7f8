"""The words of an interface file (RFC 4506 §6.2, RFC 5531 §12): what they are and where they stand."""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple

from stack.rpc.x.errors import InterfaceError


class Position(NamedTuple):
    """Where something stands: lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def error(self, message: str) -> InterfaceError:
        """What is wrong here, to be raised."""
        return InterfaceError(message, *self)


class Kind(Enum):
    """What a word is."""

    NAME = "a name"
    NUMBER = "a number"
    STRING = "a string"
    MARK = "a mark"
    STRAY = "a character that has no meaning here"
    DIRECTIVE = "a directive"  # the text after the #, on one line
    PASSED = "a passed line"  # the text after a % in the first column: for C
    NEWLINE = "the end of a line"
    END = "the end of the file"


class Token(NamedTuple):
    """One word."""

    kind: Kind
    text: str
    at: Position

    def __str__(self) -> str:
        if self.kind is Kind.END:
            return str(self.kind.value)
        return f'"{self.text}"' if self.kind is not Kind.STRING else self.text


_WORD: Final = re.compile(
    r"""
    (?P<space>(?:[ \t\r\f\v]|\\\r?\n)+)
    | (?P<newline>\n)
    | (?P<comment>/\*.*?\*/|//[^\n]*)
    | (?P<open>/\*)
    | (?P<number>\d\w*)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<string>"(?:[^"\\\n]|\\.)*+")
    | (?P<open_string>"(?:[^"\\\n]|\\.)*+)
    | (?P<mark><<|>>|<=|>=|==|!=|&&|\|\||[{}()\[\]<>;:,*=+\-/%~!&|^?])
    | (?P<stray>\#\#|.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
MAX_JOINED: Final = 1000  # characters of a word that ## makes
_KINDS: Final = {
    "number": Kind.NUMBER,
    "name": Kind.NAME,
    "string": Kind.STRING,
    "mark": Kind.MARK,
    "stray": Kind.STRAY,
    "open_string": Kind.STRAY,  # all of the line at once: to look for its end anew at each \" would take too long
    "newline": Kind.NEWLINE,
}
_LINE: Final = re.compile(r"(?:[^\\\n]++|\\\r?\n|\\)*+")
# what stops the plain text of a directive: its end, a string (which may lack its own), a comment, a line that goes on
_STOP: Final = re.compile(r'\n|"(?:[^"\\\n]|\\.)*+"?|//[^\n]*|/\*|\\\r?\n', re.DOTALL)


def _directive(text: str, at: int, here: Position) -> tuple[str, int]:
    """The text of a directive on one line, in which each comment is a space (as in C), and the index of its end."""
    found: list[str] = []
    while stop := _STOP.search(text, at):
        found.append(text[at : stop.start()])
        at = stop.end()
        match stop[0][:2]:
            case "\n":
                return "".join(found).strip(), stop.start()
            case "/*":
                at = text.find("*/", at) + 2
                if at == 1:
                    raise here.error("a comment in this line has no end: close it with */")
                found.append(" ")
            case "//" | "\\\n" | "\\\r":
                found.append(" ")
            case _:
                found.append(stop[0])
    found.append(text[at:])
    return "".join(found).strip(), len(text)


def words(text: str, file: str, line: int = 1, column: int = 1) -> Iterator[Token]:
    """The words of a text, the ends of its lines among them, at last an END.  Directives and % lines are one word each.

    A character that is no word is a STRAY: whether that matters only its reader knows.  Raises InterfaceError where a
    comment does not end.
    """
    at, began = 0, 1 - column  # where the line began, in `text`
    fresh = column == 1  # nothing but space so far on this line
    while at < len(text):
        here = Position(file, line, at - began + 1)
        if fresh and text[at] == "#":
            directive, end = _directive(text, at + 1, here)
            yield Token(Kind.DIRECTIVE, directive, here)
        elif fresh and text[at] == "%" and at == began:
            found = _LINE.match(text, at + 1)
            assert found is not None
            yield Token(Kind.PASSED, found[0], here)
            end = found.end()
        else:
            found = _WORD.match(text, at)
            assert found is not None
            if found.lastgroup == "open":
                raise here.error("this comment has no end: close it with */")
            if kind := _KINDS.get(found.lastgroup or ""):
                yield Token(kind, found[0], here)
            fresh = found.lastgroup == "newline" or (fresh and found.lastgroup in {"space", "comment"})
            end = found.end()
        newlines = text.count("\n", at, end)
        if newlines:
            line += newlines
            began = text.rindex("\n", at, end) + 1
        at = end
    yield Token(Kind.END, "", Position(file, line, at - began + 1))


def quoted(tokens: Sequence[Token], at: Position) -> Token:
    """What # makes of an argument: a string."""
    text = " ".join(token.text for token in tokens).replace("\\", "\\\\").replace('"', '\\"')
    return Token(Kind.STRING, f'"{text}"', at)


def joined(first: Token, second: Token) -> Token:
    """What ## makes of two words: one.  Raises InterfaceError if they are none together."""
    text = first.text + second.text
    if not first.text or not second.text:  # an argument was empty
        return second if second.text else first
    if len(text) > MAX_JOINED:
        raise first.at.error(f"## makes a word of more than {MAX_JOINED} characters")
    found = _WORD.fullmatch(text)
    kind = _KINDS.get((found.lastgroup if found else None) or "")
    if kind is None or kind is Kind.STRAY:
        raise first.at.error(f"{first.text!r} ## {second.text!r} is no word")
    return Token(kind, text, first.at)
