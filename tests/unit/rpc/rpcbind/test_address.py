"""Universal addresses and sockaddrs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.rpc.rpcbind.address import (
    MAX_INET,
    Endpoint,
    merged,
    pack_sockaddr,
    parse,
    parse_universal,
    to_universal,
    unpack_sockaddr,
)
from tests.support.rfc import rfc

addresses = st.ip_addresses().map(str)
ports = st.integers(0, 65535)


@given(addresses, ports)
def test_written_and_read_again(host, port):
    text = to_universal(host, port)
    assert len(text) <= MAX_INET
    assert parse_universal(text) == Endpoint(host, port)


@rfc("5665", "5.2.3.3", "R-BIND-UADDR")
@rfc("5665", "5.2.3.4", "R-BIND-UADDR6")
@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.111.0.1.0.111", Endpoint("10.111.0.1", 111)),
        ("0.0.0.0.255.255", Endpoint("0.0.0.0", 65535)),
        ("::.8.1", Endpoint("::", 2049)),
        ("2001:db8:0:0:8:800:200c:417a.2.3", Endpoint("2001:db8::8:800:200c:417a", 515)),
        ("::ffff:1.2.3.4.0.7", Endpoint("::ffff:102:304", 7)),
    ],
)
def test_as_others_write_them(text, endpoint):
    assert parse_universal(text) == endpoint


LONG = "::1%eth" + "0" * 60 + ".0.1"


NONE = ("", "1.2.3.4", "1.2.3.4.5", "1.2.3.4.5.256", "1.2.3.4.-1.5", "1.2.3.4. 1.5", "1.2.3.4.1.²", "01.2.3.4.0.1")


@pytest.mark.parametrize("text", [*NONE, "/run/x", "a.0.1", "1.2.3.4.0000.1", "1" * 1000 + ".1.1", LONG])
def test_what_is_none(text):
    with pytest.raises(ValueError, match=r"."):
        parse_universal(text)


@pytest.mark.parametrize(
    ("netid", "text"),
    [
        ("udp", "::1.0.1"),
        ("tcp6", "1.2.3.4.0.1"),
        ("local", "run/x"),
        ("local", "/" * 108),
        ("local", "/" + "é" * 54),
        ("sctp", "1.2.3.4.0.1"),
    ],
)
def test_addresses_belong_to_a_netid(netid, text):
    with pytest.raises(ValueError, match=r"."):
        parse(netid, text)


def test_paths():
    assert parse("local", "/run/rpcbind.sock") == Endpoint("/run/rpcbind.sock", 0)


@pytest.mark.parametrize(("host", "port"), [("1.2.3.4", 65536), ("1.2.3.4", -1), ("srv.test", 1)])
def test_what_cannot_be_written(host, port):
    with pytest.raises(ValueError, match=r"."):
        to_universal(host, port)


def test_everywhere_is_where_one_asked():
    assert merged("0.0.0.0.8.1", "198.18.0.2") == "198.18.0.2.8.1"
    assert merged("::.8.1", "2001:db8::1") == "2001:db8::1.8.1"
    assert merged("198.18.0.9.8.1", "198.18.0.2") == "198.18.0.9.8.1"
    assert merged("0.0.0.0.8.1", "") == "0.0.0.0.8.1"
    assert merged("::.8.1", "fe80::1%eth0") == "fe80::1.8.1"  # the scope is of this host


@given(addresses, ports)
def test_sockaddrs(host, port):
    text = to_universal(host, port)
    assert unpack_sockaddr(pack_sockaddr(text)) == text


def test_the_sockaddr_of_a_path():
    assert unpack_sockaddr(pack_sockaddr("/run/rpcbind.sock")) == "/run/rpcbind.sock"
    assert len(pack_sockaddr("/" * 107)) == 110
    with pytest.raises(ValueError, match="107"):
        pack_sockaddr("/" * 108)


@given(st.binary(max_size=40))
def test_any_sockaddr_is_read_or_refused(data):
    try:
        text = unpack_sockaddr(data)
    except ValueError:
        return
    assert len(text) <= len(data) * 4


def test_a_sockaddr_is_linux_s():
    import socket  # noqa: PLC0415  # what it says of the kernel's layout, byte for byte, is all that is wanted of it

    assert int.from_bytes(pack_sockaddr("1.2.3.4.0.111")[:2], "little") == socket.AF_INET
    assert pack_sockaddr("1.2.3.4.0.111")[2:] == bytes.fromhex("006f01020304") + bytes(8)
    assert len(pack_sockaddr("::1.0.1")) == 28
