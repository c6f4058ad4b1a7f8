"""The `tapstack` command.

Exit codes: 0 done, 1 something failed on the way, 2 it could not begin (bad option or configuration, device or
address taken, no daemon).  What goes wrong is told in one sentence on standard error.
"""

import os
import sys
from typing import Any

import click

from stack.cli import client, talk
from stack.cli.common import daemon_options, open_standard_streams, sentences, via_option
from stack.cli.nfs import nfs
from stack.cli.run import run
from stack.cli.sim import sim
from stack.cli.start import nothing_to_collect
from stack.cli.via import Way
from stack.errors import ConfigError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tapstack", prog_name="tapstack")
def main() -> None:
    """A TCP/IP host in user space, on a TAP device."""
    open_standard_streams()


@main.command()
@click.option("--config", metavar="FILE.toml", default=None, help="Settings; options on the command line go first.")
@click.option("--dev", metavar="NAME", default=None, help="TAP device.  [default: tapstack0]")
@click.option("--address", metavar="ADDR/LEN", default=None, help="The stack's address.  [default: 198.18.0.2/24]")
@click.option("--host-address", metavar="ADDR", default=None, help="The kernel's address.  [default: 198.18.0.1]")
@click.option("--mtu", type=int, default=None, help="Bytes of an IP packet.  [default: 1500]")
@click.option(
    "--user", metavar="NAME", default=None, help="Whom to become after start.  [default: who called sudo, else nobody]"
)
@click.option("--uplink", is_flag=True, default=None, help="Forward and masquerade the stack's traffic on this host.")
@click.option("--socks", metavar="PORT", type=int, default=None, help="SOCKS5 proxy for programs of this machine.")
@click.option("--no-offload", "offload", flag_value=False, default=None, help="Plain frames, no checksum or TSO help.")
@click.option("--capture", metavar="FILE", default=None, help="Write all frames to a pcapng file.")
@click.option("--control", metavar="PATH", default=None, help="Control socket.")
@click.option(
    "--drain", "drain_s", metavar="SECONDS", type=float, default=None, help="Time to finish in.  [default: 5]"
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default=None)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default=None)
@click.option("--loss", type=float, default=None, help="Fraction of frames to lose, each way.")
@click.option("--duplicate", type=float, default=None, help="Fraction of frames to send twice.")
@click.option("--corrupt", type=float, default=None, help="Fraction of frames to damage.")
@click.option("--reorder", type=float, default=None, help="Fraction of frames to put out of order.")
@click.option("--delay", "delay_ms", metavar="MS", type=float, default=None, help="Delay of every frame.")
@click.option("--jitter", "jitter_ms", metavar="MS", type=float, default=None, help="Random part of the delay.")
@click.option("--rate", "rate_mbit", metavar="MBIT", type=float, default=None, help="Limit in Mbit/s.")
@click.option("--seed", type=int, default=None, help="Of the faults above.")
def up(config: str | None, **options: Any) -> None:
    """Run the daemon in the foreground."""
    with sentences():
        # Loaded here: the other commands start faster without the stack.
        with nothing_to_collect():
            from stack.daemon import private, settings  # noqa: PLC0415

        fault = {name: options.pop(name) for name in settings.FaultSettings.__struct_fields__}
        loaded = settings.load(config, {**options, "fault": fault})
        if loaded.uplink and os.geteuid() != 0:  # a namespace of our own leads nowhere
            raise ConfigError("uplink changes this machine's forwarding, which needs root: run it with sudo")
        private.become_root(sys.argv[1:])
        with nothing_to_collect():
            from stack.daemon import run  # noqa: PLC0415

        code = run.up(loaded)
    sys.exit(code)


@main.command()
@daemon_options
@click.option("--json", "as_json", is_flag=True, help="The snapshot as JSON; with --watch a line each second.")
@click.option("--watch", is_flag=True, help="A live table; Ctrl-C ends it.")
def status(dev: str, control: str | None, as_json: bool, watch: bool) -> None:
    """Interfaces, neighbours, routes, sockets and drop counters of the running daemon."""
    with sentences():
        if watch:
            from stack.cli import watch as live  # noqa: PLC0415  # rich takes a while to load

            sys.exit(live.run(dev, control, as_json=as_json))
        from stack.cli import render  # noqa: PLC0415  # rich takes a while to load

        snapshot = client.status(dev, control)
        click.echo(render.as_json(snapshot) if as_json else render.as_text(snapshot))


