"""What lets programs of this machine use the stack without a change: SOCKS5, and ports that are forwarded."""

import errno
import ipaddress
import socket
from typing import Any, Final

import msgspec

from stack.aio.network import AsyncHost
from stack.errors import AddressInUse, AddressNotAvailable, ConfigError, StackError
from stack.proxy import owner
from stack.proxy.clients import MAX_CLIENTS, Users
from stack.proxy.socks import Limits, SocksServer

MAX_PORT: Final = 65_535
CLIENTS_MAX: Final = 4096


class SocksSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A SOCKS5 proxy for programs of this machine."""

    port: int = 1080  # RFC 1928 §3: "conventionally"
    address: str = "127.0.0.1"
    anyone: bool = False  # users other than root and the daemon's own, and, with another address, other machines
    user: str = ""  # name and password that clients must give (RFC 1929)
    password: str = ""
    max_clients: int = MAX_CLIENTS

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        if not 1 <= self.port <= MAX_PORT:
            raise ConfigError(f"socks.port is {self.port}: use 1 to {MAX_PORT}")
        if not 1 <= self.max_clients <= CLIENTS_MAX:
            raise ConfigError(f"socks.max_clients is {self.max_clients}: use 1 to {CLIENTS_MAX}")
        check_address("socks.address", self.address, anyone=self.anyone)
        if bool(self.user) != bool(self.password):
            raise ConfigError("socks.user and socks.password go together: give both, or none")
        for name in ("user", "password"):
            if len(getattr(self, name).encode("utf-8")) > 255:
                raise ConfigError(f"socks.{name} is too long: use up to 255 bytes")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Name and password."""
        return (self.user, self.password) if self.user else None


def check_address(what: str, text: str, *, anyone: bool) -> None:
    """Raise ConfigError for what is no address to listen on."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise ConfigError(f"{what} {text!r} is not an IPv4 address, such as 127.0.0.1") from None
    if not address.is_loopback and not anyone:
        raise ConfigError(
            f"{what} {address} is not on loopback: other machines' users cannot be told apart, so say anyone as well"
        )


def bind(address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A socket of the kernel's, bound.  Raises AddressInUse, AddressNotAvailable, StackError."""
    sock = socket.socket(socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()  # now: two may bind the same port, but only one listens
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        where = f"port {port} of the kernel's {address}"
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"{where} is in use: choose another") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise AddressNotAvailable(f"{address} is not an address of this machine") from None
        if error.errno == errno.EACCES:
            raise StackError(
                f"{where} needs root: use one from 1024, or set it up in the daemon's file", error.errno
            ) from None
        raise StackError(f"{where}: {(error.strerror or str(error)).lower()}") from None
    return sock


class Proxies:
    """Those of one daemon.  Ports of the settings are taken by `bind`, with the rights of who started us."""

    __slots__ = ("_settings", "_socks", "_socks_at")

    def __init__(self, socks: SocksSettings | None = None) -> None:
        self._settings = socks
        self._socks: SocksServer | None = None
        self._socks_at: socket.socket | None = None

    def bind(self) -> None:
        """Take the ports.  Raises as `bind`."""
        socks = self._settings
        if socks is not None:
            self._socks_at = bind(socks.address, socks.port)

    def close(self) -> None:
        """Leave them, if nobody came to serve at them."""
        if self._socks_at is not None:
            self._socks_at.close()

    async def open(self, host: AsyncHost) -> None:
        """Begin to serve."""
        settings, listener = self._settings, self._socks_at
        if settings is not None and listener is not None:
            users = Users(None if settings.anyone else owner.owners())
            self._socks = SocksServer(host, users, settings.credentials, Limits(settings.max_clients))
            await self._socks.start(listener)

    def status(self) -> dict[str, Any]:
        """For the snapshot: what there is."""
        return {} if self._socks is None else {"socks": self._socks.status()}

    async def aclose(self) -> None:
        """End all of it."""
        if self._socks is not None:
            await self._socks.aclose()
