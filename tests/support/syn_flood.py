"""A host under a flood of SYNs from forged addresses, and a client that means it.

Theory of operation.  `Attack` holds two real Hosts on one link, the server and the client, and makes the flood's frames
itself: 100 a millisecond of virtual time, each from an address and port of its own beyond the gateway.  What the server
sends to those is counted and thrown away.  The client's frames and the server's answers to it arrive at once.
"""

import gc
import random
import struct
import sys

from stack.config import MS, SECOND, HostConfig, IpConfig, TcpConfig
from stack.device.wrapper import NO_OFFLOAD
from stack.host.host import Host
from stack.tcp.connection import Connection
from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import VNET_DATA_VALID, TxFrame
from stack.wire.sink import FrameSink

SERVER, CLIENT, GATEWAY = 0xC6120002, 0xC6120009, 0xC6120001  # 198.18.0.x
SERVER_MAC, CLIENT_MAC, GATEWAY_MAC = b"\2\0\0\0\0\2", b"\2\0\0\0\0\11", b"\2\0\0\0\0\1"
PORT = 80
PER_MS = 100
_IP = struct.Struct("!BBHHHBBHII")
_TCP = struct.Struct("!HHIIBBHHHBBH")


class Port(FrameSink):
    """Where a host's frames go; those for nobody here are counted."""

    def __init__(self) -> None:
        self.caps = NO_OFFLOAD
        self.frames: list[bytes] = []
        self.lost = 0

    def send(self, frame: TxFrame) -> bool:
        if frame.header[frame.start : frame.start + 6] == GATEWAY_MAC:
            self.lost += 1
        else:
            self.frames += [item[0] for item in accel.finish(frame, NO_OFFLOAD)]
        return True

    def flush(self) -> int:
        return 0


class Attack:
    """A server listening on PORT with `settings` of TcpConfig, and what is done to it."""

    def __init__(self, backlog: int = 128, **settings: object) -> None:
        self.now = 1000 * SECOND
        self.rng = random.Random(4987)
        self.ports = Port(), Port()
        self.server, self.client = (
            self._host(port, mac, addr, TcpConfig(**chosen))  # type: ignore[arg-type]
            for port, mac, addr, chosen in (
                (self.ports[0], SERVER_MAC, SERVER, settings),
                (self.ports[1], CLIENT_MAC, CLIENT, {}),
            )
        )
        self.server.add_route(0, 0, GATEWAY)
        self.listener = self.server.listen(0, PORT, backlog, now=self.now)
        self._burst = Burst()
        self.syns = 0
        self.flood(1)  # the gateway is asked for

    def _host(self, port: Port, mac: bytes, addr: int, tcp: TcpConfig) -> Host:
        host = Host(HostConfig(tcp=tcp, ip=IpConfig(arp_probe=False)), random.Random(7), self.now)
        host.add_interface("eth0", port, mac, 1500, self.now)
        host.add_address(1, addr, 24, self.now)
        return host

    def flood(self, milliseconds: int) -> None:
        """PER_MS forged SYNs in each millisecond, for so many of them."""
        for _ in range(milliseconds):
            self.now += MS
            self._deliver(self.server, SERVER_MAC, [(self._syn(), VNET_DATA_VALID, 0, 0, 0, 0) for _ in range(PER_MS)])
            self._settle()

    def wait(self, milliseconds: int) -> None:
        """So much time without flood."""
        for _ in range(milliseconds):
            self.now += MS
            self._settle()

    def _syn(self) -> bytes:
        self.syns += 1
        # 11.0.0.0/8 .. 74.0.0.0/8
        src = 0x0B000000 + self.rng.getrandbits(30)
        header = bytearray(_IP.pack(0x45, 0, 44, 0, 0x4000, 64, 6, 0, src, SERVER))
        header[10:12] = accel.checksum(header).to_bytes(2, "big")
        sport = 1024 + self.rng.randrange(60_000)
        return (
            SERVER_MAC
            + GATEWAY_MAC
            + b"\x08\0"
            + header
            + _TCP.pack(sport, PORT, self.rng.getrandbits(32), 0, 0x60, 2, 65_535, 0, 0, 2, 4, 1460)
        )

    def _deliver(self, host: Host, mac: bytes, frames: list[tuple[bytes, int, int, int, int, int]]) -> None:
        accel.load_burst(self._burst, frames, mac)
        host.receive(1, self._burst, self.now)

    def _settle(self) -> None:
        """Everything that is due, until nothing moves."""
        for _ in range(100):
            for host in (self.server, self.client):
                if host.deadline <= self.now:
                    host.on_timer(self.now)
                host.poll_events()
                while host.poll_transmit(self.now):
                    host.poll_events()
            moved = [port.frames for port in self.ports]
            if not any(moved):
                return
            for port in self.ports:
                port.frames = []
            for frames, sender in zip(moved, (SERVER_MAC, CLIENT_MAC), strict=True):
                self._carry(frames, sender)
        raise AssertionError("the hosts talk without end")

    def _carry(self, frames: list[bytes], sender: bytes) -> None:
        other, mac = (self.client, CLIENT_MAC) if sender == SERVER_MAC else (self.server, SERVER_MAC)
        for frame in frames:
            if frame[12:14] == b"\x08\x06" and int.from_bytes(frame[38:42], "big") == GATEWAY:
                if frame[20:22] == b"\0\1":  # who has the gateway's address?
                    reply = b"".join(
                        (frame[6:12], GATEWAY_MAC, frame[12:20], b"\0\2", GATEWAY_MAC, frame[38:42], frame[22:32])
                    )
                    asker = self.server if sender == SERVER_MAC else self.client
                    self._deliver(asker, sender, [(reply, 0, 0, 0, 0, 0)])
                continue
            self._deliver(other, mac, [(frame, 0, 0, 0, 0, 0)])

    def connect(self) -> Connection:
        """The client opens."""
        conn = self.client.connect(SERVER, PORT, now=self.now)
        self._settle()
        return conn

    def accepted(self) -> list[Connection]:
        """What the server's application gets."""
        found = []
        while (conn := self.listener.accept()) is not None:
            found.append(conn)
        return found

    @staticmethod
    def memory() -> int:
        """Blocks that Python holds."""
        gc.collect()
        return sys.getallocatedblocks()
