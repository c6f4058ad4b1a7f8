"""Full bursts are answered together; the application hears of each."""

import asyncio
import contextlib
import random
import socket

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.aio.datagram import attach, open_udp
from stack.aio.device_driver import ANSWER_AFTER, MAX_BURSTS, DeviceDriver
from stack.config import HostConfig, IpConfig
from stack.device.base import Device
from stack.device.vnet import FULL, NATIVE, VnetDevice
from stack.host.host import Host
from stack.wire import accel
from stack.wire.addr import parse_addr
from stack.wire.burst import Burst
from stack.wire.frame import Caps

OURS, THEIRS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
OUR_IP, THEIR_IP = "10.0.0.1", "10.0.0.2"


class Loaded(Device):
    """Gives a datagram in each burst, and says of `full` of them that more waits.  `log`: what happened, in order."""

    def __init__(self, bursts, full):
        super().__init__("x", OURS, 1500, Caps())
        self.log = []
        self._left = bursts
        self._full = full

    def rx_burst(self, burst):
        if not self._left:
            return 0
        self._left -= 1
        frame = bytes(Ether(dst=OURS, src=THEIRS) / IP(src=THEIR_IP, dst=OUR_IP) / UDP(sport=9, dport=7) / Raw(b"x"))
        assert accel.load_burst(burst, [(frame, 0, 0, 0, 0, 0)], OURS) == 1
        burst.more = self._full > 0
        self._full -= 1
        self.log.append("burst")
        return 1

    def send(self, frame):
        self.log.append("sent")
        return True

    def flush(self):
        self.log.append("answered")
        return 0

    def close(self):
        pass


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def passes(device):
    """What the driver did with all that `device` had."""
    host = Host(HostConfig(ip=IpConfig(arp_probe=False)), random.Random(1))
    driver = DeviceDriver(host, asyncio.get_running_loop())
    ifindex = driver.attach(device)
    host.add_address(ifindex, parse_addr(OUR_IP), 24, driver.time())
    burst = Burst()
    learn = Ether(dst=OURS, src=THEIRS) / ARP(op=1, hwsrc=THEIRS, psrc=THEIR_IP, pdst=OUR_IP)
    accel.load_burst(burst, [(bytes(learn), 0, 0, 0, 0, 0)], OURS)
    host.receive(ifindex, burst, driver.time())
    attach(driver, open_udp(driver, (parse_addr(OUR_IP), 7)), Echo, None)
    driver.run_pass()
    device.log.clear()
    device.on_readable()
    while device._left:
        await asyncio.sleep(0)
    log = device.log[:]
    driver.close()
    return log


ONE = ["burst", "sent"]


@pytest.mark.parametrize(
    ("full", "expected"),
    [
        (0, [*ONE, "answered"] * MAX_BURSTS),  # the control: each is answered
        (3, ONE * 4 + ["answered"] + [*ONE, "answered"] * (MAX_BURSTS - 4)),
        (MAX_BURSTS, (ONE * ANSWER_AFTER + ["answered"]) * (MAX_BURSTS // ANSWER_AFTER)),
    ],
)
def test_full_bursts_are_answered_together(full, expected):
    log = asyncio.run(passes(Loaded(MAX_BURSTS, full)))
    assert log[: len(expected)] == expected


def test_a_full_burst_behind_which_nothing_came_is_answered():
    log = asyncio.run(passes(Loaded(3, 3)))
    assert log[:7] == [*ONE * 3, "answered"]


@pytest.mark.parametrize("size", [100, 60_000])
def test_a_device_says_when_it_has_more(size):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with contextlib.closing(near), contextlib.closing(far):
        near.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        device = VnetDevice("x", OURS, 1500, Caps(), near.fileno(), near, vnet=False)
        frame = bytes(Ether(dst=OURS, src=THEIRS) / IP(src=THEIR_IP, dst=OUR_IP) / UDP() / Raw(bytes(size)))
        burst, rows, more = Burst(), [], []
        far.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 600:
                far.send(frame)
                sent += 1
        while device.rx_burst(burst):
            rows.append(burst.count)
            more.append(burst.more)
        assert sum(rows) == sent
        assert more == [NATIVE] * (len(rows) - 1) + [False]
        assert len(rows) > 1
        assert all(count >= FULL for count in rows[:-1])
        device.close()
