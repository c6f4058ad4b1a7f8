"""What all commands share: how they begin, and how they end when something goes wrong."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EPIPE
from typing import NoReturn

import click

from stack.cli.start import INTERRUPTED
from stack.errors import StackError


def fail(message: str, code: int = 2) -> NoReturn:
    """End with one sentence."""
    click.echo(f"tapstack: {message}", err=True)
    sys.exit(code)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what can be foreseen to go wrong into a sentence and exit code 2, a full disk and its like into one and code
    1, and Ctrl-C into 130.
    """
    try:
        yield
    except StackError as error:
        fail(error.strerror or str(error))
    except OSError as error:
        if error.errno == EPIPE:
            raise  # click ends quietly when nobody reads on
        _abandon_output()
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{(error.strerror or str(error)).lower()}", 1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _abandon_output() -> None:
    """If standard output takes no more, let the interpreter's last flush go nowhere: it would say the same again."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def open_standard_streams() -> None:
    """/dev/null for those of the descriptors 0 to 2 that are closed: no device or socket must get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: `number`
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # for the process's life


def daemon_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that choose a running daemon."""
    function = click.option("--control", metavar="PATH", default=None, help="Its control socket.")(function)
    return click.option(
        "--dev", metavar="NAME", default="tapstack0", show_default=True, help="The device of the daemon to talk to."
    )(function)


def via_option(function: Callable[..., None]) -> Callable[..., None]:
    """The option that chooses who does it."""
    return click.option(
        "--via",
        type=click.Choice(["daemon", "kernel"]),
        default=None,
        help="From the stack's address, or through kernel sockets.  [default: daemon, if one runs]",
    )(function)
