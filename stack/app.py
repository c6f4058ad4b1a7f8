"""Puts the parts together: a device, a host on it, and the event loop that drives them.

    async with stack.open_tap("tapstack0", "198.18.0.2/24", host_address="198.18.0.1") as host:
        reader, writer = await host.open_connection("198.18.0.1", 8000)

The daemon is built from the same functions.
"""

import asyncio
import contextlib
import ipaddress
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, BinaryIO, TypeVar

from stack.aio.device_driver import monotonic_us
from stack.aio.network import AsyncHost
from stack.config import HostConfig
from stack.daemon import hostside
from stack.device.base import Device
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.device.pcap import CaptureDevice, CaptureTrace
from stack.device.pcapng import PcapngWriter
from stack.device.tap import TapDevice
from stack.errors import ConfigError

logger = logging.getLogger(__name__)

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Uvloop's where it is installed, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run(main)` on the fastest loop there is."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def open_device(name: str, *, mtu: int = 1500, offload: bool = True) -> TapDevice:
    """A TAP device, with the kernel's offloads where it has them.  Needs CAP_NET_ADMIN.  Raises DeviceError."""
    return TapDevice(name, mtu=mtu, offload=offload)


def wrap_device(
    device: Device,
    faults: Faults | None = None,
    capture: BinaryIO | None = None,
    seed: int = 1,
    trace: CaptureTrace | None = None,
) -> Device:
    """`device` as seen through faults in both directions and a capture of what the stack sees and sends.

    `trace`, if the host has it too, puts the host's remarks on received frames into the capture.
    """
    if faults is not None:
        device = FaultDevice(device, random.Random(seed), monotonic_us, inbound=faults, outbound=faults)
    if capture is not None:
        writer = PcapngWriter(capture, on_error=_capture_stopped)
        device = CaptureDevice(device, writer, _time_of_day, trace=trace)
    return device


def _capture_stopped(error: OSError) -> None:
    logger.warning("the capture stops here, the stack goes on: %s", (error.strerror or str(error)).lower())


def _time_of_day() -> int:
    """Microseconds since 1970: what a capture is labelled with."""
    return time.time_ns() // 1000


def _addresses(
    address: str, host_address: str | None
) -> tuple[ipaddress.IPv4Interface, ipaddress.IPv4Interface | None]:
    """Both ends of the link.  Raises ConfigError."""
    try:
        ours = ipaddress.IPv4Interface(address)
        theirs = None
        if host_address is not None:
            theirs = ipaddress.IPv4Interface(f"{host_address}/{ours.network.prefixlen}")
    except ValueError as exc:
        raise ConfigError(f"{exc}: give addresses as 198.18.0.2/24 and 198.18.0.1") from exc
    if theirs is not None and (theirs.ip == ours.ip or theirs.network != ours.network):
        raise ConfigError(
            f"host_address {host_address} must be another address of {ours.network}, the network of {address}"
        )
    return ours, theirs


@contextlib.asynccontextmanager
async def open_tap(
    name: str = "tapstack0",
    address: str = "198.18.0.2/24",
    *,
    host_address: str | None = "198.18.0.1",
    mtu: int = 1500,
    offload: bool = True,
    config: HostConfig | None = None,
) -> AsyncIterator[AsyncHost]:
    """A host of its own address on a new TAP device; it and the device end with the context.

    `host_address` is what the kernel gets on its side, and the stack's default gateway; None leaves the
    kernel's side to you.  Needs root (CAP_NET_ADMIN).  Raises ConfigError, DeviceError, AddressInUse.
    """
    interface, gateway = _addresses(address, host_address)
    device = open_device(name, mtu=mtu, offload=offload)
    try:
        if gateway is not None:
            hostside.check_free(name, interface.network)
            hostside.configure(name, gateway, mtu)
        async with AsyncHost(config) as host:
            host.add_device(device, address, gateway=host_address)
            yield host
    finally:
        device.close()
