"""The client's side of calls: what is in flight to one server, over datagrams or a connection.

Theory of operation.  `start` gives a Pending with the message to be sent.  It stays in the table, by its xid, until one
of these hands it back to the owner, who wakes `waiter`:

    on_message      its reply came: `results_at` says where the results begin, or `error` what the server said instead
    on_timer        its time is over: `error` is RpcTimeout
    on_lost, on_connected, on_rebooted, on_unreachable    it is given up: `error` says why
    cancel          nobody waits any more

`on_timer` also says what is to be sent again: the same message, with the same xid.  All calls share one timer, for
`deadline`: before it nothing is due.  It may be too early, as replies do not move it: then `on_timer` finds nothing but
the right one.  So a call costs no timer.

Xids count up from a random number.  Were they all random, two equal calls would soon have the same one, and the
server's cache would take the second for a copy of the first.

`Semantics` says what may happen when no reply comes.  Over a connection nothing is sent again while it lives.  When it
has ended, calls sent on it may have been executed: AT_LEAST_ONCE sends them again on the next one; AT_MOST_ONCE does so
if the next one has the same local address, by which the server's cache knows them, and gives up otherwise.  If the
server was started anew, so that its cache knows nothing, `on_rebooted` gives them up, over datagrams too.

What a failure means for the caller is `maybe_executed`: False only for calls never sent, or sent once and refused.
"""

from collections.abc import Callable
from enum import Enum, unique
from typing import Any, Final

from stack.config import NEVER, SECOND, Rng
from stack.errors import ConfigError
from stack.rpc.constants import MAX_DATAGRAM, Status
from stack.rpc.errors import (
    CallTooLarge,
    ConnectionLost,
    MessageError,
    RpcError,
    RpcTimeout,
    ServerRebooted,
    TooManyCalls,
    Unreachable,
)
from stack.rpc.message import ACCEPTED, error_of, parse_reply
from stack.rpc.retransmit import RoundTrips
from stack.rpc.stats import ClientStats

MAX_IN_FLIGHT: Final = 1024
MAX_MESSAGE: Final = (1 << 31) - 1  # octets, over a connection
MAX_SENT: Final = 5  # on as many connections
_TICK: Final = 1023  # timeouts are rounded up to 1.024 ms, so that those of many calls are one
_XIDS: Final = 0xFFFF_FFFF
_RESULTS: Final = 24  # where results begin, without a verifier
_SUCCESS: Final = int(Status.SUCCESS)


@unique
class Semantics(Enum):
    """What may happen to a call whose reply does not come."""

    MAYBE = "maybe"  # it is sent once
    AT_LEAST_ONCE = "at-least-once"  # it is sent until a reply comes: for what does no harm when executed twice
    AT_MOST_ONCE = "at-most-once"  # it is sent again where the server's duplicate request cache will know it


class Pending:
    """A call in flight.  `sent`: how often it was sent; `waiter` is its owner's."""

    # fmt: off
    __slots__ = (
        "deadline_at", "due_at", "error", "message", "name", "results_at", "samples", "semantics", "sent", "sent_at",
        "started_at", "wait_us", "waiter", "xid",
    )
    # fmt: on

    def __init__(
        self, xid: int, message: bytes, name: str, waiter: Any, semantics: Semantics, deadline_at: int, now: int
    ) -> None:
        self.xid = xid
        self.message = message
        self.name = name
        self.waiter = waiter
        self.semantics = semantics
        self.deadline_at = deadline_at
        self.due_at = deadline_at  # or earlier, when it is sent again
        self.started_at = now
        self.sent_at = now  # the last time
        self.sent = 1
        self.wait_us = 0  # until it is sent again
        self.samples = 0  # of the round trip time, when it was begun
        self.results_at = 0
        self.error: RpcError | None = None


