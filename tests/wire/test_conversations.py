"""One script, two stacks: what ours answers on the wire is what Linux answers.

Each script takes a subject and returns the trace of what it sent.  The trace is written down beside the script, so
that a change shows in both; where we differ from Linux on purpose, both traces and the reason are.
"""

import time
from collections.abc import Callable

import pytest

from tests.support.rfc import rfc
from tests.support.wire_peer import ALL_OPTIONS, QUIET_S, Subject, Wire

pytestmark = pytest.mark.netns
ECHO, DISCARD, DAYTIME, CHARGEN, CLOSED = 7, 9, 13, 19, 81


def opened(subject: Subject, port: int = DISCARD, options: tuple[tuple[str, object], ...] = ALL_OPTIONS) -> Wire:
    wire = Wire(subject, port, options)
    wire.open()
    return wire


def alone(flags: str, port: int = CLOSED, **fields):
    """A script that sends one segment without a connection."""

    def script(subject: Subject) -> list[str]:
        wire = Wire(subject, port)
        wire.send(flags, **fields)
        return wire.gather()

    return script


def offering(*names: str):
    """A script that opens with some of the options."""

    def script(subject: Subject) -> list[str]:
        options = tuple(option for option in ALL_OPTIONS if option[0] in names)
        wire = Wire(subject, DISCARD, options)
        wire.send("S", options=options)
        return wire.gather()

    return script


def segments(*sends, port: int = DISCARD, options=ALL_OPTIONS, probe: bool = False):
    """A script that sends segments on an open connection; `probe` asks at the end whether it still exists."""

    def script(subject: Subject) -> list[str]:
        wire = opened(subject, port, options)
        for flags, seq, ack, *rest in sends:
            wire.send(flags, seq, ack, *(rest[:1]), **(rest[1] if len(rest) > 1 else {}))
            wire.gather()
        if probe:
            wire.trace.append("probe")
            wire.send("A", 1, 1, b"x")
            wire.gather()
        return wire.trace

    return script


def with_ecn(*sends, port: int = DISCARD):
    """A script that sends segments on a connection that agreed on ECN."""

    def script(subject: Subject) -> list[str]:
        wire = Wire(subject, port)
        wire.send("SEC", options=ALL_OPTIONS)
        wire.gather()
        wire.send("A", 1, 1)
        for flags, seq, ack, data, *rest in sends:
            wire.send(flags, seq, ack, data, **(rest[0] if rest else {}))
            wire.gather()
        return wire.trace

    return script


def asking(flags: str, **fields):
    """A script that opens with a SYN of these flags."""

    def script(subject: Subject) -> list[str]:
        wire = Wire(subject, DISCARD)
        wire.send(flags, options=ALL_OPTIONS, **fields)
        return wire.gather()

    return script


def syn_twice(subject: Subject) -> list[str]:
    wire = Wire(subject, DISCARD)
    wire.send("S", options=ALL_OPTIONS)
    wire.gather()
    wire.send("S", options=ALL_OPTIONS)
    return wire.gather()


def filled(subject: Subject, pause: float = QUIET_S) -> Wire:
    """CHARGEN has sent a window of ten segments, of which none is acknowledged yet; the handshake took `pause`."""
    wire = Wire(subject, CHARGEN, NO_TS)
    began = time.monotonic()
    wire.send("S", options=NO_TS, window=14600)
    wire.gather(pause)
    wire.trace.clear()
    wire.send("A", 1, 1, window=114)
    wire.rtt_s = time.monotonic() - began
    return wire


def fast_retransmit(subject: Subject) -> list[str]:
    """Four segments of ten are reported, the first is not: it comes again at once, long before any timeout."""
    wire = filled(subject)
    wire.gather(0.02)
    wire.trace.clear()
    edges = tuple(((wire.irs or 0) + edge) % 2**32 for edge in (1461, 7301))
    wire.send("A", 1, 1, window=114, options=(("NOP", None), ("NOP", None), ("SAck", edges)))
    again = [line for line in wire.gather(0.02) if line.startswith("A seq=1 ")][:1]
    wire.send("R", 1)
    return again


