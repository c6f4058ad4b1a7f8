"""The zones of the DNS hierarchy of tests/support/dns_hierarchy.py, as master files, and what can be asked of them.

Root (NSD), `test.` and `arpa.` (Knot, with cookies) and the leaf zones (BIND).  All but glueless.test and brief.test
are signed, by keys that are made for each run; lame.test is delegated, and nobody serves it.
"""

from typing import Final

ROOT, TLD, AUTH, AUTH_TOO = "10.53.0.1", "10.53.0.2", "10.53.0.3", "10.53.0.33"
UNBOUND, BIND, PDNS, DNSMASQ = "10.53.0.10", "10.53.0.11", "10.53.0.12", "10.53.0.13"
TCP_ONLY = "10.53.0.14"  # unbound again; see the tests of pipelining
CLIENT, OURS, NOBODY = "10.53.0.20", "10.53.0.40", "10.53.0.99"
PREFIX: Final = 24
BIG_RRS: Final = 80
HUGE_RRS: Final = 20  # of every name below huge.glueless.test
BRIEF_S: Final = 2  # the TTL of everything in brief.test, also of what is not there

HINTS = f"""\
. 3600000 IN NS a.root.
a.root. 3600000 IN A {ROOT}
"""

ROOT_ZONE = f"""\
$ORIGIN .
$TTL 86400
@ SOA a.root. hostmaster.root. 1 1800 900 604800 300
@ NS a.root.
a.root. A {ROOT}
test. NS ns.nic.test.
arpa. NS ns.nic.test.
ns.nic.test. A {TLD}
"""

TEST_ZONE = f"""\
$ORIGIN test.
$TTL 3600
@ SOA ns.nic hostmaster.nic 1 1800 900 604800 300
@ NS ns.nic
ns.nic A {TLD}
example NS ns1.example
example NS ns2.example
ns1.example A {AUTH}
ns2.example A {AUTH_TOO}
; the name of its server is in another tree: no glue can come with it, it has to be looked up
glueless NS ns.elsewhere.arpa.
; the server that is named knows nothing of it
lame NS ns1.example
brief NS ns.brief
ns.brief A {AUTH}
"""

ARPA_ZONE = f"""\
$ORIGIN arpa.
$TTL 3600
@ SOA ns.nic.test. hostmaster.nic.test. 1 1800 900 604800 300
@ NS ns.nic.test.
0.53.10.in-addr NS ns1.example.test.
0.53.10.in-addr NS ns2.example.test.
ns.elsewhere A {AUTH}
"""

EXAMPLE_ZONE = f"""\
$ORIGIN example.test.
$TTL 300
@ SOA ns1 hostmaster 1 1800 900 604800 60
@ NS ns1
@ NS ns2
ns1 A {AUTH}
ns2 A {AUTH_TOO}
@ A 10.53.0.50
@ MX 10 mail
@ MX 20 mail2
@ TXT "v=spf1 mx -all"
@ CAA 0 issue "ca.example.net; account=7"
@ CAA 128 iodef "mailto:security@example.test"
@ HTTPS 1 . alpn=h2,h3 ipv4hint=10.53.0.50,10.53.0.51 port=8443
www A 10.53.0.51
www AAAA 2001:db8::51
www TXT "two" "strings" "a \\"quote\\", a \\\\ and \\007"
www HINFO "PDP-11" "UNIX"
www SSHFP 4 2 123456789abcdef67890123456789abcdef67890123456789abcdef67890abcd
_443._tcp.www TLSA 3 1 1 92003ba34942dc74152e2f2c408d29eca5a520e7f2e06bb944f4dca346baf63c
three A 10.53.0.61
three A 10.53.0.62
three A 10.53.0.63
six AAAA 2001:db8::6
six AAAA ::ffff:10.53.0.6
mail A 10.53.0.52
mail2 A 10.53.0.53
_nfs._tcp SRV 0 60 2049 www
_nfs._tcp SRV 0 30 2049 mail
_nfs._tcp SRV 0 10 2049 mail2
_nfs._tcp SRV 10 0 2050 three
_none._tcp SRV 0 0 0 .
_dns.svc SVCB 1 www alpn=dot port=853
_dns.svc SVCB 0 www
naptr NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .
naptr NAPTR 100 20 "s" "" "" _nfs._tcp
; a chain, which leaves the zone at its end, and two that do not end
alias CNAME chain1
chain1 CNAME chain2
chain2 CNAME www
out CNAME www.glueless.test.
loop1 CNAME loop2
loop2 CNAME loop1
nowhere CNAME missing
d DNAME target
www.target A 10.53.0.71
deep.er.target TXT "below a DNAME"
*.wild A 10.53.0.81
*.wild TXT "any"
real.wild A 10.53.0.82
; "ent" and "b.ent" have no records of their own
a.b.ent A 10.53.0.91
UPPER A 10.53.0.92
a\\.dot A 10.53.0.93
unknown TYPE65280 \\# 5 0a000001ff
empty TYPE65281 \\# 0
""" + "".join(f'big TXT "{number:02} {"abcdefghijklmnopqrstuvwxyz" * 3:.66}"\n' for number in range(BIG_RRS))

