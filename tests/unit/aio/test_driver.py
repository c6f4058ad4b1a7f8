"""The driver's passes, timer, dispatch and end, against a scripted Host."""

import asyncio
import contextlib
import os

import pytest
import uvloop

from stack.aio.device_driver import MAX_BURSTS, DeviceDriver, monotonic_us
from stack.errors import DeviceGone
from stack.tcp.events import READABLE
from tests.support.aio_fakes import FakeConnection, FakeDevice, FakeHost
from tests.support.aio_nets import SERVER_IP, StackNet


class Handler:
    def __init__(self, on_events=lambda events: None):
        self.calls = []
        self.failures = []
        self.gone = None
        self.act = on_events

    def on_events(self, events):
        self.calls.append(events)
        self.act(events)

    def on_callback_error(self, exc):
        self.failures.append(exc)

    def on_device_gone(self, exc):
        self.gone = exc


class FdDevice(FakeDevice):
    """Readable while bursts wait, through a pipe."""

    def __init__(self):
        super().__init__()
        self.out, self.into = os.pipe()

    def fileno(self):
        return self.out

    def arrive(self, bursts=1):
        self.bursts += bursts
        os.write(self.into, b"x")

    def rx_burst(self, burst):
        rows = super().rx_burst(burst)
        if rows and not self.bursts:
            os.read(self.out, 100)
        return rows

    def close(self):
        os.close(self.out)
        os.close(self.into)


async def settle(rounds=5):
    for _ in range(rounds):
        await asyncio.sleep(0)


async def started(device=None, **kwargs):
    host = FakeHost()
    driver = DeviceDriver(host, asyncio.get_running_loop(), **kwargs)
    device = device or FakeDevice()
    driver.attach(device)
    await settle()
    host.log.clear()
    return host, driver, device


def test_a_burst_is_received_answered_and_flushed_in_one_pass(run):
    async def main():
        host, driver, device = await started()
        conn = FakeConnection(host)
        conn.user = handler = Handler(lambda events: host.log.append("event"))
        host.on_receive = lambda: conn.feed(b"x")
        device.flushes = 0
        device.arrive()
        await settle(2)
        assert host.log == ["receive", "event", "transmit"]
        assert handler.calls == [READABLE]
        assert device.flushes == 1
        driver.close()

    run(main())


def test_a_descriptor_is_read_when_readable_and_no_more_after_close(run):
    async def main():
        device = FdDevice()
        host, driver, _ = await started(device)
        device.arrive(3)
        await asyncio.sleep(0.02)
        assert host.log.count("receive") == 3
        driver.close()
        driver.close()

    run(main())


def test_a_flood_lets_the_loop_have_its_turn(run):
    async def main():
        host, driver, device = await started()
        device.arrive(MAX_BURSTS * 3)
        turns = 0
        while device.bursts:
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 3
        assert host.log.count("receive") == MAX_BURSTS * 3
        driver.close()

    run(main())


@pytest.mark.parametrize("spin_us", [0, 60_000_000])
def test_the_loop_stays_awake_where_frames_come_soon(run, spin_us):
    async def main():
        device = FdDevice()
        _, driver, _ = await started(device, spin_us=spin_us)
        for _ in range(24):  # from 12 us on it doubles each time: then it is a minute, which no machine is too slow for
            device.arrive()
            await settle()
        [port] = driver._ports
        assert port.awake == bool(spin_us)
        device.reads = 0
        await settle(10)
        assert device.reads == 0  # awake: the loop goes round, the device is not asked
        driver.close()
        await settle()
        assert not port.awake

    run(main())


def test_work_outside_a_pass_costs_one_pass_however_many_calls(run):
    async def main():
        host, driver, _ = await started()
        for _ in range(5):
            driver.wake(object())
            driver.schedule()
        await settle(2)
        assert host.log == ["wake"] * 5 + ["transmit"]
        driver.close()

    run(main())


def test_work_inside_a_pass_needs_no_other_pass(run):
    async def main():
        host, driver, device = await started()
        conn = FakeConnection(host)
        conn.user = Handler(lambda events: driver.wake(conn))
        host.on_receive = lambda: conn.feed(b"x")
        device.arrive()
        await settle()
        assert host.log == ["receive", "wake", "transmit"]
        driver.close()

    run(main())


