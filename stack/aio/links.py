"""Several hosts of one process on a common link: a cable between two, a switch between more.

    async with AsyncHost() as client, AsyncHost() as server:
        link = join(client, server, faults=Faults(delay_us=10_000, loss=0.01))
        await server.start_server(serve, port=80)
        reader, writer = await client.open_connection(link.addresses[1], 80)

No root is needed, and nothing leaves the process.
"""

import logging
import random
import time
from dataclasses import dataclass
from typing import BinaryIO, Final

from stack.aio.device_driver import monotonic_us
from stack.aio.network import AsyncHost
from stack.config import Rng
from stack.device.base import Device
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.device.pcap import CaptureDevice
from stack.device.pcapng import PcapngWriter
from stack.device.virtual import FULL_OFFLOAD, Switch, VirtualDevice, link
from stack.errors import AddressInUse, ConfigError
from stack.wire.addr import format_addr, parse_network
from stack.wire.frame import Caps

logger = logging.getLogger(__name__)

_LOCAL_MAC: Final = b"\x02"  # first octet: administered locally, one host


@dataclass(frozen=True, slots=True)
class Link:
    """What `join` made, in the order of the hosts: their addresses, and the devices as they see them.

    With faults a device is a FaultDevice, whose `inbound` can be configured while it runs.
    """

    addresses: tuple[str, ...]
    devices: tuple[Device, ...]


def join(
    *hosts: AsyncHost,
    network: str = "10.0.0.0/24",
    mtu: int = 1500,
    caps: Caps = FULL_OFFLOAD,
    faults: Faults | None = None,
    capture: BinaryIO | None = None,
    rng: Rng | None = None,
) -> Link:
    """Put `hosts` on a link of their own, with the first addresses of `network`.

    What each host sends passes `faults` once.  `capture` gets a pcapng file with what every host sees and sends; it
    stays the caller's.  `rng` decides MAC addresses and faults (the default is the system's randomness).  Raises
    ConfigError, InvalidAddress, AddressInUse, before anything is changed.
    """
    addrs, prefix_len = _addresses(hosts, network)
    rng = rng or random.SystemRandom()
    devices: list[Device] = []
    writer = PcapngWriter(capture, on_error=_capture_stopped) if capture is not None else None
    for made in _plug(_macs(len(hosts), rng), mtu, caps):
        made.name = _free_name(hosts, made.name)
        device: Device = made
        if faults is not None:
            # at the receiving end: what is under way must not vanish with its sender
            device = FaultDevice(device, rng, monotonic_us, inbound=faults)
        if writer is not None:
            device = CaptureDevice(device, writer, _time_of_day)
        devices.append(device)
    texts = tuple(format_addr(addr) for addr in addrs)
    for host, device, text in zip(hosts, devices, texts, strict=True):
        host.add_device(device, f"{text}/{prefix_len}")
    return Link(texts, tuple(d.inner if isinstance(d, CaptureDevice) else d for d in devices))


def _addresses(hosts: tuple[AsyncHost, ...], network: str) -> tuple[list[int], int]:
    """An address for each host.  Raises ConfigError, InvalidAddress, AddressInUse."""
    if len(hosts) < 2 or len(set(hosts)) < len(hosts):
        raise ConfigError(f"a link joins two or more different hosts, not {len(hosts)}")
    base, prefix_len = parse_network(network)
    room = (1 << 32 - prefix_len) - 2  # without those of the network and of its broadcast
    if room < len(hosts):
        raise ConfigError(f"{network} has addresses for {max(room, 0)} hosts, not for {len(hosts)}")
    addrs = [base + 1 + i for i in range(len(hosts))]
    for host, addr in zip(hosts, addrs, strict=True):
        if host.host.ip.is_local(addr):
            raise AddressInUse(f"{format_addr(addr)} is an address of that host already: choose another `network`")
    return addrs, prefix_len


def _macs(count: int, rng: Rng) -> list[bytes]:
    """Different link addresses."""
    macs: dict[bytes, None] = {}
    while len(macs) < count:
        macs[_LOCAL_MAC + rng.randbytes(5)] = None
    return list(macs)


def _plug(macs: list[bytes], mtu: int, caps: Caps) -> list[VirtualDevice]:
    if len(macs) == 2:
        return list(link(macs[0], macs[1], mtu, caps))
    switch = Switch()
    return [switch.plug(mac, mtu, caps) for mac in macs]


def _free_name(hosts: tuple[AsyncHost, ...], name: str) -> str:
    """`name`, with a number if one of the hosts has such an interface already."""
    taken = {interface.name for host in hosts for interface in host.host.ip.interfaces.values()}
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    return free


def _capture_stopped(error: OSError) -> None:
    logger.warning("the capture stops here, the hosts go on: %s", (error.strerror or str(error)).lower())


def _time_of_day() -> int:
    """Microseconds since 1970: what a capture is labelled with."""
    return time.time_ns() // 1000
