"""Names of an interface file as names of Python.

A name stays as it is, but: a keyword of Python, or a name that the generated module needs itself, gets an underscore
behind it (`class_`); a name that begins with an underscore, which means "private" to Python, gets an x before it.
Where the result is taken, further underscores follow.
"""

import keyword
from typing import Final

from stack.rpc.x.types import Alias, Enum, Interface, Struct, Union

# what the text of a generated module says at its top level
_MODULE: Final = frozenset({
    "Any", "NotImplementedError", "bytearray", "memoryview", "object", "starmap",
    "CODECS", "CallOptions", "Context", "Final", "IntEnum", "None", "Procedure", "Struct", "TypeAlias", "Unpack",
    "Version", "annotations", "bool", "bytes", "dataclass", "dict", "exact", "float", "int", "len", "list", "property",
    "range", "self", "str", "tuple", "xdr",
})  # fmt: skip
# what IntEnum has for other purposes
_ENUM: Final = frozenset({*dir(int), "mro", "name", "value"})
_MEMBER: Final = frozenset({"property", "self"})
_PROCEDURE: Final = frozenset({"self", "batch", "interface", "interfaces", "handler"})


class Scope:
    """The names that are taken in one place."""

    __slots__ = ("_reserved", "_taken")

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._reserved = reserved
        self._taken: set[str] = set()

    def add(self, name: str) -> str:
        """A name of Python for `name`, which nobody else has."""
        found = f"x{name}" if name.startswith("_") else name
        if keyword.iskeyword(found) or found in self._reserved:
            found += "_"
        while found in self._taken:
            found += "_"
        self._taken.add(found)
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._taken


class Names:
    """The names of everything in a generated module."""

    __slots__ = ("codecs", "constants", "members", "module", "types", "values", "versions")

    def __init__(self, interface: Interface) -> None:
        self.module = Scope(_MODULE)
        self.types: dict[int, str] = {}  # by id of the type
        self.constants: dict[str, str] = {}
        self.values: dict[int, list[str]] = {}  # of each enum, within it
        self.members: dict[int, dict[str, str]] = {}  # of each struct and union
        self.codecs: dict[int, str] = {}
        self.versions: dict[int, str] = {}  # by id of the version
        for xtype in interface.types:
            self.types[id(xtype)] = self.module.add(xtype.name)
        for name, _ in interface.constants:
            self.constants[name] = self.module.add(name)
        for xtype in interface.types:
            self._within(xtype)
        for xtype in interface.types:
            self.codecs[id(xtype)] = self.module.add(f"xdr_{xtype.name}")
        self._programs(interface)

    def _within(self, xtype: Enum | Struct | Union | Alias) -> None:
        if isinstance(xtype, Enum):
            scope = Scope(_ENUM)
            self.values[id(xtype)] = [scope.add(name) for name, _ in xtype.members]
            for name, _ in xtype.members:
                self.constants[name] = self.module.add(name)
        elif isinstance(xtype, Struct):
            scope = Scope(_MEMBER)
            self.members[id(xtype)] = {member.name: scope.add(member.name) for member in xtype.members}
        elif isinstance(xtype, Union):
            scope = Scope(_MEMBER)
            scope.add("value")
            arms = [xtype.discriminant, *(case.member for case in xtype.cases if case.member is not None)]
            self.members[id(xtype)] = {member.name: scope.add(member.name) for member in arms}

    def _programs(self, interface: Interface) -> None:
        versions = [(program, version) for program in interface.programs for version in program.versions]
        for program in interface.programs:
            self.constants.setdefault(program.name, self.module.add(program.name))
        for program, version in versions:
            alone = sum(other.name == version.name for _, other in versions) == 1
            self.versions[id(version)] = self.module.add(version.name if alone else f"{program.name}_{version.name}")


def procedure_scope() -> Scope:
    """For the methods of a server and a client."""
    return Scope(_PROCEDURE)
