"""The rpcbinds of ours in this process: one for a host of a loop, or for the kernel's side of it.

Servers find the one of their host here, and are told when it begins anew.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from stack.errors import AddressInUse
from stack.rpc.channel import Sink
from stack.rpc.errors import Unreachable
from stack.rpc.rpcbind.registry import Mapping, Registry

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost


class OwnRpcbinds:
    """Those of one loop; None stands for the kernel's side."""

    __slots__ = ("__weakref__", "_registries", "_watchers", "servers")

    def __init__(self) -> None:
        self._registries: dict[AsyncHost | None, Registry] = {}
        self._watchers: dict[AsyncHost | None, list[Callable[[], None]]] = {}
        self.servers: dict[str, Sink] = {}  # that are registered, by the owner of what is

    def get(self, stack: "AsyncHost | None") -> Registry | None:
        """The table of the rpcbind of this host, if there is one."""
        return self._registries.get(stack)

    def begin(self, stack: "AsyncHost | None", registry: Registry) -> None:
        """An rpcbind serves from now on.  Raises AddressInUse."""
        if stack in self._registries:
            raise AddressInUse("this host has an rpcbind already, in this process: close it first")
        self._registries[stack] = registry
        for watcher in list(self._watchers.get(stack, ())):
            watcher()

    def end(self, stack: "AsyncHost | None") -> None:
        """It does not any more."""
        self._registries.pop(stack, None)

    def watch(self, stack: "AsyncHost | None", watcher: Callable[[], None]) -> Callable[[], None]:
        """Call it whenever an rpcbind begins; what comes back ends that."""
        watchers = self._watchers.setdefault(stack, [])
        watchers.append(watcher)

        def unwatch() -> None:
            watchers.remove(watcher)
            if not watchers:
                self._watchers.pop(stack, None)

        return unwatch


_OF_LOOP: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, OwnRpcbinds]] = WeakKeyDictionary()


def own_rpcbinds() -> OwnRpcbinds:
    """Those of the running loop."""
    return _OF_LOOP.setdefault(asyncio.get_running_loop(), OwnRpcbinds())


class OwnRegistrar:
    """The rpcbind of ours for a host, whichever it is at the time."""

    __slots__ = ("_rpcbinds", "_stack")

    def __init__(self, rpcbinds: OwnRpcbinds, stack: "AsyncHost | None") -> None:
        self._rpcbinds = rpcbinds
        self._stack = stack

    def _registry(self) -> Registry:
        registry = self._rpcbinds.get(self._stack)
        if registry is None:
            raise Unreachable("rpcbind of this host", because="it was closed")
        return registry

    async def listed(self) -> list[Mapping]:
        """All that is registered.  Raises Unreachable."""
        return list(self._registry())

    async def set(self, mapping: Mapping) -> bool:
        """Register.  Raises Unreachable."""
        return self._registry().set(mapping)

    async def unset(self, mapping: Mapping) -> bool:
        """Take away.  Raises Unreachable."""
        return self._registry().unset(mapping.program, mapping.version, mapping.netid, mapping.owner)
