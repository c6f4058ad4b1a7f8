"""Clients and servers over everything that carries calls: what callers get, and what servers see of them."""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import os
import socket

import pytest

from stack import rpc
from stack.errors import ConfigError
from stack.rpc.caller import RpcClient
from stack.rpc.dispatch import TCP
from stack.rpc.record import MAX_RECORD, RecordReader
from stack.rpc.settings import ClientSettings
from stack.rpc.transports import StreamChannel
from tests.support.aio_nets import StackNet
from tests.support.rpc_counter import V1, V2, Counter
from tests.support.rpc_joined import PORT, joined, simulated


def _uvloop():
    import uvloop  # noqa: PLC0415

    return uvloop.new_event_loop()


def _stack():
    from stack.aio.loop import new_event_loop  # noqa: PLC0415

    return new_event_loop()


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": _uvloop, "stack": _stack}


# -- location transparency


async def use(stub):
    """One program, whatever is between it and its server."""
    assert await stub.NULL() is None
    assert [await stub.ADD(number) for number in (5, 6)] == [1, 2]
    assert await stub.ECHO(b"x" * 5000) == b"x" * 5000
    with pytest.raises(rpc.ProcUnavail, match=r"MISSING at .*has not run"):
        await stub.MISSING()
    with pytest.raises(rpc.XdrError):
        await stub.ADD(-1)
    assert await asyncio.gather(*(stub.SLEEP(30 - number) for number in range(30))) == [30 - n for n in range(30)]
    assert await stub.COUNT() == 2


@pytest.mark.parametrize("proto", ["udp", "tcp", "local"])
def test_the_same_program_runs_between_simulated_hosts(proto):
    async def main(net, one, other):
        async with joined(one, other, proto) as (stub, _, server):
            await use(stub)
            assert server.dispatcher.running == 0

    simulated(main)


@pytest.mark.parametrize("proto", ["udp", "tcp", "unix", "local"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "stack"])
def test_the_same_program_runs_over_kernel_sockets(proto, loop, tmp_path):
    async def main():
        path = str(tmp_path / "counter")
        async with await rpc.serve([Counter()], unix=path, register=False) as server:
            way = {
                "udp": ("127.0.0.1", server.udp_port),
                "tcp": ("127.0.0.1", server.tcp_port),
                "unix": (path, None),
                "local": (server, None),
            }[proto]
            async with rpc.connect(V1, way[0], proto=proto, port=way[1]) as stub:
                await use(stub)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    gc.collect()  # what is open would warn


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("loop", LOOPS)
def test_the_same_program_runs_between_hosts_of_ours_in_real_time(proto, loop):
    async def main():
        async with (
            StackNet() as net,
            await rpc.serve([Counter()], host=net.server, udp=PORT, tcp=PORT, register=False) as server,
            rpc.connect(V1, net.ip, proto=proto, port=PORT, host=net.client) as stub,
        ):
            await use(stub)
            assert server.listening.tcp == [(net.ip, PORT)]

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_a_call_within_the_process_is_marshalled_and_checked():
    async def main():
        stub = rpc.local(V1, Counter())
        await use(stub)
        given = bytearray(b"mine")
        with pytest.raises(rpc.SystemErr):
            await stub.PAINT(7)
        assert await stub.ECHO(bytes(given)) is not given

    with quiet_loop() as (runner, told):
        runner.run(main())
    assert len(told) == 1


@contextlib.contextmanager
def quiet_loop():
    """A Runner, and what its loop's exception handler was told."""
    told = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: told.append(context))
        yield runner, told


def test_a_server_knows_who_calls():
    async def main(net, one, other):
        auth = rpc.AuthSys(1000, 100, [4], machine="one")
        for proto, address in (("udp", one.address), ("tcp", one.address), ("local", "")):
            async with joined(one, other, proto, client={"auth": auth}) as (stub, _, _):
                assert await stub.WHO() == f"{proto} {address} {auth!r}"

    simulated(main)


