"""The way to a server: by name, by port or rpcbind, over UDP, TCP or a Unix socket, or within the process.

    async with rpc.connect(calc.CALC_V1, "srv.test", timeout=2) as client:
        result = await client.CALC_DO(calc.args(calc.op.ADD, 1, 2))

Theory of operation.  A Way knows where the server is, and opens channels to it.  The first finds out its address; later
ones go there again, from the same local address and port, by which the server's duplicate request cache knows the
client.  When that port cannot be had, another one is taken, and the client is told.
"""

import asyncio
import errno
from collections.abc import Collection, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from stack.errors import ConfigError
from stack.rpc.auth import NOBODY, Credential
from stack.rpc.caller import RpcClient, running_loop
from stack.rpc.calls import Semantics
from stack.rpc.channel import Channel, Sink
from stack.rpc.duplicates import Source
from stack.rpc.program import Version
from stack.rpc.record import MAX_RECORD
from stack.rpc.settings import MAX_IN_FLIGHT, RECONNECT_S, TIMEOUT_S, ClientSettings, check_max_record
from stack.rpc.transports import Maker, StreamChannel, dial_tcp, dial_udp, dial_unix, maker_of
from stack.rpc.xdr import LIMITS, Limits

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.rpc.server import RpcServer
    from stack.rpc.within import HasClient
    from stack.sim.world import VirtualHost

C_co = TypeVar("C_co", covariant=True)
PORT_PAUSES_S: Final = (0.02, 0.08, 0.3)  # before the same port is tried again
MAX_PORT: Final = 65_535
USE: Final = "a client is used by `async with rpc.connect(...) as client:`"
_NOT_FREE: Final = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES})


class Way:
    """See the head of this file."""

    __slots__ = ("_address", "_found", "_host", "_local", "_maker", "_max_record", "_port", "_proto", "_version")

    def __init__(
        self,
        version: type[Version],
        address: str,
        proto: str,
        port: int | None,
        host: "AsyncHost | VirtualHost | None",
        max_record: int,
    ) -> None:
        self._version = version
        self._address = address
        self._proto = proto
        self._port = port
        self._found: int | None = None  # by rpcbind
        self._host = host
        self._maker: Maker = maker_of(host)
        self._max_record = max_record
        self._local: Source | None = None

    async def open(self, sink: Sink) -> tuple[Channel, bool]:
        """A channel, and whether it has the local address of the one before.  Raises OSError."""
        if self._proto == "unix":
            return await dial_unix(sink, self._address, self._max_record), False  # to the server it is somebody new
        port = self._found = self._port or self._found or await self._look_up()
        if self._proto == "udp":
            return await dial_udp(sink, self._maker, self._address, port), False
        try:
            return await self._dial(sink, port)
        except ConnectionRefusedError:
            self._found = None  # it may be elsewhere by now: rpcbind is asked again
            raise

    async def _look_up(self) -> int:
        from stack.rpc.rpcbind.binding import find_port  # noqa: PLC0415  (which makes its calls by `connect`)

        program, version = self._version.program, self._version.version
        return await find_port(self._address, program, version, self._proto, host=self._host)

    async def _dial(self, sink: Sink, port: int) -> tuple[StreamChannel, bool]:
        for pause_s in (*PORT_PAUSES_S, None) if self._local is not None else ():
            try:
                return await dial_tcp(sink, self._maker, self._address, port, self._local, self._max_record), True
            except OSError as error:
                if error.errno not in _NOT_FREE:
                    raise
            if pause_s is not None:  # the end of the connection before is perhaps not acknowledged yet
                await asyncio.sleep(pause_s)
        channel = await dial_tcp(sink, self._maker, self._address, port, max_record=self._max_record)
        if "%" not in self._address:  # (which says by which interface, as the peer's address does not)
            self._address = channel.source[0] or self._address
        self._local = channel.local
        return channel, False


class Connecting(Generic[C_co]):
    """A client that is made when the block is entered; see `connect`.  `stats` counts, by name."""

    __slots__ = ("_client", "_entered", "_stub")

    def __init__(self, version: type[Version], settings: ClientSettings, peer: str, way: Any, *, udp: bool) -> None:
        self._client = RpcClient(version, settings, peer, way, datagrams=udp)
        self._stub: Any = version.Client
        self._entered = False

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name, and how much there is at present."""
        return self._client.stats

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise TypeError(USE)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"no attribute {name} before the block is entered: {USE}")

    async def __aenter__(self) -> C_co:
        if self._entered:
            raise ConfigError("this client was entered already: make another one by rpc.connect(...) for each block")
        self._entered = True
        try:
            await self._client.open()
        except BaseException:
            await self._client.aclose()
            raise
        return self._stub(self._client)  # type: ignore[no-any-return]

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()


def is_port(port: Any, *, free: bool) -> bool:
    """Whether it is a number of a port; `free`: or 0, which stands for a free one."""
    return isinstance(port, int) and not isinstance(port, bool) and (0 if free else 1) <= port <= MAX_PORT


def connect(
    version: "HasClient[C_co]",
    address: "str | RpcServer",
    *,
    proto: str = "tcp",
    port: int | None = None,
    timeout: float | None = TIMEOUT_S,
    auth: Credential = NOBODY,
    semantics: Semantics | str = Semantics.AT_MOST_ONCE,
    idempotent: Collection[str] = (),
    max_in_flight: int = MAX_IN_FLIGHT,
    session: bool = True,
    reconnect_s: float = RECONNECT_S,
    max_record: int = MAX_RECORD,
    xdr: Limits = LIMITS,
    host: "AsyncHost | VirtualHost | None" = None,
) -> Connecting[C_co]:
    """A client of a version of a program, to be used by `async with`, which gives its stub.

    `proto`: "tcp" or "udp" with a name or an address, "unix" with a path, "local" with an RpcServer of this process.
    `port`: None asks the rpcbind there.  `timeout`: seconds for a call that is given none of its own; None: for ever.
    `semantics`: what may happen when no reply comes, as Semantics or its text ("at-most-once");
    procedures named in `idempotent` may be executed more than once.
    `max_in_flight`: calls beyond wait.  `session`: ask the server which run of it answers, to notice when it is another
    one.  `reconnect_s`: how long a lost connection is tried again.  `max_record`: octets of a reply on a stream;
    `xdr`: limits of results.  `host`: who speaks; by default the host that is active, or who the loop says.

    Raises ConfigError; entering the block raises Unreachable, NotRegistered.
    """
    settings = ClientSettings(
        auth=auth,
        timeout=timeout,
        semantics=semantics,
        idempotent=idempotent,
        max_in_flight=max_in_flight,
        session=session,
        reconnect_s=reconnect_s,
        xdr=xdr,
    )
    chosen: Any = version
    running_loop()
    if not isinstance(address, str):
        from stack.rpc.server import RpcServer  # noqa: PLC0415  # few clients have a server with them
        from stack.rpc.within import Within  # noqa: PLC0415

        if isinstance(address, RpcServer):
            return Connecting(chosen, settings, "this process", Within(address).open, udp=False)
    if proto not in {"tcp", "udp", "unix"}:
        raise ConfigError(f"proto {proto!r}: use 'tcp', 'udp' or 'unix', or an RpcServer for one of this process")
    if port is not None and not is_port(port, free=False):
        raise ConfigError(f"port is {port!r}: use a number from 1 to {MAX_PORT}, or None to ask the rpcbind there")
    check_max_record(max_record)
    way = Way(chosen, address, proto, port, host, max_record)
    return Connecting(chosen, settings, address, way.open, udp=proto == "udp")
