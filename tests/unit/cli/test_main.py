import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from stack.cli import client
from stack.cli.main import main


def invoke(*arguments, **kwargs):
    return CliRunner().invoke(main, arguments, **kwargs)


class Fake:
    """A daemon's control socket that gives the same answer to everyone and keeps what it was asked."""

    def __init__(self, path, answer):
        self.answer = answer
        self.asked = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        client, _ = self.sock.accept()
        with client, client.makefile("rb") as lines:
            self.asked.append(json.loads(lines.readline()))
            client.sendall(self.answer)
            client.shutdown(socket.SHUT_WR)
            self.asked.append(lines.read())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(10)
        self.sock.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mtu", "100"], "tapstack: mtu is 100: use 576 to"),
        (["--address", "198.18.0.2"], "tapstack: address 198.18.0.2 has no prefix length"),
        (["--config", "/absent.toml"], "tapstack: /absent.toml: no such file or directory"),
        (["--loss", "3"], "tapstack: fault.loss is 3.0"),
    ],
)
def test_bad_configuration_is_one_sentence_and_code_2(arguments, says):
    result = invoke("up", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(says)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["up", "--mtu", "big"], ["nope"], ["ping"], ["ping", "--size", "65508", "1.2.3.4"], ["nc", "1.2.3.4", "0"]],
)
def test_bad_options_are_code_2_without_traceback(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["ping", "--via", "daemon", "198.18.0.1"],
        ["nc", "--via", "daemon", "198.18.0.1", "7"],
        ["get", "--via", "daemon", "http://198.18.0.1/"],
        ["get", "--via", "daemon", "http://host.test/"],
    ],
)
def test_no_daemon_is_one_sentence_and_code_2(arguments, tmp_path):
    result = invoke(*arguments, "--control", str(tmp_path / "absent"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("tapstack: no daemon is running on tapstack0")
    assert result.stderr.count("\n") == 1


def test_what_the_daemon_refuses_is_told(tmp_path):
    with Fake(tmp_path / "c", b'{"ok": false, "error": "no route to host"}\n'):
        result = invoke("nc", "--control", str(tmp_path / "c"), "198.18.0.9", "7")
    assert (result.exit_code, result.stderr) == (2, "tapstack: no route to host\n")


def test_daemon_that_goes_away_is_told(tmp_path):
    with Fake(tmp_path / "c", b""):
        result = invoke("status", "--control", str(tmp_path / "c"))
    assert (result.exit_code, result.stderr) == (2, "tapstack: the daemon went away\n")


def test_ping_prints_replies_and_the_sum(tmp_path):
    lines = [
        {"ok": True},
        {"seq": 1, "rtt_us": 100, "ttl": 64},
        {"seq": 2, "error": "no answer"},
        {"seq": 3, "rtt_us": 300, "ttl": 64},
        {"done": True},
    ]
    with Fake(tmp_path / "c", b"".join(json.dumps(line).encode() + b"\n" for line in lines)) as fake:
        result = invoke("ping", "-c", "3", "--control", str(tmp_path / "c"), "198.18.0.1")
    assert fake.asked[0] == {
        "op": "ping",
        "address": "198.18.0.1",
        "count": 3,
        "size": 56,
        "interval": 1.0,
        "timeout": 2.0,
    }
    assert result.exit_code == 0
    assert "64 bytes from 198.18.0.1: icmp_seq=1 ttl=64 time=0.100 ms" in result.stdout
    assert "3 sent, 2 received, 33% lost" in result.stdout
    assert "rtt min/avg/max = 0.100/0.200/0.300 ms" in result.stdout


def test_ping_without_any_reply_is_code_1(tmp_path):
    with Fake(tmp_path / "c", b'{"ok": true}\n{"seq": 1, "error": "no answer"}\n{"done": true}\n'):
        assert invoke("ping", "-c", "1", "--control", str(tmp_path / "c"), "198.18.0.1").exit_code == 1


def test_get_writes_the_body_and_tells_of_errors_by_its_code(tmp_path):
    answer = b'{"ok": true}\nHTTP/1.1 %s\r\nContent-Length: 5\r\n\r\nhello'
    with Fake(tmp_path / "c", answer % b"200 OK") as fake:
        result = invoke("get", "--control", str(tmp_path / "c"), "http://198.18.0.1:8080/path?q=1")
    assert (result.exit_code, result.stdout) == (0, "hello")
    assert fake.asked[0]["port"] == 8080
    assert fake.asked[1].startswith(b"GET /path?q=1 HTTP/1.1\r\nHost: 198.18.0.1:8080\r\n")
    with Fake(tmp_path / "d", answer % b"404 Not Found"):
        result = invoke("get", "--control", str(tmp_path / "d"), "-o", str(tmp_path / "out"), "http://198.18.0.1/")
    assert (result.exit_code, (tmp_path / "out").read_bytes()) == (1, b"hello")


@pytest.mark.parametrize(
    "url",
    [
        "https://198.18.0.1/",
        "198.18.0.1",
        "http:///x",
        "http://198.18.0.1:99999/",
        "http://\u00e9/",
        "http://a\x7f/",
        f"http://{'a' * 70}/",
    ],
)
def test_get_takes_only_http_urls(url, tmp_path):
    result = invoke("get", "--control", str(tmp_path / "absent"), url)
    assert result.exit_code == 2
    assert result.stderr.startswith("tapstack: ")
    assert result.stderr.count("\n") == 1


def test_get_of_a_truncated_answer_is_a_sentence(tmp_path):
    with Fake(tmp_path / "c", b'{"ok": true}\nHTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello'):
        result = invoke("get", "--control", str(tmp_path / "c"), "http://198.18.0.1/")
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("tapstack: http://198.18.0.1/: ")


def test_closed_standard_descriptors_are_opened_again():
    program = (
        "import os, sys; os.closerange(0, 3); sys.stdin = sys.stdout = sys.stderr = None\n"
        "from stack.cli.main import open_standard_streams as again\n"
        "again(); again(); print('unheard'); null = os.stat(os.devnull).st_rdev\n"
        "os._exit(0 if [os.fstat(n).st_rdev for n in range(3)] == [null] * 3 and sys.stderr else 1)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_get_percent_encodes_what_a_url_may_not_contain(tmp_path):
    with Fake(tmp_path / "c", b'{"ok": true}\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n') as fake:
        result = invoke("get", "--control", str(tmp_path / "c"), "http://198.18.0.1/\u00e9 \x7f%20?q=\udcff&[1]")
    assert result.exit_code == 0
    assert fake.asked[1].startswith(b"GET /%C3%A9%20%7F%20?q=%FF&[1] HTTP/1.1\r\n")


def test_get_onto_a_full_disk_blames_it(tmp_path):
    answer = b'{"ok": true}\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
    url = "http://198.18.0.1/"
    with Fake(tmp_path / "c", answer), Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "stack.cli", "get", "--control", str(tmp_path / "c"), url]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, b"tapstack: standard output: no space left on device")
    with Fake(tmp_path / "d", answer):
        result = invoke("get", "--control", str(tmp_path / "d"), "-o", "/dev/full", url)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "tapstack: /dev/full: no space left on device")


