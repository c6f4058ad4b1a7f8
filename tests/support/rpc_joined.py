"""A client and a server on two simulated hosts."""

import contextlib

from stack import rpc
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000


def simulated(main, seed=1, **options):
    async def wrapped(net):
        one, other = net.add_hosts("one", "other")
        return await main(net, one, other)

    return run(wrapped, seed=seed, **options)


@contextlib.asynccontextmanager
async def joined(one, other, proto="tcp", *, program=None, client=None, **server):
    """A stub on host `one`, and the program and server on `other`."""
    program = program or Counter()
    async with await rpc.serve([program], host=other, udp=PORT, tcp=PORT, register=False, **server) as served:
        where = served if proto == "local" else "other"
        async with rpc.connect(V1, where, proto=proto, port=PORT, host=one, **(client or {})) as stub:
            yield stub, program, served
