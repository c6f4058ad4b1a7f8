"""What TLS over our transports adds to asyncio's sslproto."""

import asyncio
import ssl

import pytest

from stack.aio.tls import Tls, app_transport


class Below(asyncio.Transport):
    def get_extra_info(self, name, default=None):
        return ("192.0.2.1", 7) if name == "sockname" else default


def lost(extra):
    """A TLS protocol whose connection is lost."""
    secure = Tls(ssl.create_default_context()).wrap(
        asyncio.get_running_loop(), asyncio.Protocol(), asyncio.get_running_loop().create_future()
    )
    secure._extra.update(extra)
    secure.connection_lost(None)
    return secure


def test_a_connection_that_ended_during_the_handshake_has_no_transport():
    async def main():
        with pytest.raises(ConnectionAbortedError, match="during the TLS handshake"):
            app_transport(lost({}), Below())

    asyncio.run(main())


def test_a_connection_that_ended_with_the_handshake_has_a_closed_transport():
    """All that the peer had to say came in one burst: the handshake's end, data and the end of the stream."""

    async def main():
        transport = app_transport(lost({"ssl_object": object()}), Below())
        assert transport.is_closing()
        assert transport.get_extra_info("sockname") == ("192.0.2.1", 7)
        transport.write(b"ignored")
        transport.close()
        transport.abort()

    asyncio.run(main())
