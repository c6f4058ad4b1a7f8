"""A sweep on a real Dask cluster: a scheduler and two workers, processes of this test, on loopback."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from distributed import Client

from stack.cli.main import main

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "examples" / "sim" / "stop-and-wait.toml"

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@contextlib.contextmanager
def running(*arguments):
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    """The address of the scheduler, once both workers are there."""
    told = tmp_path / "scheduler.json"
    with contextlib.ExitStack() as stack:
        scheduler = ("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        stack.enter_context(running(*scheduler, "--scheduler-file", str(told)))
        until = time.monotonic() + 60
        while not told.exists() and time.monotonic() < until:
            time.sleep(0.1)
        address = json.loads(told.read_text())["address"]
        for number in range(2):
            place = ("--local-directory", str(tmp_path / f"worker{number}"))
            stack.enter_context(
                running("dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *place)
            )
        with Client(address, timeout="30s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address


def test_a_sweep_on_two_workers_has_the_results_of_one_on_this_machine(cluster, tmp_path):
    def sweep(*options, out):
        arguments = ["sim", "sweep", str(SCENARIO), "--grid", "link.loss=0,0.02", "--seeds", "4", "--out", str(out)]
        result = CliRunner().invoke(main, [*arguments, *options])
        assert result.exit_code == 0, result.output
        rows = pq.read_table(out / "results.parquet").to_pylist()
        return {row["key"]: row["digest"] for row in rows}

    remote = sweep("--cluster", cluster, out=tmp_path / "remote")
    assert len(remote) == 8
    assert remote == sweep("--jobs", "1", out=tmp_path / "local")