def test_a_handler_that_posts_to_itself_does_not_starve_the_loop(run):
    async def main():
        _, driver, _ = await started()
        handler = Handler(lambda events: driver.post(handler, 1))
        driver.post(handler, 1)
        await settle(10)
        assert 2 <= len(handler.calls) <= 11
        handler.act = lambda events: None
        await settle(2)
        count = len(handler.calls)
        await settle()
        assert len(handler.calls) == count
        driver.close()

    run(main())


def test_the_timer_fires_at_the_deadline_and_not_before(run):
    async def main():
        host, driver, _ = await started()
        fired = asyncio.Event()
        host.on_due = fired.set
        begin = monotonic_us()
        host.deadline = begin + 3_000
        driver.schedule()  # whatever moves a deadline runs in a pass
        await fired.wait()  # FakeHost.on_timer asserts that it is not early
        assert monotonic_us() - begin >= 3_000
        driver.close()

    run(main())


def test_the_timer_follows_a_deadline_that_moves_earlier_and_one_that_moves_later(run):
    async def main():
        host, driver, _ = await started()
        fired = asyncio.Event()
        host.on_due = fired.set
        host.deadline = monotonic_us() + 20_000_000
        driver.schedule()
        await settle(2)
        host.deadline = monotonic_us() + 2_000
        driver.schedule()
        await settle(2)
        host.deadline += 4_000  # the timer fires for nothing once
        await fired.wait()
        assert host.log.count("on_timer") == 1
        driver.close()

    run(main())


def test_a_deadline_in_the_past_is_served_at_once(run):
    async def main():
        host, driver, _ = await started()
        host.deadline = 5
        driver.schedule()
        await settle(2)
        assert host.log[0] == "on_timer"
        driver.close()

    run(main())


def test_a_device_with_a_deadline_is_called_and_then_read(run):
    async def main():
        host, driver, device = await started()
        device.deadline = monotonic_us() + 1_000
        device.bursts = 1  # falls due with the deadline
        driver.schedule()
        await asyncio.sleep(0.02)
        assert len(device.timers) == 1
        assert "receive" in host.log
        driver.close()

    run(main())


def test_a_failing_handler_is_reported_and_hurts_nobody_else(run):
    async def main():
        host, driver, device = await started()
        bad, good = FakeConnection(host), FakeConnection(host)

        def fail(events):
            raise ZeroDivisionError

        bad.user, good.user = Handler(fail), Handler()
        host.on_receive = lambda: (bad.feed(b"x"), good.feed(b"x"))
        device.arrive()
        await settle(2)
        assert [type(exc) for exc in bad.user.failures] == [ZeroDivisionError]
        assert good.user.calls == [READABLE]
        assert not good.user.failures
        assert host.log == ["receive", "transmit"]
        driver.close()

    errors = run(main(), expect_errors=True)
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]


def test_when_the_device_goes_every_handler_and_the_daemon_are_told(run):
    async def main():
        _, driver, device = await started()
        handler = Handler()
        driver.admit(handler)
        device.gone = True
        device.arrive()
        reason = await driver.closed
        assert isinstance(reason, DeviceGone)
        assert handler.gone is reason
        assert device.closed
        driver.schedule()
        await settle()

    [told] = run(main(), expect_errors=True)
    assert told["message"].startswith("unplugged: the host on it has ended")
    assert isinstance(told["exception"], DeviceGone)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_ends_the_program_costs_nobody_an_event(factory, kind):
    loop = factory()
    host, driver, device = loop.run_until_complete(started())
    ends = iter([kind(3)])

    def end(_events):
        for exc in ends:
            raise exc

    bad, good, posted = FakeConnection(host), FakeConnection(host), Handler()
    bad.user, good.user = Handler(end), Handler()
    host.on_receive = lambda: (bad.feed(b"x"), good.feed(b"x"), driver.post(posted, READABLE))
    device.arrive()
    with pytest.raises(kind):
        loop.run_forever()
    loop.run_until_complete(settle())
    assert good.user.calls == [READABLE]
    assert posted.calls == [READABLE]
    assert bad.user.calls == [READABLE, READABLE]  # what it had not come to
    assert not bad.user.failures
    assert host.log == ["receive", "transmit"]
    driver.close()
    loop.close()


