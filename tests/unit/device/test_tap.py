"""TapDevice against the kernel, and what PacketDevice has in common with it; in a network namespace of its own."""

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether

from stack.device import packet as packet_module
from stack.device import tap as tap_module
from stack.device.packet import PacketDevice
from stack.device.tap import TapDevice
from stack.errors import ConfigError, DeviceError, DeviceGone
from stack.tcp.segment import ACK, SYN
from stack.wire.burst import KIND_ARP, KIND_TCP, ROW_BAD_CSUM, ROW_GSO, ROW_PARTIAL, ROW_TS, Burst
from stack.wire.frame import FILL_IP, GSO_TCPV4, GSO_UDP_L4, L4_OFF, NEEDS_CSUM, TxFrame
from tests.support.netns import wait_for_link

pytestmark = pytest.mark.netns

OURS, KERNEL = "198.18.0.2", "198.18.0.1"
CLONE_NEWNET = 0x40000000
SIOCGIFHWADDR = 0x8927
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(autouse=True)
def namespace():
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET):
        pytest.fail(os.strerror(ctypes.get_errno()))
    yield
    libc.setns(home, CLONE_NEWNET)
    os.close(home)


@pytest.fixture(params=["c", "plain"])
def engine(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(tap_module, "NATIVE", False)
        monkeypatch.setattr(packet_module, "NATIVE", False)
    assert (request.param == "c") == tap_module.NATIVE


@pytest.fixture(params=["pytun", "ioctl"])
def opener(request, monkeypatch):
    if request.param == "ioctl":
        monkeypatch.setattr(tap_module, "pytun", None)
    else:
        assert tap_module.pytun is not None


def sent(device, frame):
    return device.send(frame) and not device.flush()


@pytest.fixture(params=["offload", "plain-frames", "packet", "packet-plain-frames"])
def tap(request, engine):
    """A TAP, or a packet socket at the other end of a veth pair; the kernel's end is tap0 in both cases."""
    offload = "plain" not in request.param
    with contextlib.ExitStack() as closing:
        if "packet" in request.param:
            run("ip", "link", "add", "tap0", "up", "type", "veth", "peer", "name", "veth1")
            run("ip", "link", "set", "veth1", "up")
            wait_for_link("tap0", "veth1")
            device = closing.enter_context(contextlib.closing(PacketDevice("veth1", offload=offload)))
        else:
            device = closing.enter_context(contextlib.closing(TapDevice("tap0", offload=offload)))
            device.set_up()
            device.set_txqueuelen(10_000)
        run("ip", "address", "add", f"{KERNEL}/24", "dev", "tap0")
        run("ip", "neighbour", "add", OURS, "lladdr", device.mac.hex(":"), "dev", "tap0")
        yield device


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rows(device, burst, kinds=(KIND_TCP, KIND_ARP)):
    """The next rows of `kinds` that come within a second."""
    for _ in range(100):
        if not select.select([device.fileno()], [], [], 1)[0]:
            break
        count = device.rx_burst(burst)
        found = [burst.row_at(i) for i in range(count) if burst.row_at(i)[10] in kinds]
        if found:
            return found
    return []


def kernel_mac():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return fcntl.ioctl(sock, SIOCGIFHWADDR, struct.pack("40s", b"tap0"))[18:24].hex(":")


def fill(frame, device, layer, payload=b"", gso_type=0, gso_size=0):
    head = bytes(Ether(dst=kernel_mac(), src=device.mac.hex(":")) / IP(src=OURS, dst=KERNEL, flags="DF") / layer)
    frame.start = L4_OFF - 34
    frame.header_end = frame.start + len(head)
    frame.header[frame.start : frame.header_end] = head
    frame.payload = payload
    frame.payload_off, frame.payload_len = 0, len(payload)
    frame.flags = NEEDS_CSUM | FILL_IP
    frame.gso_type, frame.gso_size = gso_type, gso_size
    frame.csum_start, frame.csum_offset = 34, 16 if isinstance(layer, TCP) else 6
    return frame


def test_opens_and_disappears(opener):
    device = TapDevice("tap7", mtu=1400)
    assert "tap7" in run("ip", "link", "show", "tap7")
    assert (device.name, device.mtu) == ("tap7", 1400)
    assert not device.mac[0] & 1
    assert device.mac[0] & 2
    assert device.mac.hex(":") not in run("ip", "link", "show", "tap7")
    assert not os.get_blocking(device.fileno())
    assert not os.get_inheritable(device.fileno())
    device.close()
    device.close()
    assert device.fileno() == -1
    assert "tap7" not in run("ip", "link")


def test_attaches_to_a_persistent_interface(opener):
    run("ip", "tuntap", "add", "tap3", "mode", "tap")
    device = TapDevice("tap3", offload=False)
    device.close()
    assert "tap3" in run("ip", "link")
    device = TapDevice("tap3")
    device.set_persistent(False)
    device.close()
    assert "tap3" not in run("ip", "link")


def test_errors_are_one_clear_sentence(opener, monkeypatch):
    with contextlib.closing(TapDevice("tap0")), pytest.raises(DeviceError, match="tap0 is in use by another process"):
        TapDevice("tap0")
    with pytest.raises(DeviceError, match="lo exists and is no TAP device") as caught:
        TapDevice("lo")
    assert caught.value.errno == errno.EINVAL
    for bad in ("", "a" * 16, "a/b", "a b"):
        with pytest.raises(ConfigError, match="is no interface name"):
            TapDevice(bad)
    with pytest.raises(ConfigError, match="mtu 20"):
        TapDevice("tap1", mtu=20)
    with pytest.raises(ConfigError, match="no unicast MAC"):
        TapDevice("tap1", b"\xff" * 6)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.ENOENT, "no /dev/net/tun"),
        (errno.EPERM, "CAP_NET_ADMIN"),
        (errno.ENFILE, "cannot open TAP tap0: Too many"),
    ],
)
def test_what_the_machine_lacks_is_said(code, text, monkeypatch):
    def fails(*args, **kwargs):
        raise OSError(code, "no")

    monkeypatch.setattr(tap_module.pytun, "TunTapDevice", fails)
    with pytest.raises(DeviceError, match=text):
        TapDevice("tap0")


