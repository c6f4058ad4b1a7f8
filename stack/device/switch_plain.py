"""The switch of attached processes in Python: what SwitchTap does where the C core is not built.

The same frames pass and the same are refused as in native/switch.c, which tells how it works; each frame costs a
system call and some tens of microseconds of Python.
"""

import contextlib
import errno
import os
import select
import time
from collections import deque
from struct import Struct
from typing import Final

from stack.wire import accel
from stack.wire.accel import Raw
from stack.wire.burst import MAX_FRAME, META, Burst
from stack.wire.frame import (
    CAP_CSUM,
    CAP_TSO4,
    CAP_USO,
    ETH_HLEN,
    GSO_ECN,
    GSO_NONE,
    GSO_TCPV4,
    GSO_UDP_L4,
    VNET_NEEDS_CSUM,
    Caps,
    TxFrame,
)

# struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; in the host's byte order
VNET: Final = Struct("=BBHHHH")
_NO_OFFLOAD: Final = bytes(VNET.size)
_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
_GROUP_BIT: Final = 1
_ARP, _IPV4 = b"\x08\x06", b"\x08\x00"
_IP_HLEN, _ARP_LEN = 20, 28
_TCP, _UDP = 6, 17
_TAP_READS, _PORT_READS = 64, 32  # of one call
_LENGTH: Final = 4  # bytes that the ring of the C core takes for each packet, besides the packet
# why a frame is refused: index into `refused`, as TS_REFUSED_* of native/io.h
MALFORMED, TOO_LONG, OFFLOAD, SOURCE_MAC, SOURCE_ADDRESS, ARP_SENDER, ETHERTYPE, BROADCAST, DEVICE = range(9)


class PlainPort:
    """An attached process."""

    __slots__ = (
        "addr",
        "fd",
        "flood_at",
        "gone",
        "mac",
        "open",
        "queue_bytes",
        "queued",
        "refused",
        "rx_bytes",
        "rx_frames",
        "tx_bytes",
        "tx_dropped",
        "tx_frames",
        "waiting",
        "watched",
    )

    def __init__(self, fd: int, addr: int, mac: bytes, queue_bytes: int, *, is_open: bool) -> None:
        self.fd = fd
        self.addr = addr.to_bytes(4, "big")
        self.mac = mac
        self.open = is_open
        self.gone = False
        self.watched = False
        self.queue_bytes = queue_bytes
        self.queued = 0
        self.waiting: deque[bytes] = deque()
        self.flood_at = 0
        self.rx_frames = self.rx_bytes = self.tx_frames = self.tx_bytes = self.tx_dropped = 0
        self.refused = [0] * 9


