"""Constant expressions: what stands behind #if, as a bound, or in `const` (where mostly it is one number)."""

from collections.abc import Callable, Mapping
from typing import Final

from stack.rpc.x.tokens import Kind, Position, Token

MAX_NESTING: Final = 50
MAX_SHOWN: Final = 40  # characters of a number

_LEVELS: Final[tuple[frozenset[str], ...]] = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"|"}),
    frozenset({"^"}),
    frozenset({"&"}),
    frozenset({"==", "!="}),
    frozenset({"<", ">", "<=", ">="}),
    frozenset({"<<", ">>"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_SHIFT: Final = 7  # in a bound of the form <n> the marks below this level belong to the declaration
_COMPUTE: Final[Mapping[str, Callable[[int, int], int]]] = {
    "||": lambda a, b: int(bool(a) or bool(b)),
    "&&": lambda a, b: int(bool(a) and bool(b)),
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),  # as C: towards zero
    "%": lambda a, b: abs(a) % abs(b) * (-1 if a < 0 else 1),
}


def number(token: Token) -> int:
    """The value of a number: decimal, 0x… or 0…; the endings U and L of C are ignored.  Raises InterfaceError."""
    digits = token.text.lower().rstrip("ul") or token.text
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    if len(token.text) > MAX_SHOWN:  # long before int() takes its time; 64 bits have 22 octal digits
        raise token.at.error(f"{token.text[:MAX_SHOWN]}... does not fit into 64 bits")
    try:
        value = int(digits, base)
    except ValueError:
        raise token.at.error(f"{token.text} is no number: decimal, octal after 0, or hexadecimal after 0x") from None
    if value >= 1 << 64:
        raise token.at.error(f"{token.text} does not fit into 64 bits")
    return value


class Expression:
    """A reader of expressions from `tokens`, of which the last is an END; `next` counts those that were read.

    `value_of` says what a name stands for, and raises InterfaceError if it stands for nothing.
    """

    __slots__ = ("_depth", "_idle", "_value_of", "next", "tokens")

    def __init__(self, tokens: list[Token], value_of: Callable[[Token], int], start: int = 0) -> None:
        self.tokens = tokens
        self._value_of = value_of
        self.next = start
        self._depth = 0
        self._idle = 0  # within what C does not evaluate, as behind 0 &&: there nothing is wrong

    def whole(self) -> int:
        """The value of all of the tokens.  Raises InterfaceError."""
        value = self.value(0)
        rest = self.tokens[self.next]
        if rest.kind is not Kind.END:
            raise rest.at.error(f"{rest} stands behind the end of an expression")
        return value

    def value(self, level: int = _SHIFT) -> int:
        """The value of the tokens that belong to an expression.  Raises InterfaceError."""
        if level == len(_LEVELS):
            return self._unary()
        value = self.value(level + 1)
        while (mark := self.tokens[self.next]).kind is Kind.MARK and mark.text in _LEVELS[level]:
            self.next += 1
            idle = (mark.text == "&&" and not value) or (mark.text == "||" and bool(value))
            self._idle += idle
            other = self.value(level + 1)
            value = 0 if self._idle > idle else _apply(mark, value, 0 if idle else other)
            self._idle -= idle
        if level == 0 and self._is("?"):
            value = self._choice(value)
        return value

    def _is(self, text: str) -> bool:
        token = self.tokens[self.next]
        return token.kind is Kind.MARK and token.text == text

    def _choice(self, value: int) -> int:
        """What stands behind `value`: ? a : b."""
        opened = self.tokens[self.next]
        self._deeper(opened)
        self.next += 1
        self._idle += not value
        yes = self.value(0)
        self._idle -= not value
        if not self._is(":"):
            here = self.tokens[self.next]
            raise here.at.error(f"a : is expected for the ? in line {opened.at.line}, not {here}")
        self.next += 1
        self._idle += bool(value)
        no = self.value(0)
        self._idle -= bool(value)
        self._depth -= 1
        return yes if value else no

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise token.at.error("this expression is nested too deeply")

    def _unary(self) -> int:
        token = self.tokens[self.next]
        self.next += 1
        if token.kind is Kind.NUMBER:
            return number(token)
        if token.kind is Kind.NAME:
            return self._value_of(token)
        if token.kind is Kind.MARK and token.text in {"-", "+", "~", "!", "("}:
            self._deeper(token)
            value = self.value(0) if token.text == "(" else self._unary()
            self._depth -= 1
            if token.text == "(":
                self._close(token.at)
                return value
            return {"-": -value, "+": value, "~": ~value, "!": int(not value)}[token.text]
        raise token.at.error(f"a number or the name of a constant is expected, not {token}")

    def _close(self, opened: Position) -> None:
        token = self.tokens[self.next]
        if token.kind is not Kind.MARK or token.text != ")":
            raise token.at.error(f"a ) is expected for the ( in line {opened.line}, not {token}")
        self.next += 1


def _apply(mark: Token, a: int, b: int) -> int:
    if mark.text in {"/", "%"} and b == 0:
        raise mark.at.error("a division by zero")
    if mark.text in {"<<", ">>"} and not 0 <= b < 64:
        raise mark.at.error("a shift by 0 to 63 is possible")
    value = _COMPUTE[mark.text](a, b)
    if not -(1 << 64) < value < 1 << 64:
        raise mark.at.error("this value does not fit into 64 bits")
    return value
