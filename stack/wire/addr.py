"""IPv4 and link addresses: text, bytes and ints.

An IPv4 address is an int in network order value: 198.18.0.2 is 0xC6120002.  Layers above `ip` treat it
as an opaque int.  Classification follows RFC 6890 and RFC 1122 §3.2.1.3.
"""

from typing import Final

from stack.errors import ConfigError, InvalidAddress

ANY: Final = 0
LIMITED_BROADCAST: Final = 0xFFFF_FFFF
ALL_HOSTS: Final = 0xE000_0001  # 224.0.0.1, RFC 1112 §4
MAC_BROADCAST: Final = b"\xff\xff\xff\xff\xff\xff"
MAC_ZERO: Final = bytes(6)


def parse_addr(text: str) -> int:
    """The int of a dotted quad.  Raises InvalidAddress; only the strict form of four decimal numbers is taken."""
    parts = text.split(".")
    value = 0
    if ":" in text:
        raise InvalidAddress(f"{text!r} is not an IPv4 address, and the stack speaks IPv4 only: write 198.18.0.2")
    if len(parts) != 4:
        raise InvalidAddress(f"{text!r} is not an IPv4 address: write four numbers, like 198.18.0.2")
    for part in parts:
        # A leading zero is refused: some read it as octal (RFC 6943 §3.1.1).
        if not (part.isascii() and part.isdigit()) or len(part) > 3 or (part[0] == "0" and len(part) > 1):
            raise InvalidAddress(f"{text!r} is not an IPv4 address: {part!r} is not a number from 0 to 255")
        if (octet := int(part)) > 255:
            raise InvalidAddress(f"{text!r} is not an IPv4 address: {part} is over 255")
        value = value << 8 | octet
    return value


def format_addr(addr: int) -> str:
    """Dotted quad."""
    return f"{addr >> 24}.{addr >> 16 & 255}.{addr >> 8 & 255}.{addr & 255}"


def parse_cidr(text: str) -> tuple[int, int]:
    """(address, prefix length) of "198.18.0.2/24"; without a slash the length is 32.  Raises InvalidAddress."""
    head, slash, tail = text.partition("/")
    addr = parse_addr(head)
    if slash and not (tail.isascii() and tail.isdigit() and len(tail) <= 2 and int(tail) <= 32):
        raise InvalidAddress(f"{text!r}: the prefix length {tail!r} is not a number from 0 to 32")
    return addr, int(tail) if slash else 32


def parse_network(text: str) -> tuple[int, int]:
    """(address, prefix length) of "10.0.0.0/8", a network.  Raises InvalidAddress, ConfigError."""
    addr, prefix_len = parse_cidr(text)
    if "/" not in text:
        raise ConfigError(f"{text} has no prefix length: write a network like {text}/24, a single address as {text}/32")
    network = addr & prefix_mask(prefix_len)
    if addr != network:
        raise ConfigError(f"{text} is no network: write {format_cidr(network, prefix_len)}")
    return addr, prefix_len


def format_cidr(addr: int, prefix_len: int) -> str:
    """Like "198.18.0.0/24"."""
    return f"{format_addr(addr)}/{prefix_len}"


def addr_to_bytes(addr: int) -> bytes:
    """Four bytes, network order."""
    return addr.to_bytes(4, "big")


def addr_from_bytes(data: bytes) -> int:
    """The int of four bytes in network order."""
    return int.from_bytes(data, "big")


def parse_mac(text: str) -> bytes:
    """Six bytes of "02:00:00:00:00:01" (or with dashes).  Raises InvalidAddress."""
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or not all(1 <= len(p) <= 2 for p in parts):
        raise InvalidAddress(f"{text!r} is not a link address: write six bytes, like 02:00:00:00:00:01")
    try:
        return bytes(int(p, 16) for p in parts)
    except ValueError:
        raise InvalidAddress(f"{text!r} is not a link address: write hexadecimal bytes") from None


def format_mac(mac: bytes) -> str:
    """Like "02:00:00:00:00:01"."""
    return mac.hex(":")


def prefix_mask(prefix_len: int) -> int:
    """The netmask of a prefix length from 0 to 32."""
    return 0xFFFF_FFFF << (32 - prefix_len) & 0xFFFF_FFFF


def subnet_broadcast(addr: int, prefix_len: int) -> int:
    """The directed broadcast address of a subnet; 0 for /31 (RFC 3021 §2.1) and /32, which have none."""
    return 0 if prefix_len >= 31 else addr | 0xFFFF_FFFF >> prefix_len


def is_multicast(addr: int) -> bool:
    """Class D (RFC 1112)."""
    return addr >> 28 == 0xE


def is_loopback(addr: int) -> bool:
    """127/8."""
    return addr >> 24 == 127


def is_unicast(addr: int) -> bool:
    """May be the address of one host: not 0/8, 127/8, class D or E.  RFC 1122 §3.2.1.3.

    198.18.0.0/15 (RFC 2544) is an ordinary network here: it is this project's default.
    """
    return 0x0100_0000 <= addr < 0xE000_0000 and addr >> 24 != 127


def multicast_mac(group: int) -> bytes:
    """The Ethernet address of an IPv4 group.  RFC 1112 §6.4."""
    return b"\x01\x00\x5e" + (group & 0x7F_FFFF).to_bytes(3, "big")


def is_group_mac(mac: bytes) -> bool:
    """The broadcast or a multicast link address."""
    return bool(mac[0] & 1)
