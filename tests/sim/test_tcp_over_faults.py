"""Two whole hosts over a faulty link: what is sent arrives, and no packet of ours is wrong on the way."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from stack.config import MS, SECOND
from stack.device.fault import Faults
from stack.device.virtual import FULL_OFFLOAD
from stack.device.wrapper import NO_OFFLOAD
from stack.sim.network import SimulationError
from stack.wire.frame import Caps
from tests.support.net import TestNet
from tests.support.tshark import assert_clean

WAN = Faults(delay_us=10 * MS, rate=1_250_000, queue_bytes=64_000)
LINKS = {
    "wire": Faults(delay_us=50),
    "wan": WAN,
    "loss": Faults(delay_us=10 * MS, loss=0.03),
    "reordering": Faults(delay_us=5 * MS, reordering=0.1, reorder_us=3 * MS),
    "duplication": Faults(delay_us=5 * MS, duplication=0.1),
    "corruption": Faults(delay_us=5 * MS, corruption=0.03),
    "jitter": Faults(delay_us=5 * MS, jitter_us=20 * MS),
    "everything": Faults(
        delay_us=5 * MS, jitter_us=3 * MS, loss=0.02, duplication=0.02, corruption=0.02, reordering=0.05, rate=2_000_000
    ),
}


def payload(seed: int, size: int = 300_000) -> bytes:
    return Random(seed).randbytes(size)


@pytest.mark.parametrize("caps", [NO_OFFLOAD, FULL_OFFLOAD], ids=["plain", "offload"])
@pytest.mark.parametrize("name", LINKS)
def test_data_arrives_both_ways_over_any_link(name: str, caps: Caps, tmp_path: Path) -> None:
    faults = LINKS[name]
    with TestNet(3, faults, faults, caps=caps, name=name) as net:
        client, server = net.connect()
        assert net.transfer(client, server, payload(1), 600 * SECOND) == payload(1)
        assert net.transfer(server, client, payload(2), 600 * SECOND) == payload(2)
        net.run_for(120 * SECOND)  # TIME-WAIT is over
        assert net.a.connections() == net.b.connections() == []
        for path, address in zip(net.capture(tmp_path), ("10.0.0.1", "10.0.0.2"), strict=True):
            assert_clean(path, [address], loss_free=name == "wire")


@pytest.mark.parametrize("seed", range(10))
def test_data_arrives_for_any_seed(seed: int) -> None:
    with TestNet(seed, LINKS["everything"], LINKS["everything"]) as net:
        client, server = net.connect()
        assert net.transfer(client, server, payload(seed, 50_000), 600 * SECOND) == payload(seed, 50_000)


def digest(seed: int) -> str:
    with TestNet(seed, LINKS["everything"], LINKS["everything"]) as net:
        client, server = net.connect()
        net.transfer(client, server, payload(1, 30_000), 600 * SECOND)
        return net.network.digest()


def test_one_seed_gives_one_history() -> None:
    assert digest(1) == digest(1) != digest(2)


@pytest.mark.parametrize(("pure", "hash_seed"), [("", "1"), ("1", "2")])
def test_the_history_is_the_same_in_any_process(pure: str, hash_seed: str) -> None:
    """Neither the backend (C or Python), the hash seed nor the form of the TCP core may show in the digest.

    The child is interpreted; `make test-forms` runs this test, too, and then its own process is compiled.
    """
    root = Path(__file__).parents[2]
    code = f"from {__name__} import digest; print(digest(1))"
    env = os.environ | {"PYTHONHASHSEED": hash_seed, "TAPSTACK_PURE": pure, "PYTHONPATH": str(root)}
    env["TAPSTACK_FORM"] = "interpreted"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=root)
    assert done.stdout.strip() == digest(1)


def test_a_failure_tells_the_seed_and_leaves_captures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.net.OUT", tmp_path)
    with pytest.raises(SimulationError) as failure, TestNet(5, Faults(loss=1.0), name="dead") as net:
        net.connect(limit_us=SECOND)
    story, note = failure.value.__notes__
    assert "a.0 -> ARP 10.0.0.1 who has 10.0.0.2 [(lost by the link)]" in story
    assert "seed 5" in note
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dead-a.pcapng", "dead-b.pcapng"]
