"""Puts the parts together: a device, a host on it, and the event loop that drives them.

    async with stack.open_tap("tapstack0", "198.18.0.2/24", host_address="198.18.0.1") as host:
        reader, writer = await host.open_connection("198.18.0.1", 8000)

    uvicorn --loop stack.aio:factory --host 198.18.0.2 app:app

The daemon is built from the same functions.
"""

import asyncio
import contextlib
import dataclasses
import errno
import ipaddress
import logging
import os
import random
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from stack.aio.device_driver import monotonic_us
from stack.aio.loop import Capture, UvLoop, Wildcard, new_event_loop
from stack.aio.network import AsyncHost
from stack.config import HostConfig
from stack.daemon import hostside
from stack.device.base import Device
from stack.device.tap import TapDevice
from stack.device.tun import TunDevice
from stack.errors import ConfigError, DeviceError, StackError

# What a host on a TAP does without is imported where it is asked for: settings, resolver, capture and the like are half
# of all modules, and a host that is to answer soon waits for each (decision 28).
if TYPE_CHECKING:
    from stack.daemon.settings import Settings
    from stack.device.attached import AttachedDevice
    from stack.device.attaching import Lease
    from stack.device.fault_settings import Faults
    from stack.device.pcap import CaptureTrace
    from stack.device.queues import QueueGroup, Share

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
    """`asyncio.run(main)` on a StackLoop: hosts that `main` makes serve any asyncio program by their addresses."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def open_device(name: str, *, mtu: int = 1500, offload: bool = True) -> TapDevice:
    """A TAP device, with the kernel's offloads where it has them.  Needs CAP_NET_ADMIN.  Raises DeviceError."""
    return TapDevice(name, mtu=mtu, offload=offload)


def wrap_device(
    device: Device,
    faults: "Faults | None" = None,
    capture: BinaryIO | None = None,
    seed: int = 1,
    trace: "CaptureTrace | None" = None,
) -> Device:
    """`device` as seen through faults in both directions and a capture of what the stack sees and sends.

    `trace`, if the host has it too, puts the host's remarks on received frames into the capture.
    """
    if faults is not None:
        from stack.device.fault_device import FaultDevice  # noqa: PLC0415  # see above

        device = FaultDevice(device, random.Random(seed), monotonic_us, inbound=faults, outbound=faults)
    if capture is not None:
        from stack.device.pcap import CaptureDevice  # noqa: PLC0415
        from stack.device.pcapng import PcapngWriter  # noqa: PLC0415

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
    **options: Any,
) -> AsyncIterator[AsyncHost]:
    """A host of its own address on a new TAP device; it and the device end with the context.

    `host_address` is what the kernel gets on its side, and the stack's default gateway; None leaves the
    kernel's side to you.  `options` are those of AsyncHost: resolver, prefixes, capture and so on.  Needs root
    (CAP_NET_ADMIN).  Raises ConfigError, DeviceError, AddressInUse.
    """
    interface, gateway = _addresses(address, host_address)
    device = open_device(name, mtu=mtu, offload=offload)
    async with _host_on(device, interface, gateway, config, options) as host:
        host.add_device(device, address, gateway=host_address)
        yield host


@contextlib.asynccontextmanager
async def open_tun(
    name: str = "tapstack0",
    address: str = "198.18.0.2/24",
    *,
    host_address: str | None = "198.18.0.1",
    mtu: int = 1500,
    offload: bool = True,
    config: HostConfig | None = None,
    **options: Any,
) -> AsyncIterator[AsyncHost]:
    """As `open_tap`, on a TUN device: IP packets pass, there is no Ethernet and no ARP.

    Everything that is not the host's own goes to the kernel.
    """
    interface, gateway = _addresses(address, host_address)
    device = TunDevice(name, mtu=mtu, offload=offload)
    async with _host_on(device, interface, gateway, config, options) as host:
        host.add_device(device, address, routes=["0.0.0.0/0"])
        yield host


