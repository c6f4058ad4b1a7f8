"""What TLS over our transports adds to asyncio's sslproto: what comes with the end of the handshake waits for it."""

import asyncio
import ssl

import pytest

from stack.aio.tls import HandshakeFirst, Tls, app_transport
from tests.support.aio_nets import CLIENT_IP, SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder

GREETING = b"220 ready"


@pytest.fixture
def one_burst(certificate):
    """(server context, client context): of TLS 1.2, whose last message is the server's, with which all else comes."""
    server, client = certificate
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    yield server, client
    client.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED


class Greeter(asyncio.Protocol):
    """Says all it has to say at once."""

    def __init__(self, end):
        self.end = end

    def connection_made(self, transport):
        transport.write(GREETING)
        if self.end == "close":
            transport.close()

    def data_received(self, data):
        """Nothing to say to that."""


class Client(Recorder):
    """Keeps what it was told before `returned` was set."""

    def __init__(self, begin=None):
        super().__init__()
        self.returned = False
        self.early = []
        self.begin = begin

    def connection_made(self, transport):
        super().connection_made(transport)
        if self.begin is not None:
            self.begin(transport)

    def data_received(self, data):
        super().data_received(data)
        self._note("data")

    def eof_received(self):
        self._note("eof")
        return super().eof_received()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._note("lost")

    def _note(self, what):
        if not self.returned:
            self.early.append(what)


async def greeted(contexts, *, end="open", upgrade=False, begin=None):
    """The transport and protocol of a client that a Greeter was waiting for."""
    server_context, client_context = contexts
    loop = asyncio.get_running_loop()
    net = await StackNet().__aenter__()
    await net.server.create_server(lambda: Greeter(end), port=443, ssl=server_context)
    if upgrade:
        below, protocol = await loop.create_connection(lambda: Client(begin), SERVER_IP, 443)
        transport = await loop.start_tls(below, protocol, client_context, server_hostname="stack.example")
    else:
        transport, protocol = await loop.create_connection(
            lambda: Client(begin), SERVER_IP, 443, ssl=client_context, server_hostname="stack.example"
        )
    protocol.returned = True
    return net, transport, protocol


@pytest.mark.parametrize("upgrade", [False, True], ids=["create_connection", "start_tls"])
@pytest.mark.parametrize("end", ["open", "close"])
def test_nothing_is_heard_before_the_call_has_returned(on_loop, one_burst, end, upgrade):
    async def main():
        net, transport, protocol = await greeted(one_burst, end=end, upgrade=upgrade)
        assert not protocol.data
        await protocol.received(len(GREETING))
        if end == "close":
            assert await protocol.closed is None
            assert protocol.log == ["made", "data", "eof", "lost"]
            assert transport.get_extra_info("peername") == (SERVER_IP, 443)
            assert transport.get_extra_info("sockname")[0] == CLIENT_IP
        else:
            assert not transport.is_closing()
        assert (protocol.early, protocol.data) == ([], GREETING)
        transport.close()
        await net.__aexit__(None, None, None)

    on_loop(main())


def test_without_that_it_is_heard_too_early(on_loop, one_burst, monkeypatch):
    """The control: all does come in one burst."""
    monkeypatch.setattr(HandshakeFirst, "_wakeup_waiter", asyncio.sslproto.SSLProtocol._wakeup_waiter)

    async def main():
        net, transport, protocol = await greeted(one_burst)
        assert protocol.early == ["data"]
        transport.close()
        await net.__aexit__(None, None, None)

    on_loop(main())


def test_reading_that_was_paused_stays_so(on_loop, one_burst):
    async def main():
        net, transport, protocol = await greeted(one_burst, begin=lambda transport: transport.pause_reading())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not protocol.data
        transport.resume_reading()
        await protocol.received(len(GREETING))
        transport.close()
        await net.__aexit__(None, None, None)

    on_loop(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_ended_by_this_side_at_once(on_loop, one_burst, how):
    async def main():
        net, transport, protocol = await greeted(one_burst)
        getattr(transport, how)()
        await protocol.closed
        assert protocol.log[-1] == "lost"
        await net.__aexit__(None, None, None)

    on_loop(main())


def secure_protocol(ready=None):
    """A TLS protocol of a client, whose application keeps what it is told."""
    recorder = Recorder()
    context = ssl.create_default_context()
    return Tls(context, server_hostname="a").wrap(asyncio.get_running_loop(), recorder, ready), recorder


def test_the_loss_of_the_connection_comes_after_what_came_before_it():
    """A RST right behind the last data."""

    async def main():
        ready = asyncio.get_running_loop().create_future()
        secure, recorder = secure_protocol(ready)
        order = []
        secure._do_read = lambda: order.append("read") if not secure._holding else None
        recorder.connection_lost = order.append
        secure._set_state(asyncio.sslproto.SSLProtocolState.DO_HANDSHAKE)
        secure._set_state(asyncio.sslproto.SSLProtocolState.WRAPPED)
        secure._app_state = asyncio.sslproto.AppProtocolState.STATE_CON_MADE
        secure._wakeup_waiter()
        reset = ConnectionResetError()
        secure.connection_lost(reset)
        await ready
        assert order == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == ["read", reset]

    asyncio.run(main())


def test_a_connection_that_ended_during_the_handshake_has_no_transport():
    async def main():
        secure, _ = secure_protocol(asyncio.get_running_loop().create_future())
        secure.connection_lost(None)
        with pytest.raises(ConnectionAbortedError, match="during the TLS handshake"):
            app_transport(secure)

    asyncio.run(main())
