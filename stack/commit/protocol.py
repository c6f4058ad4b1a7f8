"""commit.x, compiled by tapstack rpcgen: to change it, change that file."""

# ruff: noqa

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final, TypeAlias, Unpack

from stack.rpc import xdr
from stack.rpc import program as _program

COMMIT_NAME: Final = 255
COMMIT_IDENTITY: Final = 8
COMMIT_MEMBERS: Final = 64
COMMIT_WORK: Final = 1000000
COMMIT_TEXT: Final = 1000
COMMIT_ROWS: Final = 1000
COMMIT_STEPS: Final = 1000
COMMIT: Final = 1067809473

_BOOLS: Final = xdr.BOOLS
_PADS: Final = xdr.PADS
_U1: Final = Struct(">I").unpack_from
_P1: Final = Struct(">I").pack
_U2: Final = Struct(">Q").unpack_from
_P2: Final = Struct(">Q").pack
_U3: Final = Struct(">i").unpack_from
_P3: Final = Struct(">i").pack
_P4: Final = Struct(">iI").pack
_U5: Final = Struct(">II").unpack_from
_P5: Final = Struct(">II").pack
_U6: Final = Struct(">QI").unpack_from
_P6: Final = Struct(">QI").pack
_U7: Final = Struct(">QQI").unpack_from
_P7: Final = Struct(">QQI").pack
_P8: Final = Struct(">iQ").pack
_U9: Final = Struct(">q").unpack_from
_P9: Final = Struct(">q").pack
_U10: Final = Struct(">d").unpack_from
_P11: Final = Struct(">iq").pack
_P12: Final = Struct(">id").pack


class vote_kind(IntEnum):
    """enum vote_kind."""

    VOTE_NO = 0
    VOTE_YES = 1


VOTE_NO: Final = vote_kind.VOTE_NO
VOTE_YES: Final = vote_kind.VOTE_YES
_of_vote_kind: Final[dict[int, vote_kind]] = {each.value: each for each in vote_kind}


class receipt(IntEnum):
    """enum receipt."""

    RECEIPT_DONE = 0
    RECEIPT_LATER = 1
    RECEIPT_LOST = 2


RECEIPT_DONE: Final = receipt.RECEIPT_DONE
RECEIPT_LATER: Final = receipt.RECEIPT_LATER
RECEIPT_LOST: Final = receipt.RECEIPT_LOST
_of_receipt: Final[dict[int, receipt]] = {each.value: each for each in receipt}


class answer(IntEnum):
    """enum answer."""

    ANSWER_PENDING = 0
    ANSWER_COMMITTED = 1
    ANSWER_ABORTED = 2
    ANSWER_UNKNOWN = 3


ANSWER_PENDING: Final = answer.ANSWER_PENDING
ANSWER_COMMITTED: Final = answer.ANSWER_COMMITTED
ANSWER_ABORTED: Final = answer.ANSWER_ABORTED
ANSWER_UNKNOWN: Final = answer.ANSWER_UNKNOWN
_of_answer: Final[dict[int, answer]] = {each.value: each for each in answer}


class coordinator_kind(IntEnum):
    """enum coordinator_kind."""

    NUMBERS = 1
    COMMITTED = 2
    ENDED = 3
    GIVEN_UP = 4


NUMBERS: Final = coordinator_kind.NUMBERS
COMMITTED: Final = coordinator_kind.COMMITTED
ENDED: Final = coordinator_kind.ENDED
GIVEN_UP: Final = coordinator_kind.GIVEN_UP
_of_coordinator_kind: Final[dict[int, coordinator_kind]] = {each.value: each for each in coordinator_kind}


class ledger_kind(IntEnum):
    """enum ledger_kind."""

    LEDGER_BALANCE = 1
    LEDGER_PREPARED = 2
    LEDGER_COMMITTED = 3
    LEDGER_ABORTED = 4
    LEDGER_DONE = 5


LEDGER_BALANCE: Final = ledger_kind.LEDGER_BALANCE
LEDGER_PREPARED: Final = ledger_kind.LEDGER_PREPARED
LEDGER_COMMITTED: Final = ledger_kind.LEDGER_COMMITTED
LEDGER_ABORTED: Final = ledger_kind.LEDGER_ABORTED
LEDGER_DONE: Final = ledger_kind.LEDGER_DONE
_of_ledger_kind: Final[dict[int, ledger_kind]] = {each.value: each for each in ledger_kind}


class sql_kind(IntEnum):
    """enum sql_kind."""

    SQL_NULL = 0
    SQL_INTEGER = 1
    SQL_REAL = 2
    SQL_TEXT = 3
    SQL_BLOB = 4


