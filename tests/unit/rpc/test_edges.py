"""Where calls, connections and processes end: nothing waits for ever, nothing is left over, no error is a bare one."""

import asyncio
import socket
import threading

import pytest

from stack import rpc
from stack.device.fault_settings import Faults
from stack.errors import AddressInUse, BrokenPipe, ConfigError
from stack.rpc import session
from stack.rpc.caller import RpcClient
from stack.rpc.channel import Channel
from stack.rpc.client import Way
from stack.rpc.dispatch import TCP
from stack.rpc.message import build_call
from stack.rpc.record import RecordFault, mark_of
from stack.rpc.settings import ClientSettings
from stack.rpc.transports import DatagramPort, StreamChannel, dial_tcp, dial_udp
from stack.sim import run
from tests.support.rpc_counter import V1, Counter
from tests.support.rpc_joined import PORT, joined, simulated

NULL = build_call(7, V1.program, 1, 0)


# -- what a caller may say


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e10, "1", True])
def test_a_timeout_is_a_number_of_seconds_or_nothing_is_sent(proto, timeout):
    async def main(net, one, other):
        async with joined(one, other, proto) as (stub, program, _):
            with pytest.raises(ConfigError, match=r"timeout is .*: use seconds, more than 0"):
                await stub.ADD(1, timeout=timeout)
            with pytest.raises(ConfigError, match="timeout is"):
                rpc.connect(V1, "198.18.0.2", timeout=timeout)
            await asyncio.sleep(1)
            assert program.seen == []
            assert stub._call.stats["in_flight"] == 0

    simulated(main)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_long_timeouts_are_no_trouble_to_the_kernel(proto):
    async def main():
        async with await rpc.serve([Counter()], register=False) as server:
            port = server.tcp_port if proto == "tcp" else server.udp_port
            async with rpc.connect(V1, "127.0.0.1", proto=proto, port=port, timeout=1e9) as stub:
                for number, timeout in enumerate((1e9, 3e6, None), 1):
                    assert await stub.ADD(number, timeout=timeout) == number
                assert stub._call.stats["in_flight"] == 0

    asyncio.run(main())


@pytest.mark.parametrize("address", ["a" * 70 + ".test", "a..b", "x\0y"])
def test_a_name_that_cannot_be_one_is_an_error_of_ours(address):
    async def main():
        with pytest.raises(rpc.Unreachable, match="has not run"):
            async with rpc.connect(V1, address, port=1):
                pass

    asyncio.run(main())


@pytest.mark.parametrize("port", [0, -1, 65_536, "111"])
def test_a_port_that_cannot_be_one_is_said_at_once(port):
    async def main():
        with pytest.raises(ConfigError, match="use a number from 1 to 65535"):
            rpc.connect(V1, "127.0.0.1", port=port)

    asyncio.run(main())


def test_another_loop_s_client_is_not_used():
    async def main():
        found = []

        async def call(stub):
            try:
                await stub.ADD(1)
            except ConfigError as error:
                found.append(error)

        async with (
            await rpc.serve([Counter()], register=False) as server,
            rpc.connect(V1, "127.0.0.1", port=server.tcp_port) as stub,
        ):
            thread = threading.Thread(target=lambda: asyncio.run(call(stub)))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert "another event loop" in str(found[0])
            assert await stub.ADD(2) == 1

    asyncio.run(main())


@pytest.mark.parametrize(("proto", "says"), [("udp", "sent 4 times"), ("tcp", "sent 1 time")])
def test_a_timeout_says_how_long_it_was_and_what_was_tried(proto, says):
    async def main(net, one, other):
        async with joined(one, other, proto, client={"reconnect_s": 100}) as (stub, _, _):
            await stub.NULL()
            one.link.down()
            with pytest.raises(
                rpc.RpcTimeout, match=rf"no reply to ADD at other in time \(1 s, {says}\); it may have run"
            ):
                await stub.ADD(1, timeout=1)
            if proto == "tcp":
                await asyncio.sleep(1)  # TCP has given the connection up
                with pytest.raises(rpc.RpcTimeout, match=r"2.5 s, there was no connection\); it has not run"):
                    await stub.ADD(2, timeout=2.5)

    simulated(main)


