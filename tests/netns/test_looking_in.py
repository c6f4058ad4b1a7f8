"""Looking into a running daemon: the live table in a terminal, captures judged by tshark, metrics."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.netns import STACK, Daemon, Namespace, need, tapstack, wait_until
from tools.netns import ENVIRONMENT, ROOT

pytestmark = pytest.mark.netns


class Terminal:
    """A program on a terminal of its own, `columns` wide.  The control socket is reached from everywhere."""

    def __init__(self, *command, columns=100, lines=30, kind="xterm"):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        environment = ENVIRONMENT | {"TERM": kind}
        for name in ("COLUMNS", "LINES"):  # pytest-xdist's
            environment.pop(name, None)
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=ROOT,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        self.slave = slave
        self.text = ""

    def until(self, pattern, seconds=20):
        """Read until the output matches."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                pytest.fail(f"no {pattern!r} in {self.text[-2000:]!r}")
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                pytest.fail(f"the terminal ended without {pattern!r}: {self.text[-2000:]!r}")

    def type(self, keys):
        os.write(self.master, keys)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def control(daemon):
    return ["--control", str(daemon.log.parent / "control.sock")]


@pytest.fixture
def terminal(stack):
    made = []

    def start(*arguments, **size):
        made.append(Terminal(*tapstack(*arguments, *control(stack)), **size))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def download(stack):
    """A long one, at 4 MB/s."""
    need("curl")
    process = stack.namespace.start(
        "curl", "-s", "--limit-rate", "4M", "-o", "/dev/null", f"http://{STACK}/bytes/900000000"
    )
    yield process
    process.kill()
    process.wait()


# -- status --watch


def test_the_live_table_shows_rates_and_sorts_and_gives_the_terminal_back(terminal, download):
    shown = terminal("status", "--watch", columns=80)
    shown.until(r"\x1b\[\?1049h")  # the other screen
    shown.until(r"ESTABLISHED\s+[1-9][\d.]* MiB/s")
    shown.until(r"198\.18\.0\.1:\d+")
    shown.text = ""
    shown.type(b"\x1b[A\x1bOB\x1b[1;5C\x1b[6~t")  # arrows (the wheel of a mouse sends them, too) and such end nothing
    shown.until("sorted by RTT")
    shown.type(b"\x03")
    shown.until(r"\x1b\[\?1049l")
    assert shown.process.wait(10) in (0, 130)
    assert "Traceback" not in shown.text
    assert termios.tcgetattr(shown.slave) == shown.before


def test_a_narrow_terminal_gets_the_columns_that_fit(terminal, download):
    shown = terminal("status", "--watch", columns=44, lines=20)
    shown.until("q quits")
    shown.until(r"198\.18\.0\.1:\d{4,5} ")
    shown.type(b"q")
    assert shown.process.wait(10) == 0


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(terminal):
    shown = terminal("status", "--watch", kind="dumb")
    shown.until(r"\d+ connections, in .*/s, out .*/s, .*\n.*\d+ connections")
    assert "\x1b" not in shown.text