def test_the_current_user_is_the_systems():
    found = rpc.AuthSys.current()
    assert (found.uid, found.gid) == (os.geteuid(), os.getegid())
    assert set(found.gids) <= set(os.getgroups())
    assert len(found.gids) <= 16


# -- whose context it is


@pytest.mark.parametrize("keeps", [True, False])
def test_the_active_host_is_that_of_who_connected_also_when_it_connects_again(keeps, monkeypatch):
    """The control: by the context in which the loss is noticed, it finds no way to the server."""

    async def main(net, one, other):
        program = Counter()
        with other.active():
            server = await rpc.serve([program], tcp=PORT, register=False)
        way = rpc.connect(V1, "other", port=PORT)
        with one.active():
            stub = await way.__aenter__()
        if not keeps:
            monkeypatch.setattr(stub._call, "_context", contextvars.Context())
        seen = []
        program.cut = lambda ctx: (seen.append(ctx.source[0]), len(seen) == 1 and ctx.reply_to.abort())
        if keeps:
            for number in (1, 2):
                assert await stub.ADD(number, timeout=5) == number
            assert seen == [one.address] * 2
        else:
            with pytest.raises(rpc.ConnectionLost) as raised:
                await stub.ADD(1, timeout=5)
            assert raised.value.maybe_executed
            assert seen == [one.address]
        await way.__aexit__(None, None, None)
        await server.aclose()

    simulated(main)


def test_procedures_run_in_the_context_of_who_made_the_server():
    who = contextvars.ContextVar("who", default="nobody")

    class Asked(V1.Server):
        async def WHO(self, ctx):
            found = who.get()
            who.set("the last caller")
            return found

    async def main():
        who.set("the server's")
        async with await rpc.serve([Asked()], register=False) as server:
            who.set("the client's")
            async with rpc.connect(V1, "127.0.0.1", port=server.tcp_port) as stub:
                assert [await stub.WHO() for _ in range(2)] == ["the server's"] * 2

    asyncio.run(main())


# -- what callers are told


@pytest.mark.parametrize("proto", ["udp", "tcp", "local"])
@pytest.mark.parametrize(
    ("name", "kind", "maybe"),
    [
        ("proc", rpc.ProcUnavail, False),
        ("garbage", rpc.GarbageArgs, False),
        ("system", rpc.SystemErr, True),
        ("auth", rpc.AuthError, False),
    ],
)
def test_what_a_procedure_raises_for_its_caller_arrives(proto, name, kind, maybe):
    async def main(net, one, other):
        async with joined(one, other, proto) as (stub, _, server):
            with pytest.raises(kind) as raised:
                await stub.RAISE(name)
            assert raised.value.maybe_executed is maybe
            assert "procedures_failed" not in server.stats
            assert await stub.ADD(1) == 1  # the channel is as before

    simulated(main)


@pytest.mark.parametrize("bad", ["raises", "no value of the type"])
def test_a_bug_is_system_err_for_the_caller_and_told_to_the_loop(bad):
    async def main():
        async with await rpc.serve([Counter()], register=False) as server:
            async with rpc.connect(V1, "127.0.0.1", port=server.tcp_port) as stub:
                with pytest.raises(rpc.SystemErr) as raised:
                    await (stub.RAISE("bug") if bad == "raises" else stub.PAINT(7))
            assert raised.value.maybe_executed
            assert server.stats["procedures_failed"] == 1

    with quiet_loop() as (runner, told):
        runner.run(main())
    assert len(told) == 1
    assert isinstance(told[0]["exception"], ZeroDivisionError if bad == "raises" else rpc.XdrError)


def test_failures_that_come_fast_are_counted_each_and_told_once_a_second():
    told = []

    async def main(net, one, other):
        net.loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        async with joined(one, other, "udp") as (stub, _, server):
            for wait in (0, 0, 2):
                await asyncio.sleep(wait)
                with pytest.raises(rpc.SystemErr):
                    await stub.RAISE("bug")
            assert server.stats["procedures_failed"] == 3

    simulated(main)
    assert len(told) == 2
    assert "1 more since" in told[1]


