"""The private program: which run of a server answers, copies for one run only, calls that nobody waits for."""

import asyncio

import pytest

from stack import rpc
from stack.rpc import session
from stack.rpc.mailboxes import mailbox
from stack.rpc.message import build_call, parse_reply
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000
HELLO = build_call(1, session.PROGRAM, session.VERSION, 1)


def add(xid, number=5):
    return build_call(xid, V1.program, 1, 1, number.to_bytes(4, "big"))


def talked(main, proto="udp", **options):
    """Messages by hand: `ask` gives the reply's xid and results, or None when there is none within a second."""

    async def wrapped(net):
        one, other = net.add_hosts("one", "other")
        program = Counter()
        async with (
            await rpc.serve([program], host=other, udp=PORT, tcp=PORT, register=False, **options) as server,
            await mailbox(host=one) as box,
        ):
            channel = await box.connect(proto, "other", PORT)

            async def ask(message):
                await box.send(message, channel)
                try:
                    letter = await box.receive(timeout=1)
                except TimeoutError:
                    return None
                reply = parse_reply(letter.message)
                return reply.xid, letter.message[reply.results_offset :]

            await main(ask, program, server)

    run(wrapped, seed=1)


def test_hello_says_which_run_it_is_and_another_run_is_another():
    instances = set()

    async def main(ask, program, server):
        xid, results = await ask(HELLO)
        assert (xid, int.from_bytes(results, "big")) == (1, server.instance)
        assert await ask(HELLO) == (xid, results)
        instances.add(server.instance)
        again = rpc.RpcServer([Counter()])
        instances.add(again.instance)

    talked(main)
    assert len(instances) == 2


def test_a_copy_for_this_run_is_taken_as_the_call_itself():
    async def main(ask, program, server):
        first = await ask(add(7))
        assert await ask(session.build_again(8, server.instance, add(7))) == first == (7, b"\0\0\0\1")
        assert await ask(session.build_again(8, server.instance, add(9))) == (9, b"\0\0\0\2")  # its first one was lost
        assert program.seen == [5, 5]

    talked(main)


def test_a_copy_for_another_run_is_left_alone():
    async def main(ask, program, server):
        answer = await ask(session.build_again(8, server.instance ^ 1, add(7)))
        assert answer == (8, server.instance.to_bytes(8, "big"))
        assert program.seen == []

    talked(main)


def test_copies_within_copies_are_not_opened():
    async def main(ask, program, server):
        message = add(7)
        for xid in range(300):
            message = session.build_again(xid, server.instance, message)
        assert await ask(message) is None
        assert program.seen == []

    talked(main)


def test_over_a_connection_there_are_no_copies():
    async def main(ask, program, server):
        answer = await ask(session.build_again(8, server.instance, add(7)))
        assert answer == (8, server.instance.to_bytes(8, "big"))
        assert program.seen == []

    talked(main, "tcp")


def test_cancel_stops_the_callers_own_call_and_no_other():
    async def main(net):
        one, other, third = net.add_hosts("one", "other", "third")
        program = Counter()
        async with (
            await rpc.serve([program], host=other, udp=PORT, register=False) as server,
            await mailbox(host=one) as box,
            await mailbox(host=third) as stranger,
        ):
            channel = await box.connect("udp", "other", PORT)
            far = await stranger.connect("udp", "other", PORT)
            sleep = build_call(77, V1.program, 1, 3, (9000).to_bytes(4, "big"))
            await box.send(sleep, channel)
            await asyncio.sleep(0.1)
            await stranger.send(session.build_cancel(1, 77), far)
            await box.send(session.build_cancel(1, 78), channel)
            await asyncio.sleep(0.1)
            assert server.stats["running"] == 1
            await box.send(session.build_cancel(1, 77), channel)
            await asyncio.sleep(0.1)
            assert server.stats["running"] == 0
            assert program.cancelled == [77]
            assert len(box) == len(stranger) == 0  # nobody is answered

    run(main, seed=1)


def test_a_call_too_large_for_a_copy_is_sent_once():
    async def main(net):
        one, other = net.add_hosts("one", "other")

        class Big(V1.Server):
            seen = 0

            async def ECHO(self, ctx, data):  # not said to be idempotent
                self.seen += 1
                return rpc.NO_REPLY if self.seen == 1 else b""

        program = Big()
        async with (
            await rpc.serve([program], host=other, udp=PORT, register=False, duplicates=False) as server,
            rpc.connect(V1, "other", proto="udp", port=PORT, host=one, timeout=5) as stub,
        ):
            with pytest.raises(rpc.RpcTimeout) as raised:
                await stub.ECHO(bytes(65_507 - 40 - 4 - 20))
            assert raised.value.maybe_executed
            assert program.seen == 1
            assert await stub.ECHO(bytes(60_000)) == b""
            assert server.stats["dropped_no_reply"] == 2  # the call's, and the CANCEL's

    run(main, seed=1)


def test_a_server_started_anew_on_its_durable_cache_is_the_same(tmp_path):
    """Copies of what its last run has executed are answered; without the file they fail as ServerRebooted."""

    async def main(net):
        one, other = net.add_hosts("one", "other")
        program, instances, replies = Counter(), [], []
        async with await mailbox(host=one) as box:
            channel = await box.connect("udp", "other", PORT)
            for number in range(2):
                cache = rpc.DurableDuplicates(tmp_path / "calls.db")
                async with await rpc.serve([program], host=other, udp=PORT, register=False, duplicates=cache) as server:
                    instances.append(server.instance)
                    message = session.build_again(8, instances[0], add(7)) if number else add(7)
                    await box.send(message, channel)
                    replies.append((await box.receive(timeout=1)).message)
                cache.close()
        assert instances[0] == instances[1]
        assert replies[0] == replies[1]
        assert program.seen == [5]

    run(main, seed=1)
