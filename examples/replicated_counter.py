"""A counter on several hosts: it counts on when one of them dies, and no increment is lost or counted twice.

One replica is the primary: clients call it, and it answers when all others of its view have what it did.  A view is a
number and the replicas that are in it, the primary first.  A monitor asks all replicas twice a second whether they are
there, and makes a new view when that has changed: it has all who answer promise to heed no older view any more, takes
what one of the last view knows, gives it to the others, and last of all tells the new primary to begin.  So all of a
view have whatever was confirmed before; and an old primary that is only cut off can have nothing confirmed any more.

A client whose call fails does not know whether it was counted.  It sends the same number again, to whoever leads now;
the replicas remember the last number of each client and its answer, and that goes to the others together with the
count.  So calls are executed once, whoever executes them.

    python examples/replicated_counter.py --seeds 20
    python examples/replicated_counter.py --seeds 20 --forgetful    (replicas do not remember clients: control)
    python examples/replicated_counter.py --seeds 20 --hasty        (the primary does not wait for the others: control)
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import stack.sim
from stack import rpc
from stack.device.fault_settings import Faults
from stack.sim import VirtualHost, VirtualNet

PORT = 4000
ROUND_S = 0.5  # of the monitor
CALL_S = 0.3

interface: Any = rpc.compile_x("""
    typedef string name<16>;
    struct view { unsigned hyper number; name replicas<8>; };               /* the primary first */
    struct memory { name client; unsigned hyper call; hyper answer; };
    struct state { hyper count; memory clients<64>; };
    struct report { unsigned hyper view; state known; };                    /* view 0: it knows nothing */

    union added switch (bool is_done) {
    case TRUE: hyper count;
    case FALSE: void;                           /* ask the monitor who leads */
    };

    program COUNTER {
        version COUNTER_V1 {
            added ADD(name, unsigned hyper) = 1;            /* a client and the number of its call; to the primary */
            bool COPY(unsigned hyper, state) = 2;           /* from the primary of that view */
            report LOOK(unsigned hyper) = 3;                /* from the monitor: heed no view below this number */
            bool BEGIN(view, state) = 4;
        } = 1;
    } = 0x20000310;

    program MONITOR { version MONITOR_V1 { name PRIMARY(void) = 1; } = 1; } = 0x20000311;
""")
COUNTER, MONITOR = interface.COUNTER_V1, interface.MONITOR_V1


async def call(host: VirtualHost, to: str, version: Any, procedure: str, *args: Any) -> Any:
    """The result of one call, on a connection of its own; None if there is none in time."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(CALL_S), rpc.connect(version, to, port=PORT, host=host, session=False) as stub:
            return await getattr(stub, procedure)(*args)
    return None


class Replica(COUNTER.Server):  # type: ignore[misc]  # made at run time
    """A counter; all it knows is gone when its host crashes."""

    def __init__(self, host: VirtualHost, *, forgetful: bool, hasty: bool) -> None:
        self.host = host
        self.forgetful, self.hasty = forgetful, hasty
        self.view = interface.view(0, [])
        self.promised = 0  # no older view is heeded
        self.count = 0
        self.clients: dict[str, Any] = {}
        self.lock = asyncio.Lock()

    def state(self) -> Any:
        """All that it knows."""
        return interface.state(self.count, list(self.clients.values()))

    def learn(self, state: Any) -> None:
        """What another one knows."""
        self.count = state.count
        self.clients = {memory.client: memory for memory in state.clients}

    async def ADD(self, _: Any, client: str, number: int) -> Any:
        """Count one more, once."""
        async with self.lock:
            view = self.view
            if view.replicas[:1] != [self.host.name] or self.promised > view.number:
                return interface.added(False, None)
            known = self.clients.get(client)
            if known is None or known.call != number or self.forgetful:
                self.count += 1
                known = self.clients[client] = interface.memory(client, number, self.count)
            others = [call(self.host, to, COUNTER, "COPY", view.number, self.state()) for to in view.replicas[1:]]
            copying = asyncio.gather(*others)
            if self.hasty or all(await copying):
                return interface.added(True, known.answer)
            return interface.added(False, None)

    async def COPY(self, _: Any, number: int, state: Any) -> bool:
        """The primary has counted."""
        if number != self.view.number or self.promised > number:
            return False
        if state.count > self.count:  # copies that were on their way for long know less
            self.learn(state)
        return True

    async def LOOK(self, _: Any, number: int) -> Any:
        """What it knows, and in which view it was."""
        self.promised = max(self.promised, number)
        return interface.report(self.view.number, self.state())

    async def BEGIN(self, _: Any, view: Any, state: Any) -> bool:
        """A new view."""
        if view.number < self.promised or view.number <= self.view.number:
            return False
        self.view = view
        self.promised = view.number
        self.learn(state)
        return True


