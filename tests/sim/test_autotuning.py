"""Buffers that grow with what a connection carries, end to end."""

from stack.config import MS, SECOND, HostConfig, TcpConfig
from stack.device.fault import Faults
from stack.tcp.connection import Connection
from stack.tcp.events import CLOSED
from tests.support.net import TestNet
from tests.support.rfc import rfc

RATE = 12_500_000  # 100 Mbit/s
LONG = Faults(delay_us=50 * MS, rate=RATE, queue_bytes=4 << 20)
# a sender that the path alone holds back, so that what is measured is the receiver's window
EAGER = TcpConfig(congestion="fixed", fixed_window_segs=1200, send_buffer=16 << 20, send_buffer_initial=16 << 20)


class Sink:
    """Reads all there is, or `pace` bytes at each call of `read`; remembers how much had come when."""

    def __init__(self, net: TestNet, conn: Connection, pace: int = 0) -> None:
        self.net, self.conn, self.pace = net, conn, pace
        self.got = 0
        self.at: list[tuple[int, int]] = []
        conn.user = self

    def on_events(self, events: int) -> None:
        assert not events & CLOSED
        if not self.pace:
            self.read(1 << 30)

    def read(self, limit: int) -> None:
        """Take up to `limit` bytes."""
        while data := self.conn.recv(limit):
            self.got += len(data)
            self.at.append((self.net.now, self.got))
            if self.pace:
                break
        self.net.b.wake(self.conn)


def started(nbytes: int, server_config: TcpConfig | None = None, pace: int = 0) -> tuple[TestNet, Sink]:
    net = TestNet(1, LONG, LONG, config=HostConfig(tcp=EAGER), invariants=False)
    client, server = net.connect(server_config=server_config)
    sink = Sink(net, server, pace)
    client.send(bytes(nbytes), net.now)
    net.a.wake(client)
    return net, sink


def rate_at_the_end(net: TestNet, sink: Sink, nbytes: int) -> int:
    """Bytes per second of the last third, when the buffer has had its round trips."""
    net.run_until(lambda: sink.got == nbytes, 100 * SECOND)
    begin, before = next(entry for entry in sink.at if entry[1] >= nbytes * 2 // 3)
    end, got = next(entry for entry in sink.at if entry[1] >= nbytes - 1448)  # the tail waits, Nagle
    return (got - before) * SECOND // (end - begin)


def test_a_long_fat_path_is_filled() -> None:
    """100 Mbit/s and 100 ms: twenty times what the window begins with is in flight."""
    nbytes = 10_000_000
    net, sink = started(nbytes)
    assert sink.conn.rcv.limit == 64 << 10
    assert rate_at_the_end(net, sink, nbytes) > RATE * 94 // 100  # headers are 4 %
    assert RATE // 10 < sink.conn.rcv.limit <= sink.conn.config.recv_buffer
    net.b.check_invariants()


def test_a_buffer_that_may_not_grow_is_the_control() -> None:
    net, sink = started(1_000_000, TcpConfig(recv_buffer=64 << 10))
    assert rate_at_the_end(net, sink, 1_000_000) < RATE // 10


def test_without_timestamps_the_path_is_filled_as_well() -> None:
    nbytes = 10_000_000
    net, sink = started(nbytes, TcpConfig(timestamps=False))
    assert rate_at_the_end(net, sink, nbytes) > RATE * 94 // 100


@rfc("9293", "3.8.6", "MUST-34")
def test_a_reader_that_is_slow_keeps_the_window_small() -> None:
    net, sink = started(1_000_000, pace=1)
    for _ in range(100):
        net.run_for(20 * MS)
        sink.read(1000)
        net.b.check_invariants()
    assert 50_000 < sink.got <= 100_000
    assert sink.conn.rcv.limit < 128 << 10
    # it wakes up: what waits is read, the window opens and grows
    sink.pace = 0
    sink.read(1 << 30)
    net.run_until(lambda: sink.got == 1_000_000, 20 * SECOND)
    assert sink.conn.rcv.limit > 128 << 10


def test_a_pause_of_the_sender_is_not_taken_for_a_long_round_trip() -> None:
    net, sink = started(200_000)
    net.run_until(lambda: sink.got == 200_000, 20 * SECOND)
    before = sink.conn.rcv.rtt_us
    assert 100 * MS <= before <= 140 * MS
    net.run_for(60 * SECOND)
    (client,) = net.a.connections()
    for total in (201_000, 202_000):
        client.send(bytes(1000), net.now)
        net.a.wake(client)
        net.run_until(lambda: sink.got == total, 20 * SECOND)  # noqa: B023 - called at once
    assert sink.conn.rcv.rtt_us <= before * 2


def test_the_send_buffer_follows_the_congestion_window() -> None:
    net = TestNet(1, LONG, LONG, invariants=False)
    client, server = net.connect()
    sink = Sink(net, server)
    config = client.config
    first = client.send_room()
    controller = client.snd.controller
    assert controller is not None
    assert first == config.send_buffer_initial + 2 * controller.cwnd
    written = 0
    largest = 0
    while written < 8_000_000:
        if (room := client.send_room()) > 0:
            client.send(bytes(room), net.now)
            written += room
            net.a.wake(client)
        largest = max(largest, client.send_pending())
        assert client.send_pending() <= max(config.send_buffer_initial + 2 * controller.cwnd, largest)
        net.run_for(5 * MS)
    assert 4 * first < largest <= config.send_buffer
    net.run_until(lambda: sink.got == written, 60 * SECOND)
    net.a.check_invariants()


def test_a_writer_with_a_low_water_mark_waits_for_what_is_unsent() -> None:
    lowat = 16 << 10
    net = TestNet(1, LONG, LONG)
    client, server = net.connect(client_config=TcpConfig(notsent_lowat=lowat))
    sink = Sink(net, server)

    class Writer:
        """Writes whenever there is room."""

        written = 0
        most_unsent = 0

        def on_events(self, _events: int) -> None:
            while self.written < 2_000_000 and (room := client.send_room()) > 0:
                client.send(bytes(room), net.now)
                self.written += room
            self.most_unsent = max(self.most_unsent, client.snd.unsent())
            net.a.wake(client)

    writer = Writer()
    client.user = writer
    writer.on_events(0)
    began = net.now
    net.run_until(lambda: sink.got >= 2_000_000, 60 * SECOND)
    assert writer.most_unsent <= lowat
    # the mark does not hold the connection back: as fast as without it
    plain = TestNet(1, LONG, LONG, invariants=False)
    client, server = plain.connect()
    data = bytes(2_000_000)
    start = plain.now
    assert plain.transfer(client, server, data, 60 * SECOND) == data
    assert net.now - began < (plain.now - start) * 12 // 10
