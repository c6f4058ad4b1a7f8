"""The loop of a simulation: virtual time, what it refuses, and what it says when nothing will happen any more."""

import asyncio
import contextlib
import gc
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stack.device.fault_settings import Faults
from stack.sim import isolated
from stack.sim.isolated import Deadlock, NotSimulated
from stack.sim.network import SimulationError
from tests.support.worlds import run

ROOT = Path(__file__).parents[3]


def test_a_year_takes_no_time():
    async def main(net):
        await asyncio.sleep(365 * 24 * 3600)
        return net.time, asyncio.get_running_loop().time()

    begin = time.monotonic()
    assert run(main) == (31_536_000.0, 31_536_000.0)
    assert time.monotonic() - begin < 20  # a machine that stands still for long is no failure


def test_computing_takes_no_virtual_time():
    async def main(net):
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for _ in range(100):
            sum(range(1_000))
            await asyncio.sleep(0)
        return loop.time() - begin

    assert run(main) == 0


@pytest.mark.parametrize("delay", [1e-7, 1e-6, 1.5e-6, 0.1, 1 / 3, 1e5 + 0.1])
def test_timers_are_never_early(delay):
    async def main(net):
        loop = asyncio.get_running_loop()
        due = []
        for begin in (0.0, 0.1, 0.3, 1_000_000.7):
            await asyncio.sleep(begin)
            start = net.network.clock.now
            await asyncio.sleep(delay)
            due.append(net.network.clock.now - start)
        assert loop.time() == net.network.clock.now / 1e6
        return due

    for elapsed in run(main):
        assert delay * 1e6 - 0.1 <= elapsed < delay * 1e6 + 1


def test_timers_fire_in_order_and_a_cancelled_one_never():
    async def main(net):
        loop = asyncio.get_running_loop()
        fired = []
        for delay in (0.3, 0.1, 0.2):
            loop.call_later(delay, fired.append, delay)
        loop.call_later(0.15, fired.append, "never").cancel()
        await asyncio.sleep(0.25)
        assert fired == [0.1, 0.2]
        await asyncio.sleep(0.05)
        return fired

    assert run(main) == [0.1, 0.2, 0.3]


def test_a_timer_set_by_a_callback_of_the_network_is_not_passed_over():
    class Late(asyncio.Protocol):
        def data_received(self, data):
            loop = asyncio.get_running_loop()
            loop.call_later(0.001, at.append, loop.time() + 0.001)
            loop.call_later(0.001, lambda: at.append(loop.time()))

    at = []

    async def main(net):
        a, b = net.add_hosts("a", "b")
        with b.active():
            await asyncio.get_running_loop().create_server(Late, port=7)
        with a.active():
            _, writer = await asyncio.open_connection("b", 7)
        writer.write(b"x")
        await asyncio.sleep(3600)
        writer.close()

    run(main)
    assert len(at) == 2
    assert at[0] == at[1] < 1


def test_timeouts_and_task_groups():
    async def main(net):
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(12 * 3600):
                await asyncio.Event().wait()
        assert loop.time() == 12 * 3600
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 10)
        done = []

        async def work(delay):
            await asyncio.sleep(delay)
            done.append(delay)
            if delay == 3:
                raise ZeroDivisionError

        with pytest.raises(ExceptionGroup) as failed:
            async with asyncio.TaskGroup() as group:
                for delay in (5, 3, 1):
                    group.create_task(work(delay))
        assert [type(error) for error in failed.value.exceptions] == [ZeroDivisionError]
        return done, loop.time()

    assert run(main) == ([1, 3], 12 * 3600 + 10 + 3)


def test_tasks_in_a_set_have_the_order_of_their_numbers():
    async def main(net):
        tasks = [asyncio.create_task(asyncio.sleep(1), name=f"t{number}") for number in range(5)]
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in done], [hash(task) for task in tasks]

    names, hashes = run(main)
    assert hashes == list(range(hashes[0], hashes[0] + 5))
    expected = set()
    for number in hashes:
        expected.add(number)  # the same insertions, of ints that hash to themselves
    assert names == [f"t{number - hashes[0]}" for number in expected]