GLUELESS_ZONE = """\
$ORIGIN glueless.test.
$TTL 300
@ SOA ns.elsewhere.arpa. hostmaster.example.test. 1 1800 900 604800 60
@ NS ns.elsewhere.arpa.
www A 10.53.0.101
""" + "".join(f'*.huge TXT "{number:02} {"abcdefghijklmnopqrstuvwxyz" * 4:.97}"\n' for number in range(HUGE_RRS))

BRIEF_ZONE = f"""\
$ORIGIN brief.test.
$TTL {BRIEF_S}
@ SOA ns hostmaster 1 1800 900 604800 {BRIEF_S}
@ 300 NS ns
ns 300 A {AUTH}
www A 10.53.0.111
stale A 10.53.0.112
again A 10.53.0.113
"""

REVERSE_ZONE = """\
$ORIGIN 0.53.10.in-addr.arpa.
$TTL 300
@ SOA ns1.example.test. hostmaster.example.test. 1 1800 900 604800 60
@ NS ns1.example.test.
@ NS ns2.example.test.
50 PTR example.test.
51 PTR www.example.test.
"""

# What is asked of every resolver; the second group has no records of that type, the third does not exist.
ANSWERED: Final = (
    (".", "SOA"), (".", "NS"), ("test", "SOA"), ("test", "NS"),
    ("example.test", "A"), ("example.test", "SOA"), ("example.test", "NS"), ("example.test", "MX"),
    ("example.test", "TXT"), ("example.test", "CAA"), ("example.test", "HTTPS"), ("example.test", "DNSKEY"),
    ("example.test", "DS"), ("example.test", "NSEC"), ("test", "DS"), (".", "DNSKEY"),
    ("www.example.test", "A"), ("www.example.test", "AAAA"), ("www.example.test", "TXT"),
    ("www.example.test", "HINFO"), ("www.example.test", "SSHFP"), ("_443._tcp.www.example.test", "TLSA"),
    ("three.example.test", "A"), ("six.example.test", "AAAA"), ("mail.example.test", "A"),
    ("_nfs._tcp.example.test", "SRV"), ("_none._tcp.example.test", "SRV"), ("_dns.svc.example.test", "SVCB"),
    ("naptr.example.test", "NAPTR"), ("alias.example.test", "A"), ("alias.example.test", "AAAA"),
    ("alias.example.test", "CNAME"), ("chain1.example.test", "A"), ("out.example.test", "A"),
    ("www.d.example.test", "A"), ("deep.er.d.example.test", "TXT"), ("d.example.test", "DNAME"),
    ("x.wild.example.test", "A"), ("x.y.wild.example.test", "TXT"), ("real.wild.example.test", "A"),
    ("a.b.ent.example.test", "A"), ("upper.example.test", "A"), ("WWW.EXAMPLE.TEST", "A"),
    ("a\\.dot.example.test", "A"), ("unknown.example.test", "TYPE65280"), ("empty.example.test", "TYPE65281"),
    ("big.example.test", "TXT"), ("www.glueless.test", "A"), ("glueless.test", "NS"), ("www.brief.test", "A"),
    ("51.0.53.10.in-addr.arpa", "PTR"), ("50.0.53.10.in-addr.arpa", "PTR"), ("0.53.10.in-addr.arpa", "SOA"),
)  # fmt: skip
NODATA: Final = (
    ("www.example.test", "MX"), ("ent.example.test", "A"), ("b.ent.example.test", "A"), ("alias.example.test", "MX"),
    ("example.test", "AAAA"), ("x.wild.example.test", "AAAA"), ("real.wild.example.test", "TXT"),
    ("wild.example.test", "A"), ("www.glueless.test", "AAAA"), ("in-addr.arpa", "PTR"),
)  # fmt: skip
MISSING: Final = (
    ("missing.example.test", "A"), ("nowhere.example.test", "A"), ("x.real.wild.example.test", "A"),
    ("a.a.b.ent.example.test", "A"), ("missing.d.example.test", "A"), ("missing.test", "A"), ("missing", "A"),
    ("missing.glueless.test", "A"), ("52.0.53.10.in-addr.arpa", "PTR"),
)  # fmt: skip
FAILING: Final = (("loop1.example.test", "A"), ("www.lame.test", "A"), ("lame.test", "SOA"))
