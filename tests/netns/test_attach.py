"""Processes attached to a running daemon: each with an address and a stack of its own."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import sys
import threading

import pytest

from stack.device.attached import attach
from stack.errors import DeviceError
from tests.support.frames import End, udp_frame
from tests.support.netns import HOST, STACK, Daemon, Namespace, tapstack, wait_until
from tools.netns import ENVIRONMENT, stop

pytestmark = pytest.mark.netns

FIRST, SECOND = "198.18.0.128", "198.18.0.129"

SERVER = """
import asyncio, stack, sys

async def serve(reader, writer):
    asked = (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1].decode()
    body = (writer.get_extra_info("peername")[0] + " asks for " + asked).encode()
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % len(body) + body)
    writer.close()

async def main():
    async with stack.attach(sys.argv[1], name=sys.argv[2]) as host:
        server = await host.start_server(serve, port=80)
        print("ready", flush=True)
        await server.serve_forever()

stack.run(main())
"""

CLIENT = """
import asyncio, stack, sys

async def main():
    async with stack.attach(sys.argv[1]) as host:
        for address in sys.argv[2:]:
            print(round((await host.ping(address)).ttl), end=" ")
            reader, writer = await host.open_connection(address, 80)
            writer.write(b"GET /it HTTP/1.0\\r\\n\\r\\n")
            print((await reader.read()).split(b"\\r\\n\\r\\n")[-1][:40], flush=True)
            writer.close()

stack.run(main())
"""


class Attached:
    """The daemon of a test, and programs that attach to it."""

    def __init__(self, daemon, folder):
        self.daemon = daemon
        self.folder = folder
        self.path = folder / "control.sock.attach"

    def start(self, program, *arguments):
        """A program that runs beside the test, and where its output goes."""
        log = self.folder / f"{len(list(self.folder.iterdir()))}.log"
        return self.daemon.namespace.start(sys.executable, "-c", program, str(self.path), *arguments, log=log), log

    def serve(self, name):
        process, log = self.start(SERVER, name)
        wait_until(lambda: "ready" in log.read_text() or process.poll() is not None, "it is attached")
        assert log.read_text() == "ready\n"
        return process

    def run(self, program, *arguments):
        return self.daemon.namespace.run(sys.executable, "-c", program, str(self.path), *arguments).stdout

    def curl(self, address, check=True):
        return self.daemon.namespace.run("curl", "-sS", "-m", "5", f"http://{address}/it", check=check).stdout

    def status(self):
        return json.loads(self.daemon.command("status", "--json"))["attach"]


@pytest.fixture
def attached(namespace, tmp_path):
    with Daemon(namespace, tmp_path) as daemon:
        yield Attached(daemon, tmp_path)


def test_attached_processes_the_host_and_the_daemon_talk_to_each_other(attached):
    attached.serve("web")
    assert attached.curl(FIRST) == f"{HOST} asks for /it"
    assert attached.daemon.namespace.run("ping", "-c", "2", "-i", "0.2", FIRST).returncode == 0
    kernels = attached.daemon.namespace.start(
        sys.executable, "-m", "http.server", "-b", HOST, "-d", str(attached.folder), "80"
    )
    wait_until(lambda: "Error" in attached.curl(HOST, check=False), "the kernel's server answers")
    lines = attached.run(CLIENT, FIRST, STACK, HOST).splitlines()
    stop(kernels)
    assert lines[0] == f"64 {f'{SECOND} asks for /it'.encode()!r}"
    assert lines[1].startswith("64 b'not found; there are /,"), lines[1]
    assert lines[2].startswith("64 b'<!DOCTYPE HTML>"), lines[2]
    status = attached.status()
    assert [(port["name"], port["address"]) for port in status["ports"]] == [("web", FIRST)]
    assert status["ports"][0]["tx_dropped"] == 0
    assert not any(name.startswith("refused") for name in status["ports"][0])
    text = attached.daemon.command("status")
    assert FIRST in text
    assert "web" in text


def test_the_end_of_a_process_frees_its_address_and_connections(attached):
    process = attached.serve("first")
    attached.serve("second")
    with attached.daemon.namespace.entered():
        ours = socket.create_connection((FIRST, 80), timeout=5)
    neighbour = attached.daemon.namespace.run("ip", "neighbour", "show", FIRST).stdout
    stop(process, signal.SIGKILL)
    wait_until(lambda: len(attached.status()["ports"]) == 1, "the switch has seen it")
    assert attached.curl(SECOND) == f"{HOST} asks for /it"  # the other one goes on
    assert attached.status()["free"] == 63
    sniffer = attached.daemon.namespace.packet_socket("tapstack0")
    again, log = attached.start(SERVER.replace("sys.argv[1],", f"sys.argv[1], address={FIRST!r},"), "again")
    wait_until(lambda: "ready" in log.read_text() or again.poll() is not None, "it is attached")
    assert attached.curl(FIRST) == f"{HOST} asks for /it"
    # the new owner has announced it: a request for itself (RFC 5227 §2.3)
    announced = socket.inet_aton(FIRST)
    with sniffer:
        while (
            (frame := sniffer.recv(2000))[12:14] != b"\x08\x06"
            or frame[28:32] != announced
            or frame[38:42] != announced
        ):
            pass
    assert frame[:6] == b"\xff" * 6
    # of the old connection the new owner knows nothing, and says so
    with ours, pytest.raises(ConnectionResetError):
        ours.sendall(b"GET / HTTP/1.0\r\n\r\n")
        ours.settimeout(10)
        while ours.recv(100):
            pass
    assert attached.daemon.namespace.run("ip", "neighbour", "show", FIRST).stdout.split()[:5] == neighbour.split()[:5]


HOLD = """
import asyncio, stack, sys

