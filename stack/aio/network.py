"""The asyncio face of one host: connections, servers, datagrams and streams from its own address.

The methods have the names, arguments and behaviour of the event loop's (`loop.create_connection` and so on),
so that code moves over by exchanging the object they are called on.  Several AsyncHosts live side by
side on one loop.

    async with AsyncHost() as host:
        host.add_device(tap, "198.18.0.2/24", gateway="198.18.0.1")
        reader, writer = await host.open_connection("198.18.0.1", 80)
"""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from stack.aio import tls
from stack.aio.active import activate
from stack.aio.attempt import Attempt, connect_failed
from stack.aio.datagram import StackDatagramTransport, attach, open_udp
from stack.aio.device_driver import DeviceDriver, monotonic_us
from stack.aio.driver import Driver
from stack.aio.loop import Capture, StackLoop
from stack.aio.names import Resolver, address_of, check_port, check_resolver, first_of
from stack.aio.ping import Ping
from stack.aio.polling import MAX_POLL_US, POLL_US
from stack.aio.server import Listening, StackServer, acceptor
from stack.aio.sockets import Address
from stack.config import HostConfig, Rng, TcpConfig
from stack.device.base import Device
from stack.errors import AddressInUse, ConfigError, HostClosed, NetworkUnreachable, StackError
from stack.host.host import Host
from stack.host.icmp_layer import EchoReply
from stack.tcp.connection import Connection
from stack.trace import Trace
from stack.wire.addr import ANY, format_addr, parse_addr, parse_cidr

P = TypeVar("P", bound=asyncio.BaseProtocol)
D = TypeVar("D", bound=asyncio.DatagramProtocol)
ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

BACKLOG: Final = 100  # as asyncio
STREAM_LIMIT: Final = 64 << 10  # as asyncio
LOOK_S: Final = 0.01  # between two looks at what waits for a neighbour
DRAIN_S: Final = 5.0


