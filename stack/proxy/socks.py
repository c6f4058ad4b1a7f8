"""A SOCKS5 server: its clients are on the kernel's side, what they connect to is on the stack's (RFC 1928).

Theory of operation.  A client is let in (`clients`: room, and whose it is), has HANDSHAKE_S seconds for all of its
handshake, however it dribbles, and then gets its connection: `splice`.  Names are looked up by the host's resolver, so
the client's machine asks nobody about them.  Who may not come in is told X'FF' to whatever it offers.
"""

import asyncio
import encodings.idna  # noqa: F401  # names are looked up by it, and the daemon loads nothing once it gave up its rights
import errno
import ipaddress
import logging
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from stack.aio.names import address_of
from stack.aio.network import AsyncHost
from stack.proxy import socks5
from stack.proxy.associate import Association
from stack.proxy.clients import MAX_CLIENTS, Client, Clients, Room, Users
from stack.proxy.socks5 import Handshake, Request

logger = logging.getLogger(__name__)

HANDSHAKE_S: Final = 10.0
BACKLOG: Final = 128

# RFC 1928 §6: which REP says what; a connection that was never answered has spent its time
_REPLIES: Final = {
    errno.ECONNREFUSED: socks5.REFUSED,
    errno.ENETUNREACH: socks5.NETWORK_UNREACHABLE,
    errno.ENETDOWN: socks5.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: socks5.HOST_UNREACHABLE,
    errno.ETIMEDOUT: socks5.TTL_EXPIRED,
    errno.EACCES: socks5.NOT_ALLOWED,
    errno.EPERM: socks5.NOT_ALLOWED,
    errno.EINVAL: socks5.NOT_ALLOWED,
}


def reply_to(error: OSError | UnicodeError) -> int:
    """The REP for what came of a connection.  A name that has no address, or is none, is a host that is not reached."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return socks5.HOST_UNREACHABLE
    if isinstance(error, TimeoutError):
        return socks5.TTL_EXPIRED
    return _REPLIES.get(error.errno or 0, socks5.GENERAL_FAILURE)


def is_allowed(host: str) -> bool:
    """Whether it may be one host, which is not the proxy itself: no loopback, group, broadcast or reserved address."""
    if (number := address_of(host)) is None:
        return True
    address = ipaddress.IPv4Address(number)
    return not (address.is_loopback or address.is_multicast or address.is_unspecified or address.is_reserved)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one server."""

    clients: int = MAX_CLIENTS
    handshake_s: float = HANDSHAKE_S


class SocksServer:
    """See the head of this file.  `users`: who is served; `credentials`: name and password that are asked for."""

    __slots__ = ("_server", "clients", "credentials", "host", "limits", "users")

    def __init__(
        self,
        host: AsyncHost,
        users: Users,
        credentials: tuple[str, str] | None = None,
        limits: Limits | None = None,
        room: Room | None = None,
    ) -> None:
        self.host = host
        self.users = users
        self.credentials = credentials
        self.limits = limits or Limits()
        self.clients = Clients(self.limits.clients, room)
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve at a bound socket of the kernel's."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(partial(_SocksClient, self), sock=listener, backlog=BACKLOG)

    def close_port(self) -> None:
        """Let nobody in any more."""
        if self._server is not None:
            self._server.close()

    async def aclose(self) -> None:
        """Reset who is there, too."""
        self.close_port()
        self.clients.close()

    def status(self) -> dict[str, Any]:
        """For `tapstack status`."""
        where = ""
        if self._server is not None and self._server.sockets:
            address, port = self._server.sockets[0].getsockname()
            where = f"{address}:{port}"
        return {"listen": where, **self.clients.status()}


class _SocksClient(Client):
    """A client from its greeting on."""

    __slots__ = ("_association", "_handshake", "_server", "_timer")

    def __init__(self, server: SocksServer) -> None:
        super().__init__(server.clients)
        self._server = server
        self._handshake: Handshake | None = Handshake(server.credentials)
        self._timer: asyncio.TimerHandle | None = None
        self._association: Association | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        server = self._server
        if not server.users.may_connect(transport):
            server.clients.counts["refused_user"] += 1
        elif server.clients.enter(self):
            self._timer = asyncio.get_running_loop().call_later(server.limits.handshake_s, self._late)
            return
        self._end_handshake()  # it never began
        server.clients.turn_away(self.transport, socks5.NO_ACCEPTABLE_METHOD)

    def _late(self) -> None:
        self.refuse("timeout")

    def refuse(self, reason: str, last_words: bytes = b"") -> None:
        """Count it, say why, and close."""
        clients = self.clients
        clients.counts[reason] += 1
        self._end_handshake()
        clients.leave(self)
        clients.turn_away(self.transport, last_words, ended=self._eof)

    def _end_handshake(self) -> None:
        self._handshake = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        handshake = self._handshake
        if handshake is None:
            if self._association is None:  # else there is nothing that could be said
                super().data_received(data)
            return
        answer = handshake.feed(data)
        if handshake.failure:
            self.refuse(f"bad_{handshake.failure}", answer)
            return
        if answer:
            self.transport.write(answer)
        if handshake.request is not None:
            self._end_handshake()
            if handshake.rest:  # it does not wait for the reply
                super().data_received(handshake.rest)
            self.begin(self._serve(handshake.request))

    def eof_received(self) -> bool:
        if self._handshake is not None:
            self._eof = True
            self.refuse("bad_end")
            return True
        if self._association is not None:
            return False  # RFC 1928 §7: the association ends with this connection
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handshake is not None:
            self.clients.counts["bad_end"] += 1
            self._end_handshake()
        if self._association is not None:
            self._association.close()
            self._association = None
        super().connection_lost(exc)

    async def _serve(self, request: Request) -> None:
        if request.command == socks5.UDP_ASSOCIATE:
            await self._associate(request)
            return
        if not is_allowed(request.host):
            self.refuse("refused_destination", socks5.reply(socks5.NOT_ALLOWED))
            return
        host = self._server.host
        try:
            far = await self.open_far(lambda far: host.create_connection(lambda: far, request.host, request.port))
        except (OSError, UnicodeError) as error:
            logger.debug("socks: %s:%d: %s", request.host, request.port, error)
            self.refuse("failed", socks5.reply(reply_to(error)))
            return
        self.transport.write(socks5.reply(socks5.SUCCEEDED, *far.transport.get_extra_info("sockname")))
        self.splice(far)

    async def _associate(self, request: Request) -> None:
        """RFC 1928 §7: a port for datagrams, where the client came in."""
        server, transport = self._server, self.transport
        client, here = transport.get_extra_info("peername")[0], transport.get_extra_info("sockname")[0]
        association = self._association = Association(
            server.host, server.users, client, request, self.clients.counts, self.clients.room
        )
        try:
            await association.open(here)
        except OSError as error:
            logger.debug("socks: no association: %s", error)
            self._association = None
            self.refuse("failed", socks5.reply(reply_to(error)))
            return
        self.clients.counts["associated"] += 1
        transport.write(socks5.reply(socks5.SUCCEEDED, *association.bound))
        if self._eof:
            transport.close()
