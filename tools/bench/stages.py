"""What one in-order TCP segment costs on its way in, stage by stage.

Two Hosts in one process are joined by lists; one sends a stream of MTU-sized segments, the other's receive path
is timed with `time.perf_counter_ns` over whole bursts.  Reported are the medians over many bursts, in microseconds
per segment; nothing of the kernel is in them.  With --send the way out, by scenario: see sending.py.

With --watched somebody listens to its packets, as a page does.

    python -m tools.bench.stages [--bursts 300] [--segments 128] [--watched]
    python -m tools.bench.stages --send [--rounds 2000]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from stack import _form
from stack.config import TcpConfig
from stack.device.base import Device
from stack.host.host import Host
from stack.observe.bus import Topic
from stack.observe.packets import PacketSource, WatchedDevice, WatchTrace
from stack.tcp.connection import Connection
from stack.wire import accel
from stack.wire.burst import MAX_FRAMES, ROW, Burst
from stack.wire.frame import Caps, TxFrame
from tools.bench import sending
from tools.bench.arguments import Help, whole
from tools.bench.pair import MAC_B, Frame, Pair

STAGES = ("C: copy, parse, verify", "unpack rows", "demux and TCP", "events and read", "ACKs out")


def produce(pair: Pair, payload: bytes) -> list[Frame]:
    """The wire frames that carry `payload`."""
    pair.sender.send(payload, pair.now)
    pair.hosts[0].wake(pair.sender)
    while pair.hosts[0].poll_transmit(pair.now) and pair.hosts[0].tcp.ready:
        pass
    frames, pair.sinks[0].frames = pair.sinks[0].frames, []
    return frames


def _timed(samples: list[float], count: int, call: Callable[[], object]) -> None:
    began = time.perf_counter_ns()
    call()
    samples.append((time.perf_counter_ns() - began) / 1000 / count)


def _unpack(burst: Burst) -> None:
    for _row in ROW.iter_unpack(memoryview(burst.rows)[: burst.count * ROW.size]):
        pass


def _deliver(host: Host, conn: Connection) -> None:
    host.poll_events()
    conn.take_events()
    conn.recv_chunks()


class _Loaded(Device):
    """A device whose burst is there already."""

    def __init__(self) -> None:
        super().__init__("bench", MAC_B, 1500, Caps())

    def rx_burst(self, burst: Burst) -> int:
        """The rows that are there."""
        return burst.count

    def send(self, frame: TxFrame) -> bool:  # noqa: ARG002
        """Nothing is sent by it."""
        return True

    def flush(self) -> int:
        """Nothing is batched."""
        return 0

    def close(self) -> None:
        """Nothing is open."""


class _Source(PacketSource):
    """Packets of no driver."""

    def __init__(self) -> None:
        self.topic = Topic(lambda: None, lambda: None)
        self._whole = set()


def _watch(host: Host) -> Callable[[Burst], None]:
    """Have somebody listen to what `host` receives; what reads a burst for them and tells of it."""
    source, trace = _Source(), WatchTrace(None)
    listener = source.subscribe(lambda: None, whole=False)
    host.set_trace(trace)
    device = WatchedDevice(_Loaded(), source, lambda: 0, trace)

    def read(burst: Burst) -> None:
        device.rx_burst(burst)
        device.flush()
        while listener.take() is not None:
            pass

    return read


def measure(bursts: int, segments: int, *, watched: bool = False) -> dict[str, list[float]]:
    """Microseconds per segment of each stage, one sample per burst."""
    pair = Pair(replace(TcpConfig(), initial_window_segs=segments * 2, quick_acks=0, recv_buffer_initial=6 << 20))
    samples: dict[str, list[float]] = {stage: [] for stage in STAGES}
    total: list[float] = []
    payload = bytes(1448 * segments)
    host, burst = pair.hosts[1], pair.burst
    watch = _watch(host) if watched else None
    for _ in range(bursts):
        frames = produce(pair, payload)
        count = len(frames)
        pair.now += 100
        for samples_of, call in (
            (samples[STAGES[0]], lambda: accel.load_burst(burst, frames, MAC_B)),  # noqa: B023 - called at once
            (samples[STAGES[1]], lambda: _unpack(burst)),
            (samples[STAGES[2]], lambda: host.receive(1, burst, pair.now)),
            (samples[STAGES[3]], lambda: _deliver(host, pair.receiver)),
            (samples[STAGES[4]], lambda: host.poll_transmit(pair.now)),
        ):
            _timed(samples_of, count, call)
        if watch is not None:
            _timed(samples.setdefault("told to a watcher", []), count, lambda: watch(burst))
        # `receive` unpacks the rows as well
        samples[STAGES[2]][-1] -= samples[STAGES[1]][-1]
        total.append(sum(values[-1] for values in samples.values()))
        for _ in range(2):
            pair.exchange()
    samples["Python in all"] = [t - c for t, c in zip(total, samples[STAGES[0]], strict=True)]
    return samples


def main() -> None:
    """Measure and print."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=Help)
    ap.add_argument("--bursts", type=whole(100_000, 2), default=300, help="of the way in")
    ap.add_argument("--segments", type=whole(MAX_FRAMES), default=128, help="of a burst")
    ap.add_argument("--watched", action="store_true", help="while somebody listens to packets")
    ap.add_argument("--send", action="store_true", help="the way out")
    ap.add_argument("--rounds", type=whole(1_000_000), default=2000, help="of the way out")
    args = ap.parse_args()
    if args.send:
        sending.report(args.rounds)
        return
    table = Table(
        title=f"receive path, {_form.running()} core, {accel.backend} backend, us per in-order segment of 1448 bytes"
    )
    for column in ("stage", "median", "p10", "p90"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, values in measure(args.bursts, args.segments, watched=args.watched).items():
        cuts = statistics.quantiles(values, n=10)
        table.add_row(stage, f"{statistics.median(values):.2f}", f"{cuts[0]:.2f}", f"{cuts[8]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
