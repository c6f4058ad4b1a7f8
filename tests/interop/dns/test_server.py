"""Our DNS server in the daemon, over a TAP device, as other programs see it, and beside NSD with the same files."""

import re
import socket
import subprocess

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest

from stack.dns import zonefile
from stack.dns.errors import ZoneError
from stack.dns.names import Name
from stack.dns.server import load_zone
from tests.support import dns_zones
from tests.support.dns_hierarchy import probe
from tests.support.dns_servers import written
from tests.support.dns_zones import OURS, ROOT, UNBOUND
from tests.support.netns import HOST, STACK, Daemon, Namespace, need, tapstack, wait_until
from tools.netns import stop

pytestmark = [pytest.mark.netns, pytest.mark.interop]

ODD_ZONE = """
$TTL 1h
@ SOA ns hostmaster ( 7 1h 15m 1w 5m )
@ NS ns
@ NS ns.example.test.
ns A 192.0.2.1
* TXT "this is a wildcard"
* MX 10 host1
sub.* TXT "this is not a wildcard"
host1 A 192.0.2.2
_ssh._tcp.host1 SRV 0 0 22 host1
_ssh._tcp.host2 SRV 0 0 22 host2
subdel NS ns.example.com.
subdel NS ns.example.net.
cut NS ns.cut
cut NS ns.sibling
cut TXT "hidden"
ns.cut A 192.0.2.3
ns.cut AAAA 2001:db8::3
deep.cut A 192.0.2.4
under.ns.cut A 192.0.2.4
sibling NS ns.sibling
ns.sibling A 192.0.2.5
signed NS ns.signed
signed DS 4711 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.signed A 192.0.2.6
empty.non.terminal A 192.0.2.7
d DNAME target
d TXT "beside"
target A 192.0.2.8
a.target A 192.0.2.9
*.b.target TXT "wild"
toself DNAME target.toself
away DNAME example.test.
*.alias CNAME a.target
*.nowhere CNAME missing.host1
*.out CNAME www.example.test.
into CNAME deep.cut
cc1 CNAME cc2
cc2 CNAME cc3
cc3 CNAME host1
ring1 CNAME ring2
ring2 CNAME ring1
MiXeD.CaSe A 192.0.2.10
mixed.case A 192.0.2.11
ttls 5 A 192.0.2.12
"""
ZONES = {
    "example.test": dns_zones.EXAMPLE_ZONE,
    "test": dns_zones.TEST_ZONE,
    "0.53.10.in-addr.arpa": dns_zones.REVERSE_ZONE,
    "odd.example": ODD_ZONE,
    ".": dns_zones.ROOT_ZONE + "odd.example. NS ns.odd.example.\nns.odd.example. A 192.0.2.1\n",
}
TYPES = ("A", "AAAA", "NS", "SOA", "CNAME", "DNAME", "MX", "TXT", "SRV", "DS", "NSEC", "TYPE65280")
PROGRAMS = ("dig", "kdig", "drill", "delv", "nsd", "dnsperf", "named-compilezone", "named-checkzone", "unshare")


def zone_table(files):
    return "[dns.zones]\n" + "".join(f'"{name}" = "{file}"\n' for name, file in files.items())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    need(*PROGRAMS)
    folder = tmp_path_factory.mktemp("zones")
    made = {name: folder / f"{name.strip('.') or 'root'}.zone" for name in ZONES}
    for name, file in made.items():
        file.write_text(ZONES[name])
    return made


