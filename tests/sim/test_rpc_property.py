"""What at-most-once promises, whatever the network and the server's host do: drawn by a seed.

A network that loses, copies and reorders, connections that are cut after a call was executed, a server's host that is
started anew.  Each number is added by one call, so what was executed twice shows.
"""

import asyncio
import random
from collections import Counter as Tally

import pytest

from stack import rpc
from stack.device.fault_settings import Faults
from stack.rpc.caller import CONNECT_S
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000
CALLS = 60
MUTE = (402, 870)  # in these, all that the client asked the server at first was lost
SOME = (*range(50), *MUTE)
MANY = [seed for seed in range(1000) if seed not in SOME]


class History:
    """One run: what was executed, answered, and said of the rest."""

    def __init__(self, seed, *, duplicates=True, session=True):
        self.rng = rng = random.Random(f"history {seed}")
        self.proto = rng.choice(["udp", "tcp"])
        self.faults = Faults(
            delay_us=1000,
            jitter_us=rng.choice([0, 3000, 50_000]),  # of which the last reorders nearly everything
            loss=rng.choice([0, 0.05, 0.3]),
            duplication=rng.choice([0, 0.05, 0.3]),
        )
        self.cuts = rng.choice([0, 0.1, 0.4])
        self.restarts = rng.choice([0, 0, 1, 3])
        self.how = {"duplicates": duplicates}
        self.session = session
        self.seen = []
        self.answered = []
        self.errors = {}
        run(self.main, seed=seed, invariants=False)

    def cut(self, ctx):
        if ctx.transport == "tcp" and self.rng.random() < self.cuts:
            ctx.reply_to.abort()

    async def serve(self, _):
        program = Counter(self.seen)
        program.cut = self.cut
        async with await rpc.serve([program], udp=PORT, tcp=PORT, register=False, **self.how):
            await asyncio.Event().wait()

    async def call(self, stub, number):
        try:
            await stub.ADD(number, timeout=self.rng.choice([1, 10, 60]))
        except rpc.RpcError as error:
            self.errors[number] = error
        else:
            self.answered.append(number)

    async def main(self, net):
        one, other = net.add_host("one", faults=self.faults), net.add_host("other")
        other.boot(self.serve)
        await asyncio.sleep(1)
        restarts = {self.rng.randrange(CALLS) for _ in range(self.restarts)}
        way = rpc.connect(V1, "other", proto=self.proto, port=PORT, host=one, session=self.session, timeout=60)
        async with way as stub:
            calls = []
            for number in range(CALLS):
                calls.append(asyncio.create_task(self.call(stub, number)))
                await asyncio.sleep(self.rng.random() * 0.1)
                if number in restarts:
                    other.restart()
            await asyncio.gather(*calls)
            if way.stats["in_flight"]:  # which run of the server it is: a question of the client's own, which ends too
                await asyncio.sleep(CONNECT_S)
            assert (way.stats["in_flight"], way.stats["waiting"]) == (0, 0)

    @property
    def twice(self):
        return {number for number, times in Tally(self.seen).items() if times > 1}


def judge(seed):
    history = History(seed)
    seen, maybe = set(history.seen), {number for number, error in history.errors.items() if error.maybe_executed}
    assert history.twice == set(), vars(history)
    assert set(history.answered) <= seen
    assert seen <= set(history.answered) | maybe
    assert len(history.answered) + len(history.errors) == CALLS
    assert len(history.answered) <= len(history.seen) <= len(history.answered) + len(maybe)


@pytest.mark.parametrize("seed", SOME)
def test_no_call_is_executed_twice_and_every_error_is_true(seed):
    judge(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_the_same_for_a_thousand_histories(seed):
    judge(seed)


def test_without_the_cache_calls_are_executed_twice():
    """The control."""
    assert sum(bool(History(seed, duplicates=False).twice) for seed in range(12)) >= 4


def test_without_asking_which_run_of_the_server_it_is_too():
    """The control for restarts."""
    histories = (History(seed, session=False) for seed in SOME)
    assert any(history.twice for history in histories if history.restarts)
