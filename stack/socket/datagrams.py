"""A UDP endpoint behind a blocking socket.

Theory of operation.  The pair is of SOCK_SEQPACKET: it keeps datagrams apart, and its inside hears of the closing of
the outside.  Each packet begins with a header, whose address is the sender's on the way to the program, and the
destination's on the way back (all zero: the peer that `connect` has set).  A header with an errno has no datagram: it
is an error that ICMP reported, or that sending has met.  What the program does not read stays in the pair, then in the
endpoint, which drops and counts what it has no room for.
"""

import errno
import select
import socket as stdlib
import struct
from typing import TYPE_CHECKING, ClassVar, Final

from stack.aio.datagram import open_udp
from stack.aio.driver import Ended
from stack.aio.network import AsyncHost
from stack.aio.sockets import UdpSocket, sockaddr
from stack.errors import HostClosed, StackError
from stack.socket.ends import End

if TYPE_CHECKING:
    from stack.socket.station import Station

HEADER: Final = struct.Struct("!IHH")  # address, port, errno
MAX_PAYLOAD: Final = 65_507  # RFC 768: 65 535 bytes less the headers of UDP and IP
TURN: Final = 64  # datagrams each way before others get their turn
_AGAIN: Final = 1 << 16  # our own event bit: there is more to move
_MAX_PACKET: Final = HEADER.size + MAX_PAYLOAD


class Datagrams(End):
    """See the head of this file.  Binds to `local` (address, port).  Raises AddressInUse, AddressNotAvailable."""

    __slots__ = ("_endpoint", "_held", "_input", "_over", "_peer", "face", "finished")

    kind: ClassVar[int] = stdlib.SOCK_DGRAM
    proto: ClassVar[int] = stdlib.IPPROTO_UDP

    def __init__(
        self,
        station: "Station",
        host: AsyncHost,
        local: tuple[int, int],
        outside: stdlib.socket,
        inside: stdlib.socket,
        *,
        reuse: bool = False,
    ) -> None:
        driver = host.open_driver()
        self._endpoint = open_udp(driver, local, reuse=reuse)
        super().__init__(station, driver, outside, inside)
        self.face = UdpSocket(self._endpoint, None, driver)
        self.sockname = self.face.getsockname()
        self.finished = False
        self._peer: tuple[int, int] | None = None
        self._held: tuple[bytes, bytes] | None = None  # (header, data) that the pair had no room for
        self._input = False
        self._over = False
        self._endpoint.user = self
        driver.admit(self)
        station.poller.add(inside, self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sockname} -> {self.peername}>"

    def connect(self, addr: int, port: int) -> None:
        """Fix the peer.  Raises NetworkUnreachable and the like."""
        self.driver.host.udp_connect(self._endpoint, addr, port)
        self._peer = (addr, port)
        self.sockname = self.face.getsockname()
        self.peername = sockaddr(addr, port)

    # -- the calls of driver and Poller

    def on_descriptor(self, mask: int) -> None:
        """The inside has packets, or room; or the program has closed."""
        if mask & (select.EPOLLIN | select.EPOLLHUP):
            self._input = True
        self._move()
        if mask & select.EPOLLHUP:
            while self._input and not self._over:  # what was sent before
                self._send()
            self.abort()

    def on_events(self, events: int) -> None:  # noqa: ARG002  (whatever it was: look)
        """Datagrams or errors wait."""
        self._move()

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self.set_error(exc)
        self.abort()

    def close(self) -> None:
        """The host is being closed."""
        self.set_error(HostClosed("the host of this socket was closed"))
        self.abort()

    def abort(self) -> None:
        """Give the port back."""
        if not self._over:
            self._over = self.finished = True
            self._endpoint.user = None
            if self.driver.is_open:
                self.driver.host.udp_close(self._endpoint)
                self.driver.schedule()
            self.hang_up()
            self.driver.release(self)

    # -- moving

    def _move(self) -> None:
        if self._over:
            return
        more = self._receive()
        if self._input:
            more |= self._send()
        if more and not self._over:
            self.driver.post(self, _AGAIN)

    def _receive(self) -> bool:
        """From the endpoint to the program; whether there is more for another turn."""
        for _ in range(TURN):
            packet = self._held or self._next()
            if packet is None:
                return False
            try:
                self.inside.sendmsg(packet)
            except BlockingIOError:
                self._held = packet
                return False
            except OSError:  # closed, as we will hear
                return False
            self._held = None
        return True

    def _next(self) -> tuple[bytes, bytes] | None:
        endpoint = self._endpoint
        if (error := endpoint.take_error()) is not None:
            return HEADER.pack(0, 0, error.errno or errno.EIO), b""
        if (datagram := endpoint.recv()) is None:
            return None
        return HEADER.pack(datagram[1], datagram[2], 0), datagram[0]

    def _send(self) -> bool:
        """From the program to the network; whether there is more for another turn."""
        host, now = self.driver.host, self.driver.time()
        for _ in range(TURN):
            try:
                packet = self.inside.recv(_MAX_PACKET)
            except OSError:
                packet = b""
            if len(packet) < HEADER.size:
                self._input = False
                return False
            addr, port, _code = HEADER.unpack_from(packet)
            if self._peer is not None and not port:
                addr, port = self._peer
            self.driver.schedule()
            try:
                host.udp_send(self._endpoint, packet[HEADER.size :], addr, port, now)
            except StackError as exc:
                self._tell(exc)
        return True

    def _tell(self, error: StackError) -> None:
        if self._held is None:  # else there is another one that waits, or no room
            self._held = (HEADER.pack(0, 0, error.errno or errno.EIO), b"")
            self._receive()
