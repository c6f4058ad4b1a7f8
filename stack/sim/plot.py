"""Pictures of a run: time-sequence, a flow from the inside, queues, and several runs or flows over one another.

Needs matplotlib (the extra `tapstack[sim]`); what is drawn comes from `stack.sim.traces`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from stack.sim.plot_style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Unit,
    colour,
    dash,
    figure,
    legend,
    rate_unit,
    save,
    size_unit,
    styled,
    time_unit,
)
from stack.sim.traces import Fates, FlowTrace, QueueSamples, Segment

SSTHRESH_MAX = 1 << 29  # above that it has not been set yet
MAX_FLOWS = 16  # of a scenario with more, the first ones get pictures of their own
MAX_QUEUES = 8
QUEUE_SHOWN = 5_000  # bytes; what never holds more than a few frames is no queue
BINS = 150  # points of a throughput curve at most
ZOOM_RTTS = 5


def write_all(flows: dict[str, FlowTrace], queues: dict[str, QueueSamples], folder: Path, title: str) -> list[Path]:
    """Every picture of one run, as PNG and SVG; the files."""
    paths: list[Path] = []
    seen = {name: trace for name, trace in flows.items() if trace.samples.at}
    shown = {name: one for name, one in queues.items() if max(one.queued, default=0) > QUEUE_SHOWN}
    with styled():
        for trace in list(seen.values())[:MAX_FLOWS]:
            paths += save(time_sequence(trace, title), folder, f"{trace.name}-sequence")
            paths += save(inside(trace, title), folder, f"{trace.name}-sender")
            if len({mss for mss in trace.samples.mss if mss}) > 1:
                paths += save(segment_sizes(trace, title), folder, f"{trace.name}-sizes")
        if len(seen) > 1:
            paths += save(overlay(seen, f"{title}: all flows"), folder, "flows")
        if shown:
            paths += save(queue_plot(shown, title), folder, "queues")
    return paths


def write_overlay(traces: dict[str, FlowTrace], folder: Path, name: str, title: str) -> list[Path]:
    """cwnd, RTT and throughput of several flows or runs, one line each."""
    with styled():
        return save(overlay(traces, title), folder, name)


# -- time-sequence


def time_sequence(trace: FlowTrace, title: str) -> Figure:
    """As tcptrace draws it: whole, and closer around the first loss (or else the beginning)."""
    fig, (whole, close) = figure(f"{title}: time and sequence of {trace.name}", 2, 8.8, one_time=False)
    segments = trace.sent + trace.resent
    begin = min((at for at, _, _ in segments), default=0)
    end = max((at for at, _, _ in segments + trace.acks), default=begin + 1)
    span = _closer(trace, begin, end)
    fates = trace.fates()
    _sequence_panel(whole, trace, fates, (begin, end))
    unit = time_unit((end,))
    whole.set_title("whole")
    whole.axvspan(span[0] / unit.divisor, span[1] / unit.divisor, color=ORANGE, alpha=0.18, lw=0, label="closer below")
    _sequence_panel(close, trace, fates, span)
    close.set_title("closer")
    close.set_facecolor("#FFFBF2")
    legend(whole, columns=4)
    return fig


def _closer(trace: FlowTrace, begin: int, end: int) -> tuple[int, int]:
    """A few round trips around the first loss or retransmission."""
    rtt = max(trace.samples.srtt_us, default=0) or max(1, (end - begin) // 20)
    first = min((at for at, _, _ in trace.lost + trace.resent), default=begin + rtt)
    from_ = max(begin, first - rtt)
    return from_, min(end, from_ + ZOOM_RTTS * rtt)


def _sequence_panel(axes: Axes, trace: FlowTrace, fates: Fates, span: tuple[int, int]) -> None:
    """What happened within `span` (microseconds)."""
    shown = [one for one in trace.sent + trace.resent if span[0] <= one[0] <= span[1]]
    low = min((left for _, left, _ in shown), default=0)
    high = max((right for _, _, right in shown), default=1)
    acks = _within(trace.acks, span)
    if acks:
        low = min(low, acks[0][1])
    time, size = time_unit((span[1],)), size_unit((high,))
    steps = [(at, acked) for at, acked, _ in acks]
    edges = [(at, edge) for at, _, edge in acks if edge < high + (high - low) // 3]
    if edges:
        _steps(axes, edges, (time, size), ORANGE, "window edge")
    _bars(axes, _within(trace.sacks, span), (time, size), PURPLE, "SACK block", 1.0)
    _steps(axes, steps, (time, size), GREEN, "acknowledged")
    _bars(axes, _within(trace.sent, span), (time, size), BLUE, "data segment", 2.2)
    _bars(axes, _within(trace.resent, span), (time, size), VERMILLION, "retransmission", 3.2)
    _points(axes, _within(fates.needless, span), (time, size), "o", VERMILLION, "not needed")
    _points(axes, _within(fates.lost, span), (time, size), "x", BLACK, "lost")
    margin = max(1, high - low) * 0.04
    axes.set_ylim((low - margin) / size.divisor, (high + margin) / size.divisor)
    axes.set_xlim(span[0] / time.divisor, max(span[1], span[0] + 1) / time.divisor)
    axes.set_xlabel(f"time ({time.name})")
    axes.set_ylabel(f"sequence number ({size.name})")


def _within(segments: Sequence[Segment], span: tuple[int, int]) -> Sequence[Segment]:
    """Those in `span`; they are in order of time."""
    return segments[bisect_left(segments, (span[0],)) : bisect_left(segments, (span[1] + 1,))]


def _bars(
    axes: Axes, segments: Sequence[Segment], units: tuple[Unit, Unit], tint: str, label: str, width: float
) -> None:
    """Each segment as an upright bar from its first to its last byte."""
    if segments:
        time, size = units[0].divisor, units[1].divisor
        lines = [((at / time, left / size), (at / time, right / size)) for at, left, right in segments]
        axes.add_collection(LineCollection(lines, colors=tint, linewidths=width, label=label))


def _points(
    axes: Axes, segments: Sequence[Segment], units: tuple[Unit, Unit], marker: str, tint: str, label: str
) -> None:
    """A mark on the middle of each segment."""
    if segments:
        axes.plot(
            units[0].of([at for at, _, _ in segments]),
            units[1].of([(left + right) / 2 for _, left, right in segments]),
            linestyle="none",
            marker=marker,
            markersize=4 if marker == "x" else 7,
            markeredgewidth=0.9,
            markerfacecolor="none",
            alpha=0.75,
            color=tint,
            label=label,
        )


def _steps(axes: Axes, points: Sequence[tuple[int, int]], units: tuple[Unit, Unit], tint: str, label: str) -> None:
    axes.step(
        units[0].of([at for at, _ in points]),
        units[1].of([value for _, value in points]),
        where="post",
        color=tint,
        linewidth=1.2,
        label=label,
    )


# -- the sender from the inside


def inside(trace: FlowTrace, title: str) -> Figure:
    """cwnd, ssthresh and data in flight; RTT and RTO; throughput and pacing rate: over one time axis."""
    by = f", {trace.congestion}" if trace.congestion else ""
    fig, panels = figure(f"{title}: the sender of {trace.name}{by}", 3, 8.4)
    samples = trace.samples
    time = time_unit(samples.at[-1:])
    at = time.of(samples.at)
    _windows(panels[0], trace, at)
    _mark(panels[0], trace, time)
    round_trips = samples.srtt_us + samples.min_rtt_us
    rtt = time_unit(round_trips)
    panels[1].plot(at, rtt.of(_known(samples.srtt_us)), color=BLUE, label="smoothed RTT")
    panels[1].plot(at, rtt.of(_known(samples.min_rtt_us)), color=GREEN, linestyle="--", label="minimum RTT")
    panels[1].set_ylabel(f"round-trip time ({rtt.name})")
    panels[1].set_ylim(bottom=0)
    points, rates = throughput(trace)
    paced = [value for value in samples.pacing_rate if value]
    rate = rate_unit(rates)
    panels[2].step(time.of(points), rate.of(rates), where="pre", color=BLUE, label="acknowledged")
    if paced:
        panels[2].plot(at, rate.of(samples.pacing_rate), color=ORANGE, linewidth=1.0, label="pacing rate")
        panels[2].set_ylim(0, max(1, 2.5 * max(rates, default=1)) / rate.divisor)
    panels[2].set_ylabel(f"rate ({rate.name})")
    panels[2].set_ylim(bottom=0)
    for axes in panels:
        legend(axes)
    panels[-1].set_xlabel(f"time ({time.name})")
    panels[-1].set_xlim(0, at[-1] if at else 1)
    return fig


def _windows(axes: Axes, trace: FlowTrace, at: list[float]) -> None:
    samples = trace.samples
    size = size_unit(samples.cwnd)
    top = max([*samples.cwnd, *samples.in_flight, 1])
    axes.plot(at, size.of(samples.cwnd), color=BLUE, label="cwnd")
    set_ = [value if 0 < value < SSTHRESH_MAX else None for value in samples.ssthresh]
    if any(value is not None for value in set_):
        axes.plot(
            at,
            [float("nan") if value is None else value / size.divisor for value in set_],
            color=ORANGE,
            linestyle="--",
            label="ssthresh",
        )
    axes.fill_between(at, size.of(samples.in_flight), color=SKY, alpha=0.35, linewidth=0, label="in flight")
    axes.set_ylabel(f"window ({size.name})")
    axes.set_ylim(0, 1.08 * top / size.divisor)


def _mark(axes: Axes, trace: FlowTrace, time: Unit) -> None:
    """A tick at the foot of the panel for each loss and retransmission."""
    height = axes.get_ylim()[1]
    for what, tint, level, label in (
        (trace.resent, VERMILLION, 0.02, "retransmission"),
        (trace.lost, BLACK, 0.055, "lost"),
    ):
        if what:
            axes.plot(
                time.of([one[0] for one in what]),
                [level * height] * len(what),
                linestyle="none",
                marker="|",
                markersize=6,
                color=tint,
                label=label,
            )


def _known(values: Sequence[int]) -> list[float]:
    """The values, with gaps where there is none yet."""
    return [value or float("nan") for value in values]


def throughput(trace: FlowTrace) -> tuple[list[int], list[float]]:
    """Bytes per second delivered, over the time since the point before, which is at least a round trip ago."""
    at, delivered = trace.samples.at, trace.samples.delivered
    if len(at) < 2:
        return [], []
    spacing = max(1, (at[-1] - at[0]) // (len(at) - 1))
    step = max(1, len(at) // BINS, max(trace.samples.srtt_us) // spacing)
    marks = list(range(0, len(at), step))
    points, rates = [], []
    for before, now in pairwise(marks):
        took = at[now] - at[before]
        if took > 0:
            points.append(at[now])
            rates.append((delivered[now] - delivered[before]) * 1e6 / took)
    return points, rates


# -- what the path carries


def segment_sizes(trace: FlowTrace, title: str) -> Figure:
    """The length of each segment, which of them were lost, and what the sender takes for the largest that arrives."""
    fig, (axes,) = figure(f"{title}: segments of {trace.name}", 1, 4.2)
    samples, fates = trace.samples, trace.fates()
    time = time_unit(samples.at[-1:])
    gone = {(at, left) for at, left, _ in fates.lost}
    for what, marker, tint, label in (
        ([one for one in trace.sent + trace.resent if one[:2] not in gone], ".", BLUE, "arrived"),
        (fates.lost, "x", VERMILLION, "lost"),
    ):
        at, lengths = time.of([one[0] for one in what]), [right - left for _, left, right in what]
        axes.plot(at, lengths, linestyle="none", marker=marker, markersize=5, color=tint, label=label)
    axes.step(time.of(samples.at), _known(samples.mss), where="post", color=BLACK, linewidth=1.0, label="segment size")
    axes.set_ylabel("bytes of data")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, time.of(samples.at[-1:])[0])
    axes.set_xlabel(f"time ({time.name})")
    legend(axes)
    return fig


# -- queues


def queue_plot(queues: dict[str, QueueSamples], title: str) -> Figure:
    """What waits for each limited link, in bytes and in time, with the drops."""
    queues = dict(sorted(queues.items(), key=lambda item: -max(item[1].queued))[:MAX_QUEUES])
    fig, panels = figure(f"{title}: queues", len(queues), 1.2 + 2.3 * len(queues))
    time = time_unit(one.at[-1] for one in queues.values() if one.at)
    for axes, (name, one) in zip(panels, queues.items(), strict=True):
        size = size_unit(one.queued)
        axes.fill_between(time.of(one.at), size.of(one.queued), color=SKY, alpha=0.5, linewidth=0)
        axes.plot(time.of(one.at), size.of(one.queued), color=BLUE, linewidth=1.0, label="waiting")
        if one.limit and one.limit < 4 * max(one.queued):
            axes.axhline(one.limit / size.divisor, color=ORANGE, linestyle="--", label="limit")
        axes.set_ylim(0, axes.get_ylim()[1])
        if one.dropped_at:
            foot = [0.03 * axes.get_ylim()[1]] * len(one.dropped_at)
            axes.plot(
                time.of(one.dropped_at),
                foot,
                linestyle="none",
                marker="|",
                markersize=6,
                color=VERMILLION,
                label="dropped",
            )
        axes.set_title(name)
        axes.set_ylabel(f"queue ({size.name})")
        _delay_axis(axes, one.rate, size)
        legend(axes)
    panels[-1].set_xlabel(f"time ({time.name})")
    panels[-1].set_xlim(left=0)
    return fig


def _delay_axis(axes: Axes, rate: int, size: Unit) -> None:
    """The same scale at the right as the time that the queue takes to leave."""
    delay = time_unit((axes.get_ylim()[1] * size.divisor * 1e6 / rate,))
    factor = size.divisor * 1e6 / rate / delay.divisor
    right = axes.secondary_yaxis(
        "right", functions=(lambda y: np.asarray(y) * factor, lambda y: np.asarray(y) / factor)
    )
    right.set_ylabel(f"delay ({delay.name})")


# -- several over one another


def overlay(traces: dict[str, FlowTrace], title: str) -> Figure:
    """cwnd, smoothed RTT and throughput, one line for each name."""
    fig, panels = figure(title, 3, 8.4)
    every = list(traces.values())
    time = time_unit(one.samples.at[-1] for one in every if one.samples.at)
    size = size_unit(_all(one.samples.cwnd for one in every))
    rtt = time_unit(_all(one.samples.srtt_us for one in every))
    curves = {name: throughput(one) for name, one in traces.items()}
    rate = rate_unit(_all(values for _, values in curves.values()))
    for number, (name, one) in enumerate(traces.items()):
        look: dict[str, Any] = {"color": colour(number), "linestyle": dash(number), "label": name}
        at = time.of(one.samples.at)
        panels[0].plot(at, size.of(one.samples.cwnd), **look)
        panels[1].plot(at, rtt.of(_known(one.samples.srtt_us)), **look)
        points, rates = curves[name]
        panels[2].plot(time.of(points), rate.of(rates), **look)
    for axes, label in zip(
        panels, (f"cwnd ({size.name})", f"smoothed RTT ({rtt.name})", f"throughput ({rate.name})"), strict=True
    ):
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    legend(panels[0])
    panels[-1].set_xlabel(f"time ({time.name})")
    panels[-1].set_xlim(left=0)
    return fig


def _all(lists: Iterable[Sequence[float]]) -> list[float]:
    return [value for values in lists for value in values]
