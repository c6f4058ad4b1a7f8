"""Where the members of a pool are: said by the caller, or by the DNS."""

import os
from collections.abc import Callable, Iterable
from typing import Any, Final

from stack.errors import ConfigError
from stack.rpc.pooling.members import MAX_MEMBERS, Place
from stack.rpc.rpcbind.binding import ServiceResolver, resolver_of

MAX_PORT: Final = 65535


def parse_place(text: Any) -> Place:
    """The place in "host", "host:port", "[address]:port" or a pair of both.  Raises ConfigError."""
    if isinstance(text, Place):
        return text
    if isinstance(text, tuple) and len(text) == 2 and isinstance(text[0], str):
        return Place(text[0], _port(text[1], text))
    if not isinstance(text, str):
        raise ConfigError(f"member {text!r}: use 'host:port', 'host', or a pair of host and port")
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or not address or (rest and not rest.startswith(":")):
            raise ConfigError(f"member {text!r}: use [address]:port")
        return Place(address, _port(rest[1:], text) if rest else None)
    address, colon, port = text.rpartition(":")
    if not colon or ":" in address:  # a name alone, or an address of IPv6
        address = text
    if not address:
        raise ConfigError(f"member {text!r} has no host: use 'host' or 'host:port'")
    return Place(address, _port(port, text) if address is not text else None)


def _port(given: object, text: object) -> int:
    try:
        port = int(given)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        port = 0
    if not 0 < port <= MAX_PORT:
        raise ConfigError(f"member {text!r}: {given!r} is no port")
    return int(port)


def parse_places(members: "Iterable[str | tuple[str, int] | Place]") -> list[Place]:
    """All of them.  Raises ConfigError for none, one that is there twice, too many."""
    return _checked(members, parse_place)


def paths_of(members: "Iterable[str | tuple[str, int] | Place]") -> list[Place]:
    """The same of Unix sockets."""
    return _checked(members, lambda path: path if isinstance(path, Place) else Place(os.fspath(path)))


def _checked(members: Any, parse: Callable[[Any], Place]) -> list[Place]:
    if isinstance(members, str):
        raise ConfigError(f"members is one text: give a list, like [{members!r}]")
    places = [parse(member) for member in members]
    if not places:
        raise ConfigError("a pool without members: give a list of them, or srv='_service._tcp.domain'")
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise ConfigError(f"{twice} is there twice among the members")
    if len(places) > MAX_MEMBERS:
        raise ConfigError(f"a pool of {len(places)} servers: {MAX_MEMBERS} are the most")
    return places


async def places_of(name: str, resolver: ServiceResolver | None, timeout_s: float) -> list[Place]:
    """The servers of a service, by its SRV records (RFC 2782).  Raises what the resolver raises."""
    found: dict[Place, None] = {}
    async for target in resolver_of(resolver).services(name, timeout=timeout_s):
        for address in target.addresses:
            found[Place(address, target.port, target.priority, target.weight)] = None
            if len(found) >= MAX_MEMBERS:
                return list(found)
    return list(found)
