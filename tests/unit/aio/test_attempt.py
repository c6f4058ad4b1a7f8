"""Attempt: a connection before it has a protocol, and the order in which that is told of things."""

import asyncio
import errno

import pytest

from stack.aio.attempt import Attempt
from stack.aio.device_driver import DeviceDriver
from stack.aio.transports import StackTransport
from stack.errors import ConnectionReset, DeviceGone, HostClosed
from tests.support.aio_fakes import FakeConnection, FakeDevice, FakeHost


class Recorder(asyncio.Protocol):
    def __init__(self):
        self.log = []

    def connection_made(self, transport):
        self.log.append("made")

    def data_received(self, data):
        self.log.append(data)

    def eof_received(self):
        self.log.append("eof")

    def connection_lost(self, exc):
        self.log.append(("lost", exc))


class Bench:
    """A driver and one Attempt on a scripted connection."""

    def __init__(self):
        self.host = FakeHost()
        self.driver = DeviceDriver(self.host, asyncio.get_running_loop())
        self.device = FakeDevice()
        self.driver.attach(self.device)
        self.conn = FakeConnection(self.host)
        self.attempt = Attempt(self.driver, self.conn)

    async def step(self):
        """A pass, and what it posts."""
        self.driver.schedule()
        for _ in range(4):
            await asyncio.sleep(0)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.driver.close()


@pytest.mark.parametrize("when", ["one pass", "two passes"])
def test_whoever_waits_goes_on_before_there_is_data(run, when):
    async def main():
        with Bench() as b:
            protocol = Recorder()

            async def opener():
                await b.attempt.connected()
                transport, made = await b.attempt.attach(lambda: protocol, None)
                assert made is protocol
                assert isinstance(transport, StackTransport)
                protocol.log.append("returned")

            task = asyncio.ensure_future(opener())
            await asyncio.sleep(0)
            b.conn.connected()
            if when == "two passes":
                b.driver.schedule()
            b.conn.feed(b"hello")
            b.conn.feed_eof()
            await b.step()
            await task
            await b.step()
            assert protocol.log[:4] == ["made", "returned", b"hello", "eof"]

    run(main())


def test_a_reset_right_after_the_answer_is_told_after_the_connection(run):
    async def main():
        with Bench() as b:
            protocol = Recorder()
            b.conn.connected()
            b.conn.end(ConnectionReset("gone"))
            await asyncio.gather(b.attempt.connected(), b.step())
            assert b.conn.user is None
            b.attempt.adopt(protocol)
            assert protocol.log == ["made"]
            await b.step()
            assert protocol.log[0] == "made"
            assert isinstance(protocol.log[1][1], ConnectionReset)
            assert not b.driver.handlers

    run(main())


def test_a_refused_attempt_raises_and_leaves_nothing(run):
    async def main():
        with Bench() as b:
            b.conn.end(ConnectionReset("no"))
            with pytest.raises(ConnectionResetError):
                await asyncio.gather(b.attempt.connected(), b.step())
            assert b.conn.user is None
            assert not b.driver.handlers

    run(main())


@pytest.mark.parametrize("answered", [False, True])
def test_a_cancelled_attempt_is_aborted(run, answered):
    async def main():
        with Bench() as b:
            task = asyncio.ensure_future(b.attempt.connected())
            await asyncio.sleep(0)
            if answered:  # the answer and the cancellation meet
                b.attempt.on_events(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            assert b.conn.aborted == 1
            await b.step()
            assert not b.driver.handlers

    run(main())


def test_a_factory_that_raises_aborts_the_connection(run):
    async def main():
        with Bench() as b:
            b.conn.connected()
            await asyncio.gather(b.attempt.connected(), b.step())

            def broken():
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await b.attempt.attach(broken, None)
            assert b.conn.aborted == 1
            await b.step()
            assert not b.driver.handlers

    run(main())


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize(("gone", "error"), [(True, DeviceGone), (False, HostClosed)])
def test_the_end_of_the_host_is_told_to_who_waits_or_adopts(run, answered, gone, error):
    async def main():
        b = Bench()
        waiting = asyncio.ensure_future(b.attempt.connected())
        if answered:
            b.conn.connected()
            await b.step()
        else:
            await asyncio.sleep(0)
        b.device.gone = gone
        b.device.on_readable()
        await asyncio.sleep(0)
        b.driver.close()
        if answered:
            await waiting
            with pytest.raises(error):
                b.attempt.adopt(Recorder())
        else:
            with pytest.raises(error):
                await waiting

    assert len(run(main(), expect_errors=True)) == gone


def test_who_waits_for_a_connection_of_a_host_that_closes_is_told_why(run):
    async def main():
        with Bench() as b:
            waiting = asyncio.ensure_future(b.attempt.connected())
            await asyncio.sleep(0)
            b.attempt.close()
            with pytest.raises(HostClosed) as info:
                await waiting
            assert info.value.errno == errno.ENETDOWN
            assert b.conn.aborted

    run(main())


def test_an_adopted_connection_is_not_the_attempts_to_abort(run):
    async def main():
        with Bench() as b:
            b.conn.connected()
            await asyncio.gather(b.attempt.connected(), b.step())
            b.attempt.adopt(Recorder())
            b.attempt.abort()
            assert b.conn.aborted == 0

    run(main())
