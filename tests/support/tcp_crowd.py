"""Many peers of one host that keep no rules: frames made by hand, put straight into the host's receive path.

What the host answers goes nowhere; numbers of the other side are read from its connections.
"""

from stack.host.host import Host
from stack.tcp.connection import Connection
from stack.tcp.listener import Listener
from stack.tcp.state import ESTABLISHED
from stack.wire import accel
from stack.wire.burst import Burst
from tests.support.frames import IP_B, End, tcp_frame

CROWD_ADDR = 0x0A0000C8  # 10.0.0.200
CROWD_MAC = bytes.fromhex("020000000c8c")


class Crowd:
    """Peers of `host`, which has the address 10.0.0.2 on interface `ifindex`."""

    def __init__(self, host: Host, listener: Listener, ifindex: int = 1) -> None:
        self.host = host
        self.listener = listener
        self.ifindex = ifindex
        self.burst = Burst()
        self.mac = host.ip.interfaces[ifindex].mac
        self.us = End(self.mac, IP_B, listener.local_port)
        self.conns: list[Connection] = []
        self.now = 0

    def peer(self, number: int) -> End:
        """Where peer `number` sends from."""
        return End(CROWD_MAC, CROWD_ADDR.to_bytes(4, "big"), 2000 + number)

    def rx(self, frames: list[bytes]) -> None:
        """Frames come in."""
        raws = [(frame, 0, 0, 0, 0, 0) for frame in frames]
        while raws:
            taken = accel.load_burst(self.burst, raws, self.mac)
            del raws[:taken]
            self.host.receive(self.ifindex, self.burst, self.now)

    def join(self, now: int) -> Connection | None:
        """Another peer connects; None when the host does not want it."""
        self.now = now
        peer = self.peer(len(self.conns))
        self.rx([tcp_frame(peer, self.us, "S", 0)])
        key = CROWD_ADDR << 32 | peer.port << 16 | self.us.port
        conn = self.host.tcp.flows.get(int.from_bytes(IP_B, "big"), {}).get(key)
        if conn is None:
            return None
        self.host.poll_transmit(now)  # the SYN-ACK, which offers a window
        self.rx([tcp_frame(peer, self.us, "A", 1, conn.iss + 1 & 0xFFFFFFFF)])
        assert conn.state == ESTABLISHED
        assert self.listener.accept() is conn
        self.host.poll_transmit(now)
        self.conns.append(conn)
        return conn

    def send(self, number: int, texts: list[tuple[int, bytes]], now: int) -> None:
        """Peer `number` sends text at distances from the start of its stream."""
        self.now = now
        peer, ack = self.peer(number), self.conns[number].iss + 1 & 0xFFFFFFFF
        self.rx([tcp_frame(peer, self.us, "A", 1 + at, ack, data=text) for at, text in texts])
        self.host.poll_events()
        self.host.poll_transmit(now)
