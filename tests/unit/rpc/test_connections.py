"""What connections can take from a server: their number, messages that do not end, time.  Others are served on."""

import asyncio
from collections import Counter as Tally

import pytest

from stack import rpc
from stack.config import SECOND
from stack.rpc.channel import Channel
from stack.rpc.connections import Connections, ServerLimits
from stack.rpc.dispatch import TCP
from stack.rpc.message import build_call
from stack.rpc.record import mark_of
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000
MANY = 10_000
NULL = build_call(1, V1.program, 1, 0)


class Fake(Channel):
    """A connection that only says whether it was aborted."""

    partial = None
    aborted = False

    def abort(self):
        self.aborted = True


def table(**limits):
    ended = []
    counts = Tally()
    connections = Connections(ServerLimits(**limits), counts, ended.append)
    return connections, counts, ended


def channels(count, host=None):
    return [Fake(TCP, (host or f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", 1000)) for i in range(count)]


def test_of_ten_thousand_the_idlest_gives_way():
    connections, counts, ended = table(connections=MANY)
    made = channels(MANY + 500)
    for now, channel in enumerate(made[:MANY]):
        assert connections.admit(channel, now)
    for channel in made[:100]:  # these have been heard of since
        connections.touch(connections.get(channel), MANY)
    for number, channel in enumerate(made[MANY:]):
        assert connections.admit(channel, MANY + 1 + number)
    connections.check_invariants()
    assert counts["connections_given_up"] == len(ended) == 500
    assert not any(channel.aborted for channel in made[:100])
    assert all(channel.aborted for channel in made[100:600])
    assert not any(channel.aborted for channel in made[600:])


def test_one_whose_calls_are_running_does_not_give_way_while_others_are_idle():
    connections, _, _ = table(connections=3)
    busy, idle, last, new, newer = channels(5)
    for now, channel in enumerate((busy, idle, last)):
        connections.admit(channel, now)
    connections.get(busy).running.add("a call")
    connections.admit(new, 3)
    assert (busy.aborted, idle.aborted) == (False, True)
    for channel in (last, new):
        connections.get(channel).running.add("a call")
    assert connections.admit(newer, 4)
    assert busy.aborted  # all are busy: the one that was heard of first


def test_a_client_has_its_share():
    connections, counts, _ = table(connections=10, connections_per_client=3)
    mine = channels(4, "10.0.0.1")
    assert [connections.admit(channel, 0) for channel in mine] == [True, True, True, False]
    assert connections.admit(channels(1, "10.0.0.2")[0], 0)
    assert counts["connections_refused"] == 1
    connections.forget(mine[0])
    assert connections.admit(mine[3], 0)
    connections.check_invariants()


def test_octets_of_messages_that_do_not_end_are_bounded_together():
    connections, counts, _ = table(partial_bytes=1000)
    made = channels(5)
    for now, channel in enumerate(made):
        connections.admit(channel, now)
        channel.partial = 240
        connections.on_partial(channel, now)
        connections.check_invariants()
    assert [channel.aborted for channel in made] == [True, False, False, False, False]
    made[1].partial = None
    connections.on_partial(made[1], 9)
    made[2].partial = 480
    connections.on_partial(made[2], 9)
    assert not any(channel.aborted for channel in made[1:])
    assert counts["partial_given_up"] == 1


def test_slow_messages_end_and_busy_senders_do_not():
    connections, counts, _ = table(record_s=30.0)
    slow, quick = channels(2)
    for channel in (slow, quick):
        connections.admit(channel, 0)
    for second in range(40):
        now = second * SECOND
        slow.partial = second + 1
        connections.on_partial(slow, now)
        connections.touch(connections.get(quick), now)  # each chunk ends a message, and begins another
        quick.partial = 5
        connections.on_partial(quick, now)
        connections.sweep(now)
        connections.check_invariants()
        assert slow.aborted == (second >= 30)
        if slow.aborted:
            break
    assert not quick.aborted
    assert counts["connections_slow"] == 1


def test_idle_connections_end_unless_their_calls_run():
    connections, counts, _ = table(idle_s=60.0)
    idle, busy = channels(2)
    for channel in (idle, busy):
        connections.admit(channel, 0)
    connections.get(busy).running.add("a call")
    connections.sweep(59 * SECOND)
    assert not idle.aborted
    connections.sweep(60 * SECOND)
    assert (idle.aborted, busy.aborted) == (True, False)
    connections.get(busy).running.clear()
    connections.sweep(119 * SECOND)
    assert not busy.aborted
    connections.sweep(120 * SECOND)
    assert busy.aborted
    assert counts["connections_idle"] == 2


# -- through real ports


def test_slow_senders_are_ended_and_others_served_meanwhile():
    async def main(net):
        one, other = net.add_hosts("one", "other")
        limits = rpc.ServerLimits(record_s=10, connections=50)
        async with await rpc.serve([Counter()], host=other, tcp=PORT, register=False, limits=limits) as server:
            with one.active():
                slow = [await asyncio.open_connection("other", PORT) for _ in range(40)]
            begun = net.time

            async def dribble(reader, writer):
                for octet in mark_of(len(NULL)) + NULL:
                    writer.write(bytes([octet]))
                    await asyncio.sleep(1)
                    if reader.at_eof() or reader.exception():
                        return net.time - begun
                return None

            dribbling = [asyncio.create_task(dribble(*each)) for each in slow]
            async with rpc.connect(V1, "other", port=PORT, host=one, timeout=1) as stub:
                for number in range(1, 21):
                    assert await stub.ADD(number) == number
                    await asyncio.sleep(1)
            ended = [await task for task in dribbling]
            assert all(10 <= each <= 14 for each in ended)
            assert server.stats["connections_slow"] == 40
            assert server.stats["connections"] <= 1
            for _, writer in slow:
                writer.close()

    run(main, seed=1)


def test_a_record_of_two_gigabytes_is_refused_and_counted():
    async def main(net):
        one, other = net.add_hosts("one", "other")
        async with await rpc.serve([Counter()], host=other, tcp=PORT, register=False) as server:
            for mark in (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"):
                with one.active():
                    reader, writer = await asyncio.open_connection("other", PORT)
                writer.write(mark + bytes(100))
                with pytest.raises(ConnectionResetError):
                    await reader.read()
                writer.close()
            assert server.stats["fault_too_large"] == 2
            async with rpc.connect(V1, "other", port=PORT, host=one) as stub:
                assert await stub.ADD(1) == 1

    run(main, seed=1)


def test_a_list_of_a_million_nodes_is_refused_and_the_server_goes_on():
    x = """
        struct node { int value; node *next; };
        program P { version LISTS { int LENGTH(node) = 1; } = 1; } = 0x20005678;
    """
    lists = rpc.compile_x(x)

    class Lists(lists.LISTS.Server):
        async def LENGTH(self, ctx, node):
            length = 0
            while node is not None:
                node, length = node.next, length + 1
            return length

    async def main():
        call = build_call(7, lists.LISTS.program, 1, 1)
        async with (
            await rpc.serve([Lists()], udp=None, register=False, max_record=1 << 24) as server,
            await rpc.mailbox(max_record=1 << 24) as box,
        ):
            channel = await box.connect("tcp", "127.0.0.1", server.tcp_port)
            for nodes, status in ((50_000, 0), (1_000_000, 4)):
                args = bytes(8) if nodes == 1 else (bytes(4) + b"\0\0\0\1") * (nodes - 1) + bytes(8)
                await box.send(call + args, channel)
                reply = (await box.receive(timeout=20)).message
                assert int.from_bytes(reply[20:24], "big") == status
            assert int.from_bytes(reply[20:24], "big") == 4
            assert sum(count for name, count in server.stats.items() if name.startswith("garbage_")) == 1

    asyncio.run(main())


def test_ten_thousand_connections_and_some_more():
    """The first ones give way, and who calls is served."""
    extra = 200

    async def main(net):
        one, other = net.add_hosts("one", "other")
        limits = rpc.ServerLimits(connections=MANY, connections_per_client=2 * MANY)
        async with (
            await rpc.serve([Counter()], host=other, tcp=PORT, register=False, limits=limits) as server,
            rpc.connect(V1, "other", port=PORT, host=one) as stub,
        ):
            opened = []
            for number in range(MANY + extra):
                transport, _ = await one.stack.create_connection(asyncio.Protocol, other.address, PORT)
                opened.append(transport)
                if number % 500 == 499:
                    await stub.NULL()  # it stays among the busy ones
            await asyncio.sleep(0.1)
            assert server.stats["connections"] == MANY
            assert server.stats["connections_given_up"] == extra + 1
            assert [transport.is_closing() for transport in opened].count(True) == extra + 1
            assert await stub.ADD(1) == 1
            assert server.stats["connections_given_up"] == extra + 1
            for transport in opened:
                transport.abort()

    run(main, seed=1, invariants=False, record_frames=100)
