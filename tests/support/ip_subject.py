"""An IpLayer between lists: frames go in as bytes, what it sends is read back with scapy."""

import random
from struct import pack_into

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.config import NEVER, IpConfig
from stack.host.ip_layer import IpLayer
from stack.stats import DropReason, Stats
from stack.wire import accel
from stack.wire.addr import parse_addr, parse_mac
from stack.wire.burst import ROW, Burst
from stack.wire.frame import GSO_TCPV4, L4_OFF, Caps, TxFrame
from stack.wire.sink import FrameSink

OUR_MAC = "02:00:00:00:00:02"
PEER_MAC = "02:00:00:00:00:01"
OUR_IP = "198.18.0.2"
PEER_IP = "198.18.0.1"
BROADCAST = "ff:ff:ff:ff:ff:ff"
QUIET = {"arp_probe": False}  # the address is announced, not probed


class ListSink(FrameSink):
    """Keeps finished frames: `frames` their bytes, `raw` the tuples with offload metadata."""

    def __init__(self, caps=None):
        self.caps = caps or Caps()
        self.raw = []

    @property
    def frames(self):
        return [item[0] for item in self.raw]

    def send(self, frame):
        self.raw += accel.finish(frame, self.caps)
        return True

    def flush(self):
        return 0


class Link:
    """One interface of the subject, with its sink and the burst that frames come in by."""

    def __init__(self, subject, ifindex, sink, mac):
        self.subject = subject
        self.ifindex = ifindex
        self.sink = sink
        self.mac = mac

    def rx(self, *packets, dst=None, src=PEER_MAC):
        """Receive scapy packets without link header, or whole frames, or raw tuples."""
        items = []
        for packet in packets:
            if isinstance(packet, tuple):
                items.append(packet)
                continue
            if isinstance(packet, bytes):
                data = packet
            elif isinstance(packet, Ether):
                data = bytes(packet)
            else:
                data = bytes(Ether(dst=dst or self.mac, src=src) / packet)
            items.append((data, 0, 0, 0, 0, 0))
        burst = Burst()
        assert accel.load_burst(burst, items, parse_mac(self.mac)) == len(items)
        self.subject.feed(self.ifindex, burst)

    def take(self):
        """The frames sent since the last call, parsed by scapy."""
        frames = [Ether(data) for data in self.sink.frames]
        self.sink.raw.clear()
        return frames

    def take_ip(self):
        """The IP packets among them, checked: a rebuilt one is byte for byte the same."""
        packets = [frame[IP] for frame in self.take() if IP in frame]
        for packet in packets:
            check(packet)
        return packets

    def learn(self, addr=PEER_IP, mac=PEER_MAC, to=OUR_IP):
        """The peer asks for us, so that its link address is known; nothing of it is left behind."""
        self.rx(Ether(dst=BROADCAST, src=mac) / ARP(op=1, hwsrc=mac, psrc=addr, pdst=to))
        self.take()


class Subject:
    """A host's IP with `now`; `advance` lets time pass and runs every deadline on its way."""

    def __init__(self, *, caps=None, mtu=1500, addr=OUR_IP, prefix_len=24, **config):
        self.now = 1_000_000
        self.stats = Stats()
        self.ip = IpLayer(IpConfig(**{**QUIET, **config}), random.Random(1), self.stats)
        self.delivered = []  # TCP rows that IP left for the Host: (ifindex, payload, source address)
        self.links = {}
        self.link = self.add_link("tap0", addr, prefix_len, OUR_MAC, caps=caps, mtu=mtu)

    def add_link(self, name, addr, prefix_len, mac, *, caps=None, mtu=1500):
        sink = ListSink(caps)
        ifindex = self.ip.add_interface(name, sink, parse_mac(mac), mtu, self.now)
        link = self.links[ifindex] = Link(self, ifindex, sink, mac)
        if addr:
            self.ip.add_address(ifindex, parse_addr(addr), prefix_len, self.now)
        if not self.ip.config.arp_probe:
            self.advance(3_000_000)  # the announcements
        link.take()
        return link

    def feed(self, ifindex, burst):
        """What a Host does with a burst, TCP reduced to a list."""
        for index, row in enumerate(ROW.iter_unpack(bytes(burst.rows[: burst.count * ROW.size]))):
            if row[10] == 2:
                if self.ip.accept(ifindex, burst, index, row, self.now):
                    self.delivered.append((ifindex, burst.pool[row[2] : row[2] + row[3]], row[0] >> 32))
            else:
                self.ip.on_row(ifindex, burst, index, row, self.now)
        self.ip.end_burst(burst.count)
        while self.ip.reinjected:
            self.feed(*self.ip.reinjected.pop(0))

    def advance(self, us):
        end = self.now + us
        while self.ip.deadline <= end:
            assert self.ip.deadline != NEVER
            self.now = max(self.now, self.ip.deadline)
            self.ip.on_timer(self.now)
            assert self.ip.deadline > self.now, "a deadline that does not move"
        self.now = end

    def rx(self, *packets, **kwargs):
        self.link.rx(*packets, **kwargs)

    def take(self):
        return self.link.take()

    def take_ip(self):
        return self.link.take_ip()

    def drops(self, reason):
        return self.stats.drops[reason]

    def dropped(self):
        """The reasons so far, as a set of DropReason names."""
        return {r.name for r in DropReason if self.stats.drops[r]}

    def count(self, counter):
        return self.stats.counts[counter]


def peer_ip(**fields):
    """An IP header from the peer to us."""
    return IP(**{"src": PEER_IP, "dst": OUR_IP, **fields})


def ping(data=b"abcdefgh", ident=7, seq=1, **fields):
    return peer_ip(**fields) / ICMP(type=8, id=ident, seq=seq) / Raw(data)


def udp(sport, dport, data=b"x", **fields):
    return peer_ip(**fields) / UDP(sport=sport, dport=dport) / Raw(data)


def tcp(sport=1000, dport=80, data=b"", flags="A", **fields):
    return peer_ip(**fields) / TCP(sport=sport, dport=dport, flags=flags) / Raw(data)


def segment(payload=b"", *, mss=0):
    """A TCP segment as the Host hands it to `output`; with `mss` a super-segment."""
    frame = TxFrame()
    pack_into("!HHIIHHHH", frame.header, L4_OFF, 1000, 80, 77, 0, 0x5010, 1000, 0, 0)
    frame.header_end = L4_OFF + 20
    frame.csum_offset = 16
    frame.payload = payload
    frame.payload_len = len(payload)
    if mss:
        frame.gso_type, frame.gso_size = GSO_TCPV4, mss
    return frame


def check(packet):
    """Lengths and checksums are what scapy computes."""
    again = packet.copy()
    del again.chksum, again.len
    for layer in (ICMP, UDP, TCP):
        if layer in again and not packet.frag and not packet.flags.MF:
            del again[layer].chksum
            break
    assert bytes(again) == bytes(packet)