def tail_loss_probe(subject: Subject) -> list[str]:
    """Nothing of a window is reported: the end of it comes again before any timeout.  Its report brings the rest."""
    wire = filled(subject, 0.6)  # the probe is due after two round trips, the timeout after three more
    wire.trace.clear()
    lines: list[str] = []
    while len(lines) == len(set(lines)):
        wire.trace.clear()
        packet = subject.next(5)
        assert packet is not None, lines
        wire.note_own(packet)
        lines += wire.trace
    last = int(lines[-1].split("seq=")[1].split()[0])
    probe = ["the last" if last == max(int(line.split("seq=")[1].split()[0]) for line in lines) else lines[-1]]
    wire.gather(wire.rtt_s + QUIET_S)  # sooner than a round trip, the report could only mean the first copy
    wire.trace.clear()
    edges = tuple(((wire.irs or 0) + edge) % 2**32 for edge in (last, last + int(lines[-1].split("len=")[1])))
    wire.send("A", 1, 1, window=114, options=(("NOP", None), ("NOP", None), ("SAck", edges)))
    again = wire.gather()[:1]  # after the reordering window, a quarter of the round trip
    wire.send("R", 1)
    return probe + again


def timeouts(subject: Subject) -> list[str]:
    """An answer that is never acknowledged is sent again and again, each time after a longer pause."""
    wire = opened(subject, ECHO)
    wire.send("A", 1, 1, b"a" * 10)
    wire.gather(1.2)
    wire.send("R", 11)
    return wire.trace[:3]


def zero_window(subject: Subject) -> list[str]:
    """CHARGEN fills a window of 100 bytes, probes when it is closed, and goes on when it opens."""
    wire = Wire(subject, CHARGEN, ())
    wire.send("S", window=100)
    wire.gather()
    wire.trace.clear()
    wire.send("A", 1, 1, window=100)
    trace = list(wire.gather())
    wire.trace.clear()
    wire.send("A", 1, 101, window=0)
    probes = [line for line in wire.gather(1.5)[:1] if "len" not in line or line.endswith("len=1")]
    trace.append("probe" if probes else "no probe")
    wire.trace.clear()
    wire.send("A", 1, 101, window=100)
    trace += [line for line in wire.gather() if "seq=101" in line][-1:]
    wire.send("R", 1)
    return trace


def passive_close(subject: Subject) -> list[str]:
    """We send FIN first; the peer has everything before its own."""
    wire = opened(subject, ECHO)
    wire.send("A", 1, 1, b"last words")
    wire.gather()
    wire.send("FA", 11, 11)
    fin = [line for line in wire.gather() if line.startswith("FA")]
    wire.trace.clear()
    wire.send("A", 12, 12)
    wire.gather()
    wire.send("A", 12, 12, b"late")
    return fin + wire.gather()


def active_close(subject: Subject) -> list[str]:
    """The peer sends FIN first, waits in TIME-WAIT and acknowledges a repeated FIN again."""
    wire = Wire(subject, DAYTIME)
    wire.send("S", options=ALL_OPTIONS)
    wire.gather()
    wire.trace.clear()
    wire.send("A", 1, 1)
    wire.gather()
    end = max(int(line.split("seq=")[1].split()[0]) + int(line.partition("len=")[2] or 0) for line in wire.trace) + 1
    fins = [line.split()[0] for line in wire.trace if line.startswith("FA")]
    wire.trace.clear()
    wire.send("FA", 1, end)
    wire.gather()
    wire.send("FA", 1, end)
    return fins + [line.replace(f"seq={end}", "seq=end") for line in wire.gather()]


def old_timestamp(subject: Subject) -> list[str]:
    wire = opened(subject)
    wire.send("A", 1, 1, b"new", tsval=2000)
    wire.gather()
    wire.send("A", 4, 1, b"old", tsval=1900)
    wire.gather()
    wire.send("A", 4, 1, b"newer", tsval=2001)
    return wire.gather()


NO_TS = tuple(option for option in ALL_OPTIONS if option[0] != "Timestamp")
MARKS = {
    "T-RST-1": rfc("9293", "3.10.7.1", "T-RST-1"),
    "MUST-3": rfc("9293", "3.1", "MUST-3"),
    "MUST-14": rfc("9293", "3.7.1", "MUST-14"),
    "5961-3": rfc("5961", "3", "5961-3"),
    "5961-4": rfc("5961", "4", "5961-4"),
    "5961-5": rfc("5961", "5", "5961-5"),
    "2018-1": rfc("2018", "2", "2018-1"),
    "2018-2": rfc("2018", "4", "2018-2"),
    "2883-1": rfc("2883", "4", "2883-1"),
    "MUST-36": rfc("9293", "3.8.6.1", "MUST-36"),
    "T-FIN-1": rfc("9293", "3.10.7.4", "T-FIN-1"),
    "T-FIN-3": rfc("9293", "3.10.7.4", "T-FIN-3"),
    "7323-5.3": rfc("7323", "5.3", "7323-5.3"),
    "7323-2.2": rfc("7323", "2.2", "7323-2.2"),
    "5681-3.2": rfc("5681", "3.2", "5681-3.2"),
    "6298-5.4": rfc("6298", "5.4", "6298-5.4..5.6"),
    "3168-1": rfc("3168", "6.1", "3168-1"),
    "8985-3": rfc("8985", "7.2", "8985-3"),
    "T-WND-1": rfc("9293", "3.10.7.4", "T-WND-1"),
}
ACK_1 = "A seq=1 ack=1"

