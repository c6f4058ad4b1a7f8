"""Procedures and calls for tests of the RPC core: 32-bit numbers as arguments and results."""

import struct
from enum import IntEnum
from typing import Any, NamedTuple

from stack.rpc.dispatch import UDP, Carrier, Dispatcher, Invocation, Pieces, Served
from stack.rpc.message import build_call

PROGRAM, VERSION = 0x2000_0FFF, 1
CALLER = ("198.18.0.9", 700)


class Why(IntEnum):
    """As the reasons of the codecs."""

    SHORT = 0
    TRAILING = 1


class Refused(ValueError):
    """As the errors of the codecs."""

    def __init__(self, reason: Why) -> None:
        super().__init__(reason.name)
        self.reason = reason


class Numbers(NamedTuple):
    """A procedure of `arity` numbers with one as its result.  `limits` "strict": nothing may follow them."""

    name: str
    number: int
    arity: int = 0

    def decode_args(self, data: bytes, at: int, limits: Any, /) -> tuple[int, ...]:
        """The numbers."""
        if len(data) < at + 4 * self.arity:
            raise Refused(Why.SHORT)
        if limits == "strict" and len(data) > at + 4 * self.arity:
            raise Refused(Why.TRAILING)
        return struct.unpack_from(f"!{self.arity}I", data, at)

    def encode_result(self, value: Any, /) -> bytes:
        """The number, or octets as they are."""
        return value if isinstance(value, bytes) else struct.pack("!I", value)


class Counter:
    """A program whose procedure 1 counts, and whose procedure 2 adds (idempotent)."""

    def __init__(self) -> None:
        self.count = 0

    def increment(self, _ctx: Invocation) -> int:
        """Not to be executed twice."""
        self.count += 1
        return self.count

    @staticmethod
    def add(_ctx: Invocation, a: int, b: int) -> int:
        """Harmless."""
        return a + b & 0xFFFF_FFFF

    def served(self) -> list[Served]:
        """For `Dispatcher.add`."""
        return [
            Served(Numbers("INCREMENT", 1), self.increment),
            Served(Numbers("ADD", 2, 2), self.add, idempotent=True),
        ]


def call(procedure: int, *numbers: int, xid: int = 7, version: int = VERSION, **how: Any) -> bytes:
    """A call of the program."""
    return build_call(xid, PROGRAM, version, procedure, struct.pack(f"!{len(numbers)}I", *numbers), **how)


def execute(
    dispatcher: Dispatcher, data: bytes, now: int = 0, source: tuple[str, int] = CALLER, carrier: Carrier = UDP
) -> bytes | None:
    """The reply to a call, which is executed at once."""
    answer = dispatcher.receive(data, source, carrier, now)
    if not isinstance(answer, Invocation):
        return answer
    reply = dispatcher.complete(answer, answer.handler(answer, *answer.args), now)
    assert not isinstance(reply, Pieces)
    return reply
