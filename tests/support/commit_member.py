"""A member of transactions as a process of its own, which ends itself where it is told to, as SIGKILL would.

    python -m tests.support.commit_member NAME FOLDER PORTS [MOMENT]

NAME is teller, north or south, PORTS a comma-separated list of theirs.  MOMENT is "before" or "after", a blank, and a
method: `prepare`, `commit`, `abort` of a database, `write` and `flush` of the
teller's log.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from stack import commit
from stack.commit.disk import FileDisk
from stack.config import SECOND
from tests.support.commit_money import STATEMENTS, give, take

TIMING = commit.Timing(vote_us=2 * SECOND, again_us=SECOND // 20, longest_us=SECOND // 5)


def dying(base, moment):
    """The class, one of whose methods ends the process."""
    when, _, method = moment.partition(" ")
    if not hasattr(base, method):
        return base

    def replaced(self, *args):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        getattr(base, method)(self, *args)
        os.kill(os.getpid(), signal.SIGKILL)

    return type("Dying", (base,), {method: replaced, "__slots__": ()})


async def main(name, folder, ports, moment):
    names = ("teller", "north", "south")
    members = {name: ("127.0.0.1", int(port)) for name, port in zip(names, ports.split(","), strict=True)}
    if name == "teller":
        disk = FileDisk(folder, "teller.log")
        async with await commit.coordinate(name, disk, members, timing=TIMING) as teller:
            disk.__class__ = dying(FileDisk, moment)  # not while it starts
            print("up", flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                try:
                    done = await teller.run({"north": take(30), "south": give(30)}, settle_s=5)
                    print("committed", ",".join(done.waits_for), flush=True)
                except commit.Aborted as error:
                    print("aborted", error.why, flush=True)
        return
    store = dying(commit.Database, moment)(folder / f"{name}.db", name, STATEMENTS)
    async with await commit.serve(name, store, members, timing=TIMING):
        print("up", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(main(given[0], Path(given[1]), given[2], given[3] if len(given) > 3 else ""))
