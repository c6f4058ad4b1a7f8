"""How a client calls."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from stack.errors import ConfigError
from stack.rpc.auth import NOBODY, Credential
from stack.rpc.calls import Semantics
from stack.rpc.program import Version
from stack.rpc.xdr import LIMITS, Limits

TIMEOUT_S: Final = 25.0  # of a call that is given none; the same as of rpcgen's stubs
MAX_IN_FLIGHT: Final = 1024
RECONNECT_S: Final = 2.0
MAX_TIMEOUT_S: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a client calls.  `idempotent`: names of procedures that may be executed more than once.

    `session`: ask servers which run of theirs answers.  `reconnect_s`: how long a server that does not take a new
    connection is tried, before all calls that wait for it fail.
    """

    auth: Credential = NOBODY
    timeout: float | None = TIMEOUT_S
    semantics: Semantics = Semantics.AT_MOST_ONCE
    idempotent: Collection[str] = ()
    max_in_flight: int = MAX_IN_FLIGHT
    session: bool = True
    reconnect_s: float = RECONNECT_S
    xdr: Limits = LIMITS

    def validate(self, version: type[Version]) -> None:
        """Raise ConfigError for what cannot be."""
        if self.timeout is not None and not 0 < self.timeout <= MAX_TIMEOUT_S:
            raise ConfigError(f"timeout is {self.timeout}: use seconds, more than 0, or None to wait for ever")
        if self.max_in_flight < 1:
            raise ConfigError(f"max_in_flight is {self.max_in_flight}: use at least 1")
        if isinstance(self.idempotent, str):
            raise ConfigError(f"idempotent is one text: give a list of names, like [{self.idempotent!r}]")
        known = {procedure.name for procedure in version.procedures.values()}
        for name in self.idempotent:
            if name not in known:
                raise ConfigError(f"{version.name} has no procedure {name}; it has {', '.join(sorted(known))}")
