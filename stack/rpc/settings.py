"""How a client calls."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stack.errors import ConfigError
from stack.rpc.auth import NOBODY, Credential
from stack.rpc.calls import Semantics
from stack.rpc.program import Version
from stack.rpc.record import MAX_FRAGMENT
from stack.rpc.xdr import LIMITS, Limits

TIMEOUT_S: Final = 25.0  # of a call that is given none; the same as of rpcgen's stubs
MAX_IN_FLIGHT: Final = 1024
RECONNECT_S: Final = 2.0
MAX_TIMEOUT_S: Final = 1e9
OPTIONS: Final = ("semantics", "timeout")  # of a call


def semantics_of(given: object) -> Semantics:
    """Semantics, also by their text ("at-most-once") or name.  Raises ConfigError."""
    if isinstance(given, Semantics):
        return given
    if isinstance(given, str):
        text = given.lower().replace("_", "-")
        for one in Semantics:
            if one.value == text:
                return one
    known = ", ".join(repr(one.value) for one in Semantics)
    raise ConfigError(f"semantics is {given!r}: use one of {known}, or a member of rpc.Semantics")


def check_timeout(timeout: Any) -> None:
    """Raise ConfigError for what is no time to wait."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= MAX_TIMEOUT_S:
        raise ConfigError(
            f"timeout is {timeout!r}: use seconds, more than 0 and up to {MAX_TIMEOUT_S:.0e}, or None to wait for ever"
        )


def options_of(name: str, options: Mapping[str, Any], timeout: float | None) -> tuple[float | None, Semantics | None]:
    """What a call of this procedure was given; None: the client's semantics.  Raises TypeError and ConfigError."""
    for option in options:
        if option not in OPTIONS:
            raise TypeError(f"{name} has no option {option!r}: besides its arguments, it takes {' and '.join(OPTIONS)}")
    if "timeout" in options:
        timeout = options["timeout"]
        check_timeout(timeout)
    semantics = options.get("semantics")
    return timeout, None if semantics is None else semantics_of(semantics)


def check_max_record(octets: Any) -> None:
    """Raise ConfigError for what cannot be the most octets of a message."""
    if not isinstance(octets, int) or not 1 <= octets <= MAX_FRAGMENT:
        raise ConfigError(f"max_record is {octets!r}: use a number of octets, from 1 to {MAX_FRAGMENT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a client calls.  `idempotent`: names of procedures that may be executed more than once.

    `session`: ask servers which run of theirs answers.  `reconnect_s`: how long a server that does not take a new
    connection is tried, before all calls that wait for it fail.
    """

    auth: Credential = NOBODY
    timeout: float | None = TIMEOUT_S
    semantics: Semantics | str = Semantics.AT_MOST_ONCE
    idempotent: Collection[str] = ()
    max_in_flight: int = MAX_IN_FLIGHT
    session: bool = True
    reconnect_s: float = RECONNECT_S
    xdr: Limits = LIMITS

    def validate(self, version: type[Version]) -> None:
        """Raise ConfigError for what cannot be."""
        given: Any = self  # who is not checked by mypy may give anything
        kind: Any = version
        if not isinstance(kind, type) or not issubclass(kind, Version):
            raise ConfigError(f"{version!r} is no version of a program: give the class, like calc.CALC_V1")
        check_timeout(self.timeout)
        semantics_of(self.semantics)
        if isinstance(given.auth, type) or not isinstance(getattr(self.auth, "wire", None), bytes):
            raise ConfigError(f"auth is {self.auth!r}: use a credential, like rpc.AuthSys(uid, gid)")
        if not isinstance(given.xdr, Limits):
            raise ConfigError(f"xdr is {self.xdr!r}: use rpc.Limits(...)")
        if not isinstance(given.max_in_flight, int) or self.max_in_flight < 1:
            raise ConfigError(f"max_in_flight is {self.max_in_flight!r}: use a number, at least 1")
        if not isinstance(given.reconnect_s, int | float) or not 0 <= self.reconnect_s <= MAX_TIMEOUT_S:
            raise ConfigError(f"reconnect_s is {self.reconnect_s!r}: use seconds, 0 or more")
        if isinstance(self.idempotent, str):
            raise ConfigError(f"idempotent is one text: give a list of names, like [{self.idempotent!r}]")
        known = {procedure.name for procedure in version.procedures.values()}
        for name in self.idempotent:
            if name not in known:
                raise ConfigError(f"{version.name} has no procedure {name}; it has {', '.join(sorted(known))}")