def test_a_task_factory_of_the_programs_own_is_used():
    async def main(net):
        loop = asyncio.get_running_loop()
        made = []

        def factory(loop, coro, *, context=None):
            made.append(coro)
            return asyncio.Task(coro, loop=loop, context=context)

        loop.set_task_factory(factory)
        await asyncio.create_task(asyncio.sleep(1))
        loop.set_task_factory(None)
        return len(made), len(loop.tasks)

    assert run(main) == (1, 1)


# -- what is refused


@pytest.mark.parametrize(
    "act",
    [
        lambda loop, sock: loop.add_reader(sock, print),
        lambda loop, sock: loop.add_writer(sock, print),
        lambda loop, sock: loop.add_signal_handler(signal.SIGTERM, print),
        lambda loop, sock: loop.sock_recv(sock, 1),
        lambda loop, sock: loop.sock_recv_into(sock, bytearray(1)),
        lambda loop, sock: loop.sock_recvfrom(sock, 1),
        lambda loop, sock: loop.sock_sendall(sock, b"x"),
        lambda loop, sock: loop.sock_sendto(sock, b"x", ("10.0.0.1", 7)),
        lambda loop, sock: loop.sock_accept(sock),
        lambda loop, sock: loop.create_unix_connection(asyncio.Protocol, "/tmp/there-is-none"),
        lambda loop, sock: loop.create_unix_server(asyncio.Protocol, "/tmp/there-is-none"),
        lambda loop, sock: loop.connect_read_pipe(asyncio.Protocol, sock),
        lambda loop, sock: loop.connect_write_pipe(asyncio.Protocol, sock),
        lambda loop, sock: asyncio.create_subprocess_exec("true"),
        lambda loop, sock: asyncio.create_subprocess_shell("true"),
        lambda loop, sock: loop._add_reader(sock.fileno(), print),
    ],
)
def test_what_needs_the_kernel_is_refused(act):
    async def main(net):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            with pytest.raises(NotSimulated, match="simulation"):
                result = act(asyncio.get_running_loop(), ours)
                if asyncio.iscoroutine(result):
                    await result

    run(main)


def test_a_connection_without_a_host_never_reaches_the_kernel():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)

        async def main(net):
            net.add_hosts("a", "b")
            with pytest.raises(NotSimulated, match=r"host\.active"):
                await asyncio.open_connection(*listening.getsockname())
            with pytest.raises(NotSimulated, match=r"host\.active"):
                await asyncio.start_server(print, port=7)
            with pytest.raises(NotSimulated, match=r"host\.active"):
                await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, ("0.0.0.0", 7))

        run(main)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_function_for_the_executor_runs_in_place():
    async def main(net):
        loop = asyncio.get_running_loop()
        thread = threading.get_ident()
        assert await asyncio.to_thread(threading.get_ident) == thread
        assert await loop.run_in_executor(None, divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 7, 0)
        return loop.time()

    assert run(main) == 0


def test_a_call_from_another_thread_is_refused_in_that_thread():
    async def main(net):
        loop = asyncio.get_running_loop()
        raised = []

        def call():
            try:
                loop.call_soon_threadsafe(print)
            except NotSimulated as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        called = []
        loop.call_soon_threadsafe(called.append, 1)
        await asyncio.sleep(0)
        return len(raised), called

    assert run(main) == (1, [1])


def test_ctrl_c_ends_the_program_as_with_asyncio():
    ended = []

    async def main(net):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(3600)
        finally:
            ended.append(net.time)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert ended == [0]


def test_no_simulation_within_a_running_loop():
    async def outer():
        with pytest.raises(RuntimeError, match="running event loop"):
            run(None)

    asyncio.run(outer())


