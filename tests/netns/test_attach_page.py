"""The programs and commands of docs/attach.md, as pasted."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from stack.daemon import settings
from stack.device.switch import REFUSALS
from tests.support.netns import ROOT, Daemon, tapstack, wait_until
from tools.netns import stop

pytestmark = pytest.mark.netns
TEXT = (ROOT / "docs/attach.md").read_text()
PLAIN, ATTACHED = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^tapstack (run -- \S.*?)(?: *#.*)?$", TEXT, re.MULTILINE)
[ADDRESS] = re.findall(r"curl http://([0-9.]+):8000/", TEXT)

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello\\n"})
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page(namespace, tmp_path, command):
    with Daemon(namespace, tmp_path) as daemon:
        folder = tmp_path / "program"
        folder.mkdir()
        (folder / "app.py").write_text(APP if "uvicorn" in command else PLAIN)
        before, after = command.split(" -- ")
        ours = tapstack(before, "--control", str(tmp_path / "control.sock"), "--", *shlex.split(after))
        path = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
        process = namespace.start("env", "-C", str(folder), path, *ours, log=tmp_path / "log")

        def answers():
            found = namespace.run("curl", "-sS", "-m", "5", f"http://{ADDRESS}:8000/", check=False)
            return found.stdout == "hello\n" or process.poll() is not None

        wait_until(answers, "it answers")
        assert re.search(
            rf"tapstack: \S+ \(pid {process.pid}\) is {re.escape(ADDRESS)}\n", (tmp_path / "log").read_text()
        )
        assert '"ports"' in daemon.command("status", "--json")
        stop(process)


def test_there_are_two_commands():
    assert len(COMMANDS) == 2


def test_the_program_that_attaches(namespace, tmp_path):
    path = str(tmp_path / "control.sock.attach")
    with Daemon(namespace, tmp_path):
        program = ATTACHED.replace("stack.attach(", f"stack.attach({path!r}, ")
        reply, status = namespace.run(sys.executable, "-c", program).stdout.splitlines()
    assert reply.startswith("EchoReply(")
    assert status == "b'200'"


def test_the_settings_are_settings(tmp_path):
    [toml] = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "a.toml").write_text(toml)
    said = settings.load(str(tmp_path / "a.toml"), {}).attach
    ours = settings.load(None, {}).attach
    assert (said.enabled, said.ports, said.queue_bytes, said.broadcasts) == (
        ours.enabled,
        ours.ports,
        ours.queue_bytes,
        ours.broadcasts,
    )
    assert {line.split()[0] for line in toml.splitlines()[1:]} == set(type(said).__struct_fields__)


def test_the_table_has_all_reasons():
    rows = re.findall(r"^\| (`[^|]*) \|", TEXT[TEXT.index("| refused as") :], re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(rows))
    assert set(REFUSALS) <= set(names)
