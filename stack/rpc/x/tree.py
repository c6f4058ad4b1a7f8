"""The syntax tree of an interface file: what it says, in its order, nothing checked yet."""

from dataclasses import dataclass, field
from enum import Enum

from stack.rpc.x.tokens import Position, Token

Value = list[Token]  # an expression, not computed yet: constants may be used above their definition


class Form(Enum):
    """How often a declaration has its type."""

    PLAIN = "T name"
    FIXED = "T name[n]"
    VARIABLE = "T name<n>"
    OPTIONAL = "T *name"
    VOID = "void"


@dataclass(slots=True, frozen=True)
class TypeName:
    """A type by its name: one of the language ("unsigned int", "opaque", "string", ...) or of the file."""

    name: str
    at: Position


@dataclass(slots=True, frozen=True)
class Declaration:
    """A member, the target of a typedef, an argument."""

    at: Position
    form: Form
    type: "TypeName | Enumeration | Structure | Union"
    name: str = ""
    size: Value | None = None  # of FIXED and VARIABLE; None where there is no limit


@dataclass(slots=True, frozen=True)
class Constant:
    """`const NAME = VALUE;`."""

    name: str
    at: Position
    value: Value


@dataclass(slots=True, frozen=True)
class Typedef:
    """`typedef DECLARATION;`."""

    name: str
    at: Position
    target: Declaration


@dataclass(slots=True, frozen=True)
class Enumeration:
    """`enum NAME { A = 1, B };`."""

    name: str
    at: Position
    members: list[tuple[Token, Value | None]]


@dataclass(slots=True, frozen=True)
class Structure:
    """`struct NAME { ... };`."""

    name: str
    at: Position
    members: list[Declaration]


@dataclass(slots=True, frozen=True)
class Arm:
    """The cases of a union that have one member."""

    cases: list[Value]
    member: Declaration


@dataclass(slots=True, frozen=True)
class Union:
    """`union NAME switch (TYPE NAME) { case A: ...; default: ...; };`."""

    name: str
    at: Position
    discriminant: Declaration
    arms: list[Arm]
    default: Declaration | None


@dataclass(slots=True, frozen=True)
class ProcedureDef:
    """`RESULT NAME(ARGUMENTS) = NUMBER;`."""

    name: str
    at: Position
    result: Declaration
    arguments: list[Declaration]
    number: Value


@dataclass(slots=True, frozen=True)
class VersionDef:
    """`version NAME { ... } = NUMBER;`."""

    name: str
    at: Position
    procedures: list[ProcedureDef]
    number: Value


@dataclass(slots=True, frozen=True)
class ProgramDef:
    """`program NAME { ... } = NUMBER;`."""

    name: str
    at: Position
    versions: list[VersionDef]
    number: Value


Definition = Constant | Typedef | Enumeration | Structure | Union


@dataclass(slots=True)
class Specification:
    """A whole file."""

    definitions: list[Definition] = field(default_factory=list)
    programs: list[ProgramDef] = field(default_factory=list)
