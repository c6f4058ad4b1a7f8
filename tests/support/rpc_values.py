"""Random values of every type of an interface file, and the same values as plain text, however they are held."""

import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from stack.rpc import compile_x
from stack.rpc.x.compile import check, folders
from stack.rpc.x.names import Names
from stack.rpc.x.types import (
    Alias,
    Array,
    Bool,
    Bytes,
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
)

RPCSVC = Path("/usr/include/rpcsvc")
WORDS = "abcxyz0189 -_/äß€𝄞"


class Corpus:
    """An interface file with its module, and random values of its types."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        self.path = path
        self.interface: Interface = check(path.read_text("utf-8"), str(path), folders(()), {})
        self.module: ModuleType = compile_x(path)
        self.names = Names(self.interface)
        self.rng = random.Random(f"{path.name} {seed}")
        self._budget = 0

    def types(self) -> list[XType]:
        """All that have a name."""
        return list(self.interface.types)

    def codec(self, xtype: XType) -> Any:
        return getattr(self.module, self.names.codecs[id(xtype)])

    def made(self, xtype: XType) -> Any:
        return getattr(self.module, self.names.types[id(xtype)])

    def members(self, xtype: Struct | Union) -> dict[str, str]:
        return self.names.members[id(xtype)]

    def value(self, xtype: XType, budget: int = 40) -> Any:
        """Of about `budget` parts at most."""
        self._budget = budget
        return self._value(xtype)

    def _value(self, xtype: XType) -> Any:
        rng, xtype = self.rng, bare(xtype)
        self._budget -= 1
        if isinstance(xtype, Number):
            return self._number(xtype)
        if isinstance(xtype, Bool):
            return rng.random() < 0.5
        if isinstance(xtype, Void):
            return None
        if isinstance(xtype, Enum):
            return self.made(xtype)(rng.choice(xtype.members)[1])
        if isinstance(xtype, Opaque):
            return rng.randbytes(xtype.size)
        if isinstance(xtype, Bytes):
            return rng.randbytes(self._length(xtype.limit, 20))
        if isinstance(xtype, Text):
            return self._text(xtype.limit)
        if isinstance(xtype, Optional):
            return self._value(xtype.item) if self._budget > 0 and rng.random() < 0.7 else None
        if isinstance(xtype, List):
            return [self._value(xtype.item) for _ in range(self._length(xtype.limit, 4) if self._budget > 0 else 0)]
        if isinstance(xtype, Array):
            return [self._value(xtype.item) for _ in range(xtype.size)]
        if isinstance(xtype, Struct):
            return self.made(xtype)(*[self._value(member.type) for member in xtype.members])
        assert isinstance(xtype, Union)
        return self._union(xtype)

    def _number(self, xtype: Number) -> int | float:
        rng = self.rng
        if xtype.letter in "fd":
            size = xtype.size
            value: float = struct.unpack(f">{xtype.letter}", rng.randbytes(size))[0]
            return 0.5 if math.isnan(value) else value  # a NaN is not equal to itself
        bits = 8 * xtype.size
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if xtype.letter in "iq" else (0, (1 << bits) - 1)
        if xtype.low is not None:
            low, high = xtype.low, xtype.high
        return rng.choice((low, high, 0, 1, rng.randint(low, high), rng.randint(low, high)))

    def _length(self, limit: int, usual: int) -> int:
        return min(limit, self.rng.randrange(usual + 1))

    def _text(self, limit: int) -> str:
        text = "".join(self.rng.choices(WORDS, k=self._length(limit, 20)))
        while len(text.encode()) > limit:
            text = text[:-1]
        return text

    def _union(self, xtype: Union) -> Any:
        case = self.rng.choice(xtype.cases)
        if case.values is not None:
            kind: Any = self.rng.choice(case.values)
        else:
            others = {value for other in xtype.cases for value in other.values or []}
            kind = self._value(xtype.discriminant.type)
            for _ in range(50):
                if int(kind) not in others:
                    break
                kind = self._value(xtype.discriminant.type)
            else:  # all that the discriminant can be have cases of their own
                case = next(other for other in xtype.cases if kind in (other.values or []))
        discriminant = bare(xtype.discriminant.type)
        if isinstance(discriminant, Enum):
            kind = self.made(discriminant)(kind)
        elif isinstance(discriminant, Bool):
            kind = bool(kind)
        return self.made(xtype)(kind, None if case.member is None else self._value(case.member.type))

    # -- as text, of which there is one spelling

    def text(self, xtype: XType, value: Any) -> str:
        return " ".join(self._words(xtype, value))

    def _words(self, xtype: XType, value: Any) -> Iterator[str]:
        xtype = bare(xtype)
        if isinstance(xtype, Number):
            yield struct.pack(f">{xtype.letter}", value).hex() if xtype.letter in "fd" else str(value)
        elif isinstance(xtype, Bool | Enum):
            yield str(int(value))
        elif isinstance(xtype, Opaque | Bytes):
            yield f"x{value.hex()}"
        elif isinstance(xtype, Text):
            yield f"x{value.encode('utf-8', 'surrogateescape').hex()}"
        elif isinstance(xtype, Optional):
            yield "-" if value is None else "+"
            if value is not None:
                yield from self._words(xtype.item, value)
        elif isinstance(xtype, List | Array):
            yield f"[{len(value)}"
            for each in value:
                yield from self._words(xtype.item, each)
        elif isinstance(xtype, Struct):
            for member in xtype.members:
                yield from self._words(member.type, getattr(value, self.members(xtype)[member.name]))
        elif isinstance(xtype, Union):
            kind = int(getattr(value, self.members(xtype)[xtype.discriminant.name]))
            yield str(kind)
            chosen = [case for case in xtype.cases if kind in (case.values or [])]
            chosen = chosen or [case for case in xtype.cases if case.values is None]
            if chosen[0].member is not None:
                yield from self._words(chosen[0].member.type, value.value)


class Dumper:
    """Writes a C program around what rpcgen made of a file: it reads octets of a type, and answers with the text of the
    value that `xdr_TYPE` made of them, and with the octets that `xdr_TYPE` makes of that.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._loops = 0

    def program(self) -> str:
        types = self.corpus.interface.types
        lines = [f'#include "{self.corpus.path.stem}.h"', HELPERS]
        lines += [f"static void dump_{xtype.name}({xtype.name} *v);" for xtype in types]
        for xtype in types:
            lines += [f"static void dump_{xtype.name}({xtype.name} *v) {{", *self._body(xtype), "}"]
        entries = [
            f'{{"{xtype.name}", sizeof({xtype.name}), (xdrproc_t)xdr_{xtype.name}, (dump_t)dump_{xtype.name}}},'
            for xtype in types
        ]
        return "\n".join([*lines, "static const struct type types[] = {", *entries, "};", MAIN])

    def _body(self, xtype: Enum | Struct | Union | Alias) -> list[str]:
        if isinstance(xtype, Enum):
            return ['    printf("%d ", (int)*v);']
        if isinstance(xtype, Alias):
            return [LIBRARY[xtype.name]] if xtype.name in LIBRARY else self._dump(xtype.target, "(*v)", xtype.name)
        if isinstance(xtype, Struct):
            return [
                line for member in xtype.members for line in self._dump(member.type, f"v->{member.name}", member.name)
            ]
        kind = f"v->{xtype.discriminant.name}"
        lines = [f'    printf("%lld ", (long long){kind});', f"    switch ({kind}) {{"]
        for case in xtype.cases:
            lines += [f"    case {value}:" for value in case.values] if case.values is not None else ["    default:"]
            if case.member is not None:
                lines += self._dump(case.member.type, f"v->{xtype.name}_u.{case.member.name}", case.member.name)
            lines += ["    break;"]
        return [*lines, "    }"]

    def _dump(self, xtype: XType, given: str, name: str) -> list[str]:
        if isinstance(xtype, Number):
            if xtype.letter in "fd":
                return [f"    bits(&{given}, {xtype.size});"]
            # a `long` has 64 bits here, and libtirpc forgets the sign of the 32 that it reads
            signed = "(long long)(int32_t)" if xtype.letter == "i" else "(long long)"
            kind, form = (signed, "%lld ") if xtype.letter in "iq" else ("(unsigned long long)", "%llu ")
            return [f'    printf("{form}", {kind}{given});']
        if isinstance(xtype, Bool):
            return [f'    printf("%d ", (int){given});']
        if isinstance(xtype, Opaque):
            return [f"    hex((char *){given}, {xtype.size});"]
        if isinstance(xtype, Bytes):
            return [f"    hex({given}.{name}_val, {given}.{name}_len);"]
        if isinstance(xtype, Text):
            return [f"    hex({given}, strlen({given}));"]
        if isinstance(xtype, Optional):
            inner = self._dump(xtype.item, f"(*{given})", name)
            return [f'    printf({given} ? "+ " : "- ");', f"    if ({given}) {{", *inner, "    }"]
        if isinstance(xtype, List):
            return self._loop(xtype.item, f"{given}.{name}_len", f"{given}.{name}_val", name)
        if isinstance(xtype, Array):
            return self._loop(xtype.item, str(xtype.size), given, name)
        assert isinstance(xtype, Enum | Struct | Union | Alias)
        if xtype in self.corpus.interface.types:
            return [f"    dump_{xtype.name}(&{given});"]
        return self._dump(xtype.target, given, name) if isinstance(xtype, Alias) else []

    def _loop(self, item: XType, count: str, given: str, name: str) -> list[str]:
        self._loops += 1
        i = f"i{self._loops}"
        return [
            f'    printf("[%u ", (unsigned){count});',
            f"    for (unsigned {i} = 0; {i} < (unsigned){count}; {i}++) {{",
            *self._dump(item, f"{given}[{i}]", name),
            "    }",
        ]


