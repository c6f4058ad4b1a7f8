"""A server of the counter program, in a process of its own: rpc_pool_server.py PORT."""

import asyncio
import sys

from stack import rpc
from tests.support.rpc_counter import Counter


async def main(port: int) -> None:
    """Serve until the process is ended."""
    async with await rpc.serve([Counter()], address="127.0.0.1", udp=None, tcp=port, register=False):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
