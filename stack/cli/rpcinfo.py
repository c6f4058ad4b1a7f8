"""`tapstack rpcinfo`: what is registered at a host, and whether a program answers there."""

import json
from typing import Any, Final

import click

from stack.cli.remote import Remote, failure
from stack.cli.via import Way
from stack.errors import ConfigError
from stack.rpc.rpcbind.address import OF_PROTOCOL, parse
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_V3, RPCB_V4
from stack.rpc.rpcbind.registry import RPCBIND

# IANA, "Remote Procedure Call (RPC) Numbers": those that one meets
NAMES: Final = {
    100000: "rpcbind",
    100001: "rstatd",
    100002: "rusersd",
    100003: "nfs",
    100004: "ypserv",
    100005: "mountd",
    100007: "ypbind",
    100008: "walld",
    100009: "yppasswdd",
    100011: "rquotad",
    100012: "sprayd",
    100017: "rexd",
    100021: "nlockmgr",
    100024: "status",
    100026: "bootparam",
    100227: "nfs_acl",
}
NUMBERS: Final = {name: number for number, name in NAMES.items()} | {"portmapper": RPCBIND}
COLUMNS: Final = ("program", "version", "netid", "address", "port", "service", "owner")


def program_number(text: str) -> int:
    """A program by its number, or by a name of NAMES.  Raises ConfigError."""
    number = NUMBERS.get(text)
    if number is None:
        try:
            number = int(text, 0)
        except ValueError:
            known = ", ".join(sorted(NUMBERS))
            raise ConfigError(f"{text!r} is no program: give its number, or one of {known}") from None
    if not 0 <= number <= 0xFFFF_FFFF:
        raise ConfigError(f"{number} is no number of a program: they have 32 bits")
    return number


def listing(host: str, way: Way, *, proto: str, timeout: float, as_json: bool) -> int:
    """Print what is registered at a host.  Raises StackError."""
    remote = Remote(way, host, proto, timeout)
    rows, failed = _registered(remote)
    if failed is not None:
        return failure(way, failed, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"via": way.by, "address": remote.address, "registered": rows}, indent=2))
        return 0
    click.echo(f";; asked {way.how}")
    table = [
        COLUMNS,
        *(tuple(visible(str(row[column] if row[column] is not None else "")) for column in COLUMNS) for row in rows),
    ]
    widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _registered(remote: Remote) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The rows; or what the last version said that was asked."""
    failed: dict[str, Any] | None = None
    for interface in (RPCB_V4, RPCB_V3):
        result, failed = remote.call(interface, 4, port=111)
        if failed is None:
            return [_row(one.prog, one.vers, one.netid, one.addr, one.owner) for one in _nodes(result)], None
        if failed["status"] not in {"ProgMismatch", "ProcUnavail"}:
            return [], failed
    result, failed = remote.call(PMAP_V2, 4, port=111)
    rows = [_row(one.prog, one.vers, OF_PROTOCOL.get(one.prot, str(one.prot)), "", "") for one in _nodes(result)]
    for row, one in zip(rows, _nodes(result), strict=True):
        row["port"] = one.port
    return rows, failed


def visible(text: str) -> str:
    """What others registered, for a terminal: it must not be steered by them."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def _nodes(node: Any) -> list[Any]:
    found = []
    while node is not None:
        found.append(node.map)
        node = node.next
    return found


def _row(program: int, version: int, netid: str, address: str, owner: str) -> dict[str, Any]:
    try:
        host, port = parse(netid, address)
    except ValueError:  # what others register is theirs
        host, port = address, 0
    return {
        "program": program,
        "version": version,
        "netid": netid,
        "address": host,
        "port": port or None,
        "service": NAMES.get(program, ""),
        "owner": owner,
    }


def probe(
    host: str, program: str, version: int | None, way: Way, *, proto: str, port: int, timeout: float, as_json: bool
) -> int:
    """Call procedure 0 of a program, in one version or in all that it has; 0 when all of them answer.

    Raises StackError.
    """
    number, remote = program_number(program), Remote(way, host, proto, timeout)
    asked = [version] if version is not None else remote.versions(number, port)
    if isinstance(asked, dict):
        return failure(way, asked | {"error": _sentence(number, asked, host, proto)}, as_json=as_json)
    outcomes = [(one, remote.null(number, one, port)) for one in asked]
    if as_json:
        shown = [{"version": one, "answers": failed is None, **(failed or {})} for one, failed in outcomes]
        about = {"via": way.by, "address": remote.address, "program": number, "proto": proto}
        click.echo(json.dumps({**about, "versions": shown}, indent=2))
        return 0 if all(failed is None for _, failed in outcomes) else 1
    click.echo(f";; asked {way.how}")
    code = 0
    for one, failed in outcomes:
        if failed is None:
            click.echo(f"program {number} version {one} over {proto}: ready")
        else:
            code = failure(way, failed | {"error": _sentence(number, failed, host, proto)}, as_json=False)
    return code


def _sentence(program: int, failed: dict[str, Any], host: str, proto: str) -> str:
    """Why a program does not answer, for who has not asked for any procedure of it."""
    if failed["status"] == "NotRegistered":
        return f"program {program} is not registered at {host} over {proto}"
    if failed["status"] == "ProgMismatch":
        return f"program {program} at {host} has versions {failed['low']} to {failed['high']} only"
    return str(failed["error"]).removesuffix("; it has not run").removesuffix("; it may have run")
