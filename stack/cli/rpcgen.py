"""`tapstack rpcgen`: an interface file to a Python module."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from stack.errors import ConfigError
from stack.rpc.x.compile import generate, read_source
from stack.rpc.x.preprocess import MAX_TEXT

STDIN: Final = "-"


def definitions(given: Sequence[str]) -> dict[str, str | None]:
    """NAME and NAME=VALUE as macros.  Raises ConfigError."""
    found: dict[str, str | None] = {}
    for word in given:
        name, mark, value = word.partition("=")
        if not name.isidentifier():
            raise ConfigError(f"-D {word}: use NAME or NAME=VALUE")
        found[name] = value if mark else None
    return found


def _standard_input() -> str:
    return sys.stdin.buffer.read(MAX_TEXT + 1).decode("utf-8", "surrogateescape")


def rpcgen(source: str, output: str | None, include: Sequence[str], define: Sequence[str]) -> int:
    """Write the module of an interface file; 0, as what is wrong is raised.  Raises StackError and OSError."""
    macros = definitions(define)
    if source == STDIN:
        text, file = _standard_input(), "standard input"
    else:
        text, file = read_source(source), source
    made = generate(text, file, include=include, define=macros)
    if output is None:
        click.echo(made, nl=False)
    else:
        Path(output).write_text(made, encoding="utf-8")
    return 0
