"""What a server makes of calls: the table of replies, and all that is dropped, with its counter."""

import random
import struct

import pytest

from stack.errors import ConfigError
from stack.rpc import policy
from stack.rpc.auth import AuthNone, AuthSys
from stack.rpc.constants import AuthStat, Status
from stack.rpc.dispatch import NO_REPLY, TCP, UDP, Dispatcher, Invocation, Pieces
from stack.rpc.duplicates import Bounds, Duplicates
from stack.rpc.errors import AuthError, GarbageArgs, MessageReason, ProcUnavail
from stack.rpc.message import build_auth, build_call, call_head, parse_reply
from stack.rpc.stats import Dropped
from tests.support.rfc import rfc
from tests.support.rpc_calls import CALLER, PROGRAM, Counter, call, execute

XID = struct.pack("!I", 7)


def words(*numbers: int) -> bytes:
    return struct.pack(f"!{len(numbers)}I", *numbers)


def server(limits: object = None, *, cache: bool = True, **how) -> tuple[Dispatcher, Counter]:
    dispatcher = Dispatcher(limits, Duplicates() if cache else None, **how)
    counter = Counter()
    dispatcher.add(PROGRAM, 1, counter.served())
    dispatcher.add(PROGRAM, 3, counter.served())
    return dispatcher, counter


# -- the table


@rfc("5531", "9", "R-MSG-STATUS")
@rfc("5531", "9", "R-MSG-VERSION")
@rfc("5531", "9", "R-MSG-XID")
@pytest.mark.parametrize("carrier", [UDP, TCP])
@pytest.mark.parametrize(
    ("data", "status", "expected"),
    [
        (call(9), Status.PROC_UNAVAIL, XID + words(1, 0, 0, 0, 3)),
        (build_call(7, 1, 1, 1), Status.PROG_UNAVAIL, XID + words(1, 0, 0, 0, 1)),
        (build_call(7, 1, 1, 0), Status.PROG_UNAVAIL, XID + words(1, 0, 0, 0, 1)),
        (call(1, version=2), Status.PROG_MISMATCH, XID + words(1, 0, 0, 0, 2, 1, 3)),
        (call(0, version=9), Status.PROG_MISMATCH, XID + words(1, 0, 0, 0, 2, 1, 3)),
        (XID + words(0, 3, 0, 0, 0), Status.RPC_MISMATCH, XID + words(1, 1, 0, 2, 2)),
        (call(2, 40), Status.GARBAGE_ARGS, XID + words(1, 0, 0, 0, 4)),
        (call(1, credential=build_auth(99)), Status.AUTH_ERROR, XID + words(1, 1, 1, 2)),
        (call(1, credential=build_auth(1, b"short")), Status.AUTH_ERROR, XID + words(1, 1, 1, 1)),
        (call(0), Status.SUCCESS, XID + words(1, 0, 0, 0, 0)),
        (call(2, 40, 2), Status.SUCCESS, XID + words(1, 0, 0, 0, 0, 42)),
        (call(2, 40, 2, 99), Status.SUCCESS, XID + words(1, 0, 0, 0, 0, 42)),  # trailing octets are tolerated
    ],
)
def test_each_call_has_its_reply(carrier, data, status, expected):
    dispatcher, counter = server()
    assert execute(dispatcher, data, carrier=carrier) == expected
    assert dispatcher.stats.replies[status] == 1
    assert sum(dispatcher.stats.replies) == dispatcher.stats.calls == 1
    assert counter.count == 0


def test_arguments_come_from_this_call_only():
    """The C library decodes what an earlier, longer datagram has left in its buffer."""
    dispatcher, _ = server()
    assert execute(dispatcher, call(2, 1000, 1)) == XID + words(1, 0, 0, 0, 0, 1001)
    assert execute(dispatcher, call(2, 1000)) == XID + words(1, 0, 0, 0, 4)
    assert dispatcher.stats.garbage == {"short": 1}


