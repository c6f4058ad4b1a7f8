"""`tapstack run --queues`: two processes, one address, and the kernel as their peer."""

import http.client
import json
import os
import re
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.netns import DEVICE, ROOT, STACK, tapstack, wait_until
from tools.netns import Namespace, stop

pytestmark = pytest.mark.netns

SUPPORT = Path(__file__).parent.parent / "support"
# the same command, but nobody tells the kernel which queue is whose
UNSTEERED = (
    "from stack.device import queues; queues.set_steering = lambda *_: None; from stack.cli.main import main; main()"
)
IDLE_S, TRIES = 10, 60


class Group:
    """The processes of one command, in a namespace."""

    def __init__(self, namespace, log):
        self.namespace = namespace
        self.log = log
        self.open = []

    def ask(self, path, connection=None):
        """(process, body) of one request, on a connection of its own or on `connection`."""
        made = connection or self.connect()
        try:
            made.request("GET", path)
            answer = made.getresponse()
            return int(answer.headers["X-Pid"]), answer.read()
        finally:
            if connection is None:
                made.close()

    def connect(self, timeout=30):
        with self.namespace.entered():
            made = http.client.HTTPConnection(STACK, 8000, timeout=timeout)
            made.connect()
        self.open.append(made)
        return made

    def close(self):
        for connection in self.open:
            connection.close()
        self.open.clear()

    def one_each(self):
        """A connection to each process: {index: (connection, pid)}."""
        found = {}
        for _ in range(TRIES):
            made = self.connect()
            state = json.loads(self.ask("/state", made)[1])
            if state["index"] in found:
                made.close()
            else:
                found[state["index"]] = made, state["pid"]
            if len(found) == 2:
                return found
        pytest.fail(f"{TRIES} connections, and all went to {found}")

    def ready(self):
        try:
            return self.ask("/")[0] > 0
        except OSError:
            return False


@contextmanager
def started(folder, program=None):
    with Namespace() as namespace:
        log = folder / "log"
        run = ["run", "--tap", "--queues", "2", "--", sys.executable, str(SUPPORT / "shared_server.py")]
        command = [sys.executable, "-c", program, *run] if program else tapstack(*run)
        process = namespace.start(*command, log=log)
        group = Group(namespace, log)
        try:
            wait_until(group.ready, f"the processes answer; {log}")
            group.one_each()
            namespace.start(sys.executable, str(SUPPORT / "shared_peer.py"), log=log)
            wait_until(lambda: "9000" in namespace.run("ss", "-ltn").stdout, "the kernel's server listens")
            yield group
        finally:
            group.close()
            status = stop(process)
            sys.stderr.write(log.read_text()[-3000:])
        assert status in {143, -15}
        assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    with started(tmp_path_factory.mktemp("queues")) as made:
        yield made


@pytest.fixture
def group(processes):
    yield processes
    processes.close()


def test_wrk_is_served_by_both(group):
    before = {i: json.loads(group.ask("/state", c)[1])["served"] for i, (c, _) in group.one_each().items()}
    out = group.namespace.run("wrk", "-t1", "-c32", "-d2", f"http://{STACK}:8000/").stdout
    assert "Socket errors" not in out
    assert "Non-2xx" not in out
    after = {i: json.loads(group.ask("/state", c)[1])["served"] for i, (c, _) in group.one_each().items()}
    total = int(re.search(r"(\d+) requests in", out)[1])
    assert all(after[i] - before[i] > total / 10 for i in (0, 1)), (before, after, out)


def test_ping_and_being_pinged(group):
    assert " 0% packet loss" in group.namespace.run("ping", "-c", "3", "-i", "0.2", STACK).stdout
    assert " 0% packet loss" in group.namespace.run("ping", "-c", "2", "-i", "0.2", "-s", "4000", STACK).stdout
    for connection, pid in group.one_each().values():
        assert group.ask("/ping", connection) == (pid, b"True")


@pytest.mark.parametrize("way", ["down", "up"])
def test_curl_of_10_mb_at_each(group, way, tmp_path):
    size = 10_000_000
    (tmp_path / "data").write_bytes(bytes(size))
    seen = set()
    for _ in range(TRIES):
        what = ["--data-binary", f"@{tmp_path / 'data'}", f"http://{STACK}:8000/"] if way == "up" else []
        out = group.namespace.run(
            "curl", "-sS", "-H", "Expect:", "-D", str(tmp_path / "head"), "-o", str(tmp_path / "body"), "-w",
            "%{size_download} %{size_upload}", *(what or [f"http://{STACK}:8000/bytes/{size}"]),
        ).stdout  # fmt: skip
        assert int(out.split()[way == "up"]) == size
        seen.add(re.search(r"X-Pid: (\d+)", (tmp_path / "head").read_text())[1])
        if len(seen) == 2:
            return
    pytest.fail(f"all went to {seen}")


def dialled(group, count, seconds):
    """How many connections that each process opens outlive a silence, {index: of `count`}."""
    both = group.one_each()
    with ThreadPoolExecutor(2) as pool:
        asked = {i: pool.submit(group.ask, f"/dial/{count}/{seconds}", c) for i, (c, _) in both.items()}
        return {i: int(one.result()[1]) for i, one in asked.items()}