class AsyncHost:
    """A TCP/IP host on the running event loop, or on `loop`, which need not run yet.

    `config` is checked here (ConfigError).  `spin_us` microseconds at most the loop stays awake after a burst instead
    of sleeping, where lately frames have come so soon (see `aio/polling`); 0: it never does.  `resolver` is asked about
    names, by default that of the StackLoop; without either, only dotted quads are taken.

    On a StackLoop any asyncio program uses the host: for its own addresses and for `prefixes` (None: its subnets), with
    `capture="all"` also for what is in no other prefix; see `StackLoop.add_host`.
    """

    __slots__ = ("_closing", "driver", "host", "resolver")

    def __init__(
        self,
        config: HostConfig | None = None,
        *,
        rng: Rng | None = None,
        trace: Trace | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        spin_us: int = POLL_US,
        resolver: Resolver | None = None,
        prefixes: Sequence[str] | None = None,
        capture: Capture = "own",
    ) -> None:
        config = config or HostConfig()
        config.validate()
        if not 0 <= spin_us <= MAX_POLL_US:
            raise ConfigError(f"spin_us {spin_us}: use 0 (never) to {MAX_POLL_US} microseconds")
        if loop is None:
            loop = asyncio.get_running_loop()
        host = Host(config, rng or random.SystemRandom(), monotonic_us(), trace)
        driver = DeviceDriver(host, loop, spin_us=spin_us)
        try:
            self._begin(driver, resolver, prefixes, capture)
        except BaseException:
            driver.close()
            raise

    @classmethod
    def over(
        cls,
        driver: Driver,
        *,
        resolver: Resolver | None = None,
        prefixes: Sequence[str] | None = None,
        capture: Capture = "own",
    ) -> Self:
        """The face of a host that has a driver already, which is not closed when this raises."""
        made = cls.__new__(cls)
        made._begin(driver, resolver, prefixes, capture)  # noqa: SLF001  (it is our own)
        return made

    def _begin(
        self, driver: Driver, resolver: Resolver | None, prefixes: Sequence[str] | None, capture: Capture
    ) -> None:
        check_resolver(resolver)
        self.host = driver.host
        self.driver = driver
        self.resolver = resolver
        self._closing = False
        loop = driver.loop
        if isinstance(loop, StackLoop):
            loop.add_host(self, prefixes=prefixes, capture=capture)
            driver.closed.add_done_callback(lambda _: loop.remove_host(self))
        elif prefixes is not None or capture != "own":
            raise ConfigError("prefixes and capture are for a StackLoop; make the loop with stack.aio.new_event_loop")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- the host itself

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop the host runs on."""
        return self.driver.loop

    def active(self) -> AbstractContextManager[None]:
        """Within the block the running StackLoop makes connections and endpoints as this host; blocks nest.

        Raises RuntimeError on any other loop, and in a forked child.
        """
        self.driver.check_process()
        if not isinstance(self.loop, StackLoop):
            raise RuntimeError(  # noqa: TRY004  (the loop is wrong, not the type of an argument)
                "this loop does not know hosts: run the program with stack.run, or on stack.aio.new_event_loop()"
            )
        return activate(self)

    def addresses(self) -> list[tuple[int, int]]:
        """Its addresses as ints, each with the length of its prefix."""
        return [pair for interface in self.host.ip.interfaces.values() for pair in interface.addrs]

    def add_device(
        self, device: Device, *addresses: str, gateway: str | None = None, routes: Iterable[str] = ()
    ) -> int:
        """Give the host an interface with addresses like "198.18.0.2/24" and, if given, a default route.

        `routes` are networks like "10.0.0.0/8" that are reached by this interface directly: on a link without a link
        layer (TUN, CallbackDevice) there is no gateway to name, and "0.0.0.0/0" is the default route.

        Returns the interface index.  Raises InvalidAddress, AddressInUse when another host of the loop has an address,
        HostClosed, and TypeError for a host that was made with `over` and whose driver takes no devices.
        """
        driver = self.open_driver()
        # not isinstance: compiled subclasses of an ABC share its cache, which says of each what it said of another
        if DeviceDriver not in type(driver).__mro__:
            raise TypeError(f"{type(driver).__name__} takes no devices: this host is connected by who made it")
        driver = cast("DeviceDriver", driver)
        parsed = [parse_cidr(address) for address in addresses]
        direct = [parse_cidr(network) for network in routes]
        via = parse_addr(gateway) if gateway is not None else None
        if isinstance(self.loop, StackLoop):
            self.loop.ownership.check(self, parsed)
        ifindex = driver.attach(device)
        now = driver.time()
        for addr, prefix_len in parsed:
            self.host.add_address(ifindex, addr, prefix_len, now)
        for prefix, prefix_len in direct:
            self.host.add_route(prefix, prefix_len, ifindex=ifindex)
        if via is not None:
            self.host.add_route(0, 0, via, ifindex)
        self.addresses_changed()
        driver.schedule()
        return ifindex

    def addresses_changed(self) -> None:
        """Have the loop see addresses that were given to `host` directly.  Raises AddressInUse."""
        if isinstance(self.loop, StackLoop):
            self.loop.ownership.refresh(self)

    async def aclose(self, timeout: float = DRAIN_S) -> None:  # noqa: ASYNC109  (no deadline for the caller: what is left is reset)
        """Stop listening, close every connection and give them `timeout` seconds to drain; then reset what is left.
        Datagrams that wait for the address of a neighbour have the same time.

        Devices are closed too.  Safe to call twice.
        """
        driver = self.driver
        if not self._closing and driver.is_open:
            self._closing = True
            for handler in list(driver.handlers):
                handler.close()
            try:
                async with asyncio.timeout(timeout):
                    await driver.drained()
                    # the last thing that a program did may have been to send one
                    while self.host.datagrams_wait() and driver.is_open:  # noqa: ASYNC110  (the sans-I/O host tells nobody)
                        await asyncio.sleep(LOOK_S)
            except TimeoutError:
                for handler in list(driver.handlers):
                    handler.abort()
                for conn in self.host.connections():  # also those whose application has gone
                    conn.abort(driver.time())
                    driver.wake(conn)
                await asyncio.sleep(0)  # the pass that sends the resets
        driver.close()
        if isinstance(self.loop, StackLoop):
            self.loop.remove_host(self)

    def open_driver(self) -> Driver:
        """The driver, while it drives.  Raises HostClosed."""
        driver = self.driver
        driver.check_open()
        if self._closing:
            raise HostClosed("this AsyncHost is being closed; make a new one")
        return driver

    # -- connections

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
        ssl: tls.TlsOption = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        config: TcpConfig | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """Connect; returns (transport, protocol), as `loop.create_connection` does.

        `config` replaces the host's TCP settings for this connection.  Raises the OSError a kernel socket would
        (ConnectionRefusedError, TimeoutError, ENETUNREACH ...), socket.gaierror for a name.
        Cancelling it aborts the attempt.
        """
        secure = tls.client(ssl, host, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
        local, local_port = await self._local(local_addr)
        attempt = Attempt(*self.dial(await self._resolve(host), port, local, local_port, config))
        await attempt.connected()
        return await attempt.attach(protocol_factory, secure)

    def dial(
        self,
        remote: int,
        port: int,
        local: int = ANY,
        local_port: int = 0,
        config: TcpConfig | None = None,
        *,
        reuse: bool = False,
    ) -> tuple[Driver, Connection]:
        """Begin to open a connection; an Attempt is to be made of the result.  Raises as `Host.connect`, HostClosed,
        OverflowError for what is no port.

        A `local_port` is taken as bind(2) takes it: it must have no listener, and unless `reuse` no connection.
        """
        driver = self.open_driver()
        check_port(port)
        check_port(local_port, "bind")
        try:
            if local_port and self.host.tcp.is_taken(local, local_port, listening_only=reuse):
                raise AddressInUse(
                    f"TCP port {local_port} is in use on {format_addr(local) if local else 'this host'}; connect from "
                    "another, or from 0 for a free one"
                )
            return driver, self.host.connect(remote, port, local, local_port, config, driver.time())
        except StackError as exc:
            raise connect_failed(exc, remote, port) from exc

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int = 0,
        *,
        backlog: int = BACKLOG,
        ssl: SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        config: TcpConfig | None = None,
    ) -> StackServer:
        """Listen on `host` (None: every address of this host) and `port`, as `loop.create_server` does.

        Raises AddressInUse, AddressNotAvailable, socket.gaierror, OverflowError for what is no port.
        """
        check_port(port, "bind")
        secure = tls.server(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        addr, _ = await self._local((host or "", port))
        driver = self.open_driver()
        listener = self.host.listen(addr, port, backlog, config, driver.time(), accepting=False)
        server = StackServer(driver.loop, [Listening(driver, listener, acceptor(driver, protocol_factory, secure))])
        if start_serving:
            await server.start_serving()
        return server

    async def create_transparent_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        prefix: str = "0.0.0.0/0",
        port: int = 0,
        *,
        backlog: int = BACKLOG,
        start_serving: bool = True,
        config: TcpConfig | None = None,
    ) -> StackServer:
        """Accept connections to every address of `prefix` that is not this host's own, on `port` (0: on every one).

        The address and port that a client wanted are its transport's `get_extra_info("sockname")`.  The packets must
        come here: as the gateway of the clients, by their route to the prefix, by a TUN device.  Of several transparent
        servers the one with the longest prefix has a connection, and of these the one that names the port.

        Raises AddressInUse, InvalidAddress, OverflowError for what is no port.
        """
        check_port(port, "bind")
        addr, prefix_len = parse_cidr(prefix)
        driver = self.open_driver()
        listener = self.host.listen_anywhere(addr, prefix_len, port, backlog, config, accepting=False)
        server = StackServer(driver.loop, [Listening(driver, listener, acceptor(driver, protocol_factory, None))])
        if start_serving:
            await server.start_serving()
        return server

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BaseProtocol,
        sslcontext: SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Upgrade a connection to TLS, as `loop.start_tls` does (uvloop's takes no foreign transports)."""
        return await tls.start_tls(
            self.loop,
            transport,
            protocol,
            sslcontext,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    # -- datagrams

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], D],
        local_addr: Address | None = None,
        remote_addr: Address | None = None,
        *,
        reuse_port: bool = False,
        allow_broadcast: bool = False,
    ) -> tuple[StackDatagramTransport, D]:
        """A UDP endpoint; with `remote_addr` only that peer is heard, and its refusals are.

        Raises AddressInUse, AddressNotAvailable, socket.gaierror.
        """
        driver = self.open_driver()
        local, local_port = await self._local(local_addr)
        peer = (await self._resolve(remote_addr[0]), remote_addr[1]) if remote_addr else None
        endpoint = open_udp(driver, (local, local_port), peer, reuse=reuse_port, broadcast=allow_broadcast)
        return attach(driver, endpoint, protocol_factory, peer)

    # -- streams

    async def open_connection(
        self, host: str, port: int, *, limit: int = STREAM_LIMIT, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; returns (reader, writer), as `asyncio.open_connection` does."""
        reader = asyncio.StreamReader(limit=limit, loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        transport, _ = await self.create_connection(lambda: protocol, host, port, **kwargs)
        return reader, asyncio.StreamWriter(transport, protocol, reader, self.loop)

    async def start_server(
        self,
        client_connected_cb: ClientConnected,
        host: str | None = None,
        port: int = 0,
        *,
        limit: int = STREAM_LIMIT,
        **kwargs: Any,
    ) -> StackServer:
        """Listen; `client_connected_cb(reader, writer)` is called per connection, as with `asyncio.start_server`."""
        return await self.create_server(self._streams(client_connected_cb, limit), host, port, **kwargs)

    async def start_transparent_server(
        self,
        client_connected_cb: ClientConnected,
        prefix: str = "0.0.0.0/0",
        port: int = 0,
        *,
        limit: int = STREAM_LIMIT,
        **kwargs: Any,
    ) -> StackServer:
        """As `create_transparent_server`, with streams; `writer.get_extra_info("sockname")` is what a client wanted."""
        return await self.create_transparent_server(self._streams(client_connected_cb, limit), prefix, port, **kwargs)

    def _streams(self, connected: ClientConnected, limit: int) -> Callable[[], asyncio.StreamReaderProtocol]:
        def factory() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader(limit=limit, loop=self.loop)
            return asyncio.StreamReaderProtocol(reader, connected, loop=self.loop)

        return factory

    # -- echo

    async def ping(self, host: str, *, seq: int = 1, size: int = 56, ttl: int = 0, timeout: float = 1.0) -> EchoReply:  # noqa: ASYNC109  (an answer that never comes is the usual case)
        """One echo request of `size` bytes; returns the reply with its round-trip time.

        Raises TimeoutError, and HostUnreachable or its like when an ICMP error or ARP says so.
        """
        request = Ping(self.open_driver())
        try:
            request.send(await self._resolve(host), seq, bytes(size), ttl)
            async with asyncio.timeout(timeout):
                return await request.answer
        finally:
            request.close()

    # -- names

    async def _local(self, address: Address | None) -> tuple[int, int]:
        """(address, port) of this host; an empty address is any."""
        if address is None:
            return ANY, 0
        return await self._resolve(address[0]) if address[0] else ANY, address[1]

    async def _resolve(self, name: str) -> int:
        if ":" in name:
            raise NetworkUnreachable(f"{name}: this host speaks no IPv6")
        if (addr := address_of(name)) is not None:
            return addr
        loop = self.loop
        resolver = self.resolver or (loop.resolver if isinstance(loop, StackLoop) else None)
        if resolver is None:
            raise socket.gaierror(
                socket.EAI_NONAME,
                f"{name!r} is no IPv4 address, and nobody is asked about names: give AsyncHost(resolver=...) or "
                "new_event_loop(resolver=...) one",
            )
        return parse_addr(await first_of(resolver, name))
