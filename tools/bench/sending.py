"""What the way out costs, and all that belongs to it: `python -m tools.bench.stages --send`.

Two Hosts in one process are joined by lists, as in stages.py; nothing of the kernel is in the numbers.  Each stage of
a scenario is timed by itself, once per round.  The machine disturbs some rounds and never speeds one up: the tenth
percentile is the number to compare.

    write          1 byte written and sent; its ACK taken
    echo           a request of 1 byte, an answer of 1 byte that carries the ACK
    bulk           128 KiB written and sent as two super-segments, one ACK for both
    paced          the same over a path of 20 ms: pacing decides when
    connection     connect, a request, an answer, close from both ends
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from stack import _form
from stack.config import TcpConfig
from stack.host.host import Host
from stack.tcp.connection import Connection
from stack.wire import accel
from stack.wire.frame import Caps
from tools.bench.pair import ADDR_B, PORT, Pair

SUPER_SEGMENT = 44 * 1448
BULK = 2 * SUPER_SEGMENT
OFFLOADS = Caps(csum=True, tso4=True, max_gso=SUPER_SEGMENT)
HOP_US = 50
LONG_HOP_US = 10_000
LONE_ACKS = 1 << 20  # quick ACKs: each segment is acknowledged at once

Stages = dict[str, list[float]]


class Clock:
    """Times calls, one after the other, in microseconds by stage."""

    def __init__(self) -> None:
        self.stages: Stages = {}

    def run(self, stage: str, call: Callable[..., object], *args: object) -> None:
        """Call it, and note how long it took."""
        began = time.perf_counter_ns()
        call(*args)
        took = time.perf_counter_ns() - began
        self.stages.setdefault(stage, []).append(took / 1000)


def write(pair: Pair, conn: Connection, data: bytes) -> None:
    """As a transport does."""
    conn.send(data, pair.now)
    pair.hosts[0 if conn is pair.sender else 1].wake(conn)


def finish_pass(host: Host, now: int) -> None:
    """What the driver does after it gave a burst or a call of the application."""
    if host.deadline <= now:
        host.on_timer(now)
    host.poll_transmit(now)
    _ = host.deadline


def take(host: Host, conn: Connection) -> None:
    """What a transport does with the events of the host."""
    host.poll_events()
    conn.take_events()
    conn.recv_chunks()


def carry(pair: Pair, to: int, hop_us: int = HOP_US) -> bool:
    """What the other host sent is in the burst now."""
    pair.now += hop_us
    frames, pair.sinks[1 - to].frames = pair.sinks[1 - to].frames, []
    accel.load_burst(pair.burst, frames, pair.macs[to])
    return bool(frames)


def answer(pair: Pair, rounds: int) -> Stages:
    """Scenario "write"."""
    clock = Clock()
    a, b = pair.hosts
    for _ in range(rounds):
        clock.run("write", write, pair, pair.sender, b"x")
        clock.run("send", finish_pass, a, pair.now)
        carry(pair, 1)
        b.receive(1, pair.burst, pair.now)
        take(b, pair.receiver)
        finish_pass(b, pair.now)
        carry(pair, 0)
        clock.run("take ACK", a.receive, 1, pair.burst, pair.now)
        clock.run("idle pass", finish_pass, a, pair.now)
    return clock.stages


def echo(pair: Pair, rounds: int) -> Stages:
    """Scenario "echo": both hosts count."""
    clock = Clock()
    ends = pair.sender, pair.receiver
    for _ in range(rounds):
        for i in (0, 1):
            clock.run("write", write, pair, ends[i], b"x")
            clock.run("send", finish_pass, pair.hosts[i], pair.now)
            carry(pair, 1 - i)
            clock.run("take data and ACK", pair.hosts[1 - i].receive, 1, pair.burst, pair.now)
            clock.run("read", take, pair.hosts[1 - i], ends[1 - i])
    return clock.stages


def bulk(pair: Pair, rounds: int, hop_us: int = HOP_US) -> Stages:
    """Scenarios "bulk" and "paced"; the timers of the latter are served."""
    clock = Clock()
    a, b = pair.hosts
    data = bytes(BULK)
    for _ in range(rounds):
        clock.run("write", write, pair, pair.sender, data)
        passes: list[float] = []
        while pair.sender.send_pending():
            began = time.perf_counter_ns()
            finish_pass(a, pair.now)
            passes.append((time.perf_counter_ns() - began) / 1000)
            if not pair.sender.snd.unsent():
                carry(pair, 1, hop_us)
                b.receive(1, pair.burst, pair.now)
                take(b, pair.receiver)
                finish_pass(b, pair.now)
                carry(pair, 0, hop_us)
                clock.run("take ACK", a.receive, 1, pair.burst, pair.now)
                clock.run("idle pass", finish_pass, a, pair.now)
            elif a.deadline > pair.now:
                pair.now = a.deadline
        clock.stages.setdefault("send", []).append(sum(passes))
    return clock.stages


def connection(pair: Pair, rounds: int) -> Stages:
    """Scenario "connection": all that both hosts do, from connect to the end."""
    clock = Clock()
    a, b = pair.hosts
    listener = b.listen(ADDR_B, PORT + 1, 128)

    def passes(count: int) -> None:
        for _ in range(count):
            for i in (0, 1):
                finish_pass(pair.hosts[i], pair.now)
                if carry(pair, 1 - i):
                    pair.hosts[1 - i].receive(1, pair.burst, pair.now)
                pair.hosts[1 - i].poll_events()

    def one() -> None:
        conn = a.connect(ADDR_B, PORT + 1, now=pair.now)
        passes(2)
        other = listener.accept()
        assert other is not None
        for end, host in ((conn, a), (other, b)):
            end.send(b"x", pair.now)
            host.wake(end)
            passes(1)
        for end, host in ((conn, a), (other, b)):
            end.recv_chunks()
            end.close(pair.now)
            end.release(pair.now)
            host.wake(end)
        passes(2)

    for _ in range(rounds):
        clock.run("connect to close", one)
        pair.now += 10_000
    return clock.stages


def scenarios(rounds: int) -> Iterator[tuple[str, Stages]]:
    """Run each of them."""
    tcp = replace(TcpConfig(), nodelay=True)
    window = 4 * BULK
    large = replace(tcp, initial_window_segs=window // 1448, quick_acks=LONE_ACKS, recv_buffer_initial=window)
    yield "write", answer(Pair(replace(tcp, quick_acks=LONE_ACKS)), rounds)
    yield "echo", echo(Pair(tcp), rounds)
    yield "bulk", bulk(Pair(large, OFFLOADS), rounds)
    yield "paced", bulk(Pair(large, OFFLOADS, LONG_HOP_US), rounds // 8, LONG_HOP_US)
    yield "connection", connection(Pair(tcp), rounds // 4)


def report(rounds: int) -> None:
    """Measure and print."""
    table = Table(title=f"send path, {_form.running()} core, {accel.backend} backend, us per call")
    for column in ("scenario", "stage", "median", "p10", "p90"):
        table.add_column(column, justify="right" if column[0] in "pm" else "left")
    for name, stages in scenarios(rounds):
        total = 0.0
        for stage, values in stages.items():
            # the first rounds fill caches and find the window
            cuts = statistics.quantiles(values[len(values) // 10 :], n=10)
            total += cuts[4]
            table.add_row(name, stage, f"{cuts[4]:.2f}", f"{cuts[0]:.2f}", f"{cuts[8]:.2f}")
        table.add_row(name, "sum", f"{total:.2f}", "", "", end_section=True)
    Console().print(table)