def test_a_callback_that_is_cancelled_has_failed(run):
    async def main():
        host, driver, device = await started()
        bad, good = FakeConnection(host), FakeConnection(host)

        def fail(_events):
            raise asyncio.CancelledError

        bad.user, good.user = Handler(fail), Handler()
        host.on_receive = lambda: (bad.feed(b"x"), good.feed(b"x"))
        device.arrive()
        await settle(2)
        assert [type(exc) for exc in bad.user.failures] == [asyncio.CancelledError]
        assert good.user.calls == [READABLE]
        driver.close()

    assert len(run(main(), expect_errors=True)) == 1


def test_giving_up_the_wait_for_the_end_does_not_bring_it(run):
    async def main():
        host, driver, device = await started()
        driver.closed.cancel()
        device.arrive()
        await settle()
        assert "receive" in host.log
        waiter = driver.closed
        driver.close()
        assert await waiter is None
        assert await driver.closed is None

    run(main())


def test_drained_waits_for_the_last_handler(run):
    async def main():
        _, driver, _ = await started()
        await driver.drained()
        first, second = Handler(), Handler()
        driver.admit(first)
        driver.admit(second)
        waiter = asyncio.ensure_future(driver.drained())
        await settle()
        driver.release(first)
        await settle()
        assert not waiter.done()
        driver.release(second)
        await waiter
        driver.close()

    run(main())


def raised_in_child(act):
    """What `act` raises in a forked child, in words."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        text = "nothing"
        try:
            act()
        except BaseException as exc:  # noqa: BLE001  (whatever it is, the parent hears of it)
            text = f"{type(exc).__name__}: {exc}"
        finally:
            os.write(into, text.encode())
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def twice(act):
    with contextlib.suppress(RuntimeError):
        act()
    act()


@pytest.mark.parametrize(
    "act",
    [
        lambda driver: driver.check_open(),
        lambda driver: driver.wake(object()),
        lambda driver: twice(lambda: driver.wake(object())),
        lambda driver: twice(driver.schedule),
        lambda driver: driver.post(Handler(), READABLE),
        lambda driver: driver.run_pass(),
        lambda driver: driver.loop.create_future(),
    ],
    ids=["check_open", "wake", "wake-again", "schedule-again", "post", "pass", "loop"],
)
def test_a_forked_child_is_told_to_make_a_host_of_its_own(run, act):
    async def main():
        host, driver, device = await started()
        driver.schedule()  # as it may be in the moment of the fork
        text = raised_in_child(lambda: act(driver))
        assert text.startswith("RuntimeError: this host was made before os.fork()")
        assert text.endswith("make a new AsyncHost in the child")
        device.arrive()
        await settle()
        assert "receive" in host.log
        driver.close()

    run(main())


def test_closing_in_a_forked_child_takes_nothing_from_the_parent(run):
    async def main():
        device = FdDevice()
        host, driver, _ = await started(device)
        assert raised_in_child(driver.close) == "nothing"
        device.arrive()
        await asyncio.sleep(0.02)
        assert "receive" in host.log
        driver.close()

    run(main())


@pytest.mark.parametrize(
    "act",
    [
        lambda host, _stream, _datagrams: host.active(),
        lambda _host, stream, _datagrams: twice(lambda: stream.write(b"x")),
        lambda _host, stream, _datagrams: twice(stream.close),
        lambda _host, _stream, datagrams: twice(lambda: datagrams.sendto(b"x", (SERVER_IP, 9))),
    ],
    ids=["active", "write", "close", "sendto"],
)
def test_what_a_forked_child_has_of_its_parents_host_cannot_be_used(on_loop, act):
    async def main():
        async with StackNet() as net:
            await net.server.create_server(asyncio.Protocol, port=7)
            stream, _ = await net.client.create_connection(asyncio.Protocol, SERVER_IP, 7)
            datagrams, _ = await net.client.create_datagram_endpoint(asyncio.DatagramProtocol, ("0.0.0.0", 0))
            text = raised_in_child(lambda: act(net.client, stream, datagrams))
            assert text.startswith("RuntimeError: this host was made before os.fork()")

    on_loop(main())
