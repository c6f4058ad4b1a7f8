"""Who may ask: anybody about zones, unless told otherwise; only the server's own networks about everything else.

A resolver that answers anybody is a tool for attacks on others (RFC 5358 §4: "By default, nameservers should not offer
recursive service to external networks").  A client's address is looked at once; the verdict is kept in a bounded table.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final, NamedTuple

from stack.errors import ConfigError

EVERYBODY: Final = ("0.0.0.0/0", "::/0")
THIS_MACHINE: Final = ("127.0.0.0/8", "::1/128")
MAX_KNOWN: Final = 4096  # addresses whose verdict is remembered
PREFIX_V4, PREFIX_V6 = 24, 56  # what is taken for one network where many addresses may be one client

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Verdict(NamedTuple):
    """What a client may do; `address` is its octets, `prefix` those of its network."""

    may_ask: bool
    may_recurse: bool
    address: bytes
    prefix: bytes


NOBODY: Final = Verdict(may_ask=False, may_recurse=False, address=b"", prefix=b"")


class Access:
    """The networks that may ask at all, and those for which the server asks others.

    Networks are written like "198.18.0.0/24"; an address alone is a network of one.  Raises ConfigError.
    """

    __slots__ = ("_ask", "_known", "_recurse")

    def __init__(self, recurse: Iterable[str] = THIS_MACHINE, ask: Iterable[str] = EVERYBODY) -> None:
        self._recurse = networks(recurse)
        self._ask = networks(ask)
        self._known: dict[str, Verdict] = {}

    def of(self, address: str) -> Verdict:
        """What the client with this address may do."""
        verdict = self._known.get(address)
        if verdict is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            verdict = self._known[address] = self._judge(address)
        return verdict

    def _judge(self, address: str) -> Verdict:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:  # what a transport calls its peer is not ours to trust
            return NOBODY
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped  # what an IPv6 socket of the kernel calls IPv4 clients
        bits = PREFIX_V4 if parsed.version == 4 else PREFIX_V6
        return Verdict(
            may_ask=_within(parsed, self._ask),
            may_recurse=_within(parsed, self._recurse),
            address=parsed.packed,
            prefix=parsed.packed[: bits // 8],
        )


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises ConfigError for the first that is none."""
    if isinstance(texts, str):
        raise ConfigError(f"{texts!r} is one text: give a list of networks, like [{texts!r}]")
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(f"{text!r} is not a network: {error}; write it like 198.18.0.0/24") from None
    return tuple(found)


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, among: tuple[Network, ...]) -> bool:
    return any(address in network for network in among if network.version == address.version)
