"""Crashes and restarts of simulated hosts, programs that fail, and what is told of it."""

import asyncio
import contextlib
import random

import pytest

from stack.device.fault_settings import Faults
from stack.device.pcapng import read_pcapng
from stack.errors import ConfigError, DeviceGone, HostClosed
from stack.sim import invariants
from stack.sim.isolated import Deadlock, OutOfTime
from tests.support.worlds import run, say, serve

# -- crashes


def frames_of(net, host):
    return host.link.forward.counts.offered


def test_nothing_leaves_a_crashed_host():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        sent = frames_of(net, b)
        b.crash()
        b.crash()
        assert not b.is_up
        writer.write(b"are you there")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 60)
        assert frames_of(net, b) == sent
        with pytest.raises(HostClosed, match="restart it"):
            b.spawn(serve(b))
        writer.close()

    run(main)


def test_what_is_still_on_its_link_is_lost_with_a_crashed_host():
    class Peer(asyncio.DatagramProtocol):
        heard = 0

        def datagram_received(self, data, addr):
            Peer.heard += 1

    async def main(net):
        a, b = net.add_hosts("a", "b", faults=Faults(delay_us=10_000))
        loop = asyncio.get_running_loop()
        with b.active():
            await loop.create_datagram_endpoint(Peer, local_addr=("0.0.0.0", 9))
        with a.active():
            transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=("b", 9))
        transport.sendto(b"1")
        await asyncio.sleep(1)
        transport.sendto(b"2")
        await asyncio.sleep(0.005)
        a.crash()
        await asyncio.sleep(1)
        assert a.link.is_up

    run(main)
    assert Peer.heard == 1


def test_the_tasks_of_a_crashed_host_are_cancelled_and_no_others():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        ended = []

        async def leaf(name):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                ended.append(name)
                raise

        async def root(name):
            async with asyncio.TaskGroup() as group:
                group.create_task(leaf(name))

        async def late():
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.create_task(leaf("too late"))

        tasks = [a.spawn(root("a")), a.spawn(late()), b.spawn(root("b"))]
        await asyncio.sleep(1)
        a.crash()
        await asyncio.sleep(1)
        assert [task.done() for task in tasks] == [True, True, False]
        assert ended == ["a"]  # the task that came too late never began

    run(main)


def test_who_waits_on_a_crashed_host_from_outside_is_told():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
        asyncio.get_running_loop().call_later(1, a.crash)
        with pytest.raises(DeviceGone, match="host a has crashed"):
            await reader.read()
        writer.close()
        assert isinstance(await a.stack.driver.closed, DeviceGone)

    run(main)


def test_a_host_crashes_within_a_callback_of_its_own_and_starts_again():
    async def main(net):
        a, b = net.add_hosts("a", "b")

        class Bomb(asyncio.Protocol):
            def connection_lost(self, exc):
                lost.append(exc)

            def data_received(self, data):
                b.restart()

        lost = []
        with b.active():
            await asyncio.get_running_loop().create_server(Bomb, port=7)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
        writer.write(b"x")
        await asyncio.sleep(0.1)
        assert b.is_up
        assert b.lives == 2
        assert len(lost) == 1
        writer.write(b"y")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        b.boot(serve)
        await asyncio.sleep(0.1)
        assert await say(a, "b") == b"hello"

    run(main)


def test_a_restarted_host_resets_what_it_knows_nothing_of_and_serves_again():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
        b.restart()
        assert b.address == "10.0.0.2"
        assert b.lives == 2
        writer.write(b"old")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert await say(a, "b") == b"hello"

    run(main)


def test_what_a_host_was_booted_with_ends_the_simulation_when_it_fails():
    async def broken(host):
        await asyncio.sleep(5)
        raise ZeroDivisionError

    async def main(net):
        (host,) = net.add_hosts("a")
        host.boot(broken)
        await asyncio.sleep(100)

    with pytest.raises(ZeroDivisionError) as failed:
        run(main, seed=9)
    assert any("seed 9, at 5000000 us" in note for note in failed.value.__notes__)


def test_what_breaks_because_its_host_crashed_ends_nothing():
    async def main(net):
        a, b = net.add_hosts("a", "b")

        async def fragile(host):
            try:
                await serve(host)
            except asyncio.CancelledError:
                raise OSError("my server is gone") from None

        b.boot(fragile)
        await asyncio.sleep(1)
        b.crash()
        await asyncio.sleep(1)
        b.restart()
        await asyncio.sleep(1)
        return await say(a, "b")

    assert run(main) == b"hello"


# -- failures


