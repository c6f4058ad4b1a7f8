"""The tables of states, the interface, and the diagram."""

from pathlib import Path

import pytest

from stack.commit import protocol
from stack.commit.states import COORDINATOR, PARTICIPANT, Event, State, move
from stack.rpc.x.compile import generate


def test_the_module_is_what_the_file_says():
    source = Path(protocol.__file__).with_name("commit.x")
    assert Path(protocol.__file__).read_text() == generate(source.read_text(), str(source))


def test_what_is_not_in_the_table_cannot_happen():
    assert move(COORDINATOR, State.WORKING, Event.ALL_YES) is State.COMMITTED
    with pytest.raises(AssertionError, match="ANY_NO cannot happen to a transaction that is committed"):
        move(COORDINATOR, State.COMMITTED, Event.ANY_NO)
    with pytest.raises(AssertionError):
        move(PARTICIPANT, State.ABORTED, Event.COMMIT)


@pytest.mark.parametrize("table", [COORDINATOR, PARTICIPANT])
def test_nothing_leads_from_one_outcome_to_the_other(table):
    def reached(state):
        found = {state}
        for following in table.get(state, {}).values():
            found |= reached(following)
        return found

    assert State.ABORTED not in reached(State.COMMITTED)
    assert State.COMMITTED not in reached(State.ABORTED)
    assert {State.COMMITTED, State.ABORTED} <= reached(State.WORKING)
