"""StackTransport against a scripted connection: what cannot be provoked with two real hosts, and orders of events."""

import asyncio
import weakref

import pytest

from stack.aio.device_driver import DeviceDriver
from stack.aio.transports import StackTransport
from stack.errors import BrokenPipe, ConnectionReset, DeviceGone
from tests.support.aio_fakes import FakeConnection, FakeDevice, FakeHost


class Recorder(asyncio.Protocol):
    def __init__(self, keep_open=False):
        self.keep_open = keep_open
        self.events = []
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")

    def data_received(self, data):
        self.events.append(data)

    def eof_received(self):
        self.events.append("eof")
        return self.keep_open

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append(("lost", exc))


def begin(driver, transport):
    """What the pass does in which a connection was accepted."""
    driver.start(transport)
    driver._dispatch([])


class Bench:
    """A driver with one fake connection under a transport, past `connection_made`."""

    def __init__(self, protocol=None, send_buffer=1 << 20):
        self.host = FakeHost()
        self.driver = DeviceDriver(self.host, asyncio.get_running_loop())
        self.device = FakeDevice()
        self.driver.attach(self.device)
        self.conn = FakeConnection(self.host, send_buffer)
        self.protocol = protocol or Recorder()
        self.transport = StackTransport(self.driver, self.conn, self.protocol)
        begin(self.driver, self.transport)

    async def step(self):
        """One pass, and what it posts."""
        self.driver.schedule()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.driver.close()


def test_all_chunks_of_a_burst_come_as_one(run):
    async def main():
        with Bench() as b:
            b.conn.feed(b"ab")
            b.conn.feed(b"cd")
            await b.step()
            assert b.protocol.events == ["made", b"abcd"]

    run(main())


def test_data_stays_in_the_connection_while_reading_is_paused(run):
    async def main():
        with Bench() as b:
            b.transport.pause_reading()
            assert not b.transport.is_reading()
            b.conn.feed(b"x")
            b.conn.feed_eof()
            await b.step()
            assert list(b.conn.inbox) == [b"x"]
            b.transport.resume_reading()
            assert b.protocol.events == ["made"]  # never from within resume_reading
            await b.step()
            assert b.protocol.events[:3] == ["made", b"x", "eof"]

    run(main())


def test_pausing_within_data_received_holds_back_the_end(run):
    async def main():
        class Pauser(Recorder):
            def data_received(self, data):
                super().data_received(data)
                self.transport.pause_reading()

        with Bench(Pauser(keep_open=True)) as b:
            b.conn.feed(b"x")
            b.conn.feed_eof()
            await b.step()
            assert b.protocol.events == ["made", b"x"]
            b.transport.resume_reading()
            await b.step()
            assert b.protocol.events == ["made", b"x", "eof"]
            assert not b.transport.is_closing()

    run(main())


def test_a_normal_end_does_not_overtake_unread_data(run):
    async def main():
        with Bench() as b:
            b.transport.write_eof()
            b.transport.pause_reading()
            b.conn.feed(b"last words")
            b.conn.feed_eof()
            b.conn.end()
            await b.step()
            assert b.protocol.events == ["made"]
            b.transport.resume_reading()
            await b.step()
            assert b.protocol.events == ["made", b"last words", "eof", ("lost", None)]
            assert not b.driver.handlers

    run(main())


def test_data_and_reset_in_one_burst_come_in_that_order(run):
    async def main():
        with Bench() as b:
            error = ConnectionReset("reset")
            b.conn.feed(b"x")
            b.conn.end(error)
            await b.step()
            assert b.protocol.events == ["made", b"x", ("lost", error)]
            assert not b.driver.handlers

    run(main())


def test_writing_pauses_beyond_the_send_buffer_and_resumes_when_it_drains(run):
    async def main():
        with Bench(send_buffer=1000) as b:
            b.transport.set_write_buffer_limits(high=100, low=10)
            b.transport.write(bytes(1100))
            assert b.protocol.events == ["made"]
            b.transport.write(b"x")
            assert b.protocol.events == ["made", "pause"]
            assert b.transport.get_write_buffer_size() == 101
            b.transport.write(b"x")
            assert b.protocol.events == ["made", "pause"]
            b.conn.ack(80)
            await b.step()
            assert b.protocol.events == ["made", "pause"]
            b.conn.ack(200)
            await b.step()
            assert b.protocol.events == ["made", "pause", "resume"]

    run(main())


def test_close_waits_for_what_exceeds_the_send_buffer(run):
    async def main():
        with Bench(send_buffer=1000) as b:
            b.transport.write(bytes(1500))
            b.transport.close()
            await b.step()
            assert not b.conn.closed  # more may be written until then
            assert b.protocol.events == ["made"]
            b.conn.ack(600)
            await b.step()
            assert b.conn.closed == 1
            assert b.protocol.events == ["made", ("lost", None)]
            assert b.transport in b.driver.handlers  # the connection still delivers
            b.conn.end()
            await b.step()
            assert not b.driver.handlers

    run(main())