def test_programs_and_versions_that_are_not_there():
    another = rpc.compile_x("program OTHER { version OTHER_V1 { void NOTHING(void) = 1; } = 1; } = 0x20000777;")

    async def main(net, one, other):
        async with (
            await rpc.serve([Counter()], host=other, tcp=PORT, register=False),
            rpc.connect(V2, "other", port=PORT, host=one) as stub,
        ):
            with pytest.raises(rpc.ProgMismatch) as raised:
                await stub.ADD(1, 2)
            assert (raised.value.low, raised.value.high, raised.value.maybe_executed) == (1, 1, False)
        async with (
            await rpc.serve([another.OTHER_V1.Server()], host=other, tcp=PORT, register=False),
            rpc.connect(V1, "other", port=PORT, host=one) as stub,
        ):
            with pytest.raises(rpc.ProgUnavail):
                await stub.COUNT()

    simulated(main)


def test_a_policy_for_all_programs_or_for_one():
    async def main(net, one, other):
        policy = rpc.allow(uids={1000}, networks=["10.0.0.0/16"])
        for auth in (policy, {V1: policy}):
            async with joined(one, other, auth=auth) as (stub, program, _):
                await stub.NULL()
                with pytest.raises(rpc.AuthError, match="not allowed"):
                    await stub.ADD(1)
                assert program.seen == []
                trusted = rpc.connect(V1, "other", port=PORT, host=one, auth=rpc.AuthSys(1000, 100))
                async with trusted as known:
                    assert await known.ADD(1) == 1
        async with joined(one, other, auth={V1: rpc.allow(), V2: policy}) as (stub, _, _):
            assert await stub.ADD(1) == 1

    simulated(main)


def test_nobody_there_is_said_at_once_over_tcp_and_udp():
    async def main(net, one, other):
        with pytest.raises(rpc.Unreachable, match=r"refused.*has not run"):
            async with rpc.connect(V1, "other", port=PORT, host=one):
                pass
        async with rpc.connect(V1, "other", proto="udp", port=PORT, host=one, session=False) as stub:
            with pytest.raises(rpc.Unreachable) as raised:
                await stub.ADD(1)
            assert not raised.value.maybe_executed
        assert net.time < 1

    simulated(main)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "stack"])
def test_nobody_there_is_said_at_once_over_kernel_sockets_too(loop):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with rpc.connect(V1, "127.0.0.1", proto="udp", port=port, session=False) as stub:
            with pytest.raises(rpc.Unreachable, match="refused") as raised:
                await stub.ADD(1)
            assert not raised.value.maybe_executed
            calls = [stub.ADD(1, timeout=0.2) for _ in range(2)]
            for error in await asyncio.gather(*calls, return_exceptions=True):  # of two it is not known which one
                assert isinstance(error, rpc.RpcTimeout)
                assert error.maybe_executed
        with pytest.raises(rpc.Unreachable):
            async with rpc.connect(V1, "127.0.0.1", port=port):
                pass

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_results_that_cannot_be_decoded_are_an_error_that_says_so():
    other = rpc.compile_x("program P { version OTHER { string PAINT(int) = 5; } = 1; } = 0x20001234;")

    async def main():
        async with (
            await rpc.serve([Counter()], register=False) as server,
            rpc.connect(other.OTHER, "127.0.0.1", port=server.tcp_port) as stub,
        ):
            with pytest.raises(rpc.BadReply, match=r"PAINT at 127.0.0.1 cannot be decoded \(short\)") as raised:
                await stub.PAINT(1)
        assert raised.value.maybe_executed

    asyncio.run(main())


