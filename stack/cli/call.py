"""`tapstack call`: any procedure of an interface file from the shell, with JSON in and out (`stack.rpc.x.plain`)."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from stack.cli.remote import Remote, failure, this_user
from stack.cli.via import Way
from stack.errors import ConfigError
from stack.rpc.x.compile import InterfaceError, check, folders
from stack.rpc.x.plain import describe, plain_codec
from stack.rpc.x.types import CheckedProcedure, CheckedProgram, CheckedVersion, Interface
from stack.rpc.xdr import Writer, XdrError


def load(file: str, include: tuple[str, ...], define: tuple[str, ...]) -> Interface:
    """An interface file, checked.  Raises ConfigError, with file, line and column."""
    macros = {name: value if given else None for name, given, value in (one.partition("=") for one in define)}
    try:
        text = Path(file).read_text("utf-8", "surrogateescape")
        return check(text, file, folders(include), macros)
    except InterfaceError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"{file}: {(error.strerror or str(error)).lower()}") from None


def choose(
    interface: Interface, name: str, version: int | None
) -> tuple[CheckedProgram, CheckedVersion, CheckedProcedure]:
    """The procedure of a name like CALC_DO, in the highest version that has it unless another is asked for.

    A program may be named before it, like CALC.CALC_DO, and a number may stand for the procedure.  Raises ConfigError.
    """
    program_name, _, procedure_name = name.rpartition(".")
    found = [
        (program, one, procedure)
        for program in interface.programs
        for one in program.versions
        for procedure in one.procedures
        if procedure_name in {procedure.name, str(procedure.number)}
        and program_name in {"", program.name}
        and version in {None, one.number}
    ]
    if not found:
        raise ConfigError(_missing(interface, name, version))
    programs = {program.name for program, _, _ in found}
    if len(programs) > 1:
        raise ConfigError(f"several programs have {name}: say which, like {min(programs)}.{procedure_name}")
    return max(found, key=lambda one: one[1].number)


def _missing(interface: Interface, name: str, version: int | None) -> str:
    """That there is no such procedure, and which there are: in other versions, or all, by version."""
    versions = [(program, one) for program in interface.programs for one in program.versions]
    having = [str(one.number) for _, one in versions if name in {procedure.name for procedure in one.procedures}]
    if having and version is not None:
        return f"the file has no procedure {name} in version {version}; it is in version {', '.join(having)}"
    known = [
        f"{program.name} version {one.number} has {', '.join(procedure.name for procedure in one.procedures)}"
        for program, one in versions
    ]
    wanted = name if version is None else f"{name} in version {version}"
    return f"the file has no procedure {wanted}; {'; '.join(known) or 'it has none'}"


def arguments(procedure: CheckedProcedure, words: tuple[str, ...]) -> bytes:
    """The octets of the arguments, each given as JSON.  Raises ConfigError."""
    if len(words) != len(procedure.args):
        wanted = ", ".join(describe(xtype) for xtype in procedure.args) or "none"
        raise ConfigError(
            f"{procedure.name} takes {len(procedure.args)} arguments ({wanted}), not {len(words)}: give each as JSON"
        )
    writer = Writer()
    for number, (xtype, word) in enumerate(zip(procedure.args, words, strict=True), 1):
        text = sys.stdin.read() if word == "-" else word
        try:
            plain_codec(xtype).append(writer, json.loads(text))
        except json.JSONDecodeError as error:
            hint = f"; a string is written with quotes, '{json.dumps(word)}'" if word[:1].isalpha() else ""
            raise ConfigError(f"argument {number} is no JSON: {error}{hint}") from None
        except RecursionError:
            raise ConfigError(f"argument {number} is nested too deeply") from None
        except XdrError as error:
            raise ConfigError(f"argument {number}: {str(error).partition(': ')[2] or error}") from None
    return writer.finish()


def call(
    file: str,
    host: str,
    name: str,
    words: tuple[str, ...],
    way: Way,
    *,
    version: int | None,
    proto: str,
    port: int,
    timeout: float,
    auth: str,
    include: tuple[str, ...],
    define: tuple[str, ...],
    compact: bool,
) -> int:
    """Make the call and print its result; 0 when there is one.  Raises StackError."""
    program, chosen, procedure = choose(load(file, include, define), name, version)
    args = arguments(procedure, words)
    remote = Remote(way, host, proto, timeout, caller=this_user() if auth == "sys" else None)
    results, failed = remote.exchange(
        program.number, chosen.number, procedure.number, args, port=port, name=procedure.name, interface=chosen.name
    )
    click.echo(f";; called {way.how}", err=True)  # so that what is printed can be used
    if failed is not None:
        return failure(way, failed, as_json=False)
    try:
        value = plain_codec(procedure.result).decode(results)
    except XdrError as error:
        click.echo(f"tapstack: the result of {procedure.name} is not what the file says: {error}", err=True)
        return 1
    click.echo(shown(value, compact=compact))
    return 0


def shown(value: Any, *, compact: bool) -> str:
    """A value as JSON; letters as they are, unless some are no letters: what steers terminals is escaped."""
    indent = None if compact else 2
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if text.replace("\n", "").isprintable() else json.dumps(value, indent=indent)
