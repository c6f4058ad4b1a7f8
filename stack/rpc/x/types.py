"""The types of an interface file once it is checked: all names resolved, all numbers computed."""

from dataclasses import dataclass, field
from typing import Final

from stack.rpc.x.tokens import Position

NO_LIMIT: Final = (1 << 32) - 1


class XType:
    """A type; compared by identity, as types may contain themselves."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Number(XType):
    """A number; `letter` is that of `struct`, `low` and `high` bound what C keeps in less than a word."""

    codec: str  # in stack.rpc.xdr
    letter: str
    low: int | None = None
    high: int = 0

    @property
    def size(self) -> int:
        """Octets on the wire."""
        return 8 if self.letter in "qQd" else 4


@dataclass(slots=True, eq=False)
class Bool(XType):
    """TRUE or FALSE."""


@dataclass(slots=True, eq=False)
class Void(XType):
    """Nothing."""


@dataclass(slots=True, eq=False)
class Opaque(XType):
    """`opaque x[size]`."""

    size: int


@dataclass(slots=True, eq=False)
class Bytes(XType):
    """`opaque x<limit>`."""

    limit: int


@dataclass(slots=True, eq=False)
class Text(XType):
    """`string x<limit>`."""

    limit: int


@dataclass(slots=True, eq=False)
class Array(XType):
    """`T x[size]`."""

    item: XType
    size: int


@dataclass(slots=True, eq=False)
class List(XType):
    """`T x<limit>`."""

    item: XType
    limit: int


@dataclass(slots=True, eq=False)
class Optional(XType):
    """`T *x`."""

    item: XType


@dataclass(slots=True, eq=False)
class Alias(XType):
    """`typedef`."""

    name: str
    at: Position
    target: XType


@dataclass(slots=True, eq=False)
class Enum(XType):
    """`enum`."""

    name: str
    at: Position
    members: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Member:
    """A member of a struct or a union."""

    name: str
    at: Position
    type: XType


@dataclass(slots=True, eq=False)
class Struct(XType):
    """`struct`; `group` tells the types that contain one another (0: not itself)."""

    name: str
    at: Position
    members: list[Member] = field(default_factory=list)
    group: int = 0


@dataclass(slots=True, eq=False)
class Case:
    """Values of the discriminant that choose a member; None is the default."""

    values: list[int] | None
    member: Member | None  # None: void


@dataclass(slots=True, eq=False)
class Union(XType):
    """`union`."""

    name: str
    at: Position
    discriminant: Member
    cases: list[Case] = field(default_factory=list)
    group: int = 0


@dataclass(slots=True, eq=False)
class CheckedProcedure:
    """A procedure."""

    name: str
    number: int
    args: list[XType]
    result: XType


@dataclass(slots=True, eq=False)
class CheckedVersion:
    """A version."""

    name: str
    number: int
    procedures: list[CheckedProcedure]


@dataclass(slots=True, eq=False)
class CheckedProgram:
    """A program."""

    name: str
    number: int
    versions: list[CheckedVersion]


@dataclass(slots=True)
class Interface:
    """All of a file."""

    constants: list[tuple[str, int | str]] = field(default_factory=list)
    types: list[Enum | Struct | Union | Alias] = field(default_factory=list)
    programs: list[CheckedProgram] = field(default_factory=list)


def bare(xtype: XType) -> XType:
    """The type that a typedef leads to."""
    while isinstance(xtype, Alias):
        xtype = xtype.target
    return xtype


def parts(xtype: XType) -> list[XType]:
    """The types that a type is made of, one step."""
    if isinstance(xtype, Struct):
        return [member.type for member in xtype.members]
    if isinstance(xtype, Union):
        return [case.member.type for case in xtype.cases if case.member is not None]
    if isinstance(xtype, Array | List | Optional):
        return [xtype.item]
    return [xtype.target] if isinstance(xtype, Alias) else []
