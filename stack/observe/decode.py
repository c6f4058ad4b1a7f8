"""Packets for people: one line as tcpdump has it, and the headers field by field.  Total on every input."""

from collections.abc import Callable
from typing import Final

from stack.device.pcapng import INBOUND
from stack.observe.head import Head, parse
from stack.wire import arp, icmp, ipv4, tcp, udp
from stack.wire.addr import format_addr, format_mac
from stack.wire.ethernet import TYPE_ARP, TYPE_IPV4, TYPE_IPV6, parse_header

Fields = list[tuple[str, str]]
Layer = tuple[str, Fields]

_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_PROTOCOLS: Final = {ipv4.PROTO_ICMP: "ICMP", ipv4.PROTO_TCP: "TCP", ipv4.PROTO_UDP: "UDP"}
_ETHERTYPES: Final = {TYPE_IPV4: "IPv4", TYPE_ARP: "ARP", TYPE_IPV6: "IPv6"}
_ICMP: Final = {0: "echo reply", 3: "unreachable", 4: "source quench", 5: "redirect", 8: "echo request",
                11: "time exceeded", 12: "parameter problem"}  # fmt: skip
_ECN: Final = ("Not-ECT", "ECT(1)", "ECT(0)", "CE")


def flags_of(bits: int) -> str:
    """Names of the TCP flags in `bits`."""
    return " ".join(name for index, name in enumerate(_FLAGS) if bits >> index & 1)


def protocol_of(head: Head) -> str:
    """The highest protocol that was understood, for a list."""
    if head.ethertype == TYPE_IPV4:
        return _PROTOCOLS.get(head.proto, f"IP {head.proto}")
    return _ETHERTYPES.get(head.ethertype, f"0x{head.ethertype:04x}")


def ends_of(head: Head) -> tuple[str, str]:
    """Source and destination, with ports where there are any."""
    if not (head.src or head.dst):
        return "", ""
    if head.sport or head.dport:
        return f"{format_addr(head.src)}:{head.sport}", f"{format_addr(head.dst)}:{head.dport}"
    return format_addr(head.src), format_addr(head.dst)


def describe(data: bytes, head: Head | None = None, length: int = 0) -> str:
    """What the packet says, without its addresses.  `length` is that of the whole frame, if `data` is cut."""
    head = parse(data) if head is None else head
    if head.ethertype == TYPE_ARP:
        packet = arp.parse(data[14:])
        if packet is None:
            return "malformed"
        if packet.op == arp.REQUEST:
            return f"who has {format_addr(packet.tpa)}, tell {format_addr(packet.spa)}"
        return f"{format_addr(packet.spa)} is at {format_mac(packet.sha)}"
    ip = ipv4.parse(data, 14) if head.ethertype == TYPE_IPV4 else None
    if ip is None:
        return f"{max(length, len(data))} bytes"
    size = max(max(length, len(data)) - 14 if length > 14 + ip.total else ip.total, ip.hlen)
    if not head.l4:
        return f"fragment at {(ip.flags_offset & 0x1FFF) * 8}, id {ip.ident}, length {size - ip.hlen}"
    lines: dict[int, Callable[[bytes, int], str]] = {
        ipv4.PROTO_TCP: _tcp_line,
        ipv4.PROTO_UDP: _udp_line,
        ipv4.PROTO_ICMP: _icmp_line,
    }
    line = lines.get(ip.proto)
    text = line(data[head.l4 :], size - ip.hlen) if line is not None else f"length {size - ip.hlen}"
    return f"{text}, fragment id {ip.ident}" if head.fragment else text


def _tcp_line(segment: bytes, size: int) -> str:
    if len(segment) < tcp.HEADER_LEN:
        return "cut short"
    _sport, _dport, seq, ack, offset_flags, window, _csum, _up = tcp.HEADER.unpack_from(segment)
    header = (offset_flags >> 12) * 4
    length = max(size - header, 0)
    words = [f"[{flags_of(offset_flags & 0xFF)}]", f"seq {seq}{f':{seq + length & 0xFFFFFFFF}' if length else ''}"]
    if offset_flags & 16:
        words.append(f"ack {ack}")
    words += [f"win {window}", f"length {length}"]
    options = [f"{name} {value}".strip() for name, value in _tcp_options(segment[20:header])]
    if options:
        words.append(f"<{', '.join(options)}>")
    return ", ".join(words)


def _udp_line(datagram: bytes, size: int) -> str:
    return f"length {max(size - udp.HLEN, 0)}" if len(datagram) >= udp.HLEN else "cut short"


def _icmp_line(message: bytes, size: int) -> str:
    found = icmp.parse(message)
    if found is None:
        return "cut short"
    name = _ICMP.get(found.type, f"type {found.type}")
    if found.type in {0, 8}:
        return f"{name}, id {found.ident}, seq {found.seq}, length {size - icmp.HLEN}"
    return f"{name}, code {found.code}, length {size - icmp.HLEN}"


