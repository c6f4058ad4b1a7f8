"""Calls and replies on the wire."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import ConfigError
from stack.rpc import message
from stack.rpc.constants import AuthStat, Status
from stack.rpc.errors import (
    AuthError,
    GarbageArgs,
    MessageError,
    MessageReason,
    ProcUnavail,
    ProgMismatch,
    ProgUnavail,
    RpcMismatch,
    SystemErr,
)
from tests.support.rfc import rfc

XID = b"\x12\x34\x56\x78"
WORD = st.integers(0, 0xFFFF_FFFF)


def words(*numbers: int) -> bytes:
    return struct.pack(f"!{len(numbers)}I", *numbers)


def reason_of(parse, data: bytes) -> MessageReason:
    with pytest.raises(MessageError) as caught:
        parse(data)
    return caught.value.reason


def test_a_call_is_laid_out_as_the_rfc_says():
    call = message.build_call(7, 100_000, 2, 3, b"args")
    assert call == words(7, 0, 2, 100_000, 2, 3, 0, 0, 0, 0) + b"args"


@given(WORD, WORD, WORD, WORD, WORD, st.binary(max_size=400), st.binary(max_size=400), st.binary(max_size=40))
def test_what_was_built_is_parsed(xid, program, version, procedure, flavor, credential, verifier, args):
    data = message.build_call(
        xid,
        program,
        version,
        procedure,
        args,
        credential=message.build_auth(flavor, credential),
        verifier=message.build_auth(flavor, verifier),
    )
    call = message.parse_call(data)
    assert (call.xid, call.program, call.version, call.procedure) == (xid, program, version, procedure)
    assert (call.flavor, call.credential) == (flavor, credential)
    assert data[call.args_offset :] == args


def test_a_call_cut_anywhere_in_its_head_is_short():
    auth = message.build_auth(1, bytes(21))
    data = message.build_call(7, 1, 2, 3, b"", credential=auth, verifier=auth)
    assert {reason_of(message.parse_call, data[:size]) for size in range(len(data))} == {MessageReason.SHORT}
    assert message.parse_call(data).args_offset == len(data)


@rfc("5531", "8.2", "R-MSG-400")
def test_400_octets_of_authentication_are_taken():
    auth = message.build_auth(6, bytes(400))
    call = message.parse_call(message.build_call(7, 1, 2, 3, b"args", credential=auth, verifier=auth))
    assert (len(call.credential), call.args_offset) == (400, 24 + 2 * 408)
    reply = message.parse_reply(words(7, 1, 0) + auth + words(0))
    assert (reply.status, reply.results_offset) == (Status.SUCCESS, 12 + 408 + 4)


@rfc("5531", "8.2", "R-MSG-400")
@pytest.mark.parametrize("at", ["credential", "verifier"])
def test_more_than_400_octets_of_authentication_are_refused(at):
    good = words(7, 0, 2, 1, 2, 3)
    long = words(0, 401) + bytes(404)
    data = good + (long + message.NO_AUTH if at == "credential" else message.NO_AUTH + long)
    assert reason_of(message.parse_call, data) == MessageReason.AUTH_TOO_LONG
    assert reason_of(message.parse_call, data[:44] + bytes(1000)) != MessageReason.SHORT
    with pytest.raises(ValueError, match="401 octets"):
        message.build_auth(0, bytes(401))


def test_a_length_of_all_ones_is_refused_at_once():
    for tail in (words(0, 0xFFFF_FFFF), words(0, 0, 0, 0xFFFF_FFFF)):
        data = words(7, 0, 2, 1, 2, 3) + tail + bytes(64)
        assert reason_of(message.parse_call, data) == MessageReason.AUTH_TOO_LONG


def test_what_is_no_call_has_its_reason():
    assert reason_of(message.parse_call, b"abc") == MessageReason.SHORT
    assert reason_of(message.parse_call, words(7, 1, 0, 0, 0, 0)) == MessageReason.NOT_A_CALL
    assert reason_of(message.parse_call, words(7, 1) + bytes(64)) == MessageReason.NOT_A_CALL
    assert reason_of(message.parse_call, words(7, 2) + bytes(64)) == MessageReason.NOT_A_CALL
    assert reason_of(message.parse_call, words(7, 0, 3) + bytes(64)) == MessageReason.RPC_VERSION
    assert reason_of(message.parse_call, words(7, 0, 3, 0, 0, 0)) == MessageReason.RPC_VERSION
    # an answer would be longer than the question
    assert reason_of(message.parse_call, words(7, 0, 3, 0, 0)) == MessageReason.SHORT


def test_success_has_its_results_behind_it():
    reply = message.parse_reply(message.build_success(XID, b"results!"))
    assert (reply.xid, reply.status, reply.results_offset) == (0x12345678, Status.SUCCESS, 24)


def test_a_reply_may_have_a_verifier():
    data = words(7, 1, 0, 6, 5) + b"abcde\0\0\0" + words(0) + b"rest"
    reply = message.parse_reply(data)
    assert (reply.status, data[reply.results_offset :]) == (Status.SUCCESS, b"rest")
    assert reason_of(message.parse_reply, words(7, 1, 0, 6, 401) + bytes(500)) == MessageReason.AUTH_TOO_LONG


@rfc("5531", "A", "R-MSG-SHORT-OFFERED")
@pytest.mark.parametrize("body", [b"", b"short one", bytes(400)])
def test_a_shorthand_that_a_server_offers_is_passed_over(body):
    data = words(7, 1, 0) + message.build_auth(2, body)
    assert message.parse_reply(data + words(0) + b"rest").results_offset == len(data) + 4
    assert message.parse_reply(data + words(2, 3, 4)).low == 3
    assert message.parse_reply(data + words(5)).status == Status.SYSTEM_ERR


@rfc("5531", "9", "R-MSG-STATUS")
@rfc("5531", "9", "R-MSG-VERSION")
@pytest.mark.parametrize(
    ("data", "on_the_wire", "error"),
    [
        (message.build_refusal(XID, Status.PROG_UNAVAIL), (1, 0, 0, 0, 1), ProgUnavail),
        (message.build_prog_mismatch(XID, 2, 4), (1, 0, 0, 0, 2, 2, 4), ProgMismatch),
        (message.build_refusal(XID, Status.PROC_UNAVAIL), (1, 0, 0, 0, 3), ProcUnavail),
        (message.build_refusal(XID, Status.GARBAGE_ARGS), (1, 0, 0, 0, 4), GarbageArgs),
        (message.build_refusal(XID, Status.SYSTEM_ERR), (1, 0, 0, 0, 5), SystemErr),
        (message.build_rpc_mismatch(XID), (1, 1, 0, 2, 2), RpcMismatch),
        (message.build_auth_error(XID, AuthStat.TOOWEAK), (1, 1, 1, 5), AuthError),
    ],
)
def test_each_refusal_is_a_reply_and_an_error(data, on_the_wire, error):
    assert data == XID + words(*on_the_wire)
    reply = message.parse_reply(data)
    assert (reply.xid, reply.results_offset) == (0x12345678, len(data))
    raised = message.error_of(reply, "DOIT")
    assert type(raised) is error
    assert "DOIT" in str(raised)
    assert raised.maybe_executed is (error is SystemErr)
    # sent twice, the first may have run before the server was started anew, and refused the second
    assert message.error_of(reply, sent=2).maybe_executed is True
    assert {reason_of(message.parse_reply, data[:size]) for size in range(len(data))} == {MessageReason.SHORT}


def test_mismatches_say_what_there_is():
    error = message.error_of(message.parse_reply(message.build_prog_mismatch(XID, 2, 4)))
    assert isinstance(error, ProgMismatch)
    assert (error.low, error.high) == (2, 4)
    assert "2 to 4" in str(error)
    denied = message.error_of(message.parse_reply(message.build_rpc_mismatch(XID)))
    assert isinstance(denied, RpcMismatch)
    assert (denied.low, denied.high) == (2, 2)


@rfc("5531", "9", "R-MSG-AUTH-STAT")
def test_each_reason_to_refuse_a_caller_has_its_number_and_words():
    assert [stat.value for stat in AuthStat] == list(range(15))
    for stat in range(1, 15):
        error = message.error_of(message.parse_reply(message.build_auth_error(XID, stat)))
        assert isinstance(error, AuthError)
        assert error.stat == stat
        assert f"auth_stat {stat}" not in str(error)


@rfc("5531", "9", "R-MSG-AUTH-STAT")
def test_an_unknown_reason_to_refuse_a_caller_is_told_as_a_number():
    error = message.error_of(message.parse_reply(message.build_auth_error(XID, 4711)))
    assert isinstance(error, AuthError)
    assert error.stat == 4711
    assert "4711" in str(error)


def test_what_is_no_reply_has_its_reason():
    assert reason_of(message.parse_reply, words(7, 0) + bytes(64)) == MessageReason.NOT_A_REPLY
    assert reason_of(message.parse_reply, words(7, 0)) == MessageReason.NOT_A_REPLY
    assert reason_of(message.parse_reply, words(7, 1, 2, 0, 0)) == MessageReason.BAD_STATUS
    assert reason_of(message.parse_reply, words(7, 1, 0, 0, 0, 6)) == MessageReason.BAD_STATUS
    assert reason_of(message.parse_reply, words(7, 1, 1, 2, 0)) == MessageReason.BAD_STATUS


def test_what_a_procedure_raises_becomes_a_reply():
    def status(error):
        return message.parse_reply(message.build_error(XID, error)).status

    assert status(ProcUnavail()) == Status.PROC_UNAVAIL
    assert status(GarbageArgs()) == Status.GARBAGE_ARGS
    assert status(SystemErr()) == Status.SYSTEM_ERR
    assert status(ZeroDivisionError()) == Status.SYSTEM_ERR
    # of its own calls to others: not the caller's business
    assert status(ProgUnavail()) == Status.SYSTEM_ERR
    assert status(AuthError(AuthStat.FAILED)) == Status.AUTH_ERROR
    assert message.parse_reply(message.build_error(XID, AuthError(0))).auth_stat == AuthStat.FAILED


@pytest.mark.parametrize("status", [Status.PROC_UNAVAIL, Status.GARBAGE_ARGS, Status.SYSTEM_ERR])
def test_what_another_server_answered_is_not_passed_on(status):
    """The caller would believe that its own call has not run."""
    answered = message.error_of(message.parse_reply(message.build_refusal(XID, status)))
    assert answered.received
    assert message.build_error(XID, answered) == message.build_refusal(XID, Status.SYSTEM_ERR)
    refused = message.error_of(message.parse_reply(message.build_auth_error(XID, AuthStat.TOOWEAK)))
    assert message.build_error(XID, refused) == message.build_refusal(XID, Status.SYSTEM_ERR)


def test_a_reason_that_no_reply_can_hold_is_refused_where_it_is_given():
    for stat in (-1, 1 << 32):
        with pytest.raises(ConfigError, match="32 bits"):
            AuthError(stat)


@given(st.binary(max_size=120))
def test_parsers_are_total(data):
    for parse in (message.parse_call, message.parse_reply):
        try:
            parsed = parse(data)
        except MessageError:
            continue
        offset = getattr(parsed, "args_offset", 0) or getattr(parsed, "results_offset", 0)
        assert 16 < offset <= len(data)
