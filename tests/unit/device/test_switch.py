"""The switch of attached processes: a real TAP, in a network namespace of the test's own, and sockets as ports."""

import contextlib
import ctypes
import os
import random
import select
import socket
import struct
import subprocess

import pytest

from stack.device import tap as tap_module
from stack.device.switch import FLOODS_PER_S, MAX_PORTS, SwitchTap
from stack.errors import NoBufferSpace
from stack.wire.burst import Burst
from stack.wire.frame import GSO_TCPV4, VNET_NEEDS_CSUM
from tests.support.frames import End, tcp_frame, udp_frame
from tests.support.tx import finished

pytestmark = pytest.mark.netns

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
VNET = struct.Struct("=BBHHHH")
PLAIN = bytes(VNET.size)

HOST = End(bytes.fromhex("0200000000aa"), bytes([198, 18, 0, 2]), 2000)  # the daemon's own
OUTSIDE = End(bytes.fromhex("0200000000ee"), bytes([198, 18, 0, 1]), 1000)  # behind the TAP
ONE = End(bytes.fromhex("020000000001"), bytes([198, 18, 0, 128]), 1)
TWO = End(bytes.fromhex("020000000002"), bytes([198, 18, 0, 129]), 2)
BROADCAST = End(b"\xff" * 6, b"\xff" * 4, 9)


@pytest.fixture(params=["c", "plain"], autouse=True)
def engine(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(tap_module, "NATIVE", False)
    assert (request.param == "c") == tap_module.NATIVE


@pytest.fixture(autouse=True)
def namespace():
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET):
        pytest.fail(os.strerror(ctypes.get_errno()))
    yield
    libc.setns(home, CLONE_NEWNET)
    os.close(home)


