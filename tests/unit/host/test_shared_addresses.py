"""Hosts of several processes with one address: what process 0 hands on, and which local ports are chosen."""

import dataclasses
import random

import pytest
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.config import HostConfig
from stack.device.queues import Share
from stack.errors import AddressNotAvailable, ConfigError
from stack.host.host import Host
from stack.wire.addr import parse_addr
from stack.wire.ipv4 import PROTO_TCP
from stack.wire.steering import OWNED_PORTS, Steering
from tests.support.ip_subject import BROADCAST, OUR_IP, OUR_MAC, PEER_IP, PEER_MAC, ListSink, Subject
from tests.support.rfc import rfc

COUNT, SEED = 3, 7
PEER, OURS = parse_addr(PEER_IP), parse_addr(OUR_IP)


class Processes:
    """Process 0 gets the packets; what it hands on comes to the others."""

    def __init__(self, *, hand_on=True):
        self.subjects = [Subject() for _ in range(COUNT)]
        self.steering = [Steering(index, COUNT, SEED) for index in range(COUNT)]
        for index, subject in enumerate(self.subjects):
            subject.link.learn()
            subject.ip.share(self.steering[index], self.hand_on if hand_on else None)
        self.endpoints = [subject.ip.udp.open(0, 7) for subject in self.subjects]

    def hand_on(self, process, frame):
        self.subjects[process].rx(frame)

    def rx(self, *packets, **kwargs):
        self.subjects[0].rx(*packets, **kwargs)

    def received(self):
        return [sum(len(data) for data, *_ in endpoint.recv_all()) for endpoint in self.endpoints]

    def port_of(self, process):
        """A port of the peer whose datagrams to port 7 are the process's."""
        return next(p for p in range(1, 999) if self.steering[0].owner(17, PEER, p, OURS, 7) == process)


@pytest.fixture
def processes():
    return Processes()


def fragments(port):
    return fragment(IP(src=PEER_IP, dst=OUR_IP, id=port) / UDP(sport=port, dport=7) / Raw(bytes(4000)), 1000)


@pytest.mark.parametrize("process", range(COUNT))
def test_datagrams_in_fragments_are_put_together_and_handed_on(processes, process):
    processes.rx(*fragments(processes.port_of(process)))
    assert processes.received() == [4000 * (i == process) for i in range(COUNT)]


def test_without_handing_on_they_come_to_the_wrong_one():
    processes = Processes(hand_on=False)
    processes.rx(*fragments(processes.port_of(2)))
    assert processes.received() == [4000, 0, 0]


def too_big(port):
    quoted = IP(src=OUR_IP, dst=PEER_IP, flags="DF", len=1400) / UDP(sport=7, dport=port, len=1380) / Raw(bytes(8))
    return IP(src=PEER_IP, dst=OUR_IP) / ICMP(type=3, code=4, nexthopmtu=1300) / quoted


@rfc("5508", "4.2")
@pytest.mark.parametrize("process", range(COUNT))
def test_icmp_errors_come_to_whose_packet_they_quote(processes, process):
    processes.rx(too_big(processes.port_of(process)))
    learnt = [PEER in subject.ip.pmtu.snapshot() for subject in processes.subjects]
    assert learnt == [i == process for i in range(COUNT)]


def test_without_handing_on_errors_come_to_process_0():
    processes = Processes(hand_on=False)
    processes.rx(too_big(processes.port_of(1)))
    assert [PEER in subject.ip.pmtu.snapshot() for subject in processes.subjects] == [True, False, False]


def test_errors_that_cannot_be_told_apart_stay(processes):
    processes.rx(IP(src=PEER_IP, dst=OUR_IP) / ICMP(type=3, code=4, nexthopmtu=1300) / Raw(bytes(11)))
    processes.rx(IP(src=PEER_IP, dst=OUR_IP) / ICMP(type=3, code=4, nexthopmtu=1300) / Raw(b"\x4f" * 28))
    assert not any(subject.ip.pmtu.snapshot() for subject in processes.subjects)