def test_the_connection_is_released_when_the_application_is_told(run):
    async def main():
        with Bench() as b:
            b.transport.close()
            assert not b.conn.released
            await b.step()
            assert b.protocol.events == ["made", ("lost", None)]
            assert b.conn.released == 1

    run(main())


def test_a_mutable_buffer_may_be_reused_after_write(run):
    async def main():
        with Bench() as b:
            data = bytearray(b"abc")
            b.transport.write(data)
            b.transport.write(memoryview(data)[1:])
            data[:] = b"xyz"
            assert b.conn.sent == b"abcbc"

    run(main())


@pytest.mark.parametrize("wrong", ["text", 5, None])
def test_only_bytes_can_be_written(run, wrong):
    async def main():
        with Bench() as b, pytest.raises(TypeError):
            b.transport.write(wrong)

    run(main())


def test_an_error_while_pausing_is_reported_and_harmless(run):
    async def main():
        class Bad(Recorder):
            def pause_writing(self):
                raise ZeroDivisionError

        with Bench(Bad(), send_buffer=10) as b:
            b.transport.set_write_buffer_limits(high=0)
            b.transport.write(bytes(11))
            await b.step()
            assert not b.transport.is_closing()

    errors = run(main(), expect_errors=True)
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_an_error_in_a_callback_ends_the_connection(run, method):
    async def main():
        with Bench() as b:
            error = ZeroDivisionError()

            def fail(*args):
                raise error

            setattr(b.protocol, method, fail)
            b.conn.feed(b"x")
            b.conn.feed_eof()
            await b.step()
            assert b.conn.closed == b.conn.released == 1
            assert b.protocol.events[-1] == ("lost", error)
            assert b.protocol.events.count(("lost", error)) == 1

    assert len(run(main(), expect_errors=True)) == 1


def test_an_error_while_the_connection_ends_leaves_nothing_behind(run):
    async def main():
        with Bench() as b:

            def fail(data):
                raise ZeroDivisionError

            b.protocol.data_received = fail
            b.conn.feed(b"x")
            b.conn.end(ConnectionReset("reset"))
            await b.step()
            assert b.protocol.events[0] == "made"
            assert isinstance(b.protocol.events[1][1], ZeroDivisionError)
            assert len(b.protocol.events) == 2
            assert not b.driver.handlers

    assert len(run(main(), expect_errors=True)) == 1


def test_abort_after_connection_lost_does_not_cut_off_what_is_still_sent(run):
    async def main():
        with Bench() as b:
            b.transport.write(b"last words")
            b.transport.close()
            await b.step()
            assert b.protocol.events == ["made", ("lost", None)]
            b.transport.abort()
            await b.step()
            assert not b.conn.aborted

    run(main())


def test_an_error_in_connection_lost_still_detaches(run):
    async def main():
        detached = []

        class Server:
            def detach(self, transport):
                detached.append(transport)

        class Bad(Recorder):
            def connection_lost(self, exc):
                raise ZeroDivisionError

        with Bench() as b:
            conn = FakeConnection(b.host)
            transport = StackTransport(b.driver, conn, Bad(), server=Server())
            begin(b.driver, transport)
            transport.abort()
            await b.step()
            assert detached == [transport]

    assert len(run(main(), expect_errors=True)) == 1


def test_device_gone_is_told_once(run):
    async def main():
        with Bench() as b:
            b.device.gone = True
            b.device.on_readable()
            await b.step()
            kind, exc = b.protocol.events[-1]
            assert kind == "lost"
            assert isinstance(exc, DeviceGone)
            assert [event[0] for event in b.protocol.events] == ["m", "lost"]
            b.transport.abort()
            b.transport.close()
            b.transport.write(b"x")
            await b.step()
            assert len(b.protocol.events) == 2

    assert len(run(main(), expect_errors=True)) == 1


def test_the_protocol_is_not_kept_until_tcp_has_ended_the_connection(run):
    async def main():
        with Bench() as b:
            conn, protocol = FakeConnection(b.host), Recorder()
            transport = StackTransport(b.driver, conn, protocol)
            begin(b.driver, transport)
            transport.abort()
            kept = weakref.ref(protocol)
            del protocol
            assert kept() is not None
            await b.step()
            assert transport in b.driver.handlers
            assert kept() is None

    run(main())


def test_many_writes_to_a_closed_connection_are_logged(run, caplog):
    async def main():
        with Bench() as b:
            b.transport.abort()
            for _ in range(4):
                b.transport.write(b"x")
            assert not caplog.records
            b.transport.write(b"x")
            assert len(caplog.records) == 1
            assert not b.conn.sent

    run(main())


def test_an_error_names_what_the_connection_said(run):
    async def main():
        with Bench() as b:
            error = BrokenPipe("gone")
            b.transport.close()
            b.conn.end(error)
            await b.step()
            assert b.protocol.events == ["made", ("lost", error)]

    run(main())
