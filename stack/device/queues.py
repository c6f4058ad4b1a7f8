"""One TAP with several queues, and a process for each: they share its addresses.

    with QueueGroup("tapstack0", 2) as group:             # in the process that starts the others
        for share in group.shares:
            subprocess.Popen(command, env={..., "SHARE": share.to_json()}, pass_fds=share.descriptors())

    device, hand_on = open_share(Share.from_json(os.environ["SHARE"]))     # in each of them

Theory of operation.  The kernel numbers queues in the order in which they were opened, and anew when one is closed.  So
one process opens them all, has flows steered to them (`stack.device.steering`) and keeps them open: a process that dies
leaves its number to the one that is started in its place.  What comes to queue 0 and concerns another process goes on
to that one by a socket between the two, as a frame behind a virtio-net header, which is read after its queue.  What a
process does not read is dropped and counted: by the TAP for its queue, in process 0 (`Relays.dropped`) for its socket.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import random
import select
import socket
import struct
from types import TracebackType
from typing import Final, Self, TypeVar

from stack.device.base import Device
from stack.device.steering import clear_steering, set_steering
from stack.device.tap import IFF_RUNNING, SIOCGIFFLAGS, TapDevice, interface_ioctl
from stack.device.vnet import NATIVE, VnetDevice
from stack.errors import ConfigError, DeviceError
from stack.wire.burst import Burst
from stack.wire.steering import MAX_QUEUES, Steering

T = TypeVar("T", bound=TapDevice)

RELAY_BYTES: Final = 1 << 20  # of frames on their way to a process that does not read
_PATIENCE_MS: Final = 1  # nothing is sent by these sockets but by Relays, which waits for nobody
_NO_OFFLOAD: Final = bytes(10)  # a virtio-net header: the frame is as it would be on a wire
_TUNGETIFF: Final = 0x800454D2  # Linux UAPI linux/if_tun.h
_IFREQ: Final = struct.Struct("16s24x")


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """What one of the processes has: `queue` and `relays` are descriptors.

    Process 0 has a relay for each other process, in order; the others have one, whose other end is process 0's.
    """

    name: str
    index: int
    count: int
    seed: int
    mac: str
    mtu: int
    offload: bool
    queue: int
    relays: tuple[int, ...]

    def descriptors(self) -> tuple[int, ...]:
        """What the process must inherit."""
        return (self.queue, *self.relays)

    def steering(self) -> Steering:
        """Its place among the processes.  Raises ConfigError."""
        return Steering(self.index, self.count, self.seed)

    def to_json(self) -> str:
        """For a variable of the environment."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Of such a variable.  Raises ConfigError."""
        try:
            values = json.loads(text)
            return cls(**{**values, "relays": tuple(values["relays"])})
        except (ValueError, TypeError, KeyError):
            raise ConfigError("that is no share of a TAP with several queues, or one of another version") from None


