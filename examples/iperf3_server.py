"""A server for `iperf3 -c`: TCP and UDP, both ways (`-R`, `--bidir`), several streams, omitted seconds.

Plain asyncio; nothing in it knows of tapstack.  On the kernel's sockets, and on the stack:

    python examples/iperf3_server.py
    tapstack run -- python examples/iperf3_server.py

One test at a time, as iperf3 itself does it; the client says when it ends.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable

PORT = 5201
COOKIE = 37  # bytes: 36 characters and a NUL
# What one side tells the other, a byte each
TEST_START, TEST_RUNNING, TEST_END, PARAM_EXCHANGE, CREATE_STREAMS = 1, 2, 4, 9, 10
EXCHANGE_RESULTS, DISPLAY_RESULTS = 13, 14
ACCESS_DENIED = 255
HELLO = struct.pack("=I", 0x39383736)  # the answer to the first datagram of a stream, as iperf3 3.12 has it
TOTAL_RETRANS = 100  # where that is in struct tcp_info

LARGEST_JSON = 1 << 16
LARGEST_BLOCK = 1 << 20
MOST_STREAMS = 128
PATIENCE = 10.0  # seconds for what a client does at once
GRACE = 30.0  # seconds that a test may last longer than it should
BURST = 16  # datagrams of a round: more at once overruns the buffer that a client has by default


class Refused(Exception):
    """What the client wants is not to be had, or no sense."""


class Parameters:
    """What the client asks for."""

    def __init__(self, wanted: dict) -> None:
        self.udp = bool(wanted.get("udp"))
        self.reverse = bool(wanted.get("reverse"))
        self.bidirectional = bool(wanted.get("bidirectional"))
        self.streams = self._number(wanted, "parallel", 1, 1, MOST_STREAMS)
        self.block = self._number(wanted, "len", 1460 if self.udp else 131072, 16, 65507 if self.udp else LARGEST_BLOCK)
        self.seconds = self._number(wanted, "time", 0, 0, 86400)
        self.omit = self._number(wanted, "omit", 0, 0, 600)
        self.bits_per_second = self._number(wanted, "bandwidth", 0, 0, 1 << 40)
        self.counter = struct.Struct("!IIQ" if wanted.get("udp_counters_64bit") else "!III")
        self.congestion = str(wanted.get("congestion", ""))
        self.nodelay = bool(wanted.get("nodelay"))

    @staticmethod
    def _number(wanted: dict, name: str, default: int, least: int, most: int) -> int:
        value = wanted.get(name, default)
        if not isinstance(value, int) or not least <= value <= most:
            raise Refused(f"{name}: {value!r} is not in {least} to {most}")
        return value

    def directions(self) -> list[bool]:
        """Whether we send, for each stream in the order in which they are made."""
        if self.bidirectional:
            return [False] * self.streams + [True] * self.streams
        return [self.reverse] * self.streams


class Stream:
    """One stream of data and what was counted of it."""

    def __init__(self, parameters: Parameters, place: int, *, sends: bool) -> None:
        self.parameters = parameters
        self.number = place + 1 if place == 0 else place + 2  # iperf3 counts 1, 3, 4, 5, ...
        self.sends = sends
        self.running = False
        self.nbytes = self.packets = self.errors = 0
        self.again = -1  # segments sent again; -1 where that is unknown
        self.jitter = 0.0
        self._lost_before = self._packets_before = 0

    def begin(self) -> None:
        """The test starts."""
        self.running = True

    def end(self) -> None:
        """The test is over."""
        self.running = False

    def close(self) -> None:
        """Let go of what it stands on."""

    def omit(self) -> None:
        """What was counted so far does not count."""
        self.nbytes = 0
        self._lost_before, self._packets_before = self.errors, self.packets

    def result(self, seconds: float) -> dict:
        """As the other side wants it."""
        return {
            "id": self.number,
            "bytes": self.nbytes,
            "retransmits": self.again,
            "jitter": self.jitter,
            "errors": self.errors,
            "omitted_errors": self._lost_before,
            "packets": self.packets,
            "omitted_packets": self._packets_before,
            "start_time": 0,
            "end_time": seconds,
        }


class TcpStream(Stream):
    """Over a connection; writes zeros as fast as they are taken, or counts what comes."""

    def __init__(self, connection: "Connection", parameters: Parameters, place: int, *, sends: bool) -> None:
        super().__init__(parameters, place, sends=sends)
        self._connection = connection
        self._transport = connection.transport
        self._data = bytes(parameters.block)
        connection.take = self._count
        connection.resume = self._pump
        sock = self._transport.get_extra_info("socket")
        if parameters.nodelay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parameters.congestion:
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, parameters.congestion.encode())
            except OSError as error:
                raise Refused(f"congestion control {parameters.congestion}: {error.strerror}") from error

    def begin(self) -> None:
        """Start to send."""
        super().begin()
        if self.sends:
            self._pump()

    def end(self) -> None:
        """The client reads whole blocks of what was sent, so that it needs an end; our buffer is not sent yet."""
        super().end()
        if self.sends:
            self.again = self.retransmits()
            self.nbytes = max(0, self.nbytes - self._transport.get_write_buffer_size())
            self._transport.close()

    def close(self) -> None:
        """At once: nobody reads what is left."""
        if not self._connection.ended:
            self._transport.abort()

    def retransmits(self) -> int:
        """Segments sent again, by TCP_INFO; -1 where there is none."""
        with contextlib.suppress(OSError, AttributeError, struct.error):
            info = self._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            return struct.unpack_from("=I", info, TOTAL_RETRANS)[0]
        return -1

    def _pump(self) -> None:
        if self.running and not self._connection.paused and not self._transport.is_closing():
            self._transport.write(self._data)
            self.nbytes += len(self._data)
            asyncio.get_running_loop().call_soon(self._pump)

    def _count(self, data: bytes) -> None:
        if self.running:
            self.nbytes += len(data)


class UdpStream(Stream):
    """Datagrams to and from one address; each begins with when it was sent, and its number."""

    def __init__(
        self, endpoint: "Datagrams", address: tuple, parameters: Parameters, place: int, *, sends: bool
    ) -> None:
        super().__init__(parameters, place, sends=sends)
        self._endpoint = endpoint
        self._address = address
        self._transit: float | None = None
        self._task: asyncio.Task | None = None

    def begin(self) -> None:
        """Start to send."""
        super().begin()
        if self.sends:
            self._task = asyncio.get_running_loop().create_task(self._send())

    def close(self) -> None:
        """Send no more."""
        if self._task is not None:
            self._task.cancel()

    async def _send(self) -> None:
        """At the rate that was asked for, or as fast as it goes; a burst at a time, so that others have their turn."""
        size, rate = self.parameters.block, self.parameters.bits_per_second / 8
        rest = bytes(size - self.parameters.counter.size)
        began = time.monotonic()
        while self.running:
            due = (time.monotonic() - began) * rate / size - self.packets if rate else BURST
            for _ in range(min(int(due), BURST)):
                self.packets += 1
                seconds, part = divmod(time.time_ns() // 1000, 1_000_000)
                head = self.parameters.counter.pack(seconds, part, self.packets)
                self._endpoint.transport.sendto(head + rest, self._address)
                self.nbytes += size
            await self._endpoint.writable.wait()
            await asyncio.sleep(0 if due >= 1 else (1 - due) * size / rate)

    def count(self, data: bytes) -> None:
        """What is missing, late, and how evenly it comes (RFC 3550 §6.4.1)."""
        if not self.running or self.sends or len(data) < self.parameters.counter.size:
            return
        seconds, part, number = self.parameters.counter.unpack_from(data)
        self.nbytes += len(data)
        if number > self.packets:
            self.errors += number - self.packets - 1
            self.packets = number
        elif self.errors:
            self.errors -= 1  # it was taken for lost
        transit = time.time() - seconds - part / 1e6
        if self._transit is not None:
            self.jitter += (abs(transit - self._transit) - self.jitter) / 16
        self._transit = transit


class Datagrams(asyncio.DatagramProtocol):
    """The UDP port: what comes goes to the streams of the test."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self.streams: dict[tuple, UdpStream] = {}
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        """Where answers go."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        """Of a stream, or the first of one."""
        stream = self.streams.get(addr)
        if stream is not None:
            stream.count(data)
        elif len(data) == len(HELLO) and self._server.test is not None:
            stream = self._server.test.add_datagrams(self, addr)
            if stream is not None:
                self.streams[addr] = stream
                self.transport.sendto(HELLO, addr)

    def pause_writing(self) -> None:
        """Too much is waiting to be sent."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self.writable.set()


