"""A replicated log on plain asyncio: Raft, leader election and log replication (Ongaro and Ousterhout 2014, figure 2).

Nodes and clients are ordinary asyncio programs: streams, timeouts, tasks, no word of a simulator. `simulate` puts them
on hosts of a simulated network, cuts it in pieces, crashes hosts and starts them again, and asks at the end whether
Raft has kept its promises. Half a minute of trouble takes a second, and a seed repeats to the byte:

    python examples/raft.py --seeds 100
    python examples/raft.py --seed 17 --seeds 1
    python examples/raft.py --seeds 100 --hasty     (leaders that do not wait for a majority: promises break)
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import stack.sim
from stack.device.fault_settings import Faults

PORT = 4001
HEARTBEAT_S = 0.05
ELECTION_S = (0.15, 0.30)  # of silence, before a node wants to lead
CALL_S = 0.1  # for an answer; then the connection is given up
FOLLOWER, CANDIDATE, LEADER = "follower", "candidate", "leader"

Message = dict[str, Any]


class Violation(AssertionError):
    """Raft has broken a promise."""


@dataclass
class Entry:
    """One command in the log."""

    term: int
    command: str


@dataclass
class Disk:
    """What a node keeps over a crash; it is written before an answer leaves."""

    term: int = 0
    vote: str | None = None
    log: list[Entry] = field(default_factory=list)


class Watch:
    """Sees everything that nodes decide, and notes when two of them contradict each other (figure 3 of the paper)."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.applied: dict[int, tuple[int, str]] = {}
        self.acknowledged: list[str] = []
        self.violations: list[str] = []

    def on_leader(self, term: int, name: str) -> None:
        """Election safety: at most one leader in a term."""
        other = self.leaders.setdefault(term, name)
        if other != name:
            self.violations.append(f"term {term} has two leaders, {other} and {name}")

    def on_applied(self, index: int, entry: Entry) -> None:
        """State machine safety: nobody applies another command at the same place."""
        known = self.applied.setdefault(index, (entry.term, entry.command))
        if known != (entry.term, entry.command):
            self.violations.append(f"at {index} one node has applied {known}, another {entry}")

    def at_the_end(self, log: Iterable[Entry]) -> None:
        """What a client was told is done stays done: it is in the log of the last leader."""
        commands = {entry.command for entry in log}
        lost = [command for command in self.acknowledged if command not in commands]
        if lost:
            self.violations.append(f"acknowledged, and lost: {lost}")


