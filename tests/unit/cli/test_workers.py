"""The processes of `tapstack run --queues`."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from stack.cli.workers import Worker, supervise


def worker(code, *, env=()):
    return Worker([sys.executable, "-c", textwrap.dedent(code)], {**os.environ, **dict(env)}, ())


def test_the_status_of_the_first_that_ends_by_itself_is_ours():
    waits = worker("import time; time.sleep(60)")
    assert supervise([waits, worker("raise SystemExit(7)")], "it") == 7
    assert waits.status() == -signal.SIGTERM


def test_one_that_is_killed_is_started_again(tmp_path, capsys):
    mark = tmp_path / "mark"
    code = f"""
        import os, pathlib
        mark = pathlib.Path({str(mark)!r})
        if mark.exists():
            raise SystemExit(3)
        mark.touch()
        os.kill(os.getpid(), 9)
    """
    assert supervise([worker(code)], "it") == 3
    assert "process 0 of it was ended by SIGKILL: starting it again" in capsys.readouterr().err


PROGRAM = """
    import sys
    from stack.cli.workers import Worker, supervise
    code = "import signal, time\\ntold = []\\nfor n in (1, 2, 15): signal.signal(n, lambda n, _: told.append(n))\\n"
    code += "print('ready', flush=True)\\nwhile not told: time.sleep(0.01)\\ntime.sleep(0.3); print(told, flush=True)"
    print(supervise([Worker([sys.executable, "-c", code], {}, ())], "it"), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_passed_on_once_also_from_a_terminal(number):
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], stdout=subprocess.PIPE, text=True, process_group=0
    )
    with run:
        assert run.stdout.readline() == "ready\n"
        os.killpg(run.pid, number)  # as a terminal does
        assert run.stdout.read().splitlines() == [f"[{int(number)}]", str(128 + number)]
