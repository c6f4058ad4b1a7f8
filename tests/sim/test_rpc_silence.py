"""A server that is gone, and whose end nobody was told: callers hear of it long before their calls' time is over."""

import asyncio

import pytest

from stack import rpc
from stack.rpc.transports import StreamChannel
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000


def seconds_until_it_is_known():
    """A call waits, its server is started anew, and the segment that ends the connection is lost."""

    async def main(net):
        one, other = net.add_hosts("one", "other")
        server = await rpc.serve([Counter()], host=other, tcp=PORT)
        assert server.tcp_port == PORT
        loop = asyncio.get_running_loop()
        async with rpc.connect(V1, "other", port=PORT, host=one, timeout=600) as stub:
            task = asyncio.create_task(stub.LINGER(500_000))
            await asyncio.sleep(1)
            other.crash()
            other.restart()
            async with await rpc.serve([Counter()], host=other, tcp=PORT):
                began = loop.time()
                with pytest.raises(rpc.RpcError) as caught:
                    await task
                assert caught.value.maybe_executed
                return loop.time() - began

    return run(main, seed=1)


def test_who_waits_hears_that_its_server_was_started_anew():
    assert seconds_until_it_is_known() < 20


def test_without_keep_alives_it_does_not(monkeypatch):
    """The control."""
    monkeypatch.setattr(StreamChannel, "keep_alive", lambda self: None)
    assert seconds_until_it_is_known() > 590
