"""Calls by a pool of three processes, one of which is frozen meanwhile: rpc_pool_client.py HEDGE FAILOVER PID PORT...

Prints JSON: how many calls had their results before and after one was frozen, the errors by name, and the counters.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from typing import Any

from stack import rpc
from tests.support.rpc_counter import V1

CALLS = 400
AT_A_TIME = 8


async def calls(client: Any) -> tuple[int, Counter[str]]:
    """How many had a result, and what became of the others."""
    numbers = iter(range(CALLS))
    errors: Counter[str] = Counter()
    done = 0

    async def worker() -> None:
        nonlocal done
        for number in numbers:
            try:
                reply = await client.ECHO(b"%d" % number)
            except rpc.RpcError as error:
                errors[type(error).__name__] += 1
            else:
                done += reply == b"%d" % number

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))
    return done, errors


async def main(hedge: float | None, failover: bool, pid: int, ports: list[str]) -> None:
    """Before, and while the process is frozen; then it goes on, and is called again."""
    members = [f"127.0.0.1:{port}" for port in ports]
    pool: Any = rpc.pool(V1, members, hedge=hedge, failover=failover, idempotent=["ECHO"], check_s=0.2, timeout=6)
    async with pool as client:
        before, errors = await calls(client)
        os.kill(pid, signal.SIGSTOP)
        during, more = await calls(client)
        os.kill(pid, signal.SIGCONT)
        states: list[str] = []
        for _ in range(100):
            states = [one.state for one in pool.members]
            if states == ["ready"] * 3:
                break
            await asyncio.sleep(0.2)
        after, most = await calls(client)
        print(json.dumps([before, during, after, dict(errors + more + most), pool.stats, states]))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) or None, sys.argv[2] == "yes", int(sys.argv[3]), sys.argv[4:]))