def test_a_protocol_that_raises_hurts_its_own_connection_only():
    class Bad(asyncio.Protocol):
        def data_received(self, data):
            raise ZeroDivisionError

    async def main(net):
        a, b = net.add_hosts("a", "b")
        told = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(type(context["exception"])))
        b.boot(serve)
        with b.active():
            await loop.create_server(Bad, port=8)
        await asyncio.sleep(1)
        with a.active():
            good_reader, good = await asyncio.open_connection("b", 7)
            bad_reader, bad = await asyncio.open_connection("b", 8)
        bad.write(b"x")
        assert await bad_reader.read() == b""
        good.write(b"still here")
        assert await good_reader.readexactly(10) == b"still here"
        for writer in (good, bad):
            writer.close()
        return told

    assert run(main) == [ZeroDivisionError]


def test_a_failure_carries_the_seed_the_time_and_the_last_events():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        await say(a, "b")
        net.partition(a, b)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failed:
        run(main, seed=31)
    (note,) = failed.value.__notes__
    assert note.startswith("seed 31, at 1")
    assert "partition a | b" in note
    assert "a.0 ->" in note


def test_invariants_are_checked_after_every_event_unless_told_otherwise(monkeypatch):
    def broken(self, conn, was, now):
        raise AssertionError("a planted violation")

    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        return await say(a, "b")

    monkeypatch.setattr(invariants.CheckedHost, "_compare", broken)
    with pytest.raises(AssertionError, match="planted") as failed:
        run(main)
    assert len(failed.value.__notes__) == 1
    assert run(main, invariants=False) == b"hello"


def test_the_first_failure_is_the_one_that_is_told():
    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()

    async def main(net):
        asyncio.create_task(stubborn())  # noqa: RUF006  (the loop keeps it)
        await asyncio.sleep(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failed:
        run(main)
    assert any("and then: nothing is left to do" in note for note in failed.value.__notes__)


def test_what_is_left_running_is_cancelled_in_order_and_its_failures_told():
    async def main(net):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(type(context["exception"])))

        async def left(number):
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append(number)
                if number == 2:
                    raise ZeroDivisionError

        tasks = [asyncio.create_task(left(number)) for number in range(4)]
        await asyncio.sleep(1)
        return len(tasks)

    ended, told = [], []
    assert run(main) == 4
    assert ended == [0, 1, 2, 3]
    assert told == [ZeroDivisionError]


def test_a_capture_is_written_however_it_ends(tmp_path):
    async def main(net, *, fail):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        await say(a, "b")
        net.write_capture(tmp_path / "a.pcapng", a)
        if fail:
            await asyncio.get_running_loop().create_future()

    run(lambda net: main(net, fail=False), capture=tmp_path / "good.pcapng")
    with pytest.raises(Deadlock):
        run(lambda net: main(net, fail=True), capture=tmp_path / "bad.pcapng")
    sizes = []
    for name in ("a", "good", "bad"):
        with (tmp_path / f"{name}.pcapng").open("rb") as file:
            sizes.append(len(list(read_pcapng(file).packets)))
    assert 10 < sizes[0] < sizes[1] <= sizes[2]


def test_memory_of_the_watch_is_bounded(monkeypatch):
    monkeypatch.setattr(invariants, "SIDES_KEPT", 8)

    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
        for _ in range(40):
            assert await say(a, "b") == b"hello"
        writer.write(b"still here")  # forgotten, not broken
        assert await reader.readexactly(10) == b"still here"
        writer.close()
        return len(net.watch._sides)

    assert run(main) <= 9


# -- a limit of virtual time, and what is made before a run


def test_no_time_passes_beyond_the_end_that_was_set():
    async def main(net):
        net.loop.end_at = 100_500_000
        try:
            for _ in range(1000):
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(60)  # tasks that are cancelled may still take some
            ended.append(net.time)

    ended = []
    with pytest.raises(OutOfTime, match=r"over at 100000000 us .*\n  Task-1 in .*main"):
        run(main)
    assert ended == [160.0]


def test_the_network_does_not_go_on_beyond_the_end_either():
    async def main(net):
        a, _ = net.add_hosts("a", "b")
        net.loop.end_at = 2_000_000
        with a.active():
            await asyncio.open_connection("10.0.0.9", 7)  # nobody: ARP asks ten times

    with pytest.raises(OutOfTime, match=r"over at [12]\d{6} us"):
        run(main)


def test_a_task_that_cannot_be_cancelled_does_not_keep_a_failed_run_for_ever():
    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async def main(net):
        task = asyncio.create_task(stubborn())
        net.loop.end_at = 10_000_000
        await task

    with pytest.raises(OutOfTime):
        run(main)


def test_an_empty_network_takes_another_seed():
    async def main(net):
        drawn = random.random(), net.rng.random()
        net.reset(seed=2, invariants=False)
        again = random.random(), net.rng.random()
        assert net.watch is None
        net.add_hosts("a")
        with pytest.raises(ConfigError, match="before the first"):
            net.reset(seed=3)
        return drawn, again

    async def plain(net):
        return random.random(), net.rng.random()

    assert run(main, seed=1) == (run(plain, seed=1), run(plain, seed=2))
