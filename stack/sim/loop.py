"""The event loop of a simulation: ordinary asyncio calls are made by the simulated host that is active.

Theory of operation.  `IsolatedLoop` gives virtual time and keeps everything real out.  Over it is the same `StackLoop`
that serves real programs, with one difference: what a program asks of the loop about networks it asks of the host on
which it runs, the active one of the context (`with host.active():`), which tasks inherit.  Other hosts' addresses are
not its own, and there is no kernel for the rest.

Names are those of the simulation's hosts.  `localhost` and 127/8 are the active host itself, by its first address:
other hosts reach it under that as well.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from stack.aio.active import ACTIVE
from stack.aio.loop import StackLoop
from stack.aio.names import Resolver, address_of
from stack.aio.ownership import Ownership
from stack.errors import AddressNotAvailable, NetworkUnreachable
from stack.sim.isolated import IsolatedLoop, NotSimulated
from stack.sim.network import Network
from stack.wire.addr import format_addr, is_loopback

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

P = TypeVar("P", bound=asyncio.BaseProtocol)


class _ActiveOnly(Ownership["AsyncHost"]):
    """Whose an address is, as the active host sees it: its own, or nobody's here."""

    __slots__ = ()

    def owner(self, addr: int) -> "AsyncHost | None":
        """The active host, if the address is its own."""
        host = super().owner(addr)
        return host if host is ACTIVE.get() else None


class _NoKernel(IsolatedLoop):
    """What StackLoop hands on because it is no simulated host's."""

    async def create_connection(
        self, protocol_factory: Callable[[], P], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[Any, P]:
        """Raises NetworkUnreachable for IPv6, and NotSimulated for a socket."""
        if host is not None:
            _refuse_ipv6(host)
        return await super().create_connection(protocol_factory, host, port, **options)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Raises NetworkUnreachable for IPv6, and NotSimulated otherwise."""
        _refuse_ipv6(address[0])
        await super().sock_connect(sock, address)

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Raises AddressNotAvailable, and NotSimulated for a socket."""
        _refuse_address(host)
        return await super().create_server(protocol_factory, host, port, **options)

    async def create_datagram_endpoint(
        self, protocol_factory: Callable[[], P], local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> tuple[Any, P]:
        """Raises AddressNotAvailable, and NotSimulated for a socket."""
        _refuse_address(local_addr)
        return await super().create_datagram_endpoint(protocol_factory, local_addr, remote_addr, **options)


def _refuse_ipv6(host: Any) -> None:
    if ":" in str(host):
        raise NetworkUnreachable(f"{host}: simulated hosts speak no IPv6")


def _refuse_address(address: Any) -> None:
    if address:
        raise AddressNotAvailable(f"{address}: no address of the host that is active; give one of its own, or none")


class VirtualLoop(StackLoop, _NoKernel):
    """See the head of this file.  `resolver` knows the names of the hosts."""

    def __init__(self, network: Network, resolver: Resolver) -> None:
        super().__init__(network, resolver=resolver, wildcard="stack")
        self.ownership = _ActiveOnly()

    def active_host(self) -> "AsyncHost":
        """The host on which the caller runs.  Raises NotSimulated."""
        host = ACTIVE.get()
        if host is None or host.loop is not self:
            raise NotSimulated("on which host? use `with host.active():`, or host.spawn() for a task of its own")
        return host

    def source_for(self, addr: int) -> "AsyncHost":  # noqa: ARG002  (wherever it is)
        """The host on which the caller runs.  Raises NotSimulated."""
        return self.active_host()

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As `socket.getaddrinfo`, of the simulation's names.  Raises socket.gaierror."""
        return await super().getaddrinfo(self._own(host), port, **options)

    def _own(self, host: Any) -> Any:
        """The address of the active host where `host` means it."""
        addr = address_of(host)
        if host == "localhost" or (addr is not None and is_loopback(addr)):
            own = self.active_host().addresses()
            return format_addr(own[0][0]) if own else host
        return host

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Listen on the active host; see `stack.aio.serving`."""
        self.active_host()
        return await super().create_server(protocol_factory, host, port, **options)

    async def create_datagram_endpoint(
        self, protocol_factory: Callable[[], P], local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> tuple[Any, P]:
        """A UDP endpoint of the active host; see `stack.aio.endpoints`."""
        self.active_host()
        return await super().create_datagram_endpoint(protocol_factory, local_addr, remote_addr, **options)


__all__ = ["VirtualLoop"]
