"""The commands, program and settings of docs/proxy.md, as pasted."""

import contextlib
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from stack.daemon import settings
from stack.daemon.services.proxies import MAX_FORWARDS
from stack.proxy import associate, clients, flows, splice
from tests.support.netns import HOST, ROOT, STACK, Daemon, need, wait_until
from tools.netns import stop

pytestmark = pytest.mark.netns
TEXT = (ROOT / "docs/proxy.md").read_text()
SOCKS, FORWARDS = (block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
[PROGRAM] = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
[TOML] = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(namespace, tmp_path):
    """A namespace, its folder, and a server of the kernel's on the port that the page names."""
    (tmp_path / "README.md").write_text("what is here\n")
    log = tmp_path / "web.log"
    return (
        namespace,
        tmp_path,
        lambda: namespace.start(sys.executable, "-m", "http.server", "-b", HOST, "-d", str(tmp_path), "8000", log=log),
    )


def run(place, command):
    """A line of the page, by the shell, and where its output goes."""
    namespace, folder, _ = place
    control = f"--control {folder / 'control.sock'}"
    command = re.sub(r"^tapstack forward", f"{sys.executable} -m stack.cli forward {control}", command)
    log = folder / f"said-{len(list(folder.iterdir()))}"
    path = (f"PATH={os.environ['PATH']}", f"PYTHONPATH={ROOT}")
    return namespace.start("env", "-C", str(folder), *path, "sh", "-c", f"exec {command}", log=log), log


def said(place, command):
    """What a command prints that ends by itself."""
    process, log = run(place, command)
    assert process.wait(60) == 0, log.read_text()
    return log.read_text()


def test_programs_go_by_the_proxy(place):
    need("curl", "nc", "chromium")
    with Daemon(place[0], place[1], "--socks", "1080") as daemon:
        curl, nc, chromium = SOCKS
        assert "tapstack" in said(place, curl)
        assert said(place, nc) == "what is here\n"
        assert "tapstack" in said(place, chromium)
        assert place[0].run(sys.executable, "-c", PROGRAM).stdout == "200\n"
        assert "SOCKS5 on 127.0.0.1:1080" in daemon.command("status")


def test_ports_are_forwarded(place):
    with contextlib.ExitStack() as running, Daemon(place[0], place[1]) as daemon:
        running.callback(stop, place[2]())
        wait_until(lambda: place[0].run("nc", "-z", HOST, "8000", check=False).returncode == 0, "the server answers")
        for command in FORWARDS:
            if command.startswith("tapstack"):
                process, log = run(place, command.partition("#")[0])
                running.callback(stop, process, signal.SIGINT)
                wait_until(lambda log=log: "Ctrl-C" in log.read_text(), "it forwards")
            elif "README" in command:
                assert "what is here" in said(place, command)
            else:
                assert said(place, command)
        assert daemon.command("status").count("127.0.0.1:") >= 2
        running.close()


def test_the_settings_forward(place):
    (place[1] / "up.toml").write_text(TOML)
    with Daemon(place[0], place[1], "--config", str(place[1] / "up.toml")):
        web = place[2]()
        wait_until(lambda: place[0].run("nc", "-z", HOST, "8000", check=False).returncode == 0, "the server answers")
        for url in ("http://127.0.0.1:8080/", f"http://{STACK}:8000/README.md"):
            assert place[0].run("curl", "-sS", "-m", "10", url).stdout
        stop(web)


def test_ports_of_the_settings_may_be_those_of_root(place):
    (place[1] / "up.toml").write_text(TOML.replace('"8080"', '"81"'))
    with Daemon(place[0], place[1], "--config", str(place[1] / "up.toml")):
        assert place[0].run("curl", "-sS", "-m", "10", "http://127.0.0.1:81/").stdout


def test_the_settings_are_the_defaults(tmp_path):
    file = tmp_path / "up.toml"
    file.write_text(TOML)
    loaded = settings.load(str(file), {})
    assert loaded.socks == settings.load(None, {"socks": 1080}).socks
    assert [one.inward for one in loaded.forward] == [False, True]


def test_the_bounds_are_those_of_the_code():
    found = re.search(r"Bounds: .*?buffer\.", TEXT, re.DOTALL)[0]
    numbers = [int(number) for number in re.findall(r"\d+", found)]
    assert numbers == [
        clients.MAX_CLIENTS,
        MAX_FORWARDS,
        flows.MAX_FLOWS,
        associate.MAX_PEERS,
        splice.HELD >> 10,
    ]


def test_what_is_counted_is_what_the_code_counts():
    named = set(re.findall(r"`([a-z_]+)`", TEXT.partition("## What is counted")[2]))
    sources = "".join(path.read_text() for path in Path(ROOT, "stack/proxy").glob("*.py"))
    for name in named:
        reason = name.removeprefix("udp_bad_").removeprefix("bad_")
        assert f'"{name}"' in sources or f'"{reason}"' in sources, name
    for name in re.findall(r'counts\["([a-z_]+)"\]', sources):
        assert name in named | {"dropped", "errors"}, name
