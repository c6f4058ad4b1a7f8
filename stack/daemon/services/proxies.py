"""What lets programs of this machine use the stack without a change: SOCKS5, and ports that are forwarded."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from stack.aio.network import AsyncHost
from stack.errors import AddressInUse, AddressNotAvailable, ConfigError, NoBufferSpace, StackError
from stack.proxy import owner
from stack.proxy.clients import MAX_CLIENTS, MAX_SOCKETS, Room, Users
from stack.proxy.flows import UdpForward
from stack.proxy.forward import TcpForward
from stack.proxy.rules import MAX_PORT, Rule, check_address, parse
from stack.proxy.socks import HANDSHAKE_S, Limits, SocksServer

MAX_FORWARDS: Final = 64
QUIET_S: Final = 0.5
CLIENTS_MAX: Final = 4096
Forward = TcpForward | UdpForward


class SocksSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A SOCKS5 proxy for programs of this machine."""

    port: int = 1080  # RFC 1928 §3: "conventionally"
    address: str = "127.0.0.1"
    anyone: bool = False  # users other than root and the daemon's own, and, with another address, other machines
    user: str = ""  # name and password that clients must give (RFC 1929)
    password: str = ""
    max_clients: int = MAX_CLIENTS
    handshake_s: float = HANDSHAKE_S  # in which a client must have said what it wants

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        if not 1 <= self.port <= MAX_PORT:
            raise ConfigError(f"socks.port is {self.port}: use 1 to {MAX_PORT}")
        if not 1 <= self.max_clients <= CLIENTS_MAX:
            raise ConfigError(f"socks.max_clients is {self.max_clients}: use 1 to {CLIENTS_MAX}")
        if not 0.1 <= self.handshake_s <= 300:
            raise ConfigError(f"socks.handshake_s is {self.handshake_s}: use 0.1 to 300 seconds")
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


class ForwardSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A port that leads to the other side; as arguments of `tapstack forward`."""

    listen: str
    to: str
    inward: bool = msgspec.field(default=False, name="in")
    anyone: bool = False

    def rule(self) -> Rule:
        """Raises ConfigError for what cannot be."""
        return parse(self.listen, self.to, inward=self.inward, anyone=self.anyone)


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


def _bind_rule(rule: Rule) -> socket.socket | None:
    """The kernel's port of a rule, if it has one.  Raises as `bind`."""
    if rule.inward:
        return None
    return bind(rule.address, rule.port, socket.SOCK_DGRAM if rule.udp else socket.SOCK_STREAM)


def room_for(descriptors: int) -> int:
    """How many sockets of the kernel's the proxies may have together: half of what the process may."""
    return MAX_SOCKETS if descriptors <= 0 else max(1, min(4 * MAX_SOCKETS, descriptors // 2))


class Proxies:
    """Those of one daemon.  Ports of the settings are taken by `bind`, with the rights of who started us."""

    __slots__ = ("_bound", "_forwards", "_host", "_room", "_rules", "_settings", "_socks")

    def __init__(self, socks: SocksSettings | None = None, forwards: Sequence[ForwardSettings] = ()) -> None:
        self._settings = socks
        self._rules = [one.rule() for one in forwards]
        self._bound: list[socket.socket | None] = []  # of the rules, then of the proxy
        self._room = Room(room_for(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
        self._host: AsyncHost | None = None
        self._socks: SocksServer | None = None
        self._forwards: list[Forward] = []

    def bind(self) -> None:
        """Take the ports.  Raises as the function `bind`."""
        for rule in self._rules:
            self._bound.append(_bind_rule(rule))
        socks = self._settings
        if socks is not None:
            self._bound.append(bind(socks.address, socks.port))

    def close(self) -> None:
        """Leave those that nobody came to serve at."""
        for sock in self._bound:
            if sock is not None:
                sock.close()
        self._bound.clear()

    async def open(self, host: AsyncHost) -> None:
        """Begin to serve.  Raises AddressInUse, AddressNotAvailable for ports of the stack."""
        self._host = host
        bound, self._bound = self._bound, []
        for rule, listener in zip(self._rules, bound, strict=False):
            await self._start(rule, listener)
        settings, listener = self._settings, bound[-1] if bound else None
        if settings is not None and listener is not None:
            users = Users(None if settings.anyone else owner.owners())
            self._socks = SocksServer(
                host, users, settings.credentials, Limits(settings.max_clients, settings.handshake_s), self._room
            )
            await self._socks.start(listener)

    async def _start(self, rule: Rule, listener: socket.socket | None) -> Forward:
        assert self._host is not None
        kind = UdpForward if rule.udp else TcpForward
        forward = kind(self._host, rule, Users(None if rule.anyone else owner.owners()), self._room)
        try:
            await forward.start(listener)
        except AddressInUse:  # of the stack's: the kernel's are bound by now
            raise AddressInUse(f"port {rule.listen} of the stack is in use: choose another") from None
        except AddressNotAvailable:
            raise AddressNotAvailable(f"{rule.address} is not an address of the stack: leave it out") from None
        except BaseException:
            if listener is not None:
                listener.close()
            raise
        self._forwards.append(forward)
        return forward

    @contextlib.asynccontextmanager
    async def forward(self, request: dict[str, Any]) -> AsyncIterator[Rule]:
        """Forward for as long as the block lasts.  `request`: the fields of ForwardSettings.

        Raises ConfigError, AddressInUse, AddressNotAvailable, NoBufferSpace, StackError.
        """
        try:
            rule = msgspec.convert({name: request[name] for name in request if name != "op"}, ForwardSettings).rule()
        except msgspec.ValidationError as error:
            raise ConfigError(f"a request to forward: {str(error).lower()}") from None
        if len(self._forwards) >= MAX_FORWARDS:
            raise NoBufferSpace(f"the daemon forwards {MAX_FORWARDS} ports already: end one of them")
        forward = await self._start(rule, _bind_rule(rule))
        try:
            yield rule
        finally:
            if forward in self._forwards:
                self._forwards.remove(forward)
            await forward.aclose()

    def status(self) -> dict[str, Any]:
        """For the snapshot: what there is."""
        about: dict[str, Any] = {}
        if self._socks is not None:
            about["socks"] = self._socks.status()
        if self._forwards:
            about["forwards"] = [
                {"listen": one.rule.listen, "to": one.rule.target, "in": one.rule.inward, **one.status()}
                for one in self._forwards
            ]
        return about

    def _streams(self) -> list[SocksServer | TcpForward]:
        """The ports of connections."""
        found: list[SocksServer | TcpForward] = [one for one in self._forwards if isinstance(one, TcpForward)]
        return found if self._socks is None else [*found, self._socks]

    def close_ports(self) -> None:
        """Let nobody in any more."""
        for port in self._streams():
            port.close_port()

    async def drain(self) -> None:
        """Wait until nothing passes any more, for QUIET_S seconds."""
        before = None
        while (passed := [(one.clients.passed(), len(one.clients)) for one in self._streams()]) != before:
            if not any(count for _, count in passed):
                return
            before = passed
            await asyncio.sleep(QUIET_S)

    async def aclose(self) -> None:
        """End all of it."""
        forwards, self._forwards = self._forwards, []
        for forward in forwards:
            await forward.aclose()
        if self._socks is not None:
            await self._socks.aclose()
