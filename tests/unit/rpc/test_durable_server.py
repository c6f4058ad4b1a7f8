"""A server whose cache of calls is on disk: nobody waits for the disk but who must, and no reply is ahead of it."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stack import rpc
from stack.rpc.durable import DurableDuplicates
from tests.support.rpc_counter import V1, Counter

ROOT = Path(__file__).parents[3]


class Disk:
    """Commits of a cache: `begun` of them were begun, and wait for `gate`; `sizes` says how many rows each had."""

    def __init__(self, monkeypatch):
        self.sizes = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False
        commit = DurableDuplicates._commit

        def slow(cache, writes):
            self.sizes.append(len(writes))
            return self.gate.wait(20) and not self.fails and commit(cache, writes)

        monkeypatch.setattr(DurableDuplicates, "_commit", slow)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def served(tmp_path, main, *, proto="tcp", **how):
    """Runs `main(stub, program, cache, server)` over kernel sockets; the cache is closed at the end."""

    async def wrapped():
        program = Counter()
        cache = DurableDuplicates(tmp_path / "calls.db", **how)
        async with await rpc.serve([program], register=False, duplicates=cache) as server:
            port = server.tcp_port if proto == "tcp" else server.udp_port
            async with rpc.connect(V1, "127.0.0.1", proto=proto, port=port) as stub:
                await main(stub, program, cache, server)
        cache.check_invariants()
        cache.close()

    asyncio.run(wrapped())


@pytest.mark.parametrize("held", [True, False])
def test_no_reply_is_ahead_of_the_disk_and_others_are_served_meanwhile(tmp_path, monkeypatch, held):
    """The control: without the wait the reply is there before the record."""
    disk = Disk(monkeypatch)
    if not held:
        monkeypatch.setattr(DurableDuplicates, "settled", lambda _: None)

    async def main(stub, program, cache, server):
        disk.gate.clear()
        call = asyncio.create_task(stub.ADD(1))
        await until(lambda: len(disk.sizes) == 1)
        for _ in range(20):
            assert await stub.COUNT() == len(program.seen)  # it is idempotent: the disk is not asked
        assert program.seen == ([] if held else [1])  # what is begun is not even executed before that is written
        assert call.done() == (not held)
        disk.gate.set()
        assert await call == 1
        if held:
            assert disk.sizes == [1, 1]

    served(tmp_path, main)


def test_what_was_executed_is_running_to_its_copies_until_it_is_written(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)

    async def main(stub, program, cache, server):
        program.cut = lambda _: disk.gate.clear()  # the disk gets stuck once it is executed
        call = asyncio.create_task(stub.ADD(1))
        await until(lambda: server.stats.get("dropped_in_progress", 0) >= 2)  # copies of a client that hears nothing
        assert program.seen == [1]
        assert not call.done()
        assert server.stats.get("replayed", 0) == 0
        disk.gate.set()
        assert await call == 1
        assert program.seen == [1]

    served(tmp_path, main, proto="udp")


def test_calls_that_come_together_are_written_together(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)

    async def main(stub, program, cache, server):
        disk.gate.clear()
        first = asyncio.create_task(stub.ADD(0))
        await until(lambda: disk.sizes == [1])
        calls = [asyncio.create_task(stub.ADD(number)) for number in range(1, 65)]
        await until(lambda: server.stats["running"] == 65)
        disk.gate.set()
        assert sorted(await asyncio.gather(first, *calls)) == list(range(1, 66))
        assert sum(disk.sizes) == 2 * 65
        assert max(disk.sizes) >= 64
        assert len(disk.sizes) < 10

    served(tmp_path, main)


def test_what_cannot_be_written_is_not_executed(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)

    async def main(stub, program, cache, server):
        assert await stub.ADD(1) == 1
        disk.fails = True
        with pytest.raises(rpc.SystemErr):
            await stub.ADD(2)
        assert program.seen == [1]
        assert (server.stats["not_noted"], server.stats["running"], cache.failures) == (1, 0, 1)
        disk.fails = False
        assert await stub.ADD(3) == 2

    served(tmp_path, main)


def test_what_was_given_up_before_it_was_begun_is_forgotten_on_disk_too(tmp_path):
    async def main(stub, program, cache, server):
        call = asyncio.create_task(stub.LINGER(60_000))
        await until(lambda: program.begun == 1)
        call.cancel()
        await until(lambda: server.stats["running"] == 0)
        assert await stub.ADD(1) == 1

    served(tmp_path, main)
    cache = DurableDuplicates(tmp_path / "calls.db")
    rows = cache.db.execute("SELECT count(*) FROM rpc_calls WHERE done_at IS NULL").fetchone()
    assert rows == (0,)
    cache.close()


def test_a_server_that_is_closed_leaves_nothing_unwritten(tmp_path):
    async def main(stub, program, cache, server):
        calls = [asyncio.create_task(stub.ADD(number)) for number in range(50)]
        await until(lambda: program.seen)
        await server.aclose()
        assert cache.settled() is None
        await asyncio.gather(*calls, return_exceptions=True)

    served(tmp_path, main)
    cache = DurableDuplicates(tmp_path / "calls.db")
    begun = cache.db.execute("SELECT count(*) FROM rpc_calls WHERE done_at IS NULL").fetchone()
    assert begun == (0,)
    cache.close()


# -- crashes

CRASHING = """
import asyncio, os, signal, sys
from pathlib import Path
from stack import rpc
from stack.rpc.durable import DurableDuplicates
from tests.support.rpc_counter import V1, Counter

