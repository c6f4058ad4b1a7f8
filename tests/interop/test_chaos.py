"""The libraries of the matrix that are Python at both ends, over a bad link: 2 % loss and reordering both ways, seeded.

Nothing may fail but be late: the time limits of the libraries are raised, and TCP has to do the rest.
"""

import asyncio
import importlib
import random
import time

import pytest

from stack.aio.loop import new_event_loop
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.stats import Counter
from tests.interop.table import ROWS
from tests.support.interop import Site
from tests.support.interop_hosts import assert_went_over, hosts_at, nothing_left

FAULTS = Faults(loss=0.02, reordering=0.02, reorder_us=2_000)
PATIENCE = 10.0
PURE = [row for row in ROWS if row.pure]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


async def suffer(row, seed: int, certificates: str) -> None:
    program = importlib.import_module(f"tests.interop.rows.{row.module}")
    devices = []

    def wrap(device):
        devices.append(FaultDevice(device, random.Random(seed), monotonic_us, inbound=FAULTS, outbound=FAULTS))
        return devices[-1]

    async with hosts_at("ours", "ours", wrap) as hosts:
        here, there = (
            Site(end.address, certificates, ours=True, own=end.own, patience=PATIENCE)
            for end in (hosts.client, hosts.server)
        )
        async with asyncio.timeout(240), program.serve(there) as served:
            await program.talk(here, served)
        await nothing_left(hosts, 60.0)
        assert_went_over(hosts, datagrams=row.datagrams)
        for direction in (devices[0].inbound, devices[0].outbound):
            assert direction.counts.lost > 0, "the link was not bad"
            assert direction.counts.reordered > 0, "the link was not bad"
        assert sum(host.host.stats.counts[Counter.TCP_RETRANS_SEGS] for host in hosts.ours()) > 0


def seeds():
    for number, row in enumerate(PURE):
        loops = ("uvloop", "asyncio") if number % 2 else ("asyncio", "uvloop")
        yield pytest.param(row, loops[0], 1, id=f"{row.module}-{loops[0]}-1")
        for seed in range(2, 6):
            for loop in loops:
                yield pytest.param(row, loop, seed, id=f"{row.module}-{loop}-{seed}", marks=pytest.mark.slow)


@pytest.mark.parametrize(("row", "loop", "seed"), list(seeds()))
def test_nothing_fails_on_a_bad_link(row, loop, seed, certificates):
    with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=loop == "uvloop")) as runner:
        runner.run(suffer(row, seed, str(certificates)))
