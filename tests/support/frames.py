"""Whole frames for tests, made without the stack's own codecs."""

from dataclasses import dataclass, field
from struct import pack

MAC_A = bytes.fromhex("020000000001")
MAC_B = bytes.fromhex("020000000002")
IP_A = bytes([10, 0, 0, 1])
IP_B = bytes([10, 0, 0, 2])

TCP_FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20}


def inet_sum(data: bytes) -> int:
    """The Internet checksum of `data` (RFC 1071), the slow and obvious way."""
    data += bytes(len(data) % 2)
    total = sum(data[i] << 8 | data[i + 1] for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@dataclass
class End:
    """Addresses of one side of a conversation."""

    mac: bytes
    ip: bytes
    port: int


A = End(MAC_A, IP_A, 40_000)
B = End(MAC_B, IP_B, 80)


def ipv4_frame(src: End, dst: End, proto: int, segment: bytes, ident: int = 0) -> bytes:
    """`segment` in an IPv4 packet with DF set, in an Ethernet frame."""
    header = pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), ident, 0x4000, 64, proto, 0) + src.ip + dst.ip
    header = header[:10] + pack("!H", inet_sum(header)) + header[12:]
    return dst.mac + src.mac + b"\x08\x00" + header + segment


def tcp_frame(
    src: End,
    dst: End,
    flags: str,
    seq: int,
    ack: int = 0,
    window: int = 65_535,
    data: bytes = b"",
    options: bytes = b"",
) -> bytes:
    """A TCP segment; `flags` as in "SA", `options` padded to four bytes by the caller."""
    bits = sum(TCP_FLAGS[flag] for flag in flags)
    head = pack("!HHIIBBHHH", src.port, dst.port, seq, ack, (20 + len(options)) << 2, bits, window, 0, 0)
    segment = head + options + data
    pseudo = src.ip + dst.ip + pack("!HH", 6, len(segment))
    checksum = inet_sum(pseudo + segment)
    return ipv4_frame(src, dst, 6, segment[:16] + pack("!H", checksum) + segment[18:])


def udp_frame(src: End, dst: End, data: bytes) -> bytes:
    """A UDP datagram with a checksum."""
    segment = pack("!HHHH", src.port, dst.port, 8 + len(data), 0) + data
    pseudo = src.ip + dst.ip + pack("!HH", 17, len(segment))
    checksum = inet_sum(pseudo + segment) or 0xFFFF
    return ipv4_frame(src, dst, 17, segment[:6] + pack("!H", checksum) + segment[8:])


def arp_frame(src: End, dst: End) -> bytes:
    """An ARP request of `src` for `dst`."""
    return (
        b"\xff" * 6 + src.mac + b"\x08\x06" + pack("!HHBBH", 1, 0x0800, 6, 4, 1) + src.mac + src.ip + bytes(6) + dst.ip
    )


def checksums_hold(frame: bytes) -> bool:
    """The IPv4 header checksum and that of its TCP, UDP or ICMP content are right."""
    packet = frame[14:]
    header_len = (packet[0] & 15) * 4
    total = int.from_bytes(packet[2:4], "big")
    if not 20 <= header_len <= total <= len(packet) or inet_sum(packet[:header_len]):
        return False
    segment = packet[header_len:total]
    pseudo = b"" if packet[9] == 1 else packet[12:20] + pack("!HH", packet[9], len(segment))
    return inet_sum(pseudo + segment) == 0


@dataclass
class Conversation:
    """A loss-free TCP conversation frame by frame: handshake on construction, then `data` and `close`.

    `frames` holds (sent by A, frame).
    """

    window: int = 65_535
    seq_a: int = 1_000
    seq_b: int = 5_000
    frames: list[tuple[bool, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        mss = pack("!BBH", 2, 4, 1460)
        self.a("S", options=mss, ack=False)
        self.b("SA", options=mss)
        self.a("A")

    def a(self, flags: str, data: bytes = b"", *, options: bytes = b"", ack: bool = True) -> None:
        """A sends."""
        acked = self.seq_b if ack else 0
        self.frames.append((True, tcp_frame(A, B, flags, self.seq_a, acked, self.window, data, options)))
        self.seq_a += len(data) + ("S" in flags) + ("F" in flags)

    def b(self, flags: str, data: bytes = b"", *, options: bytes = b"") -> None:
        """B sends."""
        self.frames.append((False, tcp_frame(B, A, flags, self.seq_b, self.seq_a, self.window, data, options)))
        self.seq_b += len(data) + ("S" in flags) + ("F" in flags)

    def close(self) -> None:
        """A closes, then B."""
        self.a("FA")
        self.b("FA")
        self.a("A")
