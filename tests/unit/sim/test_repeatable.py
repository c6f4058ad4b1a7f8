"""One seed, one history of an asyncio program, to the byte: in any process, with any hash seed, in every form."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.world_programs import NAMES, history

ROOT = Path(__file__).parents[3]


def summary(seed):
    digest, log = history(seed)
    return digest, hashlib.sha256(repr(log).encode()).hexdigest()


@pytest.fixture(scope="module")
def here():
    return summary(7)


def test_one_seed_gives_one_history_and_another_seed_another(here):
    assert summary(7) == here
    other = summary(8)
    assert other[0] != here[0]
    assert other[1] != here[1]


@pytest.mark.parametrize(
    ("hash_seed", "extra"),
    [("0", {}), ("4242", {"TAPSTACK_PURE": "1"}), ("random", {"PYTHONMALLOC": "malloc"})],
    ids=["hash0", "hash4242-pure", "hash-random-malloc"],
)
def test_the_history_is_the_same_in_any_process(here, hash_seed, extra):
    code = "from tests.unit.sim.test_repeatable import summary; print(*summary(7))"
    env = {**os.environ, "TAPSTACK_FORM": "interpreted", "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), **extra}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=ROOT)
    assert tuple(done.stdout.split()) == here


def test_the_program_sees_what_it_was_written_to_see():
    """Else equal digests would prove little."""
    digest, log = history(7)
    assert len(digest) == 64
    asked = [entry for entry in log if isinstance(entry[0], float)]
    assert {name for _, name, _, _ in asked} == set(NAMES)
    assert sum(result.isdigit() for *_, result in asked) > 100
    assert any(isinstance(entry[0], bytes) and entry[0].startswith(b"!") for entry in log)
    refused = [time for time, _, peer, result in asked if "refused" in result.lower() or "reset" in result.lower()]
    assert all(time > 50 for time in refused)  # only after the crash
    silent = [time for time, name, *_ in asked if name == "dan" and 50 < time < 70]
    assert silent == []
    assert any(name == "dan" and time > 70 for time, name, *_ in asked)
