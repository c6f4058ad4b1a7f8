"""Channels: ways to one peer each, for whole messages, whatever is beneath.

Theory of operation.  A `Sink` is told of what comes; it is a mailbox, a client or a server.  A Channel belongs to one
sink and leads to one peer: what is `post`ed to it arrives at the peer's sink as one message, or not at all.  Over UDP
messages may be lost, come twice, and overtake one another; all other channels keep their order and lose nothing before
they are closed.

Nothing here waits.  A channel that `is_full` still takes what is posted, but whoever can wait should, until the sink's
`on_room`; and a sink that cannot take more messages from a channel `hold`s it: those that have come by then are
kept, further ones stay with the sender, who finds its end full in turn.  Datagrams cannot be held.

Here are what all channels have in common, and the pair of channels that joins two sinks of one process; `transports`
has those of networks.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from stack.rpc.dispatch import LOCAL, Carrier, Pieces
from stack.rpc.duplicates import Source
from stack.rpc.record import RecordFault

MAX_UNREAD: Final = 64  # messages kept for a sink of this process before its sender is told that the channel is full


class Sink(Protocol):
    """Who gets what comes on channels.  Called from the loop; none of these may raise."""

    def on_open(self, channel: "Channel", /) -> bool:
        """Somebody has connected; False: not welcome, the channel is closed at once."""

    def on_message(self, message: bytes, channel: "Channel", /) -> None:
        """A message; `channel` leads to its sender."""

    def on_partial(self, channel: "Channel", /) -> None:
        """A message of which a part has come: more of it, or the rest.  See `Channel.partial`."""

    def on_room(self, channel: "Channel", /) -> None:
        """The channel is no longer full."""

    def on_fault(self, channel: "Channel", fault: RecordFault, /) -> None:
        """The peer sent what is no message: the channel is closed; `on_closed` follows."""

    def on_error(self, channel: "Channel", error: Exception, /) -> None:
        """The network says that something sent may not have arrived; the channel stays open."""

    def on_closed(self, channel: "Channel", error: Exception | None, /) -> None:
        """The channel is closed, by whichever side; nothing comes any more."""


class Channel:
    """See the head of this file.  `source` is the peer's address and port, ("", a number) where there is none.

    `partial` are octets kept of a message that is not whole, None between messages; `timeout` is what was set last.
    """

    __slots__ = ("carrier", "source")

    partial: int | None = None
    timeout: float = 0.0

    def __init__(self, carrier: Carrier, source: Source) -> None:
        self.carrier = carrier
        self.source = source

    def __repr__(self) -> str:
        return f"<channel to {self.source[0]}:{self.source[1]} over {self.carrier.name}>"

    @property
    def is_open(self) -> bool:
        """Whether messages can be posted; what is posted to a channel that is closed is lost."""
        raise NotImplementedError

    @property
    def is_full(self) -> bool:
        """Whether senders should wait."""
        return False

    def post(self, message: bytes) -> None:
        """Send a message.  Never waits, never raises for what the network does."""
        raise NotImplementedError

    def post_pieces(self, message: Pieces) -> None:
        """Send a message that is in pieces."""
        self.post(message.joined())

    def cork(self) -> None:
        """What is posted from now on leaves together, with `uncork`."""

    def uncork(self) -> None:
        """Send what was posted since `cork`."""

    def hold(self) -> None:
        """Give the sink no further messages until `resume`."""

    def resume(self) -> None:
        """Give the sink those that wait, and go on."""

    def set_timeout(self, seconds: float) -> None:
        """Close the channel when what was sent is not acknowledged for so long, where that is known; 0: its own."""

    def close(self) -> None:
        """Send what was posted, then end."""
        raise NotImplementedError

    def abort(self) -> None:
        """End now; what was not sent is lost."""
        self.close()


class LocalChannel(Channel):
    """One end of a pair within the process; see `local_pair`."""

    __slots__ = ("_held", "_is_due", "_is_full", "_is_open", "_loop", "_sink", "_unread", "peer")

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: Sink, number: int) -> None:
        super().__init__(LOCAL, ("", number))
        self._loop = loop
        self._sink = sink
        self._unread: deque[bytes] = deque()  # what came and was not delivered
        self._held = False
        self._is_due = False  # `_deliver` is about to be called
        self._is_open = True
        self._is_full = False  # the other end has so much unread
        self.peer: LocalChannel = self  # the other end

    @property
    def is_open(self) -> bool:
        """Whether messages can be posted."""
        return self._is_open

    @property
    def is_full(self) -> bool:
        """Whether senders should wait."""
        return self._is_full

    def post(self, message: bytes) -> None:
        """Send a message."""
        if self._is_open:
            self._is_full = self.peer.take(message) >= MAX_UNREAD

    def take(self, message: bytes) -> int:
        """A message of the other end; how many are unread now."""
        self._unread.append(message)
        self._wake()
        return len(self._unread)

    def _wake(self) -> None:
        if not self._is_due and not self._held:
            self._is_due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """What came until now; the sink may post, hold and close meanwhile."""
        self._is_due = False
        unread = self._unread
        for _ in range(len(unread)):
            if self._held or not unread:
                break
            self._sink.on_message(unread.popleft(), self)
        if unread:
            self._wake()
        if len(unread) < MAX_UNREAD:
            self.peer.make_room()

    def make_room(self) -> None:
        """The other end has taken what was sent."""
        if self._is_full and self._is_open:
            self._is_full = False
            self._sink.on_room(self)

    def hold(self) -> None:
        """Read no further."""
        self._held = True

    def resume(self) -> None:
        """Go on."""
        self._held = False
        if self._unread:
            self._wake()

    def close(self) -> None:
        """End both ends; what was not delivered is lost."""
        self.end()
        self.peer.end()

    def end(self) -> None:
        """End this end."""
        if self._is_open:
            self._is_open = False
            self._loop.call_soon(self._tell_end)

    def _tell_end(self) -> None:
        self._unread.clear()
        self._sink.on_closed(self, None)


def local_pair(loop: asyncio.AbstractEventLoop, ours: Sink, theirs: Sink, number: int = 0) -> LocalChannel | None:
    """Our end of a channel to another sink of this process; None if it does not want us.

    To the other side the caller is ("", `number`).
    """
    mine, other = LocalChannel(loop, ours, 0), LocalChannel(loop, theirs, number)
    mine.peer, other.peer = other, mine
    return mine if theirs.on_open(other) else None
