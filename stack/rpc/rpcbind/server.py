"""An rpcbind of our own, for a host of ours: C clients look at our address's port 111, and no other rpcbind would take
registrations from there.

    async with await rpc.rpcbind_server(host=host) as binder:
        async with await rpc.serve([Calc()], host=host, udp=0, tcp=0, register=True): ...

Servers of this process register in its table directly, and own what they registered; who is of the same host may
register over the network, too.  `docs/rpc.md` tells what strangers may ask.
"""

import ipaddress
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stack.rpc.policy import Policy
from stack.rpc.rpcbind.address import LOCAL, TCP, UDP, to_universal
from stack.rpc.rpcbind.own import OwnRpcbinds, own_rpcbinds
from stack.rpc.rpcbind.passing import Passing
from stack.rpc.rpcbind.protocol import RPCB_PORT
from stack.rpc.rpcbind.registry import MAX_MAPPINGS, Mapping, Registry
from stack.rpc.rpcbind.service import Desk
from stack.rpc.server import RpcServer, serve
from stack.rpc.transports import ANY, own_addresses, stack_of

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost


class RpcbindServer:
    """A running rpcbind; `rpcbind_server` makes one.  `aclose`, or leaving its context, ends it."""

    __slots__ = ("_desk", "_rpcbinds", "_server", "_stack")

    def __init__(
        self, host: "AsyncHost | VirtualHost | None", registry: Registry, callit: Policy | None = None
    ) -> None:
        self._stack = stack_of(host)
        self._rpcbinds: OwnRpcbinds = own_rpcbinds()
        self._server: RpcServer | None = None
        passing = None if callit is None else Passing(callit, self._rpcbinds.servers.get)
        self._desk = Desk(
            registry, is_local=self._is_local, local_for=self._local_for, clock=time.time, passing=passing
        )

    async def start(self, host: "AsyncHost | VirtualHost | None", **ports: Any) -> None:
        """Serve.  Raises OSError."""
        self._server = await serve(self._desk.services(), host=host, register=False, **ports)
        try:
            self._rpcbinds.begin(self._stack, self._desk.registry)
        except BaseException:
            await self._server.aclose()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def registered(self) -> list[Mapping]:
        """All that is registered, its own versions first."""
        return list(self._desk.registry)

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name: of the server, `denied_...` for what somebody may not, `refused_...` for what cannot be."""
        registry = self._desk.registry
        return {
            **(self._server.stats if self._server is not None else {}),
            "registered": len(registry),
            **{f"denied_{want.value}": count for want, count in registry.denied.items()},
            **{f"refused_{why.value}": count for why, count in registry.refused.items()},
        }

    async def aclose(self) -> None:
        """Give the ports back and forget everything.  Safe to call twice."""
        if self._server is not None:
            server, self._server = self._server, None
            self._rpcbinds.end(self._stack)
            await server.aclose()

    def _is_local(self, address: str) -> bool:
        """Whether it is of this host.  Nobody else can send from there: such packets are dropped where they come in."""
        if self._stack is not None and address in own_addresses(self._stack):
            return True
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback

    def _local_for(self, address: str) -> str:
        """By which address of ours a client reaches us: that of its own network, else the first."""
        if self._stack is None or ":" in address:
            return ""
        networks = [
            ipaddress.IPv4Interface((own, prefix))
            for (_, prefix), own in zip(self._stack.addresses(), own_addresses(self._stack), strict=False)
        ]
        client = ipaddress.ip_address(address) if address else None
        for interface in networks:
            if client in interface.network:
                return str(interface.ip)
        return str(networks[0].ip) if networks else ""


async def rpcbind_server(
    *,
    host: "AsyncHost | VirtualHost | None" = None,
    address: str | None = None,
    port: int = RPCB_PORT,
    unix: str | None = None,
    max_mappings: int = MAX_MAPPINGS,
    callit: Policy | None = None,
) -> RpcbindServer:
    """An rpcbind on UDP and TCP `port` of `host`, and on a Unix socket; without a host it is one of the kernel's side.

    It listens on `address`, by default as `serve` does.  `callit` (see `allow`): who may have calls passed on to
    servers of this process, as broadcasts are; None: nobody.  Raises OSError; AddressInUse where there is one already.
    """
    own = {netid: to_universal(ANY, port) for netid in (TCP, UDP)} | ({} if unix is None else {LOCAL: unix})
    server = RpcbindServer(host, Registry(own, max_mappings=max_mappings), callit)
    await server.start(host, address=address, udp=port, tcp=port, unix=unix)
    return server