def test_strict_refuses_what_follows_the_arguments():
    dispatcher, _ = server("strict")
    assert execute(dispatcher, call(2, 40, 2, 99)) == XID + words(1, 0, 0, 0, 4)
    assert dispatcher.stats.garbage == {"trailing": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"abc", MessageReason.SHORT),
        (b"", MessageReason.SHORT),
        (call(1)[:-1], MessageReason.SHORT),
        (words(7, 0, 3), MessageReason.SHORT),
        (XID + words(1, 0, 0, 0, 0, 42), MessageReason.NOT_A_CALL),
        (words(7, 1) + bytes(60), MessageReason.NOT_A_CALL),
        (words(7, 0, 2, PROGRAM, 1, 1, 1, 401) + bytes(500), MessageReason.AUTH_TOO_LONG),
        (words(7, 0, 2, PROGRAM, 1, 1, 0, 0, 0, 404) + bytes(500), MessageReason.AUTH_TOO_LONG),
    ],
)
def test_what_is_no_call_gets_no_reply(data, reason):
    dispatcher, _ = server()
    assert execute(dispatcher, data) is None
    assert dispatcher.stats.malformed[reason] == sum(dispatcher.stats.malformed) == 1
    assert sum(dispatcher.stats.replies) == 0


@rfc("5531", "5", "R-MSG-ONCE")
def test_three_copies_are_executed_once_and_answered_three_times():
    dispatcher, counter = server()
    replies = [execute(dispatcher, call(1)) for _ in range(3)]
    assert replies == [XID + words(1, 0, 0, 0, 0, 1)] * 3
    assert counter.count == 1
    assert dispatcher.stats.replayed == 2


def test_without_the_cache_they_are_executed_three_times():
    dispatcher, counter = server(cache=False)
    replies = [execute(dispatcher, call(1)) for _ in range(3)]
    assert replies == [XID + words(1, 0, 0, 0, 0, number) for number in (1, 2, 3)]
    assert counter.count == 3


def test_what_may_be_executed_twice_is_not_kept():
    cache = Duplicates()
    dispatcher = Dispatcher(None, cache)
    dispatcher.add(PROGRAM, 1, Counter().served())
    for data in (call(0), call(2, 40, 2), call(2), call(9), build_call(7, 1, 1, 1)):
        execute(dispatcher, data)
    assert len(cache) == 0
    execute(dispatcher, call(1))
    assert len(cache) == 1


# -- copies while the first is being executed


def test_a_copy_of_a_call_in_progress_is_dropped_and_its_way_back_taken():
    dispatcher, _ = server()
    first = dispatcher.receive(call(1), CALLER, TCP, 0, "old connection")
    assert isinstance(first, Invocation)
    assert first.once
    assert dispatcher.receive(call(1), CALLER, TCP, 0, "new connection") is None
    assert dispatcher.stats.dropped[Dropped.IN_PROGRESS] == 1
    assert first.reply_to == "new connection"
    assert dispatcher.running == 1
    reply = dispatcher.complete(first, 5, 0)
    assert dispatcher.receive(call(1), CALLER, TCP, 0, "newest") == reply
    assert dispatcher.running == 0


def test_a_call_that_was_given_up_before_it_began_runs_when_it_comes_again():
    dispatcher, _ = server()
    first = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    dispatcher.abandon(first)
    assert isinstance(dispatcher.receive(call(1), CALLER, UDP, 0), Invocation)


def test_a_call_that_failed_is_not_executed_again():
    """It may have run in part: who sends it again hears of the same failure."""
    dispatcher, _ = server()
    first = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    reply = dispatcher.fail(first, ZeroDivisionError(), 0)
    assert reply == XID + words(1, 0, 0, 0, 5)
    assert dispatcher.receive(call(1), CALLER, UDP, 0) == reply


