"""What a soak run does to the daemon: each load works for a while and tells how often it did its thing.

A load raises `Wrong` when the daemon gave a wrong answer or none.  Sockets are made inside the place's namespace and
used outside of it.
"""

import contextlib
import hashlib
import json
import random
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from stack.daemon.services import content
from tests.support.mutate import mutated, originals
from tools.netns import CommandFailed, Namespace, wait_until

DEVICE, STACK, HOST = "tapstack0", "198.18.0.2", "198.18.0.1"
NOBODY = "198.18.0.{}"  # addresses on the link from `FIRST_NOBODY` on that nobody answers for
FIRST_NOBODY = 200
ECHO, CHARGEN, HTTP = 7, 19, 80
URL = f"http://{STACK}/bytes"
SIZES = (0, 1, 1459, 1460, 1461, 65_535, 300_000, 2_000_000, 30_000_000)
PATIENCE_S = 30.0  # for one answer, on a link that loses and under load
SYNS = 300
JUNK = 5_000
_TCP_REPAIR = 19  # tcp(7): a socket closed in this mode is gone without a FIN or a reset
_LINGER_NOT = struct.pack("ii", 1, 0)


class Wrong(Exception):
    """A load met what must not be; the message says what."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a load runs: a namespace, a folder and randomness of its own, and the largest transfer for its link."""

    namespace: Namespace
    folder: Path
    rng: random.Random
    largest: int

    def size(self) -> int:
        """A length for a transfer."""
        return self.rng.choice([size for size in SIZES if size <= self.largest])

    @contextlib.contextmanager
    def connected(self, port: int, receive_buffer: int = 0) -> Iterator[socket.socket]:
        """A TCP connection to the stack."""
        with self.namespace.entered():
            sock = socket.socket()
        with sock:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(PATIENCE_S)
            sock.connect((STACK, port))
            yield sock


Load = Callable[[Place, float], int]


def download(place: Place, until: float) -> int:
    """Curl downloads; what came is compared by SHA-256."""
    count, target = 0, place.folder / "download"
    while time.monotonic() < until:
        length = place.size()
        place.namespace.run("curl", "-sS", "--fail", "-o", str(target), f"{URL}/{length}", timeout=4 * PATIENCE_S)
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != content.sha256(length):
                raise Wrong(f"download of {length} bytes: checksum differs")
        count += 1
    return count


def upload(place: Place, until: float) -> int:
    """Curl uploads; the stack says what it received."""
    count, source = 0, place.folder / "upload"
    while time.monotonic() < until:
        length = place.size()
        source.write_bytes(b"".join(content.chunks(length)))
        answer = place.namespace.run(
            "curl", "-sS", "--fail", "-T", str(source), f"http://{STACK}/upload", timeout=4 * PATIENCE_S
        )
        if json.loads(answer.stdout) != {"bytes": length, "sha256": content.sha256(length)}:
            raise Wrong(f"upload of {length} bytes: the stack received {answer.stdout.strip()}")
        count += 1
    return count


def requests(place: Place, until: float) -> int:
    """Requests on 32 connections by wrk."""
    seconds = max(1, round(until - time.monotonic()))
    out = place.namespace.run("wrk", "-t1", "-c32", f"-d{seconds}s", f"{URL}/1000", timeout=seconds + PATIENCE_S).stdout
    if bad := re.search(r"Socket errors: .*|Non-2xx.*", out):
        raise Wrong(f"wrk: {bad[0]}")
    total = re.search(r"(\d+) requests in", out)
    return int(total[1]) if total else 0


def churn(place: Place, until: float) -> int:
    """Short connections that end in every way a connection can."""
    ways = (_ask, _ask, _echo, _echo, _only_connect, _abort, _abort_amid)
    count = 0
    while time.monotonic() < until:
        place.rng.choice(ways)(place)
        count += 1
    for _ in range(2):
        _vanish(place)
    return count


def _read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 20), b""))


def _ask(place: Place) -> None:
    """A request; the stack closes first."""
    length = place.rng.randrange(20_000)
    with place.connected(HTTP) as sock:
        sock.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % length)
        if _read_all(sock).partition(b"\r\n\r\n")[2] != b"".join(content.chunks(length)):
            raise Wrong(f"churn: a body of {length} bytes differs")


def _echo(place: Place) -> None:
    """Echo; we close first."""
    data = place.rng.randbytes(place.rng.randrange(1, 20_000))
    with place.connected(ECHO) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        if _read_all(sock) != data:
            raise Wrong(f"churn: an echo of {len(data)} bytes differs")


def _only_connect(place: Place) -> None:
    with place.connected(ECHO):
        pass


def _abort(place: Place) -> None:
    with place.connected(ECHO) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


