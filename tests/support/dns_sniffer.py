"""What passes on our TAP device in the DNS hierarchy, seen from the kernel's side: nothing of ours is believed."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode

from tests.support.dns_hierarchy import DEVICE, Hierarchy

PORT = 53
TCP, UDP = 6, 17
SYN, ACK = 2, 16
ETH_HLEN = 14
SO_RCVBUFFORCE = 33  # asm-generic/socket.h


@dataclass(frozen=True, slots=True)
class Packet:
    """One UDP datagram or TCP segment to or from port 53."""

    protocol: int
    source: str
    target: str
    source_port: int
    target_port: int
    flags: int  # of TCP
    payload: bytes
    seq: int  # of TCP

    @property
    def is_query(self) -> bool:
        return self.target_port == PORT

    @property
    def server(self) -> str:
        return self.target if self.is_query else self.source

    @property
    def message(self):
        """As dnspython reads it, of a datagram."""
        return dns.message.from_wire(self.payload)


@dataclass(slots=True)
class Sniffer:
    """Reads while it is open; `packets` is all so far."""

    _socket: socket.socket
    _seen: list[Packet] = field(default_factory=list)

    @property
    def packets(self) -> list[Packet]:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = parse(self._socket.recv(65535))
                if packet is not None:
                    self._seen.append(packet)
        return self._seen

    def queries(self, *servers: str) -> list[Packet]:
        """Datagrams with questions, to these servers or to any."""
        return [p for p in self.packets if p.protocol == UDP and p.is_query and (not servers or p.target in servers)]

    def replies(self, *servers: str) -> list[Packet]:
        """Datagrams with answers."""
        return [
            p for p in self.packets if p.protocol == UDP and not p.is_query and (not servers or p.source in servers)
        ]

    def connections(self) -> int:
        """How many TCP connections to port 53 were begun."""
        return sum(p.protocol == TCP and p.is_query and p.flags & (SYN | ACK) == SYN for p in self.packets)

    def stream(self, *, queries: bool) -> list[dns.message.Message]:
        """The messages that were sent over TCP in one direction."""
        segments: dict[tuple[str, int], list[Packet]] = {}
        for p in self.packets:
            if p.protocol == TCP and p.is_query == queries:
                key = (p.target, p.source_port) if queries else (p.source, p.target_port)
                segments.setdefault(key, []).append(p)
        found = []
        for data in map(_joined, segments.values()):
            at = 0
            while at < len(data):
                (length,) = struct.unpack_from("!H", data, at)
                found.append(dns.message.from_wire(data[at + 2 : at + 2 + length]))
                at += 2 + length
        return found

    def clear(self) -> None:
        """Forget what was seen."""
        self.packets.clear()


def _joined(segments: list[Packet]) -> bytes:
    """What they carry, each octet once: a segment may have been sent twice."""
    first, data = segments[0].seq, bytearray()
    if segments[0].flags & SYN:
        first += 1
    for p in sorted(segments, key=lambda p: (p.seq - first) & 0xFFFF_FFFF):
        at = (p.seq - first) & 0xFFFF_FFFF
        if p.payload:
            assert at <= len(data), "a segment was not seen"
            data += p.payload[len(data) - at :]
    return bytes(data)


def parse(frame: bytes) -> Packet | None:
    """None for what is not DNS."""
    if frame[12:14] != b"\x08\x00":
        return None
    ip = frame[ETH_HLEN : ETH_HLEN + struct.unpack_from("!H", frame, ETH_HLEN + 2)[0]]
    protocol, rest = ip[9], ip[(ip[0] & 15) * 4 :]
    if protocol not in {TCP, UDP}:
        return None
    source_port, target_port = struct.unpack_from("!2H", rest)
    if PORT not in {source_port, target_port}:
        return None
    header = 8 if protocol == UDP else (rest[12] >> 4) * 4
    flags = 0 if protocol == UDP else rest[13]
    addresses = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20])
    seq = 0 if protocol == UDP else int.from_bytes(rest[4:8], "big")
    return Packet(protocol, *addresses, source_port, target_port, flags, rest[header:], seq)


@contextlib.contextmanager
def sniffing(hierarchy: Hierarchy) -> Iterator[Sniffer]:
    """From now on."""
    with contextlib.closing(hierarchy.switch.packet_socket(DEVICE)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        raw.setblocking(False)
        yield Sniffer(raw)


def rcode(packet: Packet) -> str:
    """Of a datagram: NOERROR, BADCOOKIE ..."""
    return dns.rcode.to_text(packet.message.rcode())


def is_truncated(packet: Packet) -> bool:
    """TC of a datagram; by hand, since such a message need not be whole."""
    return bool(packet.payload[2] & 2)