@contextlib.asynccontextmanager
async def open_packet(
    name: str,
    address: str,
    *,
    gateway: str | None = None,
    mac: bytes | None = None,
    mtu: int = 0,
    offload: bool = True,
    config: HostConfig | None = None,
    **options: Any,
) -> AsyncIterator[AsyncHost]:
    """A host of its own address at the Ethernet interface `name`, which is there and stays as it is.

    `mac` is its own, too; None derives one from the interface's.  `options` are those of AsyncHost.  The machine's own
    kernel is reached over the other end of a veth pair only.  Needs CAP_NET_RAW.  Raises ConfigError, DeviceError,
    InvalidAddress, AddressInUse.
    """
    from stack.device.packet import PacketDevice  # noqa: PLC0415

    device = PacketDevice(name, mac, mtu=mtu, offload=offload)
    try:
        async with AsyncHost(config, **options) as host:
            host.add_device(device, address, gateway=gateway)
            yield host
    finally:
        device.close()


@contextlib.asynccontextmanager
async def _host_on(
    device: TapDevice,
    interface: ipaddress.IPv4Interface,
    gateway: ipaddress.IPv4Interface | None,
    config: HostConfig | None,
    options: dict[str, Any],
) -> AsyncIterator[AsyncHost]:
    """A host for `device`, whose other end the kernel has been given."""
    try:
        if gateway is not None:
            hostside.check_free(device.name, interface.network)
            hostside.configure(device.name, gateway, device.mtu)
        async with AsyncHost(config, **options) as host:
            yield host
    finally:
        device.close()


@contextlib.asynccontextmanager
async def attach(
    path: str | os.PathLike[str] | None = None,
    *,
    dev: str = "tapstack0",
    address: str = "",
    name: str = "",
    config: HostConfig | None = None,
    **options: Any,
) -> AsyncIterator[AsyncHost]:
    """A host of its own address on the switch of the running daemon on `dev`, or of the one that listens on `path`.

    Needs no rights but to be the daemon's user, or root.  `address` asks for one of the daemon's pool, "" for any;
    `name` is for `tapstack status`.  `options` are those of AsyncHost; names are looked up as the daemon does,
    unless they have a `resolver`.  The address is free again when the context, or the process, ends.  Raises
    DeviceError with one sentence: no daemon there, not ours, no address left.
    """
    device = await _in_thread(lambda: open_attached(path, dev=dev, address=address, name=name))
    try:
        async with contextlib.AsyncExitStack() as closing:
            host = await closing.enter_async_context(attached_host(device, config, **options))
            if "resolver" not in options:
                from stack.daemon.lookups import make_resolver  # noqa: PLC0415

                resolver = host.resolver = make_resolver(device.lease.resolver, host)
                if resolver is not None:
                    closing.push_async_callback(resolver.aclose)
            yield host
    finally:
        device.close()


async def _in_thread(opening: Callable[[], "AttachedDevice"]) -> "AttachedDevice":
    """What `opening` returns, in a thread: it waits for the daemon.  Closed if we are cancelled meanwhile."""
    lock = threading.Lock()
    waited_for = True
    made: list[AttachedDevice] = []

    def run() -> None:
        device = opening()
        with lock:
            if waited_for:
                made.append(device)
                return
        device.close()

    try:
        await asyncio.to_thread(run)
    except asyncio.CancelledError:
        with lock:
            waited_for = False
        for device in made:
            device.close()
        raise
    return made[0]


def open_attached(
    path: str | os.PathLike[str] | None = None, *, dev: str = "tapstack0", address: str = "", name: str = ""
) -> "AttachedDevice":
    """The device of `attach`; waits for the daemon.  Raises DeviceError."""
    from stack.device.attached import AttachedDevice  # noqa: PLC0415
    from stack.device.attached import attach as attach_to  # noqa: PLC0415

    name = name or Path(sys.argv[0]).name
    return _first_of(path, dev, lambda one: AttachedDevice(*attach_to(one, address=address, name=name)))


def probe_daemon(path: str | os.PathLike[str] | None = None, *, dev: str = "tapstack0") -> "Lease":
    """What a process would get from the daemon, but for the address.  Raises DeviceError, as `attach` would."""
    from stack.device.attached import probe  # noqa: PLC0415

    return _first_of(path, dev, probe)