def _tcp_options(data: bytes) -> Fields:
    found: Fields = []
    for kind, at, length in tcp.options_of(data):
        value = data[at : at + length]
        if kind == tcp.OPT_NOP:
            continue
        if kind == tcp.OPT_MSS and length == 2:
            found.append(("MSS", str(int.from_bytes(value, "big"))))
        elif kind == tcp.OPT_WSCALE and length == 1:
            found.append(("WScale", str(value[0])))
        elif kind == tcp.OPT_SACK_OK:
            found.append(("SACK permitted", ""))
        elif kind == tcp.OPT_TS and length == 8:
            found.append(("TS", f"{int.from_bytes(value[:4], 'big')}/{int.from_bytes(value[4:], 'big')}"))
        elif kind == tcp.OPT_SACK:
            found.append(("SACK", " ".join(_block(value[i : i + 8]) for i in range(0, length, 8))))
        else:
            found.append((f"option {kind}", value.hex()))
    return found


def _block(edges: bytes) -> str:
    return f"{int.from_bytes(edges[:4], 'big')}-{int.from_bytes(edges[4:], 'big')}"


def line(time_text: str, direction: int, data: bytes, note: str, length: int = 0) -> str:
    """One line about a frame; what the stack says of it stands at the end."""
    head = parse(data)
    source, target = ends_of(head)
    arrow = "<" if direction == INBOUND else ">"
    ends = f" {source} > {target}" if source and head.ethertype != TYPE_ARP else ""
    told = f"  # {note}" if note else ""
    return f"{time_text} {arrow} {protocol_of(head)}{ends} {describe(data, head, length)}{told}"


def layers(data: bytes) -> list[Layer]:
    """Every header that is there, with its fields."""
    found: list[Layer] = []
    link = parse_header(data)
    if link is None:
        return [("Frame", [("bytes", data.hex())])]
    target, source, ethertype = link
    kind = _ETHERTYPES.get(ethertype, "")
    found.append((
        "Ethernet",
        [
            ("destination", format_mac(target)),
            ("source", format_mac(source)),
            ("type", f"0x{ethertype:04x} {kind}".strip()),
        ],
    ))  # fmt: skip
    if ethertype == TYPE_ARP:
        found.append(("ARP", _arp_fields(data[14:])))
    elif ethertype == TYPE_IPV4:
        found += _ip_layers(data)
    return found


def _arp_fields(data: bytes) -> Fields:
    packet = arp.parse(data)
    if packet is None:
        return [("malformed", data[:28].hex())]
    return [
        ("operation", "request" if packet.op == arp.REQUEST else "reply"),
        ("sender", f"{format_addr(packet.spa)} {format_mac(packet.sha)}"),
        ("target", f"{format_addr(packet.tpa)} {format_mac(packet.tha)}"),
    ]


def _ip_layers(data: bytes) -> list[Layer]:
    ip = ipv4.parse(data, 14)
    if ip is None:
        return [("IPv4", [("malformed", data[14:34].hex())])]
    marks = [name for bit, name in ((0x4000, "DF"), (0x2000, "MF")) if ip.flags_offset & bit]
    fields = [
        ("source", format_addr(ip.src)),
        ("destination", format_addr(ip.dst)),
        ("protocol", f"{ip.proto} {_PROTOCOLS.get(ip.proto, '')}".strip()),
        ("total length", str(ip.total)),
        ("header length", str(ip.hlen)),
        ("TTL", str(ip.ttl)),
        ("DSCP", str(ip.tos >> 2)),
        ("ECN", _ECN[ip.tos & 3]),
        ("identification", str(ip.ident)),
        ("flags", " ".join(marks) or "none"),
        ("fragment offset", str((ip.flags_offset & 0x1FFF) * 8)),
        ("checksum", f"0x{ip.csum:04x}"),
    ]
    found: list[Layer] = [("IPv4", fields)]
    rest = data[14 + ip.hlen :]
    if not ip.flags_offset & 0x1FFF:
        if ip.proto == ipv4.PROTO_TCP and len(rest) >= tcp.HEADER_LEN:
            found.append(("TCP", _tcp_fields(rest)))
        elif ip.proto == ipv4.PROTO_UDP and len(rest) >= udp.HLEN:
            sport, dport, length, csum = udp.HEADER.unpack_from(rest)
            ports = [("source port", str(sport)), ("destination port", str(dport))]
            found.append(("UDP", [*ports, ("length", str(length)), ("checksum", f"0x{csum:04x}")]))
        elif ip.proto == ipv4.PROTO_ICMP and (message := icmp.parse(rest)) is not None:
            kind = f"{message.type} {_ICMP.get(message.type, '')}".strip()
            words = [("identifier", str(message.ident)), ("sequence", str(message.seq))]
            found.append(("ICMP", [("type", kind), ("code", str(message.code)), *words]))
    return found


def _tcp_fields(segment: bytes) -> Fields:
    sport, dport, seq, ack, offset_flags, window, csum, urgent = tcp.HEADER.unpack_from(segment)
    header = (offset_flags >> 12) * 4
    fields = [
        ("source port", str(sport)),
        ("destination port", str(dport)),
        ("sequence number", str(seq)),
        ("acknowledgment", str(ack)),
        ("flags", flags_of(offset_flags & 0xFF)),
        ("window", str(window)),
        ("header length", str(header)),
        ("checksum", f"0x{csum:04x}"),
    ]
    if urgent:
        fields.append(("urgent pointer", str(urgent)))
    return fields + _tcp_options(segment[20:header])
