"""A Linux TAP device: the kernel is the host at the other end of the cable.

Theory of operation.  One non-blocking descriptor.  With offloads each frame is preceded by a virtio-net header
(10 bytes), checksums may be left incomplete in both directions and super-segments of up to 64 KiB pass as
one frame; without, only wire frames pass, cut and completed before they are written.  A burst is read and
parsed by one call into C, and a frame completed and written by one call; where the C core is not built,
`PlainTap` does both in Python.

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
from typing import ClassVar, Final, Protocol

from stack.device.base import Device
from stack.device.tap_plain import PlainTap
from stack.errors import ConfigError, DeviceError, DeviceGone
from stack.wire import accel
from stack.wire.burst import META, Burst
from stack.wire.frame import Caps, TxFrame

try:
    import pytun
except ImportError:  # no wheel for this platform
    pytun = None
try:
    from stack.device import _io
except ImportError:  # not built here
    NATIVE = False
else:
    NATIVE = accel.backend == "c"
    _rx_burst, _tx_send = _io.lib.ts_rx_burst, _io.lib.ts_tx_send

# Linux UAPI linux/if_tun.h, linux/sockios.h
TUNSETIFF: Final = 0x400454CA
TUNSETOFFLOAD: Final = 0x400454D0
TUNSETVNETHDRSZ: Final = 0x400454D8
TUNSETPERSIST: Final = 0x400454CB
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
SIOCGIFMTU: Final = 0x8921
SIOCSIFMTU: Final = 0x8922
SIOCSIFTXQLEN: Final = 0x8943
IFF_UP: Final = 1
TUN_F_CSUM: Final = 0x01
TUN_F_TSO4: Final = 0x02
TUN_F_TSO6: Final = 0x04
TUN_F_USO4: Final = 0x20  # Linux 6.2; only together with USO6
TUN_F_USO6: Final = 0x40

IFNAMSIZ: Final = 16
_IFREQ: Final = struct.Struct("16sI20x")  # name, flags or a number
_VNET_HLEN: Final = 10
_MAX_GSO: Final = 65_535 - 120  # the IPv4 length limit less the longest IP and TCP headers
_MTU_RANGE: Final = range(68, 65_522)  # RFC 791: every internet module forwards 68 octets; the rest is Linux's limit


def derived_mac(name: str) -> bytes:
    """A locally administered address that is the same on every start and another one for each name and machine."""
    seed = name.encode()
    with contextlib.suppress(OSError):
        seed += Path("/etc/machine-id").read_bytes()
    return b"\x02" + hashlib.sha256(seed).digest()[:5]


class _Closes(Protocol):
    def close(self) -> None: ...


class TapDevice(Device):
    """TAP interface `name`, made if it does not exist.  It goes away on `close` unless it was made persistent.

    `mtu` 0 keeps the interface's.  Raises ConfigError, or DeviceError with a sentence for the user.
    """

    __slots__ = (
        "_burst",
        "_closes",
        "_fd",
        "_header",
        "_header_at",
        "_plain",
        "_rx_args",
        "_tap",
        "tx_dropped",
        "tx_errors",
    )

    KIND: ClassVar = "TAP"  # in messages
    IFF: ClassVar = IFF_TAP
    BARE_IP: ClassVar = False

    def __init__(self, name: str, mac: bytes | None = None, *, mtu: int = 0, offload: bool = True) -> None:
        mac = derived_mac(name) if mac is None else mac
        _validate(name, mac, mtu)
        self._fd, self._closes = _open(name, self.KIND, self.IFF | IFF_NO_PI | (IFF_VNET_HDR if offload else 0))
        try:
            caps = _negotiate(self._fd, name, offload=offload, bare_ip=self.BARE_IP)
            if mtu:
                _if_ioctl(name, SIOCSIFMTU, mtu, f"cannot set mtu {mtu} of {name}")
            mtu = _if_ioctl(name, SIOCGIFMTU, 0, f"cannot read the mtu of {name}")
        except BaseException:
            self._release()
            raise
        super().__init__(name, mac, mtu, caps)
        self.tx_dropped = 0  # the kernel's queue was full
        self.tx_errors = 0  # the interface is down or gone, or the frame contradicts itself
        self._burst: Burst | None = None
        self._header: bytearray | None = None
        self._plain: PlainTap | None = None
        if NATIVE:
            self._tap = _io.ffi.new(
                "ts_tap *",
                {
                    "fd": self._fd,
                    "mac": mac,
                    "vnet": int(offload),
                    "bare": int(caps.bare_ip),
                    "gro": int(not caps.tso4),
                    "caps": caps.bits,
                    "max_gso": caps.max_gso,
                },
            )
        else:
            self._plain = PlainTap(self._fd, mac, caps, vnet=offload)

    def fileno(self) -> int:
        """The descriptor to watch for reading; -1 after `close`."""
        return self._fd

    def rx_burst(self, burst: Burst) -> int:
        """Read what waits, at most one burst.  Raises DeviceGone if the interface was removed."""
        if self._plain is not None:
            try:
                return self._plain.rx_burst(burst)
            except OSError as exc:
                raise _gone(self.name, exc.errno) from exc
        if burst is not self._burst:
            self._bind_burst(burst)
        count = _rx_burst(*self._rx_args)
        if count < 0:
            burst.count = 0
            raise _gone(self.name, -count)
        burst.count = count
        return count

    def send(self, frame: TxFrame) -> bool:
        """Write the frame now.  False: dropped, and counted in `tx_dropped` or `tx_errors`."""
        if self._plain is not None:
            code = self._plain.send(frame)
        else:
            if frame.header is not self._header:
                self._bind_header(frame.header)
            payload = frame.payload
            code = _tx_send(
                self._tap,
                frame.start,
                frame.header_end,
                payload if type(payload) is bytes else _io.ffi.from_buffer("uint8_t[]", payload),
                len(payload),
                frame.payload_off,
                frame.payload_len,
                frame.flags,
                frame.gso_type,
                frame.gso_size,
                frame.csum_start,
                frame.csum_offset,
            )
        if code > 0:
            return True
        if code in {-errno.EAGAIN, -errno.ENOBUFS, -errno.ENOMEM}:
            self.tx_dropped += 1
        else:
            self.tx_errors += 1  # a removed interface is reported by rx_burst
        return False

    def flush(self) -> None:
        """Nothing: each frame is a system call of its own, so that batching would only add a copy."""

    def close(self) -> None:
        """Give the descriptor back; an interface that is not persistent disappears."""
        self._release()
        if self._plain is not None:
            self._plain.fd = -1
        else:
            self._tap.fd = -1

    def set_up(self, up: bool = True) -> None:
        """Switch the kernel's end on or off.  Raises DeviceError."""
        what = f"cannot switch {self.name} {'on' if up else 'off'}"
        flags = _if_ioctl(self.name, SIOCGIFFLAGS, 0, what) & 0xFFFF
        _if_ioctl(self.name, SIOCSIFFLAGS, flags | IFF_UP if up else flags & ~IFF_UP, what)

    def set_txqueuelen(self, frames: int) -> None:
        """Length of the queue towards us: at least receive window / MSS, or it drops.  Raises DeviceError."""
        _if_ioctl(self.name, SIOCSIFTXQLEN, frames, f"cannot set the queue length of {self.name}")

    def set_persistent(self, on: bool) -> None:
        """Whether the interface outlives `close`.  Raises DeviceError."""
        try:
            fcntl.ioctl(self._fd, TUNSETPERSIST, int(on))
        except OSError as exc:
            raise DeviceError(f"cannot make {self.name} persistent: {exc.strerror}", exc.errno) from exc

    def _bind_burst(self, burst: Burst) -> None:
        # Pointers cost more to make than to use: they are kept for as long as the same burst comes again.
        from_buffer = _io.ffi.from_buffer
        self._burst = burst
        self._rx_args = (
            self._tap,
            from_buffer("uint8_t[]", burst.pool),
            len(burst.pool),
            from_buffer("ts_meta[]", burst.meta),
            from_buffer("ts_row[]", burst.rows),
            len(burst.meta) // META.size,
        )

    def _bind_header(self, header: bytearray) -> None:
        self._header = header
        self._header_at = _io.ffi.from_buffer("uint8_t[]", header)  # kept alive: a C structure holds no reference
        self._tap.header = self._header_at
        self._tap.header_room = len(header)

    def _release(self) -> None:
        if self._fd < 0:
            return
        self._fd = -1
        self._closes.close()


