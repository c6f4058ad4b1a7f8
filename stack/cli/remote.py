"""Calls that the commands make at a host, by the daemon or by this process; see `stack.daemon.calls`."""

import base64
import json
import os
import socket
from typing import Any, Final

import click

from stack.cli.via import Way
from stack.errors import ConfigError
from stack.rpc.constants import MAX_GIDS
from stack.rpc.program import Procedure, Version
from stack.rpc.xdr import XdrError

ANY_VERSION: Final = 0  # asked for to be told which there are
MAX_VERSIONS: Final = 64
MAX_ARGS: Final = 40_000  # octets that fit into a line of the daemon's control socket

Failed = dict[str, Any]


class Remote:
    """Programs at a host, over one transport.  `caller`: what a call says of who makes it.  Raises StackError."""

    __slots__ = ("_caller", "_proto", "_timeout", "_way", "address", "host")

    def __init__(
        self, way: Way, host: str, proto: str, timeout: float, *, caller: dict[str, Any] | None = None
    ) -> None:
        self._way = way
        self._proto = proto
        self._timeout = timeout
        self._caller = caller
        self.host = host
        self.address = way.addresses(host)[0]

    def exchange(
        self, program: int, version: int, number: int, args: bytes, *, port: int, name: str = "", interface: str = ""
    ) -> tuple[bytes, Failed | None]:
        """The octets of the result; or what went wrong."""
        if len(args) > MAX_ARGS:
            raise ConfigError(f"{len(args)} octets of arguments: at most {MAX_ARGS} can be given here")
        request = {
            "op": "call",
            "address": self.address,
            "proto": self._proto,
            "port": port,
            "program": program,
            "version": version,
            "procedure": number,
            "interface": interface,
            "name": name,
            "args": base64.b64encode(args).decode("ascii"),
            "timeout": self._timeout,
        }
        if self._caller is not None:
            request["caller"] = self._caller
        answer = self._way.call(request)
        if answer["results"] is None:
            return b"", {key: answer[key] for key in answer if key not in {"results", "ok", "address"}}
        return base64.b64decode(answer["results"]), None

    def call(self, interface: type[Version], number: int, *args: Any, port: int) -> tuple[Any, Failed | None]:
        """A procedure of an interface: its result, or what went wrong."""
        procedure: Procedure = interface.procedures[number]
        results, failed = self.exchange(
            interface.program,
            interface.version,
            number,
            procedure.encode_args(args),
            port=port,
            name=procedure.name,
            interface=interface.name,
        )
        if failed is not None:
            return None, failed
        try:
            return procedure.decode_result(results), None
        except XdrError as error:
            said = f"what {self.host} answered to {procedure.name} is no result of it: {error}"
            return None, {"status": "BadReply", "error": said, "maybe_executed": True}

    def null(self, program: int, version: int, port: int) -> Failed | None:
        """Procedure 0; what went wrong."""
        return self.exchange(program, version, 0, b"", port=port, name="NULL")[1]

    def versions(self, program: int, port: int) -> list[int] | Failed:
        """The versions that a program says it has; or what went wrong."""
        failed = self.null(program, ANY_VERSION, port)
        if failed is None:
            return [ANY_VERSION]
        if failed["status"] != "ProgMismatch":
            return failed
        # (who has versions 5 to 3 has none that could be asked for)
        return list(range(failed["low"], min(failed["high"], failed["low"] + MAX_VERSIONS - 1) + 1)) or failed


def failure(way: Way, failed: Failed, *, as_json: bool) -> int:
    """Say what went wrong; the exit code."""
    if as_json:
        click.echo(json.dumps({"via": way.by, **failed}, indent=2))
    else:
        click.echo(f"tapstack: {failed['error']}", err=True)
    return 1


def this_user() -> dict[str, Any]:
    """What AUTH_SYS says of who runs the command."""
    groups = [gid for gid in os.getgroups() if gid != os.getegid()]
    return {
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "gids": groups[:MAX_GIDS],
        "machine": socket.gethostname(),
    }
