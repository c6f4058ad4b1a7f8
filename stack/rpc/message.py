"""Calls and replies (RFC 5531 §9): what stands before arguments and results, on the wire.

A call is its xid, a head that all calls of one procedure by one caller share (`call_head`), and the arguments; an
accepted call's reply is the xid, `ACCEPTED` and the results.  So both are built by joining bytes, and a client's
messages differ in nothing but their xids.  Parsing fails with MessageError only, at a cost that does not depend on
what the message holds.
"""

from struct import Struct
from typing import Final

from stack.rpc.constants import MAX_AUTH, RPC_VERSION, AuthStat, Status
from stack.rpc.errors import (
    AuthError,
    GarbageArgs,
    MessageError,
    MessageReason,
    ProcUnavail,
    ProgMismatch,
    ProgUnavail,
    Rejected,
    RpcMismatch,
    SystemErr,
)

CALL: Final = 0
REPLY: Final = 1
NO_AUTH: Final = bytes(8)  # AUTH_NONE, as a credential or a verifier
ACCEPTED: Final = b"\0\0\0\1" + bytes(16)  # reply, MSG_ACCEPTED, no verifier, SUCCESS: what follows the xid

_HEAD: Final = Struct("!5I")  # of a call, after the xid
_CALL: Final = Struct("!8I")  # of a call, up to the length of the credential
_AUTH: Final = Struct("!2I")  # flavor, length
_REPLY: Final = Struct("!3I")  # type, reply_stat, and the verifier's flavor or what the denial is about
_RANGE: Final = Struct("!2I")
_WORD: Final = Struct("!I")
_CALL_MIN: Final = 40
_SUCCESS_LEN: Final = 24
_DENIED: Final = 1


class Call:
    """The head of a call: who is called, by whom, and where in the message the arguments begin."""

    __slots__ = ("args_offset", "credential", "flavor", "procedure", "program", "version", "xid")

    def __init__(
        self, xid: int, program: int, version: int, procedure: int, flavor: int, credential: bytes, args_offset: int
    ) -> None:
        self.xid = xid
        self.program = program
        self.version = version
        self.procedure = procedure
        self.flavor = flavor  # of the credential
        self.credential = credential  # its body
        self.args_offset = args_offset


class Reply:
    """The head of a reply.  `low` and `high` are those of the mismatches, `auth_stat` that of AUTH_ERROR."""

    __slots__ = ("auth_stat", "high", "low", "results_offset", "status", "xid")

    def __init__(
        self, xid: int, status: Status, results_offset: int, low: int = 0, high: int = 0, auth_stat: int = 0
    ) -> None:
        self.xid = xid
        self.status = status
        self.results_offset = results_offset
        self.low = low
        self.high = high
        self.auth_stat = auth_stat


# -- calls


def build_auth(flavor: int, body: bytes = b"") -> bytes:
    """A credential or a verifier.  Raises ValueError for more than 400 octets (RFC 5531 §8.2)."""
    if len(body) > MAX_AUTH:
        raise ValueError(f"a credential of {len(body)} octets: at most {MAX_AUTH} are allowed")
    return _AUTH.pack(flavor, len(body)) + body + bytes(-len(body) & 3)


def call_head(
    program: int, version: int, procedure: int, credential: bytes = NO_AUTH, verifier: bytes = NO_AUTH
) -> bytes:
    """What stands between xid and arguments of a call; to be kept for the next one."""
    return _HEAD.pack(CALL, RPC_VERSION, program, version, procedure) + credential + verifier


def build_call(
    xid: int,
    program: int,
    version: int,
    procedure: int,
    args: bytes = b"",
    *,
    credential: bytes = NO_AUTH,
    verifier: bytes = NO_AUTH,
) -> bytes:
    """A whole call; credential and verifier are of `build_auth`."""
    return _WORD.pack(xid) + call_head(program, version, procedure, credential, verifier) + args


def parse_call(data: bytes) -> Call:
    """The head of a call.  Raises MessageError.

    The verifier is passed over: AUTH_NONE and AUTH_SYS have none to check (RFC 5531 §8.2, appendix A).
    """
    if len(data) < _CALL_MIN:
        raise MessageError(_why_short(data))
    xid, kind, rpc_version, program, version, procedure, flavor, length = _CALL.unpack_from(data)
    if kind != CALL:
        raise MessageError(MessageReason.NOT_A_CALL)
    if rpc_version != RPC_VERSION:
        raise MessageError(MessageReason.RPC_VERSION)
    if length:
        if length > MAX_AUTH:
            raise MessageError(MessageReason.AUTH_TOO_LONG)
        at = 32 + (length + 3 & ~3)
        if len(data) < at + 8:
            raise MessageError(MessageReason.SHORT)
        credential = data[32 : 32 + length]
    else:
        at = 32
        credential = b""
    end = at + 8
    if data[at + 4 : end] != b"\0\0\0\0":
        (length,) = _WORD.unpack_from(data, at + 4)
        if length > MAX_AUTH:
            raise MessageError(MessageReason.AUTH_TOO_LONG)
        end += length + 3 & ~3
        if len(data) < end:
            raise MessageError(MessageReason.SHORT)
    return Call(xid, program, version, procedure, flavor, credential, end)


def _why_short(data: bytes) -> MessageReason:
    """Of another version than 2 nothing is known but that xid, type and version come first."""
    if len(data) >= 8 and data[4:8] != b"\0\0\0\0":
        return MessageReason.NOT_A_CALL
    if len(data) >= 24 and data[8:12] != b"\0\0\0\2":  # less is no call in any version; the answer has 24
        return MessageReason.RPC_VERSION
    return MessageReason.SHORT


# -- replies.  `xid` is as it came: the first four octets of the call


