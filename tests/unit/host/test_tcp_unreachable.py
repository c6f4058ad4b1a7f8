"""A connect that no neighbour answers, and, as the control, one whose neighbour answers ARP only."""

import errno
import random

from stack.config import NEVER, SECOND, HostConfig
from stack.device.virtual import link
from stack.host.host import Host
from stack.tcp.events import CLOSED
from stack.wire import accel
from stack.wire.burst import KIND_ARP, Burst
from tests.support.rfc import rfc

NEAR, FAR = 0x0A00_0001, 0x0A00_0002
RUN_US = 20 * SECOND


def closed_at(*, neighbour: bool) -> tuple[int, Exception | None]:
    """When an active open ended, and how; NEVER when it still tries after RUN_US."""
    devices = link(b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")
    hosts = [Host(HostConfig(), random.Random(seed)) for seed in range(2 if neighbour else 1)]
    for host, device, addr in zip(hosts, devices, (NEAR, FAR), strict=False):
        host.add_address(host.add_interface("link", device, device.mac, 1500, 0), addr, 24, 0)
    conn = hosts[0].connect(FAR, 80, now=0)
    burst = Burst()
    now = 0
    while now < RUN_US:
        for host, device in zip(hosts, devices, strict=False):
            host.on_timer(now)
            while device.rx_burst(burst):
                if host is not hosts[0]:  # the neighbour takes no SYN
                    arp = [burst.frame(i) for i in range(burst.count) if burst.row_at(i)[10] == KIND_ARP]
                    accel.load_burst(burst, [(frame, 0, 0, 0, 0, 0) for frame in arp], device.mac)
                host.receive(1, burst, now)
            host.poll_transmit(now)
        if conn.events & CLOSED:
            return now, conn.error
        now += SECOND // 20
    return NEVER, None


@rfc("1122", "2.3.2.2", "ARP-7")
def test_an_active_open_to_a_silent_neighbour_ends_with_ehostunreach():
    at, error = closed_at(neighbour=False)
    assert at <= 10 * SECOND
    assert isinstance(error, OSError)
    assert error.errno == errno.EHOSTUNREACH


def test_an_active_open_to_a_neighbour_that_answers_arp_goes_on():
    assert closed_at(neighbour=True) == (NEVER, None)
