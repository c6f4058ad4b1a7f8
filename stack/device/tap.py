"""A Linux TAP device: the kernel is the host at the other end of the cable.

Theory of operation.  One non-blocking descriptor.  With offloads each frame is preceded by a virtio-net header
(10 bytes), checksums may be left incomplete in both directions and super-segments of up to 64 KiB pass as
one frame; without, only wire frames pass, cut and completed before they are written.  Reading and writing are
those of VnetDevice.

The device is opened through python-pytun where that is installed, else by ioctl.  `mac` is the address of
our end, not the one that `ip link` shows.  Configuring the kernel's end (address, routes) is left to the caller.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import socket
import struct
from pathlib import Path
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from stack.device import vnet
from stack.device.vnet import Closes, VnetDevice
from stack.errors import ConfigError, DeviceError
from stack.wire.frame import Caps

try:
    import pytun
except ImportError:  # no wheel for this platform
    pytun = None

NATIVE = vnet.NATIVE
# Linux UAPI linux/if_tun.h, linux/sockios.h
TUNSETIFF: Final = 0x400454CA
TUNSETOFFLOAD: Final = 0x400454D0
TUNSETVNETHDRSZ: Final = 0x400454D8
TUNSETPERSIST: Final = 0x400454CB
IFF_TAP: Final = 0x0002
IFF_MULTI_QUEUE: Final = 0x0100
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
SIOCGIFMTU: Final = 0x8921
SIOCSIFMTU: Final = 0x8922
SIOCSIFTXQLEN: Final = 0x8943
IFF_UP: Final = 1
IFF_RUNNING: Final = 0x40  # it is up and has its carrier: somebody has it open
TUN_F_CSUM: Final = 0x01
TUN_F_TSO4: Final = 0x02
TUN_F_TSO6: Final = 0x04
TUN_F_USO4: Final = 0x20  # Linux 6.2; only together with USO6
TUN_F_USO6: Final = 0x40

IFNAMSIZ: Final = 16
_IFREQ: Final = struct.Struct("16sI20x")  # name, flags or a number
_VNET_HLEN: Final = 10
MAX_GSO: Final = 65_535 - 120  # the IPv4 length limit less the longest IP and TCP headers
_MTU_RANGE: Final = range(68, 65_522)  # RFC 791: every internet module forwards 68 octets; the rest is Linux's limit


def derived_mac(name: str) -> bytes:
    """A locally administered address that is the same on every start and another one for each name and machine."""
    seed = name.encode()
    with contextlib.suppress(OSError):
        seed += Path("/etc/machine-id").read_bytes()
    return b"\x02" + hashlib.sha256(seed).digest()[:5]


@mypyc_attr(allow_interpreted_subclasses=True)
class TapDevice(VnetDevice):
    """TAP interface `name`, made if it does not exist.  It goes away on `close` unless it was made persistent.

    `mtu` 0 keeps the interface's.  `queue`: one queue of several (`ip tuntap add ... multi_queue`, or made so now).
    `descriptor` is a queue that is open already, and the device's from now on; the rest describes it.  Raises
    ConfigError, or DeviceError with a sentence for the user.
    """

    __slots__ = ()

    KIND: ClassVar = "TAP"  # in messages
    IFF: ClassVar = IFF_TAP
    BARE_IP: ClassVar = False

    def __init__(
        self,
        name: str,
        mac: bytes | None = None,
        *,
        mtu: int = 0,
        offload: bool = True,
        queue: bool = False,
        descriptor: int = -1,
    ) -> None:
        mac = derived_mac(name) if mac is None else mac
        check_interface(name, mac, mtu)
        flags = self.IFF | IFF_NO_PI | (IFF_VNET_HDR if offload else 0) | (IFF_MULTI_QUEUE if queue else 0)
        closes: Closes
        if descriptor >= 0:
            fd, closes = descriptor, io.FileIO(descriptor, "r+")
        else:
            fd, closes = _open(name, self.KIND, flags)
        try:
            caps = _negotiate(fd, name, offload=offload, bare_ip=self.BARE_IP)
            if mtu:
                interface_ioctl(name, SIOCSIFMTU, mtu, f"cannot set mtu {mtu} of {name}")
            mtu = interface_ioctl(name, SIOCGIFMTU, 0, f"cannot read the mtu of {name}")
        except BaseException:
            closes.close()
            raise
        super().__init__(name, mac, mtu, caps, fd, closes, vnet=offload, native=NATIVE)

    def set_up(self, up: bool = True) -> None:
        """Switch the kernel's end on or off.  Raises DeviceError."""
        what = f"cannot switch {self.name} {'on' if up else 'off'}"
        flags = interface_ioctl(self.name, SIOCGIFFLAGS, 0, what) & 0xFFFF
        interface_ioctl(self.name, SIOCSIFFLAGS, flags | IFF_UP if up else flags & ~IFF_UP, what)

    def set_txqueuelen(self, frames: int) -> None:
        """Length of the queue towards us: at least receive window / MSS, or it drops.  Raises DeviceError."""
        interface_ioctl(self.name, SIOCSIFTXQLEN, frames, f"cannot set the queue length of {self.name}")

    def set_persistent(self, on: bool) -> None:
        """Whether the interface outlives `close`.  Raises DeviceError."""
        try:
            fcntl.ioctl(self._fd, TUNSETPERSIST, int(on))
        except OSError as exc:
            raise DeviceError(f"cannot make {self.name} persistent: {exc.strerror}", exc.errno) from exc


