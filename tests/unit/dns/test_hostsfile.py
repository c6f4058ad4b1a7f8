"""The hosts file."""

from ipaddress import ip_address

import pytest

from stack.dns import hostsfile
from stack.dns.constants import RRType
from stack.dns.names import Name
from stack.dns.rdata import AAAA, A


def found(table, name, rrtype):
    rrset = table.get((Name.parse(name).key, rrtype))
    return None if rrset is None else [str(rdata) for rdata in rrset.rdatas]


TABLE = hostsfile.parse(
    "127.0.0.1\tlocalhost\n"
    "10.0.0.5  server.example.test Server  # the one in the cellar\n"
    "10.0.0.6 server\n"
    "2001:db8::5 server.example.test\n"
    "10.0.0.5 again\n"
    "#10.0.0.7 commented\n"
)


def test_addresses_of_names():
    assert found(TABLE, "server.example.test", RRType.A) == ["10.0.0.5"]
    assert found(TABLE, "SERVER", RRType.A) == ["10.0.0.5", "10.0.0.6"]
    assert found(TABLE, "server.example.test", RRType.AAAA) == ["2001:db8::5"]
    assert found(TABLE, "server", RRType.AAAA) is None
    assert found(TABLE, "commented", RRType.A) is None
    rrset = TABLE[Name.parse("server").key, RRType.A]
    assert rrset.rdatas == (A("10.0.0.5"), A("10.0.0.6"))
    assert TABLE[Name.parse("server.example.test").key, RRType.AAAA].rdatas == (AAAA("2001:db8::5"),)


def test_names_of_addresses_are_the_first_of_their_lines():
    assert found(TABLE, "5.0.0.10.in-addr.arpa", RRType.PTR) == ["server.example.test.", "again."]
    assert found(TABLE, str(hostsfile.reverse_name(ip_address("2001:db8::5"))), RRType.PTR) == ["server.example.test."]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "10.0.0.1",
        "10.0.0 short",
        "010.0.0.1 octal",
        "fe80::1%eth0 scoped",
        "name 10.0.0.1",
        "10.0.0.1 " + "a" * 64,
        "10.0.0.1 a..b",
        "\0 \xff",
    ],
)
def test_what_is_wrong_is_passed_over(line):
    table = hostsfile.parse(f"{line}\n10.0.0.2 good\n")
    assert {key for key, _ in table} == {Name.parse("good").key, Name.parse("2.0.0.10.in-addr.arpa").key}


def test_one_bad_name_spoils_no_others():
    table = hostsfile.parse("10.0.0.1 a..b good\n")
    assert found(table, "good", RRType.A) == ["10.0.0.1"]
    assert found(table, "1.0.0.10.in-addr.arpa", RRType.PTR) == ["good."]


def test_it_is_bounded(monkeypatch):
    monkeypatch.setattr(hostsfile, "MAX_ENTRIES", 10)
    assert len(hostsfile.parse("".join(f"10.0.0.{i} h{i}\n" for i in range(100)))) == 10
