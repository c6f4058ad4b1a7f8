"""What the servers of the hierarchy do, without anything of ours: the facts that the tests beside this one stand on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dns.edns
import dns.exception
import pytest

from tests.support import dns_wire as wire
from tests.support.dns_hierarchy import Hierarchy, Signer
from tests.support.dns_zones import (
    ANSWERED,
    AUTH,
    BIG_RRS,
    BIND,
    DNSMASQ,
    FAILING,
    MISSING,
    NODATA,
    PDNS,
    ROOT,
    TLD,
    UNBOUND,
)
from tools import netns
from tools.netns import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.interop]
VALIDATING = {"unbound": UNBOUND, "bind": BIND}
RESOLVERS = VALIDATING | {"pdns": PDNS, "dnsmasq": DNSMASQ}
BUILD_S = 30.0  # generous: it takes half a second on an idle machine
COOKIE = bytes(range(8))

every_resolver = pytest.mark.parametrize("address", RESOLVERS.values(), ids=RESOLVERS)
every_validator = pytest.mark.parametrize("address", VALIDATING.values(), ids=VALIDATING)


def dig(hierarchy: Hierarchy, address: str, *arguments: str) -> str:
    return hierarchy.client.run("dig", f"@{address}", "+noall", "+answer", "+comments", *arguments).stdout


def cookies(reply) -> list[bytes]:
    return [option.to_wire() for option in reply.options if option.otype == dns.edns.OptionType.COOKIE]


def namespaces(pid: int = os.getpid()) -> set[str]:
    """Those of one process, which has others beside it."""
    names = {line.split()[0] for line in subprocess.check_output(["ip", "netns"], text=True).splitlines()}
    return {name for name in names if name.startswith(f"tapstack-{pid}-")}


def test_it_is_built_in_seconds(hierarchy):
    assert hierarchy.built_s < BUILD_S


@every_validator
@pytest.mark.parametrize(
    "name", ["www.example.test", "alias.example.test", "x.wild.example.test", "www.d.example.test"]
)
def test_the_chain_of_trust_is_whole(hierarchy, address, name):
    assert "AD" in wire.flags(wire.ask_udp(hierarchy.client, address, wire.query(name, "A", want_dnssec=True)))


@every_validator
def test_what_is_not_signed_is_not_authentic(hierarchy, address):
    """The control."""
    reply = wire.ask_udp(hierarchy.client, address, wire.query("www.glueless.test", "A", want_dnssec=True))
    assert wire.texts(reply.answer) == ["10.53.0.101"]
    assert "AD" not in wire.flags(reply)


@every_resolver
def test_every_name_of_the_zones_resolves(hierarchy, address):
    for name, rrtype in ANSWERED:
        reply = wire.ask_udp(hierarchy.client, address, wire.query(name, rrtype))
        if "TC" in wire.flags(reply):
            reply = wire.ask_tcp(hierarchy.client, address, wire.query(name, rrtype))
        assert (wire.rcode(reply), bool(reply.answer)) == ("NOERROR", True), (name, rrtype)


@every_resolver
def test_what_is_not_there_is_denied(hierarchy, address):
    for cases, expected in ((NODATA, "NOERROR"), (MISSING, "NXDOMAIN"), (FAILING, "SERVFAIL")):
        for name, rrtype in cases:
            reply = wire.ask_udp(hierarchy.client, address, wire.query(name, rrtype))
            if address == PDNS and name.startswith("loop1"):
                continue  # it hands out the loop as it is
            assert wire.rcode(reply) == expected, (name, rrtype)
            assert not [rrset for rrset in reply.answer if rrset.rdtype not in {5, 39}], (name, rrtype)


@every_resolver
def test_a_chain_of_three_comes_whole(hierarchy, address):
    lines = [
        line.split() for line in dig(hierarchy, address, "alias.example.test").splitlines() if line and line[0] != ";"
    ]
    assert [line[3:] for line in lines] == [
        ["CNAME", "chain1.example.test."],
        ["CNAME", "chain2.example.test."],
        ["CNAME", "www.example.test."],
        ["A", "10.53.0.51"],
    ]


@every_resolver
def test_a_dname_is_synthesised(hierarchy, address):
    reply = wire.ask_udp(hierarchy.client, address, wire.query("deep.er.d.example.test", "TXT"))
    assert wire.texts(reply.answer) == sorted(
        ["target.example.test.", "deep.er.target.example.test.", '"below a DNAME"']
    )


def test_kdig_sees_the_reverse_zone(hierarchy):
    assert hierarchy.client.run("kdig", f"@{UNBOUND}", "-x", "10.53.0.51", "+short").stdout == "www.example.test.\n"


@pytest.mark.parametrize("address", [AUTH, UNBOUND, BIND, DNSMASQ])
@pytest.mark.parametrize("size", [512, 1232])
def test_what_does_not_fit_is_truncated_and_whole_over_tcp(hierarchy, address, size):
    asked = wire.query("big.example.test", "TXT", payload=size)
    assert "TC" in wire.flags(wire.ask_udp(hierarchy.client, address, asked))
    reply = wire.ask_tcp(hierarchy.client, address, asked)
    assert "TC" not in wire.flags(reply)
    assert len(wire.texts(reply.answer)) == BIG_RRS
    assert len(reply.to_wire()) > 6500


def test_dig_falls_back_to_tcp(hierarchy):
    out = dig(hierarchy, UNBOUND, "big.example.test", "TXT")
    assert "Truncated, retrying in TCP mode" in out
    assert f"ANSWER: {BIG_RRS}," in out


def test_unbound_answers_pipelined_queries_out_of_order(hierarchy):
    """The first has to wait for a server that is silent, the others are in the cache."""
    quick = [wire.query(name, "A") for name in ("www.example.test", "mail.example.test")]
    for asked in quick:
        wire.ask_udp(hierarchy.client, UNBOUND, asked)
    slow = wire.query("pipelined.glueless.test", "TXT")  # not signed: nothing that is known denies it
    with wire.Stream(hierarchy.client, UNBOUND) as stream:
        with hierarchy.servers["auth"].frozen():
            stream.send(slow, *quick)
            first = [stream.receive().id, stream.receive().id]
        assert sorted(first) == sorted(asked.id for asked in quick)
        assert stream.receive().id == slow.id


def test_knot_wants_its_cookie_first(hierarchy):
    asked = wire.query("test", "SOA", options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, COOKIE)])
    refused = wire.ask_udp(hierarchy.client, TLD, asked)
    assert (wire.rcode(refused), refused.answer) == ("BADCOOKIE", [])
    (cookie,) = cookies(refused)
    assert cookie[:8] == COOKIE
    assert len(cookie) == 8 + 16
    again = wire.query("test", "SOA", options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)])
    assert wire.rcode(wire.ask_udp(hierarchy.client, TLD, again)) == "NOERROR"
    assert wire.rcode(wire.ask_tcp(hierarchy.client, TLD, asked)) == "NOERROR"  # the handshake proves the address
    assert wire.rcode(wire.ask_udp(hierarchy.client, TLD, wire.query("test", "SOA"))) == "NOERROR"


def test_nsd_ignores_cookies_and_bind_returns_them(hierarchy):
    option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, COOKIE)
    assert cookies(wire.ask_udp(hierarchy.client, ROOT, wire.query(".", "SOA", options=[option]))) == []
    (cookie,) = cookies(wire.ask_udp(hierarchy.client, AUTH, wire.query("example.test", "SOA", options=[option])))
    assert cookie[:8] == COOKIE


@pytest.mark.parametrize("address", [ROOT, TLD, AUTH, *RESOLVERS.values()])
def test_every_server_echoes_the_case_of_the_question(hierarchy, address):
    reply = wire.ask_udp(hierarchy.client, address, wire.query("wWw.eXaMpLe.TesT", "A"))
    assert str(reply.question[0].name) == "wWw.eXaMpLe.TesT."


def test_bind_answers_with_the_case_of_the_zone_file(hierarchy):
    reply = wire.ask_udp(hierarchy.client, AUTH, wire.query("uPPer.example.test", "A"))
    assert str(reply.question[0].name) == "uPPer.example.test."
    assert str(reply.answer[0].name) == "UPPER.example.test."


def test_the_root_and_the_top_level_refer(hierarchy):
    for server, glue in ((ROOT, {TLD}), (TLD, {"10.53.0.3", "10.53.0.33"})):
        reply = wire.ask_udp(hierarchy.client, server, wire.query("www.example.test", "A"))
        assert (wire.rcode(reply), reply.answer, "AA" in wire.flags(reply)) == ("NOERROR", [], False)
        assert set(wire.texts(reply.additional)) == glue
    reply = wire.ask_udp(hierarchy.client, TLD, wire.query("www.glueless.test", "A"))
    assert (wire.texts(reply.authority), reply.additional) == (["ns.elsewhere.arpa."], [])


def test_a_lame_server_refuses(hierarchy):
    assert wire.rcode(wire.ask_udp(hierarchy.client, AUTH, wire.query("www.lame.test", "A"))) == "REFUSED"


def test_unbound_hands_out_stale_answers_with_a_ttl_of_30(hierarchy):
    asked = wire.query("stale.brief.test", "A")
    wire.ask_udp(hierarchy.client, UNBOUND, asked)
    with hierarchy.servers["auth"].stopped():
        # expired or not by now: it answers, at the latest when its own tries have failed
        wire.wait_for_ttl(hierarchy.client, UNBOUND, asked, 30)


def test_a_silent_server_is_a_timeout(hierarchy):
    with hierarchy.servers["root"].frozen(), pytest.raises(TimeoutError):
        wire.ask_udp(hierarchy.client, ROOT, wire.query(".", "SOA"), 0.2)
    assert wire.rcode(wire.ask_udp(hierarchy.client, ROOT, wire.query(".", "SOA"))) == "NOERROR"


def test_nothing_is_left_after_a_failure_in_use(hierarchy, tmp_path):
    before = namespaces()
    pids = []
    with pytest.raises(ZeroDivisionError), Hierarchy(tmp_path) as other:
        pids = [server.process.pid for server in other.servers.values()]
        assert namespaces() > before
        raise ZeroDivisionError
    assert namespaces() == before
    assert len(pids) == 7
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_nothing_is_left_after_a_failure_to_build(hierarchy, tmp_path, monkeypatch):
    before = namespaces()
    monkeypatch.setattr(Signer, "zones", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError), Hierarchy(tmp_path):
        pass
    assert namespaces() == before


@pytest.mark.parametrize("when", ["while it is built", "when it stands"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_it_is_told_to_end(hierarchy, when, how):
    command = [sys.executable, "-m", "tests.support.dns_hierarchy"]
    with subprocess.Popen(command, cwd=netns.ROOT, env=netns.ENVIRONMENT, stdout=subprocess.PIPE, text=True) as keeper:
        try:
            if when == "when it stands":
                assert "built in" in keeper.stdout.readline()
            wait_until(lambda: len(namespaces(keeper.pid)) > 1, "it has namespaces")
            keeper.send_signal(how)
            keeper.send_signal(how)  # who is impatient does not keep it from cleaning up
            assert keeper.wait(30) == 0
        finally:
            keeper.kill()
        assert namespaces(keeper.pid) == set()