@pytest.mark.parametrize(
    ("words", "name"), [(("status",), "_STATUS_S"), (("forward", "8080", "198.18.0.1:80"), "_FORWARD_S")]
)
def test_nobody_waits_long_for_a_stopped_daemon(tmp_path, monkeypatch, words, name):
    monkeypatch.setattr(client, name, 0.01)
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(tmp_path / "c"))
        stopped.listen()
        result = invoke(*words, "--control", str(tmp_path / "c"))
    assert (result.exit_code, result.stderr) == (
        2,
        "tapstack: the daemon on tapstack0 did not answer within 0.01 s: is it stopped?\n",
    )


def test_ping_tells_why_nothing_was_sent(tmp_path):
    with Fake(tmp_path / "c", b'{"ok": true}\n{"ok": false, "error": "no such place"}\n'):
        result = invoke("ping", "--control", str(tmp_path / "c"), "127.0.0.1")
    assert (result.exit_code, result.stderr) == (1, "tapstack: no such place\n")


def test_uplink_without_root_is_one_sentence(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = invoke("up", "--uplink")
    assert result.exit_code == 2
    assert result.stderr == ("tapstack: uplink changes this machine's forwarding, which needs root: run it with sudo\n")


def test_interrupt_while_importing_is_quiet():
    program = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'stack.cli.client': os.kill(os.getpid(), signal.SIGINT)\n"
        "from stack.cli.start import main\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_interrupt_of_a_command_is_quiet(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "status", interrupted)
    result = invoke("status")
    assert (result.exit_code, result.output) == (130, "")
