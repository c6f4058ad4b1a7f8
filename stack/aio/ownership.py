"""Which addresses are whose: the hosts of a loop, the kernel for all else.

Theory of operation.  Addresses are ints, prefixes (address, length).  Every host owns its addresses, each of
which belongs to one host only, and speaks to its prefixes: those it was given with `add`, else the subnets of
its addresses.  Prefixes may overlap; the longest that holds an address decides, and among equal ones the host
that was added first.  Nothing is guessed: an address in no prefix is the kernel's, unless a host was added with
`everything`.  127/8 and 0/8 ("this host", RFC 1122 §3.2.1.3) are always the kernel's.

The tables are built anew whenever a host comes, goes or changes its addresses; a lookup is one dict probe for
each prefix length in use.
"""

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from stack.errors import AddressInUse, ConfigError
from stack.wire.addr import format_addr, is_loopback, parse_network, prefix_mask

Prefix = tuple[int, int]  # address, length

KERNELS_LEN: Final = 8  # of the prefixes that are always the kernel's


def parse_prefixes(prefixes: Sequence[str]) -> list[Prefix]:
    """What a host shall speak to, of texts like "10.0.0.0/8".  Raises InvalidAddress, ConfigError, TypeError."""
    if isinstance(prefixes, str):
        raise ConfigError(f"prefixes is a list of networks: write [{prefixes!r}]")
    parsed = []
    for text in prefixes:
        if not isinstance(text, str):
            raise TypeError(f"prefixes are texts like '10.0.0.0/8', not {text!r}")
        network, prefix_len = parse_network(text)
        if prefix_len >= KERNELS_LEN and _is_kernels(network):
            raise ConfigError(f"{text} is the kernel's, whatever the prefixes are: leave it out")
        parsed.append((network, prefix_len))
    return parsed


def _is_kernels(addr: int) -> bool:
    """In 127/8 or 0/8."""
    return is_loopback(addr) or not addr >> 24


class Owner(Protocol):
    """What can own addresses: an AsyncHost."""

    def addresses(self) -> Sequence[Prefix]:
        """Its addresses, each with the length of its subnet's prefix."""


H = TypeVar("H", bound=Owner)


class _Claim:
    """What one host was added with, and the addresses that it had at its last refresh."""

    __slots__ = ("addresses", "everything", "prefixes")

    def __init__(self, addresses: tuple[Prefix, ...], prefixes: tuple[Prefix, ...] | None, *, everything: bool) -> None:
        self.addresses = addresses
        self.prefixes = prefixes
        self.everything = everything


class Ownership(Generic[H]):
    """See the head of this file."""

    __slots__ = ("_by_len", "_claims", "_everything", "_owners")

    def __init__(self) -> None:
        self._claims: dict[H, _Claim] = {}  # in the order of their adding
        self._owners: dict[int, H] = {}
        self._by_len: list[tuple[int, dict[int, list[H]]]] = []  # (mask, network: hosts), longest prefix first
        self._everything: H | None = None

    def __contains__(self, host: H) -> bool:
        return host in self._claims

    @property
    def hosts(self) -> tuple[H, ...]:
        """In the order of their adding."""
        return tuple(self._claims)

    # -- changes

    def add(self, host: H, prefixes: Sequence[Prefix] | None = None, *, everything: bool = False) -> None:
        """Let `host` own its addresses and speak to `prefixes` (None: the subnets of its addresses), or to everything.

        Adding it again replaces what it was added with.  Raises AddressInUse, and then nothing has changed.
        """
        addresses = tuple(host.addresses())
        self.check(host, addresses)
        chosen = None if prefixes is None else tuple(prefixes)
        self._claims[host] = _Claim(addresses, chosen, everything=everything)
        self._build()

    def refresh(self, host: H) -> None:
        """The addresses of `host` have changed; nothing if it was not added.  Raises AddressInUse, and then nothing
        has changed.
        """
        claim = self._claims.get(host)
        if claim is None:
            return
        addresses = tuple(host.addresses())
        self.check(host, addresses)
        claim.addresses = addresses
        self._build()

    def remove(self, host: H) -> None:
        """Its addresses and prefixes are the kernel's again, or another host's; nothing if it was not added."""
        if self._claims.pop(host, None) is not None:
            self._build()

    def check(self, host: H, addresses: Sequence[Prefix]) -> None:
        """Raise AddressInUse when one of `addresses`, which `host` has or is to have, is another's."""
        for addr, _ in addresses:
            if self._owners.get(addr, host) is not host:
                raise AddressInUse(
                    f"{format_addr(addr)} belongs to another host of this loop; give each host addresses of its own"
                )

    def _build(self) -> None:
        self._owners = {addr: host for host, claim in self._claims.items() for addr, _ in claim.addresses}
        self._everything = next((host for host, claim in self._claims.items() if claim.everything), None)
        tables: dict[int, dict[int, list[H]]] = {}
        for host, claim in self._claims.items():
            for addr, length in claim.addresses if claim.prefixes is None else claim.prefixes:
                hosts = tables.setdefault(length, {}).setdefault(addr & prefix_mask(length), [])
                if host not in hosts:
                    hosts.append(host)
        self._by_len = [(prefix_mask(length), tables[length]) for length in sorted(tables, reverse=True)]

    # -- questions

    def owner(self, addr: int) -> H | None:
        """The host whose address `addr` is."""
        return self._owners.get(addr)

    def source_for(self, addr: int, active: H | None = None) -> H | None:
        """The host that speaks to `addr`, None for the kernel.

        `active`, if given, speaks to all there is.  Else it is the host with the longest prefix that holds `addr`,
        other than its owner, so that hosts of one process meet on their link; with no such host the owner itself; else
        the one that was added with `everything`.
        """
        if _is_kernels(addr):
            return None
        if active is not None:
            return active
        owner = self._owners.get(addr)
        for mask, networks in self._by_len:
            for host in networks.get(addr & mask, ()):
                if host is not owner:
                    return host
        return owner if owner is not None else self._everything
