"""UDP through SOCKS5: datagrams of one client, for as long as its TCP connection lasts (RFC 1928 §7).

Theory of operation.  An association has an endpoint on the kernel's side, which the client is told, and one on the
stack's, from which all its datagrams go out.  Who may use it is pinned: datagrams come from the client's address, from
the port that it said, or, if it said none, from the port of the first one, whose socket must be of a user who is
served.  From outside come answers only: of addresses that the client has sent to lately, at most MAX_PEERS of them.
"""

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final

from stack.aio.names import address_of, first_of
from stack.aio.network import AsyncHost
from stack.errors import NoBufferSpace
from stack.proxy.clients import Room, Sender, Users
from stack.proxy.socks5 import Malformed, Request, unwrap, wrap

if TYPE_CHECKING:
    from collections import Counter

logger = logging.getLogger(__name__)

MAX_PEERS: Final = 256
IDLE_S: Final = 120.0  # RFC 4787 §4.3: "A NAT UDP mapping timer MUST NOT expire in less than two minutes"
MAX_LOOKUPS: Final = 16  # datagrams whose destination is being looked up

Address = tuple[str, int]


class Association:
    """See the head of this file.  `counts` is the server's."""

    __slots__ = (
        "_client",
        "_client_port",
        "_counts",
        "_far",
        "_has_room",
        "_host",
        "_idle_s",
        "_lookups",
        "_near",
        "_peers",
        "_room",
        "_sender",
        "_users",
        "bound",
    )

    def __init__(
        self,
        host: AsyncHost,
        users: Users,
        client: str,
        request: Request,
        counts: "Counter[str]",
        room: Room,
        idle_s: float = IDLE_S,
    ) -> None:
        self._host = host
        self._users = users
        self._client = client
        self._client_port = 0  # the one that was let in
        self._sender: Sender | None = None  # it
        self._counts = counts
        self._idle_s = idle_s
        self._room = room
        self._has_room = False
        self._peers: dict[Address, float] = {}  # whom the client has sent to, and when; who was last is at the end
        self._lookups: set[asyncio.Task[None]] = set()
        self._near: asyncio.DatagramTransport | None = None
        self._far: asyncio.DatagramTransport | None = None
        self.bound: Address = (client, request.port)  # until `open`: what the client has said

    async def open(self, address: str) -> None:
        """Take a port at `address` of the kernel's, and one of the stack.  Raises OSError."""
        if not self._room.take():
            raise NoBufferSpace("the proxy has as many sockets as it may")
        self._has_room = True
        expected, loop = self.bound[1], asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((address, 0))
            self._far, _ = await self._host.create_datagram_endpoint(lambda: _Far(self), ("", 0))
            self._near, _ = await loop.create_datagram_endpoint(lambda: _Near(self), sock=sock)
        except BaseException:
            sock.close()
            self.close()
            raise
        self.bound = sock.getsockname()
        if expected:
            self._pin(expected)

    def _pin(self, port: int) -> bool:
        """Whether a socket of a user who is served has it: then it is the client's."""
        sender = Sender(self._users, (self._client, port), self.bound)
        if not sender.is_served():
            self._counts["udp_refused_user"] += 1
            return False
        self._sender, self._client_port = sender, port
        return True

    def close(self) -> None:
        """RFC 1928 §7 (SOCKS-UDP-END): the TCP connection has ended."""
        if self._has_room:
            self._has_room = False
            self._room.free()
        for task in self._lookups:
            task.cancel()
        for transport in (self._near, self._far):
            if transport is not None:
                transport.close()
        self._near = self._far = None

    def _is_client(self, source: Address) -> bool:
        """RFC 1928 §7 (SOCKS-UDP-SOURCE): what comes from elsewhere is dropped."""
        if source[0] != self._client:
            self._counts["udp_refused_source"] += 1
            return False
        if self._sender is None:
            return self._pin(source[1])
        if source[1] != self._client_port:
            self._counts["udp_refused_source"] += 1
            return False
        return self._is_still_served()

    def _is_still_served(self) -> bool:
        if self._sender is not None and self._sender.is_served():
            return True
        self._counts["udp_refused_user"] += 1
        return False

    def on_near(self, datagram: bytes, source: Address) -> None:
        """From the kernel's side."""
        if not self._is_client(source):
            return
        try:
            host, port, data = unwrap(datagram)
        except Malformed as error:
            self._counts[f"udp_bad_{error.reason}"] += 1
            return
        if address_of(host) is not None:
            self._send(host, port, data)
        elif len(self._lookups) >= MAX_LOOKUPS:
            self._counts["udp_dropped"] += 1
        else:
            task = asyncio.get_running_loop().create_task(self._look_up(host, port, data))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)

    async def _look_up(self, host: str, port: int, data: bytes) -> None:
        try:
            if self._host.resolver is None:
                raise socket.gaierror(socket.EAI_NONAME, f"{host}: there is no resolver")
            address = await first_of(self._host.resolver, host)
        except (OSError, UnicodeError) as error:
            logger.debug("socks: %s: %s", host, error)
            self._counts["udp_failed"] += 1
            return
        self._send(address, port, data)

    def _send(self, address: str, port: int, data: bytes) -> None:
        if self._far is None:
            return
        peer = (address, port)
        self._peers.pop(peer, None)
        if len(self._peers) >= MAX_PEERS:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = asyncio.get_running_loop().time()
        self._counts["udp_in"] += 1
        self._far.sendto(data, peer)

    def on_far(self, data: bytes, source: Address) -> None:
        """From the stack's side: whoever the client has not sent to is not heard."""
        sent_at = self._peers.get(source)
        now = asyncio.get_running_loop().time()
        if sent_at is None or now - sent_at > self._idle_s or self._near is None:
            self._counts["udp_refused_stranger"] += 1
            return
        if not self._is_still_served():
            return
        self._peers[source] = now
        self._counts["udp_out"] += 1
        self._near.sendto(wrap(*source, data), (self._client, self._client_port))

    def on_error(self) -> None:
        """A datagram that could not be sent."""
        self._counts["udp_errors"] += 1


class _Near(asyncio.DatagramProtocol):
    """Of the kernel's side."""

    def __init__(self, association: Association) -> None:
        self._association = association

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._association.on_near(data, addr)

    def error_received(self, _exc: Exception) -> None:
        self._association.on_error()


class _Far(_Near):
    """Of the stack's side."""

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._association.on_far(data, addr)
