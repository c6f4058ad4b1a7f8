"""An independent reading and writing of TCP headers, so that mistakes of `stack/wire/tcp.py` cannot cancel out.

Nothing here is shared with the product.  `decode` is strict: what the product sends must be well formed.
"""

import struct
from dataclasses import dataclass, field

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << i for i in range(8))
FLAG_NAMES = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")

EOL, NOP, MSS, WSCALE, SACK_OK, SACK, TS, UTO = 0, 1, 2, 3, 4, 5, 8, 28
FIXED_LENGTHS = {MSS: 4, WSCALE: 3, SACK_OK: 2, TS: 10, UTO: 4}


def flag_text(flags: int) -> str:
    """`SYN|ACK` for 0x12."""
    return "|".join(name for i, name in enumerate(FLAG_NAMES) if flags >> i & 1) or "-"


@dataclass
class Sent:
    """One segment (or super-segment) that the product handed out, decoded; numbers as on the wire."""

    at: int
    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    wnd: int
    up: int
    data: bytes
    mss: int | None = None
    wscale: int | None = None
    sack_ok: bool = False
    sack: list[tuple[int, int]] = field(default_factory=list)
    ts: tuple[int, int] | None = None
    uto: int | None = None
    other: list[tuple[int, bytes]] = field(default_factory=list)
    option_bytes: bytes = b""
    gso_size: int = 0
    ect: bool = False  # for the IP layer: the datagram is ECN-capable
    note: str | None = None  # what a capture would say

    @property
    def length(self) -> int:
        """SEG.LEN: payload plus SYN and FIN."""
        return len(self.data) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def option_text(self) -> str:
        """Options in a readable form."""
        parts = []
        if self.mss is not None:
            parts.append(f"mss {self.mss}")
        if self.wscale is not None:
            parts.append(f"wscale {self.wscale}")
        if self.sack_ok:
            parts.append("sack-ok")
        if self.ts is not None:
            parts.append(f"ts {self.ts[0]} {self.ts[1]}")
        if self.sack:
            parts.append("sack " + " ".join(f"{a}:{b}" for a, b in self.sack))
        return f" <{', '.join(parts)}>" if parts else ""


def encode_options(
    *,
    mss: int | None = None,
    wscale: int | None = None,
    sack_ok: bool = False,
    ts: tuple[int, int] | None = None,
    sack: list[tuple[int, int]] | None = None,
) -> bytes:
    """Option bytes padded with NOPs to a multiple of four."""
    out = b""
    if mss is not None:
        out += struct.pack("!BBH", MSS, 4, mss)
    if sack_ok:
        out += bytes((SACK_OK, 2))
    if ts is not None:
        out += struct.pack("!BBII", TS, 10, ts[0] & 0xFFFFFFFF, ts[1] & 0xFFFFFFFF)
    if wscale is not None:
        out += bytes((WSCALE, 3, wscale))
    if sack:
        out += bytes((SACK, 2 + 8 * len(sack)))
        for left, right in sack:
            out += struct.pack("!II", left & 0xFFFFFFFF, right & 0xFFFFFFFF)
    return bytes((NOP,)) * (-len(out) % 4) + out


def decode(at: int, header: bytes, data: bytes, gso_size: int) -> Sent:
    """Read a header the product made; AssertionError when it is not well formed (RFC 9293 §3.1)."""
    assert len(header) >= 20, f"header of {len(header)} bytes"
    src, dst, seq, ack, offset, flags, wnd, csum, up = struct.unpack_from("!HHIIBBHHH", header)
    assert (offset >> 4) * 4 == len(header), f"data offset {offset >> 4} for {len(header)} header bytes"
    assert offset & 0x0F == 0, "reserved bits set"
    assert csum == 0, "the checksum field is completed by the core and must be zero before"
    sent = Sent(at, src, dst, seq, ack, flags, wnd, up, data, gso_size=gso_size, option_bytes=header[20:])
    _decode_options(sent, header[20:])
    return sent


def _decode_options(sent: Sent, raw: bytes) -> None:
    i = 0
    seen = set()
    while i < len(raw):
        kind = raw[i]
        if kind == EOL:
            assert not any(raw[i:]), f"RFC 9293 §3.1 (MUST-69): padding not zero: {raw.hex()}"
            return
        if kind == NOP:
            i += 1
            continue
        assert i + 1 < len(raw), f"option {kind} without a length: {raw.hex()}"
        size = raw[i + 1]
        assert 2 <= size <= len(raw) - i, f"option {kind} of length {size}: {raw.hex()}"
        assert size == FIXED_LENGTHS.get(kind, size), f"option {kind} of length {size}: {raw.hex()}"
        assert kind not in seen, f"option {kind} twice: {raw.hex()}"
        seen.add(kind)
        _take_option(sent, kind, raw[i + 2 : i + size])
        i += size


def _take_option(sent: Sent, kind: int, body: bytes) -> None:
    if kind == MSS:
        sent.mss = int.from_bytes(body, "big")
    elif kind == WSCALE:
        sent.wscale = body[0]
    elif kind == SACK_OK:
        sent.sack_ok = True
    elif kind == TS:
        sent.ts = struct.unpack("!II", body)
    elif kind == UTO:
        sent.uto = int.from_bytes(body, "big")
    elif kind == SACK:
        assert len(body) in {8, 16, 24, 32}, f"SACK option of {len(body) + 2} bytes"
        words = struct.unpack(f"!{len(body) // 4}I", body)
        sent.sack = list(zip(words[::2], words[1::2], strict=True))
    else:
        sent.other.append((kind, body))
