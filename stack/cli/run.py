"""`tapstack run`: a Python program on our stack, with an address of its own, and without a change to it.

The command becomes the program (execve), so that its exit code, its signals and its terminal are its own.
"""

import dataclasses
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stack.cli.common import daemon_options, fail, sentences
from stack.cli.workers import Worker, supervise
from stack.wire.steering import MAX_QUEUES

if TYPE_CHECKING:
    from stack.run_loop import RunOptions

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as env(1) and shells have it
INJECT: Final = Path(__file__).resolve().parent.parent / "inject"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*[dt]?")
_ISOLATED = re.compile(r"-[bBdiOPqRsuvx]*[IES].*")  # no environment, or no `site`
_HEAD: Final = 512  # bytes of a script that say who runs it
_LONGEST: Final = 30  # prefix with room for two hosts
_SOCKS: Final = 1080  # RFC 1928 §3: the customary port


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@daemon_options
@click.option("--socket", "path", metavar="PATH", default=None, help="Where to attach.  [default: the daemon on --dev]")
@click.option("--tap", is_flag=True, help="No daemon: open a TAP (root), with the settings of stack.aio:factory.")
@click.option(
    "--address", metavar="ADDR", default="", help="Of the daemon's pool; with --tap ADDR/LEN.  [default: any]"
)
@click.option("--name", metavar="NAME", default="", help="For 'tapstack status'.  [default: the program's]")
@click.option("--all", "everything", is_flag=True, help="All destinations but 127/8, not only the daemon's network.")
@click.option(
    "--queues", type=click.IntRange(1, MAX_QUEUES), default=1, metavar="N", help="With --tap: N processes, one address."
)
@click.option("-q", "--quiet", is_flag=True, help="Do not say which address the program has.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    dev: str,
    control: str | None,
    path: str | None,
    tap: bool,
    address: str,
    name: str,
    everything: bool,
    queues: int,
    quiet: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, a Python program, on the stack: `tapstack run -- uvicorn app:app`.

    Each Python process of it that runs an asyncio event loop attaches to the daemon and has an address of its own.
    """
    program = _find(command[0])
    if queues > 1 and not tap:
        fail("--queues is for a TAP of the program's own: give --tap, too", 2)
    with sentences():
        from stack import app  # noqa: PLC0415  # as in the other commands
        from stack.daemon.attach.server import default_path  # noqa: PLC0415
        from stack.run_loop import VARIABLE, RunOptions  # noqa: PLC0415

        if path is None and control is not None:
            path = str(default_path(dev, control))
        socks = 0 if tap else app.probe_daemon(path, dev=dev).socks
        options = RunOptions(
            dev=dev,
            socket=str(Path(path).absolute()) if path else "",
            address=address,
            name=name,
            capture="all" if everything else "own",
            tap=tap,
            quiet=quiet,
        )
    _check_python(program, command, None if tap else socks)
    environment = {**os.environ, VARIABLE: options.to_json(), "PYTHONPATH": _python_path()}
    if tap:
        _check_interpreter(program)
        given = {"TAPSTACK_DEV": "" if dev == "tapstack0" else dev, "TAPSTACK_ADDRESS": address}
        environment |= {name: value for name, value in given.items() if value}
        if address and not {"TAPSTACK_HOST_ADDRESS", "TAPSTACK_CONFIG"} & set(environment):
            environment |= _kernels_end(address)
    sys.stdout.flush()
    sys.stderr.flush()
    if queues > 1:
        sys.exit(_run_queues(queues, options, [program, *command[1:]], environment))
    for ignored in (
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):  # by the interpreter that we were, which is not the program's doing
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execve(program, list(command), environment)  # no shell meant
    except OSError as error:
        fail(f"{command[0]}: {(error.strerror or str(error)).lower()}", NOT_EXECUTABLE)


def _run_queues(count: int, options: "RunOptions", command: list[str], environment: dict[str, str]) -> int:
    """The command in `count` processes that share one address; the status for us to end with."""
    with sentences():
        from stack import app  # noqa: PLC0415  # as in `run`
        from stack.run_loop import VARIABLE  # noqa: PLC0415

        # the device is opened here, as each process will see it
        os.environ.update({name: value for name, value in environment.items() if name.startswith("TAPSTACK_")})
        with app.open_queues(app.tap_settings(), count) as group:
            workers = []
            for share in group.shares:
                text = dataclasses.replace(options, share=share.to_json()).to_json()
                workers.append(Worker(command, {**environment, VARIABLE: text}, share.descriptors()))
            return supervise(workers, options.name or Path(command[0]).name)


def _check_python(program: str, command: tuple[str, ...], socks: int | None) -> None:
    """Say what to do for a program that we cannot bring to the stack; end us where an option is in the way.

    `socks` is the port of the daemon's proxy, 0 if it has none, None where there is no daemon.
    """
    if not is_python(program):
        if socks is None:
            why = f"{command[0]} is no Python program, so its own connections stay the kernel's"
            click.echo(
                f"tapstack run: {why}: start a daemon ('tapstack up --socks {_SOCKS}') for its SOCKS proxy and "
                "'tapstack forward'",
                err=True,
            )
            return
        proxy = f"its SOCKS proxy on port {socks}" if socks else f"its SOCKS proxy ('tapstack up --socks {_SOCKS}')"
        click.echo(
            f"tapstack run: {command[0]} is no Python program, so its own connections stay the kernel's: bring them to "
            f"the daemon with 'tapstack forward', or {proxy}",
            err=True,
        )
    elif flag := next((word for word in _options(command) if _ISOLATED.fullmatch(word)), None):
        left_out = "what brings the program to the stack (PYTHONPATH and sitecustomize)"
        fail(f"{command[0]} {flag} leaves out {left_out}: leave {flag} out", 2)


def _check_interpreter(program: str) -> None:
    """End us if a program that shall have a TAP of its own would go on with the kernel's addresses instead."""
    interpreter = interpreter_of(program)
    if interpreter and interpreter != sys.executable:
        command = (interpreter, "-c", "import stack.run_loop")
        asked = subprocess.run(command, cwd="/", capture_output=True, check=False)  # not from the present folder
        if asked.returncode:
            fail(f"{interpreter} has no tapstack, so nothing was started: install it there, or use {sys.executable}", 2)


def _kernels_end(address: str) -> dict[str, str]:
    """The first other address of a network that the default one is not in.  What is none, the program says itself."""
    from stack.daemon.settings import Settings  # noqa: PLC0415  # as in `run`

    try:
        ours = ipaddress.IPv4Interface(address)
    except ValueError:
        return {}
    if Settings().host_interface.ip in ours.network or ours.network.prefixlen > _LONGEST:
        return {}
    return {"TAPSTACK_HOST_ADDRESS": str(next(one for one in ours.network.hosts() if one != ours.ip))}


def _find(name: str) -> str:
    """The program's path.  Ends us with the status of a shell when it is not there."""
    program = shutil.which(name)
    if program is None:
        if name.endswith(".py") and os.path.isfile(name):  # noqa: PTH113  # which may be anything
            fail(f"{name} is no command: use 'tapstack run -- python {name}'", NOT_EXECUTABLE)
        there = os.path.exists(name) and os.sep in name  # noqa: PTH110  # a directory, too
        fail(f"{name}: {'not executable' if there else 'not found'}", NOT_EXECUTABLE if there else NOT_FOUND)
    return program


def _options(command: tuple[str, ...]) -> list[str]:
    """The interpreter's own, if the command is an interpreter: what comes before the script."""
    options: list[str] = []
    if _PYTHON.fullmatch(Path(command[0]).name):
        for word in command[1:]:
            if not word.startswith("-") or word in {"-", "-c", "-m"}:
                break
            options.append(word)
    return options


def is_python(program: str) -> bool:
    """Whether a program is an interpreter of Python, or a script for one."""
    return bool(interpreter_of(program))


def interpreter_of(program: str) -> str:
    """The interpreter of Python that a program is, or that a script is for; "" of any other program."""
    if _PYTHON.fullmatch(Path(program).name) or _PYTHON.fullmatch(Path(os.path.realpath(program)).name):
        return program
    try:
        with open(program, "rb") as file:  # noqa: PTH123
            head = file.read(_HEAD)
    except OSError:
        return ""
    if not head.startswith(b"#!"):
        return ""
    first, _, rest = head.partition(b"\n")
    words = first[2:].decode("utf-8", "replace").split()
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words and Path(words[0]).name == "sh" and rest.startswith(b"'''exec'"):
        words = rest.decode("utf-8", "replace").split()[1:]  # pip, where the path of the interpreter is long
    name = words[0].strip("'\"") if words else ""
    return (shutil.which(name) or name) if _PYTHON.fullmatch(Path(name).name) else ""


def _python_path() -> str:
    """What was there, behind ours."""
    before = os.environ.get("PYTHONPATH", "")
    return f"{INJECT}{os.pathsep}{before}" if before else str(INJECT)
