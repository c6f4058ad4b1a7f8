"""Two banks, each with an SQLite database of its own: money leaves the one and reaches the other, or nothing happens.

The banks and the teller who moves the money are hosts of a simulated network; the databases and the teller's log are
real files.  The power fails at the worst moments:

    python examples/two_phase_commit.py

Members are started by `commit.serve` and `commit.coordinate`, as they would be in processes of their own: see
docs/two-phase-commit.md.
"""

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import stack.sim
from stack import commit
from stack.commit.disk import FileDisk
from stack.sim import VirtualHost, VirtualNet

MEMBERS = {"teller": ("teller", 7000), "north": ("north", 7000), "south": ("south", 7000)}
STATEMENTS = {
    "take": commit.Statement("UPDATE account SET amount = amount - :amount WHERE owner = :owner", rows=1),
    "give": commit.Statement("UPDATE account SET amount = amount + :amount WHERE owner = :owner", rows=1),
}
SCHEMA = "CREATE TABLE account (owner TEXT PRIMARY KEY, amount INTEGER CHECK (amount >= 0))"


class UnluckyDisk(FileDisk):
    """The disk of the teller, whose power fails in the moment of the decision, if it is to."""

    def __init__(self, folder: Path, host: VirtualHost) -> None:
        super().__init__(folder, "teller.log")
        self.host = host
        self.fails = ""  # "before" or "after" the decision is on the disk

    def write(self, name: str, offset: int, data: bytes) -> None:
        """All of it, or as far as the power lasts."""
        if self.fails == "before":
            super().write(name, offset, data[: len(data) // 2])
            self.fail()
        super().write(name, offset, data)

    def flush(self, name: str) -> None:
        """It is on the disk."""
        super().flush(name)
        if self.fails == "after":
            self.fail()

    def fail(self) -> NoReturn:
        """The host has no power any more, nor has what runs on it."""
        self.host.crash()
        raise asyncio.CancelledError


class Town:
    """Where it happens."""

    def __init__(self, net: VirtualNet, folder: Path) -> None:
        self.folder = folder
        self.teller: commit.RunningCoordinator
        self.disk: UnluckyDisk
        self.hosts = dict(zip(MEMBERS, net.add_hosts(*MEMBERS), strict=True))
        for name, owner in (("north", "anna"), ("south", "otto")):
            with closing(sqlite3.connect(folder / f"{name}.db")) as db, db:
                db.execute(SCHEMA)
                db.execute("INSERT INTO account VALUES (?, 100)", (owner,))
            self.hosts[name].boot(self.run_bank)
        self.hosts["teller"].boot(self.run_teller)

    async def run_bank(self, host: VirtualHost) -> None:
        """A participant, until its host crashes; again after each restart."""
        with closing(commit.Database(self.folder / f"{host.name}.db", host.name, STATEMENTS)) as data:
            async with await commit.serve(host.name, data, MEMBERS, host=host):
                await asyncio.Event().wait()

    async def run_teller(self, host: VirtualHost) -> None:
        """The coordinator."""
        self.disk = UnluckyDisk(self.folder, host)
        async with await commit.coordinate(host.name, self.disk, MEMBERS, host=host) as self.teller:
            await asyncio.Event().wait()

    async def transfer(self, amount: int) -> None:
        """From Anna in the north to Otto in the south."""
        work = {
            "north": commit.steps(("take", {"owner": "anna", "amount": amount})),
            "south": commit.steps(("give", {"owner": "otto", "amount": amount})),
        }
        try:
            done = await self.teller.run(work)
        except commit.Aborted as error:
            print("   aborted:", error.why)
        else:
            print("   committed; not confirmed yet by:", ", ".join(done.waits_for) or "nobody")

    def show(self) -> None:
        """What anybody sees who reads the databases."""
        amounts = []
        for name in ("north", "south"):
            with closing(sqlite3.connect(self.folder / f"{name}.db")) as db:
                amounts.append(db.execute("SELECT amount FROM account").fetchone()[0])
        print(f"   Anna has {amounts[0]}, Otto has {amounts[1]}")

    async def show_status(self) -> None:
        """Who waits for whom."""
        for member in await commit.status(MEMBERS, host=self.hosts["north"]):
            print(f"   {member.name} does not answer" if member.silent else f"   {member}")

    async def restart(self, name: str) -> None:
        """Some time later."""
        await asyncio.sleep(20)
        self.hosts[name].restart()
        await asyncio.sleep(20)


async def main(net: VirtualNet, folder: Path) -> None:
    """The story."""
    town = Town(net, folder)
    await asyncio.sleep(1)

    print("1. A transfer")
    await town.transfer(30)
    town.show()

    print("2. One that is more than there is")
    await town.transfer(500)
    town.show()

    print("3. The south loses its power with its promise on the disk, and the decision on its way")
    task = net.loop.create_task(town.transfer(30))
    while town.teller.stats["committed"] < 2:  # noqa: ASYNC110  (it tells nobody)
        await asyncio.sleep(0.0001)
    town.hosts["south"].crash()
    await task
    town.show()
    await town.restart("south")
    print("   the south is back:")
    town.show()

    for moment in ("before", "after"):
        number = {"before": 4, "after": 5}[moment]
        print(f"{number}. The teller loses its power {moment} its decision is on the disk: the others are in doubt")
        town.disk.fails = moment
        task = town.hosts["teller"].spawn(town.transfer(30))
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(20)
        town.show()
        await town.show_status()
        await town.restart("teller")
        print("   the teller is back:")
        town.show()
        await town.show_status()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        stack.sim.run(lambda net: main(net, Path(name)), seed=1)