@pytest.fixture(scope="module")
def served(files, tmp_path_factory):
    """A namespace with our daemon, and NSD at the kernel's address of its device, both with all zones."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "tapstack.toml").write_text("[dns]\n" + zone_table(files))
    with Namespace() as namespace, Daemon(namespace, folder, "--config", str(folder / "tapstack.toml")) as daemon:
        daemon.settle()
        namespace.start(*nsd(folder, files), log=folder / "nsd.log")
        with namespace.entered():
            wait_until(lambda: probe(HOST, "test", tcp=True) and probe(HOST, "test", tcp=False), "NSD answers")
        yield daemon


def nsd(folder, files):
    lines = ["server:", f"  ip-address: {HOST}", '  username: ""', '  chroot: ""', f'  zonesdir: "{folder}"']
    lines += ['  database: ""', f'  pidfile: "{folder}/nsd.pid"', f'  xfrdfile: "{folder}/xfrd.state"']
    lines += [f'  zonelistfile: "{folder}/zone.list"', f'  xfrdir: "{folder}"', "  server-count: 1"]
    lines += ["  rrl-ratelimit: 0", "remote-control:", "  control-enable: no"]
    for name, file in files.items():
        lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{file}"']
    return "nsd", "-d", "-c", written(folder / "nsd.conf", lines)


# -- the same files, the same questions


def names_to_ask(name, text):
    """Every name of a zone, what is between, beside, above and below them."""
    origin = Name.parse(name)
    asked = {origin}
    for record in zonefile.parse(text, origin):
        above = record.name
        while above.is_within(origin):
            asked.add(above)
            asked.add(Name.of([b"zz"], above))
            if above.labels:
                asked.add(Name.of([b"zz"], above.parent()))
                asked.add(Name.of([b"a", b"*"], above.parent()))
            if above == origin:
                break
            above = above.parent()
    return sorted(asked, key=lambda one: one.key)


def questions(name, rrtypes=TYPES):
    return [
        dns.message.make_query(str(one), rrtype, use_edns=0, payload=1232, flags=0)
        for one in names_to_ask(name, ZONES[name])
        for rrtype in rrtypes
    ]


def ask_all(address, asked):
    """The reply to each, over one socket."""
    replies = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((address, 53))
        for query in asked:
            sock.send(query.to_wire())
            replies.append(dns.message.from_wire(sock.recv(65535)))
    return replies


def records(section):
    """A set of (owner, type, TTL, data) whatever the order and the case."""
    return {
        (rrset.name.to_text().lower(), rrset.rdtype, rrset.ttl, rdata.to_text().lower())
        for rrset in section
        for rdata in rrset
    }


def summary(reply):
    """What must be the same: all but addresses beside an answer, and the servers of the zone that NSD adds to it."""
    is_referral = not reply.flags & dns.flags.AA and reply.rcode() == 0
    authority = {one for one in records(reply.authority) if is_referral or one[1] != dns.rdatatype.NS}
    return (
        dns.rcode.to_text(reply.rcode()),
        dns.flags.to_text(reply.flags),
        records(reply.answer),
        authority,
        records(reply.additional) if is_referral else None,
    )


@pytest.mark.parametrize("name", ZONES)
def test_nsd_says_the_same_to_every_question(served, name):
    asked = questions(name)
    with served.namespace.entered():
        ours, theirs = ask_all(STACK, asked), ask_all(HOST, asked)
    different = [
        f"{query.question[0]}\n  ours: {summary(our)}\n  NSD:  {summary(their)}"
        for query, our, their in zip(asked, ours, theirs, strict=True)
        if summary(our) != summary(their)
    ]
    assert not different, f"{len(different)} of {len(asked)}\n" + "\n".join(different[:10])


def test_any_is_one_set_or_over_tcp_everything(served):
    def types(*options):
        out = said(served, "dig", f"@{STACK}", *options, "+noall", "+answer", "www.example.test", "ANY")
        return {line.split()[3] for line in out}

    assert types("+tcp") == {"A", "AAAA", "TXT", "HINFO", "SSHFP"}
    assert len(types("+notcp")) == 1


# -- the programs


def said(daemon, *command):
    """The lines that a program prints, sorted; without comments, with single blanks."""
    lines = daemon.namespace.run(*command).stdout.splitlines()
    return sorted(" ".join(line.split()) for line in lines if line and not line.startswith(";"))


THREE = [f"three.example.test. 300 IN A 10.53.0.{last}" for last in (61, 62, 63)]


@pytest.mark.parametrize(
    "command",
    [
        ("dig", f"@{STACK}", "+noall", "+answer", "three.example.test"),
        ("dig", f"@{STACK}", "+tcp", "+noall", "+answer", "ThReE.eXaMpLe.TeSt"),
        ("dig", f"@{STACK}", "+nocookie", "+noedns", "+noall", "+answer", "three.example.test"),
        ("kdig", f"@{STACK}", "+noall", "+answer", "three.example.test"),
        ("kdig", f"@{STACK}", "+tcp", "+keepopen", "+cookie", "+noall", "+answer", "three.example.test"),
        ("drill", "-Q", "three.example.test", f"@{STACK}"),
        ("delv", f"@{STACK}", "-i", "+noroot", "three.example.test"),
    ],
    ids=" ".join,
)
def test_dig_kdig_drill_and_delv_get_the_answer(served, command):
    lines = [line.lower() for line in said(served, *command)]
    if command[0] == "drill":  # prints data only
        assert lines == ["10.53.0.61", "10.53.0.62", "10.53.0.63"]
    else:
        assert lines == [line.lower() for line in THREE]


def test_a_large_answer_is_cut_and_had_over_tcp(served):
    lines = said(served, "dig", f"@{STACK}", "+noall", "+answer", "big.example.test", "TXT")
    assert len(lines) == dns_zones.BIG_RRS
    out = served.namespace.run("dig", f"@{STACK}", "+ignore", "big.example.test", "TXT").stdout
    assert re.search(r"flags: qr aa rd tc;", out) or re.search(r"flags: qr aa tc rd;", out)


def test_dig_takes_our_cookie(served):
    first = served.namespace.run("dig", f"@{STACK}", "+cookie=0123456789abcdef", "www.example.test").stdout
    cookie = re.search(r"COOKIE: 0123456789abcdef([0-9a-f]{32}) \(good\)", first)
    assert cookie, first
    again = served.namespace.run("dig", f"@{STACK}", f"+cookie=0123456789abcdef{cookie[1]}", "www.example.test").stdout
    assert f"0123456789abcdef{cookie[1]} (good)" in again


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("+edns=1", "+noednsneg", "www.example.test"), "BADVERS"),
        (("+opcode=notify", "www.example.test"), "NOTIMP"),
        (("+opcode=update", "www.example.test"), "NOTIMP"),
        (("www.example.test", "CH", "TXT"), "REFUSED"),
        (("www.example.net.example.test",), "NXDOMAIN"),
        (("+ednsopt=65001:00", "www.example.test"), "NOERROR"),
        (("+header-only", "+nocookie"), "FORMERR"),
        (("+header-only",), "NOERROR"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_what_dig_is_told_of_odd_questions(served, options, status):
    out = served.namespace.run("dig", f"@{STACK}", "+nobadcookie", *options, check=False).stdout
    assert f"status: {status}," in out.rpartition(";; Got answer")[2], out


@pytest.mark.parametrize("mode", ["udp", "tcp"])
def test_dnsperf_loses_nothing(served, tmp_path, mode):
    names = tmp_path / "names"
    asked = [f"{name} {rrtype}" for name, rrtype in dns_zones.ANSWERED + dns_zones.NODATA + dns_zones.MISSING]
    names.write_text("\n".join(asked) + "\n")
    out = served.namespace.run(
        "dnsperf", "-s", STACK, "-d", str(names), "-m", mode, "-l", "3", "-c", "4", "-q", "50"
    ).stdout
    sent, completed = (int(re.search(rf"Queries {word}: +(\d+)", out)[1]) for word in ("sent", "completed"))
    lost = int(re.search(r"Queries lost: +(\d+)", out)[1])
    assert (completed, lost) == (sent, 0), out
    assert sent > 1000
    codes = re.search(r"Response codes: +(.*)", out)[1]
    assert re.search(r"NOERROR \d+", codes)
    assert re.search(r"NXDOMAIN \d+", codes)


def test_the_status_shows_it(served):
    served.namespace.run("dig", f"@{STACK}", "www.example.test")
    text = served.command("status")
    assert re.search(r"answered noerror +\d+", text)
    assert "zone example.test." in text


# -- master files


def compiled(file, name, folder):
    """What named-compilezone makes of a file: all records; None if it refuses the file."""
    out = folder / "compiled"
    command = ("named-compilezone", "-k", "ignore", "-i", "none", "-s", "full", "-o", str(out), name, str(file))
    if subprocess.run(command, capture_output=True, timeout=30, check=False).returncode:
        return None
    zone = dns.zone.from_file(str(out), origin=name, relativize=False, check_origin=False)
    return {
        (owner.to_text().lower(), ttl, int(data.rdtype), data.to_wire(origin=dns.name.root))
        for owner, ttl, data in zone.iterate_rdatas()
    }


def loaded(file, name):
    """The same of ours."""
    zone = load_zone(file, name)
    return {(str(one.name).lower(), one.ttl, one.rrtype, raw) for one in zone.rrsets for raw in one.raws}


@pytest.mark.parametrize("name", ZONES)
def test_named_compilezone_reads_the_same(files, name, tmp_path):
    assert loaded(files[name], name) == compiled(files[name], name, tmp_path)


HEAD = "$TTL 300\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
GOOD_LINES = (
    "a A 192.0.2.1 ; a comment",
    "a 1h30m IN A 192.0.2.1",
    "a IN 1w A 192.0.2.1",
    'a TXT "a;b" c\\;d "e\\"f" \\100',
    "a TXT ( one\n two ; three\n )",
    "a TXT one\n  TXT two\n 5 TXT three",
    "$ORIGIN sub\na A 192.0.2.1\n$ORIGIN deeper\n@ A 192.0.2.2",
    "$TTL 1d\na A 192.0.2.1",
    "a TYPE65280 \\# 4 00010203",
    "a TYPE1 \\# 4 c0000201",
    "a\\.b A 192.0.2.1",
    "\\101bc A 192.0.2.1",
    "*.x A 192.0.2.1",
    'a SVCB 1 . alpn="h2,h3" port=53',
    "a CNAME b",
    "a HINFO PDP-11 UNIX",
    "c CNAME ns\n@ MX 1 c\nsub NS c",
)
BAD_LINES = (
    "a A 192.0.2.256",
    "a A",
    "a A 192.0.2.1 192.0.2.2",
    "a MX mail",
    "a NOTYPE x",
    "a CH TXT x",
    "a TXT (",
    "a TXT )",
    'a TXT "x',
    "a..b A 192.0.2.1",
    "a CNAME b\na A 192.0.2.1",
    "a CNAME b\na CNAME c",
    "$ORIGIN",
    "$INCLUDE not-there.inc",
    "$NONSENSE x",
    "a TYPE65280 \\# 4 0001",
    f"{'x' * 64} A 192.0.2.1",
    "@ SOA a b 1 2 3 4 6",
)


@pytest.mark.parametrize("line", GOOD_LINES + BAD_LINES)
def test_what_named_compilezone_takes_and_refuses(line, tmp_path):
    need("named-compilezone")
    file = tmp_path / "odd.zone"
    file.write_text(HEAD + line + "\n")
    theirs = compiled(file, "odd.example", tmp_path)
    if line in BAD_LINES:
        assert theirs is None
        with pytest.raises(ZoneError, match=r"odd\.zone:\d+: "):
            load_zone(file, "odd.example")
        return
    assert loaded(file, "odd.example") == theirs


# -- for programs of the kernel


def test_transfers_are_refused(served):
    assert "Transfer failed" in served.namespace.run("dig", f"@{STACK}", "example.test", "AXFR", check=False).stdout


def resolv_conf(folder, address):
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {address}\noptions timeout:2 attempts:2\n")
    return file


def getent(namespace, folder, address, database, *names):
    """What the C library finds with `address` as the only server."""
    script = 'mount --bind "$1" /etc/resolv.conf && shift && exec getent "$@"'
    command = ("unshare", "-m", "sh", "-c", script, "sh", str(resolv_conf(folder, address)), database, *names)
    return [line.split() for line in namespace.run(*command, check=False).stdout.splitlines()]


def test_getent_with_our_server_in_resolv_conf(served, tmp_path):
    space = served.namespace
    assert getent(space, tmp_path, STACK, "ahostsv4", "www.example.test")[0][0] == "10.53.0.51"
    assert getent(space, tmp_path, STACK, "hosts", "alias.example.test")[0][1] == "www.example.test"
    assert getent(space, tmp_path, STACK, "hosts", "10.53.0.51") == [["10.53.0.51", "www.example.test"]]
    assert getent(space, tmp_path, STACK, "hosts", "missing.example.test") == []


WAYS = {"forward": f'forward = ["{UNBOUND}"]\n', "iterate": f'iterate = true\nhints = ["{ROOT}"]\n'}


@pytest.fixture(params=WAYS)
def resolving(request, hierarchy, tmp_path):
    """Our daemon in the bridge of the hierarchy, as a resolver service."""
    space = hierarchy.switch
    (tmp_path / "tapstack.toml").write_text(f"[dns]\n{WAYS[request.param]}")
    command = tapstack(
        *("up", "--dev", "tap0", "--address", f"{OURS}/24", "--host-address", "10.53.0.41"),
        *("--config", str(tmp_path / "tapstack.toml"), "--control", str(tmp_path / "control.sock")),
    )
    process = space.start(*command, log=tmp_path / "log")
    try:
        with hierarchy.client.entered():
            wait_until(lambda: probe(OURS, "www.example.test", tcp=True), f"it answers: {tmp_path / 'log'}", 30)
        yield hierarchy.client
    finally:
        stop(process)
        space.ip("link set tap0 master br0 up")


def test_as_a_resolver_for_the_kernels_programs(resolving, tmp_path):
    assert getent(resolving, tmp_path, OURS, "ahostsv4", "www.example.test")[0][0] == "10.53.0.51"
    assert getent(resolving, tmp_path, OURS, "ahostsv4", "alias.example.test")[0][0] == "10.53.0.51"
    assert getent(resolving, tmp_path, OURS, "hosts", "10.53.0.51")[0][1] == "www.example.test"
    assert getent(resolving, tmp_path, OURS, "hosts", "missing.example.test") == []
    assert getent(resolving, tmp_path, OURS, "hosts", "www.lame.test") == []


def test_as_a_resolver_it_says_what_unbound_says(resolving):
    asked = [
        dns.message.make_query(name, rrtype, use_edns=0, payload=1232)
        for name, rrtype in dns_zones.ANSWERED + dns_zones.NODATA + dns_zones.MISSING + dns_zones.FAILING
    ]
    with resolving.entered():
        ours, theirs = ask_all(OURS, asked), ask_all(UNBOUND, asked)
    for query, our, their in zip(asked, ours, theirs, strict=True):
        if their.flags & dns.flags.TC:
            assert our.flags & dns.flags.TC
            continue
        assert our.flags & dns.flags.RA
        assert (query.question, our.rcode()) == (query.question, their.rcode())
        assert {one[:2] + one[3:] for one in records(our.answer)} == {
            one[:2] + one[3:] for one in records(their.answer)
        }


def test_signed_zones_are_read_as_named_compilezone_reads_them(hierarchy, tmp_path):
    signed = sorted((hierarchy._folder / "zones").glob("*.signed"))
    assert len(signed) == 5
    for file in signed:
        name = "." if file.stem == "root" else file.stem
        ours = loaded(file, name)
        assert ours == compiled(file, name, tmp_path)
        assert {dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.DNSKEY} <= {rrtype for _, _, rrtype, _ in ours}
