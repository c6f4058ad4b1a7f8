"""A load of the soak run: connections and datagrams through the SOCKS proxy and forwarded ports, ended in every way.

What goes there and back is compared.  Between the good clients come such that speak nonsense, dribble, go away amid
their handshake, ask for what nobody has, or reset amid a transfer.  Afterwards nobody is at any port.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Final

from stack.proxy.socks5 import SUCCEEDED, wrap
from tools.soak.load import ECHO, HOST, PATIENCE_S, STACK, Place, Wrong

SOCKS, OUTWARD, INWARD, TARGET = 1080, 8007, 8008, 8009
CONFIG: Final = f"""
[socks]
handshake_s = 2.0

[[forward]]
listen = "{OUTWARD}"
to = "{HOST}:{TARGET}"

[[forward]]
listen = "{INWARD}"
to = "{HOST}:{TARGET}"
in = true

[[forward]]
listen = "{OUTWARD}/udp"
to = "{STACK}:{ECHO}"
"""
_RESET: Final = struct.pack("ii", 1, 0)
_GREETING: Final = b"\x05\x01\x00"


def proxied(place: Place, until: float) -> int:
    """See the head of this file; how many connections and datagrams came through whole."""
    count = 0
    ways = (_by_socks, _by_socks, _by_port, _datagram, _forwarded_datagram, _nonsense, _gone, _nobody, _reset_amid)
    with _echo_of_the_kernel(place):
        while time.monotonic() < until:
            count += place.rng.choice(ways)(place)
    return count


@contextlib.contextmanager
def _echo_of_the_kernel(place: Place) -> Iterator[None]:
    with place.namespace.entered():
        listener = socket.create_server((HOST, TARGET), backlog=64)
    with listener:
        server = threading.Thread(target=_serve, args=(listener,))
        server.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # it was closed
            return
        with connection, contextlib.suppress(OSError):  # they end in every way
            connection.settimeout(PATIENCE_S)
            while data := connection.recv(1 << 16):
                connection.sendall(data)


def _connected(place: Place, address: str, port: int) -> socket.socket:
    with place.namespace.entered():
        sock = socket.socket()
    sock.settimeout(PATIENCE_S)
    sock.connect((address, port))
    return sock


def _exactly(sock: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (piece := sock.recv(count - len(got))):
        got += piece
    return got


def _request(sock: socket.socket, command: int, address: str, port: int) -> bytes:
    """The greeting, then the request in one or several pieces; the reply."""
    sock.sendall(_GREETING)
    if _exactly(sock, 2) != b"\x05\x00":
        raise Wrong("socks: no method was selected")
    octets = bytes((5, command, 0)) + wrap(address, port, b"")[3:]
    for octet in octets:
        sock.sendall(bytes((octet,)))
    reply = _exactly(sock, 10)
    if reply[1:2] != bytes((SUCCEEDED,)):
        raise Wrong(f"socks: {address}:{port} was answered with {reply.hex()}")
    return reply


def _there_and_back(place: Place, sock: socket.socket, what: str) -> int:
    """More than the buffers hold, so that each direction has to wait for the other; half closed at the end."""
    data = place.rng.randbytes(place.rng.choice((1, 1460, 100_000, min(3_000_000, place.largest))))
    sender = threading.Thread(target=_send, args=(sock, data))
    sender.start()
    back = b"".join(iter(lambda: sock.recv(1 << 18), b""))
    sender.join()
    if back != data:
        raise Wrong(f"{what}: {len(back)} bytes of {len(data)} came back, or others")
    return 1


def _send(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # what comes back tells
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def _by_socks(place: Place) -> int:
    to = place.rng.choice(((HOST, TARGET), (STACK, ECHO)))
    with _connected(place, "127.0.0.1", SOCKS) as sock:
        _request(sock, 1, *to)
        return _there_and_back(place, sock, "socks")


def _by_port(place: Place) -> int:
    where = place.rng.choice((("127.0.0.1", OUTWARD), (STACK, INWARD)))
    with _connected(place, *where) as sock:
        return _there_and_back(place, sock, f"forwarded port {where[1]}")


def _datagram(place: Place) -> int:
    with _connected(place, "127.0.0.1", SOCKS) as control:
        reply = _request(control, 3, "0.0.0.0", 0)  # noqa: S104  # any: it is not known yet
        relay = socket.inet_ntoa(reply[4:8]), int.from_bytes(reply[8:], "big")
        return _echoed(place, relay, wrap(STACK, ECHO, place.rng.randbytes(place.rng.randrange(1, 1400))))


def _forwarded_datagram(place: Place) -> int:
    return _echoed(place, ("127.0.0.1", OUTWARD), place.rng.randbytes(place.rng.randrange(1, 1400)))


def _echoed(place: Place, where: tuple[str, int], data: bytes) -> int:
    """What is sent comes back as it was: the echo of the proxy's has the same header."""
    with place.namespace.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(2.0)
        sock.connect(where)
        sock.send(data)
        try:
            back = sock.recv(65_535)
        except TimeoutError:  # a datagram may be lost
            return 0
    if back != data:
        raise Wrong(f"a datagram to port {where[1]} came back different")
    return 1


def _nonsense(place: Place) -> int:
    """Closed, with at most a refusal."""
    with _connected(place, "127.0.0.1", SOCKS) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(bytes((place.rng.choice((4, 5, 0x47)),)) + place.rng.randbytes(place.rng.randrange(1, 3000)))
        while sock.recv(1 << 16):  # until it is closed; a timeout is told as what is wrong
            pass
    return 0


def _gone(place: Place) -> int:
    """Away amid the handshake, by an end or a reset, or left to its deadline."""
    octets = _GREETING + b"\x05\x01\x00" + wrap(HOST, TARGET, b"")[3:]
    with _connected(place, "127.0.0.1", SOCKS) as sock:
        sock.sendall(octets[: place.rng.randrange(1, len(octets))])
        way = place.rng.randrange(3)
        if way == 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif way == 2:
            while sock.recv(100):
                pass
    return 0


def _nobody(place: Place) -> int:
    """A port where nobody listens: refused."""
    with _connected(place, "127.0.0.1", SOCKS) as sock:
        sock.sendall(_GREETING + b"\x05\x01\x00" + wrap(HOST, 1, b"")[3:])
        if (answer := _exactly(sock, 12))[3:4] != b"\x05":
            raise Wrong(f"socks: a refused connection was answered with {answer.hex()}")
    return 0


def _reset_amid(place: Place) -> int:
    with _connected(place, "127.0.0.1", place.rng.choice((SOCKS, OUTWARD))) as sock:
        if sock.getpeername()[1] == SOCKS:
            _request(sock, 1, HOST, TARGET)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(1 << 16))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    return 0
