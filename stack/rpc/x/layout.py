"""Python text in the layout that formatters give it, so that nobody needs to run one."""

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 120


def fit(indent: int, head: str, items: Sequence[str], tail: str) -> list[str]:
    """`head` items `tail` in one line; or the items in one line of their own; or each in its own."""
    space = "    " * indent
    line = f"{space}{head}{', '.join(items)}{tail}"
    if len(line) <= WIDTH or not items:
        return [line]
    inner = f"{space}    {', '.join(items)}"
    if len(inner) <= WIDTH and not head.endswith(("{", "[")):
        return [space + head, inner, space + tail]
    return [space + head, *(f"{space}    {item}," for item in items), space + tail]


class Formats:
    """The `struct.Struct`s of a module, each once."""

    __slots__ = ("_numbers", "_uses")

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._uses: set[tuple[str, str]] = set()

    def use(self, kind: str, form: str) -> str:
        """The name of the function of `form`: kind U unpacks, P packs, I iterates."""
        number = self._numbers.setdefault(form, len(self._numbers) + 1)
        self._uses.add((kind, form))
        return f"_{kind}{number}"

    def lines(self) -> list[str]:
        """Their definitions."""
        methods = (("U", "unpack_from"), ("P", "pack"), ("I", "iter_unpack"))
        return [
            f'_{kind}{number}: Final = Struct(">{form}").{method}'
            for form, number in self._numbers.items()
            for kind, method in methods
            if (kind, form) in self._uses
        ]