class Calls:
    """See the head of this file.  `peer` names the server, for people.

    `datagrams`: what is lost is not sent again by the transport, but here.  A table over a connection begins without
    one: `on_connected` says what is to be sent.
    """

    # fmt: off
    __slots__ = (
        "_connected", "_datagrams", "_max_in_flight", "_max_message", "_next_xid", "_pending", "_rng", "deadline",
        "peer", "round_trips", "stats",
    )
    # fmt: on

    def __init__(self, rng: Rng, peer: str, *, datagrams: bool, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        if max_in_flight < 1:
            raise ConfigError(f"max_in_flight={max_in_flight}: a client must be allowed at least 1 call")
        self._rng = rng
        self._datagrams = datagrams
        self._connected = datagrams
        self._max_in_flight = max_in_flight
        self._max_message = MAX_DATAGRAM if datagrams else MAX_MESSAGE
        self._next_xid = rng.getrandbits(32)
        self._pending: dict[int, Pending] = {}  # by xid, in the order of their start
        self.peer = peer
        self.deadline = NEVER
        self.round_trips = RoundTrips(rng)
        self.stats = ClientStats()

    def __len__(self) -> int:
        """Calls in flight."""
        return len(self._pending)

    def __contains__(self, xid: int) -> bool:
        """Whether the call with this xid is in flight."""
        return xid in self._pending

    @property
    def is_connected(self) -> bool:
        """Whether what `start` gives can be sent; otherwise `on_connected` will say so."""
        return self._connected

    # -- application calls

    def start(
        self,
        head: bytes,
        args: bytes,
        now: int,
        *,
        timeout_us: int = NEVER,
        waiter: Any = None,
        name: str = "the call",
        semantics: Semantics = Semantics.AT_MOST_ONCE,
    ) -> Pending:
        """A call with this head (`message.call_head`); its message is to be sent now, if `is_connected`.

        Raises TooManyCalls and CallTooLarge.
        """
        pending = self._pending
        if len(pending) >= self._max_in_flight:
            self.stats.refused += 1
            raise TooManyCalls(f"{name} at {self.peer}", because=f"{len(pending)} of {self._max_in_flight}")
        xid = self._next_xid
        while xid in pending:
            xid = xid + 1 & _XIDS
        self._next_xid = xid + 1 & _XIDS
        message = xid.to_bytes(4, "big") + head + args
        if len(message) > self._max_message:
            raise CallTooLarge(f"{name} at {self.peer}", because=f"{len(message)} octets of {self._max_message}")
        deadline_at = due_at = now + timeout_us | _TICK if timeout_us < NEVER else NEVER
        call = Pending(xid, message, name, waiter, semantics, deadline_at, now)
        if self._datagrams:
            if semantics is not Semantics.MAYBE:
                call.wait_us = wait_us = self.round_trips.first_us()
                call.samples = self.round_trips.samples
                resend_at = now + wait_us | _TICK
                if resend_at < due_at:
                    call.due_at = due_at = resend_at
        elif not self._connected:
            call.sent = 0
        pending[xid] = call
        if due_at < self.deadline:
            self.deadline = due_at
        self.stats.calls += 1
        return call

    def cancel(self, call: Pending) -> None:
        """Nobody waits for it any more; its reply will be one that nobody asked for."""
        if self._pending.pop(call.xid, None) is not None:
            self.stats.cancelled += 1

    def fail(self, error: Callable[[Pending], RpcError]) -> list[Pending]:
        """Give up all calls, each with the error that this makes."""
        failed = list(self._pending.values())
        self._pending.clear()
        self.deadline = NEVER
        self.stats.failed += len(failed)
        for call in failed:
            call.error = error(call)
        return failed

    # -- what comes

    def on_message(self, data: bytes, now: int) -> Pending | None:
        """A message came; the call that it ends.  None for what nobody waits for, and what is no reply: counted."""
        xid = int.from_bytes(data[:4], "big")
        call = self._pending.get(xid)
        if call is None:
            self._unknown(data)
            return None
        if data.startswith(ACCEPTED, 4):
            call.results_at = _RESULTS
            self.stats.replies[_SUCCESS] += 1
        elif not self._parse(data, call):
            return None
        del self._pending[xid]
        if call.wait_us:
            if call.sent == 1:
                self.round_trips.on_sample(now - call.sent_at)
            else:
                self.round_trips.on_unclear(now - call.started_at, call.samples)
        return call

    def _unknown(self, data: bytes) -> None:
        try:
            parse_reply(data)
        except MessageError as error:
            self.stats.malformed[error.reason] += 1
        else:
            self.stats.unknown_xid += 1

    def _parse(self, data: bytes, call: Pending) -> bool:
        """The long way: refusals and verifiers.  What cannot be read is dropped, and the call waits on."""
        try:
            reply = parse_reply(data)
        except MessageError as error:
            self.stats.malformed[error.reason] += 1
            return False
        self.stats.replies[reply.status] += 1
        if reply.status == _SUCCESS:
            call.results_at = reply.results_offset
        else:
            call.error = error_of(reply, f"{call.name} at {self.peer}", sent=call.sent)
        return True

    def on_timer(self, now: int) -> tuple[list[Pending], list[Pending]]:
        """Calls to be sent again, and calls whose time is over; to be called at `deadline` or later."""
        again: list[Pending] = []
        over: list[Pending] = []
        deadline = NEVER
        for call in self._pending.values():
            due_at = call.due_at
            if due_at <= now:
                if call.deadline_at <= now:
                    over.append(call)
                    continue
                again.append(call)
                due_at = self._send_again(call, now)
            if due_at < deadline:
                deadline = due_at
        self.deadline = deadline
        for call in over:
            del self._pending[call.xid]
            call.error = self._late(call)
        self.stats.timeouts += len(over)
        self.stats.retransmitted += len(again)
        return again, over

    def _late(self, call: Pending) -> RpcError:
        seconds = f"{(call.deadline_at - call.started_at) / SECOND:.3g} s"
        times = f"sent {call.sent} time{'s' * (call.sent > 1)}" if call.sent else "there was no connection"
        return RpcTimeout(f"{call.name} at {self.peer}", maybe_executed=call.sent > 0, because=f"{seconds}, {times}")

    def _send_again(self, call: Pending, now: int) -> int:
        call.sent += 1
        call.sent_at = now
        call.wait_us = self.round_trips.next_us(call.wait_us)
        resend_at = now + self.round_trips.spread_us(call.wait_us) | _TICK
        call.due_at = min(resend_at, call.deadline_at)
        return call.due_at

    # -- the connection

    def on_connected(self, *, same_address: bool, has_cache: bool = True) -> tuple[list[Pending], list[Pending]]:
        """A connection is there: calls to be sent on it, in their order, and calls that are given up.

        `same_address`: its local address and port are those of the one before.  `has_cache`: the server is known to
        have a duplicate request cache, and to be the same as before.
        """
        self._connected = True
        send: list[Pending] = []
        given_up: list[Pending] = []
        for call in self._pending.values():
            safe = (same_address and has_cache) or call.semantics is Semantics.AT_LEAST_ONCE
            (send if safe or not call.sent else given_up).append(call)
        for call in send:
            self.stats.resent += call.sent > 0
            call.sent += 1
        for call in given_up:
            why = "the server is not known to have a cache of calls"
            if has_cache:
                why = "not from the same local port, by which the server would know it"
            self._lose(call, ConnectionLost(f"{call.name} at {self.peer}", because=why))
        return send, given_up

    def on_lost(self) -> list[Pending]:
        """The connection ended: calls that are given up at once.  The others wait for the next one.

        A call with which so many connections ended is perhaps why they did: the server does not take it.
        """
        self._connected = False
        given_up = []
        for call in list(self._pending.values()):
            if call.sent >= MAX_SENT:
                why = f"as were {call.sent - 1} before it"
                self._lose(call, ConnectionLost(f"{call.name} at {self.peer}", because=why))
                given_up.append(call)
            elif call.sent and call.semantics is Semantics.MAYBE:
                self._lose(call, ConnectionLost(f"{call.name} at {self.peer}"))
                given_up.append(call)
        return given_up

    def on_rebooted(self) -> list[Pending]:
        """The server is not the one that calls were sent to: those that must not be executed twice are given up."""
        sent = [call for call in self._pending.values() if call.sent and call.semantics is not Semantics.AT_LEAST_ONCE]
        for call in sent:
            self._lose(call, ServerRebooted(f"{call.name} at {self.peer}"))
        return sent

    def _lose(self, call: Pending, error: RpcError) -> None:
        del self._pending[call.xid]
        call.error = error
        self.stats.failed += 1

    def on_unreachable(self, because: str) -> list[Pending]:
        """No connection can be made: all calls are given up."""

        def error(call: Pending) -> RpcError:
            kind = ConnectionLost if call.sent else Unreachable
            return kind(f"{call.name} at {self.peer}", because=because)

        return self.fail(error)

    def check_invariants(self) -> None:
        """For tests: nothing is due before `deadline`, and the bounds hold."""
        assert len(self._pending) <= self._max_in_flight
        assert all(call.xid == xid for xid, call in self._pending.items())
        assert all(self.deadline <= call.due_at <= call.deadline_at for call in self._pending.values())
        assert all(call.error is None for call in self._pending.values())