def _first_of(path: str | os.PathLike[str] | None, dev: str, ask: Callable[[Path], T]) -> T:
    """What the first daemon says that there is.  Raises DeviceError: that of the first that cannot be had."""
    from stack.daemon.attach.server import candidates  # noqa: PLC0415

    if path is not None:
        return ask(Path(path))
    paths = candidates(dev)
    errors = []
    for one in paths:
        try:
            return ask(one)
        except DeviceError as exc:
            errors.append(exc)
    looked = ", ".join(map(str, paths))
    nobody = DeviceError(f"no daemon is running on {dev} (looked for {looked}); 'tapstack up' starts one", errno.ENOENT)
    raise next((error for error in errors if error.errno != errno.ENOENT), nobody)


def attached_host(device: "AttachedDevice", config: HostConfig | None = None, **options: Any) -> AsyncHost:
    """A host on `device`, with the address that it was attached with; `options` are those of AsyncHost.

    The daemon vouches for the address: it is announced at once, without probing (RFC 5227 §2.3).
    """
    config = config or HostConfig()
    config = dataclasses.replace(config, ip=dataclasses.replace(config.ip, arp_probe=False))
    host = AsyncHost(config, **options)
    lease = device.lease
    try:
        host.add_device(device, f"{lease.address}/{lease.prefix_len}", gateway=lease.gateway)
    except BaseException:
        host.driver.close()
        raise
    return host


# what of the settings the environment may say, too
_VARIABLES: Final = {
    "dev": "TAPSTACK_DEV",
    "address": "TAPSTACK_ADDRESS",
    "host_address": "TAPSTACK_HOST_ADDRESS",
    "resolver": "TAPSTACK_RESOLVER",
}
_KNOWN: Final = ("TAPSTACK_CONFIG", *_VARIABLES.values(), "TAPSTACK_MTU", "TAPSTACK_WILDCARD")
# what `stack._form`, `stack.wire.accel`, `stack.run_loop`, the demonstration and the tests read
_ELSEWHERE: Final = ("TAPSTACK_FORM", "TAPSTACK_PURE", "TAPSTACK_DEMO_NETNS", "TAPSTACK_SEEDS", "TAPSTACK_RUN")
# settings that take more than a loop: privileges to give up, rules to take back, files and services to look after
_OF_THE_DAEMON: Final = ("user", "uplink", "control", "capture", "dns")


def factory() -> UvLoop:
    """An event loop with a host on a TAP of its own: `uvicorn --loop stack.aio:factory --host 198.18.0.2 app:app`.

    What it is made from, each with the default of `tapstack up`:

    - TAPSTACK_CONFIG names a TOML file of the daemon's format; `user`, `uplink`, `control`, `capture` and `dns`
      take the daemon and are refused, what it logs and how much it lets upload is of no meaning here
    - TAPSTACK_DEV, TAPSTACK_ADDRESS ("198.18.0.2/24"), TAPSTACK_HOST_ADDRESS ("198.18.0.1"), TAPSTACK_MTU, which
      go before the file
    - TAPSTACK_RESOLVER: who is asked about names, before `resolver` in the file: "system" (the servers of resolv.conf
      and the hosts file; the default), "iterative" (from the root servers down), addresses of servers, or "off": the
      C library
    - TAPSTACK_WILDCARD: where a server without an address listens, "kernel" (the default), "stack" or "both"

    The device is opened and the kernel's end configured in here, which needs root (CAP_NET_ADMIN); both end when the
    loop is closed, after what was written had `drain_s` seconds to arrive.

    Like the command line this ends the program when it cannot be: SystemExit, with a sentence that says what to do;
    somebody typed a command, and of an error uvicorn would show the frames.  A program that wants the error itself
    (ConfigError, DeviceError, AddressInUse) takes `stack.run` or `new_event_loop`, and `open_tap`.
    """
    try:
        settings, wildcard = _from_environment(os.environ)
        return _TapLoop(settings, wildcard)
    except StackError as exc:
        # the program's coroutine, which was made before its loop, is of no interest now
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        raise SystemExit(f"tapstack: {exc.strerror or exc}") from None