def _validate(name: str, mac: bytes, mtu: int) -> None:
    if not 0 < len(name.encode()) < IFNAMSIZ or "/" in name or any(char.isspace() for char in name):
        raise ConfigError(f"{name!r} is no interface name: use 1 to 15 characters without '/' and spaces")
    if len(mac) != 6 or mac[0] & 1:
        raise ConfigError(f"{mac.hex(':')} is no unicast MAC address")
    if mtu and mtu not in _MTU_RANGE:
        raise ConfigError(f"mtu {mtu}: use {_MTU_RANGE[0]} to {_MTU_RANGE[-1]}")


def _open(name: str, kind: str, flags: int) -> tuple[int, _Closes]:
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
        raise _open_error(name, kind, exc) from exc
    os.set_blocking(device.fileno(), False)
    return device.fileno(), device


def _open_error(name: str, kind: str, exc: OSError) -> DeviceError:
    match exc.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            text = "there is no /dev/net/tun here: load the kernel module `tun`, or give the container that device"
        case errno.EACCES | errno.EPERM:
            text = f"no permission to open {kind} {name}: run as root or with CAP_NET_ADMIN"
        case errno.EBUSY:
            text = f"{kind} {name} is in use by another process: choose another name"
        case errno.EINVAL:
            text = f"{name} exists and is no {kind} device: choose another name"
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
                    return Caps(csum=True, tso4=True, uso=uso, max_gso=_MAX_GSO, bare_ip=bare_ip)
        fcntl.ioctl(fd, TUNSETOFFLOAD, 0)
    except OSError as exc:
        raise DeviceError(f"cannot set the offloads of {name}: {exc.strerror}", exc.errno) from exc
    # super-segments are welcome all the same: they are cut here, in C
    return Caps(max_gso=_MAX_GSO, bare_ip=bare_ip)


def _if_ioctl(name: str, request: int, value: int, what: str) -> int:
    """One interface ioctl on an int; returns what the kernel left there."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            result: int = _IFREQ.unpack(fcntl.ioctl(sock, request, _IFREQ.pack(name.encode(), value)))[1]
            return result
    except OSError as exc:
        raise DeviceError(f"{what}: {exc.strerror}", exc.errno) from exc


def _gone(name: str, code: int | None) -> DeviceGone:
    return DeviceGone(f"{name} disappeared ({os.strerror(code or 0)})", code)