def test_answers_of_arp_come_to_all_and_requests_are_answered_once(processes):
    answer = ARP(op=2, hwsrc="02:00:00:00:00:77", psrc=PEER_IP, hwdst=OUR_MAC, pdst=OUR_IP)
    processes.rx(Ether(dst=OUR_MAC, src=PEER_MAC) / answer)
    for subject in processes.subjects:
        assert "02:00:00:00:00:77" in str(subject.ip.neighbors.snapshot())
    for subject in processes.subjects:
        subject.take()
    processes.rx(Ether(dst=BROADCAST, src=PEER_MAC) / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER_IP, pdst=OUR_IP))
    assert [sum(ARP in frame for frame in subject.take()) for subject in processes.subjects] == [1, 0, 0]


def test_pings_are_answered_once_and_answers_come_to_who_asked(processes):
    processes.rx(IP(src=PEER_IP, dst=OUR_IP) / ICMP(type=8, id=5) / Raw(bytes(8)))
    assert [len(subject.take_ip()) for subject in processes.subjects] == [1, 0, 0]
    asking = processes.subjects[2]
    echo = asking.ip.open_echo()
    asking.ip.icmp.send_echo(echo, PEER, 1, b"12345678", asking.now)
    (request,) = asking.take_ip()
    processes.rx(IP(src=PEER_IP, dst=OUR_IP) / ICMP(type=0, id=request[ICMP].id, seq=1) / Raw(b"12345678"))
    assert [reply.data for reply in echo.replies] == [b"12345678"]


def host(index):
    made = Host(HostConfig(), random.Random(index))
    ifindex = made.add_interface("tap0", ListSink(), bytes.fromhex(OUR_MAC.replace(":", "")), 1500, 0)
    made.add_address(ifindex, OURS, 24, 0)
    made.share(Steering(index, COUNT, SEED))
    return made


@pytest.mark.parametrize("index", range(COUNT))
def test_local_ports_are_those_whose_answers_come_here(index):
    made = host(index)
    for _ in range(50):
        conn = made.connect(PEER, 80)
        assert made.tcp.ports.steering.is_mine(PROTO_TCP, PEER, 80, OURS, conn.local_port)
        endpoint = made.ip.udp.open(0, 0)
        assert endpoint.local_port >= OWNED_PORTS
        assert endpoint.local_port % COUNT == index


def test_a_local_port_whose_answers_go_elsewhere_is_refused():
    made = host(1)
    there = next(p for p in range(1024, 2000) if Steering(0, COUNT, SEED).is_mine(PROTO_TCP, PEER, 80, OURS, p))
    with pytest.raises(AddressNotAvailable, match="is for process 0, and this is process 1 of 3: connect from port 0"):
        made.connect(PEER, 80, 0, there)


@pytest.mark.parametrize(
    ("index", "count", "seed"), [(0, 0, 0), (0, 65, 0), (2, 2, 0), (-1, 2, 0), (0, 2, -1), (0, 2, 1 << 32)]
)
def test_places_that_cannot_be(index, count, seed):
    with pytest.raises(ConfigError):
        Steering(index, count, seed)


SHARE = Share("tap0", 1, 2, 3, "020000000001", 1500, True, 7, (8,))


def test_shares_are_text_between_processes():
    assert Share.from_json(SHARE.to_json()) == SHARE
    assert SHARE.descriptors() == (7, 8)


@pytest.mark.parametrize("text", ["", "[]", "{}", "1", '{"relays": 1}', '{"relays": [], "more": 1}'])
def test_what_is_no_share(text):
    with pytest.raises(ConfigError, match="no share"):
        Share.from_json(text)


def test_a_share_of_another_count_is_refused():
    with pytest.raises(ConfigError, match="queue 5 of 2"):
        dataclasses.replace(SHARE, index=5).steering()
