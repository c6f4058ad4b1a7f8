"""What a server is made of, looked at before it takes a port: a mistake would else be found by its clients."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stack.errors import ConfigError
from stack.rpc.connections import ServerLimits
from stack.rpc.policy import Policy
from stack.rpc.program import Server, Version
from stack.rpc.xdr import Limits

Auth = Policy | Mapping[type[Version], Policy] | None
MAX_PORT: Final = 65_535
_CTX: Final = object()


def checked(programs: Any, auth: Any) -> list[Server]:
    """The programs.  Raises ConfigError for what cannot be served, and for callers of whom nothing is said."""
    if isinstance(programs, Server) or not isinstance(programs, Iterable):
        raise ConfigError(f"{programs!r} is no list of programs: give one, like [Calc()]")
    found = list(programs)
    if not found:
        raise ConfigError("no program to be served: give at least one, like [Calc()]")
    if auth is not None and not isinstance(auth, Policy | Mapping):
        raise ConfigError(f"auth is {auth!r}: use rpc.allow(...), a mapping of versions to such, or None for everybody")
    for program in found:
        if not isinstance(program, Server):
            raise ConfigError(f"{program!r} serves no program: derive it from the Server of a version, and make one")
        for version in program.interfaces():
            _check_policy(version, auth)
            _check_methods(program, version)
    return found


def _check_policy(version: type[Version], auth: Any) -> None:
    if isinstance(auth, Mapping) and not isinstance(auth.get(version), Policy):
        raise ConfigError(
            f"auth says nothing of {version.name}: add {version.name}: rpc.allow(...), which without arguments lets "
            "everybody in"
        )


def _check_methods(program: Server, version: type[Version]) -> None:
    for number, procedure in version.procedures.items():
        method = program.handler(version, number)
        if method is None or number == 0:
            continue
        where = f"{type(program).__name__}.{procedure.attribute}"
        if not callable(method):
            raise ConfigError(f"{where} is no method: write async def {procedure.attribute}(self, ctx, ...)")
        if inspect.isfunction(getattr(method, "__func__", method)) and not inspect.iscoroutinefunction(method):
            raise ConfigError(f"{where} is no coroutine: write it with async def")
        try:
            inspect.signature(method).bind(_CTX, *procedure.args)
        except TypeError:
            count = len(procedure.args)
            raise ConfigError(f"{where} must take self, ctx and {count} argument{'s' * (count != 1)}") from None
        except ValueError:  # it does not say what it takes
            continue


def check_kinds(limits: Any, duplicates: Any, xdr: Any) -> None:
    """Raise ConfigError for what is of another type than is meant."""
    if limits is not None and not isinstance(limits, ServerLimits):
        raise ConfigError(f"limits is {limits!r}: use rpc.ServerLimits(...)")
    if duplicates is not None and not hasattr(duplicates, "look"):
        raise ConfigError(f"duplicates is {duplicates!r}: use True, False, or a cache like rpc.DurableDuplicates(path)")
    if not isinstance(xdr, Limits):
        raise ConfigError(f"xdr is {xdr!r}: use rpc.Limits(...)")


def check_ports(udp: Any, tcp: Any) -> None:
    """Raise ConfigError for what is no port."""
    for name, port in (("udp", udp), ("tcp", tcp)):
        if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= MAX_PORT):
            raise ConfigError(f"{name} is {port!r}: use a port from 1 to {MAX_PORT}, 0 for a free one, None for none")
