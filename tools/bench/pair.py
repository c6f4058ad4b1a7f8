"""Two Hosts in one process that are joined by lists: what the benchmarks of the packet path have in common."""

import random
from dataclasses import replace

from stack.config import HostConfig, TcpConfig
from stack.host.host import Host
from stack.tcp.connection import Connection
from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import Caps, TxFrame
from stack.wire.sink import FrameSink

Frame = tuple[bytes, int, int, int, int, int]
MAC_A, MAC_B = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
ADDR_A, ADDR_B = 0x0A00_0001, 0x0A00_0002
PORT = 80
HOP_US = 100


class ListSink(FrameSink):
    """Keeps what is sent, finished."""

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self.frames: list[Frame] = []

    def send(self, frame: TxFrame) -> bool:
        """Keep one frame."""
        self.frames += accel.finish(frame, self.caps)
        return True

    def flush(self) -> int:
        """Nothing is batched."""
        return 0


class Pair:
    """The two hosts, a connection between them, and what flies; `hop_us` is how long it takes to connect."""

    def __init__(self, tcp: TcpConfig, caps: Caps | None = None, hop_us: int = HOP_US) -> None:
        config = replace(HostConfig(), tcp=tcp)
        config = replace(config, ip=replace(config.ip, arp_probe=False))
        caps = caps if caps is not None else Caps()
        self.sinks = ListSink(caps), ListSink(caps)
        self.hosts = Host(config, random.Random(1)), Host(config, random.Random(2))
        self.macs = MAC_A, MAC_B
        self.burst = Burst()
        self.now = 1_000_000
        for host, sink, mac, addr in zip(self.hosts, self.sinks, self.macs, (ADDR_A, ADDR_B), strict=True):
            host.add_address(host.add_interface("link", sink, mac, 1500, self.now), addr, 24, self.now)
        self.sender, self.receiver = self._connected(hop_us)

    def _connected(self, hop_us: int) -> tuple[Connection, Connection]:
        a, b = self.hosts
        listener = b.listen(ADDR_B, PORT)
        conn = a.connect(ADDR_B, PORT, now=self.now)
        for _ in range(10):
            self.exchange(hop_us)
        accepted = listener.accept()
        if accepted is None:
            raise RuntimeError("the two hosts did not connect")
        # the window of a SYN is not scaled: one round of data opens it
        conn.send(b"x", self.now)
        a.wake(conn)
        for _ in range(2):
            self.exchange(hop_us)
        self.now += 1_000_000
        b.on_timer(self.now)
        self.exchange(hop_us)
        accepted.recv_chunks()
        return conn, accepted

    def exchange(self, hop_us: int = HOP_US) -> None:
        """Everything in flight arrives."""
        self.now += hop_us
        for i, host in enumerate(self.hosts):
            host.poll_transmit(self.now)
            frames, self.sinks[i].frames = self.sinks[i].frames, []
            if frames:
                accel.load_burst(self.burst, frames, self.macs[1 - i])
                self.hosts[1 - i].receive(1, self.burst, self.now)
