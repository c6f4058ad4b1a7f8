"""TCP of a whole Host, its frames read back with scapy: headers, options, and what reaches which connection."""

import random
import socket
from dataclasses import replace
from itertools import product

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPOption_RR, IPOption_Timestamp
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.aio.sockets import TcpSocket
from stack.config import HostConfig, TcpConfig
from stack.host.host import Host
from stack.stats import DropReason
from stack.trace import Trace
from stack.wire import accel
from stack.wire.addr import parse_addr, parse_mac
from stack.wire.burst import Burst
from stack.wire.icmp import ErrorKind
from tests.support.ip_subject import BROADCAST, OUR_IP, OUR_MAC, PEER_IP, PEER_MAC, ListSink, check
from tests.support.rfc import rfc


class Peered:
    """A Host that knows the peer's link address, with a listener on port 80."""

    def __init__(self, tcp=None, trace=None):
        self.sink = ListSink()
        self.host = Host(HostConfig(tcp=tcp or TcpConfig()), random.Random(1), 0, trace)
        self.host.add_interface("tap0", self.sink, parse_mac(OUR_MAC), 1500, 0)
        self.host.add_address(1, parse_addr(OUR_IP), 24, 0)
        self.host.listen(0, 80, now=0)
        self.rx(Ether(dst=BROADCAST, src=PEER_MAC) / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER_IP, pdst=OUR_IP))

    def rx(self, frame):
        """The IP packets that come back, with checksums and lengths as scapy computes them."""
        self.sink.raw.clear()
        burst = Burst()
        accel.load_burst(burst, [(bytes(frame), 0, 0, 0, 0, 0)], parse_mac(OUR_MAC))
        self.host.receive(1, burst, 1)
        return self.transmit()

    def transmit(self):
        self.host.poll_transmit(1)
        packets = [Ether(data)[IP] for data in self.sink.frames if IP in Ether(data)]
        for packet in packets:
            check(packet)
        return packets

    def segment(self, flags, seq=0, ack=0, data=b"", sport=1000, ip_options=(), answers=0, **fields):
        """A segment to the listener, or from port 80 to the port `answers`."""
        ip = IP(src=PEER_IP, dst=OUR_IP, options=list(ip_options))
        ports = {"sport": 80, "dport": answers} if answers else {"sport": sport, "dport": 80}
        tcp = TCP(**ports, flags=flags, seq=seq, ack=ack, **fields)
        return self.rx(Ether(dst=OUR_MAC, src=PEER_MAC) / ip / tcp / Raw(data))

    def connect(self, **config):
        conn = self.host.connect(
            parse_addr(PEER_IP), 80, config=replace(TcpConfig(), **config) if config else None, now=1
        )
        self.sink.raw.clear()
        return conn, self.transmit()[0]


class Drops(Trace):
    """Keeps why frames were dropped."""

    def __init__(self):
        self.reasons = []

    def on_drop(self, reason, index):
        self.reasons.append((DropReason(reason), index))


class Driver:
    """What a socket needs of one."""

    def __init__(self, host):
        self.wake = host.wake

    def time(self):
        return 1


@pytest.fixture
def peered():
    return Peered()


@rfc("9293", "3.1", "MUST-2")
def test_every_segment_has_the_checksum_that_the_peer_computes(peered):
    """`transmit` compares each with scapy's."""
    (syn_ack,) = peered.segment("S", seq=100)
    assert peered.segment("A", 101, syn_ack[TCP].seq + 1) == []
    assert peered.segment("R", 5, sport=2000) == []
    (rst,) = peered.segment("A", 5, 6, sport=2000)
    assert rst[TCP].flags == "R"