SQL_NULL: Final = sql_kind.SQL_NULL
SQL_INTEGER: Final = sql_kind.SQL_INTEGER
SQL_REAL: Final = sql_kind.SQL_REAL
SQL_TEXT: Final = sql_kind.SQL_TEXT
SQL_BLOB: Final = sql_kind.SQL_BLOB
_of_sql_kind: Final[dict[int, sql_kind]] = {each.value: each for each in sql_kind}


@dataclass(slots=True)
class transaction_id:
    """struct transaction_id."""

    coordinator: member_name
    log: identity
    number: int


@dataclass(slots=True)
class intent:
    """struct intent."""

    transaction: transaction_id
    participant: member_name
    members: list[member_name]
    work: bytes


@dataclass(slots=True)
class vote:
    """union vote: `value` is the member that the first field chooses."""

    kind: vote_kind
    value: identity | sentence

    @property
    def voter(self) -> identity:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 1:
            raise xdr.other_case(xdr_vote, self.kind, "voter")
        found: identity = xdr.untyped(self.value)
        return found

    @property
    def why(self) -> sentence:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 0:
            raise xdr.other_case(xdr_vote, self.kind, "why")
        found: sentence = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class decision:
    """struct decision."""

    transaction: transaction_id
    commit: bool
    voter: identity


@dataclass(slots=True)
class question:
    """struct question."""

    transaction: transaction_id
    asker: member_name
    voter: identity


@dataclass(slots=True)
class waiting_row:
    """struct waiting_row."""

    transaction: transaction_id
    state: sentence
    waits_for: list[member_name]
    since: int
    note: sentence


@dataclass(slots=True)
class member_status:
    """struct member_status."""

    name: member_name
    failed: sentence
    rows: list[waiting_row]


@dataclass(slots=True)
class promise:
    """struct promise."""

    participant: member_name
    voter: identity


@dataclass(slots=True)
class committed_record:
    """struct committed_record."""

    number: int
    since: int
    promises: list[promise]


@dataclass(slots=True)
class coordinator_record:
    """union coordinator_record: `value` is the member that the first field chooses."""

    kind: coordinator_kind
    value: int | committed_record

    @property
    def below(self) -> int:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 1:
            raise xdr.other_case(xdr_coordinator_record, self.kind, "below")
        found: int = xdr.untyped(self.value)
        return found

    @property
    def committed(self) -> committed_record:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 2:
            raise xdr.other_case(xdr_coordinator_record, self.kind, "committed")
        found: committed_record = xdr.untyped(self.value)
        return found

    @property
    def ended(self) -> int:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 3:
            raise xdr.other_case(xdr_coordinator_record, self.kind, "ended")
        found: int = xdr.untyped(self.value)
        return found

    @property
    def given_up(self) -> int:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 4:
            raise xdr.other_case(xdr_coordinator_record, self.kind, "given_up")
        found: int = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class entry:
    """struct entry."""

    account: str
    amount: int


@dataclass(slots=True)
class prepared_record:
    """struct prepared_record."""

    what: intent
    since: int


@dataclass(slots=True)
class ledger_record:
    """union ledger_record: `value` is the member that the first field chooses."""

    kind: ledger_kind
    value: entry | prepared_record | transaction_id

    @property
    def balance(self) -> entry:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 1:
            raise xdr.other_case(xdr_ledger_record, self.kind, "balance")
        found: entry = xdr.untyped(self.value)
        return found

    @property
    def prepared(self) -> prepared_record:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 2:
            raise xdr.other_case(xdr_ledger_record, self.kind, "prepared")
        found: prepared_record = xdr.untyped(self.value)
        return found

    @property
    def committed(self) -> transaction_id:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 3:
            raise xdr.other_case(xdr_ledger_record, self.kind, "committed")
        found: transaction_id = xdr.untyped(self.value)
        return found

    @property
    def aborted(self) -> transaction_id:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 4:
            raise xdr.other_case(xdr_ledger_record, self.kind, "aborted")
        found: transaction_id = xdr.untyped(self.value)
        return found

    @property
    def done(self) -> transaction_id:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 5:
            raise xdr.other_case(xdr_ledger_record, self.kind, "done")
        found: transaction_id = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class sql_value:
    """union sql_value: `value` is the member that the first field chooses."""

    kind: sql_kind
    value: int | float | str | bytes | None = None

    @property
    def integer(self) -> int:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 1:
            raise xdr.other_case(xdr_sql_value, self.kind, "integer")
        found: int = xdr.untyped(self.value)
        return found

    @property
    def real(self) -> float:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 2:
            raise xdr.other_case(xdr_sql_value, self.kind, "real")
        found: float = xdr.untyped(self.value)
        return found

    @property
    def text(self) -> str:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 3:
            raise xdr.other_case(xdr_sql_value, self.kind, "text")
        found: str = xdr.untyped(self.value)
        return found

    @property
    def blob(self) -> bytes:
        """The value, if this is its case; otherwise AttributeError."""
        if self.kind != 4:
            raise xdr.other_case(xdr_sql_value, self.kind, "blob")
        found: bytes = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class sql_parameter:
    """struct sql_parameter."""

    name: str
    value: sql_value