# -- Unix sockets


def test_an_abstract_unix_socket():
    async def main():
        name = "\0tapstack-test-edges"
        async with (
            await rpc.serve([Counter()], udp=None, tcp=None, unix=name, register=False),
            rpc.connect(V1, name, proto="unix") as stub,
        ):
            assert await stub.ADD(1) == 1

    asyncio.run(main())


def test_a_server_does_not_take_the_path_of_another(tmp_path):
    path = str(tmp_path / "socket")
    how = {"udp": None, "tcp": None, "unix": path, "register": False}

    async def main():
        first = await rpc.serve([Counter()], **how)
        with pytest.raises(AddressInUse, match="a server runs at"):
            await rpc.serve([Counter()], **how)
        async with rpc.connect(V1, path, proto="unix") as stub:
            assert await stub.ADD(1) == 1
        (tmp_path / "socket").unlink()
        async with await rpc.serve([Counter()], **how):
            await first.aclose()
            async with rpc.connect(V1, path, proto="unix") as stub:  # the first one left it alone
                assert await stub.ADD(1) == 1

    asyncio.run(main())


def test_what_a_dead_server_left_is_replaced_and_what_is_no_socket_is_not(tmp_path):
    async def main():
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))
        async with (
            await rpc.serve([Counter()], udp=None, tcp=None, unix=str(tmp_path / "dead"), register=False),
            rpc.connect(V1, str(tmp_path / "dead"), proto="unix") as stub,
        ):
            assert await stub.ADD(1) == 1
        (tmp_path / "text").write_text("a file")
        with pytest.raises(OSError, match="in use"):
            await rpc.serve([Counter()], udp=None, tcp=None, unix=str(tmp_path / "text"), register=False)
        assert (tmp_path / "text").read_text() == "a file"
        for name, reason in (("text", "refused"), ("nothing", "no such file")):
            with pytest.raises(rpc.Unreachable, match=f"{reason}.*has not run"):
                async with rpc.connect(V1, str(tmp_path / name), proto="unix"):
                    pass

    asyncio.run(main())


@pytest.mark.parametrize("is_known", [False, True])
def test_over_a_unix_socket_a_lost_call_is_not_sent_again(tmp_path, monkeypatch, is_known):
    """The server would not know it.  The control: sent all the same, it is executed twice."""

    async def main():
        program = Counter()
        path = str(tmp_path / "socket")

        def cut(ctx):
            program.cut = None
            ctx.reply_to.abort()

        program.cut = cut
        if is_known:
            opened = Way.open

            async def claim(way, sink):
                channel, _ = await opened(way, sink)
                return channel, True

            monkeypatch.setattr(Way, "open", claim)
        async with (
            await rpc.serve([program], udp=None, tcp=None, unix=path, register=False),
            rpc.connect(V1, path, proto="unix") as stub,
        ):
            if is_known:
                assert await stub.ADD(7) == 2
            else:
                with pytest.raises(rpc.ConnectionLost, match="same local port") as raised:
                    await stub.ADD(7)
                assert raised.value.maybe_executed
            assert await stub.COUNT() == len(program.seen) == 1 + is_known

    asyncio.run(main())


# -- who waits is woken


def test_a_call_that_waits_for_room_goes_when_the_question_who_answers_has_taken_it():
    async def main(net):
        one, other = net.add_host("one", faults=Faults(delay_us=100_000)), net.add_host("other")
        async with joined(one, other, client={"max_in_flight": 1, "timeout": None}) as (stub, _, server):
            long = asyncio.create_task(stub.SLEEP(1_000_000))
            await asyncio.sleep(1)
            waiting = asyncio.create_task(stub.ADD(1))
            (connection,) = server.connections
            connection.channel.abort()
            while stub._call.stats["in_flight"] < 2:  # the call and, on the new connection, HELLO
                await asyncio.sleep(0.01)
            long.cancel()
            async with asyncio.timeout(5):
                assert await waiting == 1

    run(main, seed=1)


