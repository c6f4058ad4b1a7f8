"""The words of an interface file (RFC 4506 §6.2, RFC 5531 §12): what they are and where they stand."""

import re
from collections.abc import Iterator
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
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<mark><<|>>|<=|>=|==|!=|&&|\|\||[{}()\[\]<>;:,*=+\-/%~!&|^?])
    | (?P<stray>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_KINDS: Final = {
    "number": Kind.NUMBER,
    "name": Kind.NAME,
    "string": Kind.STRING,
    "mark": Kind.MARK,
    "stray": Kind.STRAY,
    "newline": Kind.NEWLINE,
}
_LINE: Final = re.compile(r"(?:[^\\\n]|\\\r?\n|\\)*")
# the rest of a directive, with the comments that begin in it
_DIRECTIVE: Final = re.compile(r'(?:/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|//[^\n]*|\\\r?\n|[^\n])*', re.DOTALL)
_COMMENT: Final = re.compile(r'("(?:[^"\\\n]|\\.)*")|/\*.*?\*/|//[^\n]*', re.DOTALL)


def without_comments(text: str) -> str:
    """The text of a directive on one line; each comment is a space (as in C)."""
    joined = re.sub(r"\\\r?\n", " ", text)
    return _COMMENT.sub(lambda found: str(found[1] or " "), joined).replace("\n", " ").strip()


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
            found = _DIRECTIVE.match(text, at + 1)
            assert found is not None
            yield Token(Kind.DIRECTIVE, without_comments(found[0]), here)
        elif fresh and text[at] == "%" and at == began:
            found = _LINE.match(text, at + 1)
            assert found is not None
            yield Token(Kind.PASSED, found[0], here)
        else:
            found = _WORD.match(text, at)
            assert found is not None
            if found.lastgroup == "open":
                raise here.error("this comment has no end: close it with */")
            if kind := _KINDS.get(found.lastgroup or ""):
                yield Token(kind, found[0], here)
            fresh = found.lastgroup == "newline" or (fresh and found.lastgroup in {"space", "comment"})
        newlines = text.count("\n", at, found.end())
        if newlines:
            line += newlines
            began = text.rindex("\n", at, found.end()) + 1
        at = found.end()
    yield Token(Kind.END, "", Position(file, line, at - began + 1))