@dataclass(slots=True)
class sql_step:
    """struct sql_step."""

    statement: str
    parameters: list[sql_parameter]


member_name: TypeAlias = str
sentence: TypeAlias = str
identity: TypeAlias = bytes
entries: TypeAlias = list[entry]
sql_steps: TypeAlias = list[sql_step]


def _get_member_name(r: xdr.Reader) -> member_name:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    found: member_name = v2
    return found


def _put_member_name(w: xdr.Writer, v: member_name) -> None:
    out = w.out
    v1 = xdr.text(v, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_sentence(r: xdr.Reader) -> sentence:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 1000)
    found: sentence = v2
    return found


def _put_sentence(w: xdr.Writer, v: sentence) -> None:
    out = w.out
    v1 = xdr.text(v, 1000)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_identity(r: xdr.Reader) -> identity:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.take(v1, 8)
    found: identity = v2
    return found


def _put_identity(w: xdr.Writer, v: identity) -> None:
    out = w.out
    v1 = xdr.octets(v, 8)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_transaction_id(r: xdr.Reader) -> transaction_id:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    (v3,) = _U1(r.data, r.at)
    r.at += 4
    v4 = r.take(v3, 8)
    (v5,) = _U2(r.data, r.at)
    r.at += 8
    return transaction_id(v2, v4, v5)


