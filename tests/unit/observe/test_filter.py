import pytest

from stack.device.pcapng import INBOUND, OUTBOUND
from stack.errors import ConfigError
from stack.observe.filter import MAX_LENGTH, compile_filter
from stack.observe.packets import Seen
from stack.wire import arp, ipv4, tcp
from stack.wire.addr import parse_addr
from stack.wire.ethernet import TYPE_IPV4, pack_header

A, B = parse_addr("198.18.0.1"), parse_addr("198.18.0.2")
MAC = b"\x02\0\0\0\0\1"


def packet(proto, l4, src=A, dst=B, flags_offset=0):
    ip = ipv4.pack(total=20 + len(l4), proto=proto, src=src, dst=dst, flags_offset=flags_offset)
    return pack_header(MAC, MAC, TYPE_IPV4) + ip + l4


def segment(sport=40_000, dport=80, flags=16):
    return tcp.HEADER.pack(sport, dport, 1, 2, 5 << 12 | flags, 1000, 0, 0)


TCP = packet(6, segment())
SYN = packet(6, segment(flags=2))
UDP = packet(17, b"\x00\x35\x9c\x40\0\x08\0\0", src=B, dst=A)
ICMP = packet(1, b"\x08\0\0\0\0\1\0\1")
ARP = arp.frame(b"\xff" * 6, arp.REQUEST, MAC, A, b"\0" * 6, B)
FRAGMENT = packet(17, b"\x00\x35\x9c\x40", flags_offset=100)
ALL = {"tcp": TCP, "syn": SYN, "udp": UDP, "icmp": ICMP, "arp": ARP, "fragment": FRAGMENT}


def matching(text, direction=INBOUND, note=""):
    test = compile_filter(text)
    return {
        name for name, data in ALL.items() if test is None or test(Seen("tap0", 0, direction, data, len(data), 1, note))
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set(ALL)),
        ("  ", set(ALL)),
        ("tcp", {"tcp", "syn"}),
        ("syn", {"syn"}),
        ("udp", {"udp", "fragment"}),
        ("arp", {"arp"}),
        ("ip", {"tcp", "syn", "udp", "icmp", "fragment"}),
        ("port 53", {"udp"}),
        ("src port 53", {"udp"}),
        ("dst port 53", set()),
        ("portrange 50-90", {"tcp", "syn", "udp"}),
        ("host 198.18.0.1", set(ALL)),
        ("src host 198.18.0.2", {"udp"}),
        ("src 198.18.0.2", {"udp"}),
        ("dst 198.18.0.2", {"tcp", "syn", "icmp", "arp", "fragment"}),
        ("net 198.18.0.0/24", set(ALL)),
        ("net 10.0.0.0/8", set()),
        ("src net 198.18.0.2/31", {"udp"}),
        ("not tcp", {"udp", "icmp", "arp", "fragment"}),
        ("not not tcp", {"tcp", "syn"}),
        ("tcp and not syn", {"tcp"}),
        ("tcp not syn", {"tcp"}),
        ("icmp or arp", {"icmp", "arp"}),
        ("icmp or tcp and syn", {"icmp", "syn"}),
        ("(icmp or tcp) and not syn", {"icmp", "tcp"}),
        ("! ( tcp || udp ) && ip", {"icmp"}),
        ("!(tcp||udp)&&ip", {"icmp"}),
        ("!tcp and !arp", {"udp", "icmp", "fragment"}),
        ("port 53 or 80", {"tcp", "syn", "udp"}),
        ("tcp and (port 53 or 80)", {"tcp", "syn"}),
        ("src port 53 or 80", {"udp"}),
        ("src host 198.18.0.2 or 198.18.0.9", {"udp"}),
        ("src or dst port 53", {"udp"}),
        ("src || dst 198.18.0.2", set(ALL)),
        ("in", set(ALL)),
        ("out", set()),
        ("dropped", set()),
    ],
)
def test_what_a_filter_lets_through(text, expected):
    assert matching(text) == expected


def test_direction_and_remarks():
    assert matching("out", OUTBOUND) == set(ALL)
    assert matching("dropped", note="dropped: tcp_no_port") == set(ALL)
    assert matching("retransmission", note="retransmission: RACK") == set(ALL)
    assert matching("comment", note="window update") == set(ALL)
    assert matching("retransmission", note="window update") == set()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tpc", "unknown word 'tpc'"),
        ("port", "needs a value"),
        ("port http", "port 'http' is no number"),
        ("port 70000", "no number from 1 to 65535"),
        ("host example.org", "no IPv4 address"),
        ("net 10.0.0.0/40", "no IPv4 address"),
        ("443", "unknown word '443'"),
        ("port 80 443", "unknown word '443'"),
        ("port 80 or tcp or 443", "unknown word '443'"),
        ("port 80 or 443x", "port '443x' is no number"),
        ("src or port 80", "either end"),
        ("src or", "either end"),
        ("src or dst", "needs a value"),
        ("tcp and", "ends where something is missing"),
        ("(tcp", r"'\(' without"),
        ("tcp )", r"unexpected '\)'"),
        ("src", "needs a value"),
        ("not", "ends where"),
        ("(" * 60, "nested too deeply"),
        ("not " * 60 + "tcp", "nested too deeply"),
        ("tcp " * MAX_LENGTH, "use at most"),
    ],
)
def test_a_mistake_is_one_sentence(text, says):
    with pytest.raises(ConfigError, match=says) as raised:
        compile_filter(text)
    assert "\n" not in raised.value.strerror


def test_nothing_is_assumed_of_a_frame():
    test = compile_filter("host 198.18.0.1 or port 80 or syn or net 0.0.0.0/1")
    for length in range(len(TCP)):
        for data in (TCP[:length], ARP[:length]):
            test(Seen("tap0", 0, INBOUND, data, length, 1, ""))