def test_what_a_procedure_raises_for_its_caller_reaches_it():
    for error, expected, status in (
        (ProcUnavail(), (1, 0, 0, 0, 3), Status.PROC_UNAVAIL),
        (GarbageArgs(), (1, 0, 0, 0, 4), Status.GARBAGE_ARGS),
        (AuthError(AuthStat.REJECTEDCRED), (1, 1, 1, 2), Status.AUTH_ERROR),
    ):
        dispatcher, _ = server()
        first = dispatcher.receive(call(1), CALLER, UDP, 0)
        assert isinstance(first, Invocation)
        assert dispatcher.fail(first, error, 0) == XID + words(*expected)
        assert dispatcher.stats.replies[status] == 1


@pytest.mark.parametrize(("stat", "counted"), [(5, 5), (14, 14), (4711, 7)])
def test_callers_refused_by_a_procedure_are_counted_by_reason(stat, counted):
    dispatcher, _ = server()
    first = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    assert dispatcher.fail(first, AuthError(stat), 0) == XID + words(1, 1, 1, stat)
    assert dispatcher.stats.auth[counted] == sum(dispatcher.stats.auth) == 1


def test_a_procedure_can_want_no_reply():
    dispatcher, _ = server()
    first = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    assert dispatcher.complete(first, NO_REPLY, 0) is None
    assert dispatcher.receive(call(1), CALLER, UDP, 0) is None
    assert dispatcher.stats.dropped[Dropped.NO_REPLY] == 1
    assert dispatcher.stats.dropped[Dropped.FORGOTTEN] == 1
    assert repr(NO_REPLY) == "NO_REPLY"


def test_a_result_that_no_datagram_can_carry_is_a_system_error():
    dispatcher, _ = server()
    for carrier, size in ((UDP, 24), (TCP, 70_024)):
        first = dispatcher.receive(call(1, xid=size), CALLER, carrier, 0)
        assert isinstance(first, Invocation)
        reply = dispatcher.complete(first, bytes(70_000), 0)
        assert reply is not None
        assert len(reply) == size
    assert dispatcher.stats.too_large == dispatcher.stats.replies[Status.SYSTEM_ERR] == 1


def test_a_result_that_cannot_be_encoded_is_told_by_its_owner():
    dispatcher, _ = server()
    first = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    with pytest.raises(struct.error) as caught:
        dispatcher.complete(first, "text", 0)
    assert dispatcher.fail(first, caught.value, 0) == XID + words(1, 0, 0, 0, 5)
    assert dispatcher.running == 0


# -- who may call


def test_a_policy_holds_for_its_program():
    dispatcher, counter = server()
    dispatcher.add(5, 1, counter.served(), policy.allow(uids={1000}, networks=["198.18.0.0/24"]))

    def auth_of(source=CALLER, procedure=1, **how) -> int | None:
        reply = execute(dispatcher, build_call(7, 5, 1, procedure, **how), source=source)
        assert reply is not None
        parsed = parse_reply(reply)
        return parsed.auth_stat if parsed.status == Status.AUTH_ERROR else None

    good = AuthSys(1000, 100).wire
    assert auth_of(credential=good) is None
    assert auth_of() == AuthStat.TOOWEAK
    assert auth_of(credential=AuthSys(0, 0).wire) == AuthStat.TOOWEAK
    assert auth_of(("192.0.2.1", 1), credential=good) == AuthStat.TOOWEAK
    assert dispatcher.stats.auth[AuthStat.TOOWEAK] == 3
    # RFC 5531 §12.1: procedure 0 never requires any kind of authentication
    assert auth_of(("192.0.2.1", 1), procedure=0) is None
    # the other programs are open
    assert execute(dispatcher, call(2, 1, 1), source=("192.0.2.1", 1)) == XID + words(1, 0, 0, 0, 0, 2)


def test_the_procedure_sees_who_calls():
    dispatcher, _ = server()
    credential = AuthSys(1000, 100, (4, 24), machine="client")
    ctx = dispatcher.receive(call(1, credential=credential.wire), CALLER, TCP, 0)
    assert isinstance(ctx, Invocation)
    assert (ctx.source, ctx.credential, ctx.xid, ctx.transport) == (CALLER, credential, 7, "tcp")
    assert (ctx.procedure, ctx.deadline_at) == ("INCREMENT", None)
    assert "INCREMENT by 198.18.0.9:700 over tcp" in repr(ctx)
    plain = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(plain, Invocation)
    assert isinstance(plain.credential, AuthNone)