class PlainSwitch:
    """Between the TAP `fd` and ports.  `floods_per_s`: broadcasts of one port.  `now_us` 0: the clock."""

    __slots__ = ("_caps", "_epoll", "_fd", "_flood_us", "_floods", "_mac", "_mtu", "_vnet", "now_us", "ports")

    def __init__(self, fd: int, mac: bytes, mtu: int, caps: Caps, *, vnet: bool, floods_per_s: int) -> None:
        self._fd = fd
        self._mac = mac
        self._mtu = mtu
        self._caps = caps
        self._vnet = vnet
        self._floods = floods_per_s
        self._flood_us = 1_000_000 // floods_per_s
        self.now_us = 0
        self.ports: dict[int, PlainPort] = {}
        self._epoll = select.epoll()
        self._epoll.register(fd, select.EPOLLIN)

    def fileno(self) -> int:
        """To watch for reading."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Give the epoll back."""
        self._epoll.close()

    def add(self, index: int, port: PlainPort) -> None:
        """It takes part.  Raises OSError."""
        self._epoll.register(port.fd, select.EPOLLIN)
        self.ports[index] = port

    def remove(self, index: int) -> None:
        """It takes part no more."""
        port = self.ports.pop(index)
        if not port.gone:
            self._epoll.unregister(port.fd)

    # -- to a port

    def _watch(self, port: PlainPort, room: bool) -> None:
        if port.watched != room:
            self._epoll.modify(port.fd, select.EPOLLIN | (select.EPOLLOUT if room else 0))
            port.watched = room

    def _write(self, port: PlainPort, packet: bytes) -> bool:
        """False: there is no room now."""
        try:
            os.write(port.fd, packet)
        except OSError as exc:
            if exc.errno in _FULL:
                return False
            port.tx_dropped += 1  # it has gone, which its reader is about to see
        else:
            port.tx_frames += 1
            port.tx_bytes += len(packet) - VNET.size
        return True

    def _drain(self, port: PlainPort) -> None:
        while port.waiting:
            if not self._write(port, port.waiting[0]):
                return
            port.queued -= _LENGTH + len(port.waiting.popleft())
        self._watch(port, False)

    def _put(self, port: PlainPort, packet: bytes) -> bool:
        if not port.waiting and self._write(port, packet):
            return True
        if _LENGTH + len(packet) > port.queue_bytes - port.queued:
            port.tx_dropped += 1
            return False
        port.waiting.append(packet)
        port.queued += _LENGTH + len(packet)
        self._watch(port, True)
        return True

    def _find(self, mac: bytes) -> PlainPort | None:
        return next((port for port in self.ports.values() if port.mac == mac and not port.gone), None)

    def _flood(self, sender: PlainPort | None, packet: bytes) -> None:
        for port in self.ports.values():
            if port is not sender and not port.gone:
                self._put(port, packet)

    def _to_tap(self, packet: bytes) -> int:
        """0, or a negative errno."""
        try:
            os.write(self._fd, packet if self._vnet else packet[VNET.size :])
        except OSError as exc:
            return -(exc.errno or errno.EIO)
        return 0

    # -- what a port may send

    def _may_flood(self, port: PlainPort) -> bool:
        now = self.now_us or time.monotonic_ns() // 1000
        port.flood_at = max(port.flood_at, now)
        if port.flood_at - now > self._flood_us * (self._floods - 1):
            return False
        port.flood_at += self._flood_us
        return True

    def refusal(self, port: PlainPort, packet: bytes) -> int:
        """Why it cannot pass, or -1."""
        if len(packet) < VNET.size + ETH_HLEN:
            return MALFORMED
        frame = packet[VNET.size :]
        if len(frame) > ETH_HLEN + (self._mtu if packet[1] == GSO_NONE else 0xFFFF):
            return TOO_LONG
        kind, l3 = frame[12:14], frame[ETH_HLEN:]
        if not port.open and frame[6:12] != port.mac:
            return SOURCE_MAC
        if kind == _ARP:
            if len(l3) < _ARP_LEN:
                return MALFORMED
            if not port.open and _bad_arp(port, l3):
                return ARP_SENDER
        elif kind == _IPV4:
            head = (l3[0] & 15) * 4 if l3 else 0
            if head < _IP_HLEN or l3[0] >> 4 != 4 or head > len(l3):
                return MALFORMED
            if not port.open and l3[12:16] != port.addr:
                return SOURCE_ADDRESS
        elif not port.open:
            return ETHERTYPE
        return OFFLOAD if self._bad_offload(packet, frame) else -1

    def _bad_offload(self, packet: bytes, frame: bytes) -> bool:
        flags, gso_type, hdr_len, gso_size, csum_start, csum_offset = VNET.unpack_from(packet)
        if not flags & VNET_NEEDS_CSUM:
            return bool(gso_type != GSO_NONE)
        caps, length = self._caps.bits, len(frame)
        if not caps & CAP_CSUM or frame[12:14] != _IPV4 or csum_start < ETH_HLEN + _IP_HLEN:
            return True
        if csum_start + csum_offset + 2 > length:
            return True
        gso = gso_type & ~GSO_ECN
        if gso == GSO_NONE:
            return False
        protocol, head = frame[ETH_HLEN + 9], accel.header_len(frame)
        known = (gso == GSO_TCPV4 and caps & CAP_TSO4 and protocol == _TCP) or (
            gso == GSO_UDP_L4 and caps & CAP_USO and protocol == _UDP
        )
        return not known or not head or not gso_size or head - ETH_HLEN + gso_size > self._mtu or hdr_len > length

    # -- frames on their way

    def _pass(self, sender: PlainPort, packet: bytes) -> Raw | None:
        """Of a port; what is (also) for our own host."""
        why = self.refusal(sender, packet)
        group = why < 0 and packet[VNET.size] & _GROUP_BIT
        if group and not self._may_flood(sender):
            why = BROADCAST
        if why >= 0:
            sender.refused[why] += 1
            return None
        packet = bytes([packet[0] & VNET_NEEDS_CSUM]) + packet[1:]
        sender.rx_frames += 1
        sender.rx_bytes += len(packet) - VNET.size
        target = packet[VNET.size : VNET.size + 6]
        if group:
            self._flood(sender, packet)
            self._to_tap(packet)
            return _raw(packet)
        if target == self._mac:
            return _raw(packet)
        port = self._find(target)
        if port is not None:
            if port is not sender:
                self._put(port, packet)
        elif self._to_tap(packet) < 0:
            sender.refused[DEVICE] += 1
        return None

    def rx_burst(self, burst: Burst) -> int:
        """As SwitchTap.  Raises OSError when the TAP is gone."""
        kept: list[Raw] = []
        room = len(burst.pool) - MAX_FRAME
        limit = len(burst.meta) // META.size
        for _ in range(_TAP_READS):
            if len(kept) >= limit or sum(len(raw[0]) + 64 for raw in kept) > room:
                break
            try:
                data = os.read(self._fd, MAX_FRAME)
            except BlockingIOError:
                break
            except OSError:
                if kept:
                    break
                raise
            self._from_tap(data if self._vnet else _NO_OFFLOAD + data, kept)
        for fd, events in self._epoll.poll(0):
            port = next((port for port in self.ports.values() if port.fd == fd and not port.gone), None)
            if port is not None:
                if events & select.EPOLLOUT and port.waiting:
                    self._drain(port)
                if events & ~select.EPOLLOUT:
                    self._from_port(port, kept, limit, room)
        accel.load_burst(burst, kept, self._mac)
        return accel.merge_burst(burst)

    def _from_tap(self, packet: bytes, kept: list[Raw]) -> None:
        if len(packet) < VNET.size:
            return
        if len(packet) >= VNET.size + ETH_HLEN:
            target = packet[VNET.size : VNET.size + 6]
            if target[0] & _GROUP_BIT:
                self._flood(None, packet)
            elif target != self._mac and (port := self._find(target)) is not None:
                self._put(port, packet)
                return
        kept.append(_raw(packet))

    def _from_port(self, port: PlainPort, kept: list[Raw], limit: int, room: int) -> None:
        for _ in range(_PORT_READS):
            if len(kept) >= limit or sum(len(raw[0]) + 64 for raw in kept) > room:
                return
            packet = b""
            with contextlib.suppress(ConnectionError):
                try:
                    packet = os.read(port.fd, MAX_FRAME + 1)
                except BlockingIOError:
                    return
            if not packet:  # its end; an empty packet is no frame and ends it, too
                self._epoll.unregister(port.fd)
                port.gone = True
                return
            if len(packet) > MAX_FRAME:
                port.refused[TOO_LONG] += 1
            elif (raw := self._pass(port, packet)) is not None:
                kept.append(raw)

    def send(self, frame: TxFrame) -> int:
        """Of our own host; the wire frames that it was, or a negative errno."""
        raws = accel.finish(frame, self._caps)
        if not raws:
            return -errno.EINVAL
        for data, flags, gso_type, gso_size, csum_start, csum_offset in raws:
            if len(data) < ETH_HLEN:
                return -errno.EINVAL
            head = frame.header_end - frame.start if gso_type & ~GSO_ECN else 0
            packet = VNET.pack(flags, gso_type, head, gso_size, csum_start if flags else 0, csum_offset) + data
            code = self._send_out(packet)
            if code < 0:
                return code
        return len(raws)

    def _send_out(self, packet: bytes) -> int:
        target = packet[VNET.size : VNET.size + 6]
        if target[0] & _GROUP_BIT:
            self._flood(None, packet)
            return self._to_tap(packet)
        port = self._find(target)
        if port is None:
            return self._to_tap(packet)
        return 0 if self._put(port, packet) else -errno.EAGAIN


def _bad_arp(port: PlainPort, arp: bytes) -> bool:
    sender = arp[14:18]
    return (
        arp[4] != 6
        or arp[5] != 4
        or arp[8:14] != port.mac
        or (sender != port.addr and not (sender == bytes(4) and arp[24:28] == port.addr))
    )


def _raw(packet: bytes) -> Raw:
    flags, gso_type, _, gso_size, csum_start, csum_offset = VNET.unpack_from(packet)
    return packet[VNET.size :], flags, gso_type, gso_size, csum_start, csum_offset