class QueueGroup:
    """The TAP `name` with `count` queues, and what each of as many processes is to have of it, in `shares`.

    Close it when the processes have ended.  Raises ConfigError, or DeviceError with a sentence for the user.
    """

    def __init__(self, name: str, count: int, *, mtu: int = 0, offload: bool = True) -> None:
        if not 2 <= count <= MAX_QUEUES:
            raise ConfigError(f"{count} queues: use 2 to {MAX_QUEUES}")
        _check_unused(name)
        seed = random.SystemRandom().getrandbits(32)
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self._closing.close)
            taps = [self._open(name, mtu, offload) for _ in range(count)]
            pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in taps[1:]]
            for end in (end for pair in pairs for end in pair):
                self._closing.callback(end.close)
                end.setblocking(False)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RELAY_BYTES)
            set_steering(taps[0].fileno(), name, count, seed)
            undo.pop_all()
        self.device = taps[0]  # for the settings of the interface
        relays = [tuple(near.fileno() for near, _ in pairs), *((far.fileno(),) for _, far in pairs)]
        self.shares = tuple(
            Share(name, index, count, seed, tap.mac.hex(), tap.mtu, offload, tap.fileno(), relays[index])
            for index, tap in enumerate(taps)
        )

    def _open(self, name: str, mtu: int, offload: bool) -> TapDevice:
        tap = TapDevice(name, mtu=mtu, offload=offload, queue=True)
        self._closing.callback(tap.close)
        return tap

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the queues back; safe to call twice."""
        with contextlib.suppress(OSError):
            clear_steering(self.shares[0].queue if self.device.fileno() >= 0 else -1)
        self._closing.close()


def _check_unused(name: str) -> None:
    """Nobody may have a queue of it: ours would not have the numbers that flows are steered to.  Raises DeviceError."""
    try:
        flags = interface_ioctl(name, SIOCGIFFLAGS, 0, name)
    except DeviceError as exc:
        if exc.errno == errno.ENODEV:
            return
        raise
    if flags & IFF_RUNNING:
        text = (
            f"TAP {name} is in use by another process, which has queues of it: end that first, or choose another name"
        )
        raise DeviceError(text, errno.EBUSY)


class Relays:
    """`relays(process, frame)` hands a frame on.  A process that does not read loses it, and nobody waits."""

    __slots__ = ("_ends", "dropped", "sent")

    def __init__(self, ends: list[socket.socket]) -> None:
        self._ends = ends
        self.sent = 0
        self.dropped = 0

    def __call__(self, process: int, frame: bytes) -> None:
        """Hand `frame` on to a process, or count it as dropped."""
        try:
            self._ends[process - 1].send(_NO_OFFLOAD + frame, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            self.dropped += 1
        else:
            self.sent += 1

    def close(self) -> None:
        """Give the sockets back."""
        for end in self._ends:
            end.close()


class FirstQueue(TapDevice):
    """The queue of process 0; `relays` are the sockets to the others."""

    __slots__ = ("relays",)

    relays: Relays

    def close(self) -> None:
        """Close queue and sockets."""
        super().close()
        self.relays.close()


class OtherQueue(TapDevice):
    """The queue of another process, and behind it what process 0 hands on."""

    __slots__ = ("_both", "_handed")

    _both: select.epoll
    _handed: Device

    def add(self, handed: Device) -> None:
        """Read from `handed`, too."""
        self._handed = handed
        self._both = select.epoll()
        for descriptor in (super().fileno(), handed.fileno()):
            self._both.register(descriptor, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable when one of the two is; -1 after `close`."""
        return -1 if self._both.closed else self._both.fileno()

    def rx_burst(self, burst: Burst) -> int:
        """Frames of the queue, or else those handed on.  Raises DeviceGone."""
        return super().rx_burst(burst) or self._handed.rx_burst(burst)

    def close(self) -> None:
        """Close queue and socket."""
        super().close()
        self._both.close()
        self._handed.close()


def open_share(share: Share) -> tuple[Device, Relays | None]:
    """The device of a process that inherited `share`, and in process 0 what hands frames on.

    Descriptors are copied, and no child inherits them.  Raises ConfigError, DeviceError.
    """
    place = share.steering()
    if len(share.relays) != (1 if place.index else place.count - 1):
        raise ConfigError(f"process {place.index} of {place.count} has {len(share.relays)} sockets to others")
    with contextlib.ExitStack() as undo:
        ends = []
        for descriptor in share.relays:
            ends.append(socket.socket(fileno=_copy(descriptor, share)))
            undo.callback(ends[-1].close)
        if not place.index:
            first = _adopt(FirstQueue, share)
            first.relays = Relays(ends)
            undo.pop_all()
            return first, first.relays
        other = _adopt(OtherQueue, share)
        end = ends[0]
        other.add(
            VnetDevice(
                share.name,
                other.mac,
                other.mtu,
                other.caps,
                end.fileno(),
                end,
                vnet=True,
                patience_ms=_PATIENCE_MS,
                native=NATIVE,
            )
        )
        undo.pop_all()
    return other, None


def _adopt(kind: type[T], share: Share) -> T:
    """The queue as a device.  Raises DeviceError."""
    descriptor = _copy(share.queue, share)
    try:
        name = _IFREQ.unpack(fcntl.ioctl(descriptor, _TUNGETIFF, bytes(_IFREQ.size)))[0].rstrip(b"\0").decode()
    except OSError:
        name = ""
    if name != share.name:
        os.close(descriptor)
        raise DeviceError(f"descriptor {share.queue} is no queue of {share.name}", errno.EBADF)
    mac = bytes.fromhex(share.mac)
    return kind(share.name, mac, mtu=share.mtu, offload=share.offload, queue=True, descriptor=descriptor)


def _copy(descriptor: int, share: Share) -> int:
    """Of a descriptor, which is there for the next host of this process, but not for its children."""
    try:
        os.set_inheritable(descriptor, False)
        return os.dup(descriptor)
    except OSError as exc:
        text = (
            f"this process did not inherit queue {share.index} of {share.name}: only the process that it was made for "
            "has it, not the children of that one"
        )
        raise DeviceError(text, exc.errno) from exc
