"""Any segments in any order at any time: no exception, invariants hold, only what was sent is delivered (X-5)."""

import os
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, RST, SECOND, SYN, URG, Scenario, pattern

EXAMPLES = 100 * int(os.environ.get("TAPSTACK_SEEDS", "3"))

NUMBER = st.one_of(
    st.integers(-3, 3),
    st.integers(-2_000, 4_000),
    st.sampled_from([-70_000, 65_534, 65_535, 65_536, 200_000]),
    st.integers(-(1 << 31), (1 << 31) - 1),
)
BLOCKS = st.lists(st.tuples(NUMBER, NUMBER), max_size=4)

SEGMENT = st.tuples(
    st.just("segment"),
    st.sampled_from([ACK, ACK, ACK, ACK | FIN, ACK | URG, SYN, SYN | ACK, FIN, RST, RST | ACK, 0, 0xFF]),
    st.sampled_from(["nxt", "any"]),
    NUMBER,
    st.sampled_from(["all", "any"]),
    NUMBER,
    st.sampled_from([0, 1, 100, 5_000, 65_535]),
    st.sampled_from([0, 0, 1, 7, 500, 1460, 4000]),
    BLOCKS,
    st.sampled_from([None, "now", "old", "random"]),
)
STEP = st.one_of(
    SEGMENT,
    SEGMENT,
    SEGMENT,
    st.tuples(st.just("advance"), st.sampled_from([0, 1, 1_000, 40_000, 200_000, SECOND, 60 * SECOND, 3600 * SECOND])),
    st.tuples(st.just("send"), st.sampled_from([1, 100, 3_000, 30_000])),
    st.tuples(st.just("recv"), st.sampled_from([1, 100, 1 << 20])),
    st.tuples(
        st.just("icmp"), st.sampled_from([(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)]), st.integers(0, 2_000), NUMBER
    ),
    st.tuples(st.sampled_from(["close", "close", "abort", "burst"])),
)
STARTS = st.sampled_from(["listen", "open", "simple", "modern", "gso"])

_SYN: tuple[Any, ...] = ("segment", SYN, "nxt", 0, "all", 0, 0, 0, [], None)


def _start(t: Scenario, how: str) -> None:
    if how == "listen":
        t.listen()
    elif how == "open":
        t.open()
    else:
        t.established(ts=how != "simple", sack=how != "simple", wscale=None if how == "simple" else 2)
    t.rules.trusting = False  # the peer lies from here on
    t.rules.guessing = how in {"listen", "open"}


def _segment(t: Scenario, step: tuple) -> None:  # type: ignore[type-arg]
    _, flags, seq_from, seq, ack_from, ack, wnd, size, blocks, ts = step
    p = t.peer
    seq = p.nxt if seq_from == "nxt" else p.nxt + seq
    ack = p.acked if ack_from == "all" else p.acked + ack
    data = b"\xff" * size
    if -4_000 < seq < 1 << 20:
        before = min(max(1 - seq, 0), size)
        data = data[:before] + pattern(size - before, max(seq, 1) - 1)
    stamp = {None: None, "now": True, "old": (p.tsval - 5000, p.ts_recent), "random": (seq * 7919, ack)}[ts]
    p.sends(
        flags,
        seq=seq,
        ack=ack,
        wnd=wnd,
        data=data,
        up=size // 2 if flags & URG else 0,
        ts=stamp,
        sack=[(p.acked + a, p.acked + b) for a, b in blocks],
    )


def _apply(t: Scenario, step: tuple) -> None:  # type: ignore[type-arg]
    kind = step[0]
    if kind == "segment":
        _segment(t, step)
        return
    if kind == "advance":
        t.clock.advance(us=step[1])
        return
    if t.subject.conn is None:
        return
    if kind == "icmp":
        t.icmp(*step[1], mtu=step[2], seq=t.rules.snd_una + step[3])
    elif kind == "send":
        try:
            t.send(step[1])
        except OSError:  # closed: the caller's fault is told to the caller
            del t.rules.written[-step[1] :]
    elif kind == "recv":
        t.recv(step[1])
    elif kind in {"close", "abort"}:
        getattr(t, kind)()


@rfc("9293", "3.10.7", "X-3")
@rfc("9293", "3.10.7", "X-4")
@rfc("9293", "3.10.7", "X-5")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(start=STARTS, steps=st.lists(STEP, min_size=1, max_size=40), wrap=st.booleans())
@example(start="open", steps=[("segment", SYN | ACK, "any", -1, "any", 1, 0, 0, [], None)], wrap=True)
# a SYN, one that ends the handshake (RFC 9293 §3.10.7.4), and one that begins another
@example(start="listen", steps=[_SYN, _SYN, (*_SYN[:2], "any", -3, *_SYN[4:])], wrap=False)
def test_any_script(start, steps, wrap):
    t = Scenario(
        iss=(1 << 32) - 500 if wrap else 1000,
        irs=(1 << 31) - 500 if wrap else 2000,
        max_gso=20_000 if start == "gso" else 0,
        keepalive=wrap,
        out_of_order_ranges=8,
    )
    _start(t, start)
    for step in steps:
        _apply(t, step)
        t.peer.drain()
    if t.subject.conn is not None:
        t.recv()
        size = len(t.received)
        if start in {"simple", "modern", "gso"}:
            assert bytes(t.received) == pattern(size), "\n".join(t.lines)
