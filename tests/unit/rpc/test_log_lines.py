"""Who runs a client finds nothing in the log about servers that die: its calls say so."""

import asyncio
import socket
import struct

from stack import rpc
from stack.rpc.transports import StreamChannel
from tests.support.rpc_counter import V1


async def calls_when_a_server_dies():
    """Many calls in one turn of the loop, on a connection of which the loop has not heard yet that it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with rpc.connect(V1, "127.0.0.1", port=listener.getsockname()[1], session=False, reconnect_s=0) as stub:
            peer, _ = listener.accept()
            listener.close()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            results = await asyncio.gather(*(stub.ADD(n, timeout=5) for n in range(50)), return_exceptions=True)
    assert all(isinstance(one, rpc.RpcError) for one in results)


def test_a_server_that_dies_leaves_no_lines_in_the_log(caplog, monkeypatch):
    asyncio.run(calls_when_a_server_dies())
    assert caplog.messages == []
    monkeypatch.setattr(StreamChannel, "is_open", property(lambda self: self._transport is not None))
    asyncio.run(calls_when_a_server_dies())
    assert "socket.send() raised exception." in caplog.messages  # the control