def test_a_call_that_waits_for_a_full_channel_goes_when_that_is_lost():
    async def main(net, one, other):
        how = {"client": {"timeout": None}, "max_record": 1 << 24, "xdr": rpc.Limits(max_bytes=1 << 24)}
        how["client"]["xdr"] = how["xdr"]
        async with joined(one, other, **how) as (stub, _, _):
            await stub.NULL()
            one.link.down()
            large = asyncio.create_task(stub.ECHO(bytes(8_000_000), timeout=10))
            await asyncio.sleep(1)
            assert stub._call.channel.is_full
            waiting = asyncio.create_task(stub.ADD(1))
            await asyncio.sleep(1)
            large.cancel()
            await asyncio.sleep(0.1)
            assert stub._call.stats["in_flight"] == 0
            while stub._call.channel is not None:  # until TCP gives it up
                await asyncio.sleep(0.1)
            one.link.up()
            async with asyncio.timeout(30):
                assert await waiting == 1

    simulated(main)


def test_whatever_goes_wrong_while_connecting_again_is_told_to_who_waits():
    async def main():
        server = rpc.RpcServer([Counter()])
        ways = iter([True, False])

        async def open_channel(client):
            if next(ways):
                return await dial_tcp(client, asyncio.get_running_loop(), *listening.tcp[0]), True
            raise ZeroDivisionError("a bug")

        listening = server.listening
        await listening.listen_tcp(server, asyncio.get_running_loop(), "127.0.0.1", 0)
        client = RpcClient(V1, ClientSettings(timeout=None), "there", open_channel, datagrams=False)
        await client.open()
        client.channel.abort()
        await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            with pytest.raises(rpc.Unreachable, match=r"a bug\); it has not run"):
                await V1.Client(client).ADD(1)
        await client.aclose()
        await server.aclose()
        listening.close()

    asyncio.run(main())


def test_a_mailbox_that_is_closed_does_not_keep_its_senders():
    async def main():
        async with await rpc.mailbox(tcp=0, size=1) as full, await rpc.mailbox() as box:
            channel = await box.connect("tcp", *full.ports.tcp[0])

            async def send():
                while True:
                    await box.send(bytes(100_000), channel)

            sending = asyncio.create_task(send())
            while not channel.is_full or box.stats["sent"] < 10:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            box.close()
            async with asyncio.timeout(5):
                with pytest.raises(BrokenPipe):
                    await sending

    asyncio.run(main())


class Slow(Channel):
    """A connection whose peer reads when it likes."""

    full = False
    is_open = True
    held = False
    posted = 0

    @property
    def is_full(self):
        return self.full

    def post(self, message):
        self.posted += 1

    def hold(self):
        self.held = True

    def resume(self):
        self.held = False

    def close(self):
        pass


def test_who_reads_again_is_read_from_however_many_others_do_not():
    async def main():
        server = rpc.RpcServer([Counter()])
        slow = [Slow(TCP, ("192.0.2.1", number)) for number in range(300)]
        for channel in slow:
            assert server.on_open(channel)
            channel.full = True
            server.on_message(NULL, channel)
            assert channel.held
        slow[-1].full = False
        server.on_room(slow[-1])
        for _ in range(10):
            await asyncio.sleep(0)
        assert [channel.held for channel in slow] == [True] * 299 + [False]
        assert server.stats["held"] == 299
        await server.aclose()

    asyncio.run(main())


# -- what procedures do


class Odd(BaseException):
    """Not an Exception."""


