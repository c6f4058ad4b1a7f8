"""The C preprocessor's part of an interface file, as far as rpcgen's users need it (which is nearly all).

#define (with parameters, # and ##, too), #undef, #ifdef, #ifndef, #if, #elif, #else, #endif, #include, #error;
#pragma, #ident, #line and #warning mean nothing here. Files are read by a function of the caller. Lines with % in the
first column are for C: two kinds of them are remembered, as names may be used that they explain: `%#define NAME
number` and `%#include <rpcsvc/nis.h>`, the header that rpcgen makes from nis.x.

What bounds the work: a file has at most MAX_TEXT characters, includes are nested at most MAX_INCLUDES deep, macros
MAX_EXPANSIONS, and all files together, with what their macros become, have at most MAX_TOKENS words.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stack.rpc.x.expression import Expression
from stack.rpc.x.tokens import Kind, Position, Token, joined, quoted, words

MAX_INCLUDES: Final = 32
MAX_EXPANSIONS: Final = 100
MAX_TOKENS: Final = 300_000
MAX_TEXT: Final = 1 << 20

# the text of the file `name`, which the file `by` includes, and what it is called; None where there is none
Read = Callable[[str, str], "tuple[str, str] | None"]

_INCLUDE: Final = re.compile(r'\s*(?:"([^"]+)"|<([^>]+)>)\s*$')
_PARAMETERS: Final = re.compile(r"\(\s*((?:\w+\s*(?:,\s*\w+\s*)*)?)\)")
_DEFINE: Final = re.compile(r"(\w+)(.*)", re.DOTALL)
_IGNORED: Final = frozenset({"", "pragma", "ident", "sccs", "line", "warning"})


@dataclass(slots=True, frozen=True)
class Macro:
    """What a name is replaced by."""

    body: tuple[Token, ...]
    parameters: tuple[str, ...] | None = None


@dataclass(slots=True)
class Preprocessed:
    """The words that are left, and what the % lines said."""

    tokens: list[Token] = field(default_factory=list)
    headers: list[Token] = field(default_factory=list)  # of %#include: the name, where it stands
    constants: dict[str, list[Token]] = field(default_factory=dict)  # of %#define


@dataclass(slots=True)
class _Condition:
    """One #if: whether its lines count now, whether some of its groups did, whether those around it do."""

    at: Position
    taken: bool
    active: bool
    outer: bool
    last: bool = False


