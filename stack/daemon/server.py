"""The daemon at work: its host, its services, its control socket, and how all of that ends."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stack import _form
from stack.aio.device_driver import DeviceDriver
from stack.aio.network import AsyncHost
from stack.aio.server import StackServer
from stack.daemon import report
from stack.daemon.calls import Calls
from stack.daemon.control import ControlServer
from stack.daemon.hostside import traffic
from stack.daemon.lookups import Lookups, make_resolver
from stack.daemon.page import MAX_ROWS, render
from stack.daemon.pinger import Pinger
from stack.daemon.services.http import SWEEP_S, HttpConnection, HttpService, Site
from stack.daemon.services.proxies import Proxies
from stack.daemon.services.simple import DATAGRAMS, STREAMS, Datagrams
from stack.daemon.settings import Settings
from stack.daemon.terminal import StatusLine
from stack.daemon.view import View, load_files
from stack.daemon.watching import operations
from stack.device.base import Device
from stack.dns.resolver import Resolver
from stack.observe.observer import Observer
from stack.proxy.rules import Rule
from stack.trace import Trace
from stack.wire import accel

if TYPE_CHECKING:
    from stack.daemon.attach.server import AttachServer
    from stack.daemon.services.dns import DnsService

logger = logging.getLogger(__name__)

HTTP_PORT: Final = 80
ANY: Final = "0.0.0.0"  # noqa: S104  # of the stack, not of this machine
BACKLOG: Final = 1024
_REFRESH_S: Final = 0.5


class Daemon:
    """One daemon.  It is the control socket's `Actor` too."""

    __slots__ = (
        "_attach",
        "_begun_at",
        "_calls",
        "_dns",
        "_host",
        "_http",
        "_hurry",
        "_line",
        "_lookups",
        "_observer",
        "_pinger",
        "_proxies",
        "_servers",
        "_settings",
        "_stop",
        "_trace",
        "_web",
    )

    def __init__(
        self,
        settings: Settings,
        line: StatusLine,
        trace: Trace | None = None,
        dns: "DnsService | None" = None,
        attach: "AttachServer | None" = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._settings = settings
        self._attach = attach
        self._proxies = proxies or Proxies()
        self._dns = dns
        self._trace = trace
        self._line = line
        self._begun_at = time.monotonic()
        self._http = HttpService(Site(self._page, settings.max_upload))
        self._web = load_files() if settings.page.enabled else {}
        self._host: AsyncHost
        self._observer: Observer
        self._pinger: Pinger
        self._lookups: Lookups
        self._calls: Calls
        self._servers: list[StackServer] = []
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, device: Device, listener: socket.socket, on_ready: Callable[[], None]) -> int:
        """Serve until a signal (0) or until the device is gone (1)."""
        settings, loop = self._settings, asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        self._host = host = AsyncHost(settings.host_config(), trace=self._trace, spin_us=settings.spin_us)
        host.add_device(device, settings.address, gateway=str(settings.host_interface.ip))
        traffic_here = partial(traffic, settings.dev)
        driver = host.open_driver()
        assert isinstance(driver, DeviceDriver)
        self._observer = Observer(driver, self.status, traffic_here)
        self._http.site = Site(
            self._page, settings.max_upload, View(settings, self._observer, self._web, self._page, self._names)
        )
        self._observer.start()
        self._pinger = Pinger(host)
        self._calls = Calls(host)
        await self._open_services()
        resolver = host.resolver = self._look_up_by()
        await self._proxies.open(host)
        control = ControlServer(self, more=operations(self._observer))
        await control.start(listener)
        if self._attach is not None:
            self._attach.on_left = partial(_end_peer, host)
            self._attach.start()
        about = {"device": settings.dev, "address": settings.address, "tcp": _form.running()}
        logger.info("up", extra={"fields": about})
        if accel.backend != "c":
            logger.warning("running without the compiled core, many times slower")
        on_ready()
        ticking = loop.create_task(self._tick())
        gone = await self._first_of(self._stop.wait(), host.driver.closed) == 1
        if not gone:  # of which the driver has told
            await self._first_of(self._drain(), self._hurry.wait())
        await control.stop()
        await self._proxies.aclose()
        if self._attach is not None:
            self._attach.stop()
        self._observer.stop()
        if resolver is not None:
            await resolver.aclose()
        await host.aclose(0.0)
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        logger.info("down", extra={"fields": {"device": settings.dev}})
        return 1 if gone else 0

    def _look_up_by(self) -> "Resolver | None":
        """The resolver of our own: what is set, else that of the DNS service, if it has one."""
        host, dns, setting = self._host, self._dns, self._settings.resolver
        if setting is None and dns is not None and dns.resolver is not None:
            self._lookups = Lookups(dns.resolver, host, about=dns.about, hints=dns.hints)
            return dns.resolver
        resolver = make_resolver(setting, host)
        self._lookups = Lookups(resolver, host)
        return resolver

    def _on_signal(self) -> None:
        """The first signal drains, the second does not wait for it."""
        if self._stop.is_set():
            self._hurry.set()
        else:
            logger.info("finishing what is under way; a second Ctrl-C does not wait for it")
            self._stop.set()

    @staticmethod
    async def _first_of(*things: Awaitable[object]) -> int:
        """Which of them is done first; the others are given up."""
        futures = [asyncio.ensure_future(thing) for thing in things]
        done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        for future in futures:
            future.cancel()
        return min(futures.index(future) for future in done)

    async def _open_services(self) -> None:
        host = self._host
        self._servers.append(
            await host.create_server(lambda: HttpConnection(self._http), None, HTTP_PORT, backlog=BACKLOG)
        )
        for port, protocol in STREAMS.items():
            self._servers.append(await host.create_server(protocol, None, port, backlog=BACKLOG))
        for port, answer in DATAGRAMS.items():
            await host.create_datagram_endpoint(partial(Datagrams, answer), (ANY, port))
        if self._dns is not None:
            await self._dns.open(host)

    async def _drain(self) -> None:
        """No new connections; let HTTP and proxies finish what they are at, then all what is queued; for a while."""
        until = time.monotonic() + self._settings.drain_s
        for server in self._servers:
            server.close()
        if self._dns is not None:
            await self._dns.aclose()
        self._proxies.close_ports()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                await asyncio.gather(self._http.drain(), self._proxies.drain())
        await self._host.aclose(max(0.0, until - time.monotonic()))

    async def _tick(self) -> None:
        """Keep the status line alive and close idle HTTP connections."""
        self._line.start()
        try:
            swept_at = time.monotonic()
            while True:
                now = time.monotonic()
                seen = traffic(self._settings.dev)
                drops = sum(self._host.host.stats.drops)
                self._line.update(now, seen["rx_bytes"], seen["tx_bytes"], self._host.host.tcp.n_conns, drops)
                if now - swept_at >= SWEEP_S:
                    self._http.sweep()
                    swept_at = now
                await asyncio.sleep(_REFRESH_S)
        finally:
            self._line.stop()

    # -- what the page and the control socket ask for

    def _names(self, most: int) -> list[tuple[str, str, int, str]]:
        resolver = self._host.resolver
        return resolver.cache_rows(most) if isinstance(resolver, Resolver) else []

    def _page(self, peer: tuple[str, int]) -> str:
        return render(self.status(MAX_ROWS), peer)

    def status(self, most: int | None = None) -> dict[str, Any]:
        """The snapshot of the host, in the form of `stack.daemon.report`, and of the daemon itself."""
        return {
            "daemon": {
                "device": self._settings.dev,
                "address": self._settings.address,
                "uptime_s": int(time.monotonic() - self._begun_at),
                "http_requests": self._http.requests,
            },
            "traffic": traffic(self._settings.dev),
            **({} if self._dns is None else {"dns": self._dns.status()}),
            **({} if self._attach is None else {"attach": self._attach.status()}),
            **self._proxies.status(),
            **report.from_host(self._host.host, most),
        }

    async def connect(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection from the stack's address.  Raises OSError."""
        return await self._host.open_connection(address, port)

    def forward(self, request: dict[str, Any]) -> contextlib.AbstractAsyncContextManager[Rule]:
        """A port forwarded for as long as the block lasts.  Raises as `Proxies.forward`."""
        return self._proxies.forward(request)

    async def look_up(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the DNS has, asked from the stack's address.  Raises ValueError for a request that cannot be."""
        address = str(self._settings.interface.ip)
        return {**await self._lookups.answer(request), "address": address}

    async def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """A remote procedure call from the stack's address.  Raises ValueError for a request that cannot be."""
        return {**await self._calls.answer(request), "address": str(self._settings.interface.ip)}

    async def ping(self, address: str, size: int, timeout_s: float) -> dict[str, Any]:
        """One echo request.  Raises StackError."""
        return await self._pinger.ping(address, size, timeout_s)


def _end_peer(host: AsyncHost, addr: int) -> None:
    """Nobody is behind an address any more: who is connected to it hears of it now, not with the next packet."""
    if host.host.peer_gone(addr):
        host.driver.schedule()
