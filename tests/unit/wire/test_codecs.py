"""Ethernet, ARP, IPv4, ICMP and UDP against scapy, and against any bytes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, IPOption
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.wire import arp, ethernet, icmp, ipv4, tcp, udp
from stack.wire.addr import parse_addr, parse_mac
from tests.support.rfc import rfc

MAC_A, MAC_B = "02:00:00:00:00:01", "02:00:00:00:00:02"
addresses = st.integers(0, 0xFFFF_FFFF)
ports = st.integers(0, 0xFFFF)
macs = st.binary(min_size=6, max_size=6)


@rfc("894", "0", "ETH-1")
def test_ethernet_header():
    frame = bytes(Ether(dst=MAC_B, src=MAC_A, type=0x0800) / Raw(b"text"))
    assert ethernet.parse_header(frame) == (parse_mac(MAC_B), parse_mac(MAC_A), 0x0800)
    assert ethernet.pack_header(parse_mac(MAC_B), parse_mac(MAC_A), 0x0800) == frame[:14]
    assert ethernet.parse_header(frame[:13]) is None
    assert ethernet.parse_header(bytes(Ether(dst=MAC_B, src="03:00:00:00:00:01", type=0x0800))) is None
    assert ethernet.parse_header(bytes(Ether(dst=MAC_B, src=MAC_A, type=0x05FF))) is None


@rfc("826", "0", "ARP-2")
@given(st.sampled_from([1, 2]), addresses, addresses, macs, macs)
def test_arp_packet(op, spa, tpa, sha, tha):
    made = arp.pack(op, sha, spa, tha, tpa)
    theirs = ARP(made)
    assert (theirs.op, int.from_bytes(bytes(theirs)[14:18], "big"), theirs.hwsrc) == (op, spa, sha.hex(":"))
    assert arp.parse(made + b"padding") == (op, sha, spa, tha, tpa)
    assert arp.parse(made[:27]) is None


@rfc("826", "0", "ARP-2")
@pytest.mark.parametrize(
    ("at", "value"),
    [(slice(0, 2), 6), (slice(2, 4), 0x86DD), (slice(4, 5), 8), (slice(5, 6), 16), (slice(6, 8), 3), (slice(6, 8), 0)],
)
def test_arp_of_other_networks_is_not_understood(at, value):
    good = bytes(ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"))
    assert arp.parse(good) is not None
    bad = bytearray(good)
    bad[at] = value.to_bytes(at.stop - at.start, "big")
    assert arp.parse(bytes(bad)) is None


@given(addresses, addresses, st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 255))
def test_ipv4_header(src, dst, tos, ttl, ident, proto):
    packet = ipv4.pack(total=20, proto=proto, src=src, dst=dst, tos=tos, ttl=ttl, ident=ident, flags_offset=ipv4.DF)
    theirs = IP(packet)
    assert (theirs.tos, theirs.ttl, theirs.id, theirs.proto, theirs.ihl) == (tos, ttl, ident, proto, 5)
    assert parse_addr(theirs.src) == src
    assert theirs.flags.DF
    assert ipv4.parse(packet) == (20, tos, 20, ident, ipv4.DF, ttl, proto, 0, src, dst)


@rfc("1122", "3.2.1", "IP-1")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p[:19],
        lambda p: b"\x55" + p[1:],  # version
        lambda p: b"\x44" + p[1:],  # header length under 20
        lambda p: b"\x4f" + p[1:],  # header length beyond the packet
        lambda p: p[:2] + b"\x00\x13" + p[4:],  # total length under the header's
    ],
)
def test_impossible_ipv4_headers(spoil):
    good = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / Raw(b"data"))
    assert ipv4.parse(good) is not None
    assert ipv4.parse(spoil(good)) is None


@given(st.binary(max_size=80), st.integers(0, 8))
def test_any_bytes_are_survived(data, offset):
    ipv4.parse(data, offset)
    ethernet.parse_header(data)
    arp.parse(data)
    udp.parse(data)
    icmp.parse(data)
    for kind in icmp.ErrorKind:
        icmp.parse_quoted(kind, 0, data)


@rfc("1122", "3.2.1.8", "IP-8")
@given(st.binary(max_size=40))
@example(b"\x07\x00")
@example(b"\x44\x04\x05\x00")
def test_any_options_are_survived_and_the_fault_is_inside(options):
    result = ipv4.check_options(options)
    assert result in (ipv4.OPTIONS_OK, ipv4.OPTIONS_SOURCE_ROUTE) or 0 <= result < len(options)
    if result < 0:
        copied = ipv4.copied_options(options)
        assert len(copied) % 4 == 0
        assert ipv4.check_options(copied) in (ipv4.OPTIONS_OK, result)


@rfc("1122", "3.2.1.8", "IP-8")
@pytest.mark.parametrize(
    ("options", "result"),
    [
        (b"", ipv4.OPTIONS_OK),
        (b"\x01\x01\x94\x04\x00\x00\x00\xff", ipv4.OPTIONS_OK),  # NOP NOP router alert EOL
        (b"\x5e\x04ab", ipv4.OPTIONS_OK),  # unknown
        (b"\x07\x07\x04\x00\x00\x00\x00\x00", ipv4.OPTIONS_OK),  # record route
        (b"\x07\x07\x03\x00\x00\x00\x00\x00", 2),  # its pointer under 4
        (b"\x07\x03\x04\x00", 1),  # its length under 4
        (b"\x44\x0c\x05\x00" + bytes(8), ipv4.OPTIONS_OK),  # timestamp
        (b"\x44\x0c\x04\x00" + bytes(8), 2),
        (b"\x83\x07\x04\x0a\x00\x00\x01\x00", ipv4.OPTIONS_SOURCE_ROUTE),
        (b"\x89\x07\x04\x0a\x00\x00\x01\x00", ipv4.OPTIONS_SOURCE_ROUTE),
        (b"\x01\x94\x01\x00", 2),  # length 1
        (b"\x94\x09\x00\x00", 1),  # beyond the end
        (b"\x01\x01\x01\x94", 3),  # no room for a length
    ],
)
def test_options(options, result):
    assert ipv4.check_options(options) == result


def test_only_copied_options_go_on_later_fragments():
    alert = bytes(IPOption(b"\x94\x04\x00\x00"))
    assert ipv4.copied_options(b"\x07\x07\x04\x00\x00\x00\x00\x01" + alert) == b"\x94\x04\x00\x00"
    assert ipv4.copied_options(b"\x07\x07\x04\x00\x00\x00\x00\x01") == b""


@rfc("768", "0", "UDP-1")
@given(ports, ports, st.binary(max_size=50))
def test_udp_header(sport, dport, data):
    segment = bytes(UDP(sport=sport, dport=dport, chksum=0x1234) / Raw(data))
    assert udp.parse(segment) == (sport, dport, 8 + len(data), 0x1234)
    assert udp.pack_header(sport, dport, len(data), 0x1234) == segment[:8]
    assert udp.parse(segment[:-1]) is None
    assert udp.parse(segment[:4] + b"\x00\x07" + segment[6:]) is None


@given(addresses, addresses, st.integers(0, 255), st.integers(0, 0xFFFF))
def test_pseudo_header_sum(src, dst, proto, length):
    words = [src >> 16, src & 0xFFFF, dst >> 16, dst & 0xFFFF, proto, length]
    assert udp.pseudo_sum(src, dst, proto, length) % 0xFFFF == sum(words) % 0xFFFF
    assert 0 <= udp.pseudo_sum(src, dst, proto, length) <= 0xFFFF


@rfc("1122", "3.2.2", "ICMP-6")
@pytest.mark.parametrize(
    ("icmp_type", "code", "kind"),
    [
        (3, 0, "NET_UNREACHABLE"),
        (3, 1, "HOST_UNREACHABLE"),
        (3, 2, "PROTOCOL_UNREACHABLE"),
        (3, 3, "PORT_UNREACHABLE"),
        (3, 4, "FRAG_NEEDED"),
        (3, 5, "SOURCE_ROUTE_FAILED"),
        (3, 9, "ADMIN_PROHIBITED"),
        (3, 13, "ADMIN_PROHIBITED"),
        (11, 0, "TIME_EXCEEDED"),
        (11, 1, "TIME_EXCEEDED"),
        (12, 0, "PARAMETER_PROBLEM"),
    ],
)
def test_kinds_of_errors(icmp_type, code, kind):
    assert icmp.error_kind(icmp_type, code) is icmp.ErrorKind[kind]


@pytest.mark.parametrize(("icmp_type", "code"), [(3, 16), (4, 0), (5, 0), (8, 0), (0, 0), (13, 0), (255, 0)])
def test_what_is_no_error_to_a_transport(icmp_type, code):
    assert icmp.error_kind(icmp_type, code) is None


@rfc("1122", "3.2.2", "ICMP-6")
def test_quoted_datagrams_are_told_apart():
    kind = icmp.ErrorKind.HOST_UNREACHABLE
    ours = IP(src="10.0.0.2", dst="10.0.0.9", id=5)
    err = icmp.parse_quoted(kind, 1, bytes(ours / UDP(sport=1000, dport=53) / Raw(b"question")))
    assert (err.proto, err.laddr, err.lport, err.raddr, err.rport) == (17, 0x0A000002, 1000, 0x0A000009, 53)
    assert "HOST_UNREACHABLE" in repr(err)
    quoted = bytes(IPerror(bytes(ours / b"")))
    assert icmp.parse_quoted(kind, 1, quoted + bytes(7)) is None  # fewer than 8 octets
    err = icmp.parse_quoted(kind, 1, bytes(ours / ICMP(type=8, id=77, seq=3)))
    assert (err.proto, err.lport, err.seq) == (1, 77, 3)
    assert icmp.parse_quoted(kind, 1, bytes(ours / ICMP(type=0, id=77))) is None  # we made no request there
    later = IP(src="10.0.0.2", dst="10.0.0.9", frag=3, proto=17) / Raw(bytes(8))
    assert icmp.parse_quoted(kind, 1, bytes(later)) is None


def by_scapy(mss, wscale, sack_ok, ts):
    """The same options, in the same order, padded with NOP in the same places."""
    options = [("MSS", mss)]
    if sack_ok:
        options += [("SAckOK", b"")] if ts else [("NOP", None), ("NOP", None), ("SAckOK", b"")]
    elif ts:
        options += [("NOP", None), ("NOP", None)]
    if ts:
        options.append(("Timestamp", ts))
    if wscale >= 0:
        options += [("NOP", None), ("WScale", wscale)]
    return bytes(TCP(options=options))[20:]


@given(ports, st.integers(-1, 14), st.booleans(), st.none() | st.tuples(addresses, addresses))
def test_the_options_of_a_syn(mss, wscale, sack_ok, ts):
    made = tcp.pack_syn_options(mss, wscale, sack_ok, ts)
    assert made == by_scapy(mss, wscale, sack_ok, ts)
    read = tcp.parse_syn(made)
    assert (read.mss, read.wscale, read.sack_ok, read.has_ts) == (mss, wscale, sack_ok, ts is not None)
    assert (read.tsval, read.tsecr) == (ts or (0, 0))


@given(st.binary(max_size=tcp.MAX_OPTIONS))
@example(b"\x02\x04\x05")
@example(b"\x01\x01\x08")
@example(b"\x02\x01\x05\xb4")
@example(b"\x00\x02\x04\x05\xb4")
def test_any_options_of_a_segment_are_survived_and_lie_within(options):
    at = 0
    for kind, value_at, length in tcp.options_of(options):
        assert value_at - 2 >= at
        assert not any(options[at : value_at - 2].replace(b"\x01", b""))  # only NOP between them
        assert (kind, length) == (options[value_at - 2], options[value_at - 1] - 2)
        at = value_at + length
        assert at <= len(options)
    rest = options[at:].lstrip(b"\x01")
    assert len(rest) < 2 or rest[0] == 0 or rest[1] < 2 or rest[1] > len(rest)
    tcp.parse_syn(options)
