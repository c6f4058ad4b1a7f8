"""The part of the generator that writes the functions which read values.

What has a fixed size is collected (`Block.fixed`) and read at once with one struct.Struct: also the length before a
string, the mark before an optional, the members of a struct within the struct.
"""

from functools import lru_cache
from typing import Protocol

from stack.rpc.x.layout import Formats, fit
from stack.rpc.x.sizes import Sizes, fixed_size, groups_in
from stack.rpc.x.types import (
    NO_LIMIT,
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

MAX_RUN = 16  # values that one call reads; more would not fit into a line
MAX_FUSED = 16  # words of a struct or array that is read with those around it
MAX_OPAQUE = 256  # octets of an opaque that is
LONG = 90  # columns of an expression that gets a variable


class Context(Protocol):
    """What the generator knows."""

    formats: Formats
    sizes: Sizes

    def name(self, xtype: XType) -> str:
        """The name of a named type."""

    def annotation(self, xtype: XType) -> str:
        """The type as Python writes it."""

    def member(self, xtype: Struct | Union, name: str) -> str:
        """The name of a member."""

    def codec(self, xtype: XType) -> str:
        """An expression for the codec of a type."""


def limited(limit: int) -> str:
    """A limit as a further argument, if there is one."""
    return "" if limit == NO_LIMIT else f", {limit}"


@lru_cache(1024)  # types are complete by now; without it, structs of two structs of two structs ... take forever
def words_of(xtype: XType) -> int | None:
    """How many values of `struct` a type of fixed size has; None if it is not read at once."""
    xtype = bare(xtype)
    if isinstance(xtype, Number | Bool | Enum):
        return 1
    if isinstance(xtype, Opaque):
        return 1 + (xtype.size % 4 > 0) if xtype.size <= MAX_OPAQUE else None
    if isinstance(xtype, Array):
        item = words_of(xtype.item)
        return None if item is None else item * xtype.size
    if isinstance(xtype, Struct) and not xtype.group:
        words = [words_of(member.type) for member in xtype.members]
        return None if None in words else sum(word for word in words if word is not None)
    return None


def fused(xtype: XType) -> bool:
    """Whether a struct or array is read with what is around it."""
    words = words_of(xtype)
    return words is not None and 0 < words <= MAX_FUSED


def tail_of(xtype: XType, group: int) -> tuple[Struct | Union, bool] | None:
    """The type that a last member of this type leads on to, and whether optionally; None unless of that group."""
    xtype = bare(xtype)
    optional = isinstance(xtype, Optional)
    target = bare(xtype.item) if isinstance(xtype, Optional) else xtype
    if isinstance(target, Struct | Union) and group and target.group == group:
        return target, optional
    return None


class Block:
    """Statements that read values, in order."""

    __slots__ = ("checks", "context", "count", "forms", "indent", "lines", "variables")

    def __init__(self, context: Context, indent: int = 1) -> None:
        self.context = context
        self.indent = indent
        self.lines: list[str] = []
        self.forms: list[str] = []
        self.variables: list[str] = []
        self.checks: list[str] = []
        self.count = 0

    def line(self, text: str) -> None:
        """A statement, after all that is pending."""
        self.flush()
        self.lines.append("    " * self.indent + text)

    def variable(self) -> str:
        """A name that is not used yet in this function."""
        self.count += 1
        return f"v{self.count}"

    def fixed(self, form: str) -> str:
        """The variable that one value of this format is read into, once `flush` is called."""
        if len(self.variables) >= MAX_RUN:
            self.flush()
        self.forms.append(form)
        self.variables.append(self.variable())
        return self.variables[-1]

    def flush(self) -> None:
        """Read all that is pending."""
        if not self.forms:
            return
        form = "".join(self.forms)
        size = sum(_form_size(each) for each in self.forms)
        names = ", ".join(self.variables)
        if len(self.variables) == 1:
            names = f"({names},)"
        space = "    " * self.indent
        self.lines.append(f"{space}{names} = {self.context.formats.use('U', form)}(r.data, r.at)")
        self.lines.append(f"{space}r.at += {size}")
        for check in self.checks:
            self.lines += [f"{space}if {check}:", f"{space}    r.padding()"]
        self.forms, self.variables, self.checks = [], [], []

    def result(self, head: str, items: list[str], tail: str) -> None:
        """A statement that may need several lines."""
        self.flush()
        self.lines += fit(self.indent, head, items, tail)

    # -- one value

    def value(self, xtype: XType) -> str:
        """The expression for a value, which holds once `flush` was called."""
        xtype = bare(xtype)
        if isinstance(xtype, Number | Bool | Enum):
            return self.converted(xtype, self.fixed(xtype.letter if isinstance(xtype, Number) else _letter(xtype)))
        if isinstance(xtype, Void):
            return "None"
        if isinstance(xtype, Opaque):
            return self._opaque(xtype)
        if isinstance(xtype, Text | Bytes):
            length = self.fixed("I")
            found = self.variable()
            method = "text" if isinstance(xtype, Text) else "take"
            self.line(f"{found} = r.{method}({length}{limited(xtype.limit)})")
            return found
        if isinstance(xtype, Optional):
            return self._optional(xtype)
        if isinstance(xtype, List):
            length = self.fixed("I")
            return self._items(xtype.item, length, str(xtype.limit))
        if isinstance(xtype, Array):
            return self._array(xtype)
        assert isinstance(xtype, Struct | Union)
        if isinstance(xtype, Struct) and fused(xtype):
            return self.inline(xtype)
        found = self.variable()
        self.line(f"{found} = _get_{self.context.name(xtype)}(r)")
        return found

    def converted(self, xtype: XType, value: str) -> str:
        """The expression for a number that was read, as a value of its type."""
        if isinstance(xtype, Bool):
            return f"_BOOLS[{value}]"
        if isinstance(xtype, Enum):
            return f"_of_{self.context.name(xtype)}[{value}]"
        if isinstance(xtype, Number) and xtype.low is not None:
            return f"xdr.narrow({value}, {xtype.low}, {xtype.high})"
        return value

    def _opaque(self, xtype: Opaque) -> str:
        if not xtype.size:
            return 'b""'
        if xtype.size > MAX_OPAQUE:
            found = self.variable()
            self.line(f"{found} = r.take({xtype.size})")
            return found
        found = self.fixed(f"{xtype.size}s")
        if padding := -xtype.size & 3:
            zeros = "\\0" * padding
            self.checks.append(f'{self.fixed(f"{padding}s")} != b"{zeros}"')
        return found

    def inline(self, xtype: Struct) -> str:
        """The expression for a struct whose members are read with those around it."""
        items = [self.value(member.type) for member in xtype.members]
        made = f"{self.context.annotation(xtype)}({', '.join(items)})"
        if len(made) <= LONG:
            return made
        found = self.variable()
        self.result(f"{found} = {self.context.annotation(xtype)}(", items, ")")
        return found

    def _optional(self, xtype: Optional) -> str:
        mark, found = self.fixed("I"), self.variable()
        self.line(f"{found}: {self.context.annotation(xtype)} = None")
        self.line(f"if r.present({mark}):")
        self.indent += 1
        value = self.value(xtype.item)
        self.line(f"{found} = {value}")
        self.indent -= 1
        return found

    def _array(self, xtype: Array) -> str:
        if not xtype.size:
            return "[]"
        if fused(xtype):
            items = [self.value(xtype.item) for _ in range(xtype.size)]
            made = f"[{', '.join(items)}]"
            if len(made) <= LONG:
                return made
            found = self.variable()
            self.result(f"{found} = [", items, "]")
            return found
        return self._items(xtype.item, str(xtype.size), str(xtype.size))

    # -- many values

    def _items(self, item: XType, count: str, limit: str) -> str:
        """An expression for `count` values."""
        plain = bare(item)
        self.flush()
        found = self.variable()
        if isinstance(plain, Number | Bool | Enum):
            letter = plain.letter if isinstance(plain, Number) else _letter(plain)
            size = plain.size if isinstance(plain, Number) else 4
            run = f'r.run("{letter}", {size}, {count}, {limit})'
            value = self.converted(plain, "each")
            self.line(f"{found} = list({run})" if value == "each" else f"{found} = [{value} for each in {run}]")
            return found
        if isinstance(plain, Struct) and self._iterated(plain, found, count, limit):
            return found
        least = int(self.context.sizes.least(plain))
        numbers = f"range(r.count({count}, {limit}, {least}))"
        if isinstance(plain, Text | Bytes):
            method = "text" if isinstance(plain, Text) else "take"
            self.line(f"{found} = [r.{method}(r.word(){limited(plain.limit)}) for _ in {numbers}]")
        elif isinstance(plain, Struct | Union):
            self.line(f"{found} = [_get_{self.context.name(plain)}(r) for _ in {numbers}]")
        else:
            self.line(f"{found}: list[{self.context.annotation(item)}] = []")
            self.line(f"for _ in {numbers}:")
            self.indent += 1
            value = self.value(item)
            self.line(f"{found}.append({value})")
            self.indent -= 1
        return found

    def _iterated(self, xtype: Struct, found: str, count: str, limit: str) -> bool:
        """Structs of a fixed size in one go; False if that does not do."""
        size = fixed_size(xtype)
        if not size or not fused(xtype):
            return False
        inner = Block(self.context)
        inner.count = self.count
        made = inner.inline(xtype)
        if inner.lines or inner.checks:
            return False
        self.count = inner.count
        names = ", ".join(inner.variables)
        if len(inner.variables) == 1:
            names = f"({names},)"
        form = self.context.formats.use("I", "".join(inner.forms))
        if made == f"{self.context.annotation(xtype)}({names})":
            self.line(
                f"{found} = list(starmap({self.context.annotation(xtype)}, {form}(r.block({count}, {limit}, {size}))))"
            )
            return True
        source = f"{form}(r.block({count}, {limit}, {size}))"
        line = f"{found} = [{made} for {names} in {source}]"
        if len(line) + 4 * self.indent <= 120:
            self.line(line)
        else:
            self.lines += ["    " * self.indent + f"{found} = ["]
            self.lines += ["    " * (self.indent + 1) + part for part in (made, f"for {names} in {source}")]
            self.lines += ["    " * self.indent + "]"]
        return True


def _letter(xtype: Bool | Enum) -> str:
    return "I" if isinstance(xtype, Bool) else "i"


def _form_size(form: str) -> int:
    return int(form[:-1]) if form.endswith("s") else 8 if form in "qQd" else 4


class Reading:
    """Writes the reading functions of named types."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def at_once(self, xtype: XType) -> list[str]:
        """`_at_NAME`, which needs no Reader: for types of which one struct.Struct reads all.  Else nothing."""
        words = words_of(xtype)
        if not words or words > MAX_RUN:
            return []
        block = Block(self._context)
        value = block.value(xtype)
        if block.lines or block.checks:
            return []
        name = self._context.name(xtype)
        names = ", ".join(block.variables) if len(block.variables) > 1 else f"({block.variables[0]},)"
        return [
            f"def _at_{name}(data: bytes | bytearray | memoryview, at: int) -> {self._context.annotation(xtype)}:",
            f"    {names} = {self._context.formats.use('U', ''.join(block.forms))}(data, at)",
            f"    found: {self._context.annotation(xtype)} = {value}",
            "    return found",
            "",
            "",
        ]

    def function(self, name: str, xtype: XType) -> list[str]:
        """`_get_NAME`, for all but structs and unions."""
        block = Block(self._context)
        value = block.value(xtype)
        block.line(f"found: {self._context.annotation(xtype)} = {value}")
        block.line("return found")
        return [f"def _get_{name}(r: xdr.Reader) -> {self._context.annotation(xtype)}:", *block.lines]

    def named(self, xtype: Struct | Union) -> list[str]:
        """`_get_NAME` of a struct or union; if it contains itself, `_step_NAME` too."""
        name = self._context.name(xtype)
        made = self._context.annotation(xtype)
        head = f"def _get_{name}(r: xdr.Reader) -> {made}:"
        if not xtype.group:
            return [head, *self._body(xtype)]
        if isinstance(xtype, Struct) and self._is_list(xtype):
            return [head, *self._list(xtype)]
        return [
            head,
            f"    found: {made} = r.follow(_step_{name})",
            "    return found",
            "",
            "",
            f"def _step_{name}(r: xdr.Reader) -> tuple[{made}, xdr.ReadStep | None, str]:",
            *self._body(xtype),
        ]

    def _body(self, xtype: Struct | Union) -> list[str]:
        if isinstance(xtype, Struct):
            return self._struct(xtype)
        return self._union(xtype)

    def _finish(self, block: Block, made: Struct | Union, items: list[str], last: tuple[XType, str] | None) -> None:
        """Read the last member, if there is one, and return the value, and how it goes on."""
        name = self._context.annotation(made)
        goes_on = tail_of(last[0], made.group) if last is not None else None
        if last is None or goes_on is None:
            if last is not None:
                items.append(block.value(last[0]))
            if not made.group:
                block.result(f"return {name}(", items, ")")
            else:
                block.line(f'return {name}({", ".join(items)}), None, ""')
            return
        target, optional = goes_on
        step = f"_step_{self._context.name(target)}"
        if optional:
            mark = block.fixed("I")
            step = f"{step} if _BOOLS[{mark}] else None"
        items.append("xdr.LATER")
        block.line(f'return {name}({", ".join(items)}), {step}, "{last[1]}"')

    def _is_list(self, xtype: Struct) -> bool:
        """Whether the last member leads on to the next of the same type, and nothing else contains that."""
        last = tail_of(xtype.members[-1].type, xtype.group)
        if last is None or last[0] is not xtype or not last[1]:
            return False
        return xtype.group not in groups_in([member.type for member in xtype.members[:-1]])

    def _list(self, xtype: Struct) -> list[str]:
        """A loop of its own, for the most usual kind."""
        name, last = self._context.annotation(xtype), self._context.member(xtype, xtype.members[-1].name)
        block = Block(self._context, indent=2)
        items = [block.value(member.type) for member in xtype.members[:-1]]
        mark = block.fixed("I")
        block.result(f"item = {name}(", [*items, "None"], ")")
        return [
            f"    head: {name} | None = None",
            "    while True:",
            *block.lines,
            "        if head is None:",
            "            head = end = item",
            "        else:",
            f"            end.{last} = item",
            "            end = item",
            f"        if {mark} != 1 or not r.left:",
            f"            r.end({mark})",
            "            return head",
            "        r.left -= 1",
        ]

    def _struct(self, xtype: Struct) -> list[str]:
        block = Block(self._context)
        items = [block.value(member.type) for member in xtype.members[:-1]]
        last = None
        if xtype.members:
            member = xtype.members[-1]
            last = member.type, self._context.member(xtype, member.name)
        self._finish(block, xtype, items, last)
        return block.lines

    def _union(self, xtype: Union) -> list[str]:
        block = Block(self._context)
        kind = bare(xtype.discriminant.type)
        number = block.fixed(kind.letter if isinstance(kind, Number) else "I" if isinstance(kind, Bool) else "i")
        block.flush()
        value = block.converted(kind, number)
        if value != number:
            block.line(f"kind = {value}")
            value = "kind"
        for case in xtype.cases:
            if case.values is not None:
                block.line(f"if {matches(number, case.values)}:")
                block.indent += 1
            last = None if case.member is None else (case.member.type, "value")
            self._finish(block, xtype, [value] if last is not None else [value, "None"], last)
            if case.values is not None:
                block.indent -= 1
        if all(case.values is not None for case in xtype.cases):
            block.line(f"raise xdr.bad_union({number})")
        return block.lines


def matches(number: str, values: list[int]) -> str:
    """The test for the values of a case."""
    if len(values) == 1:
        return f"{number} == {values[0]}"
    return f"{number} in {{{', '.join(map(str, values))}}}"