@main.command()
@daemon_options
@click.option("-w", "file", metavar="FILE", default=None, help='Write pcapng there; "-" is standard output.')
@click.option("-c", "--count", type=click.IntRange(min=1), default=None, help="Stop after so many packets.")
@click.option("-s", "--snaplen", type=click.IntRange(64, 256 << 10), default=None, help="Bytes of each packet to keep.")
@click.option("--in", "way", flag_value="in", default=None, help="Only what the stack receives.")
@click.option("--out", "way", flag_value="out", help="Only what the stack sends.")
@click.argument("words", metavar="[FILTER]...", nargs=-1)
def capture(dev: str, control: str | None, words: tuple[str, ...], way: str | None, **options: Any) -> None:
    """Show the packets that pass, with what the stack says of them: sent again and why, dropped and why.

    FILTER is made of host, net, port (after src or dst for one end), tcp, udp, icmp, arp, syn, fin, rst, in, out,
    dropped, retransmission, comment, and, or, not and brackets; docs/looking-in.md tells all of it.
    """
    with sentences():
        from stack.cli import capture as command  # noqa: PLC0415  # it takes a while to load

        both = (way, "and", "(", *words, ")") if way and words else (way,) if way else words
        sys.exit(command.run(dev, control, both, **options))


@main.command()
@daemon_options
@via_option
@click.option("-c", "--count", type=click.IntRange(min=1), default=None, help="Stop after so many.")
@click.option("-s", "--size", type=click.IntRange(0, 65_507), default=56, show_default=True, help="Bytes of data.")
@click.option("-i", "--interval", type=click.FloatRange(0.001, 3600), default=1.0, show_default=True)
@click.option(
    "-W", "--timeout", type=click.FloatRange(0.001, 3600), default=2.0, show_default=True, help="Wait for an answer."
)
@click.argument("host")
def ping(dev: str, control: str | None, via: str | None, host: str, **options: Any) -> None:
    """Send echo requests."""
    with sentences():
        sys.exit(talk.ping(Way(via, dev, control), host, **options))


@main.command()
@daemon_options
@via_option
@click.option("-w", "--timeout", type=click.FloatRange(0.001, 180), default=180.0, help="Wait for the connection.")
@click.argument("host")
@click.argument("port", type=click.IntRange(1, 65_535))
def nc(dev: str, control: str | None, via: str | None, host: str, port: int, timeout: float) -> None:
    """Connect to a host; standard input and output are the connection.

    The end of standard input is sent as FIN; the command ends when the peer has closed too.
    """
    with sentences():
        sys.exit(talk.nc(Way(via, dev, control), host, port, timeout))


@main.command()
@daemon_options
@click.option("--in", "inward", is_flag=True, help="From a port of the stack's to an address on the kernel's side.")
@click.option("--anyone", is_flag=True, help="Serve other users, too, and listen elsewhere than on loopback.")
@click.argument("listen", metavar="[ADDRESS:]PORT[/udp]")
@click.argument("target", metavar="HOST:PORT")
def forward(dev: str, control: str | None, listen: str, target: str, *, inward: bool, anyone: bool) -> None:
    """Lead a port of this machine's loopback to an address that the stack reaches, until Ctrl-C.

    With --in a port of the stack's address leads to a server on this machine, such as 127.0.0.1:8000.
    """
    with sentences():
        sys.exit(talk.forward(dev, control, listen, target, inward=inward, anyone=anyone))


@main.command()
@daemon_options
@via_option
@click.option("-o", "--output", metavar="FILE", default=None, help="Write the body there.")
@click.option("-i", "--include", is_flag=True, help="Show the response headers too.")
@click.argument("url")
def get(dev: str, control: str | None, via: str | None, url: str, output: str | None, include: bool) -> None:
    """Fetch an http:// URL."""
    with sentences():
        from stack.cli import get as command  # noqa: PLC0415  # it takes a while to load

        sys.exit(command.get(Way(via, dev, control), url, output, include))


_TIMEOUT = click.option(
    "-W", "--timeout", type=click.FloatRange(0.001, 60), default=10.0, show_default=True, help="Wait for an answer."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="What is found as JSON.")


@main.command()
@daemon_options
@via_option
@_TIMEOUT
@_JSON
@click.option("--svg", metavar="FILE", default=None, help="Draw the steps into a picture.")
@click.argument("words", metavar="NAME [TYPE] [+trace] [@SERVER]...", nargs=-1, required=True)
def dig(dev: str, control: str | None, via: str | None, words: tuple[str, ...], **options: Any) -> None:
    """Ask the DNS for the records of a name, or for the name of an address.

    TYPE is like AAAA or TYPE65280, A if left out; ANY is not asked, since servers answer it with what they please (RFC
    8482).  @SERVER is who is asked, "ADDRESS" or "ADDRESS#PORT"; without one the servers of the resolver in use: the
    daemon's own, or those of resolv.conf.  With +trace every step is shown that it takes from the root servers (or from
    those named) to the answer.

    Exit status: 0 there is an answer, 1 there is none, and standard error says why, 2 it cannot be asked.
    """
    with sentences():
        from stack.cli import dig as command  # noqa: PLC0415  # it takes a while to load

        sys.exit(command.dig(words, Way(via, dev, control), **options))


