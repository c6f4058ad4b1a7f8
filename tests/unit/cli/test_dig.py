"""`tapstack dig` and `tapstack resolve`: who asks, what is shown, what is said when it fails."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from stack.cli.dig import question
from stack.cli.main import main
from stack.dns.explain import Explanation, Hop
from stack.errors import ConfigError
from tests.support.dns_zone_server import Zone

HOP = Hop(0, "10.0.0.1", "", "a.test.", "A", "NOERROR", "answer 10.0.0.9", 1200, tcp=False)
MADE = Explanation("a.test.", "A", (HOP,), ("a.test.\t60\tIN\tA\t10.0.0.9",), "answer", "", "from 10.0.0.1", 1300)


def failed(status, error, *verdicts):
    hops = tuple(
        Hop(0, f"10.0.0.{i}", "", "a.test.", "A", verdict, "", 0, tcp=False) for i, verdict in enumerate(verdicts)
    )
    return Explanation("a.test.", "A", hops, (), status, error, "", 10)


def invoke(*arguments, **kwargs):
    return CliRunner().invoke(main, arguments, **kwargs)


class Daemon:
    """The control socket of a daemon that gives these answers, and keeps what it was asked."""

    def __init__(self, path, *answers):
        self.answers = answers
        self.asked = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        for answer in self.answers:
            client, _ = self.sock.accept()
            with client, client.makefile("rb") as lines:
                self.asked.append(json.loads(lines.readline()))
                client.sendall(json.dumps(answer).encode() + b"\n")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(10)
        self.sock.close()


def ask_daemon(tmp_path, answer, *arguments):
    path = tmp_path / "control"
    with Daemon(path, {"ok": True, "address": "198.18.0.2", **answer}) as daemon:
        result = invoke(*arguments, "--control", str(path))
    path.unlink()
    return result, daemon.asked[0]


@pytest.fixture(scope="module")
def server():
    """A DNS server of the kernel's, in a thread: its address and port as `dig` takes them."""
    zone = Zone("a.test A 10.0.0.9", "a.test A 10.0.0.8", "four.test A 10.0.0.4", "1.0.0.10.in-addr.arpa PTR a.test.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.05)
        ending = threading.Event()

        def serve():
            while not ending.is_set():
                try:
                    wire, peer = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                sock.sendto(zone.answer(wire, is_tcp=False), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1#{sock.getsockname()[1]}"
        ending.set()
        thread.join(10)


# -- by the daemon


def test_the_daemon_is_asked_where_one_runs_and_it_is_said(tmp_path):
    result, asked = ask_daemon(tmp_path, {"explanation": MADE.to_json()}, "dig", "a.test", "A", "@10.0.0.1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        ";; asked by the daemon on tapstack0, from 198.18.0.2",
        "a.test.\t60\tIN\tA\t10.0.0.9",
        ";; from 10.0.0.1, 1.3 ms",
    ]
    assert asked == {
        "op": "lookup",
        "want": "records",
        "name": "a.test",
        "type": "A",
        "servers": ["10.0.0.1"],
        "trace": False,
        "timeout": 10.0,
    }


def test_trace_shows_every_step(tmp_path):
    result, asked = ask_daemon(tmp_path, {"explanation": MADE.to_json()}, "dig", "+trace", "a.test")
    assert result.exit_code == 0
    assert result.stdout == f";; asked by the daemon on tapstack0, from 198.18.0.2\n{MADE.text()}\n"
    assert asked["trace"] is True


def test_json_says_who_asked(tmp_path):
    result, _ = ask_daemon(tmp_path, {"explanation": MADE.to_json()}, "dig", "a.test", "--json")
    shown = json.loads(result.stdout)
    assert shown.pop("via") == "daemon"
    assert Explanation.from_json(shown) == MADE


def test_a_picture(tmp_path):
    picture = tmp_path / "steps.svg"
    result, _ = ask_daemon(tmp_path, {"explanation": MADE.to_json()}, "dig", "a.test", "--svg", str(picture))
    assert result.exit_code == 0
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")


@pytest.mark.parametrize("trace", [[], ["+trace"]])
@pytest.mark.parametrize("verdict", ["no route", "unreachable"])
def test_no_route_is_one_sentence_that_names_via_kernel(tmp_path, verdict, trace):
    made = failed("ServFail", "no server could answer a.test. A (10.0.0.0: no route)", verdict, verdict)
    result, _ = ask_daemon(tmp_path, {"explanation": made.to_json()}, "dig", "a.test", *trace)
    assert result.exit_code == 1
    assert result.stderr == (
        "tapstack: the daemon on tapstack0 has no route to any server (10.0.0.0, 10.0.0.1): use --via kernel, "
        "or start it with --uplink\n"
    )


def test_other_failures_are_their_own_sentence(tmp_path):
    for status, error, verdicts, said in (
        ("ServFail", "no server could answer (x)", ["no route", "REFUSED"], "no server could answer (x)"),
        ("NXDOMAIN", "a.test. does not exist", [], "a.test. does not exist"),
        (
            "Timeout",
            "nobody answered",
            ["no answer"],
            "nobody answered; if the daemon has no way to its servers, use --via kernel",
        ),
    ):
        made = failed(status, error, *verdicts)
        result, _ = ask_daemon(tmp_path, {"explanation": made.to_json()}, "dig", "a.test")
        assert (result.exit_code, result.stderr) == (1, f"tapstack: {said}\n")


def test_what_the_daemon_refuses_is_said(tmp_path):
    with Daemon(tmp_path / "control", {"ok": False, "error": "its resolver is off"}):
        result = invoke("dig", "a.test", "--control", str(tmp_path / "control"))
    assert (result.exit_code, result.stderr) == (2, "tapstack: its resolver is off\n")


def test_addresses(tmp_path):
    result, asked = ask_daemon(tmp_path, {"found": ["10.0.0.9", "2001:db8::1"]}, "resolve", "a.test")
    assert result.exit_code == 0
    assert result.stdout == "10.0.0.9\n2001:db8::1\n"
    assert result.stderr == ";; asked by the daemon on tapstack0, from 198.18.0.2\n"
    assert (asked["want"], asked["name"]) == ("addresses", "a.test")
    result, asked = ask_daemon(tmp_path, {"found": ["a.test"]}, "resolve", "10.0.0.9")
    assert (result.stdout, asked["want"]) == ("a.test\n", "name")
    nothing = {"found": [], "status": "ServFail", "error": "nothing", "tries": [["10.0.0.1", "no route"]]}
    result, _ = ask_daemon(tmp_path, nothing, "resolve", "a.test")
    assert result.exit_code == 1
    assert "use --via kernel" in result.stderr
    result, _ = ask_daemon(tmp_path, nothing, "resolve", "a.test", "--json")
    assert json.loads(result.stdout) == {"via": "daemon", "name": "a.test", **nothing}


def test_the_daemons_warnings_are_said(tmp_path):
    answer = {"explanation": MADE.to_json(), "warnings": ["/etc/resolv.conf:1: one", "/etc/resolv.conf:2: two"]}
    result, _ = ask_daemon(tmp_path, answer, "dig", "a.test", "--json")
    assert result.exit_code == 0
    assert result.stderr == "tapstack: /etc/resolv.conf:1: one\ntapstack: /etc/resolv.conf:2: two\n"
    json.loads(result.stdout)


# -- by this process


def test_mistakes_in_the_systems_settings_are_said_once(server):
    said = "tapstack: RES_OPTIONS: option 'ndots:xx' is passed over: write ndots:NUMBER\n"
    environment = {**os.environ, "RES_OPTIONS": "ndots:xx"}
    for words, expected in ((["resolve", "localhost"], said), (["dig", "a.test", f"@{server}"], "")):
        # a process of its own: there, a log that nobody listens to goes to standard error
        command = [sys.executable, "-m", "stack.cli", *words, "--via", "kernel"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "".join(line for line in result.stderr.splitlines(keepends=True) if line[0] != ";") == expected


def test_without_a_daemon_the_kernels_sockets_are_used_and_it_is_said(tmp_path, server):
    result = invoke("dig", "a.test", f"@{server}", "--control", str(tmp_path / "absent"))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == ";; asked through kernel sockets, since no daemon is running on tapstack0"
    assert sorted(lines[1:3]) == ["a.test.\t300\tIN\tA\t10.0.0.8", "a.test.\t300\tIN\tA\t10.0.0.9"]
    assert lines[3].startswith(f";; from {server}, ")


def test_via_kernel_asks_no_daemon(tmp_path, server):
    with Daemon(tmp_path / "control"):
        result = invoke("dig", "a.test", f"@{server}", "--via", "kernel", "--control", str(tmp_path / "control"))
    assert result.exit_code == 0
    assert result.stdout.startswith(";; asked through kernel sockets\n")


def test_via_daemon_needs_one(tmp_path):
    for command in ("dig", "resolve"):
        result = invoke(command, "a.test", "--via", "daemon", "--control", str(tmp_path / "absent"))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("tapstack: no daemon is running on tapstack0 (looked for ")


def test_what_there_is_not(server):
    result = invoke("dig", "nobody.test", f"@{server}", "--via", "kernel")
    assert (result.exit_code, result.stderr) == (1, "tapstack: nobody.test. does not exist\n")
    result = invoke("dig", "a.test", "MX", f"@{server}", "--via", "kernel", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "NoData"


def test_refused_by_the_kernel():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    begun = time.monotonic()
    result = invoke("dig", "a.test", f"@127.0.0.1#{port}", "--via", "kernel")
    assert time.monotonic() - begun < 5
    assert result.exit_code == 1
    assert f"(127.0.0.1#{port}: connection refused)" in result.stderr


# -- words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a..b"], "'a..b' is not a domain name: it has an empty label"),
        (["a.test", "NOTYPE"], "'NOTYPE' is not a type of record"),
        (["a.test", "+dnssec"], "+dnssec is not known: use +trace"),
        (["a.test", "A", "B"], "give a name and, if it is not A, a type"),
        (["@10.0.0.1"], "give a name and, if it is not A, a type"),
        (["a.test", "@one"], "server 'one': give an address in figures"),
    ],
)
def test_what_is_not_understood_is_one_sentence_and_code_2(words, said):
    result = invoke("dig", *words, "--via", "kernel")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"tapstack: {said}")
    assert result.stderr.count("\n") == 1


def test_words_in_any_order():
    expected = {"want": "records", "name": "a.test", "type": "mx", "servers": ["10.0.0.1", "10.0.0.2"], "trace": True}
    assert question(("@10.0.0.1", "a.test", "+trace", "mx", "@10.0.0.2")) == expected
    assert question(("a.test",))["type"] == "A"
    with pytest.raises(ConfigError):
        question(())
