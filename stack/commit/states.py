"""The states of a transaction, as its coordinator and as a participant sees them.

The two tables are the whole of both machines: what is not there cannot happen, and `move` refuses it.  The diagram in
the documentation is drawn from them.
"""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Final


@unique
class State(Enum):
    """Where a transaction is."""

    WORKING = "working"  # nothing is promised, nothing is decided
    PREPARED = "prepared"  # promised, and in doubt: of a participant only
    COMMITTED = "committed"
    ABORTED = "aborted"
    ENDED = "ended"  # everybody knows; it can be forgotten


@unique
class Event(Enum):
    """What moves it on."""

    ALL_YES = "all votes are yes, decision written"
    ANY_NO = "a vote is no"
    NO_VOTE = "a vote is missing too long"
    ALL_DONE = "all have confirmed"
    TOLD = "told once"
    PROMISED = "work written, vote yes"
    REFUSED = "vote no"
    COMMIT = "commit, written"
    ABORT = "abort"


Table = Mapping[State, Mapping[Event, State]]

COORDINATOR: Final[Table] = {
    State.WORKING: {
        Event.ALL_YES: State.COMMITTED,
        Event.ANY_NO: State.ABORTED,
        Event.NO_VOTE: State.ABORTED,
    },
    State.COMMITTED: {Event.ALL_DONE: State.ENDED},
    State.ABORTED: {Event.TOLD: State.ENDED},  # presumed: nobody has to confirm it
    State.ENDED: {},
}

PARTICIPANT: Final[Table] = {
    State.WORKING: {Event.PROMISED: State.PREPARED, Event.REFUSED: State.ABORTED},
    State.PREPARED: {Event.COMMIT: State.COMMITTED, Event.ABORT: State.ABORTED},
    State.COMMITTED: {},
    State.ABORTED: {},
}


def move(table: Table, state: State, event: Event) -> State:
    """The state after the event.  Raises AssertionError where it cannot happen: a fault of the program."""
    following = table[state].get(event)
    assert following is not None, f"{event.name} cannot happen to a transaction that is {state.value}"
    return following