def check_interface(name: str, mac: bytes | None, mtu: int) -> None:
    """Raises ConfigError for what cannot be the name, an address or the MTU of an interface."""
    if not 0 < len(name.encode()) < IFNAMSIZ or "/" in name or any(char.isspace() for char in name):
        raise ConfigError(f"{name!r} is no interface name: use 1 to 15 characters without '/' and spaces")
    if mac is not None and (len(mac) != 6 or mac[0] & 1):
        raise ConfigError(f"{mac.hex(':')} is no unicast MAC address")
    if mtu and mtu not in _MTU_RANGE:
        raise ConfigError(f"mtu {mtu}: use {_MTU_RANGE[0]} to {_MTU_RANGE[-1]}")


def _open(name: str, kind: str, flags: int) -> tuple[int, Closes]:
    """A non-blocking descriptor attached to the interface, and the object that closes it."""
    try:
        if pytun is not None:
            device = pytun.TunTapDevice(name=name, flags=flags)
            os.set_inheritable(device.fileno(), False)
        else:
            device = io.FileIO("/dev/net/tun", "r+")
            try:
                fcntl.ioctl(device, TUNSETIFF, _IFREQ.pack(name.encode(), flags))
            except OSError:
                device.close()
                raise
    except OSError as exc:
        raise _open_error(name, kind, flags, exc) from exc
    os.set_blocking(device.fileno(), False)
    return device.fileno(), device


def _open_error(name: str, kind: str, flags: int, exc: OSError) -> DeviceError:
    match exc.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            text = "there is no /dev/net/tun here: load the kernel module `tun`, or give the container that device"
        case errno.EACCES | errno.EPERM:
            text = f"no permission to open {kind} {name}: run as root or with CAP_NET_ADMIN"
        case errno.EBUSY:
            text = f"{kind} {name} is in use by another process: choose another name"
        case errno.EINVAL if flags & IFF_MULTI_QUEUE:
            text = (
                f"{name} exists and is no {kind} device with several queues: choose another name, or make it anew with "
                f"'ip tuntap add dev {name} mode {kind.lower()} multi_queue'"
            )
        case errno.EINVAL:
            text = f"{name} exists and is no {kind} device, or one with several queues: choose another name"
        case errno.E2BIG:
            text = f"{kind} {name} has no room for another queue: close some of them"
        case code:
            text = f"cannot open {kind} {name}: {os.strerror(code or 0)}"
    return DeviceError(text, exc.errno)


def _negotiate(fd: int, name: str, *, offload: bool, bare_ip: bool) -> Caps:
    """Tell the kernel what it may send us; what we may send follows from what it knows."""
    try:
        if offload:
            fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", _VNET_HLEN))  # a persistent device keeps its last one
            tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6
            for bits in (tcp | TUN_F_USO4 | TUN_F_USO6, tcp):
                with contextlib.suppress(OSError):
                    fcntl.ioctl(fd, TUNSETOFFLOAD, bits)
                    uso = bool(bits & TUN_F_USO4)
                    return Caps(csum=True, tso4=True, uso=uso, max_gso=MAX_GSO, bare_ip=bare_ip)
        fcntl.ioctl(fd, TUNSETOFFLOAD, 0)
    except OSError as exc:
        raise DeviceError(f"cannot set the offloads of {name}: {exc.strerror}", exc.errno) from exc
    # super-segments are welcome all the same: they are cut here, in C
    return Caps(max_gso=MAX_GSO, bare_ip=bare_ip)


def interface_ioctl(name: str, request: int, value: int, what: str) -> int:
    """One interface ioctl on an int; returns what the kernel left there."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            result: int = _IFREQ.unpack(fcntl.ioctl(sock, request, _IFREQ.pack(name.encode(), value)))[1]
            return result
    except OSError as exc:
        raise DeviceError(f"{what}: {exc.strerror}", exc.errno) from exc
