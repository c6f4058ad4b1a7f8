"""Calls through a network that loses, delays, doubles and reorders datagrams, on virtual time: how often each of them
was executed, with the duplicate request cache and, as the control, without it.
"""

import random
from collections.abc import Callable
from heapq import heappop, heappush

import pytest

from stack.config import NEVER
from stack.rpc.calls import Calls, Pending, Semantics
from stack.rpc.dispatch import TCP, UDP, Dispatcher, Invocation, Pieces
from stack.rpc.duplicates import Bounds, Duplicates
from stack.rpc.message import call_head
from stack.rpc.stats import Dropped
from tests.support.rpc_calls import CALLER, PROGRAM, VERSION, Counter

SECOND = 1_000_000
INCREMENT = call_head(PROGRAM, VERSION, 1)


class Network:
    """A client and a server, with `loss` in each direction; all that happens is an event in a heap."""

    def __init__(
        self, seed: int, *, loss: float, cache: Duplicates | None, doubled: float = 0.0, work_us: int = 20_000
    ) -> None:
        self.rng = random.Random(seed)
        self.loss, self.doubled, self.work_us = loss, doubled, work_us
        self.now = 0
        self.calls = Calls(random.Random(seed), "server", datagrams=True)
        self.counter = Counter()
        self.server = Dispatcher(None, cache)
        self.server.add(PROGRAM, VERSION, self.counter.served())
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.serial = 0
        self.left = 0
        self.values: list[int] = []
        self.ended: list[Pending] = []

    def at(self, when: int, event: Callable[[], None]) -> None:
        self.serial += 1
        heappush(self.events, (when, self.serial, event))

    def carry(self, data: bytes, receive: Callable[[bytes], None]) -> None:
        for _ in range(1 + (self.rng.random() < self.doubled)):
            if self.rng.random() >= self.loss:
                self.at(self.now + self.rng.randrange(100, 5_000), lambda: receive(data))

    def at_server(self, data: bytes) -> None:
        answer = self.server.receive(data, CALLER, UDP, self.now)
        if isinstance(answer, Invocation):
            ctx = answer
            value = ctx.handler(ctx, *ctx.args)  # its effect is there before its reply
            self.at(self.now + self.rng.randrange(self.work_us), lambda: self.reply(ctx, value))
        elif answer is not None:
            self.carry(answer, self.at_client)

    def reply(self, ctx: Invocation, value: int) -> None:
        reply = self.server.complete(ctx, value, self.now)
        assert isinstance(reply, bytes)
        self.carry(reply, self.at_client)

    def at_client(self, data: bytes) -> None:
        call = self.calls.on_message(data, self.now)
        if call is not None:
            self.values.append(int.from_bytes(data[call.results_at :], "big"))
            self.end(call)

    def end(self, call: Pending) -> None:
        self.ended.append(call)
        if self.left:
            self.start()

    def start(self) -> None:
        self.left -= 1
        self.carry(self.calls.start(INCREMENT, b"", self.now, timeout_us=300 * SECOND).message, self.at_server)

    def run(self, calls: int, in_flight: int) -> None:
        """Make so many calls, so many at a time."""
        self.left = calls
        for _ in range(in_flight):
            self.start()
        while self.events or self.calls.deadline < NEVER:
            if self.events and self.events[0][0] < self.calls.deadline:
                self.now, _, event = heappop(self.events)
                event()
            else:
                self.now = max(self.now, self.calls.deadline)
                again, over = self.calls.on_timer(self.now)
                for call in again:
                    self.carry(call.message, self.at_server)
                for call in over:
                    self.end(call)
            self.calls.check_invariants()
        assert len(self.ended) == calls
        assert self.server.running == 0


@pytest.mark.parametrize("seed", range(3))
def test_with_the_cache_each_of_1000_calls_is_executed_once(seed):
    cache = Duplicates()
    network = Network(seed, loss=0.2, cache=cache)
    network.run(1000, in_flight=32)
    cache.check_invariants()
    assert network.counter.count == 1000
    assert sorted(network.values) == list(range(1, 1001))
    # a call gets through with its reply in 64 of 100 tries
    assert network.calls.stats.retransmitted > 400
    assert network.server.stats.replayed > 150


@pytest.mark.parametrize("seed", range(3))
def test_without_the_cache_some_are_executed_again(seed):
    """The control: the same losses."""
    network = Network(seed, loss=0.2, cache=None)
    network.run(1000, in_flight=32)
    assert network.counter.count > 1150
    assert len(network.values) == 1000
    assert network.server.stats.replayed == 0


