"""The part of the generator that writes what the types are made of, from which errors of encoding tell their place."""

from collections.abc import Mapping, Sequence

from stack.rpc.x.layout import fit
from stack.rpc.x.reading import Context
from stack.rpc.x.types import (
    NO_LIMIT,
    Alias,
    Array,
    Bool,
    Bytes,
    Enum,
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
)


class Shapes:
    """Writes the `made_of` of the codecs of a module."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def lines(self, types: Sequence[Enum | Struct | Union | Alias], nameless: Mapping[str, XType]) -> list[str]:
        """Of all named types, and of those without a name, by codec."""
        found: list[str] = []
        for xtype in types:
            head = f"{self._context.codec(xtype)}.made_of = "
            if isinstance(xtype, Struct):
                members = [
                    f"{self._context.member(xtype, each.name)}={self._shape(each.type)}" for each in xtype.members
                ]
                found += fit(0, f"{head}xdr.Members(", members, ")")
            elif isinstance(xtype, Union):
                found += self._arms(xtype, head)
            elif isinstance(xtype, Enum):
                found.append(f"{head}xdr.Choice({self._context.name(xtype)})")
            else:
                found.append(head + self._shape(xtype.target))
        return found + [f"{codec}.made_of = {self._shape(xtype)}" for codec, xtype in nameless.items()]

    def _arms(self, xtype: Union, head: str) -> list[str]:
        kind = xtype.discriminant
        items = [f'"{self._context.member(xtype, kind.name)}"', self._shape(kind.type)]
        for case in sorted(xtype.cases, key=lambda case: case.values is None):  # the default is the last
            member = case.member
            there = member is not None and not isinstance(bare(member.type), Void)
            name = member.name if member is not None and there else ""
            shape = self._shape(member.type) if member is not None and there else "None"
            chosen = "".join([f", {value}" for value in case.values or []])
            items.append(f'xdr.Arm("{name}", {shape}{chosen})')
        return fit(0, f"{head}xdr.Arms(", items, ")")

    def _shape(self, xtype: XType) -> str:
        if isinstance(xtype, Array | List):
            limit = xtype.size if isinstance(xtype, Array) else xtype.limit
            return _call("Items", self._shape(xtype.item), limit, exact=isinstance(xtype, Array))
        if isinstance(xtype, Optional):
            return f"xdr.Maybe({self._shape(xtype.item)})"
        if isinstance(xtype, Opaque):
            return _call("Octets", "", xtype.size, exact=True)
        if isinstance(xtype, Bytes | Text):
            return _call("Text" if isinstance(xtype, Text) else "Octets", "", xtype.limit, exact=False)
        assert isinstance(xtype, Number | Bool | Void | Enum | Struct | Union | Alias)
        return self._context.codec(xtype)


def _call(name: str, first: str, limit: int, *, exact: bool) -> str:
    items = [first] if first else []
    items += [str(limit)] if limit != NO_LIMIT else []
    return f"xdr.{name}({', '.join([*items, *(['exact=True'] if exact else [])])})"
