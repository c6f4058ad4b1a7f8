#!/usr/bin/env python3
"""Files of at most 600 lines, functions of at most 60, constructors of at most 40.

Exceptions, each with its own limit and a reason, are in tools/loc_exceptions.toml.  An exception that
is no longer needed is an error too, so that the list only ever describes what is there.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("stack", "native", "tools", "scripts", "tests", "examples")
FILE_LIMIT, FUNCTION_LIMIT, CONSTRUCTOR_LIMIT = 600, 60, 40
C_FUNCTION = re.compile(r"^(?!static const)[A-Za-z].*?(\w+)\([^;]*$")


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines of each function; methods as `Class.name`."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + child.name, (child.end_lineno or child.lineno) - child.lineno + 1
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    return walk(ast.parse(text), "")


def c_functions(text: str) -> Iterator[tuple[str, int]]:
    """The same for C in our style: the head starts and the closing brace stands in the first column."""
    name, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if match := C_FUNCTION.match(line):
            name, start = match[1], number
        elif line == "}" and name:
            yield name, number - start + 1
            name = ""


FUNCTIONS: dict[str, Callable[[str], Iterable[tuple[str, int]]]] = {
    ".py": python_functions,
    ".c": c_functions,
    ".h": c_functions,
    ".sh": lambda _: (),
}


def sizes(root: Path) -> Iterator[tuple[str, int, int]]:
    """(what, lines, limit) of each file and function; a function is written `path::name`."""
    for part in PARTS:
        for path in sorted((root / part).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix not in FUNCTIONS:
                continue
            text = path.read_text()
            yield name, len(text.splitlines()), FILE_LIMIT
            for function, lines in FUNCTIONS[path.suffix](text):
                limit = CONSTRUCTOR_LIMIT if function.endswith("__init__") else FUNCTION_LIMIT
                yield f"{name}::{function}", lines, limit


def problems(root: Path, exceptions: dict[str, dict[str, object]]) -> list[str]:
    """What is too long, and which exceptions are wrong."""
    found = []
    unused = dict(exceptions)
    for what, lines, usual in sizes(root):
        limit = usual
        if what in unused and lines > usual:
            limit = int(str(unused.pop(what)["limit"]))
        if lines > limit:
            found.append(f"{what}: {lines} lines, the limit is {limit}")
    found += [f"{what}: no exception is needed (tools/loc_exceptions.toml)" for what in unused]
    found += [f"{what}: the exception gives no reason" for what, own in exceptions.items() if not own.get("reason")]
    return found


def report(root: Path) -> str:
    """Lines per part of the project."""
    totals: dict[str, list[int]] = {}
    for what, lines, _ in sizes(root):
        if "::" not in what:
            pieces = what.split("/")
            key = "/".join(pieces[:2]) if pieces[0] in {"stack", "tests"} and len(pieces) > 2 else pieces[0]
            total = totals.setdefault(key, [0, 0])
            total[0] += 1
            total[1] += lines
    return "\n".join(f"  {key:20} {files:4} files {lines:7} lines" for key, (files, lines) in sorted(totals.items()))


def main() -> int:
    """Print the size report and what breaks a limit."""
    exceptions = tomllib.loads((ROOT / "tools/loc_exceptions.toml").read_text())
    print(report(ROOT))
    found = problems(ROOT, exceptions)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