class Monitor(MONITOR.Server):  # type: ignore[misc]  # made at run time
    """Says who leads.  There is one, and it does not die: that would take a vote (see examples/raft.py)."""

    def __init__(self, host: VirtualHost, names: Sequence[str]) -> None:
        self.host = host
        self.names = names
        self.number = 0
        self.view = interface.view(0, [])
        self.views = 0

    async def PRIMARY(self, _: Any) -> str:
        """Whom clients should call."""
        return self.view.replicas[0] if self.view.replicas else ""

    async def run(self) -> None:
        """Watch, and change the view when it is time."""
        while True:
            seen = await self.look(0)
            if seen.keys() != set(self.view.replicas) or {one.view for one in seen.values()} != {self.view.number}:
                await self.change()
            await asyncio.sleep(ROUND_S)

    async def look(self, number: int) -> dict[str, Any]:
        """The reports of all who answer."""
        reports = await asyncio.gather(*(call(self.host, to, COUNTER, "LOOK", number) for to in self.names))
        return {name: report for name, report in zip(self.names, reports, strict=True) if report is not None}

    async def change(self) -> None:
        """A new view of those who answer, led by one who knows everything."""
        self.number += 1
        seen = await self.look(self.number)
        if self.view.number:
            know = [name for name in self.view.replicas if name in seen and seen[name].view]
        else:
            know = list(seen)  # it begins: nobody knows anything
        if not know:
            return  # they may come back
        leader = max(know, key=lambda name: seen[name].known.count)
        others = [name for name in seen if name != leader]
        view, state = interface.view(self.number, [leader, *others]), seen[leader].known
        begun = await asyncio.gather(*(call(self.host, to, COUNTER, "BEGIN", view, state) for to in others))
        if all(begun):
            self.view = view  # from now on, even if its primary does not hear of it: all of it know everything
            self.views += 1
            await call(self.host, leader, COUNTER, "BEGIN", view, state)


async def client(host: VirtualHost, increments: int, answers: list[int]) -> None:
    """Counts so many times; each call again until it is confirmed."""
    for number in range(1, increments + 1):
        while True:
            primary = await call(host, "monitor", MONITOR, "PRIMARY")
            done = await call(host, primary, COUNTER, "ADD", host.name, number) if primary else None
            if done is not None and done.is_done:
                answers.append(done.count)
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.05)


class Lab:
    """Replicas, a monitor, clients, and what happens to them."""

    def __init__(self, net: VirtualNet, replicas: int, *, forgetful: bool, hasty: bool) -> None:
        self.net = net
        self.how = {"forgetful": forgetful, "hasty": hasty}
        self.replicas: dict[str, Replica] = {}
        self.hosts = net.add_hosts(*(f"r{number}" for number in range(replicas)))
        host = net.add_host("monitor")
        self.monitor = Monitor(host, [host.name for host in self.hosts])
        for one in self.hosts:
            one.boot(self.run_replica)
        host.boot(self.run_monitor)

    async def run_replica(self, host: VirtualHost) -> None:
        """Until its host crashes; again, with nothing in its memory, after each start."""
        replica = self.replicas[host.name] = Replica(host, **self.how)
        async with await rpc.serve([replica], host=host, tcp=PORT, udp=None):
            await asyncio.Event().wait()

    async def run_monitor(self, host: VirtualHost) -> None:
        """For ever."""
        async with await rpc.serve([self.monitor], host=host, tcp=PORT, udp=None):
            await self.monitor.run()

    async def kill(self, host: VirtualHost, for_s: float) -> None:
        """Crash a replica, if it is not the last one that knows."""
        others = set(self.monitor.view.replicas) - {host.name}
        if others and all(self.net.hosts[name].is_up and self.replicas[name].view.number for name in others):
            host.crash()
            await asyncio.sleep(for_s)
            host.restart()

    async def trouble(self) -> None:
        """Replicas die, mostly the primary, or are cut off from all others."""
        rng = self.net.rng
        while True:
            await asyncio.sleep(rng.uniform(0.5, 2))
            leader = self.monitor.view.replicas[0] if self.monitor.view.replicas else self.hosts[0].name
            host = self.net.hosts[leader] if rng.random() < 0.6 else rng.choice(self.hosts)
            if len(self.monitor.view.replicas) > 1 and rng.random() < 0.6:
                await self.kill(host, rng.uniform(0, 2))
            else:
                others = [other for other in self.net.hosts.values() if other is not host]
                spared = [other for other in others if not other.name.startswith("r")]
                reach = rng.choice([others, [other for other in others if other not in spared[1:]]])  # also clients
                self.net.partition(host, reach)
                await asyncio.sleep(rng.uniform(0, 2))
                self.net.heal()


def simulate(
    seed: int,
    *,
    replicas: int = 3,
    clients: int = 3,
    increments: int = 30,
    forgetful: bool = False,
    hasty: bool = False,
) -> str:
    """One history; what is wrong with it, "" if nothing is."""
    wrong: list[str] = []

    async def main(net: VirtualNet) -> None:
        lab = Lab(net, replicas, forgetful=forgetful, hasty=hasty)
        answers: list[int] = []
        callers = net.add_hosts(*(f"c{number}" for number in range(clients)))
        work = [host.spawn(client(host, increments, answers)) for host in callers]
        trouble = net.loop.create_task(lab.trouble())
        async with asyncio.timeout(600):
            await asyncio.gather(*work)
        trouble.cancel()
        net.heal()
        await asyncio.sleep(3)
        total = clients * increments
        count = lab.replicas[lab.monitor.view.replicas[0]].count
        if sorted(answers) != list(range(1, total + 1)) or count != total:
            missing = len(set(range(1, total + 1)) - set(answers))
            wrong.append(f"{total} increments were confirmed, the counter says {count}, {missing} answers are missing")

    stack.sim.run(main, seed=seed, invariants=False, faults=Faults(delay_us=5000, jitter_us=2000))
    return wrong[0] if wrong else ""


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many histories")
    parser.add_argument("--forgetful", action="store_true", help="replicas do not remember clients: control")
    parser.add_argument("--hasty", action="store_true", help="the primary does not wait for the others: control")
    options = parser.parse_args()
    broken = 0
    for seed in range(1, options.seeds + 1):
        wrong = simulate(seed, forgetful=options.forgetful, hasty=options.hasty)
        broken += bool(wrong)
        print(f"seed {seed}: {wrong or 'each increment was counted once'}", flush=True)
    print(f"{options.seeds} histories, {broken} counted wrong")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