def test_the_function_is_asked_for_and_not_its_coroutine():
    async def main(net):
        pass

    with pytest.raises(TypeError, match=r"run\(main, seed=1\)"):
        run(main(None))


# -- when nothing happens any more


def test_a_deadlock_names_who_waits_and_where():
    async def forever(event):
        await event.wait()

    async def main(net):
        (host,) = net.add_hosts("alice")
        host.spawn(forever(asyncio.Event()), name="reader")
        await asyncio.sleep(2)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock) as failed:
        run(main, seed=17)
    text = str(failed.value)
    assert text.startswith("nothing is left to do at 2000000 us (seed 17)")
    assert "supervise" not in text  # no frames of ours before the program's
    assert "Task-1 in test_a_deadlock_names_who_waits_and_where.<locals>.main (test_virtual_loop.py:" in text
    reader = next(line for line in text.splitlines() if "reader in" in line)
    assert "forever (test_virtual_loop.py:" in reader
    assert "> Event.wait (locks.py:" in reader
    assert reader.endswith("on alice")
    assert any("seed 17" in note for note in failed.value.__notes__)


def test_a_sleep_without_end_is_a_deadlock_too():
    async def main(net):
        await asyncio.sleep(float("inf"))

    with pytest.raises(Deadlock):
        run(main)


def test_tasks_are_cancelled_after_a_deadlock_even_if_they_sleep_then():
    ended = []

    async def main(net):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(5)
            ended.append(net.time)

    with pytest.raises(Deadlock):
        run(main)
    assert ended == [5]


def test_a_task_that_cannot_be_cancelled_is_not_waited_for_for_ever():
    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()

    async def main(net):
        task = asyncio.create_task(stubborn(), name="stubborn")
        await asyncio.sleep(1)
        assert not task.done()

    with pytest.raises(Deadlock, match="stubborn in"):
        run(main)


def test_tasks_that_wake_each_other_for_ever_are_an_error(monkeypatch):
    monkeypatch.setattr(isolated, "MAX_ROUNDS", 1_000)

    async def main(net):
        while True:
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match="no end of callbacks at 0 us"):
        run(main)


def test_an_event_wakes_a_task_at_its_own_instant():
    async def main(net):
        a, b = net.add_hosts("a", "b", faults=Faults(delay_us=1_000))
        with b.active():
            server = await asyncio.start_server(lambda reader, writer: writer.close(), port=7)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
            connected = net.time
            await reader.read()
            writer.close()
        server.close()
        return connected, net.time

    connected, ended = run(main)
    assert connected == pytest.approx(0.008)  # ARP both ways, then SYN and SYN-ACK, over two links each
    assert ended == pytest.approx(0.012)  # ACK, then FIN


def test_random_is_the_seeds_and_given_back():
    async def main(net):
        return random.random(), net.rng.random()

    state = random.getstate()
    assert run(main, 1) == run(main, 1) != run(main, 2)
    assert random.getstate() == state
    assert gc.isenabled()


def test_garbage_is_collected_by_the_loop():
    class Knot:
        def __init__(self):
            self.me = self

        def __del__(self):
            seen.append(1)

    seen = []

    async def main(net):
        assert not gc.isenabled()
        Knot()
        for _ in range(isolated.GARBAGE_EVERY + 1):
            await asyncio.sleep(0.001)
        return len(seen)

    assert run(main) == 1


def test_the_loop_runs_in_debug_mode():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        with b.active():
            await asyncio.start_server(lambda reader, writer: writer.close(), port=7)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
            assert await reader.read() == b""
            writer.close()
        return asyncio.get_running_loop().get_debug()

    assert run(main, debug=True)


def test_it_is_loaded_only_when_asked_for():
    code = "import sys, stack.sim.network; assert 'asyncio' not in sys.modules; import stack; stack.sim.run"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
