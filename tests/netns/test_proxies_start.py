"""Daemons with proxies that cannot begin, or not as root."""

import contextlib
import re
import signal
import socket
import sys

import pytest

from tests.support.netns import HOST, STACK, tapstack, wait_until
from tools.netns import stop

pytestmark = pytest.mark.netns
PROXY = "127.0.0.1:1080"


def test_without_a_daemon_it_is_said(namespace, tmp_path):
    command = tapstack("forward", "8080", "198.18.0.1:80", "--control", str(tmp_path / "none"))
    result = namespace.run(*command, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "no daemon is running" in result.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[socks]\nport = 1080\n", "port 1080 of the kernel's 127.0.0.1 is in use"),
        ('[[forward]]\nlisten = "1080"\nto = "a.test:80"\n', "port 1080 of the kernel's 127.0.0.1 is in use"),
        ('[[forward]]\nlisten = "80"\nto = "127.0.0.1:80"\nin = true\n', "port *:80 of the stack is in use"),
        ('[[forward]]\nlisten = "7/udp"\nto = "127.0.0.1:80"\nin = true\n', "port *:7/udp of the stack is in use"),
        ('[socks]\nport = 1080\naddress = "192.0.2.1"\nanyone = true\n', "192.0.2.1 is not an address of this machine"),
    ],
)
def test_a_daemon_that_cannot_have_its_ports_says_so_and_leaves_nothing(namespace, tmp_path, text, says):
    (tmp_path / "up.toml").write_text(text)
    with namespace.entered():
        taken = socket.create_server(("127.0.0.1", 1080))
    with taken:
        command = tapstack("up", "--config", str(tmp_path / "up.toml"), "--control", str(tmp_path / "control"))
        result = namespace.run(*command, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "up.toml"]
    assert "tapstack0" not in namespace.run("ip", "link").stdout


def test_without_root_it_is_on_the_loopback_of_the_daemons_namespace(namespace, tmp_path):
    log = tmp_path / "up.log"
    as_user = ("unshare", "--map-user=1234", "--map-group=1234", "--")  # as in test_daemon.py
    command = tapstack("up", "--socks", "1080", "--control", str(tmp_path / "control"))
    process = namespace.start(*as_user, *command, log=log)
    wait_until(lambda: "Ctrl-C ends it" in log.read_text() or process.poll() is not None, "it is up")
    enter = re.search(r"(nsenter .*-t \d+) curl", log.read_text())[1].split()
    curl = ("curl", "-sS", "-m", "5", "--socks5", PROXY, f"http://{STACK}/")
    assert "tapstack" in namespace.run(*enter, *curl).stdout
    assert stop(process) == 0


def test_sigterm_lets_what_passes_finish(namespace, tmp_path):
    size = 40_000_000
    with (tmp_path / "big").open("wb") as file:
        file.truncate(size)
    with contextlib.ExitStack() as running:
        daemon = running.enter_context(contextlib.ExitStack())
        command = tapstack("up", "--socks", "1080", "--control", str(tmp_path / "control"))
        process = namespace.start(*command, log=tmp_path / "up.log")
        daemon.callback(stop, process)
        wait_until(lambda: "Ctrl-C ends it" in (tmp_path / "up.log").read_text(), "it is up")
        web = namespace.start(
            sys.executable, "-m", "http.server", "-b", HOST, "-d", str(tmp_path), "8000", log=tmp_path / "web.log"
        )
        running.callback(stop, web)
        url = f"http://{HOST}:8000/big"
        ask = ("curl", "-sS", "--socks5", PROXY)
        wait_until(lambda: namespace.run(*ask, "-I", url, check=False).returncode == 0, "it answers")
        got = tmp_path / "got"
        curl = namespace.start(*ask, "--limit-rate", "20M", "-o", str(got), url, log=tmp_path / "curl.log")
        wait_until(lambda: got.exists() and got.stat().st_size > 1_000_000, "it has begun")
        process.send_signal(signal.SIGTERM)
        assert curl.wait(20) == 0, (tmp_path / "curl.log").read_text()
        assert got.stat().st_size == size
        assert process.wait(20) == 0