# name, requirement, script, what both subjects answer
SAME = [
    ("syn-to-closed-port", "T-RST-1", alone("S"), ["RA seq=0 ack=1"]),
    ("ack-to-closed-port", "T-RST-1", alone("A", seq=5, ack=77), ["R seq=77"]),
    ("data-to-closed-port", "T-RST-1", alone("", seq=5, data=b"abc"), ["RA seq=0 ack=8"]),
    ("rst-to-closed-port", "T-RST-1", alone("R"), []),
    ("ack-to-listener", "T-RST-1", alone("A", seq=5, ack=77, port=DISCARD), ["R seq=77"]),
    ("syn-with-bad-checksum", "MUST-3", alone("S", spoil=True), []),
    ("no-options", "2018-1", offering(), ["SA seq=0 ack=1 mss"]),
    ("all-options", "MUST-14", offering("MSS", "SAckOK", "Timestamp", "WScale"), ["SA seq=0 ack=1 mss sack ts ws"]),
    ("scale-only", "7323-2.2", offering("WScale"), ["SA seq=0 ack=1 mss ws"]),
    ("sack-only", "2018-1", offering("SAckOK"), ["SA seq=0 ack=1 mss sack"]),
    ("exact-rst-ends-it", "5961-3", segments(("R", 1, 0), probe=True), ["probe", "R seq=1"]),
    ("rst-in-window-is-challenged", "5961-3", segments(("R", 2, 0), probe=True), [ACK_1, "probe", "A seq=1 ack=2"]),
    ("rst-outside-is-ignored", "5961-3", segments(("R", -1, 0), probe=True), ["probe", "A seq=1 ack=2"]),
    (
        "syn-in-established-is-challenged",
        "5961-4",
        segments(("S", 1, 0), probe=True),
        [ACK_1, "probe", "A seq=1 ack=2"],
    ),
    ("syn-outside-is-challenged", "5961-4", segments(("S", -500, 0), probe=True), [ACK_1, "probe", "A seq=1 ack=2"]),
    (
        "ack-of-unsent-data",
        "5961-5",
        segments(("A", 1, 5000, b"inject"), probe=True),
        [ACK_1, "probe", "A seq=1 ack=2"],
    ),
    ("data-is-echoed", "T-WND-1", segments(("A", 1, 1, b"hello"), port=ECHO), ["A seq=1 ack=6 len=5"]),
    (
        "data-with-bad-checksum",
        "MUST-3",
        segments(("A", 1, 1, b"hello", {"spoil": True}), probe=True),
        ["probe", "A seq=1 ack=2"],
    ),
    (
        "holes-are-reported-newest-first",
        "2018-2",
        segments(
            ("A", 11, 1, b"b" * 10),
            ("A", 31, 1, b"d" * 10),
            ("A", 51, 1, b"f" * 10),
            ("A", 1, 1, b"a" * 10),
            options=NO_TS,
        ),
        [
            "A seq=1 ack=1 sack=11-21",
            "A seq=1 ack=1 sack=31-41,11-21",
            "A seq=1 ack=1 sack=51-61,31-41,11-21",
            "A seq=1 ack=21 sack=51-61,31-41",
        ],
    ),
    ("no-sack-unless-permitted", "2018-1", segments(("A", 11, 1, b"b" * 10), options=()), [ACK_1]),
    (
        "a-duplicate-is-reported",
        "2883-1",
        segments(("A", 1, 1, b"a" * 10), ("A", 1, 1, b"a" * 10), options=NO_TS),
        ["A seq=1 ack=11", "A seq=1 ack=11 sack=1-11"],
    ),
    (
        "data-beyond-the-window",
        "T-WND-1",
        segments(("A", 1 << 24, 1, b"far", {}), probe=True),
        [ACK_1, "probe", "A seq=1 ack=2"],
    ),
    ("old-timestamp-is-refused", "7323-5.3", old_timestamp, ["A seq=1 ack=4", "A seq=1 ack=4", "A seq=1 ack=9"]),
    ("zero-window-is-probed", "MUST-36", zero_window, ["A seq=1 ack=1 len=100", "probe", "A seq=101 ack=1 len=100"]),
    ("ecn-is-agreed-on", "3168-1", asking("SEC"), ["SAE seq=0 ack=1 mss sack ts ws"]),
    ("ecn-needs-both-flags", "3168-1", asking("SE"), ["SA seq=0 ack=1 mss sack ts ws"]),
    ("ecn-is-not-agreed-on-by-a-marked-syn", "3168-1", asking("SEC", ce=True), ["SA seq=0 ack=1 mss sack ts ws"]),
    (
        "a-mark-is-echoed-until-cwr",
        "3168-1",
        with_ecn(
            ("A", 1, 1, b"a" * 10, {"ce": True}),
            ("A", 11, 1, b"b" * 10),
            ("AC", 21, 1, b"c" * 10),
            ("A", 31, 1, b"d" * 10),
        ),
        [
            "SAE seq=0 ack=1 mss sack ts ws",
            "AE seq=1 ack=11",
            "AE seq=1 ack=21",
            "A seq=1 ack=31",
            "A seq=1 ack=41",
        ],
    ),
    (
        "an-echo-is-answered-with-cwr-once",
        "3168-1",
        with_ecn(
            ("A", 1, 1, b"a" * 10),
            ("AE", 11, 11, b"b" * 10),
            ("AE", 21, 21, b"c" * 10),
            ("A", 31, 31, b"d" * 10),
            port=ECHO,
        ),
        [
            "SAE seq=0 ack=1 mss sack ts ws",
            "A seq=1 ack=11 len=10 ect",
            "AC seq=11 ack=21 len=10 ect",
            "AC seq=21 ack=31 len=10 ect",
            "A seq=31 ack=41 len=10 ect",
        ],
    ),
    (
        "a-partial-duplicate-is-reported",
        "2883-1",
        segments(("A", 1, 1, b"a" * 10), ("A", 6, 1, b"b" * 10), options=NO_TS),
        ["A seq=1 ack=11", "A seq=1 ack=16 sack=6-11"],
    ),
    (
        "a-duplicate-above-a-hole-is-reported-before-its-block",
        "2883-1",
        segments(("A", 11, 1, b"b" * 10), ("A", 11, 1, b"b" * 10), options=NO_TS),
        ["A seq=1 ack=1 sack=11-21", "A seq=1 ack=1 sack=11-21,11-21"],
    ),
    (
        "blocks-that-grow-together",
        "2018-2",
        segments(("A", 11, 1, b"b" * 10), ("A", 31, 1, b"d" * 10), ("A", 21, 1, b"c" * 10), options=NO_TS),
        ["A seq=1 ack=1 sack=11-21", "A seq=1 ack=1 sack=31-41,11-21", "A seq=1 ack=1 sack=11-41"],
    ),
    ("keep-alive-probe-is-answered", "MUST-36", segments(("A", 0, 1)), [ACK_1]),
    ("syn-twice", "MUST-14", syn_twice, ["SA seq=0 ack=1 mss sack ts ws"] * 2),
    ("fast-retransmit", "5681-3.2", fast_retransmit, ["A seq=1 ack=1 len=1460"]),
    ("tail-loss-probe", "8985-3", tail_loss_probe, ["the last", "A seq=1 ack=1 len=1460"]),
    ("timeouts", "6298-5.4", timeouts, ["A seq=1 ack=11 len=10"] * 3),
    ("passive-close", "T-FIN-1", passive_close, ["FA seq=11 ack=12", "R seq=12"]),
    ("active-close", "T-FIN-3", active_close, ["FA", "A seq=end ack=2", "A seq=end ack=2"]),
]

# name, requirement, script, ours, Linux, why
DIFFERENT: list[tuple[str, str, Callable[[Subject], list[str]], list[str], list[str], str]] = [
    (
        "segment-without-timestamp",
        "7323-5.3",
        segments(("A", 1, 1, b"hello", {"options": ()})),
        [],
        ["A seq=1 ack=6"],
        "RFC 7323 §3.2 says such a segment SHOULD be dropped; Linux takes it",
    ),
]

CASES = [(name, mark, script, trace, trace) for name, mark, script, trace in SAME]
CASES += [(name, mark, script, ours, theirs) for name, mark, script, ours, theirs, _ in DIFFERENT]


@pytest.mark.parametrize(
    ("script", "expected", "reference"),
    [pytest.param(script, ours, theirs, id=name, marks=MARKS[mark]) for name, mark, script, ours, theirs in CASES],
)
def test_both_answer_alike(ours, linux, script, expected, reference):
    assert script(linux) == reference
    assert script(ours) == expected