async def main():
    async with stack.attach(sys.argv[1]) as host:
        kept = await host.open_connection(sys.argv[2], 7)
        print("ready", flush=True)
        await asyncio.sleep(600)

stack.run(main())
"""


def test_the_daemons_own_connections_to_a_process_end_with_it(attached):
    def peers():
        snapshot = json.loads(attached.daemon.command("status", "--json"))
        return sorted(one["remote_addr"] for one in snapshot["connections"])

    started = [attached.start(HOLD, STACK) for _ in range(2)]
    wait_until(lambda: all("ready" in log.read_text() for _, log in started), "both are connected")
    assert peers() == [FIRST, SECOND]
    first = next(port["pid"] for port in attached.status()["ports"] if port["address"] == FIRST)
    stop(next(process for process, _ in started if process.pid == first), signal.SIGKILL)
    wait_until(lambda: peers() == [SECOND], "that of the other one is left")
    assert attached.status()["free"] == 63


def test_who_reached_a_process_by_the_daemon_hears_of_its_end_at_once(attached):
    process = attached.serve("web")
    sock = str(attached.folder / "control.sock")
    pipe, ours = os.pipe()
    relayed = attached.daemon.namespace.start(*tapstack("nc", FIRST, "80", "--control", sock), stdin=pipe)
    wait_until(
        lambda: (
            FIRST
            in [one["remote_addr"] for one in json.loads(attached.daemon.command("status", "--json"))["connections"]]
        ),
        "it is connected",
    )
    stop(process, signal.SIGKILL)
    relayed.wait(10)
    os.close(pipe)
    os.close(ours)


def test_no_process_sends_from_anothers_address(attached):
    attached.serve("victim")
    sock, lease = attach(attached.path)
    links = json.loads(attached.daemon.namespace.run("ip", "-json", "link", "show", "tapstack0").stdout)
    kernel = End(bytes.fromhex(links[0]["address"].replace(":", "")), socket.inet_aton(HOST), 9999)
    mac = bytes.fromhex(lease.mac.replace(":", ""))
    with attached.daemon.namespace.entered():
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock, listener:
        listener.settimeout(10)
        listener.bind((HOST, 9999))
        for address, text in ((FIRST, b"a lie"), (STACK, b"a lie"), (HOST, b"a lie"), (lease.address, b"the truth")):
            sock.send(bytes(10) + udp_frame(End(mac, socket.inet_aton(address), 7), kernel, text))
        assert listener.recvfrom(100) == (b"the truth", (lease.address, 7))  # and that came first
        [port] = [port for port in attached.status()["ports"] if port["address"] == lease.address]
        assert port["refused_source_address"] == 3
        # nor does it see what is for the other one
        assert attached.curl(FIRST) == f"{HOST} asks for /it"
        seen = []
        with contextlib.suppress(BlockingIOError):
            while frame := sock.recv(70_000):
                seen.append(frame[10:16])
        assert all(target[0] & 1 or target == mac for target in seen)


ECHO = """
import asyncio, stack, sys

async def echo(reader, writer):
    while data := await reader.read(1 << 18):
        writer.write(data)
        await writer.drain()
    writer.close()

async def main():
    async with stack.attach(sys.argv[1]) as host:
        server = await host.start_server(echo, port=7, limit=1 << 20)
        print("ready", flush=True)
        await server.serve_forever()

