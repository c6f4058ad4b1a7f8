"""XDR at run time (RFC 4506): what generated code is built on.

A `Codec` is a type of an interface file: `codec.encode(value) -> bytes`, `codec.decode(data) -> value`.  The compiler
(`stack.rpc.x`) writes for each type a function that reads it from a `Reader` and one that appends it to a `Writer`;
these hold what all of them share: the position, and what is left of the limits.

How values look: int, hyper and the like -> int; float, double -> float; bool -> bool; enum -> IntEnum;
string -> str (UTF-8, and what is not UTF-8 by surrogateescape, so that every string survives); opaque -> bytes;
quadruple -> its 16 octets as bytes, as Python has no such number; arrays -> list; `T *` -> T | None.
A NaN keeps its octets, but Python makes a signalling NaN of a float a quiet one.

What bounds decoding, whatever the peer sent: nothing is allocated because of a length that was only claimed, as data
are cut out of what is there.  Each element of an array and each `T *` that is present costs one of `max_items`; a value
of a type that contains itself one more, unless it is a node of a plain list; an element that has no octets on the wire
64.  So the work is at most proportional to octets and items.  Lists (`node *next` at the end of a struct, directly, by
a typedef or in a union) are followed in a loop; any other nesting is limited by `max_depth`.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any, Final, Generic, TypeVar

from stack.rpc.shapes import Arm, Arms, Choice, Items, Maybe, Members, Number, Octets, Shape, Text, misfit

__all__ = ["Arm", "Arms", "Choice", "Items", "Maybe", "Members", "Number", "Octets", "Text"]  # of generated modules

T = TypeVar("T")


@unique
class XdrReason(IntEnum):
    """Why data, or a value, were refused; for counting."""

    SHORT = 0  # the data end within a value
    TOO_LONG = 1  # a string, an opaque or an array is longer than its type allows
    BAD_BOOL = 2  # neither 0 nor 1, which RFC 4506 §4.4 demands (also of an optional's mark)
    BAD_ENUM = 3  # not a value of its enum
    BAD_UNION = 4  # a discriminant for which the union has no case
    RANGE = 5  # too large for char or short
    ITEMS = 6  # more elements than Limits.max_items
    DEPTH = 7  # nested deeper than Limits.max_depth
    BYTES = 8  # more octets than Limits.max_bytes
    PADDING = 9  # strict: what fills up the last word is not zero
    TRAILING = 10  # strict: octets behind the value
    VALUE = 11  # a value of the caller's that its type cannot hold


class XdrError(ValueError):
    """What a peer sent, or a caller gave, is no value of the type; `reason` says how, for counting.

    `where` is the place in a value of the caller's, such as `args.who`, or empty.
    """

    def __init__(self, reason: XdrReason, detail: str = "", where: str = "") -> None:
        name = where or reason.name.lower().replace("_", " ")
        super().__init__(f"{name}: {detail}" if detail else name)
        self.reason = reason
        self.where = where
        self._detail = detail

    def __reduce__(self) -> tuple[type["XdrError"], tuple[XdrReason, str, str]]:
        return type(self), (self.reason, self._detail, self.where)


MAX_DEPTH: Final = 200  # each level may take two frames of Python's stack, which holds 1000


@dataclass(slots=True, frozen=True)
class Limits:
    """What one message may cost.

    max_bytes: octets of a message.  max_items: elements of all its arrays, and nodes of all its lists, together.
    max_depth: nesting of types that contain themselves (1 to 200); the length of a list is no nesting.
    strict: refuse padding that is not zero, and octets behind the last value; both are tolerated otherwise.
    """

    max_bytes: int = (1 << 20) + (1 << 16)
    max_items: int = 100_000
    max_depth: int = 64
    strict: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.max_depth <= MAX_DEPTH:
            raise ValueError(f"max_depth is {self.max_depth}: use 1 to {MAX_DEPTH}")
        if self.max_bytes < 0 or self.max_items < 0:
            raise ValueError("max_bytes and max_items cannot be negative")


LIMITS: Final = Limits()
BOOLS: Final = (False, True)
PADS: Final = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length & 3
NO: Final = b"\0\0\0\0"  # an optional that is absent
LATER: Final[Any] = None  # in place of a value that follows

COST_OF_NOTHING: Final = 64  # items that an element without octets counts as: a few octets could announce any number

_WORD: Final = struct.Struct(">I")
_MAX_WORD: Final = (1 << 32) - 1

# what reads one value up to its tail: the value, what reads the tail (None: there is none), and of which attribute
ReadStep = Callable[["Reader"], "tuple[Any, Any, str]"]
# what writes one value up to its tail: what writes the tail and which value that is, or None
WriteStep = Callable[["Writer", Any], "tuple[Any, Any] | None"]


class Reader:
    """The state of decoding one message: the position, and what is left of the limits.

    `struct.error`, IndexError and KeyError of generated code are told by `reason_of`.
    """

    __slots__ = ("at", "data", "depth", "left", "strict")

    def __init__(self, data: bytes, limits: Limits = LIMITS, at: int = 0) -> None:
        if len(data) - at > limits.max_bytes:
            raise XdrError(XdrReason.BYTES, f"{len(data) - at} octets, the limit is {limits.max_bytes}")
        self.data = data
        self.at = at
        self.left = limits.max_items
        self.depth = limits.max_depth
        self.strict = limits.strict

    def finish(self) -> None:
        """Nothing more is read.  Raises XdrError if there is more, and this is not tolerated."""
        if self.strict and self.at != len(self.data):
            raise XdrError(XdrReason.TRAILING, f"{len(self.data) - self.at} octets")

    def word(self) -> int:
        """An unsigned number of 32 bits."""
        (found,) = _WORD.unpack_from(self.data, self.at)
        self.at += 4
        return int(found)

    def take(self, length: int, limit: int = _MAX_WORD) -> bytes:
        """So many octets, and their padding."""
        data, at = self.data, self.at
        end = at + length
        self.at = after = end + (-length & 3)
        if length > limit or after > len(data) or self.strict:
            self._check(length, limit, end)
        return data[at:end]

    def text(self, length: int, limit: int = _MAX_WORD) -> str:
        """A string of so many octets."""
        data, at = self.data, self.at
        end = at + length
        self.at = after = end + (-length & 3)
        if length > limit or after > len(data) or self.strict:
            self._check(length, limit, end)
        try:
            return data[at:end].decode()
        except UnicodeDecodeError:
            return data[at:end].decode("utf-8", "surrogateescape")

    def _check(self, length: int, limit: int, end: int) -> None:
        if length > limit:
            raise XdrError(XdrReason.TOO_LONG, f"{length} octets, the limit is {limit}")
        if self.at > len(self.data):
            raise XdrError(XdrReason.SHORT)
        if self.strict and any(self.data[end : self.at]):
            raise XdrError(XdrReason.PADDING)

    def padding(self) -> None:
        """Padding that is not zero was met."""
        if self.strict:
            raise XdrError(XdrReason.PADDING)

    def count(self, count: int, limit: int, size: int) -> int:
        """So many elements of at least `size` octets each follow; returns their number."""
        if count > limit:
            raise XdrError(XdrReason.TOO_LONG, f"{count} elements, the limit is {limit}")
        cost = count if size else count * COST_OF_NOTHING
        if cost > self.left:
            raise XdrError(XdrReason.ITEMS, "more elements than Limits.max_items")
        if self.at + count * size > len(self.data):
            raise XdrError(XdrReason.SHORT)
        self.left -= cost
        return count

    def block(self, count: int, limit: int, size: int) -> bytes:
        """The octets of so many elements of just `size` octets each."""
        at = self.at
        self.at = at + self.count(count, limit, size) * size
        return self.data[at : self.at]

    def run(self, letter: str, size: int, count: int, limit: int) -> tuple[Any, ...]:
        """So many numbers; `letter` is that of `struct`."""
        at = self.at
        self.at = at + self.count(count, limit, size) * size
        return struct.unpack_from(f">{count}{letter}", self.data, at)

    def present(self, mark: int) -> bool:
        """Whether a `T *` is there; it costs an item."""
        if mark == 0:
            return False
        if mark != 1:
            raise XdrError(XdrReason.BAD_BOOL, str(mark))
        self._spend()
        return True

    def end(self, mark: int) -> None:
        """A list ends, if the mark says so; otherwise the limit forbids that it goes on, or the mark is none."""
        if self.present(mark):
            self.left += 1

    def enter(self) -> None:
        """One level deeper, until `depth` is raised again."""
        if not self.depth:
            raise XdrError(XdrReason.DEPTH, "nested more deeply than Limits.max_depth")
        self.depth -= 1
        self._spend()

    def _spend(self) -> None:
        if not self.left:
            raise XdrError(XdrReason.ITEMS, "more elements than Limits.max_items")
        self.left -= 1

    def follow(self, step: ReadStep) -> Any:
        """A value of a type that contains itself: its tails in a loop, all else one level deeper."""
        self.enter()
        head, tail, name = step(self)
        last = head
        while tail is not None:
            self._spend()
            value, tail, following = tail(self)
            setattr(last, name, value)
            last, name = value, following
        self.depth += 1
        return head


class Writer:
    """The state of encoding one message."""

    __slots__ = ("depth", "limit", "out")

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.out = bytearray()
        self.limit = limits.max_bytes
        self.depth = limits.max_depth

    def finish(self) -> bytes:
        """All that was written.  Raises XdrError if it is more than a message may have."""
        if len(self.out) > self.limit:
            raise XdrError(XdrReason.BYTES, f"{len(self.out)} octets, the limit is {self.limit}")
        return bytes(self.out)

    def follow(self, step: WriteStep, value: Any) -> None:
        """As `Reader.follow`.  A list that leads back to itself ends at the limit."""
        if not self.depth:
            raise XdrError(XdrReason.DEPTH, "nested more deeply than Limits.max_depth")
        self.depth -= 1
        tail = step(self, value)
        while tail is not None:
            if len(self.out) > self.limit:
                raise XdrError(XdrReason.BYTES, f"more than {self.limit} octets; does a list lead back to itself?")
            tail = tail[0](self, tail[1])
        self.depth += 1


def octets(data: bytes, limit: int = _MAX_WORD) -> bytes:
    """Data that are not too long."""
    if len(data) > limit:
        raise XdrError(XdrReason.TOO_LONG, f"{len(data)} octets, the limit is {limit}")
    return data


def text(value: str, limit: int = _MAX_WORD) -> bytes:
    """The octets of a string that is not too long."""
    return octets(value.encode("utf-8", "surrogateescape"), limit)


def exact(value: Sequence[T], length: int) -> Sequence[T]:
    """A sequence of just that length."""
    if len(value) != length:
        raise XdrError(XdrReason.VALUE, f"{len(value)} elements where there are always {length}")
    return value


def exact_octets(data: bytes, length: int) -> bytes:
    """Data of just that length."""
    if len(data) != length:
        raise XdrError(XdrReason.VALUE, f"{len(data)} octets where there are always {length}")
    return data


def counted(value: Sequence[Any], limit: int = _MAX_WORD) -> int:
    """The number of elements, which are not too many."""
    if len(value) > limit:
        raise XdrError(XdrReason.TOO_LONG, f"{len(value)} elements, the limit is {limit}")
    return len(value)


def pack_run(letter: str, values: Sequence[Any]) -> bytes:
    """Numbers; `letter` is that of `struct`."""
    return struct.pack(f">{len(values)}{letter}", *values)


def narrow(value: int, low: int, high: int) -> int:
    """A number that fits into char or short."""
    if not low <= value <= high:
        raise XdrError(XdrReason.RANGE, f"{value} is not within {low} to {high}")
    return value


def no_value(value: object) -> None:
    """A union whose case is void has the value None."""
    if value is not None:
        raise XdrError(XdrReason.VALUE, f"this case of the union is void, not {type(value).__name__}")


def bad_union(discriminant: int) -> XdrError:
    """The union has no such case."""
    return XdrError(XdrReason.BAD_UNION, str(discriminant))


def other_case(codec: "Codec[Any]", discriminant: object, asked: str) -> AttributeError:
    """This member of the union is not the one that there is."""
    shape = codec.made_of
    arm = shape.chosen(discriminant) if isinstance(shape, Arms) else None
    there = f"it has {arm.name!r}" if arm is not None and arm.name else "it is void" if arm is not None else "no case"
    shown = discriminant.name if isinstance(discriminant, IntEnum) else repr(discriminant)
    name = shape.name if isinstance(shape, Arms) else "discriminant"
    return AttributeError(f"this {codec.name} has no {asked!r}, as its {name} is {shown}: {there}")


def untyped(value: Any) -> Any:
    """A value whose type the discriminant tells, which type checkers cannot know."""
    return value


SHOWN_LEVELS: Final = 4


class Nested:
    """Base of the types that contain themselves: they are compared in a loop, and shown to SHOWN_LEVELS levels."""

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        left: list[tuple[Any, Any]] = [(self, other)]
        seen: set[tuple[int, int]] = set()  # what leads back to itself would be compared for ever
        while left:
            mine, theirs = left.pop()
            if type(mine) is not type(theirs):
                return False
            if isinstance(mine, Nested):
                pair = (id(mine), id(theirs))
                if mine is theirs or pair in seen:
                    continue
                seen.add(pair)
                left += [(getattr(mine, name), getattr(theirs, name)) for name in _members(mine)]
            elif isinstance(mine, list):
                if len(mine) != len(theirs):
                    return False
                left += zip(mine, theirs, strict=True)
            elif mine != theirs:
                return False
        return True

    def __repr__(self) -> str:
        return _shown(self, SHOWN_LEVELS)


def _members(value: Nested) -> tuple[str, ...]:
    found: tuple[str, ...] = type(value).__slots__
    return found


def _shown(value: object, levels: int) -> str:
    if isinstance(value, list):
        return f"[{', '.join([_shown(each, levels) for each in value])}]"
    if not isinstance(value, Nested):
        return repr(value)
    if not levels:
        return "..."
    members = [f"{name}={_shown(getattr(value, name), levels - 1)}" for name in _members(value)]
    return f"{type(value).__qualname__}({', '.join(members)})"


def reason_of(error: Exception) -> XdrError:
    """What an exception of decoding means."""
    if isinstance(error, KeyError):
        return XdrError(XdrReason.BAD_ENUM, str(error))
    if isinstance(error, IndexError):
        return XdrError(XdrReason.BAD_BOOL)
    if isinstance(error, RecursionError):
        return XdrError(XdrReason.DEPTH, "the caller itself has used up Python's stack")
    return XdrError(XdrReason.SHORT)


DECODING: Final = (struct.error, KeyError, IndexError, RecursionError)
ENCODING: Final = (
    struct.error,
    KeyError,
    TypeError,
    AttributeError,
    UnicodeError,
    OverflowError,
    RecursionError,
    XdrError,
)


class Codec(Generic[T]):
    """One type: how its values are read and written."""

    __slots__ = ("_at", "made_of", "name", "read", "write")

    def __init__(
        self,
        name: str,
        read: Callable[[Reader], T],
        write: Callable[[Writer, T], None],
        at: Callable[[bytes | bytearray | memoryview, int], T] | None = None,
        made_of: Shape | None = None,
    ) -> None:
        self.name = name
        self.read = read
        self.write = write
        self.made_of = (
            made_of  # to say where a value does not fit; a generated module sets it when all codecs are there
        )
        self._at = at  # the same as `read`, for a type of fixed size: a Reader would be most of the cost

    def __repr__(self) -> str:
        return f"<Codec {self.name}>"

    def decode(self, data: bytes | bytearray | memoryview, limits: Limits = LIMITS, at: int = 0) -> T:
        """The value that begins at octet `at`.  Raises XdrError."""
        try:
            if self._at is not None and not limits.strict and len(data) - at <= limits.max_bytes:
                return self._at(data, at)
            reader = Reader(data if isinstance(data, bytes) else bytes(data), limits, at)
            value = self.read(reader)
        except DECODING as error:
            raise reason_of(error) from None
        if limits.strict:
            reader.finish()
        return value

    def encode(self, value: T, limits: Limits = LIMITS) -> bytes:
        """The octets of a value.  Raises XdrError, also for a value that is of another type."""
        writer = Writer(limits)
        try:
            self.write(writer, value)
        except ENCODING as error:
            raise self._wrong(error, value) from None
        return writer.finish()

    def append(self, writer: Writer, value: T) -> None:
        """Write a value behind others.  Raises XdrError."""
        try:
            self.write(writer, value)
        except ENCODING as error:
            raise self._wrong(error, value) from None

    def _wrong(self, error: Exception, value: T) -> XdrError:
        """What an exception of encoding means, with the place in the value if it is found."""
        if isinstance(error, RecursionError):
            return reason_of(error)
        reason = error.reason if isinstance(error, XdrError) else XdrReason.VALUE
        if reason in {XdrReason.DEPTH, XdrReason.BYTES}:
            assert isinstance(error, XdrError)
            return error
        if self.made_of is not None and (found := misfit(self, value)):
            return XdrError(reason, found[1], found[0])
        if isinstance(error, XdrError):
            return error
        why = f"{error} is no value of its enum" if isinstance(error, KeyError) else str(error)
        return XdrError(reason, why, self.name)


# -- the types of the language


def _number(name: str, letter: str) -> Codec[Any]:
    form = struct.Struct(">" + letter)

    def read(reader: Reader) -> Any:
        (value,) = form.unpack_from(reader.data, reader.at)
        reader.at += form.size
        return value

    def write(writer: Writer, value: Any) -> None:
        writer.out += form.pack(value)

    bits = form.size * 8
    low, high = (0, (1 << bits) - 1) if letter.isupper() else (-1 << (bits - 1), (1 << (bits - 1)) - 1)
    return Codec(name, read, write, made_of=Number(letter, low, high))


def _small(name: str, base: Codec[int], low: int, high: int) -> Codec[int]:
    def write(writer: Writer, value: int) -> None:
        base.write(writer, narrow(value, low, high))

    letter = "i" if low else "I"
    return Codec(name, lambda reader: narrow(base.read(reader), low, high), write, made_of=Number(letter, low, high))


def _read_opaque(reader: Reader) -> bytes:
    return reader.take(reader.word())


def _write_opaque(writer: Writer, value: bytes) -> None:
    writer.out += _WORD.pack(len(value))
    writer.out += value
    writer.out += PADS[len(value) & 3]


def _write_bool(writer: Writer, value: bool) -> None:
    writer.out += _WORD.pack(1 if value else 0)


def _write_quadruple(writer: Writer, value: bytes) -> None:
    writer.out += exact_octets(value, 16)


INT: Final[Codec[int]] = _number("int", "i")
UNSIGNED: Final[Codec[int]] = _number("unsigned int", "I")
HYPER: Final[Codec[int]] = _number("hyper", "q")
UNSIGNED_HYPER: Final[Codec[int]] = _number("unsigned hyper", "Q")
FLOAT: Final[Codec[float]] = _number("float", "f")
DOUBLE: Final[Codec[float]] = _number("double", "d")
CHAR: Final = _small("char", INT, -0x80, 0x7F)
UNSIGNED_CHAR: Final = _small("unsigned char", UNSIGNED, 0, 0xFF)
SHORT: Final = _small("short", INT, -0x8000, 0x7FFF)
UNSIGNED_SHORT: Final = _small("unsigned short", UNSIGNED, 0, 0xFFFF)
BOOL: Final[Codec[bool]] = Codec("bool", lambda reader: BOOLS[reader.word()], _write_bool)
QUADRUPLE: Final[Codec[bytes]] = Codec(
    "quadruple", lambda reader: reader.take(16), _write_quadruple, made_of=Octets(16, exact=True)
)
OPAQUE: Final[Codec[bytes]] = Codec("opaque<>", _read_opaque, _write_opaque, made_of=Octets())
STRING: Final[Codec[str]] = Codec(
    "string<>",
    lambda reader: reader.text(reader.word()),
    lambda writer, value: _write_opaque(writer, text(value)),
    made_of=Text(),
)
VOID: Final[Codec[None]] = Codec("void", lambda _: None, lambda _, value: no_value(value))