class Strange(Counter):
    """ADD does something strange."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    async def ADD(self, ctx, number):
        await self.what()
        return number


@pytest.mark.parametrize("what", [Odd, asyncio.CancelledError, StopAsyncIteration, RuntimeError, rpc.RpcTimeout])
def test_whatever_a_procedure_raises_its_caller_hears_of_it_and_its_place_is_free(what):
    async def strange():
        raise what

    async def main(net, one, other):
        net.loop.set_exception_handler(lambda *_: None)
        async with joined(one, other, program=Strange(strange)) as (stub, _, server):
            with pytest.raises(rpc.SystemErr) as raised:
                await stub.ADD(1)
            assert raised.value.maybe_executed
            assert server.stats["running"] == 0

    simulated(main)


def test_a_procedure_may_close_its_server():
    async def main():
        closed = []

        async def close():
            await server.aclose()
            closed.append(True)

        server = await rpc.serve([Strange(close)], register=False)
        async with rpc.connect(V1, "127.0.0.1", port=server.tcp_port, reconnect_s=0.1) as stub:
            with pytest.raises(rpc.ConnectionLost) as raised:
                await stub.ADD(1)
            assert raised.value.maybe_executed
        assert closed

    asyncio.run(main())


def test_a_server_that_is_closed_begins_no_calls():
    async def main(net, one, other):
        program = Counter()
        limits = rpc.ServerLimits(running_per_connection=1)
        server = await rpc.serve([program], host=other, tcp=PORT, register=False, limits=limits)
        async with rpc.connect(V1, "other", port=PORT, host=one, reconnect_s=0.1) as stub:
            calls = [asyncio.create_task(call) for call in (stub.LINGER(60_000), stub.ADD(1), stub.ADD(2))]
            await asyncio.sleep(1)
            await server.aclose()
            errors = await asyncio.gather(*calls, return_exceptions=True)
        assert program.seen == []
        assert all(isinstance(error, rpc.RpcError) and error.maybe_executed for error in errors)
        assert server.stats["running"] == 0

    simulated(main)


# -- what peers do


class Wire:
    """A transport whose peer does not read; `written` octets were taken all the same."""

    def __init__(self, channel):
        self.channel = channel
        self.written = 0
        self.paused = False

    def get_extra_info(self, name):
        return ("192.0.2.1", 1024) if name in {"peername", "sockname"} else None

    def is_closing(self):
        return False

    def write(self, data):
        self.written += len(data)
        if self.written > 65_536:
            self.channel.pause_writing()

    def sendto(self, data, target):
        self.written += len(data)

    def pause_reading(self):
        self.paused = True

    def get_write_buffer_size(self):
        return 0

    def close(self):
        pass


def test_copies_of_a_call_with_a_large_reply_do_not_fill_the_memory():
    """A chunk of small calls could ask for gigabytes."""

    class Large(V1.Server):
        async def WHO(self, ctx):
            return "x" * 500_000

    async def main():
        server = rpc.RpcServer([Large()], duplicates=rpc.Duplicates())
        channel = StreamChannel(server, TCP, 1 << 20)
        wire = Wire(channel)
        channel.connection_made(wire)
        call = build_call(7, V1.program, 1, 10)
        record = mark_of(len(call)) + call
        channel.data_received(record)
        await asyncio.sleep(0.01)
        assert wire.written > 500_000
        channel.resume_writing()
        wire.written = 0
        channel.data_received(record * 100)
        assert 500_000 < wire.written < 1_500_000
        assert wire.paused
        assert server.stats["replayed"] <= 2
        await server.aclose()

    asyncio.run(main())


def test_replies_for_which_the_udp_port_has_no_room_are_dropped_and_counted():
    async def main():
        server = rpc.RpcServer([Counter()])
        port = DatagramPort(server)
        wire = Wire(port)
        port.connection_made(wire)
        port.pause_writing()
        port.datagram_received(NULL, ("192.0.2.1", 1024))
        assert (wire.written, server.stats["replies_dropped"]) == (0, 1)
        port.resume_writing()
        port.datagram_received(NULL, ("192.0.2.1", 1024))
        assert (wire.written, server.stats["replies_dropped"]) == (24, 1)
        await server.aclose()

    asyncio.run(main())


def test_a_connection_whose_peer_does_not_read_is_not_left_over_by_the_server():
    async def main(net, one, other):
        server = await rpc.serve([Counter()], host=other, tcp=PORT, register=False)
        with one.active():
            _, writer = await asyncio.open_connection("other", PORT, limit=1024)
        echo = build_call(7, V1.program, 1, 4, (400_000).to_bytes(4, "big") + bytes(400_000))
        for _ in range(5):
            writer.write(mark_of(len(echo)) + echo)
        await asyncio.sleep(1)
        await server.aclose()
        assert other.stack.host.connections()
        await asyncio.sleep(30)
        assert not other.stack.host.connections()
        writer.close()

    simulated(main)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_a_call_of_a_connection_is_cancelled_on_it_alone(proto):
    """Not by a datagram that says that it comes from there, as anybody's may."""

    async def main(net, one, other):
        program = Counter()
        local = (str(one.address), 5000)
        async with (
            await rpc.serve([program], host=other, udp=PORT, tcp=PORT, register=False) as server,
            await rpc.mailbox(host=one) as box,
        ):
            tcp = await dial_tcp(box, one.stack, "other", PORT, local)
            udp = await dial_udp(box, one.stack, "other", PORT, local)
            await box.send(build_call(77, V1.program, 1, 3, (9000).to_bytes(4, "big")), tcp)
            await asyncio.sleep(0.1)
            await box.send(session.build_cancel(1, 77), tcp if proto == "tcp" else udp)
            await asyncio.sleep(0.1)
            assert server.stats["running"] == (proto == "udp")
            tcp.close()
            udp.close()

    simulated(main)


