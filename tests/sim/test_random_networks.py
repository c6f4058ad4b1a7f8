"""Random links, random settings, both ends sending at once: all data arrives, nothing is left over.

`pytest -m slow tests/sim` tries many more seeds.
"""

from pathlib import Path
from random import Random

import pytest

from stack.config import SECOND, HostConfig, TcpConfig
from stack.device.fault import Faults
from stack.device.virtual import FULL_OFFLOAD
from stack.device.wrapper import NO_OFFLOAD
from tests.support.net import TestNet
from tests.support.tshark import assert_clean


def random_faults(rng: Random) -> Faults:
    return Faults(
        loss=rng.choice([0, 0.01, 0.05]),
        duplication=rng.choice([0, 0.05, 0.3]),
        corruption=rng.choice([0, 0.02]),
        reordering=rng.choice([0, 0.1, 0.4]),
        delay_us=rng.choice([0, 100, 5_000, 50_000]),
        jitter_us=rng.choice([0, 1_000, 20_000]),
        reorder_us=rng.choice([100, 2_000, 60_000]),
        rate=rng.choice([0, 100_000, 10_000_000]),
        queue_bytes=rng.choice([0, 30_000, 100_000]),
    )


def random_config(rng: Random) -> HostConfig:
    tcp = TcpConfig(
        congestion=rng.choice(["cubic", "newreno"]),
        nodelay=rng.random() < 0.5,
        sack=rng.random() < 0.7,
        timestamps=rng.random() < 0.7,
        window_scaling=rng.random() < 0.7,
        send_buffer=rng.choice([4_096, 65_536, 1 << 20]),
        recv_buffer=rng.choice([3_000, 20_000, 1 << 20]),
        loss_detection=rng.choice(["rack", "rack", "rfc6675"]),
        tlp=rng.random() < 0.8,
        frto=rng.random() < 0.8,
        dsack=rng.random() < 0.8,
        limited_transmit=rng.random() < 0.8,
    )
    return HostConfig(tcp=tcp)


def run(seed: int, captures: Path) -> None:
    rng = Random(seed)
    forward, backward, config = random_faults(rng), random_faults(rng), random_config(rng)
    caps, mtu = rng.choice([NO_OFFLOAD, FULL_OFFLOAD]), rng.choice([576, 1500, 9000])
    with TestNet(seed, forward, backward, config=config, caps=caps, mtu=mtu) as net:
        client, server = net.connect()
        there, back = rng.randbytes(rng.choice([1, 1_000, 200_000])), rng.randbytes(rng.choice([1, 5_000, 100_000]))
        assert net.exchange(client, server, there, back, 3_000 * SECOND) == (there, back)
        net.run_for(1_000 * SECOND)
        assert net.a.connections() == net.b.connections() == []
        for path, address in zip(net.capture(captures), ("10.0.0.1", "10.0.0.2"), strict=True):
            assert_clean(path, [address], loss_free=False)


@pytest.mark.parametrize("seed", range(12))
def test_all_data_arrives(seed: int, tmp_path: Path) -> None:
    run(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1_000, 1_200))
def test_all_data_arrives_for_many_seeds(seed: int, tmp_path: Path) -> None:
    run(seed, tmp_path)
