"""A TAP shared between the daemon's own host and attached processes: a small switch.

Theory of operation.  Each port is the SEQPACKET socket of a process that has one link address and one IPv4 address,
both given by the daemon, so that nothing is learnt.  Unicast goes to whom it is for: a port, our own host, else the
TAP; group addresses go to all but the sender.  Frames between the TAP and ports are moved in C, within the
`rx_burst` of our own host, as they are: header and super-segment pass whole (where the C core is not built, by
`PlainSwitch`).  What a port sends is checked first:
it comes from the port's own addresses or is refused, and counted by reason.

The descriptor to watch is an epoll with the TAP and all ports.  A port whose reader is slow has a ring of
`queue_bytes`; what does not fit is dropped and counted there, and nobody waits for it.  A port whose process has
gone is told by `on_gone`, once; it stays without frames until `remove_port`.
"""

import mmap
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from stack.device.base import Device
from stack.device.switch_plain import PlainPort, PlainSwitch
from stack.device.tap import TapDevice
from stack.device.vnet import FULL, NATIVE
from stack.errors import DeviceError, NoBufferSpace
from stack.wire.burst import MAX_FRAME, META, Burst
from stack.wire.frame import TxFrame

if TYPE_CHECKING:
    from stack.device._io import Port
if NATIVE:
    from stack.device import _io

    _switch_rx, _switch_send = _io.lib.ts_switch_rx, _io.lib.ts_switch_send

MAX_PORTS: Final = 64  # TS_PORTS of native/io.h
QUEUE_BYTES: Final = 4 << 20
FLOODS_PER_S: Final = 200
# in the order of TS_REFUSED_* of native/io.h
REFUSALS: Final = (
    "malformed",
    "too_long",
    "offload",
    "source_mac",
    "source_address",
    "arp_sender",
    "ethertype",
    "broadcast_rate",
    "device_full",
)