# what libtirpc defines itself, with names of its own
LIBRARY = {"netobj": "    hex(v->n_bytes, v->n_len);", "des_block": "    hex((char *)v, 8);"}
HELPERS = """
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char out[1 << 20];
typedef void (*dump_t)(void *);
struct type { const char *name; size_t size; xdrproc_t xdr; dump_t dump; };
static void hex(const char *data, size_t length) {
    putchar('x');
    for (size_t i = 0; i < length; i++) printf("%02x", (unsigned char)data[i]);
    putchar(' ');
}
static inline void bits(void *data, size_t size) {
    for (size_t i = size; i-- > 0;) printf("%02x", ((unsigned char *)data)[i]);
    putchar(' ');
}
"""
MAIN = """
int main(void) {
    uint32_t head[2];
    while (fread(head, 4, 2, stdin) == 2) {
        const struct type *type = &types[ntohl(head[0])];
        size_t length = ntohl(head[1]);
        char *data = malloc(length + 4);
        void *value = calloc(1, type->size);
        XDR xdr;
        if (fread(data, 1, length, stdin) != length) return 1;
        xdrmem_create(&xdr, data, length, XDR_DECODE);
        if (type->xdr(&xdr, value) && xdr_getpos(&xdr) == length) {
            type->dump(value);
            putchar('|');
            xdrmem_create(&xdr, out, sizeof out, XDR_ENCODE);
            if (type->xdr(&xdr, value)) hex(out, xdr_getpos(&xdr));
        }
        putchar('\\n');
        xdr_free(type->xdr, value);
        free(value);
        free(data);
    }
    return 0;
}
"""
