"""Calls in flight: what is sent again, when, and how each of them ends."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stack.config import NEVER
from stack.errors import ConfigError
from stack.rpc.calls import Calls, Pending, Semantics
from stack.rpc.constants import AuthStat, Status
from stack.rpc.errors import (
    AuthError,
    CallTooLarge,
    ClientClosed,
    ConnectionLost,
    MessageReason,
    ProcUnavail,
    RpcError,
    RpcTimeout,
    ServerRebooted,
    SystemErr,
    TooManyCalls,
    Unreachable,
)
from stack.rpc.message import build_auth_error, build_refusal, build_success, call_head, parse_call
from stack.rpc.retransmit import INITIAL_RTO_US, MAX_RTO_US, MIN_RTO_US, RoundTrips
from tests.support.rfc import rfc

HEAD = call_head(1, 2, 3)
SECOND = 1_000_000


class Still(random.Random):
    """No jitter."""

    def getrandbits(self, k: int, /) -> int:
        return 0 if k == 8 else super().getrandbits(k)


def table(*, datagrams: bool = True, connected: bool = True, rng: random.Random | None = None, **how) -> Calls:
    calls = Calls(rng or Still(1), "198.18.0.1", datagrams=datagrams, **how)
    if connected and not datagrams:
        calls.on_connected(same_address=True)
    return calls


def xid_of(call: Pending) -> bytes:
    return call.message[:4]


def run_until(calls: Calls, end: int) -> list[tuple[int, str]]:
    """What the timer does, and when."""
    found = []
    while calls.deadline <= end:
        now = calls.deadline
        again, over = calls.on_timer(now)
        calls.check_invariants()
        found += [(now, "again") for _ in again] + [(now, "over") for _ in over]
    return found


# -- replies


def test_a_reply_hands_the_call_back():
    calls = table()
    call = calls.start(HEAD, b"args", 0, waiter="me")
    assert parse_call(call.message).xid == call.xid
    assert call.message.endswith(b"args")
    reply = build_success(xid_of(call), b"results")
    assert calls.on_message(reply, 10) is call
    assert call.waiter == "me"
    assert reply[call.results_at :] == b"results"
    assert call.error is None
    assert len(calls) == 0


@rfc("5531", "9", "R-MSG-XID")
def test_the_second_reply_is_nobodys():
    calls = table()
    call = calls.start(HEAD, b"", 0)
    reply = build_success(xid_of(call), b"")
    assert calls.on_message(reply, 10) is call
    assert calls.on_message(reply, 20) is None
    assert calls.on_message(build_success(b"\0\0\0\1", b""), 20) is None
    assert calls.stats.unknown_xid == 2


def test_what_cannot_be_read_is_counted_and_the_call_waits_on():
    calls = table()
    call = calls.start(HEAD, b"", 0)
    for data, reason in (
        (xid_of(call), MessageReason.SHORT),
        (xid_of(call) + bytes(40), MessageReason.NOT_A_REPLY),
        (xid_of(call) + b"\0\0\0\1\0\0\0\7" + bytes(20), MessageReason.BAD_STATUS),
        (b"", MessageReason.SHORT),
        (b"\0\0\0\1" + bytes(40), MessageReason.NOT_A_REPLY),
    ):
        before = calls.stats.malformed[reason]
        assert calls.on_message(data, 1) is None
        assert calls.stats.malformed[reason] == before + 1
    assert calls.on_message(build_success(xid_of(call), b""), 2) is call


def test_refusals_become_errors_that_name_the_call():
    calls = table()
    for reply, kind, maybe in (
        (lambda xid: build_refusal(xid, Status.PROC_UNAVAIL), ProcUnavail, False),
        (lambda xid: build_refusal(xid, Status.SYSTEM_ERR), SystemErr, True),
        (lambda xid: build_auth_error(xid, AuthStat.TOOWEAK), AuthError, False),
    ):
        call = calls.start(HEAD, b"", 0, name="DOIT")
        assert calls.on_message(reply(xid_of(call)), 1) is call
        assert isinstance(call.error, kind)
        assert call.error.maybe_executed is maybe
        assert "DOIT at 198.18.0.1" in str(call.error)


def test_a_refusal_of_the_second_copy_says_nothing_of_the_first():
    calls = table()
    call = calls.start(HEAD, b"", 0)
    assert run_until(calls, INITIAL_RTO_US + 1023) == [(calls_due(0, INITIAL_RTO_US), "again")]
    calls.on_message(build_refusal(xid_of(call), Status.PROG_UNAVAIL), SECOND)
    assert call.error is not None
    assert call.error.maybe_executed


def calls_due(now: int, wait: int) -> int:
    """Timeouts are rounded up to a multiple of 1.024 ms, less 1."""
    return now + wait | 1023


# -- time


@rfc("5531", "5", "R-MSG-AGAIN")
def test_a_call_is_sent_again_at_doubled_intervals_until_its_time_is_over():
    calls = table()
    call = calls.start(HEAD, b"", 0, timeout_us=3 * SECOND)
    first = calls_due(0, INITIAL_RTO_US)
    second = calls_due(first, 2 * INITIAL_RTO_US)
    third = calls_due(second, 4 * INITIAL_RTO_US)
    end = calls_due(0, 3 * SECOND)
    message = call.message
    assert run_until(calls, 100 * SECOND) == [(first, "again"), (second, "again"), (third, "again"), (end, "over")]
    assert call.message is message
    assert isinstance(call.error, RpcTimeout)
    assert isinstance(call.error, TimeoutError)
    assert call.error.maybe_executed
    assert "may have run" in str(call.error)
    assert calls.deadline == NEVER
    assert (calls.stats.retransmitted, calls.stats.timeouts, len(calls)) == (3, 1, 0)


def test_maybe_is_sent_once():
    calls = table()
    calls.start(HEAD, b"", 0, timeout_us=3 * SECOND, semantics=Semantics.MAYBE)
    assert run_until(calls, 100 * SECOND) == [(calls_due(0, 3 * SECOND), "over")]


def test_over_a_connection_nothing_is_sent_twice():
    calls = table(datagrams=False)
    calls.start(HEAD, b"", 0, timeout_us=3 * SECOND)
    assert run_until(calls, 100 * SECOND) == [(calls_due(0, 3 * SECOND), "over")]


def test_a_call_that_was_never_sent_has_certainly_not_run():
    calls = table(datagrams=False, connected=False)
    call = calls.start(HEAD, b"", 0, timeout_us=SECOND)
    assert not calls.is_connected
    assert run_until(calls, 100 * SECOND) == [(calls_due(0, SECOND), "over")]
    assert isinstance(call.error, RpcTimeout)
    assert call.error.maybe_executed is False
    assert "it has not run" in str(call.error)


def test_without_a_time_limit_it_goes_on():
    calls = table()
    calls.start(HEAD, b"", 0)
    events = run_until(calls, 3600 * SECOND)
    assert {what for _, what in events} == {"again"}
    gaps = [after - before for (before, _), (after, _) in zip(events[-20:], events[-19:], strict=False)]
    assert all(MAX_RTO_US <= gap <= MAX_RTO_US + 1024 for gap in gaps)


def test_jitter_is_at_most_a_quarter_and_not_always_the_same():
    waits = {table(rng=random.Random(seed)).start(HEAD, b"", 0).due_at for seed in range(200)}
    assert len(waits) > 40
    assert all(INITIAL_RTO_US <= wait <= INITIAL_RTO_US * 5 // 4 + 1023 for wait in waits)


def test_one_early_look_finds_the_right_time():
    calls = table()
    for number in range(5):
        call = calls.start(HEAD, b"", number * 1000, timeout_us=SECOND)
        calls.on_message(build_success(xid_of(call), b""), number * 1000 + 10)
    late = calls.start(HEAD, b"", 250_000, timeout_us=5 * SECOND)
    assert calls.deadline < 310_000  # that of a call that is done
    assert calls.on_timer(calls.deadline) == ([], [])
    assert calls.deadline == late.due_at


def test_cancelled_calls_are_gone():
    calls = table()
    call = calls.start(HEAD, b"", 0)
    calls.cancel(call)
    calls.cancel(call)
    assert len(calls) == 0
    assert calls.on_message(build_success(xid_of(call), b""), 1) is None
    assert (calls.stats.cancelled, calls.stats.unknown_xid) == (1, 1)


# -- round trips


def exchange(calls: Calls, now: int, rtt_us: int) -> int:
    call = calls.start(HEAD, b"", now)
    run_until(calls, now + rtt_us - 1)
    calls.on_message(build_success(xid_of(call), b""), now + rtt_us)
    return now + rtt_us


def test_the_timeout_follows_the_servers_time():
    calls, now = table(), 0
    for _ in range(40):
        now = exchange(calls, now, 200_000)
    assert 200_000 < calls.round_trips.rto_us < 215_000
    for _ in range(80):
        now = exchange(calls, now, 500)
    assert calls.round_trips.rto_us == MIN_RTO_US
    assert calls.stats.retransmitted == 0


def test_a_server_that_became_slow_is_not_sent_everything_twice():
    """Karn: replies to calls sent twice are no samples, but what they backed off to is kept."""
    calls, now = table(), 0
    for _ in range(40):
        now = exchange(calls, now, 500)
    for _ in range(50):
        now = exchange(calls, now, SECOND)
    assert calls.stats.retransmitted < 15
    assert calls.round_trips.rto_us > SECOND


def test_one_unlucky_call_among_many_makes_nobody_wait():
    calls = table()
    now = exchange(calls, 0, 500)
    unlucky = calls.start(HEAD, b"", now)
    for _ in range(20):
        run_until(calls, now + SECOND)
        now = exchange(calls, now + SECOND, 500)
    assert unlucky.sent > 3
    calls.on_message(build_success(xid_of(unlucky), b""), now)
    begun = calls.start(HEAD, b"", now)
    assert begun.due_at - now < 2 * MIN_RTO_US


def test_the_timeout_has_bounds():
    trips = RoundTrips(Still(1))
    trips.on_sample(0)
    assert trips.rto_us == MIN_RTO_US
    trips.on_sample(10**12)
    assert trips.rto_us == MAX_RTO_US
    assert trips.next_us(MAX_RTO_US) == MAX_RTO_US


# -- connections


def two_each(calls: Calls) -> dict[Semantics, Pending]:
    return {semantics: calls.start(HEAD, b"", 0, semantics=semantics) for semantics in Semantics}


def test_from_the_same_address_calls_are_sent_again():
    calls = table(datagrams=False)
    sent = two_each(calls)
    assert calls.on_lost() == [sent[Semantics.MAYBE]]
    late = calls.start(HEAD, b"", 1)
    send, given_up = calls.on_connected(same_address=True)
    assert send == [sent[Semantics.AT_LEAST_ONCE], sent[Semantics.AT_MOST_ONCE], late]
    assert given_up == []
    assert calls.stats.resent == 2
    assert late.sent == 1


def test_from_another_address_only_what_does_no_harm():
    calls = table(datagrams=False)
    sent = two_each(calls)
    calls.on_lost()
    late = calls.start(HEAD, b"", 1)
    send, given_up = calls.on_connected(same_address=False)
    assert send == [sent[Semantics.AT_LEAST_ONCE], late]
    assert given_up == [sent[Semantics.AT_MOST_ONCE]]
    for call in (sent[Semantics.AT_MOST_ONCE], sent[Semantics.MAYBE]):
        assert isinstance(call.error, ConnectionLost)
        assert isinstance(call.error, ConnectionError)
        assert call.error.maybe_executed


def test_a_server_started_anew_remembers_nothing():
    for datagrams in (True, False):
        calls = table(datagrams=datagrams)
        sent = two_each(calls)
        assert calls.on_rebooted() == [sent[Semantics.MAYBE], sent[Semantics.AT_MOST_ONCE]]
        error = sent[Semantics.AT_MOST_ONCE].error
        assert isinstance(error, ServerRebooted)
        assert error.maybe_executed
        assert len(calls) == 1


def test_without_any_connection_calls_end_and_know_whether_they_were_sent():
    calls = table(datagrams=False)
    sent = calls.start(HEAD, b"", 0)
    calls.on_lost()
    unsent = calls.start(HEAD, b"", 0)
    assert calls.on_unreachable("connection refused") == [sent, unsent]
    assert isinstance(sent.error, ConnectionLost)
    assert sent.error.maybe_executed
    assert isinstance(unsent.error, Unreachable)
    assert unsent.error.maybe_executed is False
    assert "connection refused" in str(unsent.error)


def test_a_client_that_is_closed_gives_up_all():
    calls = table()
    call = calls.start(HEAD, b"", 0)
    assert calls.fail(lambda lost: ClientClosed(lost.name, maybe_executed=lost.sent > 0)) == [call]
    assert call.error is not None
    assert call.error.maybe_executed
    assert (len(calls), calls.deadline) == (0, NEVER)


# -- bounds


def test_calls_in_flight_are_bounded():
    calls = table(max_in_flight=3)
    for _ in range(3):
        calls.start(HEAD, b"", 0)
    with pytest.raises(TooManyCalls, match="3 of 3") as caught:
        calls.start(HEAD, b"", 0)
    assert caught.value.maybe_executed is False
    assert calls.stats.refused == 1
    with pytest.raises(ConfigError, match="at least 1"):
        table(max_in_flight=0)


def test_what_no_datagram_can_carry_is_not_sent():
    calls = table()
    with pytest.raises(CallTooLarge, match="65544 octets of 65507") as caught:
        calls.start(HEAD, bytes(65_504), 0)
    assert caught.value.maybe_executed is False
    assert len(calls) == 0
    table(datagrams=False).start(HEAD, bytes(65_504), 0)


def test_xids_count_up_around_the_end_and_past_those_in_use():
    class AtTheEnd(Still):
        def getrandbits(self, k: int, /) -> int:
            return 0xFFFF_FFFF if k == 32 else super().getrandbits(k)

    calls = table(rng=AtTheEnd(1))
    assert [calls.start(HEAD, b"", 0).xid for _ in range(3)] == [0xFFFF_FFFF, 0, 1]
    calls._next_xid = 0xFFFF_FFFF  # four thousand million calls later
    assert calls.start(HEAD, b"", 0).xid == 2


def test_counters_have_names():
    calls = table()
    call = calls.start(HEAD, b"", 0)
    calls.on_message(b"", 0)
    calls.on_message(build_success(xid_of(call), b""), 0)
    assert calls.stats.by_name() == {"calls": 1, "replies_success": 1, "malformed_short": 1}


def test_every_error_is_an_oserror_with_a_sentence():
    for kind in RpcError.__subclasses__():
        error = kind("DOIT")
        assert isinstance(error, OSError)
        assert error.errno
        assert str(error).endswith(("it may have run", "it has not run"))
    assert str(RpcTimeout("DOIT", because="silence")).endswith("no reply to DOIT in time (silence); it may have run")


class Machine(RuleBasedStateMachine):
    """Any order of events: every call ends once."""

    def __init__(self):
        super().__init__()
        self.calls = Calls(random.Random(1), "peer", datagrams=False, max_in_flight=6)
        self.now = 0
        self.open = []

    def ended(self, calls):
        for call in calls:
            assert call.error is not None
            self.open.remove(call)

    @rule(semantics=st.sampled_from(list(Semantics)), timeout=st.sampled_from([5_000, 50_000, NEVER]))
    def start(self, semantics, timeout):
        try:
            self.open.append(self.calls.start(HEAD, b"", self.now, timeout_us=timeout, semantics=semantics))
        except TooManyCalls:
            assert len(self.open) == 6

    @precondition(lambda self: self.open)
    @rule(data=st.data(), good=st.booleans())
    def reply(self, data, good):
        call = data.draw(st.sampled_from(self.open))
        xid = xid_of(call)
        message = build_success(xid, b"") if good else build_refusal(xid, Status.PROC_UNAVAIL)
        assert self.calls.on_message(message, self.now) is call
        assert (call.error is None) is good
        self.open.remove(call)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data):
        call = data.draw(st.sampled_from(self.open))
        self.calls.cancel(call)
        self.open.remove(call)

    @rule(passed=st.integers(0, 30_000))
    def wait(self, passed):
        self.now += passed
        if self.calls.deadline <= self.now:
            again, over = self.calls.on_timer(self.now)
            assert again == []
            self.ended(over)

    @rule(same=st.booleans())
    def reconnect(self, same):
        if self.calls.is_connected:
            self.ended(self.calls.on_lost())
        else:
            send, given_up = self.calls.on_connected(same_address=same)
            self.ended(given_up)
            assert send == self.open
            assert all(call.sent for call in send)

    @rule()
    def unreachable(self):
        if not self.calls.is_connected:
            self.ended(self.calls.on_unreachable("down"))

    @rule()
    def rebooted(self):
        self.ended(self.calls.on_rebooted())

    @invariant()
    def holds(self):
        self.calls.check_invariants()
        assert len(self.calls) == len(self.open)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