# -- bounds


@pytest.mark.parametrize("procedure", [1, 2])
def test_no_client_takes_all_of_the_server(procedure):
    dispatcher, _ = server(max_running=8)
    for number in range(8):
        dispatcher.receive(call(procedure, 1, 1, xid=number), CALLER, UDP, 0)
    assert dispatcher.running == 2
    assert dispatcher.stats.dropped[Dropped.CLIENT_BUSY] == 6
    assert not dispatcher.has_room(CALLER)
    for number in range(20):
        dispatcher.receive(call(procedure, 1, 1), (f"198.18.0.{number + 20}", 1), UDP, 0)
    assert dispatcher.running == 8
    assert dispatcher.stats.dropped[Dropped.BUSY] == 14


def test_on_a_stream_nothing_is_dropped_in_silence():
    dispatcher, _ = server(max_running=1)
    first = dispatcher.receive(call(1), CALLER, TCP, 0)
    assert isinstance(first, Invocation)
    assert dispatcher.receive(call(1, xid=8), CALLER, TCP, 0) == words(8, 1, 0, 0, 0, 5)
    assert dispatcher.receive(call(2, 1, 1, xid=9), CALLER, TCP, 0) == words(9, 1, 0, 0, 0, 5)
    dispatcher.complete(first, 1, 0)
    assert isinstance(dispatcher.receive(call(1, xid=8), CALLER, TCP, 0), Invocation)


def test_what_found_no_room_was_not_executed_and_can_come_again():
    dispatcher, _ = server(max_running=4)
    first = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    assert dispatcher.receive(call(1, xid=8), CALLER, UDP, 0) is None
    assert dispatcher.stats.dropped[Dropped.CLIENT_BUSY] == 1
    reply = dispatcher.complete(first, 1, 0)
    second = dispatcher.receive(call(1, xid=8), CALLER, UDP, 0)
    assert isinstance(second, Invocation)
    # what was executed is answered, room or not
    assert dispatcher.receive(call(1), CALLER, UDP, 0) == reply


def test_what_is_served_can_change():
    dispatcher, counter = server()
    with pytest.raises(ConfigError, match="served already"):
        dispatcher.add(PROGRAM, 1, counter.served())
    dispatcher.remove(PROGRAM, 1)
    assert execute(dispatcher, call(1)) == XID + words(1, 0, 0, 0, 2, 3, 3)
    dispatcher.remove(PROGRAM, 3)
    assert execute(dispatcher, call(1)) == XID + words(1, 0, 0, 0, 1)
    dispatcher.remove(PROGRAM, 3)
    with pytest.raises(ConfigError, match="at least 1"):
        Dispatcher(max_running=0)


def test_counters_have_names():
    dispatcher, _ = server()
    for data in (call(1), call(1), call(2), b"abc", call(1, credential=build_auth(99))):
        execute(dispatcher, data)
    assert dispatcher.stats.by_name() == {
        "calls": 5,
        "replayed": 1,
        "replies_success": 1,
        "replies_garbage_args": 1,
        "replies_auth_error": 1,
        "auth_rejectedcred": 1,
        "malformed_short": 1,
        "garbage_short": 1,
    }


# -- damage