def _put_transaction_id(w: xdr.Writer, v: transaction_id) -> None:
    out = w.out
    v1 = xdr.text(v.coordinator, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.octets(v.log, 8)
    out += _P1(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]
    out += _P2(v.number)


def _get_intent(r: xdr.Reader) -> intent:
    v1 = _get_transaction_id(r)
    (v2,) = _U1(r.data, r.at)
    r.at += 4
    v3 = r.text(v2, 255)
    (v4,) = _U1(r.data, r.at)
    r.at += 4
    v5 = [r.text(r.word(), 255) for _ in range(r.count(v4, 64, 4))]
    (v6,) = _U1(r.data, r.at)
    r.at += 4
    v7 = r.take(v6, 1000000)
    return intent(v1, v3, v5, v7)


def _put_intent(w: xdr.Writer, v: intent) -> None:
    out = w.out
    _put_transaction_id(w, v.transaction)
    v1 = xdr.text(v.participant, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    out += _P1(xdr.counted(v.members, 64))
    for v2 in v.members:
        v3 = xdr.text(v2, 255)
        out += _P1(len(v3))
        out += v3
        out += _PADS[len(v3) & 3]
    v4 = xdr.octets(v.work, 1000000)
    out += _P1(len(v4))
    out += v4
    out += _PADS[len(v4) & 3]


def _at_vote_kind(data: bytes | bytearray | memoryview, at: int) -> vote_kind:
    (v1,) = _U3(data, at)
    found: vote_kind = _of_vote_kind[v1]
    return found


def _get_vote_kind(r: xdr.Reader) -> vote_kind:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    found: vote_kind = _of_vote_kind[v1]
    return found


def _put_vote_kind(w: xdr.Writer, v: vote_kind) -> None:
    out = w.out
    out += _P3(_of_vote_kind[v])


def _get_vote(r: xdr.Reader) -> vote:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    kind = _of_vote_kind[v1]
    if v1 == 1:
        (v2,) = _U1(r.data, r.at)
        r.at += 4
        v3 = r.take(v2, 8)
        return vote(kind, v3)
    if v1 == 0:
        (v4,) = _U1(r.data, r.at)
        r.at += 4
        v5 = r.text(v4, 1000)
        return vote(kind, v5)
    raise xdr.bad_union(v1)


def _put_vote(w: xdr.Writer, v: vote) -> None:
    out = w.out
    kind = _of_vote_kind[v.kind]
    value: Any = v.value
    if kind == 1:
        v1 = xdr.octets(value, 8)
        out += _P4(kind, len(v1))
        out += v1
        out += _PADS[len(v1) & 3]
    elif kind == 0:
        v2 = xdr.text(value, 1000)
        out += _P4(kind, len(v2))
        out += v2
        out += _PADS[len(v2) & 3]
    else:
        raise xdr.bad_union(kind)


def _get_decision(r: xdr.Reader) -> decision:
    v1 = _get_transaction_id(r)
    v2, v3 = _U5(r.data, r.at)
    r.at += 8
    v4 = r.take(v3, 8)
    return decision(v1, _BOOLS[v2], v4)


def _put_decision(w: xdr.Writer, v: decision) -> None:
    out = w.out
    _put_transaction_id(w, v.transaction)
    v1 = xdr.octets(v.voter, 8)
    out += _P5(1 if v.commit else 0, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _at_receipt(data: bytes | bytearray | memoryview, at: int) -> receipt:
    (v1,) = _U3(data, at)
    found: receipt = _of_receipt[v1]
    return found


def _get_receipt(r: xdr.Reader) -> receipt:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    found: receipt = _of_receipt[v1]
    return found


def _put_receipt(w: xdr.Writer, v: receipt) -> None:
    out = w.out
    out += _P3(_of_receipt[v])


def _get_question(r: xdr.Reader) -> question:
    v1 = _get_transaction_id(r)
    (v2,) = _U1(r.data, r.at)
    r.at += 4
    v3 = r.text(v2, 255)
    (v4,) = _U1(r.data, r.at)
    r.at += 4
    v5 = r.take(v4, 8)
    return question(v1, v3, v5)


def _put_question(w: xdr.Writer, v: question) -> None:
    out = w.out
    _put_transaction_id(w, v.transaction)
    v1 = xdr.text(v.asker, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.octets(v.voter, 8)
    out += _P1(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]


def _at_answer(data: bytes | bytearray | memoryview, at: int) -> answer:
    (v1,) = _U3(data, at)
    found: answer = _of_answer[v1]
    return found


def _get_answer(r: xdr.Reader) -> answer:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    found: answer = _of_answer[v1]
    return found


def _put_answer(w: xdr.Writer, v: answer) -> None:
    out = w.out
    out += _P3(_of_answer[v])


def _get_waiting_row(r: xdr.Reader) -> waiting_row:
    v1 = _get_transaction_id(r)
    (v2,) = _U1(r.data, r.at)
    r.at += 4
    v3 = r.text(v2, 1000)
    (v4,) = _U1(r.data, r.at)
    r.at += 4
    v5 = [r.text(r.word(), 255) for _ in range(r.count(v4, 64, 4))]
    v6, v7 = _U6(r.data, r.at)
    r.at += 12
    v8 = r.text(v7, 1000)
    return waiting_row(v1, v3, v5, v6, v8)


def _put_waiting_row(w: xdr.Writer, v: waiting_row) -> None:
    out = w.out
    _put_transaction_id(w, v.transaction)
    v1 = xdr.text(v.state, 1000)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    out += _P1(xdr.counted(v.waits_for, 64))
    for v2 in v.waits_for:
        v3 = xdr.text(v2, 255)
        out += _P1(len(v3))
        out += v3
        out += _PADS[len(v3) & 3]
    v4 = xdr.text(v.note, 1000)
    out += _P6(v.since, len(v4))
    out += v4
    out += _PADS[len(v4) & 3]


def _get_member_status(r: xdr.Reader) -> member_status:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    (v3,) = _U1(r.data, r.at)
    r.at += 4
    v4 = r.text(v3, 1000)
    (v5,) = _U1(r.data, r.at)
    r.at += 4
    v6 = [_get_waiting_row(r) for _ in range(r.count(v5, 1000, 36))]
    return member_status(v2, v4, v6)


def _put_member_status(w: xdr.Writer, v: member_status) -> None:
    out = w.out
    v1 = xdr.text(v.name, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.text(v.failed, 1000)
    out += _P1(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]
    out += _P1(xdr.counted(v.rows, 1000))
    for v3 in v.rows:
        _put_waiting_row(w, v3)


def _get_promise(r: xdr.Reader) -> promise:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    (v3,) = _U1(r.data, r.at)
    r.at += 4
    v4 = r.take(v3, 8)
    return promise(v2, v4)


def _put_promise(w: xdr.Writer, v: promise) -> None:
    out = w.out
    v1 = xdr.text(v.participant, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.octets(v.voter, 8)
    out += _P1(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]


def _get_committed_record(r: xdr.Reader) -> committed_record:
    v1, v2, v3 = _U7(r.data, r.at)
    r.at += 20
    v4 = [_get_promise(r) for _ in range(r.count(v3, 64, 8))]
    return committed_record(v1, v2, v4)


def _put_committed_record(w: xdr.Writer, v: committed_record) -> None:
    out = w.out
    out += _P7(v.number, v.since, xdr.counted(v.promises, 64))
    for v1 in v.promises:
        _put_promise(w, v1)


def _at_coordinator_kind(data: bytes | bytearray | memoryview, at: int) -> coordinator_kind:
    (v1,) = _U3(data, at)
    found: coordinator_kind = _of_coordinator_kind[v1]
    return found


def _get_coordinator_kind(r: xdr.Reader) -> coordinator_kind:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    found: coordinator_kind = _of_coordinator_kind[v1]
    return found


def _put_coordinator_kind(w: xdr.Writer, v: coordinator_kind) -> None:
    out = w.out
    out += _P3(_of_coordinator_kind[v])


def _get_coordinator_record(r: xdr.Reader) -> coordinator_record:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    kind = _of_coordinator_kind[v1]
    if v1 == 1:
        (v2,) = _U2(r.data, r.at)
        r.at += 8
        return coordinator_record(kind, v2)
    if v1 == 2:
        v3 = _get_committed_record(r)
        return coordinator_record(kind, v3)
    if v1 == 3:
        (v4,) = _U2(r.data, r.at)
        r.at += 8
        return coordinator_record(kind, v4)
    if v1 == 4:
        (v5,) = _U2(r.data, r.at)
        r.at += 8
        return coordinator_record(kind, v5)
    raise xdr.bad_union(v1)


def _put_coordinator_record(w: xdr.Writer, v: coordinator_record) -> None:
    out = w.out
    kind = _of_coordinator_kind[v.kind]
    value: Any = v.value
    if kind == 1:
        out += _P8(kind, value)
    elif kind == 2:
        out += _P3(kind)
        _put_committed_record(w, value)
    elif kind == 3:
        out += _P8(kind, value)
    elif kind == 4:
        out += _P8(kind, value)
    else:
        raise xdr.bad_union(kind)


def _get_entry(r: xdr.Reader) -> entry:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    (v3,) = _U9(r.data, r.at)
    r.at += 8
    return entry(v2, v3)


def _put_entry(w: xdr.Writer, v: entry) -> None:
    out = w.out
    v1 = xdr.text(v.account, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    out += _P9(v.amount)


def _get_entries(r: xdr.Reader) -> entries:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = [_get_entry(r) for _ in range(r.count(v1, 1000, 12))]
    found: entries = v2
    return found


def _put_entries(w: xdr.Writer, v: entries) -> None:
    out = w.out
    out += _P1(xdr.counted(v, 1000))
    for v1 in v:
        _put_entry(w, v1)


def _get_prepared_record(r: xdr.Reader) -> prepared_record:
    v1 = _get_intent(r)
    (v2,) = _U2(r.data, r.at)
    r.at += 8
    return prepared_record(v1, v2)


def _put_prepared_record(w: xdr.Writer, v: prepared_record) -> None:
    out = w.out
    _put_intent(w, v.what)
    out += _P2(v.since)


def _at_ledger_kind(data: bytes | bytearray | memoryview, at: int) -> ledger_kind:
    (v1,) = _U3(data, at)
    found: ledger_kind = _of_ledger_kind[v1]
    return found


def _get_ledger_kind(r: xdr.Reader) -> ledger_kind:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    found: ledger_kind = _of_ledger_kind[v1]
    return found


def _put_ledger_kind(w: xdr.Writer, v: ledger_kind) -> None:
    out = w.out
    out += _P3(_of_ledger_kind[v])


def _get_ledger_record(r: xdr.Reader) -> ledger_record:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    kind = _of_ledger_kind[v1]
    if v1 == 1:
        v2 = _get_entry(r)
        return ledger_record(kind, v2)
    if v1 == 2:
        v3 = _get_prepared_record(r)
        return ledger_record(kind, v3)
    if v1 == 3:
        v4 = _get_transaction_id(r)
        return ledger_record(kind, v4)
    if v1 == 4:
        v5 = _get_transaction_id(r)
        return ledger_record(kind, v5)
    if v1 == 5:
        v6 = _get_transaction_id(r)
        return ledger_record(kind, v6)
    raise xdr.bad_union(v1)


def _put_ledger_record(w: xdr.Writer, v: ledger_record) -> None:
    out = w.out
    kind = _of_ledger_kind[v.kind]
    value: Any = v.value
    if kind == 1:
        out += _P3(kind)
        _put_entry(w, value)
    elif kind == 2:
        out += _P3(kind)
        _put_prepared_record(w, value)
    elif kind == 3:
        out += _P3(kind)
        _put_transaction_id(w, value)
    elif kind == 4:
        out += _P3(kind)
        _put_transaction_id(w, value)
    elif kind == 5:
        out += _P3(kind)
        _put_transaction_id(w, value)
    else:
        raise xdr.bad_union(kind)


def _at_sql_kind(data: bytes | bytearray | memoryview, at: int) -> sql_kind:
    (v1,) = _U3(data, at)
    found: sql_kind = _of_sql_kind[v1]
    return found


def _get_sql_kind(r: xdr.Reader) -> sql_kind:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    found: sql_kind = _of_sql_kind[v1]
    return found


def _put_sql_kind(w: xdr.Writer, v: sql_kind) -> None:
    out = w.out
    out += _P3(_of_sql_kind[v])


def _get_sql_value(r: xdr.Reader) -> sql_value:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    kind = _of_sql_kind[v1]
    if v1 == 0:
        return sql_value(kind, None)
    if v1 == 1:
        (v2,) = _U9(r.data, r.at)
        r.at += 8
        return sql_value(kind, v2)
    if v1 == 2:
        (v3,) = _U10(r.data, r.at)
        r.at += 8
        return sql_value(kind, v3)
    if v1 == 3:
        (v4,) = _U1(r.data, r.at)
        r.at += 4
        v5 = r.text(v4, 1000000)
        return sql_value(kind, v5)
    if v1 == 4:
        (v6,) = _U1(r.data, r.at)
        r.at += 4
        v7 = r.take(v6, 1000000)
        return sql_value(kind, v7)
    raise xdr.bad_union(v1)


def _put_sql_value(w: xdr.Writer, v: sql_value) -> None:
    out = w.out
    kind = _of_sql_kind[v.kind]
    value: Any = v.value
    if kind == 0:
        xdr.no_value(value)
        out += _P3(kind)
    elif kind == 1:
        out += _P11(kind, value)
    elif kind == 2:
        out += _P12(kind, value)
    elif kind == 3:
        v1 = xdr.text(value, 1000000)
        out += _P4(kind, len(v1))
        out += v1
        out += _PADS[len(v1) & 3]
    elif kind == 4:
        v2 = xdr.octets(value, 1000000)
        out += _P4(kind, len(v2))
        out += v2
        out += _PADS[len(v2) & 3]
    else:
        raise xdr.bad_union(kind)


def _get_sql_parameter(r: xdr.Reader) -> sql_parameter:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    v3 = _get_sql_value(r)
    return sql_parameter(v2, v3)


def _put_sql_parameter(w: xdr.Writer, v: sql_parameter) -> None:
    out = w.out
    v1 = xdr.text(v.name, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    _put_sql_value(w, v.value)


def _get_sql_step(r: xdr.Reader) -> sql_step:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    (v3,) = _U1(r.data, r.at)
    r.at += 4
    v4 = [_get_sql_parameter(r) for _ in range(r.count(v3, 1000, 8))]
    return sql_step(v2, v4)


def _put_sql_step(w: xdr.Writer, v: sql_step) -> None:
    out = w.out
    v1 = xdr.text(v.statement, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    out += _P1(xdr.counted(v.parameters, 1000))
    for v2 in v.parameters:
        _put_sql_parameter(w, v2)


def _get_sql_steps(r: xdr.Reader) -> sql_steps:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = [_get_sql_step(r) for _ in range(r.count(v1, 1000, 8))]
    found: sql_steps = v2
    return found


def _put_sql_steps(w: xdr.Writer, v: sql_steps) -> None:
    out = w.out
    out += _P1(xdr.counted(v, 1000))
    for v1 in v:
        _put_sql_step(w, v1)


xdr_member_name: Final[xdr.Codec[member_name]] = xdr.Codec("member_name", _get_member_name, _put_member_name)
xdr_sentence: Final[xdr.Codec[sentence]] = xdr.Codec("sentence", _get_sentence, _put_sentence)
xdr_identity: Final[xdr.Codec[identity]] = xdr.Codec("identity", _get_identity, _put_identity)
xdr_transaction_id: Final[xdr.Codec[transaction_id]] = xdr.Codec(
    "transaction_id", _get_transaction_id, _put_transaction_id
)
xdr_intent: Final[xdr.Codec[intent]] = xdr.Codec("intent", _get_intent, _put_intent)
xdr_vote_kind: Final[xdr.Codec[vote_kind]] = xdr.Codec("vote_kind", _get_vote_kind, _put_vote_kind, _at_vote_kind)
xdr_vote: Final[xdr.Codec[vote]] = xdr.Codec("vote", _get_vote, _put_vote)
xdr_decision: Final[xdr.Codec[decision]] = xdr.Codec("decision", _get_decision, _put_decision)
xdr_receipt: Final[xdr.Codec[receipt]] = xdr.Codec("receipt", _get_receipt, _put_receipt, _at_receipt)
xdr_question: Final[xdr.Codec[question]] = xdr.Codec("question", _get_question, _put_question)
xdr_answer: Final[xdr.Codec[answer]] = xdr.Codec("answer", _get_answer, _put_answer, _at_answer)
xdr_waiting_row: Final[xdr.Codec[waiting_row]] = xdr.Codec("waiting_row", _get_waiting_row, _put_waiting_row)
xdr_member_status: Final[xdr.Codec[member_status]] = xdr.Codec("member_status", _get_member_status, _put_member_status)
xdr_promise: Final[xdr.Codec[promise]] = xdr.Codec("promise", _get_promise, _put_promise)
xdr_committed_record: Final[xdr.Codec[committed_record]] = xdr.Codec(
    "committed_record", _get_committed_record, _put_committed_record
)
xdr_coordinator_kind: Final[xdr.Codec[coordinator_kind]] = xdr.Codec(
    "coordinator_kind", _get_coordinator_kind, _put_coordinator_kind, _at_coordinator_kind
)
xdr_coordinator_record: Final[xdr.Codec[coordinator_record]] = xdr.Codec(
    "coordinator_record", _get_coordinator_record, _put_coordinator_record
)
xdr_entry: Final[xdr.Codec[entry]] = xdr.Codec("entry", _get_entry, _put_entry)
xdr_entries: Final[xdr.Codec[entries]] = xdr.Codec("entries", _get_entries, _put_entries)
xdr_prepared_record: Final[xdr.Codec[prepared_record]] = xdr.Codec(
    "prepared_record", _get_prepared_record, _put_prepared_record
)
xdr_ledger_kind: Final[xdr.Codec[ledger_kind]] = xdr.Codec(
    "ledger_kind", _get_ledger_kind, _put_ledger_kind, _at_ledger_kind
)
xdr_ledger_record: Final[xdr.Codec[ledger_record]] = xdr.Codec("ledger_record", _get_ledger_record, _put_ledger_record)
xdr_sql_kind: Final[xdr.Codec[sql_kind]] = xdr.Codec("sql_kind", _get_sql_kind, _put_sql_kind, _at_sql_kind)
xdr_sql_value: Final[xdr.Codec[sql_value]] = xdr.Codec("sql_value", _get_sql_value, _put_sql_value)
xdr_sql_parameter: Final[xdr.Codec[sql_parameter]] = xdr.Codec("sql_parameter", _get_sql_parameter, _put_sql_parameter)
xdr_sql_step: Final[xdr.Codec[sql_step]] = xdr.Codec("sql_step", _get_sql_step, _put_sql_step)
xdr_sql_steps: Final[xdr.Codec[sql_steps]] = xdr.Codec("sql_steps", _get_sql_steps, _put_sql_steps)

xdr_member_name.made_of = xdr.Text(255)
xdr_sentence.made_of = xdr.Text(1000)
xdr_identity.made_of = xdr.Octets(8)
xdr_transaction_id.made_of = xdr.Members(coordinator=xdr_member_name, log=xdr_identity, number=xdr.UNSIGNED_HYPER)
xdr_intent.made_of = xdr.Members(
    transaction=xdr_transaction_id,
    participant=xdr_member_name,
    members=xdr.Items(xdr_member_name, 64),
    work=xdr.Octets(1000000),
)
xdr_vote_kind.made_of = xdr.Choice(vote_kind)
xdr_vote.made_of = xdr.Arms("kind", xdr_vote_kind, xdr.Arm("voter", xdr_identity, 1), xdr.Arm("why", xdr_sentence, 0))
xdr_decision.made_of = xdr.Members(transaction=xdr_transaction_id, commit=xdr.BOOL, voter=xdr_identity)
xdr_receipt.made_of = xdr.Choice(receipt)
xdr_question.made_of = xdr.Members(transaction=xdr_transaction_id, asker=xdr_member_name, voter=xdr_identity)
xdr_answer.made_of = xdr.Choice(answer)
xdr_waiting_row.made_of = xdr.Members(
    transaction=xdr_transaction_id,
    state=xdr_sentence,
    waits_for=xdr.Items(xdr_member_name, 64),
    since=xdr.UNSIGNED_HYPER,
    note=xdr_sentence,
)
xdr_member_status.made_of = xdr.Members(
    name=xdr_member_name, failed=xdr_sentence, rows=xdr.Items(xdr_waiting_row, 1000)
)
xdr_promise.made_of = xdr.Members(participant=xdr_member_name, voter=xdr_identity)
xdr_committed_record.made_of = xdr.Members(
    number=xdr.UNSIGNED_HYPER, since=xdr.UNSIGNED_HYPER, promises=xdr.Items(xdr_promise, 64)
)
xdr_coordinator_kind.made_of = xdr.Choice(coordinator_kind)
xdr_coordinator_record.made_of = xdr.Arms(
    "kind",
    xdr_coordinator_kind,
    xdr.Arm("below", xdr.UNSIGNED_HYPER, 1),
    xdr.Arm("committed", xdr_committed_record, 2),
    xdr.Arm("ended", xdr.UNSIGNED_HYPER, 3),
    xdr.Arm("given_up", xdr.UNSIGNED_HYPER, 4),
)
xdr_entry.made_of = xdr.Members(account=xdr.Text(255), amount=xdr.HYPER)
xdr_entries.made_of = xdr.Items(xdr_entry, 1000)
xdr_prepared_record.made_of = xdr.Members(what=xdr_intent, since=xdr.UNSIGNED_HYPER)
xdr_ledger_kind.made_of = xdr.Choice(ledger_kind)
xdr_ledger_record.made_of = xdr.Arms(
    "kind",
    xdr_ledger_kind,
    xdr.Arm("balance", xdr_entry, 1),
    xdr.Arm("prepared", xdr_prepared_record, 2),
    xdr.Arm("committed", xdr_transaction_id, 3),
    xdr.Arm("aborted", xdr_transaction_id, 4),
    xdr.Arm("done", xdr_transaction_id, 5),
)
xdr_sql_kind.made_of = xdr.Choice(sql_kind)
xdr_sql_value.made_of = xdr.Arms(
    "kind",
    xdr_sql_kind,
    xdr.Arm("", None, 0),
    xdr.Arm("integer", xdr.HYPER, 1),
    xdr.Arm("real", xdr.DOUBLE, 2),
    xdr.Arm("text", xdr.Text(1000000), 3),
    xdr.Arm("blob", xdr.Octets(1000000), 4),
)
xdr_sql_parameter.made_of = xdr.Members(name=xdr.Text(255), value=xdr_sql_value)
xdr_sql_step.made_of = xdr.Members(statement=xdr.Text(255), parameters=xdr.Items(xdr_sql_parameter, 1000))
xdr_sql_steps.made_of = xdr.Items(xdr_sql_step, 1000)


_of_COMMIT_V1: Final = {
    0: _program.Procedure("NULL", 0, (), xdr.VOID, "NULL"),
    1: _program.Procedure("PREPARE", 1, (xdr_intent,), xdr_vote, "PREPARE"),
    2: _program.Procedure("DECIDE", 2, (xdr_decision,), xdr_receipt, "DECIDE"),
    3: _program.Procedure("OUTCOME", 3, (xdr_question,), xdr_answer, "OUTCOME"),
    4: _program.Procedure("STATUS", 4, (), xdr_member_status, "STATUS"),
}


class COMMIT_V1(_program.Version):
    """Version 1 of COMMIT."""

    program = 1067809473
    version = 1
    name = "COMMIT_V1"
    program_name = "COMMIT"
    procedures = _of_COMMIT_V1

    class Server(_program.Server):
        """To be derived from: a procedure that is not overridden is not there, for callers."""

        __slots__ = ()

        async def NULL(self, ctx: _program.Context, /) -> None:
            """Procedure 0: NULL."""

        async def PREPARE(self, ctx: _program.Context, a: intent, /) -> vote:
            """Procedure 1: PREPARE."""
            raise NotImplementedError

        async def DECIDE(self, ctx: _program.Context, a: decision, /) -> receipt:
            """Procedure 2: DECIDE."""
            raise NotImplementedError

        async def OUTCOME(self, ctx: _program.Context, a: question, /) -> answer:
            """Procedure 3: OUTCOME."""
            raise NotImplementedError

        async def STATUS(self, ctx: _program.Context, /) -> member_status:
            """Procedure 4: STATUS."""
            raise NotImplementedError

    class Client(_program.Client):
        """Makes the calls."""

        __slots__ = ()

        async def NULL(self, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 0: NULL."""
            await self._call(_of_COMMIT_V1[0], (), options)

        async def PREPARE(self, a: intent, /, **options: Unpack[_program.CallOptions]) -> vote:
            """Procedure 1: PREPARE."""
            found: vote = await self._call(_of_COMMIT_V1[1], (a,), options)
            return found

        async def DECIDE(self, a: decision, /, **options: Unpack[_program.CallOptions]) -> receipt:
            """Procedure 2: DECIDE."""
            found: receipt = await self._call(_of_COMMIT_V1[2], (a,), options)
            return found

        async def OUTCOME(self, a: question, /, **options: Unpack[_program.CallOptions]) -> answer:
            """Procedure 3: OUTCOME."""
            found: answer = await self._call(_of_COMMIT_V1[3], (a,), options)
            return found

        async def STATUS(self, /, **options: Unpack[_program.CallOptions]) -> member_status:
            """Procedure 4: STATUS."""
            found: member_status = await self._call(_of_COMMIT_V1[4], (), options)
            return found
