from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP

from stack.ip.forward import needs_fragmenting, refusal
from stack.stats import DropReason
from stack.wire.addr import parse_addr
from stack.wire.passing import decrement_ttl
from tests.support.rfc import rfc


@rfc("1812", "5.3.1", "RTR-1")
@given(st.integers(1, 255), st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF))
def test_the_checksum_after_a_decrement_is_the_one_computed_anew(ttl, proto, ident, src):
    old = IP(bytes(IP(ttl=ttl, proto=proto, id=ident, src=".".join(map(str, src.to_bytes(4, "big"))))))
    header = bytearray(b"LINK" + bytes(old))
    decrement_ttl(header, 4)
    new = old.copy()
    new.ttl = ttl - 1
    del new.chksum
    assert bytes(header[4:]) == bytes(new)


@rfc("1812", "5.3.7", "RTR-4")
@rfc("1812", "5.3.5", "RTR-6")
def test_what_is_not_forwarded():
    broadcasts = frozenset({parse_addr("10.0.0.255")})

    def why(dst, ttl=64):
        return refusal(parse_addr(dst), ttl, broadcasts)

    assert why("198.18.5.5") == 0
    assert why("198.18.5.5", 2) == 0
    assert why("198.18.5.5", 1) == DropReason.IP_TTL_EXPIRED
    assert why("198.18.5.5", 0) == DropReason.IP_TTL_EXPIRED
    assert why("10.0.0.255") == DropReason.IP_FORWARD_FORBIDDEN
    for martian in ("255.255.255.255", "224.0.0.9", "127.0.0.1", "0.1.2.3", "240.0.0.1"):
        assert why(martian) == DropReason.IP_MARTIAN_DESTINATION


@rfc("1812", "4.2.2.7", "RTR-7")
def test_a_super_segment_is_measured_by_its_pieces():
    assert not needs_fragmenting(60_000, 40, 1448, 1500)
    assert needs_fragmenting(60_000, 52, 1449, 1500)
    assert needs_fragmenting(1501, 0, 0, 1500)
    assert not needs_fragmenting(1500, 0, 0, 1500)
