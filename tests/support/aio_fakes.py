"""A Host, connections and a device whose behaviour a test scripts, for the driver and its transports."""

from collections import deque

from stack.config import NEVER
from stack.errors import ConnectionAborted, DeviceGone
from stack.tcp.events import CLOSED, CONNECTED, EOF, READABLE, WRITABLE


class FakeConnection:
    """Remembers what the transport did; `feed`, `feed_eof`, `ack`, `end` play the peer."""

    def __init__(self, host, send_buffer=1 << 20):
        self.host = host
        self.send_buffer = send_buffer
        self.snd = self
        self.user = None
        self.events = 0
        self.error = None
        self.inbox = deque()
        self.sent = bytearray()
        self.buffered = 0
        self.want_writable = False
        self.ack_pending = False
        self.closed = 0
        self.aborted = 0
        self.released = 0
        self.local_addr, self.local_port = 0x0A000001, 1000
        self.remote_addr, self.remote_port = 0x0A000002, 2000

    def raise_events(self, bits):
        self.events |= bits
        if self not in self.host.ready:
            self.host.ready.append(self)

    def take_events(self):
        events, self.events = self.events, 0
        return events

    def connected(self):
        self.raise_events(CONNECTED)

    def feed(self, data):
        self.inbox.append(data)
        self.raise_events(READABLE)

    def feed_eof(self):
        self.raise_events(EOF)

    def ack(self, count):
        self.buffered -= count
        if self.buffered < self.send_buffer:
            self.raise_events(WRITABLE)

    def end(self, error=None):
        self.error = error
        self.raise_events(CLOSED)

    def send(self, data, now):
        assert type(data) is bytes
        assert not self.closed
        self.sent += data
        self.buffered += len(data)
        self.want_writable = self.buffered >= self.send_buffer

    def send_room(self):
        return self.send_buffer - self.buffered

    def drop_excess(self):
        excess = max(0, self.buffered - self.send_buffer)
        del self.sent[len(self.sent) - excess :]
        self.buffered -= excess

    def delay_ack(self, now):
        self.ack_pending = False

    def ack_soon(self):
        self.ack_pending = True

    def set_nodelay(self, on):
        self.nodelay = on

    def recv_pending(self):
        return sum(map(len, self.inbox))

    def recv(self, limit):
        if not self.inbox:
            return b""
        data = self.inbox.popleft()
        while self.inbox and len(data) + len(self.inbox[0]) <= limit:
            data += self.inbox.popleft()
        if len(data) > limit:
            self.inbox.appendleft(data[limit:])
        return data[:limit]

    def recv_into(self, buffer):
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self, now):
        self.closed += 1

    def abort(self, now):
        self.aborted += 1
        self.inbox.clear()
        self.end(ConnectionAborted("aborted"))

    def release(self, now):
        self.released += 1


class FakeHost:
    """Records calls in order.  `on_receive` is run when a burst comes."""

    def __init__(self):
        self.deadline = NEVER
        self.ready = []
        self.log = []
        self.on_receive = lambda: None
        self.on_due = lambda: None

    def add_interface(self, name, sink, mac, mtu, now):
        return 1

    def receive(self, ifindex, burst, now):
        self.log.append("receive")
        self.on_receive()

    def on_timer(self, now):
        assert now >= self.deadline, "fired early"
        self.deadline = NEVER
        self.log.append("on_timer")
        self.on_due()

    def poll_events(self):
        ready, self.ready = self.ready, []
        return ready

    def poll_transmit(self, now):
        self.log.append("transmit")

    def wake(self, endpoint):
        self.log.append("wake")


class FakeDevice:
    """A device without a descriptor; `bursts` are waiting."""

    name, mac, mtu = "fake0", b"\x02\0\0\0\0\1", 1500

    def __init__(self):
        self.on_readable = None
        self.deadline = NEVER
        self.bursts = 0
        self.reads = 0
        self.flushes = 0
        self.timers = []
        self.closed = False
        self.gone = False

    def fileno(self):
        return -1

    def arrive(self, bursts=1):
        self.bursts += bursts
        self.on_readable()

    def rx_burst(self, burst):
        self.reads += 1
        if self.gone:
            raise DeviceGone("unplugged")
        if not self.bursts:
            return 0
        self.bursts -= 1
        return 1

    def on_timer(self, now):
        assert now >= self.deadline
        self.deadline = NEVER
        self.timers.append(now)

    def flush(self):
        self.flushes += 1
        return 0

    def close(self):
        self.closed = True
