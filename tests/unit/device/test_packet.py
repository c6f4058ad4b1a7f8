"""PacketDevice on one end of a veth pair, the kernel at the other; in a network namespace of the test's own.

What it has in common with a TAP is in test_tap.py.
"""

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from stack.config import NEVER
from stack.device import packet as packet_module
from stack.device.packet import PacketDevice, program, station_address
from stack.errors import ConfigError, DeviceError, DeviceGone
from stack.wire.burst import Burst
from stack.wire.frame import TxFrame
from tests.support.netns import wait_for_link

pytestmark = pytest.mark.netns

CLONE_NEWNET = 0x40000000
SO_DETACH_FILTER = 27
OTHER = "02:00:00:00:00:77"
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(autouse=True)
def namespace():
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET):
        pytest.fail(os.strerror(ctypes.get_errno()))
    ip("link add veth0 up type veth peer name veth1")
    ip("link set veth1 up")
    for name in ("veth0", "veth1"):  # no neighbour discovery, which nobody asked for
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    wait_for_link("veth0", "veth1")
    yield
    libc.setns(home, CLONE_NEWNET)
    os.close(home)


@pytest.fixture(params=["c", "plain"])
def engine(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(packet_module, "NATIVE", False)
    assert (request.param == "c") == packet_module.NATIVE


@pytest.fixture
def device(engine):
    with contextlib.closing(PacketDevice("veth1")) as opened:
        yield opened


@pytest.fixture
def peer():
    """A raw socket at the other end."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as raw:
        raw.bind(("veth0", 0))
        raw.settimeout(2)
        yield raw


def ip(arguments):
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def received(device, burst):
    """The frames that wait.  What veth carries is there when the sender's call returns."""
    found = []
    while count := device.rx_burst(burst):
        for index in range(count):
            off, length = burst.meta_at(index)[:2]
            found.append(bytes(burst.pool[off : off + length]))
    return found


def arrives(device, peer, frame):
    """Whether `frame` gets through; a link that has just come up loses some until the kernel has noticed."""
    for _ in range(500):
        peer.send(frame)
        if select.select([device.fileno()], [], [], 0.01)[0] and frame in received(device, Burst()):
            return True
    return False


def datagram(device, **changes):
    ether = Ether(src=OTHER, dst=changes.get("dst", device.mac.hex(":")))
    return bytes(ether / IP(src="198.18.0.9", dst="198.18.0.2") / UDP(sport=1, dport=2) / (b"x" * 100))


def fill(frame, data):
    frame.start = frame.header_end
    frame.payload, frame.payload_off, frame.payload_len = data, 0, len(data)
    return frame


def test_what_it_is(device):
    link = socket.if_nametoindex("veth1")
    assert (device.name, device.mtu) == ("veth1", 1500)
    assert device.mac[0] == 2
    assert (device.caps.csum, device.caps.tso4) == (True, True)
    assert not os.get_blocking(device.fileno())
    assert not os.get_inheritable(device.fileno())
    with contextlib.closing(PacketDevice("veth1", b"\2\0\0\0\0\5", mtu=900, offload=False)) as other:
        assert (other.mac, other.mtu) == (b"\2\0\0\0\0\5", 900)
        assert (other.caps.csum, other.caps.tso4, other.caps.uso) == (False, False, False)
    assert socket.if_nametoindex("veth1") == link
    device.close()
    device.close()
    assert device.fileno() == -1


def test_addresses_differ_by_interface_and_stay():
    assert station_address("eth0", b"123456") == station_address("eth0", b"123456")
    assert (
        len({station_address("eth0", b"123456"), station_address("eth1", b"123456"), station_address("eth0", b"6")})
        == 3
    )


FOR_US = ("ours", "broadcast", "multicast", "arp")


@pytest.mark.parametrize("filtered", [True, False], ids=["filter", "control"])
def test_only_what_is_for_us_wakes_us(device, peer, filtered):
    if not filtered:  # the control: all of it comes, and the tag of a VLAN is gone
        device._sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    ours = device.mac.hex(":")
    frames = {
        "ours": datagram(device),
        "broadcast": datagram(device, dst="ff:ff:ff:ff:ff:ff"),
        "multicast": datagram(device, dst="01:00:5e:00:00:01"),
        "arp": bytes(Ether(src=OTHER, dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="198.18.0.2") / (b"p" * 18)),
        "others": datagram(device, dst="02:00:00:00:00:78"),
        "almost ours": datagram(device, dst=ours[:-1] + ("0" if ours[-1] != "0" else "1")),
        "vlan": bytes(Ether(src=OTHER, dst=ours) / Dot1Q(vlan=7) / IP(dst="198.18.0.2") / UDP() / (b"v" * 100)),
        "ipv6": bytes(Ether(src=OTHER, dst=ours) / IPv6() / UDP()),
    }
    for frame in frames.values():
        assert peer.send(frame) == len(frame)
    got = received(device, Burst())
    if filtered:
        assert got == [frames[name] for name in FOR_US]
    else:
        tagged = frames["vlan"]
        frames["vlan"] = tagged[:12] + tagged[16:]
        assert got == list(frames.values())


@pytest.mark.parametrize("ignoring", [True, False], ids=["ignored", "control"])
def test_what_the_kernel_sends_from_the_interface_is_not_ours(device, ignoring):
    if not ignoring:
        device._sock.setsockopt(packet_module._SOL_PACKET, packet_module._IGNORE_OUTGOING, 0)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as kernel:
        kernel.bind(("veth1", 0))
        kernel.send(datagram(device))
    assert len(received(device, Burst())) == (not ignoring)


def test_frames_leave_as_they_are(device, peer):
    small, large = datagram(device, dst=OTHER), bytes(Ether(src=OTHER, dst=OTHER) / IP() / UDP()) + bytes(1400)
    assert device.send(fill(TxFrame(), small))
    assert device.send(fill(TxFrame(), large))
    assert device.flush() == 0
    assert [peer.recv(2000) for _ in range(2)] == [small, large]
    assert device.rx_burst(Burst()) == 0  # they do not come back
    assert (device.tx_dropped, device.tx_errors) == (0, 0)


def test_what_is_not_read_is_dropped_and_counted(engine, peer, monkeypatch):
    monkeypatch.setattr(packet_module, "BUFFER", 20_000)
    with contextlib.closing(PacketDevice("veth1")) as device:
        for _ in range(200):
            peer.send(datagram(device))
        got = len(received(device, Burst()))
        assert 0 < got < 100
        assert device.rx_dropped() == 200 - got
        peer.send(datagram(device))
        assert len(received(device, Burst())) == 1
        assert device.rx_dropped() == 200 - got
    assert device.rx_dropped() == 200 - got


def test_down_and_up_again(device, peer):
    burst = Burst()
    peer.send(datagram(device))
    ip("link set veth1 down")
    assert select.select([device.fileno()], [], [], 1)[0]
    assert device.rx_burst(burst) == burst.count == 0
    assert device.deadline < 5_000_000  # somebody is to have a look
    assert received(device, burst) == [datagram(device)]
    device.on_timer(5_000_000)
    assert device.deadline == 6_000_000  # it is looked at again
    assert not (device.send(fill(TxFrame(), datagram(device))) and device.flush() == 0)
    assert device.tx_errors == 1
    ip("link set veth1 up")
    device.on_timer(6_000_000)
    assert device.deadline == NEVER
    received(device, burst)
    assert arrives(device, peer, datagram(device))


def test_a_new_name_changes_nothing(device, peer):
    ip("link set veth1 down")
    ip("link set veth1 name other")
    device.rx_burst(Burst())
    ip("link set other up")
    device.on_timer(0)
    assert device.deadline == NEVER
    assert arrives(device, peer, datagram(device))


@pytest.mark.parametrize("down_before", [False, True], ids=["at once", "down before"])
def test_the_interface_is_removed_under_us(device, down_before):
    burst = Burst()
    if down_before:  # the kernel says that it is down, and no more
        ip("link set veth1 down")
        assert device.rx_burst(burst) == 0
        device.on_timer(0)
    ip("link delete veth1")
    if not down_before:
        assert device.rx_burst(burst) == 0
    assert device.rx_burst(burst) == 0
    device.on_timer(device.deadline)
    with pytest.raises(DeviceGone, match="veth1 disappeared"):
        device.rx_burst(burst)
    assert device.deadline == NEVER
    assert not (device.send(fill(TxFrame(), b"x" * 60)) and device.flush() == 0)
    assert device.tx_errors == 1


def test_a_closed_device_is_gone(device):
    device.close()
    with pytest.raises(DeviceGone):
        device.rx_burst(Burst())


def test_errors_are_one_clear_sentence(engine):
    ip("tuntap add dev tun9 mode tun")
    ip("link set tun9 up")
    ip("link add veth8 type veth peer name veth9")
    for name, code, text in (
        ("eth7", errno.ENODEV, "there is no interface eth7: make it first"),
        ("lo", errno.EINVAL, "lo is no Ethernet: choose an interface that is"),
        ("tun9", errno.EINVAL, "tun9 is no Ethernet"),
        ("veth9", errno.ENETDOWN, "veth9 is down: 'ip link set veth9 up'"),
    ):
        with pytest.raises(DeviceError, match=text) as caught:
            PacketDevice(name)
        assert caught.value.errno == code
    for bad in ("", "a" * 16, "a/b"):
        with pytest.raises(ConfigError, match="is no interface name"):
            PacketDevice(bad)
    with pytest.raises(ConfigError, match="mtu 1501: veth1 carries 1500 at most"):
        PacketDevice("veth1", mtu=1501)
    with pytest.raises(ConfigError, match="mtu 20"):
        PacketDevice("veth1", mtu=20)
    with pytest.raises(ConfigError, match="no unicast MAC"):
        PacketDevice("veth1", b"\xff" * 6)


def test_what_the_machine_lacks_is_said(monkeypatch):
    class Refusing(socket.socket):
        def setsockopt(self, level, option, *value):
            if option == packet_module._VNET_HDR:
                raise OSError(errno.ENOPROTOOPT, "Protocol not available")
            super().setsockopt(level, option, *value)

    monkeypatch.setattr(packet_module.socket, "socket", Refusing)
    with pytest.raises(DeviceError, match="cannot set up a packet socket on veth1: Protocol not available"):
        PacketDevice("veth1")

    def refuse(*arguments):
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(packet_module.socket, "socket", refuse)
    with pytest.raises(DeviceError, match="cannot open a packet socket on veth1: Address family"):
        PacketDevice("veth1")


RIGHTS = """
import sys
from stack.device.packet import PacketDevice
from stack.errors import DeviceError
try:
    device = PacketDevice("veth1")
except DeviceError as exc:
    sys.exit(str(exc))
print(device.mac.hex(":"))
"""


@pytest.mark.parametrize(("rights", "status"), [("-all,+net_raw", 0), ("-all", 1)])
def test_it_needs_cap_net_raw_and_no_more(rights, status):
    command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", sys.executable, "-c", RIGHTS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status, ended.stderr
    if status:
        text = "no permission for a packet socket on veth1: run as root or with CAP_NET_RAW"
        assert ended.stderr.strip().endswith(text)


def test_the_program_is_as_libpcap_would_write_it():
    steps = list(struct.iter_unpack("=HBBI", program(b"\2\0\0\0\0\1")))
    assert len(steps) == 13
    for at, (code, yes, no, _) in enumerate(steps):
        if code & 7 == 5:  # a jump: forward, and to what is there
            assert max(yes, no) + at + 1 < len(steps)
    assert [step[0] & 7 for step in steps[-2:]] == [6, 6]
