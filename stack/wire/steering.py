"""Which of several processes that share one address has a packet.

Theory of operation.  A flow belongs to one process for as long as it lives, without a table of flows: its number is a
hash of protocol, addresses and ports.  TCP and UDP flows are spread over all; what has no ports (ARP, ICMP,
fragments) belongs to process 0, which hands on what concerns another one.  The hash is symmetric, so that a process
finds its own local ports with it before it connects.  A UDP port from `OWNED_PORTS` on belongs to one process,
whoever the peer is: who has it may ask many peers, and hears all their answers.

The kernel computes the same on each packet, by the program of `stack.device.steering`; a property test compares them.
"""

from typing import Final

from stack.errors import ConfigError
from stack.wire import icmp, ipv4

MAX_QUEUES: Final = 64
OWNED_PORTS: Final = 32_768  # where the ephemeral ports begin
# The finalizer of MurmurHash3 (public domain, Austin Appleby), and the odd number nearest to 2**32 / phi
MIX_PORTS: Final = 0x9E3779B1
MIX_1: Final = 0x85EBCA6B
MIX_2: Final = 0xC2B2AE35
_WORD: Final = 0xFFFF_FFFF
_EVERYBODY: Final = -1


def steer(proto: int, remote: int, remote_port: int, local: int, local_port: int, count: int, seed: int) -> int:
    """The process, 0 to `count` - 1, that has a TCP or UDP flow; 0 for other protocols.

    Addresses and `seed` are ints of 32 bits.  For TCP the two ends may be exchanged.
    """
    if proto == ipv4.PROTO_UDP and local_port >= OWNED_PORTS:
        return local_port % count
    if proto not in (ipv4.PROTO_TCP, ipv4.PROTO_UDP):
        return 0
    mixed = remote ^ local ^ seed ^ proto ^ ((remote_port ^ local_port) * MIX_PORTS & _WORD)
    mixed = (mixed ^ mixed >> 16) * MIX_1 & _WORD
    mixed = (mixed ^ mixed >> 13) * MIX_2 & _WORD
    return (mixed ^ mixed >> 16) % count


class Steering:
    """The place of one process: `index` of `count`.  `seed` (32 bits) is the same in all.  Raises ConfigError."""

    __slots__ = ("count", "index", "seed")

    def __init__(self, index: int, count: int, seed: int = 0) -> None:
        if not 1 <= count <= MAX_QUEUES:
            raise ConfigError(f"{count} queues: use 1 to {MAX_QUEUES}")
        if not 0 <= index < count:
            raise ConfigError(f"queue {index} of {count}: they are numbered from 0 to {count - 1}")
        if not 0 <= seed <= _WORD:
            raise ConfigError(f"seed {seed}: use 0 to {_WORD}")
        self.index = index
        self.count = count
        self.seed = seed

    def owner(self, proto: int, remote: int, remote_port: int, local: int, local_port: int) -> int:
        """Who has a flow; see `steer`."""
        return steer(proto, remote, remote_port, local, local_port, self.count, self.seed)

    def is_mine(self, proto: int, remote: int, remote_port: int, local: int, local_port: int) -> bool:
        """Whether what comes in this flow comes to this process."""
        return steer(proto, remote, remote_port, local, local_port, self.count, self.seed) == self.index

    def owns_udp_port(self, port: int) -> bool:
        """Whether all that comes to a UDP port comes to this process."""
        return port >= OWNED_PORTS and port % self.count == self.index

    def others(self, owner: int) -> range:
        """The processes that process 0 hands something on to: its `owner` if that is another, or all others for -1."""
        if owner == _EVERYBODY:
            return range(1, self.count)
        return range(owner, owner + 1) if owner else range(0)

    def owner_of_icmp(self, message: bytes) -> int:
        """Who has an ICMP message: 0, the flow that it quotes (RFC 5508 §4.2), or -1: all, for each knows its own
        requests, and answers to them have no port.
        """
        parsed = icmp.parse(message)
        if parsed is None:
            return 0
        if parsed.type in (icmp.ECHO_REPLY, icmp.TIMESTAMP_REPLY):
            return _EVERYBODY
        kind = icmp.error_kind(parsed.type, parsed.code)
        if kind is None:
            return 0
        err = icmp.parse_quoted(kind, parsed.code, message[icmp.HLEN :])
        if err is None:
            return 0
        if err.proto == ipv4.PROTO_ICMP:
            return _EVERYBODY
        return self.owner(err.proto, err.raddr, err.rport, err.laddr, err.lport)

    def owner_of_datagram(self, header: bytes, payload: bytes) -> int:
        """Who has a datagram that came in fragments, whose IP header and whole payload these are."""
        proto = header[9]
        if proto == ipv4.PROTO_ICMP:
            return self.owner_of_icmp(payload)
        if len(payload) < 4:
            return 0
        return self.owner(
            proto,
            int.from_bytes(header[12:16], "big"),
            payload[0] << 8 | payload[1],
            int.from_bytes(header[16:20], "big"),
            payload[2] << 8 | payload[3],
        )
