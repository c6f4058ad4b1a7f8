"""Remote procedure calls for `tapstack call` and `tapstack rpcinfo`, by the daemon or in the command itself.

Theory of operation.  A request is what the control socket takes, and the answer what it gives, so that a command does
the same whether the daemon does it or itself.  Whoever makes the call knows nothing of interface files: arguments and
results are octets, in base64.

    {"address": "198.18.0.1", "proto": "tcp", "port": 0, "program": 100000, "version": 2, "procedure": 4,
     "interface": "PMAP_V2", "name": "PMAPPROC_DUMP", "args": "", "timeout": 5.0,
     "caller": {"uid": 0, "gid": 0, "gids": [], "machine": "teapot"}}

Port 0 asks rpcbind; `interface` and `name` are for sentences; without `caller` the call says nothing of who makes it.
A call that fails is an answer too: the name of the error, its sentence, and what it carries.
"""

import base64
import ipaddress
import math
from typing import TYPE_CHECKING, Any, Final

from stack.errors import ConfigError
from stack.rpc.auth import AuthNone, AuthSys
from stack.rpc.calls import Semantics
from stack.rpc.client import connect
from stack.rpc.errors import ProgMismatch, RpcError, RpcMismatch
from stack.rpc.raw import raw_call, raw_procedure, raw_version
from stack.rpc.rpcbind import binding as _binding  # noqa: F401  # `connect` would import it: after root is given up

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

PROTOS: Final = ("udp", "tcp")
MAX_TIMEOUT_S: Final = 180.0
MAX_NUMBER: Final = 0xFFFF_FFFF


class Calls:
    """See the head of this file.  `host`: as whom to speak; None: the loop's business."""

    __slots__ = ("_host",)

    def __init__(self, host: "AsyncHost | None" = None) -> None:
        self._host = host

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What comes of a call.  Raises ValueError (ConfigError) for one that cannot be."""
        address = str(ipaddress.ip_address(str(request.get("address"))))
        proto, name = request.get("proto"), str(request.get("name", ""))
        if proto not in PROTOS:
            raise ValueError(f"proto: use {' or '.join(PROTOS)}")
        program, version, procedure = (_number(request, key) for key in ("program", "version", "procedure"))
        semantics = (
            Semantics.MAYBE if proto == "tcp" else Semantics.AT_MOST_ONCE
        )  # a connection loses nothing by itself
        port, timeout = _number(request, "port", 65_535), request.get("timeout", 5.0)
        if not isinstance(timeout, int | float) or not (math.isfinite(timeout) and 0 < timeout <= MAX_TIMEOUT_S):
            raise ValueError(f"timeout: use up to {MAX_TIMEOUT_S:g} seconds")
        args = base64.b64decode(str(request.get("args", "")), validate=True)
        try:
            async with connect(
                raw_version(program, version, str(request.get("interface", ""))),
                address,
                proto=proto,
                port=port or None,
                session=False,
                reconnect_s=0,
                timeout=timeout,
                auth=_caller(request.get("caller")),
                host=self._host,
            ) as client:
                results = await raw_call(client, raw_procedure(procedure, name), args, semantics=semantics)
        except RpcError as error:
            return {"results": None, **_told(error)}
        return {"results": base64.b64encode(results).decode("ascii")}


def _told(error: RpcError) -> dict[str, Any]:
    told: dict[str, Any] = {
        "status": type(error).__name__,
        "error": error.strerror,
        "maybe_executed": error.maybe_executed,
    }
    if isinstance(error, ProgMismatch | RpcMismatch):
        told |= {"low": error.low, "high": error.high}
    return told


def _number(request: dict[str, Any], name: str, most: int = MAX_NUMBER) -> int:
    value = request.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{name}: a number of up to {most}")
    return value


def _caller(given: object) -> AuthNone | AuthSys:
    if given is None:
        return AuthNone()
    if not isinstance(given, dict):
        raise ConfigError("caller: an object with uid, gid, gids and machine")
    gids = given.get("gids", [])
    if not isinstance(gids, list):
        raise ConfigError("gids: a list of numbers")
    numbers = [_number({"gids": gid}, "gids") for gid in gids]
    return AuthSys(_number(given, "uid"), _number(given, "gid"), numbers, machine=str(given.get("machine", "")))