def _abort_amid(place: Place) -> None:
    """Gone by a reset while data flows both ways."""
    with place.connected(place.rng.choice((HTTP, CHARGEN))) as sock:
        sock.sendall(b"GET /bytes/5000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(place.rng.randrange(1, 100_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


def _vanish(place: Place) -> None:
    """Gone without a word, in the middle of an answer or before the request."""
    with place.connected(HTTP) as sock:
        if place.rng.random() < 0.5:
            sock.sendall(b"GET /bytes/5000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.recv(1000)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)


def slow_readers(place: Place, until: float) -> int:
    """Readers that hardly read, so that the stack's window probes and buffers have work; they leave by a reset."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(place.connected(CHARGEN, receive_buffer=4096)) for _ in range(8)]
        for _ in range(4):
            reader = stack.enter_context(place.connected(HTTP, receive_buffer=4096))
            reader.sendall(b"GET /bytes/9000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            readers.append(reader)
        while time.monotonic() < until:
            for reader in readers:
                if not reader.recv(1000):
                    raise Wrong("a slow reader was cut off")
            time.sleep(0.05)
    return len(readers)


def datagrams(place: Place, until: float) -> int:
    """UDP echo up to the largest datagram.  Some may be lost, none may differ."""
    answered = 0
    with place.namespace.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(0.5)
        sock.connect((STACK, ECHO))
        while time.monotonic() < until:
            data = place.rng.randbytes(place.rng.choice((8, 9, 1000, 1472, 1473, 8000, 65_507)))
            sock.send(data)
            with contextlib.suppress(TimeoutError):
                if sock.recv(65_535) != data:
                    raise Wrong(f"a datagram of {len(data)} bytes came back different")
                answered += 1
            sock.settimeout(0.5 if answered else PATIENCE_S)
    if not answered:
        raise Wrong("no datagram came back")
    return answered


def ping(place: Place, until: float) -> int:
    """Echo requests, small ones and such that need fragments."""
    answered = 0
    while time.monotonic() < until:
        size = place.rng.choice((0, 56, 1472, 1473, 30_000, 65_000))
        out = place.namespace.run(
            *("ping", "-q", "-c", "50", "-i", "0.01", "-W", "3", "-s", str(size), STACK), check=False
        ).stdout
        received = re.search(r"(\d+) received", out)
        if not received or received[1] == "0":
            raise Wrong(f"no ping of {size} bytes was answered")
        answered += int(received[1])
    return answered


def active_opens(place: Place, until: float) -> int:
    """Connections that the stack opens: `tapstack nc` to a server of the kernel's that sends back what it gets."""
    with place.namespace.entered():
        listener = socket.create_server((HOST, 0))
    with listener:
        server = threading.Thread(target=_send_back, args=(listener,))
        server.start()
        count = 0
        try:
            while time.monotonic() < until:
                text = str(place.rng.getrandbits(64)) * 1000
                command = ("nc", HOST, str(listener.getsockname()[1]), "--control", str(place.folder / "control"))
                out = place.namespace.run(sys.executable, "-m", "stack.cli", *command, text=text, timeout=PATIENCE_S)
                if out.stdout != text:
                    raise Wrong("tapstack nc: what came back differs")
                count += 1
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()
    return count


def _send_back(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # it was closed
            return
        with connection:
            connection.settimeout(PATIENCE_S)
            connection.sendall(_read_all(connection))


def half_open(place: Place, mac: bytes) -> int:
    """SYNs from addresses that answer nothing."""
    with place.namespace.packet_socket(DEVICE) as raw:
        for number in range(SYNS):
            source = NOBODY.format(FIRST_NOBODY + number % 10)
            syn = TCP(sport=1024 + number, dport=HTTP, flags="S", seq=place.rng.getrandbits(32))
            raw.send(bytes(Ether(src=_mac_of(place), dst=mac.hex(":")) / IP(src=source, dst=STACK) / syn))
    return SYNS


def junk(place: Place, mac: bytes) -> int:
    """Damaged frames of all kinds; afterwards the daemon answers ping."""
    frames = originals(bytes.fromhex(_mac_of(place).replace(":", "")), mac, HOST, STACK)
    with place.namespace.packet_socket(DEVICE) as raw:
        for frame in mutated(frames, JUNK, place.rng.getrandbits(32)):
            raw.send(frame)

    def answers() -> bool:
        return place.namespace.run("ping", "-c", "1", "-W", "1", STACK, check=False).returncode == 0

    try:
        wait_until(answers, "ping is answered after the damaged frames", PATIENCE_S)
    except TimeoutError as error:
        raise Wrong(str(error)) from error
    return JUNK


def _mac_of(place: Place) -> str:
    """The link address of the kernel's end of the device."""
    return place.namespace.run("cat", f"/sys/class/net/{DEVICE}/address").stdout.strip()


def watchers(place: Place, until: float) -> int:
    """Whoever looks in: browsers that come and go, one that does not read, scrapes of the metrics."""
    count = 0
    ways = ("/view/events", "/view/packets", "/view/packets?filter=tcp")
    while time.monotonic() < until:
        with contextlib.ExitStack() as open_ones:
            for path in place.rng.sample(ways, 2):
                sock = open_ones.enter_context(place.connected(HTTP, receive_buffer=4096))
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {STACK}\r\n\r\n".encode())
                if not sock.recv(100).startswith(b"HTTP/1.1 200 "):
                    raise Wrong(f"{path} was refused")
            for path in ("/", "/metrics", "/view/status", "/view/history"):
                place.namespace.run("curl", "-sS", "--fail", "-o", "/dev/null", f"http://{STACK}{path}")
            time.sleep(place.rng.uniform(0, 2.5))
        count += 1
    return count


DIRECT: dict[str, Load] = {
    "downloads": download,
    "uploads": upload,
    "requests (wrk)": requests,
    "connection churn": churn,
    "slow readers": slow_readers,
    "datagrams echoed": datagrams,
    "pings": ping,
    "active opens": active_opens,
    "watchers": watchers,
}
LOSSY: dict[str, Load] = {"downloads": download, "uploads": upload, "connection churn": churn, "pings": ping}


def attempt(load: Callable[[], int]) -> tuple[int, str]:
    """How often a load did its thing, and what was wrong (empty: nothing)."""
    try:
        return load(), ""
    except (Wrong, CommandFailed, OSError, ValueError) as error:
        return 0, f"{type(error).__name__}: {error}"
