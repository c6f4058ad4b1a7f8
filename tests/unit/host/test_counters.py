"""Counters that tell how connections ended, and what the device refused."""

import random

from stack.config import SECOND, HostConfig, IpConfig
from stack.host.forwarder import MAX_UNDELIVERABLE
from stack.host.host import Host
from stack.stats import Counter, DropReason
from stack.wire.frame import Caps, TxFrame
from stack.wire.sink import FrameSink
from tests.support.net import TestNet


class FullSink(FrameSink):
    """A device whose queue is always full."""

    def __init__(self) -> None:
        self.caps = Caps()

    def send(self, frame: TxFrame) -> bool:
        return False

    def flush(self) -> int:
        return 0


def test_a_frame_that_the_device_refuses_is_counted():
    host = Host(HostConfig(ip=IpConfig(arp_probe=False)), random.Random(1))
    host.add_address(host.add_interface("full", FullSink(), b"\2\0\0\0\0\1", 1500, 0), 0x0A00_0001, 24, 0)
    endpoint = host.udp_open(0x0A00_0001, 0, 0, broadcast=True)
    before = host.stats.drops[DropReason.TX_DEVICE_FULL]
    host.udp_send(endpoint, b"x", 0x0A00_00FF, 9, 0)
    assert host.stats.drops[DropReason.TX_DEVICE_FULL] == before + 1


def test_a_refused_open_and_a_reset_are_told_apart():
    with TestNet() as net:
        client, server = net.connect()
        refused = net.a.connect(server.local_addr, 81, now=net.now)
        net.network.run_for(SECOND)
        assert refused.error is not None
        server.abort(net.now)
        net.b.wake(server)
        net.network.run_for(SECOND)
        assert client.error is not None
        counts = net.a.stats.counts
        assert counts[Counter.TCP_ATTEMPT_FAILS] == 1
        assert counts[Counter.TCP_ESTAB_RESETS] == 1
        assert counts[Counter.TCP_ABORTS_TIMEOUT] == 0


def test_what_a_router_could_not_deliver_is_reported_within_a_bound():
    host = Host(HostConfig(), random.Random(1))
    foreign = bytes(14) + b"\x45" + bytes(11) + b"\x0a\x09\x09\x09" + b"\x0a\x00\x00\x63"  # from 10.9.9.9
    for _ in range(10 * MAX_UNDELIVERABLE):
        host.ip._unresolved(foreign)
    assert len(host.ip._forwarder.undeliverable) == MAX_UNDELIVERABLE
