"""The part of the generator that writes the functions which append values to a message: the mirror of `reading`."""

from stack.rpc.x.layout import fit
from stack.rpc.x.reading import MAX_OPAQUE, MAX_RUN, Context, fused, limited, matches, tail_of
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


class Block:
    """Statements that write values, in order."""

    __slots__ = ("_context", "_count", "_forms", "_values", "indent", "lines")

    def __init__(self, context: Context, indent: int = 1) -> None:
        self._context = context
        self.indent = indent
        self.lines: list[str] = []
        self._forms: list[str] = []
        self._values: list[str] = []
        self._count = 0

    def line(self, text: str) -> None:
        """A statement, after all that is pending."""
        self.flush()
        self.before(text)

    def before(self, text: str) -> None:
        """A statement that prepares what is pending."""
        self.lines.append("    " * self.indent + text)

    def fixed(self, form: str, value: str) -> None:
        """One value of this format."""
        if len(self._values) >= MAX_RUN:
            self.flush()
        self._forms.append(form)
        self._values.append(value)

    def flush(self) -> None:
        """Write all that is pending."""
        if not self._forms:
            return
        pack = self._context.formats.use("P", "".join(self._forms))
        self.lines += fit(self.indent, f"out += {pack}(", self._values, ")")
        self._forms, self._values = [], []

    def _variable(self) -> str:
        self._count += 1
        return f"v{self._count}"

    # -- one value

    def value(self, xtype: XType, given: str) -> None:
        """Write the value of the expression `given`."""
        xtype = bare(xtype)
        if isinstance(xtype, Number):
            self.fixed(xtype.letter, _converted(self._context, xtype, given))
        elif isinstance(xtype, Bool | Enum):
            self.fixed("I" if isinstance(xtype, Bool) else "i", _converted(self._context, xtype, given))
        elif isinstance(xtype, Void):
            self.before(f"xdr.no_value({given})")
        elif isinstance(xtype, Opaque):
            self._opaque(xtype, given)
        elif isinstance(xtype, Text | Bytes):
            data = self._variable()
            function = "text" if isinstance(xtype, Text) else "octets"
            self.before(f"{data} = xdr.{function}({given}{limited(xtype.limit)})")
            self.fixed("I", f"len({data})")
            self.line(f"out += {data}")
            self.line(f"out += _PADS[len({data}) & 3]")
        elif isinstance(xtype, Optional):
            self._optional(xtype, given)
        elif isinstance(xtype, List):
            self.fixed("I", f"xdr.counted({given}{limited(xtype.limit)})")
            self._items(xtype.item, given)
        elif isinstance(xtype, Array):
            self._array(xtype, given)
        elif isinstance(xtype, Struct) and fused(xtype):
            for member in xtype.members:
                self.value(member.type, f"{given}.{self._context.member(xtype, member.name)}")
        else:
            self.line(f"_put_{self._context.name(xtype)}(w, {given})")

    def _opaque(self, xtype: Opaque, given: str) -> None:
        padding = -xtype.size & 3
        if xtype.size <= MAX_OPAQUE:
            self.fixed(
                f"{xtype.size}s" + (f"{padding}x" if padding else ""), f"xdr.exact_octets({given}, {xtype.size})"
            )
            return
        self.line(f"out += xdr.exact_octets({given}, {xtype.size})")
        if padding:
            self.line(f"out += _PADS[{xtype.size & 3}]")

    def _optional(self, xtype: Optional, given: str) -> None:
        found = self._variable()
        self.line(f"{found} = {given}")
        self.line(f"if {found} is None:")
        self.line("    out += xdr.NO")
        self.line("else:")
        self.indent += 1
        self.fixed("I", "1")
        self.value(xtype.item, found)
        self.flush()
        self.indent -= 1

    def _array(self, xtype: Array, given: str) -> None:
        item = bare(xtype.item)
        if not xtype.size:
            self.before(f"xdr.exact({given}, 0)")
        elif isinstance(item, Number | Bool | Enum) and xtype.size <= 1024:
            values = f"xdr.exact({given}, {xtype.size})"
            each = _converted(self._context, item, "each")
            letter = item.letter if isinstance(item, Number) else "I" if isinstance(item, Bool) else "i"
            self.fixed(f"{xtype.size}{letter}", f"*{values}" if each == "each" else f"*[{each} for each in {values}]")
        else:
            self.before(f"xdr.exact({given}, {xtype.size})")
            self._items(xtype.item, given)

    def _items(self, item: XType, given: str) -> None:
        plain = bare(item)
        self.flush()
        if isinstance(plain, Number | Bool | Enum):
            each = _converted(self._context, plain, "each")
            letter = plain.letter if isinstance(plain, Number) else "I" if isinstance(plain, Bool) else "i"
            values = given if each == "each" else f"[{each} for each in {given}]"
            self.line(f'out += xdr.pack_run("{letter}", {values})')
            return
        found = self._variable()
        self.line(f"for {found} in {given}:")
        self.indent += 1
        before = len(self.lines)
        self.value(item, found)
        self.flush()
        if len(self.lines) == before:  # a struct without members
            self.line("pass")
        self.indent -= 1


