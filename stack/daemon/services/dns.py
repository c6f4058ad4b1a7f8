"""The DNS service: zones from files, and a resolver for the stack's own network, as `[dns]` of the settings says.

Everything is read and checked at first, before the daemon gives up its rights; `open` takes the ports.

Names that the daemon itself looks up are those that its server tells others: a resolver that asks the server about its
zones, and does for all else as the settings say.  That is another resolver than the server's, which would ask itself.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

from stack.aio.network import AsyncHost
from stack.daemon.settings import DnsSettings
from stack.dns.access import THIS_MACHINE, Access
from stack.dns.core.config import ResolverConfig
from stack.dns.core.hints import ROOT_HINTS
from stack.dns.lookup import Zones
from stack.dns.resolver import Resolver
from stack.dns.server import DnsServer, load_zone, networks_of, serve
from stack.dns.zone import Zone
from stack.errors import ConfigError, StackError


class DnsService:
    """See above.  Raises ConfigError for what cannot be served."""

    __slots__ = ("_lookups", "_resolver", "_server", "_settings", "_zones")

    def __init__(self, settings: DnsSettings) -> None:
        self._settings = settings
        self._zones = _load(settings.zones)
        self._server: DnsServer | None = None
        self._resolver = _resolver(settings, None, None)  # to see whether it can be made
        self._lookups: Resolver | None = None
        Access(settings.allow or THIS_MACHINE)

    async def open(self, host: AsyncHost) -> None:
        """Serve on all addresses of `host`.  Raises OSError."""
        settings = self._settings
        self._resolver = _resolver(settings, host, None)
        self._server = await serve(
            self._zones,
            resolver=self._resolver,
            host=host,
            port=settings.port,
            allow=settings.allow or networks_of(host),
        )
        self._lookups = self._resolver
        if self._zones:
            own = tuple((str(IPv4Address(address)), settings.port) for address, _ in host.addresses())
            config = ResolverConfig(forward=tuple((zone.origin, own) for zone in self._zones))
            self._lookups = _resolver(settings, host, config) or Resolver.system(host=host, config=config)

    @property
    def resolver(self) -> Resolver | None:
        """By whom the daemon itself looks up names, those of the zones too, once it is open."""
        return self._lookups

    @property
    def about(self) -> str:
        """What `resolver` does, for people."""
        settings = self._settings
        if settings.forward:
            return f"by its [dns], which forwards to {', '.join(settings.forward)}"
        if settings.iterate:
            return "by its [dns], which iterates"
        return "by its [dns] for its zones, else by resolv.conf"

    @property
    def hints(self) -> Sequence[str]:
        """The root servers, where they are not those of the internet."""
        return self._settings.hints

    async def aclose(self) -> None:
        """Stop."""
        if self._server is not None:
            await self._server.aclose()
        for resolver in (self._lookups, self._resolver):
            if resolver is not None:
                await resolver.aclose()

    def status(self) -> dict[str, Any]:
        """Counters of the server, and of the resolver."""
        return {
            "zones": {str(zone.origin): len(zone) for zone in self._zones},
            "server": {} if self._server is None else self._server.stats,
            "resolver": {} if self._resolver is None else self._resolver.stats,
        }


def _load(files: dict[str, str]) -> Sequence[Zone]:
    zones = []
    for origin, path in files.items():
        try:
            zones.append(load_zone(path, origin))
        except StackError as error:  # also of a name that is none
            raise ConfigError(f"dns.zones: {error.strerror}") from None
    Zones(zones)  # raises for one that is there twice, as in other letters
    return zones


def _resolver(settings: DnsSettings, host: AsyncHost | None, config: ResolverConfig | None) -> Resolver | None:
    """As the settings say; None where they say nothing."""
    if settings.forward:
        return Resolver(settings.forward, host=host, config=config)
    if not settings.iterate:
        return None
    return Resolver.iterative(hints=settings.hints or ROOT_HINTS, host=host, config=config)
