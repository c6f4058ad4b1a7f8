"""Mailboxes over everything that carries messages: in a simulation, on kernel sockets, within the process."""

import asyncio
import gc
import socket

import pytest

from stack.device.fault_settings import Faults
from stack.errors import BrokenPipe, ConfigError, MessageTooLong
from stack.rpc.mailboxes import Mailbox, mailbox
from stack.rpc.record import mark_of
from stack.sim import NotSimulated, run


def simulated(main, seed=1, **options):
    async def wrapped(net):
        one, other = net.add_hosts("one", "other")
        await main(net, one, other)

    run(wrapped, seed=seed, **options)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_a_message_goes_there_and_back_between_hosts(proto):
    async def main(net, one, other):
        async with await mailbox(udp=5000, tcp=5000, host=other) as there, await mailbox(host=one) as here:
            channel = await here.connect(proto, "other", 5000)
            await here.send(b"hello", channel)
            letter = await there.receive(timeout=5)
            assert letter.message == b"hello"
            assert letter.sender.carrier.name == proto
            assert letter.sender.source[0] == one.address
            await there.send(b"and back", letter.sender)
            back = await here.receive(timeout=5)
            assert (back.message, back.sender) == (b"and back", channel)

    simulated(main)


def test_the_active_host_speaks_when_none_is_given():
    async def main(net, one, other):
        with other.active():
            there = await mailbox(tcp=5000)
            assert there.ports.tcp == [(other.address, 5000)]
        with one.active():
            here = await mailbox()
            await here.send(b"hello", await here.connect("tcp", "other", 5000))
        assert (await there.receive(timeout=5)).sender.source[0] == one.address
        here.close()
        there.close()

    simulated(main)


@pytest.mark.parametrize("proto", ["udp", "tcp", "unix"])
def test_kernel_sockets_carry_the_same(proto, tmp_path):
    async def main():
        path = str(tmp_path / "box")
        async with await mailbox(udp=0, tcp=0, unix=path) as there, await mailbox() as here:
            address = {"udp": there.ports.udp[0], "tcp": there.ports.tcp[0], "unix": (path,)}[proto]
            channel = await here.connect(proto, *address)
            await here.send(b"hello", channel)
            letter = await there.receive(timeout=5)
            await there.send(letter.message * 2, letter.sender)
            assert (await here.receive(timeout=5)).message == b"hellohello"
            assert letter.sender.source[0] == ("" if proto == "unix" else "127.0.0.1")
        await asyncio.sleep(0)
        assert not (tmp_path / "box").exists()

    asyncio.run(main())
    gc.collect()


def test_within_the_process_nothing_is_needed():
    async def main():
        async with Mailbox() as there, Mailbox() as here:
            channel = await here.connect("local", there)
            await here.send(b"hello", channel)
            letter = await there.receive()
            await there.send(b"back", letter.sender)
            assert (await here.receive()).message == b"back"
            channel.close()
            await asyncio.sleep(0)
            assert not letter.sender.is_open
            with pytest.raises(BrokenPipe, match="connect again"):
                await there.send(b"late", letter.sender)

    asyncio.run(main())


def test_a_unix_socket_is_no_simulated_hosts():
    async def main(net, one, other):
        with one.active(), pytest.raises(NotSimulated):
            await mailbox(unix="/tmp/x")

    simulated(main)


@pytest.mark.parametrize("proto", ["tcp", "local"])
def test_a_full_mailbox_makes_senders_wait_and_loses_nothing(proto):
    """Each sender has at most what is under way ahead of the receiver."""
    size = 20_000

    async def main(net, one, other):
        async with await mailbox(tcp=5000, host=other, size=4) as there, await mailbox(host=one) as here:
            channel = await here.connect(proto, "other" if proto == "tcp" else there, 5000)
            sent = 0

            async def send():
                nonlocal sent
                for number in range(400):
                    await here.send(number.to_bytes(4, "big") + bytes(size), channel)
                    sent += 1

            sending = asyncio.create_task(send())
            await asyncio.sleep(60)
            assert len(there) == 4
            stuck_at = sent
            assert 8 < stuck_at < 400
            for number in range(400):
                letter = await there.receive(timeout=60)
                assert int.from_bytes(letter.message[:4], "big") == number
            await sending
            assert there.stats["received"] == 400
            assert there.stats["dropped_full"] == 0

    simulated(main)


