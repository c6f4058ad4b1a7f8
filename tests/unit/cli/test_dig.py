"""`tapstack dig` and `tapstack resolve`: who asks, what is shown, what is said when it fails."""

import json
import os
import shlex
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
from tests.support.control_socket import Daemon
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


LABEL = "a" * 63
NO_NAME = "is not a domain name: "
NO_TYPE = "is not a type of record: write it like AAAA"
NO_ADDRESS = "give an address in figures, like 192.0.2.1"
NO_PORT = "a port is a number from 1 to 65535"
MISSING = " does not exist\n"
NO_QUESTION = "cannot be asked of a resolver"
USAGE = "Usage: "  # click's words, in four lines


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        # types and classes
        ("dig a.test any", 2, "since a server may answer it with any part of what there is (RFC 8482)"),
        ("dig a.test ANY +trace", 2, "(RFC 8482)"),
        ("dig a.test ANY --json", 2, "(RFC 8482)"),
        ("dig a.test AXFR", 2, NO_QUESTION),
        ("dig a.test OPT", 2, NO_QUESTION),
        ("dig a.test TYPE0", 2, NO_QUESTION),
        ("dig a.test TYPE65536", 2, NO_TYPE),
        ("dig a.test TYPE", 2, NO_TYPE),
        ("dig a.test 1", 2, NO_TYPE),
        ("dig a.test CH", 2, NO_TYPE),
        ("dig a.test type1 SERVER", 0, ""),
        ("dig a.test TYPE65535 SERVER", 1, "a.test. has no TYPE65535 record\n"),
        ("dig a.test IN SERVER", 0, ""),
        ("dig a.test in a SERVER", 0, ""),
        ("dig a.test A AAAA", 2, "give a name and, if it is not A, a type"),
        ("dig ANY SERVER", 1, "ANY." + MISSING),
        # names
        ("dig ''", 2, 'an empty text is no domain name: the root is "."'),
        ("dig ..", 2, NO_NAME),
        ("dig '. NS'", 2, NO_NAME),
        (r"dig '\'", 2, "after a backslash comes one ASCII character"),
        (r"dig '\256'", 2, "after a backslash comes one ASCII character"),
        (r"dig 'a\.b' SERVER", 1, r"a\.b." + MISSING),
        ("dig 'a b' SERVER", 1, r"a\032b." + MISSING),
        ("dig 'a\nb' SERVER", 1, r"a\010b." + MISSING),
        ("dig 'a\x1b[31m' SERVER", 1, r"a\027[31m." + MISSING),
        ("dig '*.test' SERVER", 1, "*.test." + MISSING),
        ("dig B\u00dcCHER.test SERVER", 1, "xn--bcher-kva.test." + MISSING),
        ("dig xn--bcher-kva.test SERVER", 1, "xn--bcher-kva.test." + MISSING),
        ("dig \udcff.test", 2, "'\\udcff' has no form in ASCII (Invalid character '\\udcff')\n"),
        (f"dig {LABEL}a.test", 2, "it has a label of 64 octets (at most 63)"),
        (f"dig {LABEL}.{LABEL}.{LABEL}.{LABEL}.test", 2, "octets, at most 255"),
        (f"dig {LABEL}.{LABEL}.{LABEL}.{LABEL[2:]} SERVER", 1, MISSING),
        ("dig " + "x" * 5000, 2, "a name of 5000 characters: at most 255 octets can be one"),
        # addresses
        ("dig 10.0.0.1 SERVER", 0, ""),
        ("dig 10.0.0.1 ptr SERVER", 0, ""),
        ("dig 10.0.0.1 A", 2, "10.0.0.1 is an address, of which only the name can be asked for: leave out A"),
        ("dig 2001:db8::1 SERVER", 1, "8.b.d.0.1.0.0.2.ip6.arpa." + MISSING),
        ("dig fe80::1%lo SERVER", 1, "0.8.e.f.ip6.arpa." + MISSING),
        ("dig 1.0.0.10.in-addr.arpa PTR SERVER", 0, ""),
        ("dig -x 10.0.0.1", 2, USAGE),
        ("resolve 127.0.0.1", 0, ";; asked through kernel sockets\n"),
        ("resolve ''", 2, 'the root is "."'),
        ("resolve a..b", 2, NO_NAME),
        ("resolve a b", 2, USAGE),
        # servers
        ("dig a.test @", 2, NO_ADDRESS),
        ("dig a.test @localhost", 2, NO_ADDRESS),
        ("dig a.test @127.0.0.1:53", 2, NO_ADDRESS),
        ("dig a.test @[::1]#53", 2, NO_ADDRESS),
        ("dig a.test @127.0.0.1#", 2, NO_PORT),
        ("dig a.test @127.0.0.1#0", 2, NO_PORT),
        ("dig a.test @127.0.0.1#-1", 2, NO_PORT),
        ("dig a.test @127.0.0.1#65536", 2, NO_PORT),
        ("dig a.test @127.0.0.1#1", 1, "127.0.0.1#1: connection refused"),
        ("dig a.test @::1#1", 1, "::1#1"),
        ("dig a.test @fe80::1%nosuch", 1, "there is no route to any server (fe80::1%nosuch)"),
        ("dig a.test" + " @127.0.0.1" * 17, 2, "servers: name up to 16 addresses"),
        ("dig a.test +trace @127.0.0.1", 2, "an address of this host or a group is nobody's server"),
        ("dig a.test +trace @10.0.0.1#5353", 2, "all servers are asked on port 53"),
        # options
        ("dig a.test +short", 2, "+short is not known: use +trace"),
        ("dig a.test +", 2, "+ is not known: use +trace"),
        ("dig", 2, USAGE),
        ("dig +trace", 2, "give a name and, if it is not A, a type"),
        ("dig a.test -W 0", 2, USAGE),
        ("dig a.test -W 61", 2, USAGE),
        ("dig a.test -W nan", 2, "timeout nan: use a number of seconds, up to 60"),
        ("dig a.test --via carrier", 2, USAGE),
        ("dig a.test SERVER --svg ''", 2, "--svg needs the name of a file"),
        ("dig a.test SERVER --svg /nonexistent/x.svg", 1, "/nonexistent/x.svg: no such file or directory"),
    ],
)
def test_odd_command_lines_end_in_a_sentence_and_a_status(server, words, code, said):
    arguments = shlex.split(words.replace("SERVER", f"@{server}"))
    result = invoke(*arguments, *([] if "--via" in words else ["--via", "kernel"]))
    assert isinstance(result.exception, SystemExit | None)
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert said in result.stderr
    if words.startswith("dig"):  # `resolve` says who was asked there, too
        assert result.stderr.count("\n") == (4 if said == USAGE else int(code != 0))


@pytest.mark.parametrize("command", ["dig", "resolve"])
def test_the_exit_status_is_in_the_help(command):
    text = " ".join(invoke(command, "--help").stdout.split())
    for number, meaning in ((0, "there "), (1, "there "), (2, "it cannot be asked")):
        assert f" {number} {meaning}" in text.partition("Exit status:")[2]


def test_words_in_any_order():
    expected = {"want": "records", "name": "a.test", "type": "mx", "servers": ["10.0.0.1", "10.0.0.2"], "trace": True}
    assert question(("@10.0.0.1", "a.test", "+trace", "mx", "@10.0.0.2")) == expected
    assert question(("a.test",))["type"] == "A"
    with pytest.raises(ConfigError):
        question(())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["@10.53.0.10"], "who is asked is said with: tapstack dig NAME @SERVER"),
        (["a.test", "@10.53.0.10"], "who is asked is said with: tapstack dig NAME @SERVER"),
    ],
)
def test_resolve_takes_one_name(words, said):
    result = invoke("resolve", *words, "--via", "kernel")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"{said}\n")
