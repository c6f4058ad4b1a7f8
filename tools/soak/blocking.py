"""A load of the soak run: blocking programs over hosts that are attached to the daemon.

Each program has a host in a thread, patches the standard library's `socket` and lets several threads at once download
over HTTP, echo, serve and send datagrams; connections are ended well, by reset, amid a transfer, and not at all.  It
tells what it has left open itself: descriptors and connections that were closed must be gone.
"""

import sys
import time

from stack.daemon.services import content
from tools.soak.load import ECHO, PATIENCE_S, STACK, Place, Wrong

NAME = "blocking"

PROGRAM = """
import contextlib, gc, hashlib, http.client, os, random, socket, struct, sys, threading, time
import stack
from stack import socket as ours

path, stack_address, echo, size, seed, *hashes = sys.argv[1:]
size, seed, failures = int(size), int(seed), []
lengths = [0, 1, 5000, size]

def download():
    connection = http.client.HTTPConnection(stack_address, 80, timeout=20)
    for length, wanted in zip(lengths, hashes):
        connection.request("GET", f"/bytes/{length}")
        assert hashlib.sha256(connection.getresponse().read()).hexdigest() == wanted, length
    connection.close()

def echoed():
    data = random.Random(seed).randbytes(size)
    with socket.create_connection((stack_address, int(echo)), 20) as sock:
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        with sock.makefile("rb") as back:
            assert back.read() == data
        sender.join()

def datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((stack_address, int(echo)))
        sock.send(b"hello")
        assert sock.recv(100) == b"hello"

def reset_amid():
    with socket.create_connection((stack_address, int(echo)), 20) as sock:
        sock.sendall(bytes(100_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

def unread():
    with socket.create_connection((stack_address, int(echo)), 20) as sock:
        sock.sendall(bytes(50_000))
        sock.recv(1)

def served(own):
    with socket.create_server((own, 0)) as server:
        server.settimeout(20)
        def accept():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
        thread = threading.Thread(target=accept)
        thread.start()
        with socket.create_connection(server.getsockname(), 20) as sock:
            sock.sendall(b"to myself")
            sock.shutdown(socket.SHUT_WR)
            assert sock.makefile("rb").read() == b"to myself"
        thread.join()

def guarded(way, *args):
    try:
        way(*args)
    except Exception as exc:
        failures.append(f"{way.__name__}: {exc!r}")

with ours.use(lambda: stack.attach(path, name="blocking")) as station, ours.patched():
    host = station.host
    own = host.addresses()[0][0]
    own = ".".join(str(own >> shift & 255) for shift in (24, 16, 8, 0))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        ways = [(download,), (echoed,), (echoed,), (datagrams,), (reset_amid,), (unread,), (served, own)]
        threads = [threading.Thread(target=guarded, args=way) for way in ways]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    gc.collect()
    end = time.monotonic() + 20
    while station.run(lambda: len(station.poller)) or len(os.listdir("/proc/self/fd")) > before:
        if time.monotonic() > end:
            failures.append("something that was closed is still there")
            break
        time.sleep(0.05)
    left = socket.create_connection((stack_address, int(echo)), 20) if seed % 2 else None  # for the end of the program
if failures:
    raise SystemExit("; ".join(failures))
if left is not None:
    left.close()
"""


def blocking(place: Place, until: float) -> int:
    """See the head of this file; how many programs have run."""
    path = place.folder / "control.attach"
    count = 0
    while time.monotonic() < until:
        size = min(place.size(), place.largest // 4, 2_000_000)
        hashes = [content.sha256(length) for length in (0, 1, 5000, size)]
        seed = place.rng.randrange(1 << 30)
        arguments = (str(path), STACK, str(ECHO), str(size), str(seed), *hashes)
        done = place.namespace.run(sys.executable, "-c", PROGRAM, *arguments, timeout=4 * PATIENCE_S, check=False)
        if done.returncode:
            raise Wrong(f"a blocking program: {(done.stderr or done.stdout)[-1500:]}")
        count += 1
    return count