@pytest.mark.parametrize("end", ["A", "R"])
def test_a_segment_that_ends_a_connection_is_not_told_of_as_dropped(end):
    """Captures say of every frame that was dropped why; the last ACK and a RST are taken."""
    peered = Peered(trace=(drops := Drops()))
    conn, syn = peered.connect()
    ours = syn[TCP].seq + 1
    peered.segment("SA", seq=100, ack=ours, answers=conn.local_port)
    peered.segment("FA", seq=101, ack=ours, answers=conn.local_port)
    conn.close(1)
    peered.host.wake(conn)
    fin = peered.transmit()[-1]
    assert fin[TCP].flags == "FA"
    peered.segment(end, seq=102, ack=ours + 1, answers=conn.local_port)
    assert peered.host.connections() == []
    assert drops.reasons == []
    peered.segment("A", chksum=1)  # the control: of what is dropped it does hear
    assert drops.reasons == [(DropReason.TCP_CHECKSUM, 0)]


@rfc("9293", "3.2", "MUST-68, MUST-69")
@pytest.mark.parametrize(("sack", "timestamps", "window_scaling"), list(product([False, True], repeat=3)), ids=str)
def test_every_option_has_its_length_and_the_rest_is_zero(sack, timestamps, window_scaling):
    peered = Peered()
    _, syn = peered.connect(sack=sack, timestamps=timestamps, window_scaling=window_scaling)
    options = bytes(syn[TCP])[20 : 4 * syn[TCP].dataofs]
    seen, at = set(), 0
    while at < len(options) and options[at] != 0:
        length = 1 if options[at] == 1 else options[at + 1]
        assert length >= (1 if options[at] == 1 else 2)
        assert at + length <= len(options)
        seen.add(options[at])
        at += length
    assert not any(options[at:])
    wanted = {2} | ({4} if sack else set()) | ({8} if timestamps else set()) | ({3} if window_scaling else set())
    assert seen - {1} == wanted


@rfc("9293", "3.9.1.9", "MUST-48")
@rfc("9293", "3.9.2", "MUST-49")
def test_differentiated_services_and_ttl_are_those_of_the_connection(peered):
    _, plain = peered.connect()
    _, chosen = peered.connect(dscp=46, ttl=9)
    assert (plain.tos, plain.ttl) == (0, 64)
    assert (chosen.tos, chosen.ttl) == (46 << 2, 9)


@rfc("9293", "3.9.1.9", "SHLD-21")
@rfc("9293", "3.9.1.9", "SHLD-22")
def test_differentiated_services_can_change_during_the_connection(peered):
    conn, syn = peered.connect(dscp=46)
    assert syn.tos == 46 << 2
    option = (socket.IPPROTO_IP, socket.IP_TOS)
    sock = TcpSocket(conn, Driver(peered.host))
    sock.setsockopt(*option, 10 << 2 | 3)  # the bits of ECN are not the application's
    assert sock.getsockopt(*option) == 10 << 2
    (ack,) = peered.segment("SA", seq=9, ack=syn[TCP].seq + 1, answers=syn[TCP].sport)
    assert ack.tos == 10 << 2


@rfc("9293", "3.9.2.1", "MUST-50")
@pytest.mark.parametrize(
    "option", [IPOption_RR(length=7, routers=["0.0.0.0"]), IPOption_Timestamp(length=8)], ids=["rr", "ts"]
)
def test_ip_options_of_a_segment_are_ignored(peered, option):
    (syn_ack,) = peered.segment("S", seq=100, ip_options=[option])
    assert syn_ack[TCP].flags == "SA"
    assert not syn_ack.options


@rfc("9293", "3.9.2.2", "MUST-54")
def test_an_icmp_error_reaches_the_connection_that_it_quotes_and_no_other(peered):
    (quoted_conn, syn), (other, _) = peered.connect(), peered.connect()
    error = IP(src=PEER_IP, dst=OUR_IP) / ICMP(type=11, code=0) / Raw(bytes(syn)[:28])
    peered.rx(Ether(dst=OUR_MAC, src=PEER_MAC) / error)
    assert quoted_conn.soft_error == ErrorKind.TIME_EXCEEDED
    assert other.soft_error is None