class Preprocessor:
    """Reads one file, with all that it includes."""

    __slots__ = ("_budget", "_conditions", "_depth", "_macros", "_read", "result")

    def __init__(self, read: Read, define: Mapping[str, str | int | None]) -> None:
        self._read = read
        self._macros: dict[str, Macro] = {}
        self._conditions: list[_Condition] = []
        self._depth = 0
        self._budget = MAX_TOKENS
        self.result = Preprocessed()
        for name, value in define.items():
            text = "1" if value is None else str(value)
            self._macros[name] = Macro(tuple(token for token in words(text, "<define>") if token.kind is not Kind.END))

    def run(self, text: str, file: str) -> Preprocessed:
        """The words of a file.  Raises InterfaceError."""
        end = self._file(text, file)
        self.result.tokens.append(end)
        return self.result

    def _file(self, text: str, file: str) -> Token:
        if len(text) > MAX_TEXT:
            raise Position(file, 1, 1).error(f"the file has more than {MAX_TEXT} characters")
        outside = len(self._conditions)
        line: list[Token] = []  # between two directives: a call of a macro may go on in the next line
        end = None
        for token in words(text, file):
            self._spend(1, token)
            if token.kind is Kind.DIRECTIVE:
                self._flush(line)
                self._directive(token, outside)
            elif token.kind is Kind.END:
                end = token
            elif token.kind is not Kind.NEWLINE and self._active:
                if token.kind is Kind.PASSED:
                    self._passed(token)
                else:
                    line.append(token)
        self._flush(line)
        if len(self._conditions) > outside:
            raise self._conditions[-1].at.error("this condition has no #endif")
        assert end is not None
        return end

    @property
    def _active(self) -> bool:
        return not self._conditions or self._conditions[-1].active

    def _flush(self, line: list[Token]) -> None:
        out = self.result.tokens
        for token in self._expand(line, frozenset(), 0):
            if token.kind is Kind.STRAY:
                raise token.at.error(_stray(token.text))
            out.append(token)
        line.clear()

    # -- macros

    def _spend(self, count: int, token: Token) -> None:
        self._budget -= count
        if self._budget < 0:
            raise token.at.error(f"with its includes and macros the file has more than {MAX_TOKENS} words")

    def _expand(self, tokens: Sequence[Token], hidden: frozenset[str], depth: int) -> Iterator[Token]:
        at = 0
        while at < len(tokens):
            token = tokens[at]
            at += 1
            self._spend(1, token)
            if depth > MAX_EXPANSIONS:
                raise token.at.error(f"macros are nested more than {MAX_EXPANSIONS} deep")
            macro = self._macros.get(token.text) if token.kind is Kind.NAME and token.text not in hidden else None
            if macro is None:
                yield token
                continue
            body: Sequence[Token] = macro.body
            if macro.parameters is None:
                body = _pasted(list(body))
            else:
                if at == len(tokens) or tokens[at].text != "(":
                    yield token
                    continue
                given, at = _arguments(tokens, at, token)
                body = self._replace(macro, given, token, hidden, depth)
            # where an error is found, the place is meant where the macro was used
            used = [Token(part.kind, part.text, token.at) for part in body]
            yield from self._expand(used, hidden | {token.text}, depth + 1)

    def _replace(
        self, macro: Macro, given: list[list[Token]], name: Token, hidden: frozenset[str], depth: int
    ) -> list[Token]:
        """The body of a macro with what was given: expanded itself, unless # or ## stands beside it (as in C)."""
        assert macro.parameters is not None
        if not macro.parameters and given == [[]]:
            given = []
        if len(given) != len(macro.parameters):
            raise name.at.error(f"the macro {name.text} takes {len(macro.parameters)} arguments, not {len(given)}")
        as_written = dict(zip(macro.parameters, given, strict=True))
        expanded: dict[str, list[Token]] = {}
        found: list[Token] = []
        body = macro.body
        for index, part in enumerate(body):
            before = body[index - 1].text if index else ""
            after = body[index + 1].text if index + 1 < len(body) else ""
            if part.text not in as_written or part.kind is not Kind.NAME:
                if part.text != "#" or after not in as_written:
                    found.append(part)
                continue
            if before == "#":
                found.append(quoted(as_written[part.text], name.at))
            elif "##" in {before, after}:
                found += as_written[part.text] or [Token(Kind.NEWLINE, "", name.at)]
            else:
                if part.text not in expanded:
                    expanded[part.text] = list(self._expand(as_written[part.text], hidden, depth + 1))
                found += expanded[part.text]
            self._spend(len(as_written[part.text]) + len(expanded.get(part.text, ())), name)
        return _pasted(found)

    def _define(self, text: str, at: Position) -> None:
        found = _DEFINE.match(text)
        if found is None or found[1][0].isdigit():
            raise at.error("#define needs a name")
        name, rest = found[1], found[2]
        parameters = None
        if rest.startswith("("):
            listed = _PARAMETERS.match(rest)
            if listed is None:
                raise at.error(f"the parameters of {name} are not a list of names in ( )")
            parameters = tuple(listed[1].replace(",", " ").split())
            rest = rest[listed.end() :]
        parts = words(rest, at.file, column=2)  # in the first one # would begin a directive
        body = tuple(Token(word.kind, word.text, at) for word in parts if word.kind is not Kind.END)
        if body and "##" in {body[0].text, body[-1].text}:
            raise at.error(f"## joins what stands before and behind it: {name} cannot begin or end with it")
        self._macros[name] = Macro(body, parameters)

    # -- directives

    def _directive(self, token: Token, outside: int) -> None:
        found = re.match(r"\w*", token.text)
        assert found is not None
        keyword, rest = found[0], token.text[found.end() :].strip()
        at = token.at
        if keyword in {"if", "ifdef", "ifndef"}:
            outer = self._active
            holds = outer and self._holds(keyword, rest, at)
            self._conditions.append(_Condition(at, holds, holds, outer))
        elif keyword in {"elif", "else", "endif"}:
            if len(self._conditions) == outside:
                raise at.error(f"#{keyword} without #if")
            self._go_on(keyword, rest, at)
        elif self._active and rest and not keyword:
            raise at.error("behind # stands no word: it begins a directive, as #define")
        elif not self._active or keyword in _IGNORED or keyword.isdigit():
            return
        elif keyword == "define":
            self._define(rest, at)
        elif keyword == "undef":
            self._macros.pop(rest, None)
        elif keyword == "include":
            self._include(rest, at)
        elif keyword == "error":
            raise at.error(rest or "#error")
        else:
            raise at.error(f"#{keyword} is no directive")

    def _holds(self, keyword: str, rest: str, at: Position) -> bool:
        if keyword == "if":
            return self._evaluate(rest, at) != 0
        if not re.fullmatch(r"[A-Za-z_]\w*", (rest.split(maxsplit=1) or [""])[0]):
            raise at.error(f"#{keyword} needs a name")
        return (rest.split(maxsplit=1)[0] in self._macros) == (keyword == "ifdef")

    def _go_on(self, keyword: str, rest: str, at: Position) -> None:
        condition = self._conditions[-1]
        if keyword == "endif":
            self._conditions.pop()
            return
        if condition.last:
            raise at.error(f"#{keyword} behind the #else of line {condition.at.line}")
        condition.last = keyword == "else"
        possible = condition.outer and not condition.taken
        condition.active = possible and (keyword == "else" or self._evaluate(rest, at) != 0)
        condition.taken = condition.taken or condition.active

    def _evaluate(self, text: str, at: Position) -> int:
        text = re.sub(
            r"\bdefined\s*(?:\(\s*(\w+)\s*\)|(\w+))",
            lambda found: str(int((found[1] or found[2]) in self._macros)),
            text,
        )
        tokens = [Token(word.kind, word.text, at) for word in words(text, at.file) if word.kind is not Kind.END]
        expanded = [*self._expand(tokens, frozenset(), 0), Token(Kind.END, "", at)]
        return Expression(expanded, lambda _: 0).whole()  # as in C, a name that is no macro is 0

    def _include(self, text: str, at: Position) -> None:
        found = _INCLUDE.match(text)
        if found is None:
            raise at.error('#include needs a name: #include "other.x"')
        name = found[1] or found[2]
        if self._depth == MAX_INCLUDES:
            raise at.error(f"includes are nested more than {MAX_INCLUDES} deep; does {name} include itself?")
        given = self._read(name, at.file)
        if given is None:
            raise at.error(f"{name} is not found: give its folder with include=[...] (rpcgen: -I)")
        self._depth += 1
        self._file(given[1], given[0])
        self._depth -= 1

    def _passed(self, token: Token) -> None:
        found = re.match(r"\s*#\s*(include|define)\b(.*)", token.text, re.DOTALL)
        if found is None:
            return
        if found[1] == "include":
            if named := _INCLUDE.match(found[2]):
                self.result.headers.append(Token(Kind.STRING, named[1] or named[2], token.at))
        elif (defined := _DEFINE.match(found[2].strip())) and not defined[2].startswith("(") and "/*" not in defined[2]:
            # nothing of a line of C matters, unless it turns out to be a number
            body = [Token(word.kind, word.text, token.at) for word in words(defined[2], token.at.file)]
            self.result.constants[defined[1]] = body[:-1]


def _arguments(tokens: Sequence[Token], at: int, name: Token) -> tuple[list[list[Token]], int]:
    """What is given to a macro in ( ), and the index after it."""
    given: list[list[Token]] = [[]]
    open_ = 0
    for index in range(at, len(tokens)):
        token = tokens[index]
        if token.text == ")" and open_ == 1:
            return given, index + 1
        if token.text == "," and open_ == 1:
            given.append([])
            continue
        open_ += (token.text == "(") - (token.text == ")")
        if index > at:
            given[-1].append(token)
    raise name.at.error(f"the ( behind the macro {name.text} is not closed")


def _pasted(tokens: list[Token]) -> list[Token]:
    """The words with those joined that have ## between them."""
    found: list[Token] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token.text == "##" and found and at < len(tokens):
            token = joined(found.pop(), tokens[at])
            at += 1
        found.append(token)
    return [token for token in found if token.kind is not Kind.NEWLINE]


def _stray(text: str) -> str:
    """What to say of a character that is no word."""
    if "\udc80" <= text <= "\udcff":  # surrogateescape has read an octet
        return f"the octet 0x{ord(text[0]) - 0xDC00:02x} is no UTF-8"
    return f"{text[:40]!r} has no meaning here"
