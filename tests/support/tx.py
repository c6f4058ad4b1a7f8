"""TxFrames for tests of devices, filled in as a Host would."""

from struct import pack

from stack.device.wrapper import refill
from stack.wire.frame import ETH_HLEN, FILL_IP, GSO_NONE, GSO_TCPV4, L4_OFF, NEEDS_CSUM, TxFrame
from tests.support.frames import TCP_FLAGS, End

IP_HLEN, TCP_HLEN = 20, 20


def finished(data: bytes | bytearray) -> TxFrame:
    """A whole frame that needs nothing more."""
    return refill(TxFrame(), data)


def super_segment(src: End, dst: End, payload: bytes, gso_size: int, seq: int = 1) -> TxFrame:
    """A TCP segment whose checksum and IP header are left to `finish`; cut at `gso_size` if it is longer."""
    frame = TxFrame()
    frame.start = L4_OFF - IP_HLEN - ETH_HLEN
    frame.header_end = L4_OFF + TCP_HLEN
    header = dst.mac + src.mac + b"\x08\x00" + pack("!BBHHHBBH", 0x45, 0, 0, 7, 0x4000, 64, 6, 0) + src.ip + dst.ip
    flags = TCP_FLAGS["A"] | TCP_FLAGS["P"]
    header += pack("!HHIIBBHHH", src.port, dst.port, seq, 2, TCP_HLEN << 2, flags, 65_535, 0, 0)
    frame.header[frame.start : frame.header_end] = header
    frame.payload, frame.payload_off, frame.payload_len = payload, 0, len(payload)
    frame.flags = NEEDS_CSUM | FILL_IP
    frame.csum_start, frame.csum_offset = ETH_HLEN + IP_HLEN, 16
    frame.gso_type, frame.gso_size = (GSO_TCPV4, gso_size) if len(payload) > gso_size else (GSO_NONE, 0)
    return frame
