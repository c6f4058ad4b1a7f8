import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from stack.ip.icmp import IcmpLimiter, build_error, may_report
from tests.support.rfc import rfc

PACKET = IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=1, dport=2) / Raw(b"x" * 600)


@rfc("1812", "4.3.2.8", "RTR-8")
@rfc("1122", "3.2.2.1", "ICMP-5")
def test_the_limiter_gives_a_burst_then_the_rate():
    limiter = IcmpLimiter(1000, 50)
    assert sum(limiter.allow(0) for _ in range(100)) == 50
    assert sum(limiter.allow(us) for us in range(100, 1_000_001, 100)) == 1000
    assert sum(limiter.allow(10**12) for _ in range(100)) == 50


def test_a_rate_of_zero_is_silence_after_the_burst():
    limiter = IcmpLimiter(0, 0)
    assert not any(limiter.allow(us) for us in (0, 10**6, 10**12))


@rfc("1122", "3.2.2", "ICMP-3")
@pytest.mark.parametrize(
    "packet",
    [
        IP(src="198.18.0.1", dst="198.18.0.2") / ICMP(type=3, code=3) / PACKET,
        IP(src="198.18.0.1", dst="198.18.0.2") / ICMP(type=11) / PACKET,
        IP(src="198.18.0.1", dst="198.18.0.2") / ICMP(type=5) / PACKET,
        IP(src="198.18.0.1", dst="198.18.0.2") / ICMP(type=200) / PACKET,  # perhaps an error
        IP(src="198.18.0.1", dst="198.18.0.2", proto=1) / Raw(b""),
        IP(src="198.18.0.1", dst="255.255.255.255") / UDP(),
        IP(src="198.18.0.1", dst="224.0.0.1") / UDP(),
        IP(src="198.18.0.1", dst="198.18.0.2", frag=1, proto=17) / Raw(b"x" * 8),
        IP(src="0.0.0.0", dst="198.18.0.2") / UDP(),
        IP(src="127.0.0.1", dst="198.18.0.2") / UDP(),
        IP(src="224.0.0.5", dst="198.18.0.2") / UDP(),
        IP(src="255.255.255.255", dst="198.18.0.2") / UDP(),
        Raw(b"E"),
    ],
)
def test_no_error_about(packet):
    assert not may_report(bytes(packet), link_group=False)


@rfc("1122", "3.2.2", "ICMP-3")
def test_errors_about_plain_datagrams_and_queries_but_not_link_broadcasts():
    assert may_report(bytes(PACKET), link_group=False)
    assert may_report(bytes(IP(src="198.18.0.1", dst="198.18.0.2") / ICMP(type=8)), link_group=False)
    first = IP(src="198.18.0.1", dst="198.18.0.2", flags="MF") / UDP() / Raw(bytes(8))
    assert may_report(bytes(first), link_group=False)
    assert not may_report(bytes(PACKET), link_group=True)


@rfc("1122", "3.2.2", "ICMP-4")
def test_an_error_quotes_as_much_as_576_bytes_hold():
    message = build_error(3, 4, bytes(PACKET), second=1400)
    theirs = ICMP(message)
    assert (theirs.type, theirs.code, theirs.nexthopmtu) == (3, 4, 1400)
    assert len(message) + 20 == 576
    assert message[8:] == bytes(PACKET)[:548]
    again = ICMP(message)
    del again.chksum
    assert bytes(again) == message