# -- deadlines and cancellation


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("how", ["timeout", "cancelled"])
def test_a_call_nobody_waits_for_is_stopped_at_the_server(proto, how):
    async def main(net, one, other):
        async with joined(one, other, proto) as (stub, program, server):
            if how == "timeout":
                with pytest.raises(rpc.RpcTimeout) as raised:
                    await stub.SLEEP(60_000, timeout=2)
                assert raised.value.maybe_executed
                assert isinstance(raised.value, TimeoutError)
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2):
                        await stub.SLEEP(60_000)
            assert 2 <= net.time < 2.1
            await asyncio.sleep(0.01)
            assert len(program.cancelled) == program.begun == 1
            assert server.stats["running"] == 0
            assert await stub.ADD(1) == 1

    simulated(main)


@pytest.mark.parametrize(("procedure", "runs_on"), [("SLEEP", False), ("LINGER", True)])
def test_the_end_of_a_connection_cancels_what_may_be_asked_again_without_a_cache(procedure, runs_on):
    async def main(net, one, other):
        program = Counter()
        async with await rpc.serve([program], host=other, tcp=PORT, register=False) as server:
            async with rpc.connect(V1, "other", port=PORT, host=one) as stub:
                call = asyncio.create_task(getattr(stub, procedure)(1000, timeout=60))
                await asyncio.sleep(0.1)
            with pytest.raises(rpc.ClientClosed) as raised:
                await call
            assert raised.value.maybe_executed
            await asyncio.sleep(0.1)
            assert server.stats["running"] == runs_on
            assert len(program.cancelled) == (not runs_on)
            await asyncio.sleep(2)
            assert server.stats["running"] == 0

    simulated(main)


def test_a_procedure_that_takes_too_long_is_cancelled():
    async def main(net, one, other):
        limits = rpc.ServerLimits(call_s=5)
        async with joined(one, other, limits=limits, client={"timeout": None}) as (stub, program, server):
            with pytest.raises(rpc.SystemErr) as raised:
                await stub.SLEEP(60_000)
            assert raised.value.maybe_executed
            assert 5 <= net.time < 7
            assert len(program.cancelled) == server.stats["calls_over_time"] == 1

    simulated(main)


def test_a_call_cancelled_before_it_was_begun_was_not_executed():
    async def main():
        program = Counter()
        stub = rpc.local(V1, program)
        call = asyncio.create_task(stub.ADD(1))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(program.seen) <= 1
        assert await stub.ADD(2) == len(program.seen)

    asyncio.run(main())


def test_deadlines_reach_tcp():
    """The connection is given up by TCP itself when nothing is acknowledged for as long as a call may take."""

    async def main(net, one, other):
        async with joined(one, other, client={"timeout": 7.0, "reconnect_s": 0.0}) as (stub, _, _):
            await stub.NULL()
            (conn,) = one.stack.host.connections()
            assert conn.config.user_timeout_us == 7_000_000
            long = asyncio.create_task(stub.SLEEP(1000, timeout=30))
            await asyncio.sleep(0.1)
            assert conn.config.user_timeout_us == 30_000_000  # else the short ones would end it
            await stub.NULL()
            assert conn.config.user_timeout_us == 30_000_000
            await long
            await stub.NULL()
            assert conn.config.user_timeout_us == 7_000_000

    simulated(main)


