"""Our side of the interop matrix: hosts for a column, and the proof that a conversation went over them."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from stack.adapters.trio_sockets import StackSockets
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.device.base import Device
from stack.device.callback import CallbackDevice
from stack.device.tap import TapDevice
from stack.device.virtual import FULL_OFFLOAD, link
from stack.stats import Counter

KERNEL, OURS, OURS_TOO = "198.18.0.1", "198.18.0.2", "198.18.0.3"
PREFIX = 24
DEVICE = "tap0"
CONFIG = HostConfig(ip=IpConfig(arp_probe=False))
MIN_SEGMENTS = 10  # what any of the conversations takes at the very least, in each direction


@dataclass(slots=True)
class End:
    """One end of a column: an address, and, if it is ours, the host and what an adapter is handed."""

    address: str
    host: AsyncHost | None = None
    own: Any = None


@dataclass(frozen=True, slots=True)
class Hosts:
    """Both ends."""

    client: End
    server: End

    def ours(self) -> list[AsyncHost]:
        """The hosts that there are."""
        return [end.host for end in (self.client, self.server) if end.host is not None]


def ends_at(client: str, server: str) -> Hosts:
    """Two ends of ours, or one of ours and the kernel."""
    if client == server == "ours":
        return Hosts(End(OURS), End(OURS_TOO))
    return Hosts(End(OURS), End(KERNEL)) if client == "ours" else Hosts(End(KERNEL), End(OURS))


@contextlib.asynccontextmanager
async def hosts_at(client: str, server: str, wrap: Callable[[Device], Device] = lambda device: device):
    """Hosts on the running loop: two on a virtual link, or one on the TAP device to the kernel.

    `wrap` is put around the first one's device.
    """
    hosts = ends_at(client, server)
    ours = [end for end in (hosts.client, hosts.server) if end.address != KERNEL]
    if len(ours) == 2:
        near, far = link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2", caps=FULL_OFFLOAD)
        devices: list[Device] = [wrap(near), far]
    else:
        devices = [wrap(TapDevice(DEVICE))]
    try:
        for end, device in zip(ours, devices, strict=True):
            end.own = end.host = AsyncHost(CONFIG)
            end.host.add_device(device, f"{end.address}/{PREFIX}")
        yield hosts
    finally:
        for host in hosts.ours():
            await host.aclose(1.0)


@contextlib.asynccontextmanager
async def engines_at(client: str, server: str, loop_factory: Callable[[], asyncio.AbstractEventLoop]):
    """As hosts_at for programs on trio: each host of ours is on a loop in a thread, which its first socket starts."""
    hosts = ends_at(client, server)
    ours = [end for end in (hosts.client, hosts.server) if end.address != KERNEL]
    wires: dict[str, tuple[asyncio.AbstractEventLoop, CallbackDevice]] = {}

    def to_the_other(end: End) -> Callable[[bytes], bool]:
        def send(packet: bytes) -> bool:
            other = [wire for address, wire in wires.items() if address != end.address]
            for loop, device in other:
                loop.call_soon_threadsafe(device.feed, packet)
            return bool(other)

        return send

    @contextlib.asynccontextmanager
    async def make(end: End):
        async with AsyncHost(CONFIG) as host:
            if len(ours) == 1:
                host.add_device(TapDevice(DEVICE), f"{end.address}/{PREFIX}")
            else:
                device = CallbackDevice("wire", to_the_other(end))
                wires[end.address] = asyncio.get_running_loop(), device
                host.add_device(device, f"{end.address}/{PREFIX}")
            end.host = host
            yield host
            wires.pop(end.address, None)

    with contextlib.ExitStack() as factories:
        for end in ours:
            end.own = factories.enter_context(StackSockets(partial(make, end), loop_factory=loop_factory))
        yield hosts


async def nothing_left(hosts: Hosts, seconds: float = 10.0) -> None:
    """Until every transport, listener and endpoint of our hosts has ended.  Raises AssertionError with what has not."""

    def left() -> list[object]:
        return [handler for host in hosts.ours() for handler in list(host.driver.handlers)]

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while left():
                await asyncio.sleep(0.002)
    assert not left(), f"left open after {seconds:g} s: {left()}"


def assert_went_over(hosts: Hosts, *, datagrams: bool) -> None:
    """The conversation that was had went over our hosts: each sent and received, and opened what it was to open."""
    assert hosts.ours(), "there is no host of ours"
    for host in hosts.ours():
        counts = host.host.stats.counts
        for counter in (Counter.TCP_IN_SEGS, Counter.TCP_OUT_SEGS):
            assert counts[counter] >= MIN_SEGMENTS, f"{counter.name} is {counts[counter]}"
        if datagrams:
            assert min(counts[Counter.UDP_IN], counts[Counter.UDP_OUT]) > 0, "no datagram passed"
    for end, opens in ((hosts.client, Counter.TCP_ACTIVE_OPENS), (hosts.server, Counter.TCP_PASSIVE_OPENS)):
        if end.host is not None:
            assert end.host.host.stats.counts[opens] > 0, f"{opens.name} is 0"
