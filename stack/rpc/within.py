"""Calls within the process: the same stubs, and what is passed is marshalled and checked as over a network.

    client = rpc.local(calc.CALC_V1, Calc())
    result = await client.CALC_DO(calc.args(calc.op.ADD, 1, 2))

For tests, and for programs whose parts are in one process today, and perhaps not tomorrow.
"""

import asyncio
from typing import Any, Protocol, TypeVar

from stack.errors import ConnectionRefused
from stack.rpc.auth import NOBODY, Credential
from stack.rpc.caller import RpcClient
from stack.rpc.channel import Channel, Sink, local_pair
from stack.rpc.program import Caller, Server
from stack.rpc.server import RpcServer
from stack.rpc.settings import ClientSettings
from stack.rpc.xdr import LIMITS, Limits

C_co = TypeVar("C_co", covariant=True)


class HasClient(Protocol[C_co]):
    """A version of a program, as the compiler makes it: what of it decides the type of its stub."""

    def Client(self, call: Caller, /) -> C_co:  # noqa: N802  (the name of the class)
        """The stub, which makes its calls by `call`."""


class Within:
    """The way to a server of this process."""

    __slots__ = ("_server",)

    def __init__(self, server: RpcServer) -> None:
        self._server = server

    async def open(self, sink: Sink) -> tuple[Channel, bool]:
        """A pair of channels.  Raises ConnectionRefused."""
        return self.join(sink), True

    def join(self, sink: Sink) -> Channel:
        """The same at once."""
        server = self._server
        channel = local_pair(asyncio.get_running_loop(), sink, server, server.listening.next_number())
        if channel is None:
            raise ConnectionRefused("the server in this process takes no more connections, or was closed")
        return channel


def local(
    version: HasClient[C_co],
    program: Server | RpcServer,
    *,
    timeout: float | None = None,
    auth: Credential = NOBODY,
    xdr: Limits = LIMITS,
) -> C_co:
    """A stub that calls `program` within this process: what is passed is marshalled and checked as over a network.

    `program` may be a server that is running.  It must be called while the loop runs.
    """
    server = program if isinstance(program, RpcServer) else RpcServer([program], xdr=xdr)
    chosen: Any = version
    way = Within(server)
    settings = ClientSettings(auth=auth, timeout=timeout, session=False, xdr=xdr)
    client = RpcClient(chosen, settings, "this process", way.open, datagrams=False)
    client.use(way.join(client))
    return chosen.Client(client)  # type: ignore[no-any-return]