class Connection(asyncio.Protocol):
    """A connection that begins with a cookie: the first with it controls a test, the others are its streams."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._head = b""
        self.paused = self.ended = False
        self.take: Callable[[bytes], object] | None = None  # whose the octets after the cookie are
        self.resume: Callable[[], None] | None = None
        self.lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """It has a while to say what it is."""
        self.transport = transport
        self._deadline = asyncio.get_running_loop().call_later(PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        """The cookie, and what comes after it."""
        if self.take is not None:
            self.take(data)
            return
        self._head += data
        if len(self._head) >= COOKIE:
            self._deadline.cancel()
            self._server.admit(self, self._head[:COOKIE])
            if self.take is not None and len(self._head) > COOKIE:
                self.take(self._head[COOKIE:])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever reads."""
        self.ended = True
        self._deadline.cancel()
        if self.lost is not None:
            self.lost()

    def pause_writing(self) -> None:
        """Too much is waiting to be sent."""
        self.paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self.paused = False
        if self.resume is not None:
            self.resume()


class Test:
    """One test, from the first byte on its control connection to the last."""

    def __init__(self, control: Connection, cookie: bytes) -> None:
        self.cookie = cookie
        self.streams: list[Stream] = []
        self._control = control.transport
        self._reader = asyncio.StreamReader(LARGEST_JSON)
        self._parameters: Parameters | None = None
        self._complete = asyncio.Event()
        self._over = False
        control.take = self._feed
        control.lost = self.give_up

    def _feed(self, data: bytes) -> None:
        if not self._over:
            self._reader.feed_data(data)

    def give_up(self) -> None:
        """Nothing more comes from the client, or nothing that is wanted."""
        self._over = True
        self._reader.feed_eof()
        self._complete.set()

    def _place(self) -> bool | None:
        """Whether the next stream sends; None when there is to be no other."""
        directions = self._parameters.directions() if self._parameters else []
        return directions[len(self.streams)] if len(self.streams) < len(directions) else None

    def _add(self, stream: Stream) -> None:
        self.streams.append(stream)
        if self._place() is None:
            self._complete.set()

    def add_connection(self, connection: Connection) -> None:
        """A stream over TCP; closed when it is not wanted."""
        sends = self._place()
        if sends is None or self._parameters.udp:
            connection.transport.abort()
            return
        self._add(TcpStream(connection, self._parameters, len(self.streams), sends=sends))

    def add_datagrams(self, endpoint: Datagrams, address: tuple) -> UdpStream | None:
        """A stream over UDP, if one is wanted."""
        sends = self._place()
        if sends is None or not self._parameters.udp:
            return None
        stream = UdpStream(endpoint, address, self._parameters, len(self.streams), sends=sends)
        self._add(stream)
        return stream

    def _say(self, state: int) -> None:
        self._control.write(bytes([state]))

    async def _hear(self) -> dict:
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        if size > LARGEST_JSON:
            raise Refused(f"{size} bytes of JSON")
        value = json.loads(await self._reader.readexactly(size))
        if not isinstance(value, dict):
            raise Refused("JSON that is no object")
        return value

    async def run(self) -> str:
        """All of it; what happened, in a line."""
        try:
            async with asyncio.timeout(PATIENCE):
                self._say(PARAM_EXCHANGE)
                wanted = self._parameters = Parameters(await self._hear())
                self._say(CREATE_STREAMS)
                await self._complete.wait()
            if self._over:
                raise Refused("no test: not all streams came about")
            self._say(TEST_START)
            self._say(TEST_RUNNING)
            seconds = await self._measure(wanted)
            async with asyncio.timeout(PATIENCE):
                self._say(EXCHANGE_RESULTS)
                await self._hear()
                self._tell(seconds)
                self._say(DISPLAY_RESULTS)
                await self._reader.read(1)
            return self._summary(seconds)
        finally:
            for stream in self.streams:
                stream.close()
            self._control.close()

    async def _measure(self, wanted: Parameters) -> float:
        """Until the client says that it is over; the seconds that count, and the CPU of all of them."""
        loop = asyncio.get_running_loop()
        began, cpu = time.monotonic(), os.times()
        for stream in self.streams:
            stream.begin()
        omit = loop.call_later(wanted.omit, self._omit) if wanted.omit else None
        try:
            async with asyncio.timeout(wanted.seconds + wanted.omit + GRACE if wanted.seconds else None):
                state = await self._reader.readexactly(1)
        finally:
            for stream in self.streams:
                stream.end()
            if omit is not None:
                omit.cancel()
        if state[0] != TEST_END:
            raise Refused("the client gave up")
        elapsed, now = time.monotonic() - began, os.times()
        self._cpu = [100 * (b - a) / elapsed for a, b in zip(cpu[:2], now[:2], strict=True)]
        return max(elapsed - wanted.omit, 1e-6)

    def _omit(self) -> None:
        for stream in self.streams:
            stream.omit()

    def _tell(self, seconds: float) -> None:
        user, system = self._cpu
        again = [stream.again for stream in self.streams if stream.sends]
        value = {
            "cpu_util_total": user + system,
            "cpu_util_user": user,
            "cpu_util_system": system,
            "sender_has_retransmits": int(bool(again) and min(again) >= 0) if again else -1,
            "streams": [stream.result(seconds) for stream in self.streams],
        }
        octets = json.dumps(value).encode()
        self._control.write(len(octets).to_bytes(4, "big") + octets)

    def _summary(self, seconds: float) -> str:
        parts = []
        for sends, verb in ((False, "received"), (True, "sent")):
            total = sum(stream.nbytes for stream in self.streams if stream.sends == sends)
            if any(stream.sends == sends for stream in self.streams):
                parts.append(f"{verb} {total} bytes, {total * 8 / seconds / 1e6:.0f} Mbit/s")
        return "; ".join(parts)