def damaged(originals: list[bytes], rng: random.Random) -> bytes:
    wire = bytearray(rng.choice(originals))
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(wire))
        how = rng.randrange(5)
        if how == 0:
            wire[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            wire[at & ~3 : (at & ~3) + 4] = rng.choice((0, 1, 2, 3, 400, 401, 0x7FFFFFFF, 0xFFFFFFFF)).to_bytes(
                4, "big"
            )
        elif how == 2:
            del wire[at : at + rng.randrange(1, 12)]
        elif how == 3:
            wire[at:at] = wire[at : at + rng.randrange(1, 40)]
        else:
            del wire[max(at, 1) :]
        wire = wire or bytearray(1)
    return bytes(wire)


def bombard(count: int, seed: int) -> Dispatcher:
    """Every message is answered or counted as dropped, and no answer to what is no call is longer than it was."""
    rng, cache = random.Random(seed), Duplicates(Bounds(max_bytes=1 << 18))
    dispatcher = Dispatcher(None, cache)
    dispatcher.add(PROGRAM, 1, Counter().served())
    credential = AuthSys(1000, 100, range(16), machine="a machine").wire
    originals = [call(0), call(1), call(2, 1, 2), call(1, credential=credential), call(2, 1, 2, credential=credential)]
    originals += [XID + words(1, 0, 0, 0, 0, 1), XID + call_head(PROGRAM, 9, 0), build_call(7, 1, 1, 1)]
    for number in range(count):
        data = damaged(originals, rng)
        reply = execute(dispatcher, data, now=number * 1000)
        if reply is not None:
            assert parse_reply(reply).xid == int.from_bytes(data[:4], "big")
            assert len(reply) <= max(len(data), 24)
    cache.check_invariants()
    stats = dispatcher.stats
    assert stats.calls == count
    silent = sum(stats.malformed) - stats.malformed[MessageReason.RPC_VERSION]
    assert sum(stats.replies) + stats.replayed + silent + sum(stats.dropped) == count
    return dispatcher


def test_damaged_calls_are_answered_or_counted():
    dispatcher = bombard(20_000, seed=3)
    stats = dispatcher.stats
    # what damage of this kind can cause was caused
    assert [status.name for status in Status if not stats.replies[status] and status != Status.SYSTEM_ERR] == []
    expected = (MessageReason.SHORT, MessageReason.NOT_A_CALL, MessageReason.AUTH_TOO_LONG, MessageReason.RPC_VERSION)
    assert all(stats.malformed[reason] for reason in expected)
    assert dispatcher.running == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_damage_for_long(seed):
    bombard(100_000, seed=100 + seed)


# -- results in pieces

LARGE = bytes(8000)


def test_results_in_pieces_are_sent_as_they_are():
    dispatcher, _ = server()
    first = dispatcher.receive(call(2, 1, 2), CALLER, TCP, 0)
    assert isinstance(first, Invocation)
    reply = dispatcher.complete(first, Pieces(words(8000), LARGE), 0)
    assert isinstance(reply, Pieces)
    assert reply.octets[-1] is LARGE
    assert reply.joined() == XID + words(1, 0, 0, 0, 0, 8000) + LARGE
    assert reply.size == len(reply.joined())
    assert dispatcher.running == 0
    assert dispatcher.stats.replies[Status.SUCCESS] == 1


def test_results_in_pieces_that_are_kept_or_fit_in_a_datagram_are_joined():
    for carrier, procedure in ((UDP, (2, 1, 2)), (UDP, (1,)), (TCP, (1,))):
        dispatcher, _ = server()
        data = call(*procedure)
        first = dispatcher.receive(data, CALLER, carrier, 0)
        assert isinstance(first, Invocation)
        reply = dispatcher.complete(first, Pieces(words(8000), LARGE), 0)
        assert reply == XID + words(1, 0, 0, 0, 0, 8000) + LARGE
        if procedure == (1,):
            assert dispatcher.receive(data, CALLER, carrier, 1) == reply


def test_results_in_pieces_that_no_datagram_can_carry_are_a_system_error():
    dispatcher, _ = server()
    first = dispatcher.receive(call(2, 1, 2), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    assert dispatcher.complete(first, Pieces(*[LARGE] * 9), 0) == XID + words(1, 0, 0, 0, 5)


def test_pieces_that_are_no_whole_value_are_refused_where_they_are_made():
    with pytest.raises(ValueError, match="multiple of 4"):
        Pieces(words(5), b"hello")
