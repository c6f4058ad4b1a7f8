"""From the syntax tree to checked types: names resolved, constants computed, duplicates and nonsense refused.

A name that the file does not define is looked for where C would find it: among the types and constants of the library
(`netobj`, `u_int`, `uint32_t`, ...), in `%#define NAME number`, and in the files behind `%#include <other.h>`, where
other.x is at hand.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from stack.rpc.x import sizes, tree
from stack.rpc.x.expression import Expression
from stack.rpc.x.tokens import Kind, Position, Token
from stack.rpc.x.types import (
    NO_LIMIT,
    Alias,
    Array,
    Bool,
    Bytes,
    Case,
    CheckedProcedure,
    CheckedProgram,
    CheckedVersion,
    Enum,
    Interface,
    List,
    Member,
    Number,
    Opaque,
    Optional,
    Struct,
    Text,
    Union,
    Void,
    XType,
    bare,
)

MAX_INLINE: Final = 1 << 20  # elements of a fixed array, octets of a fixed opaque

_INTS: Final = (("INT", "i"), ("UNSIGNED", "I"), ("HYPER", "q"), ("UNSIGNED_HYPER", "Q"))
_SMALL: Final = {
    "char": ("CHAR", "i", -0x80, 0x7F),
    "unsigned char": ("UNSIGNED_CHAR", "I", 0, 0xFF),
    "short": ("SHORT", "i", -0x8000, 0x7FFF),
    "unsigned short": ("UNSIGNED_SHORT", "I", 0, 0xFFFF),
}
# what <rpc/types.h> and its kin call them
_OTHER_NAMES: Final = {
    "long": "int",
    "unsigned long": "unsigned int",
    "u_char": "unsigned char",
    "u_short": "unsigned short",
    "u_int": "unsigned int",
    "u_long": "unsigned int",
    "int8_t": "char",
    "uint8_t": "unsigned char",
    "u_int8_t": "unsigned char",
    "int16_t": "short",
    "uint16_t": "unsigned short",
    "u_int16_t": "unsigned short",
    "int32_t": "int",
    "uint32_t": "unsigned int",
    "u_int32_t": "unsigned int",
    "int64_t": "hyper",
    "uint64_t": "unsigned hyper",
    "u_int64_t": "unsigned hyper",
    "quad_t": "hyper",
    "u_quad_t": "unsigned hyper",
    "longlong_t": "hyper",
    "u_longlong_t": "unsigned hyper",
    "bool_t": "bool",
    "rpcprog_t": "unsigned int",
    "rpcvers_t": "unsigned int",
    "rpcproc_t": "unsigned int",
    "rpcprot_t": "unsigned int",
    "rpcport_t": "unsigned int",
}


def _language() -> dict[str, XType]:
    found: dict[str, XType] = {
        name: Number(codec, letter)
        for name, (codec, letter) in zip(("int", "unsigned int", "hyper", "unsigned hyper"), _INTS, strict=True)
    }
    found |= {name: Number(*how) for name, how in _SMALL.items()}
    found |= {"float": Number("FLOAT", "f"), "double": Number("DOUBLE", "d"), "bool": Bool(), "quadruple": Opaque(16)}
    return found


Outside = Callable[[], Iterator[tree.Definition]]


class Checker:
    """Checks one file.  `outside` yields what C would find elsewhere; it is asked once a name is missing."""

    __slots__ = (
        "_constants",
        "_defined",
        "_hints",
        "_interface",
        "_language",
        "_open",
        "_outside",
        "_specification",
        "_types",
    )

    def __init__(self, specification: tree.Specification, hints: Mapping[str, list[Token]], outside: Outside) -> None:
        self._specification = specification
        self._hints = hints
        self._outside: Outside | None = outside
        self._language = _language()
        self._defined: dict[str, tree.Definition] = {}
        self._constants: dict[str, int | str | tuple[list[Token], Position]] = {"FALSE": 0, "TRUE": 1}
        self._open: set[str] = set()
        self._types: dict[str, XType] = {}
        self._interface = Interface()

    def check(self) -> Interface:
        """The checked file.  Raises InterfaceError."""
        own = [definition for definition in self._specification.definitions if not _names_itself(definition)]
        for definition in own:
            self._define(definition)
        for definition in own:
            if isinstance(definition, tree.Constant):
                self._interface.constants.append((definition.name, self._constant(definition.name, definition.at)))
            else:
                self._named(definition.name, definition.at)
        programs = [self._program(program) for program in self._specification.programs]
        _unique([(program.name, None, program.at) for program in self._specification.programs], "program")
        _unique(
            [("", checked.number, program.at)
             for checked, program in zip(programs, self._specification.programs, strict=True)],
            "program",
        )  # fmt: skip
        self._interface.programs = programs
        self._check_sizes()
        return self._interface

    # -- names

    def _define(self, definition: tree.Definition, *, weak: bool = False) -> None:
        """Note a definition; a weak one gives way to those there are."""
        if definition.name in self._defined or definition.name in self._language:
            if weak:
                return
            raise definition.at.error(f"{definition.name} is defined already{self._where(definition.name)}")
        self._defined[definition.name] = definition
        if isinstance(definition, tree.Constant):
            self._note(definition.name, definition.value, definition.at, weak=weak)
        elif isinstance(definition, tree.Enumeration):
            self._note_members(definition, weak=weak)

    def _where(self, name: str) -> str:
        there = self._defined.get(name)
        return f", in {there.at.file} line {there.at.line}" if there is not None else ""

    def _note(self, name: str, value: list[Token], at: Position, *, weak: bool) -> None:
        if name in self._constants:
            if weak:
                return
            raise at.error(f"{name} is defined already")
        self._constants[name] = (value, at)

    def _note_members(self, definition: tree.Enumeration, *, weak: bool) -> None:
        """The values of an enum are constants of the file; one without a value is one more than that before it."""
        previous: Token | None = None
        for member, given in definition.members:
            end = Token(Kind.END, "", member.at)
            if given is not None:
                value = given
            elif previous is None:
                value = [Token(Kind.NUMBER, "0", member.at), end]
            else:
                value = [previous, Token(Kind.MARK, "+", member.at), Token(Kind.NUMBER, "1", member.at), end]
            if member.text in self._defined and not weak:
                raise member.at.error(f"{member.text} is defined already{self._where(member.text)}")
            self._note(member.text, value, member.at, weak=weak)
            previous = member

    def _look_outside(self) -> bool:
        """Take up what is defined elsewhere; False if that was done before."""
        if self._outside is None:
            return False
        found, self._outside = self._outside, None
        for definition in found():
            if not _names_itself(definition):
                self._define(definition, weak=True)
        return True

    # -- constants

    def _constant(self, name: str, at: Position) -> int | str:
        if name not in self._constants and name in self._hints:
            self._constants[name] = ([*self._hints[name], Token(Kind.END, "", at)], at)
        if name not in self._constants and self._look_outside():
            return self._constant(name, at)
        found = self._constants.get(name)
        if found is None:
            raise at.error(f"{name} is not defined")
        if not isinstance(found, tuple):
            return found
        if name in self._open or len(self._open) > 5_000:
            raise at.error(f"{name} is defined by itself")
        tokens, _ = found
        if len(tokens) == 2 and tokens[0].kind is Kind.STRING:
            value: int | str = tokens[0].text[1:-1]
        else:
            self._open.add(name)
            value = Expression(tokens, self._number_of).whole()
            self._open.discard(name)
        self._constants[name] = value
        return value

    def _number_of(self, token: Token) -> int:
        value = self._constant(token.text, token.at)
        if isinstance(value, str):
            raise token.at.error(f"{token.text} is a string; a number is expected")
        return value

    def _value(self, tokens: list[Token], low: int, high: int, what: str) -> int:
        value = Expression(tokens, self._number_of).whole()
        if not low <= value <= high:
            raise tokens[0].at.error(f"{what} is {value}; it can be {low} to {high}")
        return value

    # -- types

    def _named(self, name: str, at: Position) -> XType:
        if name in self._types:
            return self._types[name]
        definition = self._defined.get(name)
        if definition is None:
            if found := self._language.get(_OTHER_NAMES.get(name, name)):
                return found
            if self._look_outside():
                return self._named(name, at)
            raise at.error(f"the type {name} is not defined")
        if isinstance(definition, tree.Constant):
            raise at.error(f"{name} is a constant, and no type")
        return self._make(definition, name)

    def _make(self, definition: tree.Definition, name: str) -> XType:
        """The type of a definition; it is known before its members are, which may contain it."""
        made: XType
        if isinstance(definition, tree.Typedef):
            made = self._types[name] = Alias(name, definition.at, Void())
            self._interface.types.append(made)
            made.target = self._declared(definition.target, name)
            return made
        if isinstance(definition, tree.Enumeration):
            made = self._types[name] = Enum(name, definition.at)
            self._interface.types.append(made)
            for member, _ in definition.members:
                value = self._number_of(member)
                if not -(1 << 31) <= value < 1 << 31:
                    raise member.at.error(f"{member.text} is {value}; an enum has 32 bits and a sign")
                made.members.append((member.text, value))
            return made
        if isinstance(definition, tree.Structure):
            made = self._types[name] = Struct(name, definition.at)
            self._interface.types.append(made)
            _unique([(member.name, None, member.at) for member in definition.members], "member")
            made.members += [self._member(member, name) for member in definition.members]
            return made
        assert isinstance(definition, tree.Union)
        return self._make_union(definition, name)

    def _member(self, declared: tree.Declaration, within: str) -> Member:
        return Member(declared.name, declared.at, self._declared(declared, f"{within}_{declared.name}"))

    def _declared(self, declared: tree.Declaration, name: str) -> XType:
        """The type of a declaration; `name` is for one that is defined in it."""
        given, form = declared.type, declared.form
        if form is tree.Form.VOID:
            return Void()
        if isinstance(given, tree.TypeName) and given.name in {"opaque", "string"}:
            return self._octets(declared, given)
        item = self._named(given.name, given.at) if isinstance(given, tree.TypeName) else self._inline(given, name)
        if form is tree.Form.PLAIN:
            return item
        if form is tree.Form.OPTIONAL:
            # None cannot say which of two marks is missing; on the wire T<1> is the same (RFC 4506 §4.19)
            return List(item, 1) if isinstance(bare(item), Optional) else Optional(item)
        if form is tree.Form.FIXED:
            assert declared.size is not None
            return Array(item, self._value(declared.size, 0, MAX_INLINE, f"the size of {declared.name}"))
        return List(item, self._limit(declared))

    def _limit(self, declared: tree.Declaration) -> int:
        if declared.size is None:
            return NO_LIMIT
        return self._value(declared.size, 0, NO_LIMIT, f"the limit of {declared.name}")

    def _octets(self, declared: tree.Declaration, given: tree.TypeName) -> XType:
        if declared.form is tree.Form.VARIABLE:
            limit = self._limit(declared)
            return Text(limit) if given.name == "string" else Bytes(limit)
        if declared.form is tree.Form.FIXED and given.name == "opaque":
            assert declared.size is not None
            return Opaque(self._value(declared.size, 0, MAX_INLINE, f"the size of {declared.name}"))
        allowed = "<n> or <>" if given.name == "string" else "[n], <n> or <>"
        raise given.at.error(f"{given.name} needs {allowed} behind the name")

    def _inline(self, given: tree.Enumeration | tree.Structure | tree.Union, name: str) -> XType:
        while name in self._defined or name in self._types:
            name += "_"
        if isinstance(given, tree.Enumeration):
            self._note_members(given, weak=False)
        return self._make(given, name)

    def _make_union(self, definition: tree.Union, name: str) -> Union:
        if definition.discriminant.form is not tree.Form.PLAIN:
            raise definition.discriminant.at.error("a discriminant is an int, unsigned int, enum or bool")
        discriminant = self._member(definition.discriminant, name)
        made = self._types[name] = Union(name, definition.at, discriminant)
        self._interface.types.append(made)
        low, high, known = _discriminants(discriminant)
        seen: dict[int, Token] = {}
        members: list[tree.Declaration] = []
        for arm in definition.arms:
            values = []
            for tokens in arm.cases:
                value = self._value(tokens, low, high, "the case")
                if known is not None and value not in known:
                    raise tokens[0].at.error(f"{tokens[0].text} is no value of the discriminant {discriminant.name}")
                if value in seen:
                    raise tokens[0].at.error(f"this case stands in line {seen[value].at.line} already")
                seen[value] = tokens[0]
                values.append(value)
            made.cases.append(Case(values, self._arm(arm.member, name, members)))
        if definition.default is not None:
            made.cases.append(Case(None, self._arm(definition.default, name, members)))
        _unique([(member.name, None, member.at) for member in [definition.discriminant, *members]], "member")
        return made

    def _arm(self, declared: tree.Declaration, within: str, members: list[tree.Declaration]) -> Member | None:
        if declared.form is tree.Form.VOID:
            return None
        members.append(declared)
        return self._member(declared, within)

    def _check_sizes(self) -> None:
        for xtype in self._interface.types:
            if isinstance(xtype, Alias) and sizes.typedef_circle(xtype):
                raise xtype.at.error(
                    f"the type {xtype.name} is defined by itself,"
                    f" or by more than {sizes.MAX_TYPEDEFS} typedefs in a row"
                )
        named = [xtype for xtype in self._interface.types if isinstance(xtype, Struct | Union)]
        least = sizes.Sizes(named)
        for one in named:
            if least.least(one) == sizes.ENDLESS:
                raise one.at.error(f"{one.name} contains itself without an end: use {one.name} *name for a list")
        sizes.mark_groups(named)

    # -- programs

    def _program(self, program: tree.ProgramDef) -> CheckedProgram:
        number = self._value(program.number, 0, NO_LIMIT, "the number of the program")
        versions = [self._version(version, program.name) for version in program.versions]
        numbered = zip(versions, program.versions, strict=True)
        _unique([(version.name, checked.number, version.at) for checked, version in numbered], "version")
        return CheckedProgram(program.name, number, versions)

    def _version(self, version: tree.VersionDef, program: str) -> CheckedVersion:
        number = self._value(version.number, 0, NO_LIMIT, "the number of the version")
        procedures = []
        for procedure in version.procedures:
            within = f"{procedure.name}_{number}"
            value = self._value(procedure.number, 0, NO_LIMIT, "the number of the procedure")
            args = [self._declared(argument, f"{within}_argument") for argument in procedure.arguments]
            result = self._declared(procedure.result, f"{within}_result")
            procedures.append(CheckedProcedure(procedure.name, value, args, result))
            if value == 0 and (args or not isinstance(bare(result), Void)):
                # RFC 5531 §12.1: procedure 0 takes no arguments and has no result
                raise procedure.at.error(f"procedure 0 of {program} is void {procedure.name}(void)")
        numbered = zip(procedures, version.procedures, strict=True)
        _unique([(checked.name, checked.number, procedure.at) for checked, procedure in numbered], "procedure")
        return CheckedVersion(version.name, number, procedures)


def _discriminants(member: Member) -> tuple[int, int, set[int] | None]:
    """Least and greatest value of a discriminant; and which there are, if not all between."""
    xtype = bare(member.type)
    if isinstance(xtype, Bool):
        return 0, 1, None
    if isinstance(xtype, Enum):
        return -(1 << 31), (1 << 31) - 1, {value for _, value in xtype.members}
    if isinstance(xtype, Number) and xtype.letter in "iI":
        if xtype.low is not None:
            return xtype.low, xtype.high, None
        return (-(1 << 31), (1 << 31) - 1, None) if xtype.letter == "i" else (0, NO_LIMIT, None)
    raise member.at.error("a discriminant is an int, unsigned int, enum or bool")


def _names_itself(definition: tree.Definition) -> bool:
    """`typedef struct a a;` says nothing new."""
    if not isinstance(definition, tree.Typedef):
        return False
    target = definition.target
    same = isinstance(target.type, tree.TypeName) and target.type.name == definition.name
    return same and target.form is tree.Form.PLAIN


def _unique(found: list[tuple[str, int | None, Position]], what: str) -> None:
    names: set[str] = set()
    numbers: set[int] = set()
    for name, number, at in found:
        if name and name in names:
            raise at.error(f"there is another {what} {name}")
        if number is not None and number in numbers:
            raise at.error(f"there is another {what} with the number {number}")
        names.add(name)
        if number is not None:
            numbers.add(number)
