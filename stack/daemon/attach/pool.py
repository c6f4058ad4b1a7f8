"""The addresses that attached processes may have.

Theory of operation.  An address is free or taken.  The one that has been free the longest is given first, so that
what peers remember of an address ages before somebody else has it; who asks for a certain one gets it if it is free.
"""

import ipaddress
from collections import deque
from typing import Final

from stack.errors import AddressInUse, AddressNotAvailable, ConfigError, NoBufferSpace

DEFAULT_SIZE: Final = 64
MAX_SIZE: Final = 1024


def parse_pool(
    text: str, network: ipaddress.IPv4Network, taken: frozenset[ipaddress.IPv4Address]
) -> list[ipaddress.IPv4Address]:
    """The addresses of "198.18.0.128-198.18.0.191", "198.18.0.128/26" or one address; "" is up to 64 of the upper
    half of `network`.  Those `taken`, and the network's own and broadcast address, are left out.  Raises ConfigError.
    """
    if text:
        first, last = _ends(text)
    else:
        first = int(network.network_address) + network.num_addresses // 2
        last = min(first + DEFAULT_SIZE, int(network.broadcast_address)) - 1
    if last < first:
        raise ConfigError(f"attach.pool {text} ends before it begins: write the lower address first")
    if first < int(network.network_address) or last > int(network.broadcast_address):
        raise ConfigError(f"attach.pool {text} is not within {network}, the stack's network")
    if last - first >= MAX_SIZE:
        raise ConfigError(f"attach.pool {text} has more than {MAX_SIZE} addresses")
    left_out = taken | {network.network_address, network.broadcast_address}
    found = [addr for addr in map(ipaddress.IPv4Address, range(first, last + 1)) if addr not in left_out]
    if text and not found:
        raise ConfigError(
            f"attach.pool {text} has no address that a process could have: name others than the stack's and the "
            "kernel's own"
        )
    return found


def _ends(text: str) -> tuple[int, int]:
    try:
        if "-" in text:
            first, _, last = text.partition("-")
            return int(ipaddress.IPv4Address(first.strip())), int(ipaddress.IPv4Address(last.strip()))
        whole = ipaddress.IPv4Network(text)
    except ValueError:
        raise ConfigError(
            f"attach.pool {text!r}: use addresses like 198.18.0.128-198.18.0.191, or a network like 198.18.0.128/26"
        ) from None
    return int(whole.network_address), int(whole.broadcast_address)


class AddressPool:
    """See the head of this file."""

    __slots__ = ("_all", "_free")

    def __init__(self, addresses: list[ipaddress.IPv4Address]) -> None:
        self._all = frozenset(addresses)
        self._free = deque(addresses)

    @property
    def size(self) -> int:
        """All of them."""
        return len(self._all)

    @property
    def free(self) -> int:
        """Those that nobody has."""
        return len(self._free)

    def take(self, wanted: str = "") -> ipaddress.IPv4Address:
        """A free address, or the one `wanted`.  Raises AddressNotAvailable, AddressInUse, NoBufferSpace."""
        if not wanted:
            if not self._all:
                raise NoBufferSpace(
                    "the daemon has no addresses for attached processes: give it a larger network, or an [attach] pool"
                )
            if not self._free:
                raise NoBufferSpace(
                    f"all {self.size} addresses for attached processes are in use: end one of them, or give the daemon "
                    "a larger [attach] pool"
                )
            return self._free.popleft()
        addr = ipaddress.IPv4Address(wanted)
        if addr not in self._all:
            some = f": use one from {min(self._all)} to {max(self._all)}" if self._all else ""
            raise AddressNotAvailable(f"{addr} is not among the {self.size} addresses for attached processes{some}")
        if addr not in self._free:
            raise AddressInUse(f"{addr} is in use by another attached process: ask for another one, or for any")
        self._free.remove(addr)
        return addr

    def give_back(self, addr: ipaddress.IPv4Address) -> None:
        """Nobody has it any more."""
        if addr in self._all and addr not in self._free:
            self._free.append(addr)
