"""The examples run, and say what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(name: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_hosts():
    out = run("two_hosts.py")
    assert out.startswith("hello, other host\nESTABLISHED")


def test_lossy_network_is_the_same_for_the_same_seed():
    first = run("lossy_network.py", "3")
    assert " 1000000 bytes" in first
    assert run("lossy_network.py", "3") == first
    assert run("lossy_network.py", "4") != first


def test_routed_network_breaks_and_heals():
    out = run("routed_network.py", "2")
    assert "line down" in out
    assert "[1000000, 1000000]" in out
    assert run("routed_network.py", "2") == out


def test_a_dns_of_ones_own_is_resolved_from_its_root():
    out = run("dns_hierarchy.py")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("├─ 10.")] == [
        "10.0.0.1",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    ]
    assert "www.example.test. 300 IN A 192.0.2.80" in out
    assert out.count("asked [2, 1, 1] times") == 2
    assert run("dns_hierarchy.py") == out
    assert "NXDOMAIN" in run("dns_hierarchy.py", "missing.example.test", "TXT")


def test_an_algorithm_of_ones_own_keeps_the_delay_low():
    rows = [line.split() for line in run("congestion_control.py").splitlines()[1:]]
    rates = {row[0]: float(row[1]) for row in rows}
    delays = {row[0]: float(row[2]) for row in rows}
    assert list(rates) == ["cubic", "newreno", "reno", "tahoe", "delay"]
    assert rates["delay"] > 8
    assert 40 <= delays["delay"] < min(delays[name] for name in delays if name != "delay") - 5


def programs_of(page: str) -> list[tuple[str, str]]:
    """The programs in a page, each with what the page says that it prints."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)


PAGES = [("virtual-time.md", number) for number in range(3)] + [("event-loop.md", 0)]


def test_all_programs_of_the_pages_are_run():
    assert [(page, n) for page in ("virtual-time.md", "event-loop.md") for n in range(len(programs_of(page)))] == PAGES


@pytest.mark.parametrize(("page", "number"), PAGES)
def test_programs_of_the_pages_print_what_they_say(page, number, tmp_path):
    source, output = programs_of(page)[number]
    script = tmp_path / "program.py"
    script.write_text(source)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output
