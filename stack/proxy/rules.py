"""What is forwarded where, as people write it: `8080 198.18.0.1:80`, `127.0.0.1:5353/udp dns.example:53`."""

import ipaddress
from dataclasses import dataclass
from typing import Final

from stack.errors import ConfigError

LOOPBACK: Final = "127.0.0.1"
MAX_PORT: Final = 65_535
MAX_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class Rule:
    """From a port of the kernel's to an address on the stack's side, or, `inward`, the other way.

    `address` "" is every address of the stack.  `anyone`: also users other than the owner, and other machines.
    """

    address: str
    port: int
    host: str  # the target
    host_port: int
    udp: bool = False
    inward: bool = False
    anyone: bool = False

    @property
    def listen(self) -> str:
        """Where it listens, in the form in which it was given."""
        return f"{self.address or '*'}:{self.port}{'/udp' if self.udp else ''}"

    @property
    def target(self) -> str:
        """Where it leads."""
        return f"{self.host}:{self.host_port}"


def check_address(what: str, text: str, *, anyone: bool) -> None:
    """Raise ConfigError for what is no address of the kernel's to listen on."""
    address = _figures(text)
    if address is None:
        raise ConfigError(f"{what} {text!r} is not an IPv4 address, such as {LOOPBACK}")
    if not address.is_loopback and not anyone:
        raise ConfigError(
            f"{what} {address} is not on loopback, and whose its clients are cannot be told: use {LOOPBACK}, or "
            "allow that (--anyone, in a file anyone = true)"
        )


def parse(listen: str, target: str, *, inward: bool = False, anyone: bool = False) -> Rule:
    """LISTEN is [ADDRESS:]PORT[/udp], TARGET is HOST:PORT.  Raises ConfigError."""
    where, slash, kind = listen.partition("/")
    if slash and kind not in ("tcp", "udp"):
        raise ConfigError(f"{listen!r} ends in /{kind}: use /tcp, /udp or nothing")
    address, _, port = where.rpartition(":")
    number = _port(port, f"{listen!r} is nowhere to listen: use PORT or ADDRESS:PORT, such as 8080")
    if address == "*":
        address = ""
    if inward:
        if address and _figures(address) is None:
            raise ConfigError(f"{address!r} is not an IPv4 address of the stack")
    else:
        address = address or LOOPBACK
        check_address("the address", address, anyone=anyone)
    host, colon, port = target.rpartition(":")
    such = "127.0.0.1:8000" if inward else "198.18.0.1:80"
    bad = f"{target!r} is no target: use HOST:PORT, such as {such}"
    to = _port(port, bad)
    if not colon or not host:
        raise ConfigError(bad)
    if inward and host == "localhost":
        host = LOOPBACK
    if _figures(host) is None and (inward or not _is_name(host)):
        raise ConfigError(f"{host!r} is no target: use an IPv4 address{'' if inward else ' or a name'}, as in {such}")
    if (figures := _figures(host)) is not None and (figures.is_unspecified or figures.is_multicast):
        raise ConfigError(f"{host} is no target: use the address of one host, as in {such}")
    if not inward and (host == "localhost" or (figures is not None and figures.is_loopback)):
        raise ConfigError(
            f"{host} is no target: the stack does not reach this machine's loopback; use the kernel's address on the "
            "link, or --in to lead a port of the stack's there"
        )
    return Rule(address, number, host, to, kind == "udp", inward, anyone)


def _port(text: str, otherwise: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:6]) <= MAX_PORT:
        raise ConfigError(otherwise)
    return int(text)


def _figures(text: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    """Printing, without what belongs to ports, paths and IPv6.  Whether it exists the DNS says."""
    return len(text) <= MAX_NAME and text.isprintable() and not any(char in " :/[]@*\\" for char in text)
