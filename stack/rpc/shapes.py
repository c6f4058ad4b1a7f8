"""What XDR types are made of, to say where a value does not fit its type.

Generated code encodes as fast as it can: when a value does not fit, all that is known is that some statement failed.
`misfit` then walks the value a second time, along the shapes that the generated module gives each codec (`made_of`), in
the order of encoding, and names the place.  Only values that were refused pay for this.

The walk keeps its own stack, so neither a long list nor deep nesting reaches Python's limit, and it ends after
MAX_STEPS values, whatever leads back to itself.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol, TypeAlias

MAX_STEPS: Final = 1_000_000
MAX_SHOWN: Final = 40  # characters of a value
PATH_ENDS: Final = 6  # steps at either end of a path that are told: a long list has many
_LIMIT: Final = (1 << 32) - 1
_REAL: Final = frozenset("fd")


class Named(Protocol):
    """A codec."""

    name: str
    made_of: "Shape | None"


@dataclass(slots=True, frozen=True)
class Number:
    """`letter` is that of `struct`; an integer has bounds."""

    letter: str
    low: int = 0
    high: int = 0


@dataclass(slots=True, frozen=True)
class Choice:
    """An enum."""

    of: type[IntEnum]


@dataclass(slots=True, frozen=True)
class Text:
    """A string of at most so many octets."""

    limit: int = _LIMIT


@dataclass(slots=True, frozen=True)
class Octets:
    """Opaque data; if `exact`, of just that length."""

    limit: int = _LIMIT
    exact: bool = False


@dataclass(slots=True, frozen=True)
class Items:
    """An array; if `exact`, of just that length."""

    item: "Shape"
    limit: int = _LIMIT
    exact: bool = False


@dataclass(slots=True, frozen=True)
class Maybe:
    """A value or None."""

    item: "Shape"


class Members:
    """A struct, by the names of Python."""

    __slots__ = ("shapes",)

    def __init__(self, **shapes: "Shape") -> None:
        self.shapes = shapes


class Arm:
    """A member of a union, and the values that choose it (none: all others); without a name it is void."""

    __slots__ = ("name", "shape", "values")

    def __init__(self, name: str, shape: "Shape | None", *values: int) -> None:
        self.name = name
        self.shape = shape
        self.values = values


class Arms:
    """A union: its discriminant, and what that chooses."""

    __slots__ = ("arms", "kind", "name")

    def __init__(self, name: str, kind: "Shape", *arms: Arm) -> None:
        self.name = name
        self.kind = kind
        self.arms = arms

    def chosen(self, discriminant: Any) -> Arm | None:
        """What there is."""
        for arm in self.arms:
            if not arm.values or discriminant in arm.values:  # the default is the last
                return arm
        return None


Made: TypeAlias = Number | Choice | Text | Octets | Items | Maybe | Members | Arms
Shape: TypeAlias = Made | Named
Path: TypeAlias = "tuple[Path, str] | None"
_Place: TypeAlias = "tuple[Shape, Any, Path]"


def misfit(codec: Named, value: Any) -> tuple[str, str] | None:
    """The first place of a value that does not fit, as Python would say it, and why; None if none is found."""
    walk: list[_Place | Iterator[_Place]] = [(codec, value, None)]
    for _ in range(MAX_STEPS):
        if not walk:
            return None
        last = walk.pop()
        if not isinstance(last, tuple):
            following = next(last, None)
            if following is None:
                continue
            walk.append(last)
            last = following
        wrong, within = _look(*last)
        if wrong:
            return _place(codec.name, last[2]), wrong
        walk += within
    return None


def _place(name: str, path: Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step)
    steps.reverse()
    if len(steps) > 2 * PATH_ENDS + 1:
        middle = f"...({len(steps) - 2 * PATH_ENDS} more)"
        steps[PATH_ENDS:-PATH_ENDS] = [middle]
    return name + "".join(steps)


def _look(shape: Shape, value: Any, path: Path) -> "tuple[str, Sequence[_Place | Iterator[_Place]]]":
    """What is wrong with the value itself, and what it is made of, the first last."""
    name = ""
    while not isinstance(shape, Made):
        name = shape.name
        if shape.made_of is None:
            return "", []
        shape = shape.made_of
    if isinstance(shape, Maybe):
        return "", [] if value is None else [(shape.item, value, path)]
    if isinstance(shape, Items):
        return _items(shape, value, path)
    if isinstance(shape, Members | Arms):
        wanted = [*shape.shapes] if isinstance(shape, Members) else [shape.name, "value"]
        if not all(hasattr(value, member) for member in wanted):
            return f"{_shown(value)} where {name} is expected", []
        if isinstance(shape, Arms):
            return _arms(shape, value, path)
        return "", [(each, getattr(value, key), (path, f".{key}")) for key, each in reversed(shape.shapes.items())]
    return _leaf(shape, value), []


def _items(shape: Items, value: Any, path: Path) -> tuple[str, list[Iterator[_Place]]]:
    try:
        length, values = len(value), iter(value)
    except TypeError:
        return f"{_shown(value)} where a list is expected", []
    wrong = _length(length, "elements", shape.limit, shape.exact)
    return wrong, [] if wrong else [_each(shape.item, values, path)]


def _each(item: Shape, values: Iterator[Any], path: Path) -> Iterator[_Place]:
    for index, each in enumerate(values):
        yield item, each, (path, f"[{index}]")


def _arms(shape: Arms, value: Any, path: Path) -> tuple[str, list[_Place]]:
    discriminant = getattr(value, shape.name)
    wrong, _ = _look(shape.kind, discriminant, path)
    if wrong:  # told by its own place
        return "", [(shape.kind, discriminant, (path, f".{shape.name}"))]
    arm = shape.chosen(bool(discriminant) if _is_bool(shape.kind) else discriminant)
    if arm is None:
        return f"its {shape.name} is {_shown(discriminant)}, for which there is no case", []
    if arm.shape is not None:
        return "", [(arm.shape, value.value, (path, ".value"))]
    if value.value is not None:
        return f"its {shape.name} is {_shown(discriminant)}, so its value is None, not {_shown(value.value)}", []
    return "", []


def _is_bool(shape: Shape) -> bool:
    """Whether it is the type that takes whatever is true or false: the only one whose codec is made of nothing."""
    while not isinstance(shape, Made):
        if shape.made_of is None:
            return True
        shape = shape.made_of
    return False


def _leaf(shape: Number | Choice | Text | Octets, value: Any) -> str:
    if isinstance(shape, Number):
        return _number(shape, value)
    if isinstance(shape, Choice):
        try:
            shape.of(value)
        except ValueError:
            names = [each.name for each in shape.of]
            more = ", ..." if len(names) > PATH_ENDS else ""
            return f"{_shown(value)} is no {shape.of.__name__}: use one of {', '.join(names[:PATH_ENDS])}{more}"
        return ""
    if isinstance(shape, Text):
        if not isinstance(value, str):
            return f"{_shown(value)} where str is expected"
        try:
            return _length(len(value.encode("utf-8", "surrogateescape")), "octets", shape.limit, False)
        except UnicodeEncodeError as error:
            return f"character {error.start} is a lone surrogate, which UTF-8 cannot hold"
    try:
        length = len(value)
        bytearray().extend(value)
    except (TypeError, ValueError):
        return f"{_shown(value)} where bytes are expected"
    return _length(length, "octets", shape.limit, shape.exact)


def _number(shape: Number, value: Any) -> str:
    try:
        struct.pack(f">{shape.letter}", value)
    except OverflowError:
        return f"{_shown(value)} is too large for a {'float' if shape.letter == 'f' else 'double'}"
    except struct.error:
        if shape.letter in _REAL or not hasattr(value, "__index__"):
            return f"{_shown(value)} where {'float' if shape.letter in _REAL else 'int'} is expected"
        return f"{_shown(value)} is not within {shape.low} to {shape.high}"
    if shape.letter not in _REAL and not shape.low <= value <= shape.high:
        return f"{_shown(value)} is not within {shape.low} to {shape.high}"
    return ""


def _length(length: int, what: str, limit: int, exact: bool) -> str:
    if exact and length != limit:
        return f"{length} {what}, there are always {limit}"
    return f"{length} {what}, at most {limit} are allowed" if length > limit else ""


def _shown(value: object) -> str:
    """A small value as it is, a large one by its type: to show it could take for ever."""
    if isinstance(value, IntEnum):
        return value.name
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and value.bit_length() < 3 * MAX_SHOWN:
        return repr(value)
    if isinstance(value, str | bytes):
        text = repr(value[:MAX_SHOWN])
        return text if len(value) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
