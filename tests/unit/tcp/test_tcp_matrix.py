"""Every state x flags x sequence position x ACK position (T-ST-*).

Two checks on the same cells.  `oracle` is RFC 9293 §3.10.7 with RFC 5961 and RFC 1337, written as a table of what may
happen.  `matrix.snap.txt` is the committed record of what does happen, so that any change of behaviour shows in
review; `pytest tests/unit/tcp --regenerate-matrix` rewrites it.  The numbers are relative, hence the record is the
same wherever the sequence numbers wrap.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.tcp.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    NAMES,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from tests.support.rfc import rfc
from tests.support.tcp_codec import flag_text
from tests.support.tcp_dsl import ACK, FIN, RST, SYN, URG, signed_seq

SNAPSHOT = Path(__file__).with_name("matrix.snap.txt")
DATA = 1 << 8  # "flag" of this file: ten octets of text

STATES = (LISTEN, SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT)
FLAGS = (
    SYN,
    SYN | ACK,
    SYN | FIN,
    ACK,
    ACK | DATA,
    FIN,
    FIN | ACK,
    FIN | ACK | DATA,
    RST,
    RST | ACK,
    RST | SYN,
    0,
    DATA,
    ACK | URG | DATA,
)
SEQS = ("below", "left", "inside", "right", "beyond")
ACKS = ("ancient", "old", "good", "new")


def reach(t, state):
    """Bring a fresh scenario into a state, by segments and application calls."""
    p = t.peer
    if state == LISTEN:
        t.listen()
    elif state == SYN_SENT:
        t.open()
    elif state == SYN_RECEIVED:
        t.listen()
        p.sends(SYN, seq=0, mss=1000)
    else:
        t.established(passive=state in {CLOSE_WAIT, CLOSING}, mss=1000)
        t.send(200)
        p.sends(ACK, data=bytes(50))
        t.recv()
        t.clock.advance(ms=500)
        p.drain()
        p.sends(ACK)
        _close(t, state)
    p.drain()
    assert t.state == state, NAMES[t.state]


def _close(t, state):
    p = t.peer
    una = p.acked
    if state in {CLOSE_WAIT, LAST_ACK}:
        p.sends(FIN | ACK)
    if state in {FIN_WAIT_1, FIN_WAIT_2, CLOSING, TIME_WAIT, LAST_ACK}:
        t.close()
    if state in {FIN_WAIT_2, TIME_WAIT}:
        p.sends(ACK)
    if state == CLOSING:
        p.sends(FIN | ACK, ack=una)
    if state == TIME_WAIT:
        p.sends(FIN | ACK)


def cells() -> Iterator[tuple[int, str, str]]:
    """Flags and positions that make a difference."""
    for flags in FLAGS:
        for seq in SEQS:
            for ack in ACKS if flags & ACK else ("-",):
                yield flags, seq, ack


def run_cell(t, state, flags, seq_at, ack_at):
    """Deliver the segment of one cell; (state afterwards, what was sent, octets delivered)."""
    reach(t, state)
    p = t.peer
    left, edge = p.nxt, max(t.rules.edge_out, p.nxt + 1)
    if state <= SYN_SENT:
        left, edge = 0, 65_536
    seq = {"below": left - 100, "left": left, "inside": left + 100, "right": edge - 1, "beyond": edge}[seq_at]
    nxt = t.rules.snd_max
    una = t.rules.snd_una
    ack = {"ancient": una - 70_000, "old": una - 1, "good": nxt, "new": nxt + 1000, "-": 0}[ack_at]
    p.sends(flags & 0xFF, seq=seq, ack=ack, data=b"0123456789" if flags & DATA else b"", up=5 if flags & URG else 0)
    sent = p.drain()
    got = len(t.recv()) if t.subject.conn is not None else 0
    return t.state, sent, got


def line(t, state, cell, after, sent, got):
    """One line of the snapshot."""
    flags, seq_at, ack_at = cell
    name = flag_text(flags & 0xFF) + ("+data" if flags & DATA else "")
    replies = []
    for s in sent:
        numbers = f" seq={signed_seq(t, s)}" if s.flags & ACK or not s.flags & RST or s.seq else " seq=0"
        if s.flags & ACK:
            numbers += f" ack={(s.ack - t.peer.irs) & 0xFFFFFFFF if state > SYN_SENT else 'rel'}"
        replies.append(flag_text(s.flags) + (numbers if state > SYN_SENT else ""))
    return (
        f"{NAMES[state]:<13}{name:<17}{seq_at:<8}{ack_at:<9}{NAMES[after]:<13}"
        f"{'; '.join(replies) or '-'}{f'  delivers {got}' if got else ''}"
    ).rstrip()


# -- what RFC 9293 §3.10.7 allows -------------------------------------------------------------------------------

NOTHING, SOME_ACK, SOME_RST, ANY = "nothing", "ACK", "RST", "any"


def oracle(state, flags, seq, ack):
    """(states allowed afterwards, reply allowed)."""
    if state == LISTEN:
        if flags & RST:
            return {LISTEN}, NOTHING
        if flags & ACK:  # the reset is the Host's: no connection sends it
            return {LISTEN}, NOTHING
        if flags & SYN and flags & FIN:
            return {LISTEN, SYN_RECEIVED}, ANY
        return ({SYN_RECEIVED}, SOME_ACK) if flags & SYN else ({LISTEN}, NOTHING)
    if state == SYN_SENT:
        return _oracle_syn_sent(flags, ack)
    acceptable = seq in {"left", "inside", "right"}
    if flags & RST:
        if state == TIME_WAIT:
            return {TIME_WAIT}, ANY
        if seq == "left":
            return {LISTEN if state == SYN_RECEIVED else CLOSED}, NOTHING
        return {state}, SOME_ACK if acceptable else NOTHING
    if flags & SYN:
        if state == TIME_WAIT:
            return {TIME_WAIT, SYN_RECEIVED}, ANY
        if state == SYN_RECEIVED:
            return {SYN_RECEIVED, LISTEN}, ANY
        return {state}, SOME_ACK
    if not acceptable:
        # TIME-WAIT and the other closing states may leave out the reply to what has no text and no FIN
        return {state}, ANY if state == TIME_WAIT else SOME_ACK
    if not flags & ACK:
        return {state}, NOTHING
    return _oracle_ack(state, flags, seq, ack)


def _oracle_syn_sent(flags, ack):
    if flags & ACK and ack != "good":
        return {SYN_SENT}, NOTHING if flags & RST else SOME_RST
    if flags & RST:
        return ({CLOSED} if flags & ACK else {SYN_SENT}), NOTHING
    if flags & SYN and flags & FIN:
        return {SYN_SENT, SYN_RECEIVED}, ANY
    if flags & SYN:
        return {ESTABLISHED if flags & ACK else SYN_RECEIVED}, SOME_ACK
    return {SYN_SENT}, NOTHING


def _oracle_ack(state, flags, seq, ack):
    if state == SYN_RECEIVED:
        if ack != "good":
            return {SYN_RECEIVED}, SOME_RST
        state = ESTABLISHED
    elif ack in {"ancient", "new"}:
        return {state}, ANY if state == TIME_WAIT else SOME_ACK
    if ack == "good":
        state = {FIN_WAIT_1: FIN_WAIT_2, CLOSING: TIME_WAIT, LAST_ACK: CLOSED}.get(state, state)
    if state == CLOSED:
        return {CLOSED}, NOTHING
    if flags & FIN and seq == "left":
        after = {ESTABLISHED: CLOSE_WAIT, FIN_WAIT_1: CLOSING, FIN_WAIT_2: TIME_WAIT}.get(state, state)
        return {after}, ANY if after == state else SOME_ACK
    return {state}, ANY


RESULTS: dict[object, list[object]] = {}  # the cells of one state are run once for both tests


def results(iss, tcp, state):
    """(cell, scenario, state afterwards, what was sent, octets delivered) of every cell of `state`."""
    if (iss, state) not in RESULTS:
        found = RESULTS[iss, state] = []
        for cell in cells():
            t = tcp(challenge_acks_per_s=1000)
            found.append((cell, t, *run_cell(t, state, *cell)))
    return RESULTS[iss, state]


@rfc("9293", "3.10.7", "T-ST-*")
@pytest.mark.parametrize("state", STATES, ids=[NAMES[s] for s in STATES])
def test_every_cell_is_what_the_rfc_allows(iss, tcp, state):
    wrong = []
    for cell, t, after, sent, _ in results(iss, tcp, state):
        states, reply = oracle(state, *cell)
        kinds = {SOME_RST if s.flags & RST else SOME_ACK for s in sent}
        if after not in states or (reply != ANY and kinds != ({reply} - {NOTHING})):
            wrong.append(
                f"{line(t, state, cell, after, sent, 0)}   (allowed: "
                f"{'/'.join(NAMES[s] for s in sorted(states))}, reply {reply})"
            )
    assert not wrong, "\n" + "\n".join(wrong)


@rfc("9293", "3.10.7", "T-ST-*")
def test_snapshot(iss, tcp, request):
    lines = ["# state      flags            seq     ack      then         sent"]
    for state in STATES:
        for cell, t, after, sent, got in results(iss, tcp, state):
            lines.append(line(t, state, cell, after, sent, got))
    text = "\n".join(lines) + "\n"
    if request.config.getoption("--regenerate-matrix", default=False):
        SNAPSHOT.write_text(text)
    assert text.splitlines() == SNAPSHOT.read_text().splitlines()
