"""What a burst with new connections is answered by leaves with their own first answers, one round of the loop later."""

import asyncio
import random

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.aio.device_driver import DeviceDriver
from stack.aio.server import Listening, StackServer, acceptor
from stack.config import HostConfig, IpConfig
from stack.device.base import Device
from stack.host.host import Host
from stack.wire import accel
from stack.wire.addr import parse_addr
from stack.wire.frame import Caps

OURS, THEIRS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
OUR_IP, THEIR_IP = "10.0.0.1", "10.0.0.2"
LINK = Ether(dst=OURS, src=THEIRS) / IP(src=THEIR_IP, dst=OUR_IP)
PING = LINK / ICMP(type=8, id=5) / Raw(b"ping")


class Scripted(Device):
    """`give` has a burst received.  `log`: the frames that were sent, and None where they left."""

    def __init__(self):
        super().__init__("x", OURS, 1500, Caps())
        self.log = []
        self._waits = []

    def give(self, *frames):
        self._waits = [(bytes(frame), 0, 0, 0, 0, 0) for frame in frames]
        self.on_readable()

    def rx_burst(self, burst):
        frames, self._waits = self._waits, []
        return accel.load_burst(burst, frames, OURS) if frames else 0

    def send(self, frame):
        self.log.append(Ether(accel.finish(frame, Caps())[0][0]))
        return True

    def flush(self):
        if self.log and self.log[-1] is not None:
            self.log.append(None)
        return 0

    def close(self):
        pass


class Answers(asyncio.Protocol):
    """Answers what it hears."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())


def kinds(log):
    """What was sent, in short."""
    return [one and ("ping" if ICMP in one else bytes(one[TCP].payload) or str(one[TCP].flags)) for one in log]


async def rounds():
    for _ in range(5):
        await asyncio.sleep(0)


async def listening(device):
    """A driver on `device` whose host knows its peer and listens on port 7."""
    host = Host(HostConfig(ip=IpConfig(arp_probe=False)), random.Random(1))
    driver = DeviceDriver(host, asyncio.get_running_loop())
    ifindex = driver.attach(device)
    host.add_address(ifindex, parse_addr(OUR_IP), 24, driver.time())
    place = Listening(driver, host.listen(0, 7, accepting=False), acceptor(driver, Answers, None))
    await StackServer(driver.loop, [place]).start_serving()
    device.give(Ether(dst=OURS, src=THEIRS) / ARP(op=1, hwsrc=THEIRS, psrc=THEIR_IP, pdst=OUR_IP))
    await rounds()
    device.log.clear()
    return driver


async def open_one(device):
    """The first number behind the SYN-ACK; with the SYN came a ping, which the SYN-ACK does not keep waiting."""
    device.give(LINK / TCP(sport=9, dport=7, flags="S", seq=99, options=[("MSS", 1460)]), PING)
    await rounds()
    assert sorted(kinds(device.log[:2])) == ["SA", "ping"]
    assert device.log[2:] == [None]
    iss = next(one[TCP].seq for one in device.log if one and TCP in one)
    device.log.clear()
    return iss + 1


async def first_answer(device):
    driver = await listening(device)
    ack = await open_one(device)
    device.give(LINK / TCP(sport=9, dport=7, flags="PA", seq=100, ack=ack) / Raw(b"question"), PING)
    await asyncio.sleep(0)
    assert kinds(device.log) == ["ping"]  # it waits
    await rounds()
    assert kinds(device.log) == ["ping", b"QUESTION", None]
    driver.close()


async def no_question(device):
    driver = await listening(device)
    ack = await open_one(device)
    device.give(LINK / TCP(sport=9, dport=7, flags="A", seq=100, ack=ack), PING)
    await rounds()
    assert kinds(device.log) == ["ping", None]
    driver.close()


def test_the_first_answer_leaves_with_what_came_with_the_question():
    asyncio.run(first_answer(Scripted()))


def test_what_came_with_a_connection_that_says_nothing_leaves_all_the_same():
    asyncio.run(no_question(Scripted()))
