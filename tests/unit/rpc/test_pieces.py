"""Results that are encoded already, in pieces, by every way to a client."""

import asyncio
import os

import pytest

from stack import rpc
from tests.support.rpc_counter import Counter
from tests.support.rpc_joined import joined, simulated


class InPieces(Counter):
    """ECHO gives what it was given in pieces."""

    __slots__ = ()

    @rpc.proc(idempotent=True)
    async def ECHO(self, ctx, data):
        return rpc.Pieces(len(data).to_bytes(4, "big"), data, bytes(-len(data) % 4))


@pytest.mark.parametrize("proto", ["udp", "tcp", "local"])
def test_results_in_pieces_arrive_as_others_do(proto):
    async def main(net, one, other):
        async with joined(one, other, proto, program=InPieces()) as (stub, _, _):
            sizes = [1, 40_000, 0, 7, 20_001] if proto == "udp" else [1, 300_000, 0, 7, 70_001, 4, 20_000]
            sent = [os.urandom(size) for size in sizes]
            # pipelined: replies of both kinds share what is sent together
            calls = [call for data in sent for call in (stub.ECHO(data), stub.ADD(1))]
            found = await asyncio.gather(*calls)
            assert found[::2] == sent
            assert found[1::2] == list(range(1, len(sent) + 1))

    simulated(main)
