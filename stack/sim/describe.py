"""A frame in words, for the report of a failed run.  Total: any bytes give some text."""

from stack.wire.addr import format_addr

ETH_HLEN = 14
IPV4_HLEN = 20
_FLAGS = "FSRPAUEC"  # from the lowest bit: FIN SYN RST PSH ACK URG ECE CWR


def describe(frame: bytes) -> str:
    """One line: who to whom, and for TCP flags, numbers and length."""
    kind = frame[12:14]
    if kind == b"\x08\x06" and len(frame) >= ETH_HLEN + 28:
        ask = "who has" if frame[21] == 1 else "reply to"
        return f"ARP {_addr(frame, 28)} {ask} {_addr(frame, 38)}"
    if kind != b"\x08\x00" or len(frame) < ETH_HLEN + IPV4_HLEN:
        return f"{len(frame)} bytes of type {kind.hex()}"
    at = ETH_HLEN + (frame[ETH_HLEN] & 15) * 4
    end = ETH_HLEN + int.from_bytes(frame[16:18], "big")
    ends = f"{_addr(frame, 26)} > {_addr(frame, 30)}"
    ecn = " CE" if frame[15] & 3 == 3 else ""
    if int.from_bytes(frame[20:22], "big") & 0x3FFF:
        return f"IP {ends} fragment at {(int.from_bytes(frame[20:22], 'big') & 0x1FFF) * 8}, {end - at} bytes{ecn}"
    l4 = frame[at:end]
    protocol = frame[23]
    if protocol == 6 and len(l4) >= 20:
        return _tcp(ends, l4) + ecn
    if protocol == 17 and len(l4) >= 8:
        return f"UDP {ends} ports {_u16(l4, 0)} > {_u16(l4, 2)} len {len(l4) - 8}{ecn}"
    if protocol == 1 and len(l4) >= 8:
        return f"ICMP {ends} type {l4[0]} code {l4[1]}{ecn}"
    return f"IP {ends} protocol {protocol} len {len(l4)}{ecn}"


def _tcp(ends: str, segment: bytes) -> str:
    flags = "".join(letter for bit, letter in enumerate(_FLAGS) if segment[13] >> bit & 1)
    hlen = (segment[12] >> 4) * 4
    seq, ack = int.from_bytes(segment[4:8], "big"), int.from_bytes(segment[8:12], "big")
    text = f"TCP {ends} ports {_u16(segment, 0)} > {_u16(segment, 2)} {flags or '-'} seq {seq} ack {ack}"
    return f"{text} wnd {_u16(segment, 14)} len {len(segment) - hlen}{_sacks(segment[20:hlen])}"


def _sacks(options: bytes) -> str:
    """The SACK blocks among the options."""
    at = 0
    while at + 1 < len(options) and options[at]:
        length = 1 if options[at] == 1 else options[at + 1]
        if options[at] == 5:
            edges = [int.from_bytes(options[i : i + 4], "big") for i in range(at + 2, at + length, 4)]
            return " sack" + "".join(f" {a}-{b}" for a, b in zip(edges[::2], edges[1::2], strict=False))
        at += max(length, 1)
    return ""


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _addr(frame: bytes, at: int) -> str:
    return format_addr(int.from_bytes(frame[at : at + 4], "big"))
