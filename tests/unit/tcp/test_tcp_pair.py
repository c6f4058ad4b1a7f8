"""Two endpoints against each other over a bad path: bytes arrive unchanged, both end CLOSED (X-1, X-6).

`TAPSTACK_SEEDS=n` runs n seeds per case in place of a few.
"""

import os

import pytest

from stack.config import TcpConfig
from tests.support.rfc import rfc
from tests.support.tcp_dsl import MS
from tests.support.tcp_pipe import Pair, Path

SEEDS = range(int(os.environ.get("TAPSTACK_SEEDS", "3")))

PATHS = {
    "clean": Path(),
    "lossy": Path(loss=50),
    "very lossy": Path(loss=250),
    "reordering": Path(reorder=200, jitter_us=3 * MS),
    "duplicating": Path(duplicate=200),
    "everything": Path(loss=60, duplicate=60, reorder=150, jitter_us=8 * MS),
    "long": Path(loss=20, reorder=50, delay_us=250 * MS, jitter_us=30 * MS),
}

CONFIGS = {
    "default": TcpConfig(),
    "newreno": TcpConfig(congestion="newreno"),
    "no sack": TcpConfig(sack=False),
    "no timestamps": TcpConfig(timestamps=False),
    "bare": TcpConfig(sack=False, timestamps=False, window_scaling=False),
    "tiny windows": TcpConfig(recv_buffer=3000, send_buffer=2000),
    "one segment window": TcpConfig(recv_buffer=1000, send_buffer=100_000),
    "nodelay": TcpConfig(nodelay=True),
    "tiny reassembly": TcpConfig(out_of_order_bytes=4000, out_of_order_ranges=3),
}


def _check(pair):
    a, b = pair.ends
    assert bytes(b.received) == a.data[: len(b.received)]
    assert bytes(a.received) == b.data[: len(a.received)]
    assert len(b.received) == len(a.data), f"seed {pair.seed}: {len(b.received)} of {len(a.data)} arrived"
    assert len(a.received) == len(b.data)
    for end in pair.ends:
        conn = end.subject.conn
        assert conn is None or conn.error is None, conn.error


@rfc("9293", "3.8", "T-SEQ-1")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", list(CONFIGS))
@pytest.mark.parametrize("path", list(PATHS))
def test_stream_survives(path, config, seed):
    pair = Pair(
        seed * 1009 + 17,
        path=PATHS[path],
        config=CONFIGS[config],
        sizes=(30_000, 20_000),
        iss=((1 << 32) - 9_000, (1 << 31) - 9_000),
    )
    _check(pair.run())


@rfc("9293", "3.8")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("path", list(PATHS))
def test_stream_survives_with_super_segments(path, merged, seed):
    p = PATHS[path]
    pair = Pair(
        seed + 5,
        path=Path(p.loss, p.duplicate, p.reorder, p.delay_us, p.jitter_us, merged=merged),
        max_gso=65_000,
        sizes=(300_000, 10_000),
        iss=((1 << 32) - 100_000, 1),
    )
    _check(pair.run())


@rfc("9293", "3.7.1")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mss", [88, 100, 216, 536])
@pytest.mark.parametrize("max_gso", [0, 3000])
def test_stream_survives_tiny_segments(mss, max_gso, seed):
    pair = Pair(seed, path=PATHS["everything"], mss=mss, max_gso=max_gso, sizes=(10_000, 5_000))
    _check(pair.run())


@rfc("9293", "3.5", "MUST-10")
@pytest.mark.parametrize("seed", range(5 * len(SEEDS)))
@pytest.mark.parametrize("path", ["clean", "lossy", "everything"])
def test_simultaneous_open_over_a_bad_path(path, seed):
    pair = Pair(seed, path=PATHS[path], simultaneous=True, sizes=(2_000, 3_000))
    _check(pair.run())


@rfc("9293", "3.6", "T-FIN-2")
@pytest.mark.parametrize("seed", range(10 * len(SEEDS)))
@pytest.mark.parametrize("sizes", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_short_connections_over_a_very_bad_path(sizes, seed):
    pair = Pair(seed, path=PATHS["very lossy"], sizes=sizes)
    _check(pair.run())


@rfc("9293", "3.8.6.1", "MUST-36")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("path", list(PATHS))
def test_slow_readers(path, seed):
    """Windows close and open all the time; probes and updates are lost like everything else."""
    pair = Pair(seed, path=PATHS[path], config=TcpConfig(recv_buffer=4000), sizes=(20_000, 20_000), read_lazily=True)
    _check(pair.run())


@rfc("7323", "2")
@pytest.mark.parametrize("seed", SEEDS)
def test_different_abilities(seed):
    pair = Pair(seed, path=PATHS["everything"], config=TcpConfig(), config_b=CONFIGS["bare"])
    _check(pair.run())
    pair = Pair(seed, path=PATHS["everything"], config=CONFIGS["bare"], config_b=TcpConfig())
    _check(pair.run())


@rfc("9293", "3.4", "X-6")
def test_same_seed_same_bytes_on_the_wire():
    """Determinism (checklist, property 6), and its control: another seed is another run."""
    digests = [Pair(seed, path=PATHS["everything"]).run().digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@rfc("5681", "3.2")
def test_loss_costs_little_time():
    """1 % loss on a 20 ms path: recovery by retransmission timers alone would take far longer."""
    pair = Pair(3, path=Path(loss=10, delay_us=10 * MS), sizes=(1_000_000, 0))
    start = pair.now
    _check(pair.run())
    assert pair.now - start < 12_000 * MS