folder, moment = Path(sys.argv[1]), sys.argv[2]
commit, commits = DurableDuplicates._commit, []

def crash(now):
    if moment == now:
        os.kill(os.getpid(), signal.SIGKILL)

def watched(cache, writes):
    commits.append(writes)
    if len(commits) == 1:
        crash("coming")
    else:
        crash("executed")
    done = commit(cache, writes)
    crash("begun" if len(commits) == 1 else "written")
    return done

DurableDuplicates._commit = watched

class Written(Counter):
    async def ADD(self, ctx, number):
        with (folder / "ledger").open("a") as file:
            file.write("1")
        return number

async def main():
    cache = DurableDuplicates(folder / "calls.db")
    server = await rpc.serve([Written()], address="127.0.0.1", udp=int(sys.argv[3]), tcp=None, duplicates=cache)
    print(server.udp_port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.aclose()
    cache.close()

asyncio.run(main())
"""


class Process:
    """A server of its own."""

    def __init__(self, folder, moment, port=0):
        command = [sys.executable, "-c", CRASHING, str(folder), moment, str(port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def end(self):
        self.process.communicate(timeout=20)
        return self.process.returncode


@pytest.mark.parametrize(
    ("moment", "says", "executed"),
    [
        ("coming", None, 1),  # nobody knows of it: it is executed when it comes again
        ("begun", rpc.SystemErr, 0),  # it may have run, for all that is known
        ("executed", rpc.SystemErr, 1),
        ("written", None, 1),  # the reply was not sent, and is now
        ("never", None, 1),
    ],
)
def test_a_server_that_is_killed_and_started_again_while_its_client_asks(tmp_path, moment, says, executed):
    first = Process(tmp_path, moment)

    async def main():
        async with rpc.connect(V1, "127.0.0.1", proto="udp", port=first.port, timeout=60) as stub:
            call = asyncio.create_task(stub.ADD(7))
            second = None
            if moment != "never":
                assert await asyncio.to_thread(first.process.wait, 20) == -9
                second = Process(tmp_path, "never", first.port)
            (found,) = await asyncio.gather(call, return_exceptions=True)
            return found, second

    found, second = asyncio.run(main())
    if second is None:
        assert first.end() == 0
    else:
        assert second.end() == 0
        first.process.stdin.close()
        first.process.stdout.close()
    ledger = tmp_path / "ledger"
    assert (len(ledger.read_text()) if ledger.exists() else 0) == executed
    if says is None:
        assert found == 7
    else:
        assert isinstance(found, says)
        assert found.maybe_executed
