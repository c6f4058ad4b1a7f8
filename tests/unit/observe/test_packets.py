"""Packets of a running host, for who watches: whole and in order, with remarks, and nothing in the way before."""

import asyncio
import random

import pytest

from stack.aio.device_driver import monotonic_us
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.device.pcapng import INBOUND, OUTBOUND
from stack.observe.filter import compile_filter
from stack.observe.observer import Observer
from stack.observe.packets import SNAP, WatchedDevice
from stack.trace import Trace
from stack.wire import accel
from stack.wire.burst import Burst
from tests.support.aio_nets import SERVER_IP, StackNet

STATUS: dict[str, list[object]] = {"connections": []}
TRAFFIC = dict.fromkeys(("rx_bytes", "tx_bytes", "rx_frames", "tx_frames"), 0)


def observe(host):
    return Observer(host.driver, lambda _most: STATUS, lambda: TRAFFIC)


def hooks(host):
    """Everything by which a frame could meet somebody who watches."""
    host_inside, driver = host.host, host.driver
    sinks = [interface.sink for interface in host_inside.ip.interfaces.values()]
    return {
        "traces": (host_inside.trace, host_inside.ip.trace),
        "watched": any(isinstance(one, WatchedDevice) for one in [*driver.devices().values(), *sinks]),
    }


NONE = {"traces": (None, None), "watched": False}


async def echo(net, size=200_000):
    """Some traffic; what came back."""

    async def serve(reader, writer):
        writer.write(await reader.read())
        writer.close()

    async with await net.server.start_server(serve, port=7):
        reader, writer = await net.client.open_connection(SERVER_IP, 7)
        writer.write(bytes(size))
        writer.write_eof()
        got = await reader.read()
        writer.close()
    return len(got)


def taken(subscription):
    found = []
    while (seen := subscription.take()) is not None:
        found.append(seen)
    return found


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 30))


def test_no_hook_is_installed_while_nobody_listens():
    async def scenario():
        async with StackNet() as net:
            observer = observe(net.server)
            observer.start()
            before = hooks(net.server)
            first = observer.packets.subscribe(lambda: None, whole=True)
            second = observer.packets.subscribe(lambda: None, whole=False)
            during = hooks(net.server)
            first.close()
            still = hooks(net.server)
            second.close()
            assert await echo(net) == 200_000
            after = hooks(net.server)
            observer.stop()
            return before, during["watched"], still["watched"], after, observer.packets.topic.published

    assert run(scenario()) == (NONE, True, True, NONE, 0)


def test_a_trace_that_was_there_before_is_told_too_and_comes_back():
    class Mine(Trace):
        def __init__(self):
            self.dropped = []

        def on_drop(self, reason, index):
            self.dropped.append(reason)

    async def scenario():
        async with StackNet() as net:
            mine = Mine()
            net.server.host.set_trace(mine)
            subscription = observe(net.server).packets.subscribe(lambda: None, whole=False)
            with pytest.raises(OSError):
                await net.client.open_connection(SERVER_IP, 9)
            notes = [seen.note for seen in taken(subscription)]
            subscription.close()
            return len(mine.dropped), notes, net.server.host.trace is mine

    dropped, notes, is_back = run(scenario())
    assert (dropped, is_back) == (1, True)
    assert [note for note in notes if note] == ["dropped: tcp_no_port", "reset: no such connection"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_stream_while_watchers_come_and_go_arrives_whole(whole):
    async def scenario():
        async with StackNet() as net:
            observer = observe(net.server)
            test, rng = compile_filter("tcp"), random.Random(1)

            async def come_and_go():
                while True:
                    subscription = observer.packets.subscribe(lambda: None, test, whole=whole)
                    try:
                        for _ in range(rng.randrange(4)):
                            await asyncio.sleep(0)
                    finally:
                        subscription.close()
                    for _ in range(rng.randrange(4)):
                        await asyncio.sleep(0)

            task = asyncio.create_task(come_and_go())
            got = await echo(net, 3_000_000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return got, observer.packets.topic.published > 0, hooks(net.server)

    assert run(scenario()) == (3_000_000, True, NONE)


def test_whole_frames_are_those_of_a_wire():
    async def scenario():
        async with StackNet() as net:
            subscription = observe(net.server).packets.subscribe(lambda: None, whole=True, max_items=100_000)
            await echo(net)
            seen = taken(subscription)
            subscription.close()
            return seen

    seen = run(scenario())
    tcp = [one for one in seen if one.head.proto == 6]
    assert any(one.segs > 1 for one in tcp)
    for direction in (INBOUND, OUTBOUND):
        frames = [data for one in tcp if one.direction == direction for data in one.wire_frames()]
        assert max(map(len, frames)) == 1514
        payload = sum(len(data) - 34 - (data[46] >> 4) * 4 for data in frames)
        assert payload == 200_000

        burst = Burst()
        parsed = [accel.load_frames(burst, [data], data[:6]) and burst.row_at(0) for data in frames]
        assert not any(row[9] & 64 for row in parsed)  # checksums are right


def test_beginnings_are_enough_for_a_list():
    async def scenario():
        async with StackNet() as net:
            subscription = observe(net.server).packets.subscribe(lambda: None, whole=False, max_items=100_000)
            await echo(net)
            seen = taken(subscription)
            subscription.close()
            return seen

    seen = run(scenario())
    assert max(len(one.data) for one in seen) == SNAP
    assert max(one.length for one in seen) > 10_000
    times = [one.time for one in seen]
    assert times == sorted(times)


def test_remarks_of_the_stack_go_with_its_frames():

    def lossy(device):
        return FaultDevice(device, random.Random(3), monotonic_us, inbound=Faults(loss=0.05), outbound=Faults())

    async def scenario():
        async with StackNet(wrap=lossy) as net:
            subscription = observe(net.server).packets.subscribe(lambda: None, whole=False, max_items=100_000)
            got = await echo(net, 2_000_000)
            notes = {seen.note.partition(":")[0] for seen in taken(subscription)}
            subscription.close()
            return got, notes

    got, notes = run(scenario())
    assert got == 2_000_000
    assert {"", "retransmission"} <= notes


def test_a_host_that_has_ended_can_still_be_left():
    async def scenario():
        async with StackNet() as net:
            subscription = observe(net.server).packets.subscribe(lambda: None, whole=True)
            await net.server.aclose(0)
            subscription.close()
            late = observe(net.server).packets.subscribe(lambda: None, whole=True)
            late.close()

    run(scenario())