stack.run(main())
"""


@pytest.mark.parametrize(("option", "size", "mean"), [((), 60_000_000, 8_000), (("--no-offload",), 5_000_000, 0)])
def test_bulk_passes_in_super_segments_where_the_tap_has_them(namespace, tmp_path, option, size, mean):
    data = random.Random(7).randbytes(1 << 20) * (size >> 20)
    with Daemon(namespace, tmp_path, *option) as daemon:
        attached = Attached(daemon, tmp_path)
        process, log = attached.start(ECHO)
        wait_until(lambda: "ready" in log.read_text() or process.poll() is not None, "it is attached")
        with namespace.entered():
            sock = socket.create_connection((FIRST, 7), timeout=30)

        def send():
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        back = bytearray()
        while piece := sock.recv(1 << 20):
            back += piece
        sending.join()
        sock.close()
        assert bytes(back) == data
        [port] = attached.status()["ports"]
        assert not any(name.startswith("refused") for name in port)
        for way in ("rx", "tx"):
            assert port[f"{way}_bytes"] > len(data)
        # an echo acknowledges with data, so few frames are small
        assert (port["rx_bytes"] + port["tx_bytes"]) / (port["rx_frames"] + port["tx_frames"]) > mean
        if not mean:
            assert port["tx_bytes"] / port["tx_frames"] <= 1514


@pytest.mark.parametrize("program", ["", "1"], ids=["program-c", "program-plain"])
def test_a_daemon_without_the_c_core(namespace, tmp_path, monkeypatch, program):
    monkeypatch.setitem(ENVIRONMENT, "TAPSTACK_PURE", "1")
    with Daemon(namespace, tmp_path) as daemon:
        attached = Attached(daemon, tmp_path)
        monkeypatch.setitem(ENVIRONMENT, "TAPSTACK_PURE", program)
        process = attached.serve("web")
        assert attached.curl(FIRST) == f"{HOST} asks for /it"
        line = attached.run(CLIENT, FIRST)
        assert line == f"64 {f'{SECOND} asks for /it'.encode()!r}\n"
        stop(process, signal.SIGKILL)
        wait_until(lambda: not attached.status()["ports"], "the switch has seen it")


FORKS = """
import asyncio, multiprocessing, os, stack, sys, time

async def main():
    async with stack.attach(sys.argv[1]) as host:
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
        print("ready", child, flush=True)
        await asyncio.sleep(30)

stack.run(main())
"""


def test_a_child_that_outlives_it_does_not_keep_its_address(attached):
    process, log = attached.start(FORKS)
    wait_until(lambda: "ready" in log.read_text() or process.poll() is not None, "it is attached")
    child = int(log.read_text().split()[1])
    assert len(attached.status()["ports"]) == 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not attached.status()["ports"], "the switch has seen it")
    os.kill(child, signal.SIGKILL)  # it was there all the time


def test_what_cannot_be_is_told_in_one_sentence(attached):
    path = attached.path
    assert path.stat().st_mode & 0o777 == 0o600
    lines = attached.daemon.namespace.run(
        sys.executable, "-c", CLIENT, str(path) + "x", check=False
    ).stderr.splitlines()
    assert lines[-1].endswith("'tapstack up' starts one, unless attach.enabled is false")
    with pytest.raises(DeviceError, match="not among the 64 addresses"):
        attach(path, address="10.0.0.1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(path))
        sock.send(b"\0" * 1000)
        assert b"no request" in sock.recv(2000)
    assert attached.status()["refused"] == {"address": 1, "bad_hello": 1}


def test_the_end_of_the_daemon_is_told(namespace, tmp_path):
    with Daemon(namespace, tmp_path) as daemon:
        attached = Attached(daemon, tmp_path)
        process, log = attached.start(SERVER, "web")
        wait_until(lambda: "ready" in log.read_text(), "it is attached")
    assert not attached.path.exists()
    wait_until(lambda: "has gone" in log.read_text(), "the process knows")
    assert "the daemon that attached0 was attached to has gone" in log.read_text()
    stop(process)


@pytest.mark.parametrize("limit", ['pool = "198.18.0.9"', "ports = 1"])
def test_a_full_daemon_says_so(tmp_path, limit):
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[attach]\n{limit}\n")
    with Namespace() as namespace, Daemon(namespace, tmp_path, "--config", str(settings)) as daemon:
        attached = Attached(daemon, tmp_path)
        attached.serve("only")
        with pytest.raises(DeviceError, match="in use: end one of them"):
            attach(attached.path)


AS_USER = ("unshare", "--map-user=1234", "--map-group=1234", "--")  # as in test_daemon.py


def test_a_daemon_without_root_in_a_namespace_of_its_own(namespace, tmp_path):
    log, control = tmp_path / "up.log", str(tmp_path / "control.sock")
    process = namespace.start(*AS_USER, *tapstack("up", "--control", control), log=log)
    wait_until(lambda: "Ctrl-C ends it" in log.read_text() or process.poll() is not None, "it is up")
    pid = re.search(r"nsenter .*-t (\d+) curl", log.read_text())[1]
    text, path = tmp_path / "web.log", f"{control}.attach"
    server = namespace.start(*AS_USER, sys.executable, "-c", SERVER, path, "web", log=text)
    wait_until(lambda: "ready" in text.read_text() or server.poll() is not None, "it is attached")
    got = namespace.run("nsenter", "-n", "-t", pid, "curl", "-sS", "-m", "5", f"http://{FIRST}/it").stdout
    assert got == f"{HOST} asks for /it"
    stop(server)
    assert stop(process) == 0


def test_a_daemon_that_offers_nothing(tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[attach]\nenabled = false\n")
    with Namespace() as namespace, Daemon(namespace, tmp_path, "--config", str(settings)) as daemon:
        attached = Attached(daemon, tmp_path)
        with pytest.raises(DeviceError, match="no daemon listens on"):
            attach(attached.path)
        assert "attach" not in json.loads(daemon.command("status", "--json"))
