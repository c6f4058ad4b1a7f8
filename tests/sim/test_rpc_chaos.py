"""Everything at once: losses, copies, cut connections, calls cancelled and given up, too little room.

What may not happen never does, and nothing is left over.
"""

import asyncio
import random

import pytest

from stack import rpc
from stack.device.fault_settings import Faults
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000
CALLS = 400
NOISE = Faults(delay_us=1000, jitter_us=3000, loss=0.1, duplication=0.05)
LIMITS = rpc.ServerLimits(running=16, running_per_connection=6, connections=5)


class Chaos:
    """One run; `executed`, `answered` and `errors` are by the number that ADD was given."""

    def __init__(self, seed, proto, *, duplicates=True):
        self.rng = random.Random(seed)
        self.proto = proto
        self.duplicates = duplicates
        self.program = Counter()
        self.program.cut = self.cut
        self.answered = []
        self.errors = {}
        run(self.main, seed=seed, invariants=False)

    def cut(self, ctx):
        if self.proto == "tcp" and self.rng.random() < 0.05:
            ctx.reply_to.abort()

    async def call(self, stub, number):
        kind, rng = self.rng.random(), self.rng
        try:
            if kind < 0.6:
                await stub.ADD(number)
                self.answered.append(number)
            elif kind < 0.8:
                await stub.SLEEP(rng.randrange(2000), timeout=rng.choice([0.5, 5]))
            else:
                task = asyncio.create_task(stub.LINGER(rng.randrange(500)))
                await asyncio.sleep(rng.random())
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        except rpc.RpcError as error:
            self.errors[number] = error

    async def main(self, net):
        one, other = net.add_host("one", faults=NOISE), net.add_host("other")
        how = {"register": False, "limits": LIMITS, "duplicates": self.duplicates}
        server = await rpc.serve([self.program], host=other, udp=PORT, tcp=PORT, **how)
        way = rpc.connect(V1, "other", proto=self.proto, port=PORT, host=one, timeout=30, max_in_flight=10)
        async with way as stub:
            tasks = []
            for number in range(CALLS):
                tasks.append(asyncio.create_task(self.call(stub, number)))
                await asyncio.sleep(self.rng.random() * 0.05)
                server.connections.check_invariants()
            await asyncio.gather(*tasks)
            await asyncio.sleep(5)
            assert (way.stats["in_flight"], way.stats["waiting"]) == (0, 0)
            assert (server.stats["running"], server.stats["held"]) == (0, 0)
        await asyncio.sleep(1)
        assert server.stats["connections"] == 0
        await server.aclose()


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("seed", range(1, 11))
def test_whatever_happens_no_call_is_executed_twice_and_nothing_is_left_over(seed, proto):
    chaos = Chaos(seed, proto)
    seen = chaos.program.seen
    assert len(set(seen)) == len(seen) > CALLS / 3
    assert set(chaos.answered) <= set(seen)
    assert all(error.maybe_executed or number not in seen for number, error in chaos.errors.items())


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_without_the_cache_some_are(proto):
    """The control."""
    seen = Chaos(1, proto, duplicates=False).program.seen
    assert len(set(seen)) < len(seen)
