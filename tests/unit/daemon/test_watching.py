"""Watchers at the control socket: bounded, counted, and gone when the client is."""

import asyncio
import json
import socket

import pytest
import uvloop

from stack.daemon import report
from stack.daemon.control import ControlServer
from stack.daemon.watching import operations
from stack.device.pcapng import PcapngStream
from stack.observe.observer import Observer
from tests.support.aio_nets import SERVER_IP, StackNet

TRAFFIC = dict.fromkeys(("rx_bytes", "tx_bytes", "rx_frames", "tx_frames"), 0)


class Watched:
    """A host, its observer, and a control socket that offers nothing else."""

    def __init__(self, net, folder):
        self.net = net
        self.observer = Observer(
            net.server.driver, lambda most: report.from_host(net.server.host, most), lambda: TRAFFIC
        )
        self.path = folder / "control"

    async def __aenter__(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        listener.setblocking(False)
        actor = type("Actor", (), dict.fromkeys(("look_up", "call")))()
        self.server = ControlServer(actor, more=operations(self.observer))
        await self.server.start(listener)
        return self

    async def __aexit__(self, *exc_info):
        await self.server.stop()

    async def ask(self, **request):
        """(reader, writer, first answer)"""
        reader, writer = await asyncio.open_unix_connection(self.path, limit=1 << 24)
        writer.write(json.dumps(request).encode() + b"\n")
        return reader, writer, json.loads(await reader.readline())

    async def refuse_connections(self, count):
        """Each is two packets: a SYN, and the reset."""
        for _ in range(count):
            with pytest.raises(OSError):
                await self.net.client.open_connection(SERVER_IP, 9)

    async def nobody_watches(self):
        while any(self.observer.watchers.values()) or self.observer.packets.topic.subscriptions:
            await asyncio.sleep(0.01)
        return self.net.server.host.trace is None


def run(scenario, tmp_path, loop_factory=None):
    async def whole():
        async with StackNet() as net, Watched(net, tmp_path) as watched:
            return await asyncio.wait_for(scenario(watched), 30)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(whole())


async def rest(reader, writer):
    """What the capture was, after its client has said that it is enough."""
    writer.write_eof()
    stream = PcapngStream()
    packets = stream.feed(await reader.read())
    writer.close()
    return packets, stream


def test_a_capture_ends_when_the_client_has_enough_and_tells_the_counts(tmp_path):
    async def scenario(watched):
        reader, writer, answer = await watched.ask(op="capture", filter="tcp")
        await watched.refuse_connections(3)
        packets, stream = await rest(reader, writer)
        return answer, packets, stream, await watched.nobody_watches()

    answer, packets, stream, is_off = run(scenario, tmp_path)
    assert (answer, is_off) == ({"ok": True}, True)
    assert [packet.comments for packet in packets] == [("dropped: tcp_no_port",), ("reset: no such connection",)] * 3
    assert (stream.captured, stream.dropped) == (6, 0)


def test_a_count_ends_it(tmp_path):
    async def scenario(watched):
        reader, writer, _ = await watched.ask(op="capture", filter="tcp", count=3, snaplen=64)
        await watched.refuse_connections(3)
        stream = PcapngStream()
        packets = stream.feed(await reader.read())
        writer.close()
        return packets, stream

    packets, stream = run(scenario, tmp_path)
    assert (len(packets), stream.captured) == (3, 3)
    assert all(len(packet.data) <= 64 <= packet.original_len for packet in packets[:1])


def test_what_a_slow_client_misses_is_counted_and_the_stack_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("stack.daemon.watching.QUEUE_ITEMS", 10)

    async def scenario(watched):
        reader, writer, _ = await watched.ask(op="capture", filter="tcp")
        (subscription,) = watched.observer.packets.topic.subscriptions
        wake, subscription.on_ready = subscription.on_ready, lambda: None  # as if it waited for the client
        await watched.refuse_connections(20)
        wake()
        packets, stream = await rest(reader, writer)
        return len(packets), stream.captured, stream.dropped

    assert run(scenario, tmp_path) == (10, 10, 30)


def test_a_client_that_vanishes_is_forgotten(tmp_path):
    async def scenario(watched):
        for op in ("capture", "watch"):
            _, writer, answer = await watched.ask(op=op)
            assert answer == {"ok": True}
            writer.transport.abort()
        return await watched.nobody_watches()

    assert run(scenario, tmp_path)


def test_a_client_that_leaves_packets_unread_is_no_error(tmp_path, caplog):
    """As one whose disk is full: it ends with a reset.  The daemon's loop, uvloop, raises for writes after that."""

    async def scenario(watched):
        _, writer, _ = await watched.ask(op="capture", filter="tcp")
        writer.transport.pause_reading()
        await watched.refuse_connections(3)
        writer.transport.abort()
        return await watched.nobody_watches()

    assert run(scenario, tmp_path, uvloop.new_event_loop)
    assert [record.message for record in caplog.records] == []


def test_watch_sends_a_snapshot_at_once_and_each_that_follows(tmp_path):
    async def scenario(watched):
        reader, writer, _ = await watched.ask(op="watch")
        first = json.loads(await reader.readline())
        watched.observer.ticks.publish(b'{"n": 1}', 8)
        second = json.loads(await reader.readline())
        writer.close()
        return first, second, await watched.nobody_watches()

    first, second, _ = run(scenario, tmp_path)
    assert (first["watchers"], second) == ({"status": 1}, {"n": 1})


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"filter": "tpc"}, "unknown word"),
        ({"filter": 5}, "must be text"),
        ({"count": -1}, "count must be"),
        ({"count": True}, "count must be"),
        ({"snaplen": 5}, "snaplen must be"),
        ({"snaplen": "all"}, "snaplen must be"),
    ],
)
def test_a_request_that_cannot_be_is_one_sentence(tmp_path, request_, says):
    async def scenario(watched):
        _, writer, answer = await watched.ask(op="capture", **request_)
        writer.close()
        return answer, await watched.nobody_watches()

    answer, is_off = run(scenario, tmp_path)
    assert not answer["ok"]
    assert says in answer["error"]
    assert is_off


def test_a_stream_is_read_in_any_pieces_and_refused_when_it_is_none():
    with pytest.raises(ValueError, match="block length"):
        PcapngStream().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