def test_connections_idle_for_10_s_survive(group):
    """Longer than the 3 s for which the kernel would remember them; those that were accepted, and those opened here."""
    accepted = [group.connect() for _ in range(8)]
    pids = [group.ask("/", one)[0] for one in accepted]
    assert dialled(group, 8, IDLE_S) == {0: 8, 1: 8}
    assert [group.ask("/", one)[0] for one in accepted] == pids


def test_without_steering_connections_are_lost(tmp_path):
    with started(tmp_path, UNSTEERED) as group:
        alive = dialled(group, 16, 4)
        assert sum(alive.values()) < 28  # of 32; half of them in the mean


def test_answers_come_to_who_asked(group):
    for connection, pid in group.one_each().values():
        assert group.ask("/ask/16", connection) == (pid, b"16")
        assert group.ask("/dial/16/0", connection) == (pid, b"16")


def test_datagrams_in_fragments_reach_the_process_of_their_flow(group):
    seen = set()
    for _ in range(TRIES):
        with group.namespace.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with closing(sock):
            sock.settimeout(5)
            sock.connect((STACK, 7000))
            whole = []
            for size in (100, 5000, 60_000):
                sock.send(bytes(size))
                pid, length = sock.recv(100).split()
                assert int(length) == size
                whole.append(pid)
        assert len(set(whole)) == 1, whole
        seen.add(whole[0])
        if len(seen) == 2:
            return
    pytest.fail(f"all went to {seen}")


def test_path_mtu_errors_reach_the_process_of_the_flow(group):
    """The way back to the client has a smaller MTU than both ends know of."""
    near = group.namespace
    with Namespace() as client:
        near.ip(f"link add near type veth peer name far netns {client.name}")
        near.ip("address add 198.19.0.1/24 dev near")
        near.ip("link set near mtu 1300 up")
        client.ip("address add 198.19.0.2/24 dev far")
        client.ip("link set far up")
        client.ip("route add default via 198.19.0.1")
        near.sysctl("net.ipv4.ip_forward=1")
        there = Group(client, group.log)
        for connection, pid in there.one_each().values():
            assert len(there.ask("/bytes/300000", connection)[1]) == 300_000
            answered, state = there.ask("/state", connection)
            assert answered == pid
            assert json.loads(state)["pmtu"] == {"198.19.0.2": 1300}
        there.close()
        near.ip("link del near")


@pytest.mark.parametrize("index", [1, 0])
def test_one_is_killed_and_started_again(group, index):
    both = group.one_each()
    (lost, pid), (kept, other) = both[index], both[1 - index]
    os.kill(pid, signal.SIGKILL)
    assert group.ask("/", kept)[0] == other  # nothing changes for the other one's
    with pytest.raises(ConnectionError):  # its own are reset once there is one in its place
        group.ask("/", lost)
    again = group.one_each()
    assert again[1 - index][1] == other
    assert again[index][1] not in {pid, other}
    assert group.ask("/dial/4/0", again[index][0])[1] == b"4"
    assert f"process {index} of" in group.log.read_text()


def refused(namespace, *options):
    result = namespace.run(
        *tapstack("run", "--tap", "--queues", "2", *options, "--", sys.executable, "-c", ""), check=False
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


def test_a_tap_without_several_queues(namespace):
    namespace.ip(f"tuntap add dev {DEVICE} mode tap")
    assert f"'ip tuntap add dev {DEVICE} mode tap multi_queue'" in refused(namespace)


def test_a_tap_that_was_made_with_several_queues(namespace):
    namespace.ip(f"tuntap add dev {DEVICE} mode tap multi_queue")
    for _ in range(2):  # it is as before when the first have ended
        namespace.ip(f"link set {DEVICE} down")
        namespace.ip(f"address flush dev {DEVICE}")
        run = namespace.run(*tapstack("run", "--tap", "--queues", "3", "--", sys.executable, "-c", "print(1)"))
        assert "1" in run.stdout


def test_a_tap_whose_queues_somebody_has(group):
    text = refused(group.namespace, "--address", "10.9.0.2/24")
    assert "in use by another process" in text


PAGE = (ROOT / "docs/queues.md").read_text()


@pytest.mark.parametrize("number", [0, 1])
def test_the_programs_of_the_page(namespace, tmp_path, number):
    (tmp_path / "app.py").write_text(PAGE.split("```python\n")[1 + number].split("```")[0])
    program = [sys.executable, str(tmp_path / "app.py")]
    process = namespace.start(*(program if number else tapstack("run", "--tap", "--queues", "2", "--", *program)))

    seen = set()

    def both_answered():
        answer = namespace.run("nc", "-w", "2", STACK, "8000", check=False, text="GET / HTTP/1.1\r\n\r\n").stdout
        seen.update(re.findall(r"process (\d+)", answer))
        return len(seen) == 2

    try:
        wait_until(both_answered, "each of the processes answers")
    finally:
        stop(process)
