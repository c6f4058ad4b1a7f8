"""Transactions on a disk that is really full; run by tests/netns/test_commit_full_disk.py in a mount namespace.

    python -m tests.support.commit_full_disk SMALL WHO

SMALL is a folder with some hundred kilobytes, and WHO is in it.  Prints what happens.
"""

import asyncio
import sys
from pathlib import Path

from stack import commit
from tests.support.commit_money import STATEMENTS, amounts, give, make

MEMBERS = {"teller": ("127.0.0.1", 17320), "north": ("127.0.0.1", 17321), "south": ("127.0.0.1", 17322)}


def fill(path):
    """Write until nothing more goes."""
    with path.open("ab", buffering=0) as file:
        for size in (4096, 64, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


async def main(small, which):
    large = small.parent
    folder = {name: small if name == which else large for name in MEMBERS}
    ledger = commit.open_ledger(folder["north"] / "north.log", "north")
    database = commit.Database(make(folder["south"] / "south.db"), "south", STATEMENTS)
    async with (
        await commit.serve("north", ledger, MEMBERS),
        await commit.serve("south", database, MEMBERS),
        await commit.coordinate("teller", folder["teller"] / "teller.log", MEMBERS) as teller,
    ):
        await teller.run({"north": commit.entries({"anna": 100})})
        fill(small / "filler")
        try:
            for _ in range(500):  # until the last page is full
                await teller.run({"north": commit.entries({"anna": 0}), "south": give(0)})
        except commit.Aborted as error:
            print(error.why)
        print(ledger.balance("anna"), amounts(folder["south"] / "south.db")["otto"], flush=True)
        (small / "filler").unlink()
        for _ in range(2):
            done = await teller.run({"north": commit.entries({"anna": -30}), "south": give(30)})
            print(done.waits_for, ledger.balance("anna"), amounts(folder["south"] / "south.db")["otto"])
    ledger.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
