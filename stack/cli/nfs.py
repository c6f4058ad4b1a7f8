"""`tapstack nfs`: list, read and write what NFS servers export."""

import sys
from collections.abc import Callable
from typing import Any

import click

from stack.cli.common import daemon_options, sentences, via_option
from stack.cli.via import Way

_OPTIONS = (
    daemon_options,
    via_option,
    click.option("--proto", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True),
    click.option("--port", type=click.IntRange(1, 65_535), default=None, help="Of NFS.  [default: ask rpcbind]"),
    click.option(
        "--mount-port",
        type=click.IntRange(1, 65_535),
        default=None,
        help="Of MOUNT.  [default: --port, or ask rpcbind]",
    ),
    click.option(
        "-W", "--timeout", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="For each call."
    ),
)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _run(name: str, dev: str, control: str | None, via: str | None, *words: str, **options: Any) -> None:
    with sentences():
        from stack.cli import nfs_run  # noqa: PLC0415  # it takes a while to load

        sys.exit(getattr(nfs_run, name)(Way(via, dev, control), via, *words, **options))


@click.group()
def nfs() -> None:
    """List, read and write the directories of NFS servers (version 3).

    \b
    tapstack nfs ls HOST                      what it exports
    tapstack nfs ls HOST:/data/reports
    tapstack nfs get HOST:/data/file [FILE]
    tapstack nfs put FILE HOST:/data/file
    tapstack nfs cat HOST:/data/file
    """


@nfs.command()
@_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("target", metavar="HOST[:/PATH]")
def ls(target: str, dev: str, control: str | None, via: str | None, **options: Any) -> None:
    """What a directory holds; or, of a host alone, what it exports."""
    _run("ls", dev, control, via, target, **options)


@nfs.command()
@_options
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@click.argument("target", metavar="HOST:/PATH")
@click.argument("file", default="")
def get(target: str, file: str, dev: str, control: str | None, via: str | None, **options: Any) -> None:
    """Copy a file from a server, whole or not at all.  FILE may be a directory; by default it is this one."""
    _run("get", dev, control, via, target, file, **options)


@nfs.command()
@_options
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@click.argument("file")
@click.argument("target", metavar="HOST:/PATH")
def put(file: str, target: str, dev: str, control: str | None, via: str | None, **options: Any) -> None:
    """Copy a file to a server, whole or not at all; "-" is standard input.  PATH may be a directory."""
    _run("put", dev, control, via, file, target, **options)


@nfs.command()
@_options
@click.argument("target", metavar="HOST:/PATH")
def cat(target: str, dev: str, control: str | None, via: str | None, **options: Any) -> None:
    """Write a file of a server to standard output."""
    _run("cat", dev, control, via, target, **options)
