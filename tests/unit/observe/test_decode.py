import random

import pytest

from stack.device.pcapng import INBOUND, OUTBOUND
from stack.observe.decode import describe, ends_of, layers, line, protocol_of
from stack.observe.head import parse
from stack.wire import arp, ipv4, tcp, udp
from stack.wire.addr import parse_addr
from stack.wire.ethernet import TYPE_IPV4, pack_header

A, B = parse_addr("198.18.0.1"), parse_addr("198.18.0.2")
MAC = b"\x02\0\0\0\0\1"


def packet(proto, l4, flags_offset=0, total=0):
    ip = ipv4.pack(total=total or 20 + len(l4), proto=proto, src=A, dst=B, flags_offset=flags_offset, ident=7)
    return pack_header(MAC, MAC, TYPE_IPV4) + ip + l4


def segment(flags, options=b"", payload=b""):
    offset = (20 + len(options)) // 4 << 12
    return tcp.HEADER.pack(40_000, 80, 100, 200, offset | flags, 1000, 0, 0) + options + payload


SYN = packet(6, segment(2, tcp.pack_syn_options(1460, 7, sack_ok=True, ts=(5, 0))))
DATA = packet(6, segment(24, payload=b"abc"))
SACK = packet(6, segment(16, tcp.pack_sack([(300, 400), (500, 600)])))
DNS = packet(17, udp.pack_header(40_000, 53, 5) + b"hello")
ECHO = packet(1, b"\x08\0\0\0\0\x09\0\x02" + bytes(8))
UNREACHABLE = packet(1, b"\x03\x03\0\0\0\0\0\0")
REQUEST = arp.frame(b"\xff" * 6, arp.REQUEST, MAC, A, b"\0" * 6, B)
REPLY = arp.frame(MAC, arp.REPLY, MAC, B, MAC, A)
FRAGMENT = packet(17, bytes(64), flags_offset=185)
ALL = [SYN, DATA, SACK, DNS, ECHO, UNREACHABLE, REQUEST, REPLY, FRAGMENT]


@pytest.mark.parametrize(
    ("data", "protocol", "text"),
    [
        (SYN, "TCP", "[SYN], seq 100, win 1000, length 0, <MSS 1460, SACK permitted, TS 5/0, WScale 7>"),
        (DATA, "TCP", "[PSH ACK], seq 100:103, ack 200, win 1000, length 3"),
        (SACK, "TCP", "[ACK], seq 100, ack 200, win 1000, length 0, <SACK 300-400 500-600>"),
        (DNS, "UDP", "length 5"),
        (ECHO, "ICMP", "echo request, id 9, seq 2, length 8"),
        (UNREACHABLE, "ICMP", "unreachable, code 3, length 0"),
        (REQUEST, "ARP", "who has 198.18.0.2, tell 198.18.0.1"),
        (REPLY, "ARP", "198.18.0.2 is at 02:00:00:00:00:01"),
        (FRAGMENT, "UDP", "fragment at 1480, id 7, length 64"),
    ],
)
def test_one_line_says_what_a_packet_says(data, protocol, text):
    assert (protocol_of(parse(data)), describe(data)) == (protocol, text)


def test_a_line_has_ends_direction_and_remark():
    text = line("12:00:00.000001", OUTBOUND, DATA, "retransmission: RACK")
    assert text.startswith("12:00:00.000001 > TCP 198.18.0.1:40000 > 198.18.0.2:80 [PSH ACK]")
    assert text.endswith("  # retransmission: RACK")
    assert line("t", INBOUND, REQUEST, "") == "t < ARP who has 198.18.0.2, tell 198.18.0.1"


def test_ports_are_left_out_where_there_are_none():
    assert ends_of(parse(ECHO)) == ("198.18.0.1", "198.18.0.2")
    assert ends_of(parse(FRAGMENT)) == ("198.18.0.1", "198.18.0.2")


def test_every_header_has_its_fields():
    names = {name: dict(fields) for name, fields in layers(SYN)}
    assert list(names) == ["Ethernet", "IPv4", "TCP"]
    assert names["IPv4"]["protocol"] == "6 TCP"
    assert names["TCP"]["flags"] == "SYN"
    assert names["TCP"]["MSS"] == "1460"
    assert [name for name, _ in layers(REPLY)] == ["Ethernet", "ARP"]
    assert [name for name, _ in layers(ECHO)] == ["Ethernet", "IPv4", "ICMP"]
    assert [name for name, _ in layers(FRAGMENT)] == ["Ethernet", "IPv4"]


def test_a_beginning_tells_the_length_of_the_whole():
    whole = packet(6, segment(16, payload=bytes(1400)))
    assert describe(whole[:100], None, len(whole)).endswith("length 1400")


def test_damaged_packets_are_described_too():
    rng = random.Random(5)
    for data in ALL:
        for cut in range(len(data)):
            assert line("t", INBOUND, data[:cut], "")
            assert layers(data[:cut])
    for _ in range(3000):
        data = bytes(rng.getrandbits(8) if rng.random() < 0.1 else byte for byte in rng.choice(ALL))
        assert line("t", OUTBOUND, data, "")
        assert layers(data)