class Server:
    """The ports; one test at a time."""

    def __init__(self) -> None:
        self.test: Test | None = None
        self._tasks: set[asyncio.Task] = set()
        self._datagrams = Datagrams(self)

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """TCP and UDP."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self._datagrams, (host, port))
        return await loop.create_server(lambda: Connection(self), host, port)

    def admit(self, connection: Connection, cookie: bytes) -> None:
        """A stream of the test that runs, a new test, or one too many."""
        if self.test is None:
            self.test = Test(connection, cookie)
            task = asyncio.get_running_loop().create_task(self._run(connection, self.test))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif self.test.cookie == cookie:
            try:
                self.test.add_connection(connection)
            except Refused as refused:
                print(refused, file=sys.stderr, flush=True)
                self.test.give_up()
        else:
            connection.transport.write(bytes([ACCESS_DENIED]))
            connection.transport.close()

    async def _run(self, connection: Connection, test: Test) -> None:
        peer = connection.transport.get_extra_info("peername")[0]
        try:
            print(f"{peer}: {await test.run()}", flush=True)
        except asyncio.IncompleteReadError:
            print(f"{peer}: closed its connection", flush=True)
        except (Refused, ValueError, OSError, TimeoutError) as error:
            print(f"{peer}: {str(error) or 'took too long'}", flush=True)
        finally:
            self.test = None
            self._datagrams.streams.clear()


async def main(host: str, port: int) -> None:
    """Serve until Ctrl-C."""
    server = await Server().listen(host, port)
    print(f"iperf3 server on port {port}; Ctrl-C ends it", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104  (whoever can reach it)
    parser.add_argument("--port", type=int, default=PORT)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(options.host, options.port))
