"""Compiling an interface file: to the text of a module, or at once to a module."""

import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Final

from stack.rpc.x import tree
from stack.rpc.x.checker import Checker
from stack.rpc.x.errors import InterfaceError
from stack.rpc.x.generate import Generator
from stack.rpc.x.parser import Parser
from stack.rpc.x.preprocess import MAX_TEXT, Preprocessor, Read
from stack.rpc.x.tokens import Position, Token
from stack.rpc.x.types import Interface

DEFINED: Final = {"RPC_HDR": "1"}  # rpcgen's for the file with the types, for which the module stands
# what C finds in <rpc/types.h>, <rpc/auth.h>, <rpc/xdr.h> and <rpc/des_crypt.h>
LIBRARY: Final = """
const MAX_AUTH_BYTES = 400;
const MAXNETNAMELEN = 255;
const MAX_NETOBJ_SZ = 1024;
const HOSTNAMESIZE = 255;
typedef opaque netobj<1024>;
typedef opaque des_block[8];
"""

_numbers: Final = count(1)


def read_source(path: str | Path) -> str:
    """The text of an interface file; of one that is too long, as much as tells that.  Raises OSError."""
    with Path(path).open(encoding="utf-8", errors="surrogateescape") as file:
        return file.read(MAX_TEXT + 1)


def folders(include: Sequence[str | Path]) -> Read:
    """A reader of included files: beside the file that includes them, or in one of the folders."""

    def read(name: str, by: str) -> tuple[str, str] | None:
        for folder in (Path(by).parent, *map(Path, include)):
            path = folder / name
            if path.is_file():
                return str(path), read_source(path)
        return None

    return read


def parse(
    text: str, file: str, read: Read, define: Mapping[str, str | int | None]
) -> tuple[tree.Specification, dict[str, list[Token]], list[Token]]:
    """The syntax tree; the constants of `%#define`; the headers of `%#include`.  Raises InterfaceError."""
    words = Preprocessor(read, {**DEFINED, **define}).run(text, file)
    return Parser(words.tokens).specification(), words.constants, words.headers


def check(text: str, file: str, read: Read, define: Mapping[str, str | int | None]) -> Interface:
    """The checked types of a file.  Raises InterfaceError."""
    specification, constants, headers = parse(text, file, read, define)

    def outside() -> Iterator[tree.Definition]:
        yield from parse(LIBRARY, "<rpc/rpc.h>", read, define)[0].definitions
        seen = {file}
        left = list(headers)
        while left:
            header = left.pop(0)
            found = _behind(header, read)
            if found is None or found[0] in seen:
                continue
            seen.add(found[0])
            other, _, more = parse(found[1], found[0], read, define)
            left += more
            yield from other.definitions

    try:
        return Checker(specification, constants, outside).check()
    except RecursionError:
        raise _too_deep(file) from None


def _too_deep(file: str) -> InterfaceError:
    return Position(file, 1, 1).error("types or constants are nested too deeply")


def _behind(header: Token, read: Read) -> tuple[str, str] | None:
    """The interface file that rpcgen made a header from: nis.x for <rpcsvc/nis.h>."""
    name = Path(header.text)
    if name.suffix != ".h":
        return None
    by = header.at.file
    return read(str(name.with_suffix(".x")), by) or read(f"{name.stem}.x", by)


def generate(
    text: str,
    file: str,
    *,
    include: Sequence[str | Path] = (),
    define: Mapping[str, str | int | None] | None = None,
    read: Read | None = None,
) -> str:
    """The text of the module for an interface file.  Raises InterfaceError."""
    try:
        interface = check(text, file, read or folders(include), define or {})
        return Generator(interface, Path(file).name).module()
    except RecursionError:
        raise _too_deep(file) from None


def compile_x(
    source: str | Path,
    *,
    include: Sequence[str | Path] = (),
    define: Mapping[str, str | int | None] | None = None,
    name: str | None = None,
) -> ModuleType:
    """A module with the types, codecs and programs of an interface file.

    `source` is a path, or the text itself (which has more than one line, or a semicolon).  `include` are folders where
    included files are looked for, besides the file's own; `define` are macros, as by #define; `name` is what the module
    is called.  It stays loaded, as any module.  Raises InterfaceError, and OSError where the file cannot be read.
    """
    if not str(source).strip():
        raise InterfaceError(
            "there is nothing to compile: give a path, or the text of an interface file", "<text>", 1, 1
        )
    if isinstance(source, str) and ("\n" in source or ";" in source):
        text, file = source, "<text>"
    else:
        text, file = read_source(source), str(source)
    made = generate(text, file, include=include, define=define)
    title = name or (Path(file).stem if file != "<text>" else "interface")
    module = ModuleType(f"{title}_x{next(_numbers)}", f"{title}, compiled at run time.")
    shown = f"<{file} as Python {module.__name__}>"
    module.__file__ = shown
    linecache.cache[shown] = (len(made), None, made.splitlines(keepends=True), shown)
    sys.modules[module.__name__] = module  # where dataclass and pickle look for it
    exec(compile(made, shown, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # it was made right here
    return module


__all__ = ["InterfaceError", "compile_x", "folders", "generate"]