class Bench:
    """A switch with ports ONE and TWO, and a look at what it writes to its TAP."""

    def __init__(self, **options):
        self.switch = SwitchTap("tap0", HOST.mac, mtu=1500, **options)
        # nothing of the kernel's own is to be in the way
        with open("/proc/sys/net/ipv6/conf/tap0/disable_ipv6", "w") as file:  # noqa: PTH123
            file.write("1")
        subprocess.run(["ip", "link", "set", "tap0", "arp", "off", "up"], check=True)
        self.outside = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.outside.bind(("tap0", 0))
        self.outside.setblocking(False)
        self.burst = Burst()
        self.ours = []
        self.gone = []
        self.switch.on_gone = self.gone.append
        self.kept = contextlib.ExitStack()
        self.one, self.one_at = self.plug(ONE)
        self.two, self.two_at = self.plug(TWO)

    def plug(self, end, queue_bytes=1 << 20):
        """The process's end of a new port, and the port's index."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here.setblocking(False)
        there.setblocking(False)
        self.kept.enter_context(here)
        self.kept.enter_context(there)
        return there, self.switch.add_port(here.fileno(), int.from_bytes(end.ip), end.mac, queue_bytes)

    def turn(self):
        """Let the switch do all that there is to do."""
        while select.select([self.switch.fileno()], [], [], 0.005)[0]:
            rows = self.switch.rx_burst(self.burst)
            self.ours += [self.burst.frame(i) for i in range(rows)]

    def sent(self):
        """What came out of the TAP since the last look."""
        self.turn()
        return drain(self.outside)

    def refused(self, index=None):
        counts = self.switch.port_counts(self.one_at if index is None else index)
        return {name.removeprefix("refused_"): n for name, n in counts.items() if name.startswith("refused_")}

    def close(self):
        self.kept.close()
        self.switch.close()
        self.outside.close()


def drain(sock):
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(sock.recv(70_000))
    return found


@pytest.fixture
def bench(engine):
    with contextlib.closing(Bench()) as made:
        yield made


def arp(sender, target, *, mac=None, to=BROADCAST, source=None):
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + (mac or sender.mac) + (sender.ip if source is None else source)
    return to.mac + sender.mac + b"\x08\x06" + body + bytes(6) + target.ip


def test_unicast_goes_to_whom_it_is_for_and_to_nobody_else(bench):
    for data, target in ((b"to the tap", OUTSIDE), (b"to two", TWO), (b"to the host", HOST)):
        bench.one.send(PLAIN + udp_frame(ONE, target, data))
    assert bench.sent() == [udp_frame(ONE, OUTSIDE, b"to the tap")]
    assert drain(bench.two) == [PLAIN + udp_frame(ONE, TWO, b"to two")]
    assert bench.ours == [udp_frame(ONE, HOST, b"to the host")]
    bench.outside.send(udp_frame(OUTSIDE, TWO, b"in"))
    bench.outside.send(udp_frame(OUTSIDE, HOST, b"ours"))
    bench.turn()
    assert drain(bench.two) == [PLAIN + udp_frame(OUTSIDE, TWO, b"in")]
    assert drain(bench.one) == []
    assert bench.ours[1:] == [udp_frame(OUTSIDE, HOST, b"ours")]
    counts = bench.switch.port_counts(bench.two_at)
    assert (counts["rx_frames"], counts["tx_frames"], counts["tx_dropped"], counts["waiting"]) == (0, 2, 0, 0)


def test_broadcast_goes_to_all_but_the_sender(bench):
    question = arp(ONE, TWO)
    bench.one.send(PLAIN + question)
    assert bench.sent() == [question]
    assert drain(bench.two) == [PLAIN + question]
    assert drain(bench.one) == []
    assert bench.ours == [question]
    question = arp(OUTSIDE, ONE)
    bench.outside.send(question)
    bench.turn()
    assert drain(bench.one) == drain(bench.two) == [PLAIN + question]


def test_our_own_host_reaches_all(bench):
    for target, data in ((ONE, b"1"), (OUTSIDE, b"out"), (BROADCAST, b"all")):
        assert bench.switch.send(finished(udp_frame(HOST, target, data)))
    assert [udp_frame(HOST, OUTSIDE, b"out"), udp_frame(HOST, BROADCAST, b"all")] == bench.sent()
    assert drain(bench.one) == [PLAIN + udp_frame(HOST, ONE, b"1"), PLAIN + udp_frame(HOST, BROADCAST, b"all")]
    assert drain(bench.two) == [PLAIN + udp_frame(HOST, BROADCAST, b"all")]
    assert not bench.switch.send(finished(b"short"))
    assert bench.switch.tx_errors == 1


def segment_of(size, source=ONE, target=TWO):
    frame = bytearray(tcp_frame(source, target, "PA", 1, 1, data=bytes(size)))
    header = VNET.pack(VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1460, 34, 16)
    return header, bytes(frame)


def test_super_segments_pass_whole(bench):
    header, frame = segment_of(60_000)
    bench.one.send(header + frame)
    bench.turn()
    assert drain(bench.two) == [header + frame]
    header, frame = segment_of(60_000, target=OUTSIDE)
    bench.one.send(header + frame)
    [out] = bench.sent()  # the kernel took it as one, too
    assert len(out) == len(frame)
    assert bench.refused() == {}


SPOOFS = {
    "source_mac": udp_frame(End(TWO.mac, ONE.ip, 1), OUTSIDE, b"x"),
    "source_address": udp_frame(End(ONE.mac, TWO.ip, 1), OUTSIDE, b"x"),
    "arp_sender": arp(ONE, OUTSIDE, source=TWO.ip),
    "ethertype": OUTSIDE.mac + ONE.mac + b"\x88\xb5" + bytes(46),
}
MORE_SPOOFS = {
    "the kernel's": ("source_address", udp_frame(End(ONE.mac, OUTSIDE.ip, 1), HOST, b"x")),
    "no address, as in DHCP": ("source_address", udp_frame(End(ONE.mac, bytes(4), 68), BROADCAST, b"x")),
    "a fragment": (
        "source_address",
        udp_frame(End(ONE.mac, TWO.ip, 1), OUTSIDE, b"x")[:20] + b"\x20\x01" + bytes(40),
    ),
    "another's link address within ARP": ("arp_sender", arp(ONE, OUTSIDE, mac=TWO.mac)),
    "a probe for another's address": ("arp_sender", arp(ONE, TWO, source=bytes(4))),
    "within a VLAN": (
        "ethertype",
        OUTSIDE.mac + ONE.mac + b"\x81\x00\x00\x01" + udp_frame(End(ONE.mac, TWO.ip, 1), OUTSIDE, b"x")[12:],
    ),
    "IPv6": ("ethertype", OUTSIDE.mac + ONE.mac + b"\x86\xdd" + bytes(60)),
    "a length in the place of a type": ("ethertype", OUTSIDE.mac + ONE.mac + b"\x00\x26" + bytes(60)),
}


@pytest.mark.parametrize("checks", [True, False], ids=["", "control"])
@pytest.mark.parametrize("reason", SPOOFS)
def test_nobody_sends_from_anothers_address(reason, checks):
    with contextlib.closing(Bench(checks=checks)) as bench:
        bench.one.send(PLAIN + SPOOFS[reason])
        assert bench.sent() == ([] if checks else [SPOOFS[reason]])
        assert bench.refused() == ({reason: 1} if checks else {})
        assert drain(bench.two) == ([PLAIN + SPOOFS[reason]] if not checks and reason == "arp_sender" else [])


@pytest.mark.parametrize("what", MORE_SPOOFS)
def test_nor_in_any_other_way(bench, what):
    reason, frame = MORE_SPOOFS[what]
    bench.one.send(PLAIN + frame)
    assert bench.sent() == drain(bench.two) == bench.ours == []
    assert bench.refused() == {reason: 1}


def test_a_probe_for_its_own_address_passes(bench):
    bench.one.send(PLAIN + arp(ONE, ONE, source=bytes(4)))
    assert len(bench.sent()) == 1


def bad_packets():
    _, frame = segment_of(3000)
    good = udp_frame(ONE, TWO, bytes(1472))
    yield "malformed", b"\0"
    yield "malformed", PLAIN + good[:13]
    yield "malformed", PLAIN + good[:14]
    yield "malformed", PLAIN + good[:33]
    yield "malformed", PLAIN + good[:14] + b"\x41" + good[15:]
    yield "malformed", PLAIN + arp(ONE, TWO)[:41]
    yield "too_long", PLAIN + good + b"x"
    yield "too_long", PLAIN + bytes(70_000)
    yield "too_long", PLAIN + bytes(150_000)
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, GSO_TCPV4, 54, 0, 34, 16) + frame
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1461, 34, 16) + frame
    yield "offload", VNET.pack(0, GSO_TCPV4, 54, 1460, 34, 16) + frame
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, 4, 54, 1460, 34, 16) + frame
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, GSO_TCPV4, 5400, 1460, 34, 16) + frame
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1460, 34, 65_000) + frame
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, 5, 54, 1460, 34, 6) + frame
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, 0, 0, 0, 14, 0) + good
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, 0, 0, 0, 34, 6) + arp(ONE, TWO)
    yield "offload", VNET.pack(VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1460, 34, 16) + frame[:50]


@pytest.mark.parametrize(("reason", "packet"), list(bad_packets()))
def test_packets_that_cannot_be_are_refused(bench, reason, packet):
    bench.one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    bench.one.send(packet)
    assert bench.sent() == drain(bench.two) == bench.ours == []
    assert bench.refused() == {reason: 1}
    bench.one.send(PLAIN + udp_frame(ONE, TWO, bytes(1472)))  # it goes on
    bench.turn()
    assert len(drain(bench.two)) == 1


def test_garbage_passes_nothing(bench):
    rng = random.Random(7)
    for _ in range(2000):
        bench.one.send(rng.randbytes(rng.randrange(1, 200)))
        if rng.random() < 0.05:
            bench.turn()
    assert bench.sent() == drain(bench.two) == bench.ours == []
    assert sum(bench.refused().values()) == 2000


def mutants(rng, count):
    header, frame = segment_of(3000)
    plain = [
        PLAIN + f for f in (*SPOOFS.values(), udp_frame(ONE, TWO, b"x"), udp_frame(ONE, OUTSIDE, b"x"), arp(ONE, TWO))
    ]
    originals = [*plain, header + frame, VNET.pack(VNET_NEEDS_CSUM, 0, 0, 0, 34, 6) + udp_frame(ONE, TWO, b"x")]
    for _ in range(count):
        packet = bytearray(rng.choice(originals))
        for _ in range(rng.randrange(3)):
            packet[rng.randrange(min(len(packet), 64))] = rng.choice((0, 1, 2, 4, 5, 0x45, 0xFF, rng.randrange(256)))
        yield bytes(packet[: rng.randrange(1, len(packet)) if rng.random() < 0.1 else None])


def test_both_engines_refuse_and_pass_the_same(monkeypatch):
    histories = []
    for native in (True, False):
        monkeypatch.setattr(tap_module, "NATIVE", native)
        history = []
        with contextlib.closing(Bench()) as bench:
            for packet in mutants(random.Random(11), 400):
                bench.one.send(packet)
                if bench.switch.rx_burst(bench.burst):
                    bench.ours.append(bench.burst.frame(0))
                history.append((bench.refused(), drain(bench.outside), drain(bench.two), len(bench.ours)))
                drain(bench.one)
        histories.append(history)
    for number, (c, plain) in enumerate(zip(*histories, strict=True)):
        assert c == plain, list(mutants(random.Random(11), number + 1))[-1]
    assert len(histories[0][-1][0]) >= 6  # reasons that occurred


def test_a_word_for_a_checksum_is_not_taken(bench):
    bench.one.send(VNET.pack(2, 0, 0, 0, 0, 0) + udp_frame(ONE, TWO, b"x"))
    bench.turn()
    assert drain(bench.two) == [PLAIN + udp_frame(ONE, TWO, b"x")]


def test_broadcasts_of_a_port_are_limited(bench):
    clock = bench.switch._plain_switch or bench.switch._switch
    clock.now_us = 1_000_000
    for i in range(FLOODS_PER_S + 50):
        bench.one.send(PLAIN + arp(ONE, OUTSIDE))
        if i % 50 == 0:
            bench.turn()
    assert len(bench.sent()) == FLOODS_PER_S
    assert bench.refused() == {"broadcast_rate": 50}
    bench.two.send(PLAIN + arp(TWO, OUTSIDE))  # others are not
    assert len(bench.sent()) == 1
    clock.now_us += 2 * 1_000_000 // FLOODS_PER_S
    drain(bench.one)
    drain(bench.two)
    for _ in range(3):
        bench.one.send(PLAIN + arp(ONE, OUTSIDE))
    assert len(bench.sent()) == 2


def test_a_slow_reader_holds_nobody_up(bench):
    slow, at = bench.plug(End(bytes.fromhex("020000000003"), bytes([198, 18, 0, 130]), 3), 200_000)
    target = End(bytes.fromhex("020000000003"), bytes([198, 18, 0, 130]), 3)
    frames = [udp_frame(OUTSIDE, target, b"%06d" % i + bytes(1300)) for i in range(1000)]
    for i, frame in enumerate(frames):
        bench.outside.send(frame)
        if i % 50 == 0:
            bench.turn()
    bench.outside.send(udp_frame(OUTSIDE, TWO, b"meanwhile"))
    bench.turn()
    assert drain(bench.two) == [PLAIN + udp_frame(OUTSIDE, TWO, b"meanwhile")]
    counts = bench.switch.port_counts(at)
    assert counts["waiting"] > 100
    assert counts["tx_dropped"] > 100
    assert counts["tx_frames"] + counts["waiting"] + counts["tx_dropped"] == 1000
    passed = counts["tx_frames"] + counts["waiting"]
    got = []
    while len(got) < passed:
        got += drain(slow)
        bench.turn()
    assert got == [PLAIN + frame for frame in frames[:passed]]
    assert bench.switch.port_counts(at)["waiting"] == 0
    bench.outside.send(frames[0])
    bench.turn()
    assert drain(slow) == [PLAIN + frames[0]]


def test_the_end_of_a_process_is_seen_once(bench):
    bench.one.send(PLAIN + udp_frame(ONE, TWO, b"last"))
    bench.one.close()
    bench.turn()
    assert drain(bench.two) == [PLAIN + udp_frame(ONE, TWO, b"last")]
    assert bench.gone == [bench.one_at]
    bench.outside.send(udp_frame(OUTSIDE, ONE, b"to nobody"))
    bench.turn()
    assert bench.gone == [bench.one_at]
    bench.switch.remove_port(bench.one_at)
    bench.switch.remove_port(bench.one_at)
    again, index = bench.plug(ONE)
    assert index == bench.one_at
    bench.outside.send(udp_frame(OUTSIDE, ONE, b"to somebody"))
    bench.turn()
    assert drain(again) == [PLAIN + udp_frame(OUTSIDE, ONE, b"to somebody")]
    assert bench.switch.port_counts(index)["tx_frames"] == 1


def test_an_empty_packet_is_the_end(bench):
    bench.one.send(b"")
    bench.turn()
    assert bench.gone == [bench.one_at]


def test_ports_are_bounded(bench):
    for number in range(MAX_PORTS - 2):
        bench.plug(End(bytes([2, 0, 0, 0, 1, number]), bytes([198, 18, 1, number]), 1))
    with pytest.raises(NoBufferSpace):
        bench.plug(End(bytes([2, 0, 0, 0, 2, 0]), bytes([198, 18, 2, 0]), 1))


def test_without_offloads_the_header_is_empty():
    with contextlib.closing(Bench(offload=False)) as bench:
        bench.one.send(PLAIN + udp_frame(ONE, OUTSIDE, b"out"))
        assert bench.sent() == [udp_frame(ONE, OUTSIDE, b"out")]
        bench.outside.send(udp_frame(OUTSIDE, ONE, b"in"))
        bench.turn()
        assert drain(bench.one) == [PLAIN + udp_frame(OUTSIDE, ONE, b"in")]
        header, frame = segment_of(3000)
        bench.one.send(header + frame)
        bench.one.send(VNET.pack(VNET_NEEDS_CSUM, 0, 0, 0, 34, 6) + udp_frame(ONE, OUTSIDE, b"out"))
        assert bench.sent() == []
        assert bench.refused() == {"offload": 2}


def test_the_device_ends_as_any(bench):
    bench.switch.close()
    bench.switch.close()
    assert bench.switch.fileno() == -1