def test_datagrams_for_a_full_mailbox_are_dropped_and_counted():
    async def main(net, one, other):
        async with await mailbox(udp=5000, host=other, size=4) as there, await mailbox(host=one) as here:
            channel = await here.connect("udp", "other", 5000)
            for number in range(10):
                await here.send(bytes([number]), channel)
            await asyncio.sleep(1)
            assert there.stats["dropped_full"] == 6
            assert [(await there.receive()).message for _ in range(4)] == [bytes([number]) for number in range(4)]

    simulated(main)


def test_what_is_too_long_is_refused_before_it_is_sent():
    async def main(net, one, other):
        async with await mailbox(udp=5000, tcp=5000, host=other, max_record=70_000) as there:
            for proto, limit in (("udp", 65_507), ("tcp", 70_000)):
                channel = await there.connect(proto, "other", 5000)
                with pytest.raises(MessageTooLong, match=str(limit)):
                    await there.send(bytes(limit + 1), channel)
                with pytest.raises(ConfigError, match="at least one"):
                    await there.send(b"", channel)

    simulated(main)


def test_receive_gives_up_in_time_and_at_the_end():
    async def main(net, one, other):
        box = await mailbox(host=one)
        with pytest.raises(TimeoutError):
            await box.receive(timeout=3)
        assert net.time == pytest.approx(3)
        waiting = [asyncio.create_task(box.receive()) for _ in range(2)]
        await asyncio.sleep(0)
        box.close()
        for task in waiting:
            with pytest.raises(BrokenPipe, match="closed"):
                await task

    simulated(main)


def test_a_receiver_that_is_cancelled_takes_no_letter_with_it():
    async def main():
        async with Mailbox() as there, Mailbox() as here:
            channel = await here.connect("local", there)
            first, second = (asyncio.create_task(there.receive()) for _ in range(2))
            await asyncio.sleep(0)
            channel.post(b"hello")
            await asyncio.sleep(0)  # delivered in this round: the first one is about to wake
            first.cancel()
            assert (await second).message == b"hello"
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())


def test_a_peer_that_sends_no_records_is_cut_off_and_counted():
    async def main(net, one, other):
        async with await mailbox(tcp=5000, host=other, max_record=1000) as there:
            with one.active():
                reader, writer = await asyncio.open_connection("other", 5000)
            writer.write(mark_of(4) + b"good" + b"\xff\xff\xff\xff")
            assert (await there.receive(timeout=5)).message == b"good"
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert there.stats["faults"] == 1
            writer.close()

    simulated(main)


def test_connections_are_bounded():
    async def main(net, one, other):
        async with await mailbox(tcp=5000, host=other) as there, await mailbox(host=one) as here:
            there.max_connections = 3
            channels = [await here.connect("tcp", "other", 5000) for _ in range(5)]
            await asyncio.sleep(1)
            assert [channel.is_open for channel in channels] == [True, True, True, False, False]
            assert there.stats["refused"] == 2

    simulated(main)


def test_messages_survive_loss_on_streams():
    async def main(net, one, other):
        async with await mailbox(tcp=5000, host=other) as there, await mailbox(host=one) as here:
            channel = await here.connect("tcp", "other", 5000)
            for number in range(200):
                await here.send(bytes([number]) * (number * 37 + 1), channel)
            got = [(await there.receive(timeout=600)).message for _ in range(200)]
            assert got == [bytes([number]) * (number * 37 + 1) for number in range(200)]

    simulated(main, faults=Faults(delay_us=250, loss=0.1))


@pytest.mark.parametrize(
    ("wrong", "says"), [({"size": 0}, "at least 1"), ({"proto": "carrier pigeon"}, "'udp', 'tcp', 'unix'")]
)
def test_callers_are_told_what_to_do(wrong, says):
    async def main():
        with pytest.raises(ConfigError, match=says):
            box = Mailbox(size=wrong.get("size", 1))
            await box.connect(wrong["proto"], "127.0.0.1", 1)

    asyncio.run(main())


def test_a_port_that_is_taken_leaves_nothing_behind():
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(OSError, match="in use"):
                await mailbox(udp=0, tcp=taken.getsockname()[1])

    asyncio.run(main())
    gc.collect()  # an endpoint that is open would warn
