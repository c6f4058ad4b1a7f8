"""The calc server of rpc_ours on kernel sockets, as a process of its own, which can be killed.

    python -m tests.support.rpc_kernel_server ADDRESS PORT EXECUTED CACHE

Registers with the machine's rpcbind.  Each execution of CALC_COUNTER adds an octet to the file EXECUTED before the
reply leaves, so that it is known after a kill.  CACHE: "cached" or "uncached".
"""

import asyncio
import os
import signal
import sys

from stack import rpc
from stack.rpc.rpcbind.registrations import register
from tests.support.rpc_ours import Calc1, programs

PERIOD_S = 0.2  # instead of 30: the tests do not wait for so long


class Counted(Calc1):
    def __init__(self, counter: list[int], executed: int) -> None:
        super().__init__(counter)
        self.file = executed

    async def CALC_COUNTER(self, ctx):
        os.write(self.file, b".")
        return await super().CALC_COUNTER(ctx)


async def main(address: str, port: int, path: str, cache: str) -> None:
    executed = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    first, second = programs()
    served = [Counted(first.counter, executed), second]
    async with await rpc.serve(
        served, address=address, udp=port, tcp=port, register=False, duplicates=cache == "cached"
    ) as server:
        registrations = await register(server.versions, server.listening, period_s=PERIOD_S)
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        print("serving", flush=True)
        await ending.wait()
        await registrations.aclose()


if __name__ == "__main__":
    address, port, path, cache = sys.argv[1:]
    asyncio.run(main(address, int(port), path, cache))