def _from_environment(environment: Mapping[str, str]) -> "tuple[Settings, Wildcard]":
    from stack.daemon.settings import load  # noqa: PLC0415

    for name in environment:
        if name.startswith("TAPSTACK_") and name not in (*_KNOWN, *_ELSEWHERE):
            raise ConfigError(f"{name} is no setting: there are {', '.join(_KNOWN)}")
    options: dict[str, Any] = {name: environment.get(variable) for name, variable in _VARIABLES.items()}
    if mtu := environment.get("TAPSTACK_MTU"):
        if not (mtu.isascii() and mtu.isdigit()):
            raise ConfigError(f"TAPSTACK_MTU is {mtu!r}: use a number of bytes, like 1500")
        options["mtu"] = int(mtu)
    settings = load(environment.get("TAPSTACK_CONFIG") or None, options)
    for name in _OF_THE_DAEMON:
        if getattr(settings, name):
            raise ConfigError(f"{name} is set, and only the daemon (tapstack up) can do that: leave it out for a loop")
    wildcard: Any = environment.get("TAPSTACK_WILDCARD", "kernel")
    return settings, wildcard  # which the loop checks


class _TapLoop(UvLoop):
    """The loop of `factory`: its host begins and ends with it."""

    def __init__(self, settings: "Settings", wildcard: Wildcard) -> None:
        from stack.daemon.lookups import make_resolver  # noqa: PLC0415

        self._host: AsyncHost | None = None
        self._drain_s = settings.drain_s
        super().__init__(wildcard=wildcard, resolver=make_resolver(settings.resolver))
        try:
            self._host = tap_host(self, settings)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let what was written arrive, take the device away, close the loop."""
        if self._host is not None and not self.is_running():
            host, self._host = self._host, None
            from stack.dns.resolver import Resolver  # noqa: PLC0415

            self.run_until_complete(host.aclose(self._drain_s))
            if isinstance(self.resolver, Resolver):
                self.run_until_complete(self.resolver.aclose())
        super().close()


def tap_settings() -> "Settings":
    """Of a TAP of the process's own, from the environment, as `factory` has them.  Raises ConfigError."""
    return _from_environment(os.environ)[0]


def open_queues(settings: "Settings", count: int) -> "QueueGroup":
    """The TAP of the settings, with a queue for each of `count` processes, and its kernel's end configured.

    Each process has one of its `shares` (`shared_host`).  Raises ConfigError, DeviceError, AddressInUse.
    """
    from stack.device.queues import QueueGroup  # noqa: PLC0415

    hostside.check_free(settings.dev, settings.interface.network)
    group = QueueGroup(settings.dev, count, mtu=settings.mtu, offload=settings.offload)
    try:
        hostside.configure(settings.dev, settings.host_interface, settings.mtu)
    except BaseException:
        group.close()
        raise
    return group


def shared_host(
    share: "Share", settings: "Settings", loop: asyncio.AbstractEventLoop | None = None, capture: Capture = "own"
) -> AsyncHost:
    """The host of one of the processes that share the address of the settings.  Raises ConfigError, DeviceError.

    Process 0 claims the address; to the others it says nothing of ARP that would have them claim it, too.
    """
    from stack.device.queues import open_share  # noqa: PLC0415

    device, hand_on = open_share(share)
    try:
        config = settings.host_config()
        if share.index:
            config = dataclasses.replace(config, ip=dataclasses.replace(config.ip, arp_probe=False))
        device = wrap_device(device, settings.faults(), seed=settings.fault.seed)
        host = AsyncHost(config, loop=loop, capture=capture, spin_us=settings.spin_us)
        try:
            host.host.share(share.steering(), hand_on)
            host.add_device(device, settings.address, gateway=str(settings.host_interface.ip))
        except BaseException:
            host.driver.close()
            raise
    except BaseException:
        device.close()
        raise
    return host


def tap_host(loop: asyncio.AbstractEventLoop, settings: "Settings", capture: Capture = "own") -> AsyncHost:
    """A host on a new TAP, on a loop that does not run yet.  Raises DeviceError, AddressInUse."""
    hostside.check_free(settings.dev, settings.interface.network)
    device: Device = open_device(settings.dev, mtu=settings.mtu, offload=settings.offload)
    try:
        hostside.configure(settings.dev, settings.host_interface, settings.mtu)
        device = wrap_device(device, settings.faults(), seed=settings.fault.seed)
        host = AsyncHost(settings.host_config(), loop=loop, capture=capture, spin_us=settings.spin_us)
        try:
            host.add_device(device, settings.address, gateway=str(settings.host_interface.ip))
        except BaseException:
            host.driver.close()
            raise
    except BaseException:
        device.close()
        raise
    return host