def test_json_is_a_line_a_second(stack):
    process = subprocess.Popen(
        tapstack("status", "--watch", "--json", *control(stack)), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    process.stdout.close()
    assert lines[0]["daemon"]["address"] == "198.18.0.2/24"
    assert lines[1]["time"] < lines[2]["time"]
    assert lines[2]["watchers"] == {"status": 1}


def test_watchers_leave_nothing_behind(stack):
    def watchers():
        text = stack.namespace.run("curl", "-s", f"http://{STACK}/metrics").stdout
        return [line for line in text.splitlines() if line.startswith("tapstack_watchers{")]

    processes = [
        subprocess.Popen(tapstack(*words, *control(stack)), stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        for words in (("status", "--watch", "--json"), ("capture",))
    ]
    wait_until(lambda: len(watchers()) == 2, "both watch")
    for process in processes:
        process.kill()
        process.wait()
    wait_until(lambda: not watchers(), "both are forgotten")


# -- capture


def capturing(daemon, *arguments, **kwargs):
    process = subprocess.Popen(
        tapstack("capture", *arguments, *control(daemon)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **kwargs,
    )  # fmt: skip

    def listens():
        text = daemon.namespace.run("curl", "-s", f"http://{STACK}/metrics").stdout
        return 'tapstack_watchers{kind="capture"} 1.0' in text

    wait_until(listens, "the capture has begun")
    return process


def tshark(path, *arguments):
    done = subprocess.run(
        ["tshark", "-r", str(path), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_capture_carries_what_the_stack_says_of_its_packets(tmp_path):
    """Every segment that the stack calls sent again is one for tshark too, which sees nothing but the packets."""
    need("tshark", "curl")
    with Namespace() as namespace, Daemon(namespace, tmp_path, "--loss", "0.02") as daemon:
        file = tmp_path / "all.pcapng"
        process = capturing(daemon, "-w", str(file), "tcp", "port", "80", "or", "tcp", "port", "81")
        namespace.run("curl", "-s", "-o", "/dev/null", f"http://{STACK}/bytes/4000000", timeout=60)
        namespace.run("curl", "-s", "-m", "1", f"http://{STACK}:81/", check=False)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, "")
    count = int(re.fullmatch(r"(\d+) packets captured, none left out\n", told)[1])
    assert len(tshark(file)) == count > 500
    named = set(tshark(file, "-Y", 'frame.comment contains "retransmission"', "-T", "fields", "-e", "frame.number"))
    again = "tcp.analysis.retransmission or tcp.analysis.out_of_order or tcp.analysis.lost_segment"
    found = set(tshark(file, "-Y", again, "-T", "fields", "-e", "frame.number"))
    assert named
    assert named <= found
    dropped = tshark(file, "-Y", 'frame.comment contains "dropped: tcp_no_port"', "-T", "fields", "-e", "tcp.dstport")
    assert set(dropped) == {"81"}
    bad = "tcp.checksum.status == 0 or ip.checksum.status == 0"
    assert not tshark(file, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", bad)


def test_a_filter_and_a_count_are_kept(stack):
    process = capturing(stack, "-c", "3", "--in", "icmp")
    stack.namespace.run("curl", "-s", "-o", "/dev/null", f"http://{STACK}/bytes/1000")
    stack.namespace.run("ping", "-c", "5", "-i", "0.05", STACK)
    out, told = process.communicate(timeout=20)
    lines = out.splitlines()
    assert (process.returncode, len(lines)) == (0, 3)
    assert all(re.fullmatch(r"[\d:.]+ < ICMP 198\.18\.0\.1 > 198\.18\.0\.2 echo request, .*", line) for line in lines)
    assert told.startswith("3 packets captured, none left out")


def test_standard_output_can_be_piped_into_tshark(stack):
    need("tshark")
    process = capturing(stack, "-c", "4", "-w", "-", "icmp")
    stack.namespace.run("ping", "-c", "2", "-i", "0.05", STACK)
    read = subprocess.run(
        ["tshark", "-r", "-"], stdin=process.stdout, capture_output=True, text=True, timeout=30, check=False
    )
    process.communicate(timeout=10)
    assert (read.returncode, len(read.stdout.splitlines())) == (0, 4)


def test_an_output_that_takes_nothing_is_no_traceback(stack):
    def told(words, output):
        return subprocess.Popen(
            ["sh", "-c", f'exec "$@" {output}', "sh", *tapstack(*words, *control(stack))],
            stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip

    full = told(["status"], ">/dev/full").communicate(timeout=20)[1]
    assert full == "tapstack: no space left on device\n"
    closed = told(["capture", "-c", "1", "icmp"], ">&-")
    wait_until(
        lambda: 'kind="capture"' in stack.namespace.run("curl", "-s", f"http://{STACK}/metrics").stdout, "it has begun"
    )
    stack.namespace.run("ping", "-c", "1", STACK)
    assert closed.communicate(timeout=20)[1] == "1 packet captured, none left out\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tpc"], "the filter has an unknown word 'tpc'"),
        (["port", "99999"], "no number from 1 to 65535"),
        (["(tcp"], "without its"),
    ],
)
def test_a_wrong_filter_is_one_sentence(stack, words, says):
    done = subprocess.run(
        tapstack("capture", *words, *control(stack)),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


def test_without_a_daemon_it_is_one_sentence(tmp_path):
    for command in (["capture"], ["status", "--watch"]):
        done = subprocess.run(
            tapstack(*command, "--control", str(tmp_path / "nobody")),
            capture_output=True, text=True, env=ENVIRONMENT, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "no daemon is running" in done.stderr


# -- metrics


def test_metrics_are_what_prometheus_reads(stack):
    stack.namespace.run("curl", "-s", "-m", "1", f"http://{STACK}:81/", check=False)
    reply = stack.namespace.run("curl", "-s", "-i", f"http://{STACK}/metrics").stdout
    head, _, body = reply.partition("\n\n")
    assert re.search("content-type: text/plain; version=", head)
    samples = {}
    for family in text_string_to_metric_families(body):
        assert family.documentation
        for sample in family.samples:
            samples[sample.name, tuple(sample.labels.values())] = sample.value
    assert samples["tapstack_dropped_total", ("tcp_no_port",)] >= 1
    assert samples["tapstack_interface_receive_bytes_total", ("tapstack0",)] > 0
    assert samples["tapstack_connections", ("ESTABLISHED",)] >= 1  # the one that asks
    assert samples["tapstack_memory_bytes", ("limit",)] == 512 << 20
    assert ("tapstack_event_loop_lag_seconds", ()) in samples


# -- who may look


@pytest.mark.parametrize(
    ("host", "status"),
    [(STACK, 200), (f"{STACK}:80", 200), ("127.0.0.1:8080", 200), ("localhost", 200), ("evil.example", 421)],
)
def test_a_name_that_is_not_ours_is_refused(stack, host, status):
    for path in ("/", "/view/status", "/metrics"):
        reply = stack.namespace.run("curl", "-s", "-i", "-H", f"Host: {host}", f"http://{STACK}{path}").stdout
        assert reply.split()[1] == str(status)


def test_only_the_networks_that_may_look_do(tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text('[page]\nallow = ["192.0.2.0/24"]\n')
    with Namespace() as namespace, Daemon(namespace, tmp_path, "--config", str(settings)):
        for path, status in (("/", "403"), ("/view/events", "403"), ("/metrics", "403"), ("/upload", "405")):
            assert namespace.run("curl", "-s", "-i", f"http://{STACK}{path}").stdout.split()[1] == status


def test_it_can_be_turned_off(tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[page]\nenabled = false\nmetrics = false\n")
    with Namespace() as namespace, Daemon(namespace, tmp_path, "--config", str(settings)):
        for path, status in (("/", "404"), ("/view/app.js", "404"), ("/metrics", "404"), ("/upload", "405")):
            assert namespace.run("curl", "-s", "-i", f"http://{STACK}{path}").stdout.split()[1] == status