def build_success(xid: bytes, results: bytes) -> bytes:
    """The reply to a call that was done."""
    return xid + ACCEPTED + results


def build_refusal(xid: bytes, status: Status) -> bytes:
    """PROG_UNAVAIL, PROC_UNAVAIL, GARBAGE_ARGS or SYSTEM_ERR."""
    return xid + ACCEPTED[:-4] + _WORD.pack(status)


def build_prog_mismatch(xid: bytes, low: int, high: int) -> bytes:
    """The program is there, in other versions."""
    return xid + ACCEPTED[:-4] + _WORD.pack(Status.PROG_MISMATCH) + _RANGE.pack(low, high)


def build_rpc_mismatch(xid: bytes) -> bytes:
    """The call was of another version of the protocol."""
    return xid + b"\0\0\0\1\0\0\0\1\0\0\0\0" + _RANGE.pack(RPC_VERSION, RPC_VERSION)


def build_auth_error(xid: bytes, stat: int) -> bytes:
    """The caller's credential was refused."""
    return xid + b"\0\0\0\1\0\0\0\1\0\0\0\1" + _WORD.pack(stat)


def parse_reply(data: bytes) -> Reply:
    """The head of a reply.  Raises MessageError."""
    if data.startswith(ACCEPTED, 4):
        return Reply(_WORD.unpack_from(data)[0], Status.SUCCESS, _SUCCESS_LEN)
    if len(data) < 16:
        short = len(data) < 8 or data[4:8] == b"\0\0\0\1"
        raise MessageError(MessageReason.SHORT if short else MessageReason.NOT_A_REPLY)
    (xid,) = _WORD.unpack_from(data)
    kind, denied, what = _REPLY.unpack_from(data, 4)
    if kind != REPLY:
        raise MessageError(MessageReason.NOT_A_REPLY)
    if denied > _DENIED:
        raise MessageError(MessageReason.BAD_STATUS)
    return _parse_denied(data, xid, what) if denied else _parse_accepted(data, xid)


def _parse_accepted(data: bytes, xid: int) -> Reply:
    # RFC 5531 appendix A: a verifier may be AUTH_SHORT, a shorthand for the credential that need not be used; like
    # those of other flavors it is passed over
    if len(data) < _SUCCESS_LEN:
        raise MessageError(MessageReason.SHORT)
    (length,) = _WORD.unpack_from(data, 16)
    if length > MAX_AUTH:
        raise MessageError(MessageReason.AUTH_TOO_LONG)
    at = 20 + (length + 3 & ~3)
    if len(data) < at + 4:
        raise MessageError(MessageReason.SHORT)
    (status,) = _WORD.unpack_from(data, at)
    if status > Status.SYSTEM_ERR:
        raise MessageError(MessageReason.BAD_STATUS)
    if status != Status.PROG_MISMATCH:
        return Reply(xid, Status(status), at + 4)
    if len(data) < at + 12:
        raise MessageError(MessageReason.SHORT)
    low, high = _RANGE.unpack_from(data, at + 4)
    return Reply(xid, Status.PROG_MISMATCH, at + 12, low, high)


def _parse_denied(data: bytes, xid: int, what: int) -> Reply:
    """Denials have no verifier."""
    if what == 1:
        if len(data) < 20:
            raise MessageError(MessageReason.SHORT)
        return Reply(xid, Status.AUTH_ERROR, 20, auth_stat=_WORD.unpack_from(data, 16)[0])
    if what:
        raise MessageError(MessageReason.BAD_STATUS)
    if len(data) < 24:
        raise MessageError(MessageReason.SHORT)
    low, high = _RANGE.unpack_from(data, 16)
    return Reply(xid, Status.RPC_MISMATCH, 24, low, high)


def error_of(reply: Reply, what: str = "the call", *, sent: int = 1) -> Rejected:
    """What a reply other than SUCCESS means for the caller.  `sent`: how often the call was sent.

    A call that was sent twice may have run the first time, whatever the second time was answered: the server may
    have been started anew in between.
    """
    error = _error_of(reply, what, maybe=True if sent > 1 else None)
    error.received = True
    return error


def _error_of(reply: Reply, what: str, *, maybe: bool | None) -> Rejected:
    if reply.status == Status.AUTH_ERROR:
        return AuthError(reply.auth_stat, what, maybe_executed=maybe)
    if reply.status == Status.PROG_MISMATCH:
        return ProgMismatch(reply.low, reply.high, what, maybe_executed=maybe)
    if reply.status == Status.RPC_MISMATCH:
        return RpcMismatch(reply.low, reply.high, what, maybe_executed=maybe)
    return _PLAIN[reply.status](what, maybe_executed=maybe)


_PLAIN: Final[dict[int, type[Rejected]]] = {
    Status.PROG_UNAVAIL: ProgUnavail,
    Status.PROC_UNAVAIL: ProcUnavail,
    Status.GARBAGE_ARGS: GarbageArgs,
    Status.SYSTEM_ERR: SystemErr,
}


def build_error(xid: bytes, error: BaseException) -> bytes:
    """The reply for what a procedure raised; SYSTEM_ERR for all that is not meant for the caller.

    What another server answered to a call of the procedure's own is not: this procedure has run.
    """
    if isinstance(error, Rejected) and error.received:
        return build_refusal(xid, Status.SYSTEM_ERR)
    if isinstance(error, AuthError):
        return build_auth_error(xid, error.stat or AuthStat.FAILED)
    if isinstance(error, ProcUnavail):
        return build_refusal(xid, Status.PROC_UNAVAIL)
    if isinstance(error, GarbageArgs):
        return build_refusal(xid, Status.GARBAGE_ARGS)
    return build_refusal(xid, Status.SYSTEM_ERR)
