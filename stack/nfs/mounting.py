"""Mounting: from "host:/path" to a `Mounted`.

Theory of operation.  Both programs are found by the host's rpcbind, or at the port that is given.  The MOUNT program is
asked once at the begin, and told once at the end, over connections of their own; what is between is NFS.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from stack.errors import ConfigError
from stack.nfs.client import HARMLESS, Mounted
from stack.nfs.errors import MountError
from stack.nfs.mount3 import MOUNT_V3, mountstat3
from stack.nfs.nfs3 import NFS_V3
from stack.rpc import AuthNone, AuthSys, RpcError, connect
from stack.rpc.auth import Credential
from stack.rpc.constants import Flavor

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

TIMEOUT_S: Final = 30.0
UNMOUNT_S: Final = 1.0  # nobody waits long to be forgotten


Dial = Callable[..., Any]  # what makes clients: `stack.rpc.connect`, or the like


class Mounting:
    """A directory that is mounted when the block is entered; see `mount`."""

    __slots__ = ("_auth", "_dial", "_host", "_mount_options", "_options", "_path", "_proto", "_stack")

    def __init__(
        self,
        target: str,
        *,
        proto: str,
        auth: Credential,
        dial: Dial,
        ports: tuple[int | None, int | None],
        **options: Any,
    ) -> None:
        self._host, self._path = parse_target(target)
        self._proto = proto
        self._auth = auth
        self._dial = dial
        self._options = {**options, "proto": proto, "port": ports[0]}
        self._mount_options = {**options, "proto": proto, "port": ports[1]}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Mounted:
        async with AsyncExitStack() as stack:
            root, auth = await self._mnt()
            stack.push_async_callback(self._umnt)
            client = await stack.enter_async_context(
                self._dial(
                    NFS_V3,
                    self._host,
                    auth=auth,
                    idempotent=HARMLESS,
                    reconnect_s=self._options["timeout"],  # a server that is started anew is waited for
                    **self._options,
                )
            )
            mounted = Mounted(client, root, self._path, datagrams=self._proto == "udp")
            await mounted.begin()
            self._stack = stack.pop_all()
            return mounted
        raise AssertionError  # (for mypy: the block above returns or raises)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _mnt(self) -> tuple[bytes, Credential]:
        """The handle of the directory, and the credential that the server takes."""
        async with self._dial(MOUNT_V3, self._host, auth=self._auth, **self._mount_options) as mounter:
            found = await mounter.MOUNTPROC3_MNT(self._path)
        if found.fhs_status != mountstat3.MNT3_OK:
            raise MountError(found.fhs_status, f"{self._host}:{self._path}")
        info = found.mountinfo
        flavors = set(info.auth_flavors)
        if flavors and self._auth.flavor not in flavors and Flavor.NONE in flavors:
            return info.fhandle, AuthNone()
        return info.fhandle, self._auth

    async def _umnt(self) -> None:
        """Off the server's list, if it can be reached."""
        with suppress(RpcError, TimeoutError):
            async with asyncio.timeout(UNMOUNT_S):
                async with self._dial(MOUNT_V3, self._host, auth=self._auth, **self._mount_options) as mounter:
                    await mounter.MOUNTPROC3_UMNT(self._path)


def parse_target(target: str) -> tuple[str, str]:
    """Host and path of "host:/path"; an IPv6 address is in brackets.  Raises ConfigError."""
    host, colon, path = target.partition("]:") if target.startswith("[") else target.partition(":")
    host = host.removeprefix("[")
    if not colon or not host or not path.startswith("/"):
        raise ConfigError(f"{target!r} is nothing to mount: write it like 198.18.0.2:/data, or [2001:db8::2]:/data")
    return host, path


def mount(
    target: str,
    *,
    proto: str = "tcp",
    port: int | None = None,
    mount_port: int | None = None,
    auth: Credential | None = None,
    timeout: float = TIMEOUT_S,
    host: "AsyncHost | VirtualHost | None" = None,
) -> Mounting:
    """Mount a directory like "198.18.0.2:/data", to be used by `async with`, which gives a `Mounted`.

    `proto`: "tcp" or "udp".  `port`: of NFS, and `mount_port` of MOUNT (by default the same); None asks the rpcbind
    there.  `auth`: what calls say of who makes them, by default the user of this process.  `timeout`: seconds for each
    call.  `host`: who speaks; by default the host that is active, or who the loop says.

    Raises ConfigError; entering the block raises MountError, NfsError, RpcError.
    """
    if proto not in {"tcp", "udp"}:
        raise ConfigError(f"proto {proto!r}: use 'tcp' or 'udp'")
    return Mounting(
        target,
        proto=proto,
        auth=AuthSys.current() if auth is None else auth,
        dial=connect,
        ports=(port, port if mount_port is None else mount_port),
        timeout=timeout,
        host=host,
    )
