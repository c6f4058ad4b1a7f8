"""Channels of networks: UDP, TCP and Unix sockets, by whichever network the loop has.

Theory of operation.  Everything is asked of a `Maker`: the host that was given (`host=`), else the running loop, which
may be asyncio's, uvloop's, a StackLoop or a simulation's.  Over UDP a message is a datagram; over streams it is a
record (RFC 5531 §11).  A UDP port has one sink for all its peers, and a channel is no more than an address there; a
connection is a channel.

What is posted while messages are being taken out of one chunk leaves in one piece: replies to pipelined calls share
segments as their calls did.
"""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stack.aio.active import ACTIVE
from stack.errors import AddressInUse
from stack.rpc.channel import Channel, Sink
from stack.rpc.dispatch import TCP, UDP, UNIX, Carrier, Pieces
from stack.rpc.duplicates import Source
from stack.rpc.record import MAX_RECORD, RecordReader, mark_of
from stack.wire.addr import format_addr

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

LOOPBACK: Final = "127.0.0.1"
ANY: Final = "0.0.0.0"  # noqa: S104  (of a host that has no address yet)
BACKLOG: Final = 1024  # connections that wait to be accepted
# after 10 s without a segment each 5 s: RFC 9293 §3.8.4 leaves the times to the application
_KEEP: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 6))
_NOW: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the end is a reset, which leaves the port free
_MS: Final = 1000
_MAX_USER_TIMEOUT_MS: Final = (1 << 31) - 1
MAX_CORKED: Final = 1 << 16  # octets that are collected before they leave all the same
LINGER_S: Final = 10.0  # for the peer to take what was posted before a connection was closed

Maker = Any  # an AsyncHost or a loop: both have `create_connection` and the like


def stack_of(host: "AsyncHost | VirtualHost | None") -> "AsyncHost | None":
    """The host of ours that shall speak: the one given, else the active one of this context."""
    if host is None:
        return ACTIVE.get()
    found: Any = host  # (a VirtualHost has it beneath)
    return getattr(found, "stack", found)  # type: ignore[no-any-return]


def maker_of(host: "AsyncHost | VirtualHost | None") -> Maker:
    """Whom to ask for connections and ports."""
    return getattr(host, "stack", host) if host is not None else asyncio.get_running_loop()


def own_addresses(host: "AsyncHost | VirtualHost | None") -> list[str]:
    """Where a server listens that was not told: on what our host has, else within this machine."""
    stack = stack_of(host)
    if stack is None:
        return [LOOPBACK]
    return [format_addr(address) for address, _ in stack.addresses()] or [ANY]


class DatagramChannel(Channel):
    """A peer of a UDP port."""

    __slots__ = ("_port", "_target")

    def __init__(self, port: "DatagramPort", source: Source, target: Any) -> None:
        self.carrier = UDP
        self.source = source
        self._port = port
        self._target = target  # None: the only one that the port speaks to

    @property
    def is_open(self) -> bool:
        """Whether messages can be posted."""
        return self._port.is_open

    @property
    def is_full(self) -> bool:
        """Whether senders should wait."""
        return self._port.is_full

    def post(self, message: bytes) -> None:
        """Send a message."""
        if self._port.is_full and self._target is not None:
            self._port.drop(self)  # nobody waits for the room of a port that all share
        else:
            self._port.send(message, self._target)

    def close(self) -> None:
        """Send what was posted, then end."""
        if self._target is None:
            self._port.close()


