"""`ping`, `nc` and `get` by the daemon or through kernel sockets: who does it, who looks names up, what is said."""

import json
import os
import socket
import threading

import pytest
from click.testing import CliRunner

from stack.cli import client, kernel, talk
from stack.cli.main import main
from stack.wire import icmp
from stack.wire.accel import checksum

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SINCE = "through kernel sockets, since no daemon is running on tapstack0"
BOOK = {"host.test": ["127.0.0.1"], "both.test": ["::1", "127.0.0.1"], "six.test": ["2001:db8::1"]}


def invoke(*arguments, **kwargs):
    return CliRunner().invoke(main, arguments, **kwargs)


class Daemon:
    """A control socket that takes these conversations one after another, and keeps the requests."""

    def __init__(self, path, *answers):
        self.answers = answers
        self.asked = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.sock.settimeout(10)
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        for lines in self.answers:
            client, _ = self.sock.accept()
            with client, client.makefile("rb") as requests:
                self.asked.append(json.loads(requests.readline()))
                client.sendall(b"".join(x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines))
                client.shutdown(socket.SHUT_WR)
                requests.read()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(10)
        self.sock.close()


@pytest.fixture
def server():
    """The port of a server of the kernel's that answers every connection with a page."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                with sock:
                    sock.recv(4096)
                    sock.sendall(PAGE)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture
def book(monkeypatch):
    """Names that this process finds by itself; the list of those it was asked for."""
    asked = []

    async def answer(request):
        asked.append(request["name"])
        if found := BOOK.get(request["name"], []):
            return {"found": found}
        return {"found": [], "status": "NXDOMAIN", "error": f"{request['name']}. does not exist", "tries": []}

    monkeypatch.setattr("stack.cli.via._ask_by_ourselves", answer)
    return asked


# -- through kernel sockets


@pytest.mark.parametrize(("via", "said"), [([], SINCE), (["--via", "kernel"], "through kernel sockets")])
def test_get_and_nc_without_a_daemon(tmp_path, server, book, monkeypatch, via, said):
    monkeypatch.setattr(talk, "_send_input", lambda sock: sock.shutdown(socket.SHUT_WR))  # there is no standard input
    control = ["--control", str(tmp_path / "absent"), *via]
    for host in ("127.0.0.1", "host.test", "both.test"):  # nobody listens on ::1
        result = invoke("get", *control, f"http://{host}:{server}/x")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "hello", f";; connected {said}\n")
    result = invoke("nc", *control, "host.test", str(server))
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, PAGE, f";; connected {said}\n")
    assert book == ["host.test", "both.test", "host.test"]


def test_via_kernel_leaves_the_daemon_alone(tmp_path, server):
    with Daemon(tmp_path / "c") as daemon:
        result = invoke("get", "--via", "kernel", "--control", str(tmp_path / "c"), f"http://127.0.0.1:{server}/")
    assert (result.exit_code, daemon.asked) == (0, [])


def test_what_the_kernel_refuses_is_one_sentence(book):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        result = invoke("nc", "--via", "kernel", "host.test", port)
    assert (result.exit_code, result.stderr) == (2, "tapstack: 127.0.0.1: connection refused\n")


@pytest.mark.parametrize("command", [["ping"], ["nc"], ["get"]])
def test_a_name_that_is_not_there_is_one_sentence(book, command):
    words = {"ping": ["no.test"], "nc": ["no.test", "7"], "get": ["http://no.test/"]}[command[0]]
    result = invoke(*command, "--via", "kernel", *words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "tapstack: no.test. does not exist\n")


def test_ping_wants_an_ipv4_address(book):
    result = invoke("ping", "--via", "kernel", "six.test")
    assert (result.exit_code, result.stderr) == (2, "tapstack: six.test has no IPv4 address\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="echo requests through kernel sockets are root's by default")
@pytest.mark.parametrize("kinds", [(socket.SOCK_DGRAM, socket.SOCK_RAW), (socket.SOCK_RAW,)])
def test_ping_of_the_kernel(tmp_path, book, monkeypatch, kinds):
    monkeypatch.setattr(kernel, "KINDS", kinds)
    result = invoke("ping", "-c", "2", "-i", "0.01", "-s", "33", "--control", str(tmp_path / "absent"), "both.test")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        f"PING 127.0.0.1 {SINCE}: 33 bytes of data\n41 bytes from 127.0.0.1: icmp_seq=1 ttl="
    )
    assert "2 sent, 2 received, 0% lost" in result.stdout


def test_ping_without_the_right_to_says_what_to_do(monkeypatch):
    monkeypatch.setattr(kernel, "KINDS", ())
    result = invoke("ping", "--via", "kernel", "127.0.0.1")
    assert result.exit_code == 2
    assert result.stderr.startswith("tapstack: this user may not send echo requests through kernel sockets: ask root")
    assert result.stderr.endswith("or use --via daemon\n")


class Wire:
    """An ICMP socket on which these messages come; sent requests are kept."""

    type = socket.SOCK_DGRAM

    def __init__(self, *messages):
        self.messages = list(messages)
        self.sent = []

    def send(self, message):
        self.sent.append(message)

    def settimeout(self, seconds):
        pass

    def recvmsg(self, *_):
        message = self.messages.pop(0)
        if isinstance(message, OSError):
            raise message
        return message, [(0, socket.IP_TTL, (7).to_bytes(4, "little"))], 0, None

    def close(self):
        pass


def reply(seq, kind=icmp.ECHO_REPLY):
    return icmp.HEADER.pack(kind, 0, 0, 1, seq)


def test_only_the_reply_of_this_number_counts_and_errors_are_told(monkeypatch):
    late = reply(1)
    refused = OSError(113, "No route to host")
    wire = Wire(reply(9), b"x", reply(1, icmp.ECHO), reply(1), late, reply(2), refused, TimeoutError())
    monkeypatch.setattr(kernel, "_open", lambda _: wire)
    answers = list(kernel.pings("10.0.0.1", count=4, size=5, interval=0.001, timeout=1.0))
    assert [answer.pop("rtt_us", None) is not None for answer in answers] == [True, True, False, False]
    assert answers == [
        {"seq": 1, "ttl": 7},
        {"seq": 2, "ttl": 7},
        {"seq": 3, "error": "no route to host"},
        {"seq": 4, "error": "no answer"},
    ]
    assert [icmp.HEADER.unpack_from(sent)[4] for sent in wire.sent] == [1, 2, 3, 4]
    assert all(checksum(sent) == 0 and sent[8:] == bytes(range(5)) for sent in wire.sent)


# -- by the daemon


def test_the_daemon_looks_the_name_up_that_it_connects_to(tmp_path, book):
    found = [{"ok": True, "address": "198.18.0.2", "found": ["2001:db8::1", "198.18.0.1"]}]
    with Daemon(tmp_path / "c", found, [{"ok": True}, PAGE]) as daemon:
        result = invoke("get", "--control", str(tmp_path / "c"), "http://host.test:81/")
    said = ";; connected by the daemon on tapstack0\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "hello", said)
    assert [(asked["op"], asked.get("name"), asked.get("address")) for asked in daemon.asked] == [
        ("lookup", "host.test", None),
        ("connect", None, "198.18.0.1"),
    ]
    assert book == []


def test_a_daemon_that_goes_away_between_the_two_is_not_replaced_by_the_kernel(tmp_path, server, monkeypatch):
    path, look_up = tmp_path / "c", client.look_up

    def and_gone(*arguments):
        answer = look_up(*arguments)
        path.unlink()
        return answer

    monkeypatch.setattr(client, "look_up", and_gone)
    with Daemon(path, [{"ok": True, "address": "198.18.0.2", "found": ["127.0.0.1"]}]):
        result = invoke("nc", "--control", str(path), "host.test", str(server))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("tapstack: no daemon is running on tapstack0")


def test_the_daemons_lack_of_a_route_names_the_other_way(tmp_path):
    nothing = {"found": [], "status": "ServFail", "error": "nothing", "tries": [["10.0.0.1", "no route"]]}
    with Daemon(tmp_path / "c", [{"ok": True, "address": "198.18.0.2", **nothing}]):
        result = invoke("ping", "--control", str(tmp_path / "c"), "host.test")
    assert result.exit_code == 2
    assert "no route to any server (10.0.0.1): use --via kernel" in result.stderr


def test_ping_says_that_it_was_the_daemon(tmp_path):
    lines = [{"ok": True}, {"seq": 1, "rtt_us": 100, "ttl": 64}, {"done": True}]
    with Daemon(tmp_path / "c", lines):
        result = invoke("ping", "-c", "1", "--control", str(tmp_path / "c"), "198.18.0.1")
    assert result.stdout.startswith("PING 198.18.0.1 by the daemon on tapstack0: 56 bytes of data\n")