def _converted(context: Context, xtype: XType, given: str) -> str:
    if isinstance(xtype, Bool):
        return f"1 if {given} else 0"
    if isinstance(xtype, Enum):
        return f"_of_{context.name(xtype)}[{given}]"
    if isinstance(xtype, Number) and xtype.low is not None:
        return f"xdr.narrow({given}, {xtype.low}, {xtype.high})"
    return given


class Writing:
    """Writes the writing functions of named types."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def function(self, name: str, xtype: XType) -> list[str]:
        """`_put_NAME`, for all but structs and unions."""
        block = Block(self._context)
        block.value(xtype, "v")
        block.flush()
        return [f"def _put_{name}(w: xdr.Writer, v: {self._context.annotation(xtype)}) -> None:", *_body(block.lines)]

    def named(self, xtype: Struct | Union) -> list[str]:
        """`_put_NAME` of a struct or union; if it contains itself, `_write_NAME`, which does one step of it."""
        name = self._context.name(xtype)
        made = self._context.annotation(xtype)
        head = f"def _put_{name}(w: xdr.Writer, v: {made}) -> None:"
        lines = self._struct(xtype) if isinstance(xtype, Struct) else self._union(xtype)
        if not xtype.group:
            return [head, *_body(lines)]
        step = f"def _write_{name}(w: xdr.Writer, v: {made}) -> tuple[xdr.WriteStep, object] | None:"
        return [head, f"    w.follow(_write_{name}, v)", "", "", step, *_body(lines)]

    def _struct(self, xtype: Struct) -> list[str]:
        block = Block(self._context)
        given = [f"v.{self._context.member(xtype, member.name)}" for member in xtype.members]
        for member, value in list(zip(xtype.members, given, strict=True))[:-1]:
            block.value(member.type, value)
        last = (xtype.members[-1].type, given[-1]) if xtype.members else None
        self._finish(block, xtype, last)
        return block.lines

    def _finish(self, block: Block, within: Struct | Union, last: tuple[XType, str] | None) -> None:
        goes_on = tail_of(last[0], within.group) if last is not None else None
        if last is None or goes_on is None:
            if last is not None:
                block.value(*last)
            block.flush()
            if within.group:
                block.line("return None")
            return
        target, optional = goes_on
        step = f"_write_{self._context.name(target)}"
        if not optional:
            block.line(f"return {step}, {last[1]}")
            return
        block.line(f"tail = {last[1]}")
        block.line("if tail is None:")
        block.line("    out += xdr.NO")
        block.line("    return None")
        block.fixed("I", "1")
        block.line(f"return {step}, tail")

    def _union(self, xtype: Union) -> list[str]:
        block = Block(self._context)
        kind = bare(xtype.discriminant.type)
        letter = kind.letter if isinstance(kind, Number) else "I" if isinstance(kind, Bool) else "i"
        given = f"v.{self._context.member(xtype, xtype.discriminant.name)}"
        block.line(f"kind = {_converted(self._context, kind, given)}")
        block.line("value: Any = v.value")
        last = len(xtype.cases) - 1
        for index, case in enumerate(xtype.cases):
            test = "" if case.values is None else matches("kind", case.values)
            if test:
                block.line(f"{'if' if index == 0 or xtype.group else 'elif'} {test}:")
            elif index and not xtype.group:
                block.line("else:")
            nested = bool(test) or (index > 0 and not xtype.group)
            block.indent += nested
            block.fixed(letter, "kind")
            if case.member is None:
                block.value(Void(), "value")
                self._finish(block, xtype, None)
            else:
                self._finish(block, xtype, (case.member.type, "value"))
            block.indent -= nested
            if index == last and test:
                if not xtype.group:
                    block.line("else:")
                block.line(f"{'' if xtype.group else '    '}raise xdr.bad_union(kind)")
        return block.lines


def _body(lines: list[str]) -> list[str]:
    """With `out`, if it is used."""
    if any("out +=" in line for line in lines):
        return ["    out = w.out", *lines]
    return lines or ["    pass"]
