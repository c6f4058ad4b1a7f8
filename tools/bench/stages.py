"""What one in-order TCP segment costs on its way in, stage by stage.

Two Hosts in one process are joined by lists; one sends a stream of MTU-sized segments, the other's receive path
is timed with `time.perf_counter_ns` over whole bursts.  Reported are the medians over many bursts, in microseconds
per segment; nothing of the kernel is in them.

    python -m tools.bench.stages [--bursts 300] [--segments 128]
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from stack.config import HostConfig, TcpConfig
from stack.host.host import Host
from stack.tcp.connection import Connection
from stack.wire import accel
from stack.wire.burst import ROW, Burst
from stack.wire.frame import Caps, FrameSink, TxFrame

Frame = tuple[bytes, int, int, int, int, int]
MAC_A, MAC_B = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
ADDR_A, ADDR_B = 0x0A00_0001, 0x0A00_0002
STAGES = ("C: copy, parse, verify", "unpack rows", "demux and TCP", "events and read", "ACKs out")


class ListSink(FrameSink):
    """Keeps what is sent, finished."""

    def __init__(self) -> None:
        self.caps = Caps()
        self.frames: list[Frame] = []

    def send(self, frame: TxFrame) -> bool:
        """Keep one frame."""
        self.frames += accel.finish(frame, self.caps)
        return True

    def flush(self) -> None:
        """Nothing is batched."""


class Pair:
    """Two hosts and what flies between them."""

    def __init__(self, window_segs: int) -> None:
        tcp = replace(TcpConfig(), initial_window_segs=window_segs, quick_acks=0, recv_buffer_initial=6 << 20)
        config = replace(HostConfig(), tcp=tcp)
        config = replace(config, ip=replace(config.ip, arp_probe=False))
        self.sinks = ListSink(), ListSink()
        self.hosts = Host(config, random.Random(1)), Host(config, random.Random(2))
        self.macs = MAC_A, MAC_B
        self.burst = Burst()
        self.now = 1_000_000
        for host, sink, mac, addr in zip(self.hosts, self.sinks, self.macs, (ADDR_A, ADDR_B), strict=True):
            host.add_address(host.add_interface("link", sink, mac, 1500, self.now), addr, 24, self.now)
        self.sender, self.receiver = self._connected()

    def _connected(self) -> tuple[Connection, Connection]:
        a, b = self.hosts
        listener = b.listen(ADDR_B, 80)
        conn = a.connect(ADDR_B, 80, now=self.now)
        for _ in range(10):
            self.exchange()
        accepted = listener.accept()
        if accepted is not None:
            # the window of a SYN is not scaled: one round of data opens it
            conn.send(b"x", self.now)
            a.wake(conn)
            for _ in range(2):
                self.exchange()
            self.now += 1_000_000
            b.on_timer(self.now)
            self.exchange()
            accepted.recv_chunks()
        if accepted is None:
            raise RuntimeError("the two hosts did not connect")
        return conn, accepted

    def exchange(self) -> None:
        """Everything in flight arrives."""
        self.now += 100
        for i, host in enumerate(self.hosts):
            host.poll_transmit(self.now)
            frames, self.sinks[i].frames = self.sinks[i].frames, []
            if frames:
                accel.load_burst(self.burst, frames, self.macs[1 - i])
                self.hosts[1 - i].receive(1, self.burst, self.now)

    def produce(self, payload: bytes) -> list[Frame]:
        """The wire frames that carry `payload`."""
        self.sender.send(payload, self.now)
        self.hosts[0].wake(self.sender)
        while self.hosts[0].poll_transmit(self.now) and self.hosts[0].tcp.ready:
            pass
        frames, self.sinks[0].frames = self.sinks[0].frames, []
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


def measure(bursts: int, segments: int) -> dict[str, list[float]]:
    """Microseconds per segment of each stage, one sample per burst."""
    pair = Pair(segments * 2)
    samples: dict[str, list[float]] = {stage: [] for stage in STAGES}
    total: list[float] = []
    payload = bytes(1448 * segments)
    host, burst = pair.hosts[1], pair.burst
    for _ in range(bursts):
        frames = pair.produce(payload)
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
        # `receive` unpacks the rows as well
        samples[STAGES[2]][-1] -= samples[STAGES[1]][-1]
        total.append(sum(samples[stage][-1] for stage in STAGES))
        for _ in range(2):
            pair.exchange()
    samples["Python in all"] = [t - c for t, c in zip(total, samples[STAGES[0]], strict=True)]
    return samples


def main() -> None:
    """Measure and print."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--bursts", type=int, default=300)
    ap.add_argument("--segments", type=int, default=128)
    args = ap.parse_args()
    table = Table(title=f"receive path, {accel.backend} backend, us per in-order segment of 1448 bytes")
    for column in ("stage", "median", "p10", "p90"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, values in measure(args.bursts, args.segments).items():
        cuts = statistics.quantiles(values, n=10)
        table.add_row(stage, f"{statistics.median(values):.2f}", f"{cuts[0]:.2f}", f"{cuts[8]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
