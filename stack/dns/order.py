"""In which order addresses and services are to be tried: RFC 6724 and RFC 2782.

Pure functions.  Addresses are figures; what has to be known about this machine (which source address it would use) is
asked of a function, and randomness is given.
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol, TypeVar

from stack.config import Rng

SourceOf = Callable[[str], str | None]  # the address that a destination would be spoken to from; None: it cannot be

# RFC 6724 §2.1: the default policy table: prefix, precedence, label
_POLICY: Final = tuple(
    sorted(
        (
            (IPv6Network(prefix), precedence, label)
            for prefix, precedence, label in (
                ("::1/128", 50, 0),
                ("::/0", 40, 1),
                ("::ffff:0:0/96", 35, 4),
                ("2002::/16", 30, 2),
                ("2001::/32", 5, 5),
                ("fc00::/7", 3, 13),
                ("::/96", 1, 3),
                ("fec0::/10", 1, 11),
                ("3ffe::/16", 1, 12),
            )
        ),
        key=lambda entry: -entry[0].prefixlen,  # the longest that matches counts
    )
)
_V4_MAPPED: Final = 0xFFFF << 32
_LINK_LOCAL, _SITE_LOCAL, _GLOBAL = 2, 5, 14  # RFC 4291 §2.7
_MULTICAST: Final = 0xFF
_INTERFACE_ID_BITS: Final = 64  # RFC 4291 §2.5.1: of a unicast address


class _Address:
    """What the rules want to know of one address."""

    __slots__ = ("is_v6", "label", "number", "precedence", "scope")

    def __init__(self, text: str) -> None:
        parsed = ip_address(text.partition("%")[0])
        self.is_v6 = isinstance(parsed, IPv6Address)
        # RFC 6724 §2.1: IPv4 addresses have the properties of their IPv4-mapped form
        mapped = parsed if isinstance(parsed, IPv6Address) else IPv6Address(_V4_MAPPED | int(parsed))
        self.number = int(mapped)
        self.scope = _scope(parsed)
        _, self.precedence, self.label = next(entry for entry in _POLICY if mapped in entry[0])


def _scope(address: IPv4Address | IPv6Address) -> int:
    """RFC 6724 §3.1 and §3.2."""
    if address.is_link_local or address.is_loopback:
        return _LINK_LOCAL
    if isinstance(address, IPv6Address):
        if address.packed[0] == _MULTICAST:
            return address.packed[1] & 0x0F
        if address.is_site_local:
            return _SITE_LOCAL
    return _GLOBAL


def by_reachability(destinations: Sequence[str], source_of: SourceOf) -> list[str]:
    """`destinations`, those first that are the best to connect to.  RFC 6724 §6, rules 1, 2, 5, 6, 8, 9 and 10.

    Rules 3, 4 and 7 are about deprecated, home and tunnelled addresses, of which a socket tells nothing.
    """
    if len(destinations) < 2:
        return list(destinations)
    return sorted(destinations, key=lambda text: _rank(_Address(text), source_of(text)))


def _rank(destination: _Address, source_text: str | None) -> tuple[int, ...]:
    if source_text is None:
        return 1, 0, 0, -destination.precedence, destination.scope, 0
    source = _Address(source_text)
    # DEVIATES RFC 6724 §6: rule 9 for IPv6 only, else it would undo the turns that servers give the addresses of a
    # name (round robin), and prefixes of IPv4 say nothing about distance
    common = 0
    if destination.is_v6 and source.is_v6:
        # RFC 6724 §2.2: no further than to the interface identifier
        differ = (destination.number ^ source.number) >> _INTERFACE_ID_BITS
        common = _INTERFACE_ID_BITS - differ.bit_length()
    return (
        0,
        int(destination.scope != source.scope),
        int(destination.label != source.label),
        -destination.precedence,
        destination.scope,
        -common,
    )


class Weighted(Protocol):
    """What has a place in the order of RFC 2782: an SRV record."""

    @property
    def priority(self) -> int:
        """The lowest first."""

    @property
    def weight(self) -> int:
        """The chance to be first among those of one priority, as a share of the sum."""


W = TypeVar("W", bound=Weighted)


def by_weight(records: Iterable[W], rng: Rng) -> list[W]:
    """`records` in the order in which to try them, another one each time.  RFC 2782, "Weight"."""
    groups: dict[int, list[W]] = {}
    for record in records:
        groups.setdefault(record.priority, []).append(record)
    ordered: list[W] = []
    for _, group in sorted(groups.items(), key=lambda item: item[0]):
        left = _shuffled(group, rng)
        # those of weight 0 at the beginning: so they have a very small chance, but one, beside others
        left.sort(key=lambda record: record.weight > 0)
        while left:
            draw = rng.randrange(sum(record.weight for record in left) + 1)
            for position, record in enumerate(left):
                draw -= record.weight
                if draw <= 0:
                    ordered.append(left.pop(position))
                    break
    return ordered


def _shuffled(group: list[W], rng: Rng) -> list[W]:
    """RFC 2782 leaves the order of equal weights open, and the first one should not have all the work."""
    mixed: list[W] = []
    left = list(group)
    while left:
        mixed.append(left.pop(rng.randrange(len(left))))
    return mixed