class SwitchTap(TapDevice):
    """A TapDevice with ports; arguments as of TapDevice.  `checks` False lets ports send from any address: for tests.

    `floods_per_s`: broadcasts that one port may send, in the long run and at once.
    """

    __slots__ = ("_checks", "_plain_switch", "_rings", "_switch", "on_gone")

    def __init__(
        self,
        name: str,
        mac: bytes | None = None,
        *,
        mtu: int = 0,
        offload: bool = True,
        floods_per_s: int = FLOODS_PER_S,
        checks: bool = True,
    ) -> None:
        super().__init__(name, mac, mtu=mtu, offload=offload)
        self.on_gone: Callable[[int], None] | None = None
        self._checks = checks
        self._rings: dict[int, mmap.mmap] = {}  # of the ports in use: what C only points at
        self._plain_switch: PlainSwitch | None = None
        if self._plain is not None:
            self._plain_switch = PlainSwitch(
                self._fd, self.mac, self.mtu, self.caps, vnet=offload, floods_per_s=floods_per_s
            )
            return
        self._switch = _io.ffi.new(
            "ts_switch *",
            {
                "tap": self._tap,
                "mtu": self.mtu,
                "flood_us": 1_000_000 // floods_per_s,
                "flood_burst": floods_per_s,
            },
        )
        for index in range(MAX_PORTS):
            self._switch.ports[index].fd = -1
        code = _io.lib.ts_switch_open(self._switch)
        if code < 0:
            super().close()
            raise DeviceError(f"{name}: cannot watch it: {os.strerror(-code)}", -code)

    # -- ports

    def add_port(self, fd: int, addr: int, mac: bytes, queue_bytes: int = QUEUE_BYTES) -> int:
        """The process behind `fd` (non-blocking, the caller's) takes part as `addr` and `mac`; returns its index.

        Raises NoBufferSpace when all ports are in use, DeviceError.
        """
        taken = self._rings if self._plain_switch is None else self._plain_switch.ports
        index = next((i for i in range(MAX_PORTS) if i not in taken), -1)
        if index < 0:
            raise NoBufferSpace(f"all {MAX_PORTS} ports of {self.name} are in use")
        queue_bytes = max(queue_bytes, 2 * MAX_FRAME)
        if self._plain_switch is not None:
            self._plain_switch.add(index, PlainPort(fd, addr, mac, queue_bytes, is_open=not self._checks))
            return index
        ring = mmap.mmap(-1, queue_bytes)  # takes memory only where something waits
        port = self._switch.ports[index]
        port.fd, port.addr, port.mac, port.open = fd, addr, mac, int(not self._checks)
        port.ring, port.ring_len = _io.ffi.from_buffer("uint8_t[]", ring), len(ring)
        code = _io.lib.ts_switch_add(self._switch, index)
        if code < 0:
            port.fd = -1
            raise DeviceError(f"{self.name}: cannot take a port: {os.strerror(-code)}", -code)
        self._rings[index] = ring
        return index

    def remove_port(self, index: int) -> None:
        """It takes part no more; what waits for it is forgotten.  Its descriptor is still the caller's."""
        if self._plain_switch is not None:
            if index in self._plain_switch.ports:
                self._plain_switch.remove(index)
        elif self._rings.pop(index, None) is not None and self._fd >= 0:
            _io.lib.ts_switch_remove(self._switch, index)

    def port_counts(self, index: int) -> dict[str, int]:
        """Frames and bytes that came from the port and went to it, those dropped on the way to it, those that wait,
        and those refused, by reason (only reasons that occurred).
        """
        if self._plain_switch is not None:
            plain = self._plain_switch.ports[index]
            port: Port | PlainPort = plain
            waiting = len(plain.waiting)
        else:
            port = self._switch.ports[index]
            waiting = port.ring_frames
        refused = {f"refused_{name}": port.refused[i] for i, name in enumerate(REFUSALS) if port.refused[i]}
        return {
            "rx_frames": port.rx_frames,
            "rx_bytes": port.rx_bytes,
            "tx_frames": port.tx_frames,
            "tx_bytes": port.tx_bytes,
            "tx_dropped": port.tx_dropped,
            "waiting": waiting,
            **refused,
        }

    # -- the host's side

    def fileno(self) -> int:
        """The descriptor to watch for reading; -1 after `close`."""
        if self._fd < 0:
            return -1
        return self._switch.epoll_fd if self._plain_switch is None else self._plain_switch.fileno()

    def rx_burst(self, burst: Burst) -> int:
        """Pass on what waits; what is for our own host, at most one burst.  Raises DeviceGone."""
        if self._plain_switch is not None:
            return self._plain_rx(self._plain_switch, burst)
        if burst is not self._burst:
            self._bind_burst(burst)
        count = _switch_rx(*self._rx_args)
        if count < 0:
            burst.count = 0
            raise self._gone(-count)
        burst.count = count
        burst.more = count >= FULL and self._tap.more != 0
        if self._switch.gone:
            self._tell_of_gone()
        return count

    def _plain_rx(self, switch: PlainSwitch, burst: Burst) -> int:
        before = {index for index, port in switch.ports.items() if port.gone}
        try:
            count = switch.rx_burst(burst)
        except OSError as exc:
            raise self._gone(exc.errno) from exc
        for index in [index for index, port in switch.ports.items() if port.gone and index not in before]:
            if self.on_gone is not None:
                self.on_gone(index)
        return count

    def _tell_of_gone(self) -> None:
        ports = self._switch.ports
        for index in [index for index in self._rings if ports[index].gone == 1]:
            ports[index].gone = 2  # told
            if self.on_gone is not None:
                self.on_gone(index)

    def pass_on(self, burst: Burst, first: int, count: int, link: bytes) -> int:
        """Send received frames, each to whom it is for; how many were dropped, and counted as by `send`."""
        return Device.pass_on(self, burst, first, count, link)

    def send(self, frame: TxFrame) -> bool:
        """Send the frame now, to whom it is for.  False: dropped, and counted in `tx_dropped` or `tx_errors`."""
        if self._plain_switch is not None:
            code = self._plain_switch.send(frame)
            return code > 0 or self.not_sent(code)
        if frame.header is not self._header:
            self._bind_header(frame.header)
        payload = frame.payload
        code = _switch_send(
            self._switch,
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
        return code > 0 or self.not_sent(code)

    def close(self) -> None:
        """Give the TAP back; safe to call twice.  The ports' descriptors are their owner's to close."""
        if self._fd >= 0 and self._plain_switch is not None:
            self._plain_switch.close()
        elif self._fd >= 0:
            for index in list(self._rings):
                self.remove_port(index)
            os.close(self._switch.epoll_fd)
            self._switch.epoll_fd = -1
        super().close()

    def _bind_burst(self, burst: Burst) -> None:
        super()._bind_burst(burst)
        _tap, pool, length, meta, rows, _frames = self._rx_args
        self._rx_args = (self._switch, pool, length, meta, rows, len(burst.meta) // META.size)
