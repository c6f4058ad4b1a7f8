"""Values of an interface file's types as JSON has them, read and written without generated code.

    int, hyper, float, double   numbers; "nan", "inf" and "-inf" are strings
    bool                        true, false
    enum                        the name of the member; its number is taken, too
    string                      a string; octets that are no UTF-8 are lone surrogates, as in Python's surrogateescape
    opaque                      a string of hexadecimal digits, which may have blanks between the octets
    T x[n], T x<>               an array
    T *x                        null, or the value
    node *next at a node's end  an array of all nodes, without this member: a linked list needs no nesting
    struct                      an object of its members
    union                       an object of the discriminant, and of the member that it chooses, unless that is void

Hexadecimal, and not base64, because it is read and typed by people; a file of many octets is not for JSON.
A hyper may have more digits than some readers of JSON keep; Python keeps all.
"""

import math
import struct
from typing import Any, Final

from stack.rpc import xdr
from stack.rpc.x.types import (
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
from stack.rpc.xdr import Codec, Reader, Writer, XdrError, XdrReason

_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class _Refused(XdrError):
    """With the place in its text."""


def plain_codec(xtype: XType) -> Codec[Any]:
    """The codec of a type whose values are what `json` reads and writes.  It raises XdrError, which says where."""
    return Codec(
        describe(xtype), lambda reader: _read(reader, xtype), lambda writer, value: _write(writer, xtype, value, "")
    )


def describe(xtype: XType) -> str:
    """What to call a type."""
    name = getattr(xtype, "name", "")
    if name:
        return str(name)
    if isinstance(xtype, Number):
        return xtype.codec.lower().replace("_", " ")
    if isinstance(xtype, Optional | List | Array):
        return f"{describe(xtype.item)} {'*' if isinstance(xtype, Optional) else '[]'}"
    return type(xtype).__name__.lower()


def _is_list(node: XType) -> bool:
    """Whether it is a struct that ends in a pointer to the next of its kind."""
    if not isinstance(node, Struct) or not node.members:
        return False
    last = bare(node.members[-1].type)
    return isinstance(last, Optional) and bare(last.item) is node


# -- reading


def _read(reader: Reader, xtype: XType) -> Any:
    xtype = bare(xtype)
    if isinstance(xtype, Struct | Union):
        return _nested(reader, xtype)
    if isinstance(xtype, Optional):
        node = bare(xtype.item)
        if _is_list(node):
            return _read_list(reader, node)
        return _read(reader, node) if reader.present(reader.word()) else None
    if isinstance(xtype, Array | List):
        count, limit = (xtype.size, xtype.size) if isinstance(xtype, Array) else (reader.word(), xtype.limit)
        return [_read(reader, xtype.item) for _ in range(reader.count(count, limit, 0))]
    return _read_simple(reader, xtype)


def _read_simple(reader: Reader, xtype: XType) -> Any:
    if isinstance(xtype, Number):
        codec: Codec[Any] = getattr(xdr, xtype.codec)
        value = codec.read(reader)
        return value if not isinstance(value, float) or math.isfinite(value) else str(value)
    if isinstance(xtype, Bool):
        return xdr.BOOL.read(reader)
    if isinstance(xtype, Enum):
        number = xdr.INT.read(reader)
        for name, value in xtype.members:
            if value == number:
                return name
        raise XdrError(XdrReason.BAD_ENUM, f"{number} is no {xtype.name}")
    if isinstance(xtype, Text):
        return reader.text(reader.word(), xtype.limit)
    if isinstance(xtype, Opaque):
        return reader.take(xtype.size).hex()
    if isinstance(xtype, Bytes):
        return reader.take(reader.word(), xtype.limit).hex()
    return None


def _nested(reader: Reader, xtype: Struct | Union) -> Any:
    """A struct or a union, which may contain itself."""
    if not reader.depth:
        raise XdrError(XdrReason.DEPTH)
    reader.depth -= 1
    value = _read_struct(reader, xtype) if isinstance(xtype, Struct) else _read_union(reader, xtype)
    reader.depth += 1
    return value


def _read_struct(reader: Reader, xtype: Struct) -> dict[str, Any]:
    return {member.name: _read(reader, member.type) for member in xtype.members}


def _read_union(reader: Reader, xtype: Union) -> dict[str, Any]:
    chosen = _read(reader, xtype.discriminant.type)
    value = {xtype.discriminant.name: chosen}
    member = _case(xtype, _number_of(xtype, chosen))
    if member is not None and not isinstance(bare(member.type), Void):
        value[member.name] = _read(reader, member.type)
    return value


def _read_list(reader: Reader, node: XType) -> list[dict[str, Any]]:
    assert isinstance(node, Struct)
    members, found = node.members[:-1], []
    while reader.present(reader.word()):
        found.append({member.name: _read(reader, member.type) for member in members})
    return found


def _number_of(xtype: Union, chosen: Any) -> int:
    """A discriminant as a number."""
    kind = bare(xtype.discriminant.type)
    return dict(kind.members)[chosen] if isinstance(kind, Enum) else int(chosen)


def _case(xtype: Union, number: int) -> Any:
    """The member that a discriminant chooses; None for void."""
    for case in xtype.cases:
        if case.values is not None and number in case.values:
            return case.member
    for case in xtype.cases:
        if case.values is None:
            return case.member
    raise XdrError(XdrReason.BAD_UNION, f"{xtype.name} has no case for {number}")


# -- writing


def _write(writer: Writer, xtype: XType, value: Any, where: str) -> None:
    xtype = bare(xtype)
    if isinstance(xtype, Struct):
        _write_struct(writer, xtype, value, where)
    elif isinstance(xtype, Union):
        _write_union(writer, xtype, value, where)
    elif isinstance(xtype, Optional):
        node = bare(xtype.item)
        if _is_list(node):
            _write_list(writer, node, value, where)
        else:
            xdr.BOOL.write(writer, value is not None)
            if value is not None:
                _write(writer, node, value, where)
    elif isinstance(xtype, Array | List):
        _write_array(writer, xtype, value, where)
    else:
        try:
            _write_simple(writer, xtype, value, where)
        except _Refused:
            raise
        except XdrError as error:
            raise _refused(where, str(error)) from None
        except struct.error:
            raise _refused(where, f"{value} is not within the range of {describe(xtype)}") from None


def _write_simple(writer: Writer, xtype: XType, value: Any, where: str) -> None:
    if isinstance(xtype, Number):
        codec: Codec[Any] = getattr(xdr, xtype.codec)
        codec.write(writer, _real(value, where) if xtype.letter in "fd" else _integer(value, describe(xtype), where))
    elif isinstance(xtype, Bool):
        _expect(isinstance(value, bool), value, "true or false", where)
        xdr.BOOL.write(writer, value)
    elif isinstance(xtype, Enum):
        xdr.INT.write(writer, _member(xtype, value, where))
    elif isinstance(xtype, Text):
        _expect(isinstance(value, str), value, "a string", where)
        data = xdr.text(value, xtype.limit)
        xdr.OPAQUE.write(writer, data)
    elif isinstance(xtype, Opaque):
        data = xdr.exact_octets(_octets(value, where), xtype.size)
        writer.out += data + bytes(-len(data) & 3)
    elif isinstance(xtype, Bytes):
        xdr.OPAQUE.write(writer, xdr.octets(_octets(value, where), xtype.limit))
    else:
        _expect(value is None, value, "null", where)


def _write_struct(writer: Writer, xtype: Struct, value: Any, where: str) -> None:
    _expect_keys(value, {member.name for member in xtype.members}, xtype.name, where)
    for member in xtype.members:
        _write(writer, member.type, value[member.name], f"{where}.{member.name}")


def _write_union(writer: Writer, xtype: Union, value: Any, where: str) -> None:
    name = xtype.discriminant.name
    _expect(isinstance(value, dict) and name in value, value, f"an object with {name!r}", where)
    number = _chosen(xtype, value[name], f"{where}.{name}")
    member = _case(xtype, number)
    void = member is None or isinstance(bare(member.type), Void)
    key = "" if void else member.name
    _expect_keys(value, {name} if void else {name, key}, xtype.name, where)
    _write(writer, xtype.discriminant.type, value[name], f"{where}.{name}")
    if not void:
        _write(writer, member.type, value[key], f"{where}.{key}")


def _write_array(writer: Writer, xtype: Array | List, value: Any, where: str) -> None:
    _expect(isinstance(value, list), value, "an array", where)
    if isinstance(xtype, Array):
        _expect(len(value) == xtype.size, value, f"an array of {xtype.size}", where)
    else:
        _expect(len(value) <= xtype.limit, value, f"an array of at most {xtype.limit}", where)
        xdr.UNSIGNED.write(writer, len(value))
    for number, item in enumerate(value):
        _write(writer, xtype.item, item, f"{where}[{number}]")


def _write_list(writer: Writer, node: XType, value: Any, where: str) -> None:
    assert isinstance(node, Struct)
    members = node.members[:-1]
    names = {member.name for member in members}
    _expect(isinstance(value, list), value, f"an array, of the {node.name}s of a list", where)
    for number, item in enumerate(value):
        at = f"{where}[{number}]"
        _expect_keys(item, names, node.name, at)
        xdr.BOOL.write(writer, True)
        for member in members:
            _write(writer, member.type, item[member.name], f"{at}.{member.name}")
    xdr.BOOL.write(writer, False)


def _chosen(xtype: Union, value: Any, where: str) -> int:
    """The number of a discriminant that somebody gave."""
    kind = bare(xtype.discriminant.type)
    if isinstance(kind, Enum):
        return _member(kind, value, where)
    if isinstance(kind, Bool):
        _expect(isinstance(value, bool), value, "true or false", where)
        return int(value)
    return _integer(value, describe(kind), where)


def _member(xtype: Enum, value: Any, where: str) -> int:
    members = dict(xtype.members)
    if isinstance(value, str) and value in members:
        return members[value]
    if type(value) is int and value in members.values():
        return value
    raise _refused(where, f"{_shown(value)} is no {xtype.name}: use one of {', '.join(members)}")


def _integer(value: Any, name: str, where: str) -> int:
    _expect(type(value) is int, value, f"a number without a fraction ({name})", where)
    return int(value)


def _real(value: Any, where: str) -> float:
    if isinstance(value, str) and value in _FLOATS:
        return _FLOATS[value]
    _expect(type(value) in {int, float}, value, 'a number, "nan", "inf" or "-inf"', where)
    try:
        return float(value)
    except OverflowError:
        raise _refused(where, "the number is too large") from None


def _octets(value: Any, where: str) -> bytes:
    _expect(isinstance(value, str), value, "a string of hexadecimal digits", where)
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise _refused(where, f"{_shown(value)} is no string of hexadecimal digits, two for each octet") from None


def _expect(right: bool, value: Any, wanted: str, where: str) -> None:
    if not right:
        raise _refused(where, f"{_shown(value)} is not {wanted}")


def _expect_keys(value: Any, names: set[str], name: str, where: str) -> None:
    _expect(isinstance(value, dict), value, f"an object ({name})", where)
    for wrong, what in ((names - value.keys(), "has no"), (value.keys() - names, "has an unknown")):
        if wrong:
            known = f"; {name} has {', '.join(sorted(names))}" if what != "has no" else ""
            raise _refused(where, f"the object {what} {min(wrong)!r}{known}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _refused(where: str, why: str) -> XdrError:
    return _Refused(XdrReason.VALUE, f"{where.removeprefix('.')}: {why}" if where else why)
