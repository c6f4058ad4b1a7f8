"""The host's queue of deadlines against a list that is searched."""

from hypothesis import given
from hypothesis import strategies as st

from stack.config import NEVER, TcpConfig
from stack.host.timer_queue import COMPACT_FROM, TimerQueue
from stack.tcp.connection import Connection
from stack.tcp.timers import RETRANSMIT, USER

CONFIG = TcpConfig()
COUNT = 6

step = st.one_of(
    st.tuples(st.just("arm"), st.integers(0, COUNT - 1), st.integers(0, 40)),
    st.tuples(st.just("cancel"), st.integers(0, COUNT - 1), st.just(0)),
    st.tuples(st.just("remove"), st.integers(0, COUNT - 1), st.just(0)),
    st.tuples(st.just("fire"), st.just(0), st.integers(0, 10)),
)


def connection():
    return Connection(1, 2, 3, 4, CONFIG, 5, 6, 0)


@given(st.lists(step, max_size=60))
def test_who_is_due_and_when(steps):
    queue, conns = TimerQueue(), [connection() for _ in range(COUNT)]
    model, now = {}, 0  # who is filed: (at, when it was filed)
    for serial, (what, which, value) in enumerate(steps):
        conn = conns[which]
        if what == "arm":
            conn.timers.arm(RETRANSMIT, now + value)
            conn.timers.settle()
            if now + value < model.get(which, (NEVER, 0))[0]:
                model[which] = now + value, serial
            queue.update(conn)
        elif what == "cancel":  # changes nothing: it will be looked at in vain
            conn.timers.cancel_all()
            queue.update(conn)
        elif what == "remove":
            model.pop(which, None)
            queue.remove(conn)
        else:
            now += value
            due = sorted((filed, which) for which, filed in model.items() if filed[0] <= now)
            found = queue.due(now)
            assert [conns.index(one) for one in found] == [which for _, which in due]
            for one in found:
                assert one.host_at <= now
                one.host_at = NEVER
            for _, one in due:
                del model[one]
        assert queue.deadline == min((at for at, _ in model.values()), default=NEVER)
        assert len(queue) == len(model)
        assert [conn.host_at for conn in conns] == [model.get(i, (NEVER, 0))[0] for i in range(COUNT)]


def test_one_that_is_removed_before_its_turn_says_so():
    queue, conns = TimerQueue(), [connection(), connection()]
    for conn in conns:
        conn.timers.arm(RETRANSMIT, 10)
        queue.update(conn)
    assert queue.due(10) == conns
    queue.remove(conns[1])
    assert [conn.host_at for conn in conns] == [10, NEVER]


def test_times_of_nobody_are_swept_out():
    """Deadlines that come ever earlier, and connections that end long before theirs."""
    queue, lasting = TimerQueue(), connection()
    lasting.timers.arm(USER, 1 << 40)
    queue.update(lasting)
    for i in range(3 * COMPACT_FROM):
        conn = connection()
        conn.timers.arm(USER, (1 << 30) - i)
        queue.update(conn)
        queue.remove(conn)
        assert len(queue._heap) <= COMPACT_FROM + 2 * 2
    assert queue.deadline == 1 << 40
    assert len(queue) == 1
