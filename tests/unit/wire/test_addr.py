import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import ConfigError, InvalidAddress
from stack.wire import addr
from tests.support.rfc import rfc

addresses = st.integers(0, 0xFFFF_FFFF)


@given(addresses)
def test_text_and_back_as_the_library_does(value):
    text = addr.format_addr(value)
    assert text == str(ipaddress.IPv4Address(value))
    assert addr.parse_addr(text) == value
    assert addr.addr_from_bytes(addr.addr_to_bytes(value)) == value


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "01.2.3.4", "1.2.3.٣", " 1.2.3.4", "a.b.c.d"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InvalidAddress):
        addr.parse_addr(text)


@given(addresses, st.integers(0, 32))
def test_masks_and_broadcasts_as_the_library_has_them(value, prefix_len):
    network = ipaddress.IPv4Network((value, prefix_len), strict=False)
    assert addr.prefix_mask(prefix_len) == int(network.netmask)
    broadcast = 0 if prefix_len >= 31 else int(network.broadcast_address)
    assert addr.subnet_broadcast(value, prefix_len) == broadcast
    assert addr.parse_cidr(addr.format_cidr(value, prefix_len)) == (value, prefix_len)


@pytest.mark.parametrize("text", ["1.2.3.4/", "1.2.3.4/33", "1.2.3.4/x", "1.2.3.4/-1", "1.2.3/8"])
def test_what_is_no_prefix_is_refused(text):
    with pytest.raises(InvalidAddress):
        addr.parse_cidr(text)


def test_what_is_no_network_is_refused():
    assert addr.parse_network("10.0.0.0/8") == (0x0A00_0000, 8)
    assert addr.parse_network("10.0.0.1/32") == (0x0A00_0001, 32)
    with pytest.raises(ConfigError, match=r"10.1.0.5/24 is no network: write 10.1.0.0/24"):
        addr.parse_network("10.1.0.5/24")
    with pytest.raises(ConfigError, match="has no prefix length"):
        addr.parse_network("10.1.0.0")
    with pytest.raises(InvalidAddress, match="IPv4 only"):
        addr.parse_network("fe80::/64")


@rfc("1122", "3.2.1.3", "IP-3")
@rfc("1812", "5.3.7", "RTR-4")
@given(addresses)
def test_unicast_is_what_one_host_may_have(value):
    a = ipaddress.IPv4Address(value)
    first = value >> 24
    assert addr.is_unicast(value) == (first not in (0, 127) and first < 224)
    assert addr.is_multicast(value) == a.is_multicast
    assert addr.is_loopback(value) == a.is_loopback


def test_the_benchmark_network_is_ordinary():
    assert addr.is_unicast(addr.parse_addr("198.18.0.1"))
    assert addr.is_unicast(addr.parse_addr("198.19.255.255"))


def test_link_addresses():
    mac = addr.parse_mac("02:00:5e:10:00:ff")
    assert addr.parse_mac("02-00-5E-10-00-FF") == mac
    assert addr.format_mac(mac) == "02:00:5e:10:00:ff"
    assert addr.multicast_mac(addr.parse_addr("239.129.1.2")) == addr.parse_mac("01:00:5e:01:01:02")
    assert addr.is_group_mac(addr.MAC_BROADCAST)
    assert not addr.is_group_mac(mac)
    for text in ("", "02:00", "02:00:00:00:00:0g", "02:00:00:00:00:001"):
        with pytest.raises(InvalidAddress):
            addr.parse_mac(text)
