"""The bytes of queries, the first look at replies, the queue of deadlines."""

import random

import pytest

from stack.dns.constants import RRType
from stack.dns.core.deadlines import Deadlines
from stack.dns.core.query import build_opt, build_query, build_question, change_case, refuse
from stack.dns.core.stats import Refused
from stack.dns.edns import Edns, cookie_option
from stack.dns.message import Message
from stack.dns.names import Name

NAME = Name.parse("www.Example-1.test")


@pytest.mark.parametrize("recursion", [True, False])
@pytest.mark.parametrize("cookie", [b"", b"12345678", b"12345678abcdefgh"])
def test_a_query_is_what_the_codec_would_build(recursion, cookie):
    edns = Edns(1232, options=[cookie_option(cookie[:8], cookie[8:])] if cookie else [])
    wanted = Message.query(NAME, RRType.MX, id=4711, rd=recursion, edns=edns).build()
    question = build_question(NAME, RRType.MX)
    assert build_query(4711, question, build_opt(1232, cookie), recursion=recursion) == wanted


def test_a_query_without_edns():
    wanted = Message.query(NAME, RRType.A, id=1).build()
    assert build_query(1, build_question(NAME, RRType.A), b"", recursion=True) == wanted


def test_case_changes_letters_and_nothing_else():
    rng = random.Random(1)
    every = Name(
        b"\x3f" + bytes(range(0xC1, 0x100)) + b"\x3f" + bytes(range(0x30, 0x6F)) + b"\x14@[`{AZaz" + b"-" * 12 + b"\0"
    )
    for name in (NAME, every, Name(b"\0")):
        seen = set()
        for _ in range(200):
            changed = change_case(name, rng.getrandbits(8 * len(name) + 16))
            assert len(changed) == len(name)
            assert changed.lower() == name.lower()
            assert Name(changed).labels is not None
            seen.add(changed)
        letters = sum(chr(byte).isalpha() and byte < 128 for byte in name)
        assert len(seen) > 150 if letters > 8 else len(seen) == 1


def reply(**changes) -> bytes:
    message = Message.query(NAME, RRType.A, id=7).reply()
    for name, value in changes.items():
        setattr(message, name, value)
    return message.build()


QUESTION = build_question(NAME, RRType.A)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (reply(), None),
        (reply()[:11], Refused.TOO_SHORT),
        (reply(id=8), Refused.WRONG_ID),
        (reply(qr=False), Refused.NOT_A_REPLY),
        (reply(opcode=4), Refused.NOT_A_REPLY),
        (reply()[:12], Refused.WRONG_QUESTION),
        (reply()[:-1], Refused.WRONG_QUESTION),
        (reply(question=None), Refused.WRONG_QUESTION),
        (reply(question=None, rcode=1), None),
        (reply(question=None, rcode=4), None),
        (reply(question=None, rcode=2), Refused.WRONG_QUESTION),
        (reply().replace(b"www", b"wWw"), Refused.WRONG_CASE),
        (reply().replace(b"www", b"wxw"), Refused.WRONG_QUESTION),
        (reply()[:-3] + b"\x1c" + reply()[-2:], Refused.WRONG_QUESTION),
        (reply()[:-1] + b"\x03", Refused.WRONG_QUESTION),
    ],
)
def test_what_is_a_reply(wire, reason):
    assert refuse(wire, 7, QUESTION, check_question=True) is reason


class Owner:
    timer = 0


def test_deadlines_come_in_order_and_each_owner_has_one():
    queue = Deadlines()
    first, second = Owner(), Owner()
    queue.set(first, 20)
    queue.set(second, 10)
    queue.set(second, 30)
    assert (queue.deadline, len(queue)) == (20, 2)
    assert queue.pop_due(19) is None
    assert queue.pop_due(100) is first
    assert queue.deadline == 30
    assert queue.pop_due(29) is None
    assert queue.pop_due(30) is second
    assert (queue.deadline, len(queue)) == (None, 0)


def test_what_is_cancelled_does_not_come():
    queue = Deadlines()
    owners = [Owner() for _ in range(10)]
    for at, owner in enumerate(owners):
        queue.set(owner, at)
    for owner in owners[::2]:
        queue.cancel(owner)
        queue.cancel(owner)
    assert len(queue) == 5
    assert [queue.pop_due(100) for _ in range(6)] == [*owners[1::2], None]


def test_cancelled_ones_do_not_pile_up():
    queue = Deadlines()
    keep = Owner()
    queue.set(keep, 1 << 40)
    for at in range(100_000):
        owner = Owner()
        queue.set(owner, at + 1_000_000)
        queue.cancel(owner)
        assert len(queue._heap) < 3000
    assert queue.deadline == 1 << 40