class DatagramPort(asyncio.DatagramProtocol):
    """A UDP port, of a server or, with one peer, of a client."""

    __slots__ = ("_peer", "_sink", "_transport", "is_full", "is_open")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._transport: Any = None
        self._peer: DatagramChannel | None = None
        self.is_open = True
        self.is_full = False

    def connection_made(self, transport: Any) -> None:
        """The port is there."""
        self._transport = transport

    def lead_to(self, peer: Source) -> DatagramChannel:
        """The channel to the only peer."""
        self._peer = DatagramChannel(self, peer, None)
        return self._peer

    @property
    def address(self) -> Source:
        """Its own address and port."""
        found = self._transport.get_extra_info("sockname")
        return found[0], found[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A message."""
        if self.is_open:
            self._sink.on_message(data, self._peer or DatagramChannel(self, (addr[0], addr[1]), addr))

    def error_received(self, exc: Exception) -> None:
        """ICMP, or this host could not send."""
        if self._peer is not None and self.is_open:
            self._sink.on_error(self._peer, exc)

    def pause_writing(self) -> None:
        """More was sent than the kernel takes."""
        self.is_full = True

    def resume_writing(self) -> None:
        """It takes more."""
        self.is_full = False
        if self._peer is not None:
            self._sink.on_room(self._peer)

    def send(self, message: bytes, target: Any) -> None:
        """One datagram."""
        if self.is_open:
            self._transport.sendto(message, target)

    def drop(self, channel: DatagramChannel) -> None:
        """Something for this peer is lost here, as it may be anywhere."""
        self._sink.on_error(channel, BlockingIOError())

    def close(self) -> None:
        """Give the port back."""
        if self.is_open:
            self.is_open = False
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by us, or the host has gone."""
        self.is_open = False
        if self._peer is not None:
            self._sink.on_closed(self._peer, exc)


class StreamChannel(Channel, asyncio.Protocol):
    """A connection."""

    # fmt: off
    __slots__ = (
        "_corked", "_corked_bytes", "_held", "_is_full", "_loop", "_reader", "_sink", "_transport", "_unread",
        "partial", "timeout",
    )
    # fmt: on

    def __init__(self, sink: Sink, carrier: Carrier, max_record: int, *, number: int = 0) -> None:
        super().__init__(carrier, ("", number))
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._reader = RecordReader(max_record)
        self._unread: deque[bytes] = deque()  # of the last chunk, while it is held
        self._corked: list[bytes] | None = None
        self._corked_bytes = 0
        self._held = False
        self._is_full = False
        self.timeout = 0.0
        self.partial: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can be posted."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_full(self) -> bool:
        """Whether senders should wait."""
        return self._is_full

    @property
    def local(self) -> Source:
        """Our address and port; ("", 0) where there is none."""
        found = None if self._transport is None else self._transport.get_extra_info("sockname")
        return (found[0], found[1]) if isinstance(found, tuple) else ("", 0)

    # -- asyncio

    def connection_made(self, transport: Any) -> None:  # (uvloop's are no subclass of asyncio.Transport)
        """It is open; whether somebody may come in says the sink, of a server's."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.source = peer[0], peer[1]
        if not self._sink.on_open(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """A chunk, with whole messages in it or not."""
        reader = self._reader
        messages = reader.feed(data)
        if messages:
            if self._unread or self._held:
                self._unread.extend(messages)
            elif len(messages) == 1:
                self._sink.on_message(messages[0], self)
            else:
                self._unread.extend(messages)
                self._advance()
        if self.partial is not None or not reader.is_between:
            self.partial = None if reader.is_between else reader.waiting
            self._sink.on_partial(self)
        if reader.fault is not None and self.is_open:
            self._sink.on_fault(self, reader.fault)
            self.abort()

    def _advance(self) -> None:
        """Give the sink what is there; what it posts leaves together."""
        self.cork()
        unread = self._unread
        while unread and not self._held and self.is_open:
            self._sink.on_message(unread.popleft(), self)
        self.uncork()

    def eof_received(self) -> bool:
        """Who sends no more waits for nothing either."""
        return False

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self._is_full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_full = False
        self._sink.on_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whichever side."""
        self._transport = None
        self._unread.clear()
        self._corked = None
        self._sink.on_closed(self, exc)

    # -- the sink's calls

    def post(self, message: bytes) -> None:
        """Send a message."""
        if self._corked is not None:
            self._corked.append(mark_of(len(message)) + message)
            self._corked_bytes += len(message)
            if self._corked_bytes > MAX_CORKED:  # the replies may be many times what they answer
                self.uncork()
                self.cork()
        elif self.is_open:  # (of one that has just failed, asyncio would log each write)
            self._transport.write(mark_of(len(message)) + message)

    def post_pieces(self, message: Pieces) -> None:
        """Send a message that is in pieces: none of them is copied here."""
        is_corked = self._corked is not None
        if is_corked:
            self.uncork()
        if self._transport is not None:
            self._transport.writelines((mark_of(message.size), *message.octets))
        if is_corked:
            self.cork()

    def cork(self) -> None:
        """Collect what is posted."""
        if self._corked is None:
            self._corked = []
            self._corked_bytes = 0

    def uncork(self) -> None:
        """Send what was collected."""
        corked, self._corked = self._corked, None
        if corked and self.is_open:
            self._transport.write(corked[0] if len(corked) == 1 else b"".join(corked))

    def hold(self) -> None:
        """Read no further."""
        if not self._held:
            self._held = True
            if self.is_open:
                self._transport.pause_reading()

    def resume(self) -> None:
        """Go on."""
        if self._held:
            self._held = False
            self._advance()
            if not self._held and self.is_open:
                self._transport.resume_reading()

    def set_timeout(self, seconds: float) -> None:
        """TCP's user timeout."""
        # RFC 5482: the user timeout, also of the kernel's connections
        if seconds == self.timeout or self.carrier is not TCP or not self.is_open:
            return
        self.timeout = seconds
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):  # of a connection that has just ended
                milliseconds = min(int(seconds * _MS) + (0 < seconds * _MS < 1), _MAX_USER_TIMEOUT_MS)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def keep_alive(self) -> None:
        """Ask the peer now and then whether it still knows of the connection.

        Who waits for replies sends nothing, so it would never hear that a server was started anew if the segment that
        said so was lost.
        """
        sock = self._transport.get_extra_info("socket") if self.is_open else None
        if sock is not None:
            with suppress(OSError):  # of a connection that has just ended
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in _KEEP:
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def close(self) -> None:
        """Send what was posted, then end; soon, also if the peer does not take it."""
        transport = self._transport
        if transport is not None:
            self.uncork()
            transport.close()
            if transport.get_write_buffer_size():
                self._loop.call_later(LINGER_S, self.abort)

    def abort(self) -> None:
        """End now."""
        transport = self._transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and self.carrier is TCP:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
        transport.abort()