def test_the_interface_is_removed_under_us(engine):
    device = TapDevice("tap0")
    device.set_up()
    burst = Burst()
    while device.rx_burst(burst):
        pass
    assert sent(device, fill(TxFrame(), device, UDP(), b"x"))
    run("ip", "link", "delete", "tap0")
    assert select.select([device.fileno()], [], [], 1)[0]
    frame = TxFrame()
    frame.payload = b"x" * 60
    frame.payload_len = 60
    assert not sent(device, frame)
    assert device.tx_errors == 1
    with pytest.raises(DeviceGone, match="tap0 disappeared"):
        device.rx_burst(burst)
    device.close()
    with pytest.raises(DeviceGone):
        device.rx_burst(burst)


def test_a_switched_off_interface_costs_frames_only(engine):
    with contextlib.closing(TapDevice("tap0")) as device:
        assert not sent(device, fill(TxFrame(), device, UDP(), b"x"))
        assert device.tx_errors == 1
        assert device.rx_burst(Burst()) == 0


def test_arp_from_the_kernel(tap):
    burst = Burst()
    while tap.rx_burst(burst):
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("198.18.0.9", 9))
    (row,) = rows(tap, burst, (KIND_ARP,))
    asked = ARP(burst.pool[row[2] : row[2] + row[3]])
    assert (asked.psrc, asked.pdst) == (KERNEL, "198.18.0.9")


def test_a_burst_is_drained(tap):
    burst = Burst()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for i in range(300):
            sock.sendto(struct.pack("!H", i), (OURS, 9))
    texts = []
    sizes = []
    while count := tap.rx_burst(burst):
        sizes.append(count)
        texts += [burst.pool[r[2] : r[2] + r[3]] for r in map(burst.row_at, range(count)) if r[10] == 3]
        assert not any(burst.row_at(i)[9] & ROW_BAD_CSUM for i in range(count))
    assert texts == [struct.pack("!H", i) for i in range(300)]
    assert sizes[0] == 256


def test_udp_super_datagrams_reach_a_kernel_socket(tap):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((KERNEL, 5000))
        sock.settimeout(1)
        text = bytes(range(256)) * 20
        frame = fill(TxFrame(), tap, UDP(sport=1, dport=5000, len=8 + len(text)), bytearray(text), GSO_UDP_L4, 1000)
        assert sent(tap, frame)
        got = [sock.recv(9000) for _ in range(6)]
        assert b"".join(got) == text
        assert [len(part) for part in got] == [1000] * 5 + [120]
        assert sent(tap, fill(frame, tap, UDP(sport=1, dport=5000, len=9), memoryview(b"y")))
        assert sock.recv(9) == b"y"


def test_tcp_super_segments_both_ways(tap):
    """A conversation by hand with a kernel socket: checksums, cutting and merging all have to be right."""
    burst, frame = Burst(), TxFrame()
    with socket.socket() as sock:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect((OURS, 80))
        syn = rows(tap, burst, (KIND_TCP,))[0]
        assert syn[11] == SYN
        assert syn[9] & ROW_TS
        port = syn[0] >> 16 & 0xFFFF
        rcv_nxt, tsval = syn[4] + 1, syn[6]
        options = [("MSS", 1460), ("WScale", 7), ("Timestamp", (1, tsval))]
        assert sent(tap, fill(frame, tap, TCP(sport=80, dport=port, seq=999, ack=rcv_nxt, flags="SA", options=options)))
        assert rows(tap, burst, (KIND_TCP,))[0][11] == ACK
        sock.setblocking(True)
        sock.settimeout(2)

        text = bytes(range(256)) * 230  # 58880 bytes
        data = TCP(
            sport=80,
            dport=port,
            seq=1000,
            ack=rcv_nxt,
            flags="PA",
            window=65535,
            options=[("NOP", 0), ("NOP", 0), ("Timestamp", (2, tsval))],
        )
        assert sent(tap, fill(frame, tap, data, text, GSO_TCPV4, 1448))
        got = b""
        while len(got) < len(text):
            got += sock.recv(100_000)
        assert got == text

        assert sock.send(text) == len(text)
        received = b""
        flags = 0
        for _ in range(50):
            for row in rows(tap, burst, (KIND_TCP,)):
                if row[3] and row[4] == (rcv_nxt + len(received)) & 0xFFFFFFFF:
                    received += burst.pool[row[2] : row[2] + row[3]]
                    flags |= row[9]
                    assert not row[9] & ROW_BAD_CSUM
            reply = TCP(
                sport=80,
                dport=port,
                seq=1000 + len(text),
                ack=(rcv_nxt + len(received)) & 0xFFFFFFFF,
                flags="A",
                window=65535,
                options=[("NOP", 0), ("NOP", 0), ("Timestamp", (3, tsval))],
            )
            assert sent(tap, fill(frame, tap, reply))
            if len(received) == len(text):
                break
        assert received == text
        assert flags & ROW_GSO  # the kernel's, or merged here
        assert flags & ROW_PARTIAL