@main.command()
@daemon_options
@via_option
@_TIMEOUT
@_JSON
@click.argument("words", metavar="NAME", nargs=-1, required=True)
def resolve(dev: str, control: str | None, via: str | None, words: tuple[str, ...], **options: Any) -> None:
    """Print the addresses of a name, the best to connect to first, or the name of an address.

    Exit status: 0 there are any, 1 there are none, and standard error says why, 2 it cannot be asked.
    """
    with sentences():
        from stack.cli import dig as command  # noqa: PLC0415  # it takes a while to load

        sys.exit(command.resolve(words, Way(via, dev, control), **options))


_RPC_PROTO = click.option(
    "--proto", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True, help="The transport."
)
_RPC_PORT = click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, metavar="PORT", help="Of the server.  [default: ask rpcbind]"
)
_RPC_TIMEOUT = click.option(
    "-W", "--timeout", type=click.FloatRange(0.001, 180), default=5.0, show_default=True, help="Wait for a reply."
)


@main.command()
@daemon_options
@via_option
@_RPC_PROTO
@_RPC_PORT
@_RPC_TIMEOUT
@_JSON
@click.argument("host")
@click.argument("program", required=False)
@click.argument("version", required=False, type=click.IntRange(0, 0xFFFF_FFFF))
def rpcinfo(
    dev: str, control: str | None, via: str | None, host: str, program: str | None, version: int | None, **options: Any
) -> None:
    """List the RPC programs of a host, or see whether one of them answers.

    PROGRAM is a number, or a name like nfs; without VERSION all versions are tried that it says it has.
    """
    with sentences():
        from stack.cli import rpcinfo as command  # noqa: PLC0415  # it takes a while to load

        way = Way(via, dev, control)
        if program is not None:
            sys.exit(command.probe(host, program, version, way, **options))
        if options.pop("port"):
            raise ConfigError("--port is the port of a program: name one, or leave it out to list what rpcbind has")
        sys.exit(command.listing(host, way, **options))


@main.command(context_settings={"ignore_unknown_options": True})  # numbers below zero are arguments
@daemon_options
@via_option
@_RPC_PROTO
@_RPC_PORT
@_RPC_TIMEOUT
@click.option("-V", "--version", type=int, default=None, help="Of the program.  [default: the highest that has PROC]")
@click.option(
    "--auth", type=click.Choice(["none", "sys"]), default="none", show_default=True, help="sys: say who calls."
)
@click.option("-I", "include", metavar="FOLDER", multiple=True, help="Look for included files there, too.")
@click.option("-D", "define", metavar="NAME[=VALUE]", multiple=True, help="As #define.")
@click.option("--compact", is_flag=True, help="The result in one line.")
@click.argument("file", metavar="PROGRAM.x")
@click.argument("host")
@click.argument("name", metavar="PROC")
@click.argument("words", metavar="[JSON]...", nargs=-1)
def call(
    dev: str,
    control: str | None,
    via: str | None,
    file: str,
    host: str,
    name: str,
    words: tuple[str, ...],
    **options: Any,
) -> None:
    """Call a remote procedure: each argument is JSON, and so is the result.  "-" reads an argument from standard input.

    Structs and unions are objects, enums names, opaque data hexadecimal digits, linked lists arrays; docs/rpc.md tells
    all of it.
    """
    with sentences():
        from stack.cli import call as command  # noqa: PLC0415  # it takes a while to load

        sys.exit(command.call(file, host, name, words, Way(via, dev, control), **options))


@main.command()
@click.option("-o", "--output", metavar="FILE.py", default=None, help="Write the module there.  [default: print it]")
@click.option("-I", "--include", metavar="DIR", multiple=True, help="Look for included files there, too.")
@click.option("-D", "--define", metavar="NAME[=VALUE]", multiple=True, help="Define a macro.")
@click.argument("source", metavar="FILE.x")
def rpcgen(source: str, **options: Any) -> None:
    """Compile an interface file of ONC RPC to a Python module.  "-" reads standard input."""
    with sentences():
        from stack.cli import rpcgen as command  # noqa: PLC0415  # it takes a while to load

        sys.exit(command.rpcgen(source, **options))


@main.command()
@click.option("--size", type=click.IntRange(1, 1 << 20), default=100, show_default=True, help="MiB to move each way.")
def demo(size: int) -> None:
    """Show everything at work in a private network namespace, unattended."""
    with sentences():
        from stack.cli import demo as show  # noqa: PLC0415

        sys.exit(show.run(size))


main.add_command(sim)
main.add_command(nfs)
main.add_command(run)
