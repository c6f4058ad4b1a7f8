"""The program in the README, as pasted."""

import re
import signal
import sys
from pathlib import Path

import pytest

from stack.daemon import settings
from tests.support.netns import HOST, ROOT, STACK, wait_until
from tools.netns import stop

pytestmark = pytest.mark.netns
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_program_is_short_and_answers_curl(namespace, tmp_path):
    program = blocks("python")[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    script, log = tmp_path / "example.py", tmp_path / "log"
    script.write_text(program)
    process = namespace.start(sys.executable, str(script), log=log)
    wait_until(lambda: "listening" in log.read_text() or process.poll() is not None, "it listens")
    out = namespace.run("curl", "-sS", "--fail", "-m", "10", f"http://{STACK}:8000/").stdout
    assert out == f"hello {HOST}, this is a TCP/IP stack in Python\n"
    stop(process, signal.SIGINT)
    assert "KeyboardInterrupt" in log.read_text()
    assert namespace.run("ip", "-br", "link").stdout.split()[0] == "lo"
    assert len(namespace.run("ip", "-br", "link").stdout.splitlines()) == 1


def test_the_settings_are_settings(tmp_path):
    [toml] = blocks("toml")
    (tmp_path / "a.toml").write_text(toml)
    loaded = settings.load(str(tmp_path / "a.toml"), {})
    assert (loaded.uplink, loaded.fault.loss, loaded.tcp) == (True, 0.01, {"congestion": "newreno", "ecn": "request"})


def test_files_that_it_names_exist():
    for path in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (ROOT / path).exists(), path


def test_commands_that_it_names_exist():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"(?:^|`|sudo )make ([a-z-]+)", TEXT, re.MULTILINE):
        assert target in targets
    assert Path(ROOT / "scripts/bootstrap.sh").exists()
