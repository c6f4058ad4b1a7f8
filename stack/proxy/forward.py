"""A TCP port on one side whose connections go on to one address on the other side: `tapstack forward`.

Theory of operation.  Each connection accepted is a client (`clients`), for which another one is opened at once; what
it sends meanwhile is kept, up to a bound.  Where nobody listens, or nothing is reached, the client is reset: that is
what it would have met there, as far as a connection that was accepted can tell.
"""

import asyncio
import logging
import socket
from functools import partial
from typing import Any, Final

from stack.aio.network import AsyncHost
from stack.aio.server import StackServer
from stack.proxy.clients import Client, Clients, Room, Users
from stack.proxy.rules import Rule
from stack.proxy.splice import Half, reset

logger = logging.getLogger(__name__)

BACKLOG: Final = 128


class TcpForward:
    """One rule at work.  `users` is asked about clients on the kernel's side only."""

    __slots__ = ("_host", "_server", "clients", "rule", "users")

    def __init__(self, host: AsyncHost, rule: Rule, users: Users, room: Room | None = None) -> None:
        self._host = host
        self.rule = rule
        self.users = users
        self.clients = Clients(room=room)
        self._server: asyncio.Server | StackServer | None = None

    async def start(self, listener: socket.socket | None) -> None:
        """Serve at `listener`, a bound socket of the kernel's; None for a rule inward.

        Raises AddressInUse, AddressNotAvailable.
        """
        rule, factory = self.rule, partial(_ForwardClient, self)
        if listener is None:
            self._server = await self._host.create_server(factory, rule.address or None, rule.port, backlog=BACKLOG)
        else:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(factory, sock=listener, backlog=BACKLOG)

    async def dial(self, far: Half) -> None:
        """The second connection.  Raises OSError."""
        rule = self.rule
        if rule.inward:
            await asyncio.get_running_loop().create_connection(lambda: far, rule.host, rule.host_port)
        else:
            await self._host.create_connection(lambda: far, rule.host, rule.host_port)

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
        return self.clients.status()


class _ForwardClient(Client):
    """A connection to the port."""

    __slots__ = ("_forward",)

    def __init__(self, forward: TcpForward) -> None:
        super().__init__(forward.clients)
        self._forward = forward

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        forward = self._forward
        if not forward.rule.inward and not forward.users.may_connect(transport):
            self.clients.counts["refused_user"] += 1
        elif self.clients.enter(self):
            self.begin(self._serve())
            return
        reset(transport)

    async def _serve(self) -> None:
        forward = self._forward
        try:
            far = await self.open_far(forward.dial)
        except (OSError, UnicodeError) as error:
            logger.debug("forward %s: %s: %s", forward.rule.listen, forward.rule.target, error)
            self.clients.counts["failed"] += 1
            reset(self.transport)
            return
        self.splice(far)
