"""Mailboxes: whole messages to and from anybody, over UDP, TCP, Unix sockets or within the process.

    async with await rpc.mailbox(udp=5000, tcp=5000) as box:
        letter = await box.receive()
        await box.send(b"got it", letter.sender)

    async with await rpc.mailbox() as box:
        server = await box.connect("tcp", "198.18.0.2", 5000)
        await box.send(b"hello", server)
        letter = await box.receive(timeout=1)

This is what remote procedure calls are made of, without the calls.  A mailbox has at most `size` letters that nobody
has received.  When it is full, streams and senders of this process wait; datagrams are dropped, and counted.
"""

import asyncio
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from stack.errors import BrokenPipe, ConfigError, MessageTooLong
from stack.rpc.channel import Channel, local_pair
from stack.rpc.constants import MAX_DATAGRAM
from stack.rpc.dispatch import UDP
from stack.rpc.record import MAX_RECORD, RecordFault
from stack.rpc.transports import Listening, Maker, dial_tcp, dial_udp, dial_unix, maker_of, own_addresses

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

SIZE: Final = 1024
MAX_CONNECTIONS: Final = 1024


class Letter(NamedTuple):
    """A message that came, and the way back to who sent it."""

    message: bytes
    sender: Channel


class Mailbox:
    """See the head of this file; `rpc.mailbox` makes one.  `stats` counts by name."""

    # fmt: off
    __slots__ = (
        "_closed", "_held", "_letters", "_listening", "_loop", "_maker", "_max_record", "_open", "_receivers", "_room",
        "_size", "max_connections", "stats",
    )
    # fmt: on

    def __init__(
        self, host: "AsyncHost | VirtualHost | None" = None, *, size: int = SIZE, max_record: int = MAX_RECORD
    ) -> None:
        if size < 1:
            raise ConfigError(f"size is {size}: a mailbox holds at least 1 letter")
        self._loop = asyncio.get_running_loop()
        self._maker: Maker = maker_of(host)
        self._max_record = max_record
        self._size = size
        self._letters: deque[Letter] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._room: deque[asyncio.Future[None]] = deque()  # of senders that wait for a channel
        self._open: set[Channel] = set()
        self._held: set[Channel] = set()
        self._listening = Listening()
        self._closed = False
        self.max_connections = MAX_CONNECTIONS
        self.stats = {"received": 0, "sent": 0, "dropped_full": 0, "refused": 0, "faults": 0, "errors": 0}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Letters that nobody has received."""
        return len(self._letters)

    # -- what is used

    async def receive(self, timeout: float | None = None) -> Letter:  # noqa: ASYNC109  (None: for ever)
        """The next letter.  Raises TimeoutError after `timeout` seconds, BrokenPipe once the mailbox is closed."""
        async with asyncio.timeout(timeout):
            while not self._letters:
                self._check_open()
                await self._wait_among(self._receivers)
        letter = self._letters.popleft()
        self._make_room()
        return letter

    async def send(self, message: bytes, to: Channel) -> None:
        """Hand a message to its channel; waits while that is full.  Over UDP it may be lost without a trace.

        Raises BrokenPipe for a channel that is closed, MessageTooLong, ConfigError for an empty message.
        """
        limit = MAX_DATAGRAM if to.carrier is UDP else self._max_record
        if len(message) > limit:
            raise MessageTooLong(f"a message of {len(message)} octets: at most {limit} go over {to.carrier.name}")
        if not message:
            raise ConfigError("a message without an octet: streams cannot carry it; send at least one")
        while to.is_open and to.is_full:
            await self._wait_among(self._room)
        if not to.is_open:
            raise BrokenPipe(f"{to!r} is closed: connect again")
        to.post(message)
        self.stats["sent"] += 1

    async def connect(self, proto: str, address: "str | Mailbox", port: int = 0) -> Channel:
        """A channel to another mailbox; what comes back on it comes here.

        `proto`: "udp" or "tcp" with an address or a name and a port, "unix" with a path, "local" with the Mailbox
        itself.  Raises OSError.
        """
        self._check_open()
        channel: Channel | None
        if isinstance(address, Mailbox):
            channel = local_pair(self._loop, self, address)
            if channel is None:
                raise BrokenPipe("the other mailbox takes no more connections, or is closed")
        elif proto == "udp":
            channel = await dial_udp(self, self._maker, address, port)
        elif proto == "tcp":
            channel = await dial_tcp(self, self._maker, address, port, max_record=self._max_record)
        elif proto == "unix":
            channel = await dial_unix(self, address, self._max_record)
        else:
            raise ConfigError(f"proto {proto!r}: use 'udp', 'tcp', 'unix', or a Mailbox as the address for 'local'")
        self._open.add(channel)
        return channel

    async def listen(
        self, *, udp: int | None = None, tcp: int | None = None, unix: str | None = None, address: str | None = None
    ) -> Listening:
        """Take letters from whoever sends some to these ports, 0 for free ones.  Raises OSError."""
        listening = self._listening
        where = address or own_addresses(self._maker if self._maker is not self._loop else None)[0]
        if udp is not None:
            await listening.listen_udp(self, self._maker, where, udp)
        if tcp is not None:
            await listening.listen_tcp(self, self._maker, where, tcp, self._max_record)
        if unix is not None:
            await listening.listen_unix(self, unix, self._max_record)
        return listening

    @property
    def ports(self) -> Listening:
        """Where it listens: `.udp`, `.tcp` (addresses and ports) and `.unix` (paths)."""
        return self._listening

    def close(self) -> None:
        """Give the ports back and close all channels; letters that are there can still be received."""
        self._closed = True
        self._listening.close()
        for channel in list(self._open):
            channel.close()
        self._wake(self._receivers)
        self._wake(self._room)  # nothing can be sent any more

    # -- what waits

    def _check_open(self) -> None:
        if self._closed:
            raise BrokenPipe("this mailbox was closed; make a new one")

    async def _wait_among(self, waiting: "deque[asyncio.Future[None]]") -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and self._letters:
                self._wake_one()  # it was this one's turn
            raise
        finally:
            with suppress(ValueError):  # whoever woke it took it out
                waiting.remove(future)

    def _wake_one(self) -> None:
        while self._receivers:
            future = self._receivers.popleft()
            if not future.done():
                future.set_result(None)
                return

    @staticmethod
    def _wake(waiting: "deque[asyncio.Future[None]]") -> None:
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)

    def _make_room(self) -> None:
        while self._held and len(self._letters) < self._size:
            self._held.pop().resume()

    # -- the sink

    def on_open(self, channel: Channel) -> bool:
        """One that we opened, or somebody who has connected."""
        if self._closed or len(self._open) >= self.max_connections:
            self.stats["refused"] += 1
            return False
        self._open.add(channel)
        if len(self._letters) >= self._size:
            self._hold(channel)
        return True

    def on_message(self, message: bytes, channel: Channel) -> None:
        """A letter."""
        if len(self._letters) >= self._size:  # only datagrams come then: streams are held
            self.stats["dropped_full"] += 1
            return
        self.stats["received"] += 1
        self._letters.append(Letter(message, channel))
        self._wake_one()
        if len(self._letters) >= self._size:
            for stream in self._open:
                self._hold(stream)

    def _hold(self, channel: Channel) -> None:
        if channel not in self._held:
            channel.hold()
            self._held.add(channel)

    def on_partial(self, channel: Channel) -> None:
        """The rest will come."""

    def on_room(self, _: Channel) -> None:
        """Who waits looks again."""
        self._wake(self._room)

    def on_fault(self, _: Channel, __: RecordFault) -> None:
        """It is closed then."""
        self.stats["faults"] += 1

    def on_error(self, _: Channel, __: Exception) -> None:
        """Something was perhaps lost, as datagrams are."""
        self.stats["errors"] += 1

    def on_closed(self, channel: Channel, _: Exception | None) -> None:
        """Who waits for it looks again."""
        self._open.discard(channel)
        self._held.discard(channel)
        self._wake(self._room)


async def mailbox(
    *,
    udp: int | None = None,
    tcp: int | None = None,
    unix: str | None = None,
    address: str | None = None,
    host: "AsyncHost | VirtualHost | None" = None,
    size: int = SIZE,
    max_record: int = MAX_RECORD,
) -> Mailbox:
    """A mailbox that listens on a UDP port, a TCP port and a Unix socket, as far as they are given; 0 is a free port.

    It listens on `address`, by default on the first that `host` has, and without a host on 127.0.0.1.  Messages have at
    most `max_record` octets, 65507 over UDP.  Raises OSError, ConfigError.
    """
    box = Mailbox(host, size=size, max_record=max_record)
    try:
        await box.listen(udp=udp, tcp=tcp, unix=unix, address=address)
    except BaseException:
        box.close()
        raise
    return box
