"""From checked types to the text of a Python module."""

import re
from collections.abc import Iterator
from typing import Final

from stack.rpc.x.layout import Formats, fit
from stack.rpc.x.names import Names, procedure_scope
from stack.rpc.x.reading import Reading
from stack.rpc.x.shaping import Shapes
from stack.rpc.x.sizes import Sizes
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
    Number,
    Opaque,
    Optional,
    Struct,
    Text,
    Union,
    Void,
    XType,
    bare,
    parts,
)
from stack.rpc.x.writing import Writing

# what generated functions call their variables, besides v1, v2, ...: types of these names have others there
LOCALS: Final = frozenset({
    "at", "data", "each", "end", "found", "head", "item", "kind", "out", "r", "tail", "v", "value", "w",
})  # fmt: skip
NUMBERED: Final = re.compile(r"v\d+")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_HELPER: Final = "_type_"  # before the name of a type that a member hides


class Generator:
    """Writes one module."""

    __slots__ = ("_anonymous", "_extra", "_hidden", "_interface", "_nameless", "_names", "_title", "formats", "sizes")

    def __init__(self, interface: Interface, title: str) -> None:
        self._interface = interface
        self._title = title
        self._names = Names(interface)
        self.formats = Formats()
        self.sizes = Sizes([xtype for xtype in interface.types if isinstance(xtype, Struct | Union)])
        self._hidden: dict[str, str] = {}  # the types that members hide, and their other names
        self._anonymous: dict[str, str] = {}  # codecs of types without a name, by what they are
        self._extra: list[str] = []  # their functions
        self._nameless: dict[str, XType] = {}  # and the types, by codec

    # -- what the parts ask

    def name(self, xtype: XType) -> str:
        """The name of a named type."""
        return self._names.types[id(xtype)]

    def member(self, xtype: Struct | Union, name: str) -> str:
        """The name of a member."""
        return self._names.members[id(xtype)][name]

    def annotation(self, xtype: XType, hidden: frozenset[str] = LOCALS) -> str:
        """The type as Python writes it, where the names `hidden` mean something else: within functions, for one."""
        if isinstance(xtype, Optional):
            return f"{self.annotation(xtype.item, hidden)} | None"
        if isinstance(xtype, Void):
            return "None"
        if isinstance(xtype, Array | List):
            return f"{self._visible('list', hidden)}[{self.annotation(xtype.item, hidden)}]"
        if isinstance(xtype, Number):
            return self._visible("float" if xtype.letter in "fd" else "int", hidden)
        if isinstance(xtype, Bool):
            return self._visible("bool", hidden)
        if isinstance(xtype, Opaque | Bytes):
            return self._visible("bytes", hidden)
        if isinstance(xtype, Text):
            return self._visible("str", hidden)
        return self._visible(self.name(xtype), hidden)

    def _visible(self, name: str, hidden: frozenset[str]) -> str:
        if name not in hidden and not (hidden is LOCALS and NUMBERED.fullmatch(name)):
            return name
        self._hidden[name] = _HELPER + name
        return self._hidden[name]

    # -- the module

    def module(self) -> str:
        """Its text."""
        types = self._interface.types
        enums = [xtype for xtype in types if isinstance(xtype, Enum)]
        classes = [xtype for xtype in types if isinstance(xtype, Struct | Union)]
        body: list[str] = []
        for enum in enums:
            body += ["", "", *self._enum(enum)]
        for xtype in classes:
            body += ["", "", *(self._struct(xtype) if isinstance(xtype, Struct) else self._union(xtype))]
        aliases = [
            f"{self.name(alias)}: TypeAlias = {self.annotation(alias.target, frozenset())}" for alias in self._ordered()
        ]
        functions: list[str] = []
        codecs: list[str] = []
        for each in types:
            functions += ["", "", *self._functions(each)]
            codecs += self._codec(each)
        programs: list[str] = []
        for program in self._interface.programs:
            programs += self._program(program)
        hidden = [f"{helper}: TypeAlias = {name}" for name, helper in sorted(self._hidden.items())]
        if aliases or hidden:
            body += ["", "", *aliases, *hidden]
        body += [*functions, *self._extra]
        if codecs or self._anonymous:
            body += ["", "", *codecs, *self._anonymous_codecs()]
            body += ["", *Shapes(self).lines(types, self._nameless)]
        return "\n".join([*self._head(body + programs), *body, *programs]) + "\n"

    def _head(self, rest: list[str]) -> list[str]:
        text = "\n".join(rest)
        lines = [
            f'"""{_plain(self._title)}, compiled by tapstack rpcgen: to change it, change that file."""',
            "",
            "# ruff: noqa",
            "",
            "from __future__ import annotations",
            "",
        ]
        lines += ["from dataclasses import dataclass"] if "@dataclass" in text else []
        lines += ["from enum import IntEnum"] if "(IntEnum)" in text else []
        lines += ["from itertools import starmap"] if "starmap(" in text else []
        lines += ["from struct import Struct"] if self.formats.lines() else []
        wanted = [name for name in ("Any", "Final", "TypeAlias", "Unpack") if name == "Final" or name in text]
        lines += [f"from typing import {', '.join(wanted)}", ""]
        lines += ["from stack.rpc import xdr"]
        if self._interface.programs:
            lines += ["from stack.rpc import program as _program"]
        constants = [
            f"{self._names.constants[name]}: Final = {_literal(value)}" for name, value in self._interface.constants
        ]
        constants += [
            f"{self._names.constants[program.name]}: Final = {program.number}" for program in self._interface.programs
        ]
        lines += ["", *constants] if constants else []
        own = [f"_{name}: Final = xdr.{name}" for name in ("BOOLS", "PADS") if f"_{name}[" in text]
        own += self.formats.lines()
        lines += ["", *own] if own else []
        return lines

    def _ordered(self) -> Iterator[Alias]:
        """The typedefs, each behind those that it uses."""
        done: set[int] = set()
        for alias in self._interface.types:
            if not isinstance(alias, Alias):
                continue
            path: list[XType] = [alias]
            while path:
                part = path[-1]
                within = [] if isinstance(part, Struct | Union) else parts(part)
                missing = [each for each in within if id(each) not in done]
                if missing:
                    path.append(missing[0])
                    continue
                path.pop()
                if id(part) not in done:
                    done.add(id(part))
                    if isinstance(part, Alias):
                        yield part

    # -- types

    def _enum(self, enum: Enum) -> list[str]:
        name = self.name(enum)
        values = self._names.values[id(enum)]
        lines = [f"class {name}(IntEnum):", f'    """enum {enum.name}."""', ""]
        lines += [f"    {value} = {number}" for value, (_, number) in zip(values, enum.members, strict=True)]
        lines += ["", ""]
        lines += [
            f"{self._names.constants[own]}: Final = {name}.{value}"
            for value, (own, _) in zip(values, enum.members, strict=True)
        ]
        return [*lines, f"_of_{name}: Final[dict[int, {name}]] = {{each.value: each for each in {name}}}"]

    def _class(self, xtype: Struct | Union) -> list[str]:
        name = self.name(xtype)
        if xtype.group:  # comparing and showing it must not recurse
            return ["@dataclass(slots=True, eq=False, repr=False)", f"class {name}(xdr.Nested):"]
        return ["@dataclass(slots=True)", f"class {name}:"]

    def _struct(self, xtype: Struct) -> list[str]:
        names = self._names.members[id(xtype)]
        hidden = frozenset(names.values())
        lines = [*self._class(xtype), f'    """struct {xtype.name}."""']
        if xtype.members:
            lines += [""]
        for member in xtype.members:
            lines.append(f"    {names[member.name]}: {self.annotation(member.type, hidden)}")
        return lines

    def _union(self, xtype: Union) -> list[str]:
        names = self._names.members[id(xtype)]
        hidden = frozenset({*names.values(), "value", "found"})
        members = [case.member for case in xtype.cases if case.member is not None]
        kinds = list(dict.fromkeys(self.annotation(member.type, hidden) for member in members))
        flat = list(dict.fromkeys(kind for each in kinds for kind in each.split(" | ")))
        optional = any(case.member is None for case in xtype.cases)
        annotation = " | ".join([kind for kind in flat if kind != "None"] + ["None"] * (optional or "None" in flat))
        lines = [
            *self._class(xtype),
            f'    """union {xtype.name}: `value` is the member that the first field chooses."""',
        ]
        lines += ["", f"    {names[xtype.discriminant.name]}: {self.annotation(xtype.discriminant.type, hidden)}"]
        lines += [f"    value: {annotation}" + (" = None" if optional else "")]
        for case in xtype.cases:
            if case.member is not None and case.member.name != "value":
                lines += ["", *self._arm(xtype, case, hidden)]
        return lines

    def _arm(self, xtype: Union, case: Case, hidden: frozenset[str]) -> list[str]:
        """A property, for the name that the member has in the file."""
        assert case.member is not None
        names = self._names.members[id(xtype)]
        discriminant = f"self.{names[xtype.discriminant.name]}"
        name, codec = names[case.member.name], self._names.codecs[id(xtype)]
        if case.values is not None:
            wrong = f"not in {{{', '.join(map(str, case.values))}}}"
            if len(case.values) == 1:
                wrong = f"!= {case.values[0]}"
        else:
            others = sorted(value for other in xtype.cases for value in other.values or [])
            wrong = f"in {{{', '.join(map(str, others))}}}"
        lines = ["    @property", f"    def {name}(self) -> {self.annotation(case.member.type, hidden)}:"]
        lines += ['        """The value, if this is its case; otherwise AttributeError."""']
        if wrong != "in {}":
            asked = [codec, discriminant, f'"{case.member.name}"']
            lines += [f"        if {discriminant} {wrong}:", *fit(3, "raise xdr.other_case(", asked, ")")]
        return [
            *lines,
            f"        found: {self.annotation(case.member.type, hidden)} = xdr.untyped(self.value)",
            "        return found",
        ]

    # -- codecs

    def _functions(self, xtype: Enum | Struct | Union | Alias) -> list[str]:
        reading, writing = Reading(self), Writing(self)
        if isinstance(xtype, Struct | Union):
            return [*reading.at_once(xtype), *reading.named(xtype), "", "", *writing.named(xtype)]
        name = self.name(xtype)
        return [*reading.at_once(xtype), *reading.function(name, xtype), "", "", *writing.function(name, xtype)]

    def _codec(self, xtype: Enum | Struct | Union | Alias) -> list[str]:
        name = self.name(xtype)
        head = f"{self._names.codecs[id(xtype)]}: Final[xdr.Codec[{name}]] = xdr.Codec("
        items = [f'"{xtype.name}"', f"_get_{name}", f"_put_{name}"]
        return fit(0, head, [*items, f"_at_{name}"] if Reading(self).at_once(xtype) else items, ")")

    def codec(self, xtype: XType) -> str:
        """An expression for the codec of a type."""
        if isinstance(xtype, Enum | Struct | Union | Alias):
            return self._names.codecs[id(xtype)]
        if isinstance(xtype, Number):
            return f"xdr.{xtype.codec}"
        if isinstance(xtype, Bool | Void):
            return "xdr.BOOL" if isinstance(xtype, Bool) else "xdr.VOID"
        if isinstance(xtype, Text | Bytes) and xtype.limit == NO_LIMIT:
            return "xdr.STRING" if isinstance(xtype, Text) else "xdr.OPAQUE"
        what = _description(xtype)
        if what not in self._anonymous:
            name = f"_{len(self._anonymous) + 1}"
            self._anonymous[what] = f"_xdr{name}"
            self._nameless[f"_xdr{name}"] = xtype
            self._extra += ["", "", *Reading(self).function(name, xtype), "", "", *Writing(self).function(name, xtype)]
        return self._anonymous[what]

    def _anonymous_codecs(self) -> list[str]:
        return [
            f'{codec}: Final = xdr.Codec("{what}", _get_{codec[4:]}, _put_{codec[4:]})'
            for what, codec in self._anonymous.items()
        ]

    # -- programs

    def _program(self, program: CheckedProgram) -> list[str]:
        lines: list[str] = []
        for version in program.versions:
            lines += ["", "", *self._version(program, version)]
        return lines

    def _version(self, program: CheckedProgram, version: CheckedVersion) -> list[str]:
        name = self._names.versions[id(version)]
        procedures = list(version.procedures)
        if all(procedure.number for procedure in procedures):
            taken = {procedure.name for procedure in procedures}
            null = "NULL" if "NULL" not in taken else f"{version.name}_NULL"
            procedures.insert(0, CheckedProcedure(null, 0, [], Void()))
        scope = procedure_scope()
        attributes = {procedure.number: scope.add(procedure.name) for procedure in procedures}
        hidden = frozenset({*attributes.values(), *_LETTERS, "ctx", "found", "options"})
        lines = [f"_of_{name}: Final = {{"]
        for procedure in procedures:
            lines += self._entry(procedure, attributes[procedure.number])
        lines += ["}", "", ""]
        lines += [f"class {name}(_program.Version):", f'    """Version {version.number} of {program.name}."""', ""]
        lines += [
            f"    program = {program.number}",
            f"    version = {version.number}",
            f'    name = "{version.name}"',
            f'    program_name = "{program.name}"',
            f"    procedures = _of_{name}",
            "",
            "    class Server(_program.Server):",
            '        """To be derived from: a procedure that is not overridden is not there, for callers."""',
            "",
            "        __slots__ = ()",
        ]
        for procedure in procedures:
            lines += ["", *self._method(procedure, attributes[procedure.number], hidden, "")]
        lines += [
            "",
            "    class Client(_program.Client):",
            '        """Makes the calls."""',
            "",
            "        __slots__ = ()",
        ]
        for procedure in procedures:
            lines += ["", *self._method(procedure, attributes[procedure.number], hidden, f"_of_{name}")]
        return lines

    def _entry(self, procedure: CheckedProcedure, attribute: str) -> list[str]:
        args = [self.codec(arg) for arg in procedure.args]
        listed = f"({', '.join(args)}{',' if len(args) == 1 else ''})"
        result = self.codec(procedure.result)
        items = [f'"{procedure.name}"', str(procedure.number), listed, result, f'"{attribute}"']
        return fit(1, f"{procedure.number}: _program.Procedure(", items, "),")

    def _method(self, procedure: CheckedProcedure, attribute: str, hidden: frozenset[str], table: str) -> list[str]:
        """Of the client, if the table of the procedures is given, else of the server."""
        count = len(procedure.args)
        names = list(_LETTERS[:count]) if count <= len(_LETTERS) else [f"_{number}" for number in range(count)]
        params = [f"{name}: {self.annotation(arg, hidden)}" for name, arg in zip(names, procedure.args, strict=True)]
        result = self.annotation(procedure.result, hidden)
        doc = f'            """Procedure {procedure.number}: {procedure.name}."""'
        if not table:
            params = ["self", "ctx: _program.Context", *params, "/"]
            lines = fit(2, f"async def {attribute}(", params, f") -> {result}:")
            return [*lines, doc, *([] if procedure.number == 0 else ["            raise NotImplementedError"])]
        params = ["self", *params, "/", "**options: Unpack[_program.CallOptions]"]
        lines = fit(2, f"async def {attribute}(", params, f") -> {result}:")
        given = f"({', '.join(names)}{',' if count == 1 else ''})"
        call = f"await self._call({table}[{procedure.number}], {given}, options)"
        if result == "None":
            return [*lines, doc, f"            {call}"]
        return [*lines, doc, f"            found: {result} = {call}", "            return found"]


def _literal(value: int | str) -> str:
    """A constant, with the quotes that formatters prefer."""
    shown = repr(value)
    return f'"{shown[1:-1]}"' if isinstance(value, str) and '"' not in shown else shown


def _plain(title: str) -> str:
    """The name of a file as it can stand in a docstring."""
    return "".join(each for each in title if each.isprintable() and each not in '\\"')


def _description(xtype: XType) -> str:
    """A type without a name as the file would say it."""
    if isinstance(xtype, Opaque):
        return f"opaque[{xtype.size}]"
    if isinstance(xtype, Bytes | Text):
        return f"{'string' if isinstance(xtype, Text) else 'opaque'}<{xtype.limit}>"
    if isinstance(xtype, Array):
        return f"{_description(xtype.item)}[{xtype.size}]"
    if isinstance(xtype, List):
        return f"{_description(xtype.item)}<{'' if xtype.limit == NO_LIMIT else xtype.limit}>"
    if isinstance(xtype, Optional):
        return f"{_description(xtype.item)} *"
    if isinstance(xtype, Number):
        return xtype.codec.lower().replace("_", " ")
    if isinstance(xtype, Enum | Struct | Union | Alias):
        return xtype.name
    return "bool" if isinstance(bare(xtype), Bool) else "void"