def test_copies_that_come_while_the_first_is_executed_are_dropped():
    """Procedures take longer than the first timeout, and the network doubles what it carries."""
    network = Network(7, loss=0.2, doubled=0.3, cache=Duplicates(), work_us=2 * SECOND)
    network.run(300, in_flight=32)
    assert network.counter.count == 300
    assert sorted(network.values) == list(range(1, 301))
    assert network.server.stats.dropped[Dropped.IN_PROGRESS] > 100
    assert network.calls.stats.unknown_xid > 0


def test_a_cache_too_small_forgets_and_says_so():
    network = Network(3, loss=0.2, cache=Duplicates(Bounds(max_bytes=8_000)))
    network.run(1000, in_flight=32)
    cache = network.server._duplicates
    assert isinstance(cache, Duplicates)
    assert network.counter.count > 1000
    # kept for less than the timeout: this is how to see it
    assert cache.shortest_us < network.calls.round_trips.rto_us


def test_when_nothing_comes_through_every_call_says_that_it_may_have_run():
    network = Network(5, loss=1.0, cache=Duplicates())
    network.run(40, in_flight=32)
    assert network.values == []
    assert all(call.error is not None and call.error.maybe_executed for call in network.ended)
    assert network.counter.count == 0


def test_the_same_seed_gives_the_same_history():
    def history(seed: int) -> tuple[int, list[int], dict[str, int], dict[str, int]]:
        network = Network(seed, loss=0.2, doubled=0.1, cache=Duplicates())
        network.run(200, in_flight=32)
        return network.now, network.values, network.calls.stats.by_name(), network.server.stats.by_name()

    assert history(11) == history(11)
    assert history(11) != history(12)


# -- a connection that is cut after the call was executed, and before its reply


def cut(semantics: Semantics, *, cache: bool, same_address: bool, rebooted: bool = False) -> tuple[int, Pending, bytes]:
    """How often the call was executed, what became of it, and the reply."""
    counter = Counter()

    def new_server() -> Dispatcher:
        server = Dispatcher(None, Duplicates() if cache else None)
        server.add(PROGRAM, VERSION, counter.served())
        return server

    def serve(data: bytes, source: tuple[str, int]) -> bytes | None:
        answer = server.receive(data, source, TCP, 0)
        if isinstance(answer, Invocation):
            reply = server.complete(answer, answer.handler(answer), 0)
            assert not isinstance(reply, Pieces)
            return reply
        return answer

    server = new_server()
    calls = Calls(random.Random(1), "server", datagrams=False)
    calls.on_connected(same_address=True)
    call = calls.start(INCREMENT, b"", 0, semantics=semantics)
    assert serve(call.message, CALLER) is not None  # lost with the connection
    calls.on_lost()
    if rebooted:
        server = new_server()
        calls.on_rebooted()
    reply = b""
    for again in calls.on_connected(same_address=same_address)[0]:
        reply = serve(again.message, CALLER if same_address else (CALLER[0], CALLER[1] + 1)) or b""
        assert calls.on_message(reply, 1) is call
    assert len(calls) == 0
    return counter.count, call, reply


def test_from_the_same_port_it_was_executed_once_and_the_reply_comes():
    count, call, reply = cut(Semantics.AT_MOST_ONCE, cache=True, same_address=True)
    assert (count, call.error, reply[-1]) == (1, None, 1)


def test_without_the_cache_it_is_executed_twice():
    """The control."""
    count, call, reply = cut(Semantics.AT_MOST_ONCE, cache=False, same_address=True)
    assert (count, call.error, reply[-1]) == (2, None, 2)


def test_from_another_port_it_is_not_sent_again_and_the_error_says_maybe():
    count, call, _ = cut(Semantics.AT_MOST_ONCE, cache=True, same_address=False)
    assert count == 1
    assert call.error is not None
    assert call.error.maybe_executed


def test_sent_all_the_same_it_would_be_executed_twice():
    """The control: another port is another client for the cache."""
    count, call, reply = cut(Semantics.AT_LEAST_ONCE, cache=True, same_address=False)
    assert (count, call.error, reply[-1]) == (2, None, 2)


def test_of_a_server_started_anew_nothing_is_asked_again():
    count, call, _ = cut(Semantics.AT_MOST_ONCE, cache=True, same_address=True, rebooted=True)
    assert count == 1
    assert call.error is not None
    assert call.error.maybe_executed
    # the control: who does not notice the reboot has it executed again
    assert cut(Semantics.AT_LEAST_ONCE, cache=True, same_address=True, rebooted=True)[0] == 2
