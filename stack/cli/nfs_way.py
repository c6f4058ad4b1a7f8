"""How the NFS commands reach a server: over the daemon's connections or the kernel's, as `Way` says.

Theory of operation.  A Way gives TCP connections as sockets of the kernel's: those of the daemon lead through its
control socket.  A channel for calls is made of such a socket, so the client of `stack.nfs` speaks as the stack does.
Over UDP there are only the kernel's own.
"""

import asyncio
import socket
from typing import Any, Final

from stack.cli.via import DAEMON, Way
from stack.errors import ConfigError
from stack.rpc import NotRegistered, connect
from stack.rpc.channel import Channel, Sink
from stack.rpc.client import Connecting
from stack.rpc.dispatch import TCP
from stack.rpc.record import MAX_RECORD
from stack.rpc.rpcbind.address import IPPROTO_TCP
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_PORT, pmap_mapping
from stack.rpc.settings import ClientSettings
from stack.rpc.transports import StreamChannel

CONNECT_S: Final = 10.0


class Dialer:
    """Makes clients of programs at a host, as `stack.rpc.connect` does."""

    __slots__ = ("_way",)

    def __init__(self, way: Way) -> None:
        self._way = way

    def dial(self, version: Any, address: str, **options: Any) -> Any:
        """A client, to be used by `async with`."""
        proto, port = options.pop("proto"), options.pop("port")
        options.pop("host", None)
        if proto == "udp":
            return connect(version, address, proto=proto, port=port, **options)
        opener = _Opener(self._way, version, address, port)
        return Connecting(version, ClientSettings(**options), address, opener.open, udp=False)

    def check(self, proto: str, via: str | None) -> None:
        """Raise ConfigError for what there is no way for."""
        if proto == "udp" and via == DAEMON:
            raise ConfigError("the daemon gives connections only: use --proto tcp, or --via kernel")


class _Opener:
    """Opens channels to one program."""

    __slots__ = ("_address", "_port", "_version", "_way")

    def __init__(self, way: Way, version: Any, address: str, port: int | None) -> None:
        self._way = way
        self._version = version
        self._address = address
        self._port = port

    async def open(self, sink: Sink) -> tuple[Channel, bool]:
        """A channel, from another local port each time.  Raises OSError."""
        if self._port is None:
            self._port = await self._look_up()
        sock = await asyncio.to_thread(self._socket, self._port)
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(lambda: StreamChannel(sink, TCP, MAX_RECORD), sock=sock)
        return channel, False

    def _socket(self, port: int) -> socket.socket:
        with self._way.connection(self._address, port, CONNECT_S, say=False) as sock:
            return sock.dup()

    async def _look_up(self) -> int:
        opener = _Opener(self._way, PMAP_V2, self._address, RPCB_PORT)
        asking: Connecting[Any] = Connecting(PMAP_V2, ClientSettings(), self._address, opener.open, udp=False)
        async with asking as mapper:
            asked = pmap_mapping(self._version.program, self._version.version, IPPROTO_TCP, 0)
            found: int = await mapper.PMAPPROC_GETPORT(asked)
        if not found:
            raise NotRegistered(f"{self._version.name} at {self._address}")
        return found