class Peer:
    """Another node, as seen from one: a connection that is made when it is needed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, message: Message) -> Message | None:
        """Its answer; None if there was none in time."""
        try:
            async with asyncio.timeout(CALL_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(self.name, PORT)
                reader, writer = self._streams
                writer.write(json.dumps(message).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
        except (OSError, TimeoutError):
            line = b""
        if line:
            answer: Message = json.loads(line)
            return answer
        self.close()  # an answer that comes late would be taken for that to the next question
        return None

    def close(self) -> None:
        """Give the connection up."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Node:
    """A Raft node.  Indexes count from 1, as in the paper; 0 is what is before the log."""

    def __init__(
        self, name: str, names: Sequence[str], disk: Disk, rng: Random, watch: Watch, *, is_hasty: bool
    ) -> None:
        self.name = name
        self.disk = disk
        self.role = FOLLOWER
        self.leader: str | None = None
        self.commit = 0
        self.applied = 0
        self._names = [other for other in names if other != name]
        self._rng = rng
        self._watch = watch
        self._is_hasty = is_hasty
        self._heard = asyncio.Event()  # of a leader, or of a candidate that has our vote
        self._grown = asyncio.Condition()  # the log, or what is committed of it
        self._next: dict[str, int] = {}
        self._match: dict[str, int] = {}

    # -- life

    async def run(self) -> None:
        """Serve, and lead when nobody else does; until cancelled."""
        server = await asyncio.start_server(self._serve, self.name, PORT)
        async with server:
            while True:
                try:
                    async with asyncio.timeout(self._rng.uniform(*ELECTION_S)):
                        await self._heard.wait()
                except TimeoutError:
                    await self._campaign()
                self._heard.clear()

    def _last(self) -> tuple[int, int]:
        """Index and term of the last entry."""
        log = self.disk.log
        return len(log), log[-1].term if log else 0

    def _see_term(self, term: int) -> None:
        """A newer term ends whatever role we had in ours."""
        if term > self.disk.term:
            self.disk.term, self.disk.vote = term, None
            self.role = FOLLOWER
            self.leader = None

    # -- elections (§5.2, §5.4.1)

    async def _campaign(self) -> None:
        self.role, self.leader = CANDIDATE, None
        self.disk.term += 1
        self.disk.vote = self.name
        term, (index, last_term) = self.disk.term, self._last()
        question = {"ask": "vote", "term": term, "from": self.name, "index": index, "last_term": last_term}
        async with _peers(self._names) as peers:
            calls = [asyncio.ensure_future(peer.call(question)) for peer in peers]
            votes = 1
            for call in asyncio.as_completed(calls):
                answer = await call
                if answer is None:
                    continue
                self._see_term(answer["term"])
                if self.role != CANDIDATE or self.disk.term != term:
                    break
                votes += answer["granted"]
                if votes > (len(self._names) + 1) // 2:
                    await self._lead()
                    break
            for left in calls:
                left.cancel()

    async def _lead(self) -> None:
        term = self.disk.term
        self.role, self.leader = LEADER, self.name
        self._watch.on_leader(term, self.name)
        # §8: an entry of its own term lets a leader find out what is committed
        self.disk.log.append(Entry(term, ""))
        self._next = dict.fromkeys(self._names, len(self.disk.log))
        self._match = dict.fromkeys(self._names, 0)
        async with _peers(self._names) as peers:
            tasks = [asyncio.ensure_future(self._replicate(peer, term)) for peer in peers]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        async with self._grown:
            self._grown.notify_all()  # clients that wait hear that we lead no more

    def _leads(self, term: int) -> bool:
        return self.role == LEADER and self.disk.term == term

    # -- replication (§5.3)

    async def _replicate(self, peer: Peer, term: int) -> None:
        """Keep one follower's log like ours, as long as we lead."""
        while self._leads(term):
            following = self._next[peer.name]
            log = self.disk.log
            entries = log[following - 1 :]
            answer = await peer.call(
                {
                    "ask": "append",
                    "term": term,
                    "from": self.name,
                    "index": following - 1,
                    "last_term": log[following - 2].term if following > 1 else 0,
                    "entries": [[entry.term, entry.command] for entry in entries],
                    "commit": self.commit,
                }
            )
            if answer is not None:
                self._see_term(answer["term"])
                if not self._leads(term):
                    return
                if answer["granted"]:
                    self._match[peer.name] = following - 1 + len(entries)
                    self._next[peer.name] = self._match[peer.name] + 1
                    await self._count()
                else:
                    self._next[peer.name] = max(1, min(following - 1, answer["length"] + 1))
                    continue
            if len(self.disk.log) < self._next[peer.name] or answer is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S), self._grown:
                        await self._grown.wait()

    async def _count(self) -> None:
        """Commit what a majority has, if it is of this term (§5.4.2)."""
        held = sorted([len(self.disk.log), *self._match.values()])
        index = held[(len(held) - 1) // 2]
        if index > self.commit and self.disk.log[index - 1].term == self.disk.term:
            await self._commit(index)

    async def _commit(self, index: int) -> None:
        self.commit = index
        while self.applied < index:
            self.applied += 1
            self._watch.on_applied(self.applied, self.disk.log[self.applied - 1])
        async with self._grown:
            self._grown.notify_all()

    # -- what others ask

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while line := await reader.readline():
                message = json.loads(line)
                handler = {"vote": self._on_vote, "append": self._on_append, "do": self._on_command}[message["ask"]]
                answer = await handler(message)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()

    async def _on_vote(self, message: Message) -> Message:
        self._see_term(message["term"])
        disk, (index, last_term) = self.disk, self._last()
        granted = (
            message["term"] == disk.term
            and disk.vote in {None, message["from"]}
            and (message["last_term"], message["index"]) >= (last_term, index)
        )
        if granted:
            disk.vote = message["from"]
            self._heard.set()
        return {"term": disk.term, "granted": granted}

    async def _on_append(self, message: Message) -> Message:
        self._see_term(message["term"])
        disk, index = self.disk, message["index"]
        if message["term"] < disk.term:
            return {"term": disk.term, "granted": False, "length": len(disk.log)}
        self.role, self.leader = FOLLOWER, message["from"]
        self._heard.set()
        if index > len(disk.log) or (index and disk.log[index - 1].term != message["last_term"]):
            return {"term": disk.term, "granted": False, "length": min(len(disk.log), index - 1)}
        for place, (term, command) in enumerate(message["entries"], index):
            if place < len(disk.log) and disk.log[place].term != term:
                del disk.log[place:]
            if place == len(disk.log):
                disk.log.append(Entry(term, command))
        known = min(message["commit"], index + len(message["entries"]))
        if known > self.commit:
            await self._commit(known)
        return {"term": disk.term, "granted": True, "length": len(disk.log)}

    async def _on_command(self, message: Message) -> Message:
        """A client wants something done: answered when a majority has it."""
        if self.role != LEADER:
            return {"done": False, "leader": self.leader}
        term = self.disk.term
        self.disk.log.append(Entry(term, message["command"]))
        index = len(self.disk.log)
        if self._is_hasty:
            return {"done": True, "leader": self.name}
        async with self._grown:
            self._grown.notify_all()
            await self._grown.wait_for(lambda: self.commit >= index or not self._leads(term))
        log = self.disk.log
        done = self.commit >= index and len(log) >= index and log[index - 1] == Entry(term, message["command"])
        return {"done": done, "leader": self.leader}


@contextlib.asynccontextmanager
async def _peers(names: Iterable[str]) -> AsyncIterator[list[Peer]]:
    peers = [Peer(name) for name in names]
    try:
        yield peers
    finally:
        for peer in peers:
            peer.close()


# -- clients, trouble, and the question whether all went well


async def client(name: str, names: Sequence[str], rng: Random, watch: Watch, count: int) -> None:
    """Have `count` commands done, one after the other, whoever leads; again until one is acknowledged."""
    async with _peers(names) as all_peers:
        peers = {peer.name: peer for peer in all_peers}
        leader = rng.choice(names)
        for number in range(count):
            await asyncio.sleep(rng.uniform(0, 1.5))
            command = f"{name}-{number}"
            while True:
                answer = await peers[leader].call({"ask": "do", "command": command})
                if answer is not None and answer["done"]:
                    watch.acknowledged.append(command)
                    break
                told = answer["leader"] if answer is not None else None
                leader = told if told in peers and told != leader else rng.choice(names)
                await asyncio.sleep(rng.uniform(0, 2 * HEARTBEAT_S))


async def trouble(net: stack.sim.VirtualNet, hosts: Sequence[stack.sim.VirtualHost], rounds: int) -> None:
    """Cut the network in two, crash hosts, start them again, lose and delay frames; at the end all is well again."""
    rng = net.rng
    for _ in range(rounds):
        await asyncio.sleep(rng.uniform(0.2, 2))
        kind = rng.choice(["cut", "cut", "one way", "crash", "crash", "noise"])
        chosen = rng.sample(hosts, rng.randint(1, len(hosts) - 1))
        others = [host for host in hosts if host not in chosen]
        if kind == "crash":
            for host in chosen:
                host.crash()
            await asyncio.sleep(rng.uniform(0, 1.5))
            for host in chosen:
                host.restart()
        elif kind == "noise":
            net.configure(Faults(loss=rng.uniform(0, 0.2), delay_us=rng.randint(100, 20_000), jitter_us=5_000))
            await asyncio.sleep(rng.uniform(0, 3))
            net.configure(stack.sim.STAR_FAULTS)
        else:
            net.partition(chosen, others, one_way=kind == "one way")
            await asyncio.sleep(rng.uniform(0, 3))
            net.heal()


def simulate(
    seed: int, *, nodes: int = 5, clients: int = 3, commands: int = 15, rounds: int = 8, hasty: bool = False
) -> Watch:
    """One history.  Raises Violation, or TimeoutError when nothing goes on although all is well again."""
    watch = Watch()

    async def main(net: stack.sim.VirtualNet) -> None:
        names = [f"n{number}" for number in range(nodes)]
        disks = {name: Disk() for name in names}

        async def boot(host: stack.sim.VirtualHost) -> None:
            rng = Random(f"{seed}/{host.name}/{host.lives}")
            node = Node(host.name, names, disks[host.name], rng, watch, is_hasty=hasty)
            await node.run()

        hosts = net.add_hosts(*names)
        for host in hosts:
            host.boot(boot)
        tasks = []
        for number in range(clients):
            host = net.add_host(f"c{number}")
            rng = Random(f"{seed}/{host.name}")
            tasks.append(host.spawn(client(host.name, names, rng, watch, commands)))
        await trouble(net, hosts, rounds)
        # all is well: what is still wanted must be done soon, and one command more
        host = net.add_host("last")
        tasks.append(host.spawn(client(host.name, names, net.rng, watch, 1)))
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        watch.at_the_end(disks[watch.leaders[max(watch.leaders)]].log)

    try:
        stack.sim.run(main, seed=seed)
    except TimeoutError:
        if not watch.violations:
            raise
    if watch.violations:
        raise Violation(watch.violations[0])
    return watch


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="how many histories")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--hasty", action="store_true", help="leaders do not wait for a majority: control")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that share the work")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.seeds)
    broken = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for is_broken, line in pool.map(partial(tell, hasty=options.hasty), seeds):
            broken += is_broken
            print(line, flush=True)
    print(f"{options.seeds} histories, {broken} broke a promise")
    return 1 if broken else 0


def tell(seed: int, *, hasty: bool) -> tuple[bool, str]:
    """Whether the history of that seed breaks a promise, and a line about it."""
    try:
        watch = simulate(seed, hasty=hasty)
    except Violation as violation:
        return True, f"seed {seed}: {violation}"
    return False, f"seed {seed}: {len(watch.leaders)} leaders, {len(watch.acknowledged)} commands"


if __name__ == "__main__":
    sys.exit(main())