# -- what is promised


def test_what_was_not_sent_has_not_run_whatever_came_meanwhile():
    async def main():
        opened = asyncio.Event()
        first = Slow(TCP, ("192.0.2.1", 1))

        async def open_channel(_):
            if opened.is_set():
                await asyncio.Event().wait()
            opened.set()
            return first, True

        client = RpcClient(V1, ClientSettings(session=False), "there", open_channel, datagrams=False)
        await client.open()
        stub = V1.Client(client)
        sent = asyncio.create_task(stub.ADD(1))
        await asyncio.sleep(0)
        client.on_closed(first, None)
        unsent = asyncio.create_task(stub.ADD(2))
        await asyncio.sleep(0)
        client.on_fault(first, RecordFault.TOO_LARGE)
        errors = await asyncio.gather(sent, unsent, return_exceptions=True)
        assert [error.maybe_executed for error in errors] == [True, False]
        await client.aclose()

    asyncio.run(main())


def test_a_refusal_that_may_be_of_a_cancellation_is_no_promise():
    async def main(net, one, other):
        async with joined(one, other, "udp") as (stub, _, _):
            client = stub._call
            long = asyncio.create_task(stub.SLEEP(60_000, timeout=60))
            await asyncio.sleep(30)
            long.cancel()
            await asyncio.sleep(0)  # the CANCEL has left
            call = asyncio.create_task(stub.ADD(1))
            await asyncio.sleep(0)
            client.on_error(client.channel, ConnectionRefusedError())
            with pytest.raises(rpc.Unreachable) as raised:
                await call
            assert raised.value.maybe_executed

    simulated(main)


def test_when_xids_come_round_no_call_is_taken_for_a_copy():
    async def main(net, one, other):
        async with joined(one, other, "udp", client={"timeout": 5}) as (stub, _, _):
            client = stub._call
            client._guarded = True
            client._calls._next_xid = client._again_xid
            assert await stub.ADD(1) == 1
            client._calls._next_xid = 0xFFFF_FFFF
            assert [await stub.ADD(number) for number in (2, 3)] == [2, 3]

    simulated(main)