def test_a_call_that_finds_no_room_in_time_has_not_run():
    async def main(net, one, other):
        async with joined(one, other, client={"max_in_flight": 2}) as (stub, program, _):
            busy = [asyncio.create_task(stub.SLEEP(5000)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(rpc.RpcTimeout, match="too many in flight") as raised:
                await stub.ADD(1, timeout=1)
            assert not raised.value.maybe_executed
            assert program.seen == []
            assert await stub.ADD(2, timeout=10) == 1  # it waits for one of them
            assert net.time > 5
            await asyncio.gather(*busy)

    simulated(main)


# -- batches


class Recorded(asyncio.Transport):
    """A transport whose writes are kept."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def write(self, data):
        self.writes.append(data)

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def close(self):
        pass


@pytest.mark.parametrize(("batched", "pieces"), [(True, 1), (False, 10)])
def test_a_batch_leaves_in_one_piece(batched, pieces):
    async def main():
        transport = Recorded()

        async def open_channel(sink):
            channel = StreamChannel(sink, TCP, MAX_RECORD)
            channel.connection_made(transport)
            return channel, True

        client = RpcClient(V1, ClientSettings(session=False), "nobody", open_channel, datagrams=False)
        await client.open()
        stub = V1.Client(client)
        calls = [stub.ADD(number) for number in range(10)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                if batched:
                    async with stub.batch() as batch:
                        for call in calls:
                            batch.add(call)
                else:
                    await asyncio.gather(*calls)
        assert len(transport.writes) == pieces
        assert len(RecordReader().feed(b"".join(transport.writes))) == 10
        await client.aclose()

    asyncio.run(main())


def test_the_calls_of_a_batch_have_results_of_their_own():
    async def main(net, one, other):
        async with joined(one, other) as (stub, program, _):
            async with stub.batch() as batch:
                added = [batch.add(stub.ADD(number)) for number in range(10)]
                bad = batch.add(stub.MISSING())
            assert [task.result() for task in added] == list(range(1, 11))
            assert isinstance(bad.exception(), rpc.ProcUnavail)
            assert program.seen == list(range(10))

    simulated(main)


def test_a_batch_that_is_left_by_an_error_sends_nothing():
    async def main(net, one, other):
        async with joined(one, other) as (stub, _, _):
            with pytest.raises(ZeroDivisionError):
                async with stub.batch() as batch:
                    batch.add(stub.ADD(1))
                    raise ZeroDivisionError
            assert await stub.COUNT() == 0

    simulated(main)


def test_a_procedure_may_send_no_reply():
    async def main(net, one, other):
        async with joined(one, other) as (stub, _, server):
            with pytest.raises(rpc.RpcTimeout):
                await stub.SILENT(timeout=1)
            assert server.stats["dropped_no_reply"] >= 1

    simulated(main)


# -- caller faults


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"timeout": 0}, "timeout is 0"),
        ({"max_in_flight": 0}, "at least 1"),
        ({"idempotent": "ADD"}, r"\['ADD'\]"),
        ({"idempotent": ["SUBTRACT"]}, "no procedure SUBTRACT; it has ADD, COUNT"),
        ({"proto": "pigeon"}, "'tcp', 'udp' or 'unix'"),
    ],
)
def test_clients_are_told_what_to_do(wrong, says):
    async def main():
        with pytest.raises(ConfigError, match=says):
            rpc.connect(V1, "127.0.0.1", **{"port": 1, **wrong})

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"programs": [object()]}, "derive it from the Server"),
        ({"programs": [Counter(), Counter()]}, "served already"),
        ({"limits": rpc.ServerLimits(connections=0)}, "connections is 0"),
        ({"limits": rpc.ServerLimits(idle_s=0)}, "idle_s is 0"),
    ],
)
def test_servers_are_told_what_to_do(wrong, says):
    async def main():
        with pytest.raises(ConfigError, match=says):
            await rpc.serve(**{"programs": [Counter()], "register": False, **wrong})

    asyncio.run(main())
    gc.collect()


def test_what_is_closed_says_so():
    async def main(net, one, other):
        async with joined(one, other) as (stub, _, server):
            await stub.NULL()
        with pytest.raises(rpc.ClientClosed, match="has not run"):
            await stub.ADD(1)
        await server.aclose()  # once more
        with pytest.raises(ConnectionRefusedError):
            rpc.local(V1, server)

    simulated(main)


def test_every_public_name_is_there():
    for name in rpc.__all__:
        assert getattr(rpc, name) is not None
        assert not inspect.ismodule(getattr(rpc, name)), name