# -- opening


async def dial_udp(sink: Sink, maker: Maker, address: str, port: int, local: Source | None = None) -> DatagramChannel:
    """A UDP port that speaks to one peer only.  Raises OSError."""
    transport, made = await maker.create_datagram_endpoint(
        lambda: DatagramPort(sink), remote_addr=(address, port), local_addr=local
    )
    peer = transport.get_extra_info("peername")
    channel: DatagramChannel = made.lead_to((peer[0], peer[1]))
    return channel


async def dial_tcp(
    sink: Sink, maker: Maker, address: str, port: int, local: Source | None = None, max_record: int = MAX_RECORD
) -> StreamChannel:
    """A connection.  `local`: from this address and port.  Raises OSError."""
    _, channel = await maker.create_connection(
        lambda: StreamChannel(sink, TCP, max_record), address, port, local_addr=local
    )
    channel.keep_alive()
    return channel  # type: ignore[no-any-return]


async def dial_unix(sink: Sink, path: str, max_record: int = MAX_RECORD) -> StreamChannel:
    """A connection to a Unix socket, which is the kernel's always.  Raises OSError."""
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_unix_connection(lambda: StreamChannel(sink, UNIX, max_record), path)
    return channel


_File = tuple[int, int] | None


def _file_of(path: str) -> _File:
    """Which file it is; None of an abstract name (Linux), which is none, and of what is not there."""
    if path.startswith("\0"):
        return None
    with suppress(OSError):
        found = Path(path).stat()
        return found.st_dev, found.st_ino
    return None


def _check_free(path: str) -> None:
    """A loop would silently take the path of a running server away.  Raises AddressInUse."""
    if _file_of(path) is None:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # its backlog is full
            pass
        except OSError:
            return
    raise AddressInUse(f"a server runs at {path}: close it first, or use another path")


class Listening:
    """The ports of a server; closed together."""

    __slots__ = ("_closers", "_files", "_number", "tcp", "udp", "unix")

    def __init__(self) -> None:
        self._closers: list[Any] = []
        self._files: list[tuple[str, _File]] = []  # what the Unix sockets are in the file system
        self._number = 0  # of the last connection without a port
        self.udp: list[Source] = []
        self.tcp: list[Source] = []
        self.unix: list[str] = []

    async def listen_udp(self, sink: Sink, maker: Maker, address: str, port: int) -> int:
        """Take a UDP port; returns its number.  Raises OSError."""
        _, made = await maker.create_datagram_endpoint(lambda: DatagramPort(sink), local_addr=(address, port))
        self._closers.append(made)
        self.udp.append(made.address)
        return int(made.address[1])

    async def listen_tcp(self, sink: Sink, maker: Maker, address: str, port: int, max_record: int = MAX_RECORD) -> int:
        """Take a TCP port; returns its number.  Raises OSError."""
        server = await maker.create_server(lambda: StreamChannel(sink, TCP, max_record), address, port, backlog=BACKLOG)
        self._closers.append(server)
        found = server.sockets[0].getsockname()
        self.tcp.append((found[0], found[1]))
        return int(found[1])

    async def listen_unix(self, sink: Sink, path: str, max_record: int = MAX_RECORD) -> None:
        """Make a Unix socket.  Raises OSError."""

        def accept() -> StreamChannel:
            return StreamChannel(sink, UNIX, max_record, number=self.next_number())

        _check_free(path)
        server = await asyncio.get_running_loop().create_unix_server(accept, path, backlog=BACKLOG)
        self._closers.append(server)
        self.unix.append(path)
        self._files.append((path, _file_of(path)))

    def next_number(self) -> int:
        """By which a caller without an address is known."""
        self._number += 1
        return self._number

    def close(self) -> None:
        """Give the ports back; connections stay open."""
        for closer in self._closers:
            closer.close()
        self._closers.clear()
        for path, file in self._files:
            with suppress(OSError):  # somebody was quicker
                if file is not None and file == _file_of(path):  # not one that another server has made since
                    Path(path).unlink()
        self._files.clear()


__all__ = [
    "DatagramChannel",
    "DatagramPort",
    "Listening",
    "StreamChannel",
    "dial_tcp",
    "dial_udp",
    "dial_unix",
    "maker_of",
    "own_addresses",
    "stack_of",
]
