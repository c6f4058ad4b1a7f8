"""Names looked up for the commands `tapstack dig` and `tapstack resolve`, by the daemon or in the command itself.

Theory of operation.  A request is what the control socket takes, and the answer what it gives, so that a command does
the same whether the daemon does it or itself.  `want` says what is wanted:

    records     every step of a question, in the form of `Explanation.to_json`
    addresses   of a name, the best first
    name        of an address

With `trace` a resolver of its own begins at the root servers, or those that are named; with `servers` one asks these.
Such a resolver lives for the request, so nothing comes from a cache.  All others are asked of the one resolver given.
The answer has `warnings` when that one has any, and `about` where its configuration is worth a word.
"""

import math
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from stack.dns.core.config import ResolverConfig
from stack.dns.core.hints import ROOT_HINTS
from stack.dns.errors import DnsError
from stack.dns.resolver import Resolver
from stack.errors import ConfigError

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

SYSTEM, ITERATIVE, OFF = "system", "iterative", "off"
MAX_SERVERS: Final = 16
MAX_TIMEOUT_S: Final = 60.0


def make_resolver(setting: str | None, host: "AsyncHost | None" = None) -> Resolver | None:
    """What `resolver` in a configuration names: "system" (resolv.conf and hosts file; also for None), "iterative" (from
    the root), "off" (None), or servers like "192.0.2.1, 192.0.2.2#5353".  Raises ConfigError.
    """
    if setting == OFF:
        return None
    if setting is None or setting == SYSTEM:
        return Resolver.system(host=host)
    if setting == ITERATIVE:
        return Resolver.iterative(host=host)
    servers = [word for word in re.split(r"[,\s]+", setting) if word]
    if not servers:
        raise ConfigError("resolver names nobody: use system, iterative, off, or addresses of servers")
    return Resolver(servers, host=host)


class Lookups:
    """See the head of this file.  `host`: as whom to speak; None: the loop's business.

    `about` says whose the resolver is, where that is worth a word; `hints` are root servers, if not the internet's.
    """

    __slots__ = ("_about", "_hints", "_host", "_resolver")

    def __init__(
        self,
        resolver: Resolver | None,
        host: "AsyncHost | None" = None,
        *,
        about: str = "",
        hints: Sequence[str] = (),
    ) -> None:
        self._resolver = resolver
        self._host = host
        self._about = about
        self._hints = hints

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What comes of a request; errors of the DNS are part of it.  Raises BadName, BadType or ConfigError for one
        that cannot be.
        """
        name, want, timeout = request.get("name"), request.get("want"), request.get("timeout", 10.0)
        if not isinstance(name, str) or want not in {"records", "addresses", "name"}:
            raise ConfigError("a request needs a name, and what is wanted of it")
        if not isinstance(timeout, int | float) or not (math.isfinite(timeout) and 0 < timeout <= MAX_TIMEOUT_S):
            raise ConfigError(f"timeout {timeout!r}: use a number of seconds, up to {MAX_TIMEOUT_S:g}")
        async with AsyncExitStack() as closing:
            resolver = self._choose(request)
            if resolver is not self._resolver:
                await closing.enter_async_context(resolver)
            if want == "records":
                made = await resolver.explain(name, str(request.get("type", "A")), timeout=timeout)
                answer: dict[str, Any] = {"explanation": made.to_json()}
            else:
                answer = await _found(resolver, name, timeout, backwards=want == "name")
            if resolver.warnings:
                answer["warnings"] = list(resolver.warnings)
            if self._about and resolver is self._resolver:
                answer["about"] = self._about
            return answer

    def _choose(self, request: dict[str, Any]) -> Resolver:
        servers = request.get("servers") or []
        if not isinstance(servers, list) or len(servers) > MAX_SERVERS or not all(isinstance(s, str) for s in servers):
            raise ConfigError(f"servers: name up to {MAX_SERVERS} addresses")
        if request.get("trace"):
            hints = servers or self._hints or ROOT_HINTS
            config = ResolverConfig(ipv6=any(":" in server for server in servers))
            return Resolver.iterative(hints=hints, host=self._host, config=config)
        if servers:
            return Resolver(servers, host=self._host)
        if self._resolver is None:
            raise ConfigError("its resolver is off: name a server with @ADDRESS, or use +trace")
        return self._resolver


async def _found(resolver: Resolver, name: str, timeout: float, *, backwards: bool) -> dict[str, Any]:  # noqa: ASYNC109  (the resolver's)
    """The addresses of a name, or `backwards` the name of an address."""
    try:
        if backwards:
            return {"found": [await resolver.reverse(name, timeout=timeout)]}
        return {"found": await resolver.addresses(name, timeout=timeout)}
    except DnsError as error:
        tries = [list(tried) for tried in error.tries]
        return {"found": [], "status": type(error).__name__, "error": error.strerror, "tries": tries}
