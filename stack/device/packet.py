"""A host of its own at a network interface that is there already, by a packet socket (packet(7)).

Theory of operation.  The socket gives what arrives at the interface and sends from it: the end of a veth pair, a
bridge, an Ethernet card.  With PACKET_VNET_HDR each frame has the virtio-net header that a TAP gives it, so
super-segments and unfinished checksums pass, and reading and writing are those of VnetDevice.  Our MAC address is not
the interface's: the kernel leaves frames for it alone, and a filter on the socket leaves out all that is not for us.

It needs CAP_NET_RAW and neither /dev/net/tun nor CAP_NET_ADMIN.  What the kernel itself sends from the interface does
not come to us, nor does it get what we send there: with the kernel of the machine a host speaks over a veth pair.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import socket
import struct
from typing import Final

from stack.config import NEVER
from stack.device import vnet
from stack.device.tap import IFF_UP, MAX_GSO, SIOCGIFFLAGS, SIOCGIFMTU, check_interface, derived_mac, interface_ioctl
from stack.device.vnet import VnetDevice
from stack.errors import ConfigError, DeviceError, DeviceGone
from stack.wire.burst import Burst
from stack.wire.frame import Caps

NATIVE = vnet.NATIVE
# Linux UAPI linux/if_packet.h, linux/if_arp.h, asm-generic/socket.h
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP: Final = 1
_STATISTICS: Final = 6
_VNET_HDR: Final = 15
_IGNORE_OUTGOING: Final = 23
_MR_UNICAST: Final = 3
_ETH_P_ALL: Final = 3
_ARPHRD_ETHER: Final = 1
_SO_ATTACH_FILTER: Final = 26
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32
_MREQ: Final = struct.Struct("=iHH8s")  # struct packet_mreq
_COUNTS: Final = struct.Struct("=II")  # struct tpacket_stats
_INSN: Final = struct.Struct("=HBBI")  # struct sock_filter
_PROGRAM: Final = struct.Struct("@HP")  # struct sock_fprog
_IFREQ: Final = struct.Struct("16sH22x")  # name, flags

BUFFER: Final = 16 << 20  # bytes of frames that wait for us; Linux counts twice as many, its own overhead included
_USO_SINCE: Final = (6, 2)  # Linux knows super-datagrams in a virtio-net header
_LOOK_US: Final = 1_000_000  # how often an interface that is down is looked at
_AT_ONCE: Final = 1  # a deadline that has passed


class PacketDevice(VnetDevice):
    """Another Ethernet station at the interface `name`.  Interface and kernel stay as they are.

    `mac` None derives one from the interface's; two hosts at one interface need different ones.  `mtu` 0 is the
    interface's.  Without `offload` frames are cut and completed before they are sent; what comes may be super-segments
    all the same.  Needs CAP_NET_RAW.  Raises ConfigError, or DeviceError with a sentence for the user.
    """

    __slots__ = ("_dropped", "_has_gone", "_sock", "rx_refused")

    def __init__(self, name: str, mac: bytes | None = None, *, mtu: int = 0, offload: bool = True) -> None:
        check_interface(name, mac, mtu)
        sock = _open(name)
        try:
            theirs = _bind(sock, name)
            mac = station_address(name, theirs) if mac is None else mac
            mtu = _mtu(name, mtu)
            _prepare(sock, name, mac)
        except BaseException:
            sock.close()
            raise
        # without offloads super-segments are welcome all the same: they are cut in C
        caps = Caps(csum=offload, tso4=offload, uso=offload and _knows_uso(), max_gso=MAX_GSO)
        super().__init__(name, mac, mtu, caps, sock.fileno(), sock, vnet=True, native=NATIVE)
        self._sock = sock
        self._dropped = 0
        self._has_gone = False
        self.rx_refused = 0  # super-segments of kinds that the virtio-net header has no word for

    def rx_burst(self, burst: Burst) -> int:
        """Read what waits, at most one burst; nothing comes while the interface is down.  Raises DeviceGone."""
        if self._has_gone:
            raise self._gone(errno.ENODEV)
        try:
            return super().rx_burst(burst)
        except DeviceGone as exc:
            if exc.reason == errno.EINVAL:
                self.rx_refused += 1
            elif exc.reason == errno.ENETDOWN:
                # The kernel tells once that the interface is down, and not that it has gone afterwards.
                self.deadline = _AT_ONCE
            else:
                raise
        burst.count = 0
        return 0

    def on_timer(self, now: int) -> None:
        """See what has become of an interface that went down."""
        try:
            is_up = _is_up(self._sock)
        except OSError:
            self._has_gone, self.deadline = True, NEVER
        else:
            self.deadline = NEVER if is_up else now + _LOOK_US

    def rx_dropped(self) -> int:
        """Frames for us that the kernel dropped because we did not read."""
        if self._fd >= 0:
            self._dropped += _COUNTS.unpack(self._sock.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size))[1]
        return self._dropped


def _open(name: str) -> socket.socket:
    """A packet socket that receives nothing yet."""
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except PermissionError as exc:
        text = f"no permission for a packet socket on {name}: run as root or with CAP_NET_RAW"
        raise DeviceError(text, exc.errno) from exc
    except OSError as exc:
        raise DeviceError(f"cannot open a packet socket on {name}: {exc.strerror}", exc.errno) from exc


def _bind(sock: socket.socket, name: str) -> bytes:
    """Bind the socket, which still receives nothing; the MAC address of the interface.  Raises DeviceError."""
    try:
        sock.bind((name, 0))
        kind, theirs = sock.getsockname()[3:5]
        is_up = _is_up(sock)
    except OSError as exc:
        if exc.errno == errno.ENODEV:
            text = f"there is no interface {name}: make it first, or choose one of those that 'ip link' shows"
        else:
            text = f"cannot bind a packet socket to {name}: {exc.strerror}"
        raise DeviceError(text, exc.errno) from exc
    if kind != _ARPHRD_ETHER:
        raise DeviceError(
            f"{name} is no Ethernet: choose an interface that is, like an end of a veth pair", errno.EINVAL
        )
    if not is_up:
        raise DeviceError(f"{name} is down: 'ip link set {name} up' switches it on", errno.ENETDOWN)
    return bytes(theirs)


def _mtu(name: str, mtu: int) -> int:
    most = interface_ioctl(name, SIOCGIFMTU, 0, f"cannot read the mtu of {name}")
    if mtu > most:
        raise ConfigError(f"mtu {mtu}: {name} carries {most} at most")
    return mtu or most


def _prepare(sock: socket.socket, name: str, mac: bytes) -> None:
    """Set the socket up, then have it receive.  Raises DeviceError."""
    try:
        sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sock.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
        _attach(sock, program(mac))
        # a card that does not listen to a second address is made promiscuous by the kernel
        member = _MREQ.pack(socket.if_nametoindex(name), _MR_UNICAST, len(mac), mac)
        sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
        _make_room(sock)
        sock.bind((name, _ETH_P_ALL))
    except OSError as exc:
        raise DeviceError(f"cannot set up a packet socket on {name}: {exc.strerror}", exc.errno) from exc


def _make_room(sock: socket.socket) -> None:
    """Room for what waits; without CAP_NET_ADMIN no more than net.core.rmem_max and wmem_max allow."""
    for force, ask in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, ask, BUFFER)


def _is_up(sock: socket.socket) -> bool:
    """Whether the interface that the socket is bound to is up, whatever it is called by now.  OSError: it has gone."""
    name = sock.getsockname()[0].encode()
    flags: int = _IFREQ.unpack(fcntl.ioctl(sock, SIOCGIFFLAGS, _IFREQ.pack(name, 0)))[1]
    return bool(flags & IFF_UP)


def station_address(name: str, theirs: bytes) -> bytes:
    """A locally administered MAC address of our own at the interface that has `theirs`; the same on every start."""
    return b"\x02" + hashlib.sha256(derived_mac(name) + theirs).digest()[:5]


def program(mac: bytes) -> bytes:
    """A classic BPF program (Linux, networking/filter.rst): IPv4 and ARP for `mac`, broadcasts and multicasts.

    Frames of VLANs are left out: a packet socket takes their tag off, and they would look like any other frame.
    """
    word, half, byte, jump_eq, jump_set, ret = 0x20, 0x28, 0x30, 0x15, 0x45, 0x06
    vlan_tag_present = 0xFFFFF000 + 48  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
    upper, lower = struct.unpack("!IH", mac)
    code = (
        (byte, 0, 0, vlan_tag_present),
        (jump_eq, 0, 10, 0),
        (half, 0, 0, 12),
        (jump_eq, 1, 0, 0x0800),
        (jump_eq, 0, 7, 0x0806),
        (byte, 0, 0, 0),
        (jump_set, 4, 0, 1),  # broadcast or multicast
        (word, 0, 0, 0),
        (jump_eq, 0, 3, upper),
        (half, 0, 0, 4),
        (jump_eq, 0, 1, lower),
        (ret, 0, 0, 0xFFFFFFFF),
        (ret, 0, 0, 0),
    )
    return b"".join(_INSN.pack(*step) for step in code)


def _attach(sock: socket.socket, code: bytes) -> None:
    room = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, _PROGRAM.pack(len(code) // _INSN.size, ctypes.addressof(room))
    )


def _knows_uso() -> bool:
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return version is not None and (int(version[1]), int(version[2])) >= _USO_SINCE
