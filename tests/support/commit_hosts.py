"""Two-phase commit as it is used, on simulated hosts: `commit.serve` and `commit.coordinate` over our RPC and TCP.

Hosts crash in the middle of what they do to their disks, and otherwise; the network is cut and loses frames.  The Watch
is that of commit_world.
"""

import asyncio
from contextlib import AsyncExitStack
from errno import EIO
from random import Random

import stack.sim
from stack import commit
from stack.config import SECOND
from stack.device.fault_settings import Faults
from tests.support.commit_disk import SimDisk
from tests.support.commit_world import ACCOUNTS, Violation, Watch, WatchedLedger

PORT = 4000
TIMING = commit.Timing(vote_us=2 * SECOND, again_us=SECOND // 2, longest_us=4 * SECOND)


class Mount:
    """A disk, for one life of its host."""

    def __init__(self, disk):
        self.disk = disk
        self.lives = True

    def close(self):
        pass

    def __getattr__(self, name):
        if not self.lives:
            raise OSError(EIO, "the power is gone")
        return getattr(self.disk, name)

    def __setattr__(self, name, value):
        if name in {"disk", "lives"}:
            object.__setattr__(self, name, value)
        else:
            setattr(self.disk, name, value)


class Place:
    """A host with its disk."""

    def __init__(self, world, host):
        self.world, self.host = world, host
        self.rng = Random(f"{world.seed}/{host.name}")
        self.disk = SimDisk(self.rng, self.on_step)
        self.mount = None
        self.running = None
        self.ledger = None

    def on_step(self, what, is_before):
        world = self.world
        if not world.is_well and world.net.rng.random() < world.crash_rate:
            self.crash()
            world.net.loop.call_later(self.rng.uniform(0, 3), self.restart)
            raise asyncio.CancelledError

    def crash(self):
        self.world.crashes += 1
        self.mount.lives = False
        self.running = None
        self.host.crash()
        self.disk.crash()

    def restart(self):
        if not self.host.is_up:
            self.host.restart()

    async def boot(self, host):
        self.mount = Mount(self.disk)
        members = self.world.members
        async with AsyncExitStack() as closing:
            if host.name in self.world.banks:
                hasty = self.world.hasty == "vote"
                self.ledger = WatchedLedger(self.mount, host.name, self.rng, self.world.watch, hasty=hasty)
                running = await commit.serve(host.name, self.ledger, members, host=host, timing=TIMING)
            else:
                running = await commit.coordinate(host.name, self.mount, members, host=host, timing=TIMING)
            await closing.enter_async_context(running)
            self.running = running
            if host.name not in self.world.banks:
                await self.transfer(running)
            await asyncio.Event().wait()

    async def transfer(self, teller):
        """One transfer after the other, until all is well again."""
        watch = self.world.watch
        while not self.world.is_well:
            names = self.rng.sample(sorted(self.world.banks), 2)
            accounts, amount = self.rng.choices(ACCOUNTS, k=2), self.rng.randrange(1, 20)
            work = {names[0]: {accounts[0]: self.rng.choice((1, -1)) * amount}, names[1]: {accounts[1]: amount}}
            try:
                done = await teller.run({name: commit.entries(own) for name, own in work.items()}, settle_s=1)
            except commit.Aborted:
                pass
            else:
                watch.acknowledged.add(done.transaction)
            await asyncio.sleep(self.rng.uniform(0, 0.5))


class Hosts:
    """One history."""

    def __init__(self, seed, *, hasty="", tellers=1, banks=3, trouble_s=12):
        self.seed, self.hasty, self.trouble_s = seed, hasty, trouble_s
        self.crash_rate = Random(seed).choice((0, 0.01, 0.03))
        self.watch = Watch()
        self.crashes = 0
        self.is_well = False
        self.banks = {f"b{n}" for n in range(banks)}
        self.members = {name: (name, PORT) for name in (*(f"t{n}" for n in range(tellers)), *sorted(self.banks))}

    def run(self):
        """The whole of it.  Raises Violation."""
        try:
            stack.sim.run(self.main, seed=self.seed, invariants=False)
        except commit.CorruptLog as error:
            self.watch.violations.append(str(error))
        if self.watch.violations:
            raise Violation(f"seed {self.seed}: {self.watch.violations[0]}")
        return self

    async def main(self, net):
        self.net = net
        hosts = net.add_hosts(*self.members)
        self.places = [Place(self, host) for host in hosts]
        for place in self.places:
            place.host.boot(place.boot)
        await self.trouble()
        self.is_well = True
        net.heal()
        net.configure(stack.sim.STAR_FAULTS)
        for place in self.places:
            place.restart()
        async with asyncio.timeout(120):
            while not all(place.running and not place.running.status() for place in self.places):
                await asyncio.sleep(0.5)
        self.watch.at_the_end({place.host.name: place.ledger for place in self.places if place.ledger})

    async def trouble(self):
        net, rng = self.net, self.net.rng
        until = net.time + self.trouble_s
        while net.time < until:
            await asyncio.sleep(rng.uniform(0.2, 2))
            kind = rng.choice(["cut", "one way", "crash", "crash", "noise"])
            chosen = rng.sample(self.places, rng.randint(1, len(self.places) - 1))
            hosts = [place.host for place in chosen]
            if kind == "crash":
                for place in chosen:
                    if place.host.is_up:
                        place.crash()
                await asyncio.sleep(rng.uniform(0, 3))
                for place in chosen:
                    place.restart()
            elif kind == "noise":
                net.configure(Faults(loss=rng.uniform(0, 0.2), delay_us=rng.randint(100, 20_000), jitter_us=5_000))
                await asyncio.sleep(rng.uniform(0, 3))
                net.configure(stack.sim.STAR_FAULTS)
            else:
                others = [place.host for place in self.places if place not in chosen]
                net.partition(hosts, others, one_way=kind == "one way")
                await asyncio.sleep(rng.uniform(0, 3))
                net.heal()
