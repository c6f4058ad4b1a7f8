"""TLS over the transports of the stack: the standard library's `asyncio.sslproto`, on whichever loop.

uvloop has a TLS of its own which takes no transports but its own; what runs over ours is therefore always the
standard library's, a protocol between the StackTransport and the application's.  This module alone knows how
asyncio puts the two together, and what the arguments named ssl_... mean.

What a peer sends with the last message of the handshake (a greeting, or all it has to say and the end) comes in one
burst with it.  Whoever awaits the handshake goes on in the loop's next round, so `HandshakeFirst` holds all that until
then: the protocol hears of nothing before `create_connection` or `start_tls` has returned.
"""

import asyncio
from asyncio import sslproto
from dataclasses import dataclass
from ssl import SSLContext

from stack.errors import ConnectionAborted

TlsOption = SSLContext | bool | None  # of a client: a context, True for the default one


class HandshakeFirst(sslproto.SSLProtocol):
    """See the head of this file."""

    # No __slots__: the class below has none.

    _holding = False
    _held_eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake begins."""
        # a connection that is lost when its user asks has its names still, as one without TLS
        self._extra.update({name: transport.get_extra_info(name) for name in ("sockname", "peername")})
        super().connection_made(transport)

    def _wakeup_waiter(self, exc: BaseException | None = None) -> None:
        """The handshake is over, well unless `exc`."""
        is_awaited = self._waiter is not None
        super()._wakeup_waiter(exc)
        if is_awaited and exc is None:
            self._holding = True
            self._loop.call_soon(self._let_go)  # behind what goes on because of the waiter

    def _do_read(self) -> None:
        if not self._holding:
            super()._do_read()  # type: ignore[misc]  # typeshed does not know it

    def eof_received(self) -> bool | None:  # type: ignore[override]  # what it returns is told to the transport
        """The peer's FIN."""
        if not self._holding:
            return super().eof_received()
        self._held_eof = True
        return True  # the transport is closed later

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended."""
        if self._holding:
            self._loop.call_soon(super().connection_lost, exc)  # behind `_let_go`
        else:
            super().connection_lost(exc)

    def _start_shutdown(self) -> None:
        self._let_go()  # as `close` has what was received delivered
        super()._start_shutdown()

    def _let_go(self) -> None:
        if not self._holding:
            return
        self._holding = False
        self._do_read()
        transport = self._transport
        if self._held_eof and not self.eof_received() and transport is not None:
            transport.close()


@dataclass(frozen=True, slots=True)
class Tls:
    """One side's settings.  Durations are seconds, None for asyncio's own; no context is the default of a client."""

    context: SSLContext | None
    server_side: bool = False
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None

    def wrap(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        ready: "asyncio.Future[None] | None" = None,
        *,
        call_connection_made: bool = True,
    ) -> HandshakeFirst:
        """The protocol that stands between the transport and `protocol`; `ready` tells of the handshake's end.

        Raises ValueError for a timeout that is not positive.
        """
        return HandshakeFirst(
            loop,
            protocol,
            self.context,  # type: ignore[arg-type]  # None is taken
            ready,  # type: ignore[arg-type]  # as above: nobody waits
            self.server_side,
            self.server_hostname,
            call_connection_made=call_connection_made,
            ssl_handshake_timeout=self.handshake_timeout,  # type: ignore[arg-type]  # a float will do
            ssl_shutdown_timeout=self.shutdown_timeout,
        )


def _check_timeouts(ssl: TlsOption, handshake_timeout: float | None, shutdown_timeout: float | None) -> None:
    if ssl:
        return
    if handshake_timeout is not None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown_timeout is not None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def client(
    ssl: TlsOption,
    host: str | None,
    server_hostname: str | None = None,
    handshake_timeout: float | None = None,
    shutdown_timeout: float | None = None,
) -> Tls | None:
    """What the arguments of `create_connection` ask for, None for no TLS; the name to verify is `host` by default.

    Raises ValueError as asyncio does for arguments that do not go together.
    """
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    if ssl and server_hostname is None and not host:
        raise ValueError("You must set server_hostname when using ssl without a host")
    _check_timeouts(ssl, handshake_timeout, shutdown_timeout)
    if not ssl:
        return None
    return Tls(
        ssl if isinstance(ssl, SSLContext) else None,
        server_hostname=host if server_hostname is None else server_hostname,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
    )


def server(
    ssl: SSLContext | None, handshake_timeout: float | None = None, shutdown_timeout: float | None = None
) -> Tls | None:
    """What the arguments of `create_server` ask for, None for no TLS.  Raises TypeError, ValueError as asyncio does."""
    if ssl is not None and not isinstance(ssl, SSLContext):
        raise TypeError("ssl argument must be an SSLContext or None")
    _check_timeouts(ssl, handshake_timeout, shutdown_timeout)
    if ssl is None:
        return None
    return Tls(ssl, server_side=True, handshake_timeout=handshake_timeout, shutdown_timeout=shutdown_timeout)


def app_transport(secure: sslproto.SSLProtocol) -> asyncio.Transport:
    """What the application writes to, once the handshake is done.  Raises ConnectionAborted when that was cut short."""
    transport: asyncio.Transport | None = secure._app_transport  # noqa: SLF001  (nothing of this has a public name)
    if transport is None:  # closed from this side meanwhile: sslproto takes that for success
        raise ConnectionAborted("the connection was closed during the TLS handshake")
    return transport


async def start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    sslcontext: SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> asyncio.Transport:
    """Upgrade a connection to TLS; returns the transport that `protocol` has from now on, as `loop.start_tls` does.

    Raises TypeError for what is not an SSLContext, ssl.SSLError and ConnectionError when the handshake fails.
    """
    if not isinstance(sslcontext, SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
    tls = Tls(sslcontext, server_side, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    ready = loop.create_future()
    secure = tls.wrap(loop, protocol, ready, call_connection_made=False)
    # nothing may reach the new protocol before it was told of its transport
    transport.pause_reading()
    transport.set_protocol(secure)
    begun = [loop.call_soon(secure.connection_made, transport), loop.call_soon(transport.resume_reading)]
    try:
        await ready
    except BaseException:
        transport.abort()
        for handle in begun:
            handle.cancel()
        raise
    return app_transport(secure)
