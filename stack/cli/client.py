"""The client's side of the control socket (`stack.daemon.control` tells the protocol)."""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import click
import h11

from stack.daemon.control import CHUNK, CONNECT_S, MAX_PINGS, candidates
from stack.errors import ConfigError, StackError

HTTP_PORT = 80
_ANSWER_S = 190.0  # longer than the daemon takes to give up a connect


def resolve(name: str) -> str:
    """The IPv4 address of `name`, by this machine's resolver.  Raises OSError."""
    return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])


@contextmanager
def _request(dev: str, path: str | None, request: dict[str, Any]) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
    """Ask the daemon; its answer, and the socket on which more may follow.  Raises StackError."""
    with _connect(dev, path) as sock:
        sock.settimeout(_ANSWER_S)
        sock.sendall(json.dumps(request).encode("ascii") + b"\n")
        answer = _read_answer(sock)
        if not answer.get("ok"):
            raise StackError(str(answer.get("error", "the daemon went away")))
        sock.settimeout(None)
        yield sock, answer


def _read_answer(sock: socket.socket) -> dict[str, Any]:
    """The next line, and not a byte of what follows it; empty when the daemon went away."""
    line = bytearray()
    while not line.endswith(b"\n"):
        waiting = sock.recv(CHUNK, socket.MSG_PEEK)
        if not waiting:
            return {}
        line += sock.recv(waiting.find(b"\n") + 1 or len(waiting))
    answer: dict[str, Any] = json.loads(line)
    return answer


def _connect(dev: str, path: str | None) -> socket.socket:
    paths = [path] if path is not None else [str(candidate) for candidate in candidates(dev)]
    denied = False
    for candidate in paths:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(candidate)
        except PermissionError:
            denied = True
            sock.close()
        except OSError:
            sock.close()
        else:
            return sock
    if denied:
        raise StackError(f"the daemon on {dev} belongs to another user; try as root or as that user")
    raise StackError(f"no daemon is running on {dev} (looked for {', '.join(paths)}); 'tapstack up' starts one")


def status(dev: str, path: str | None) -> dict[str, Any]:
    """The daemon's snapshot.  Raises StackError."""
    with _request(dev, path, {"op": "status"}) as (_, answer):
        snapshot: dict[str, Any] = answer["status"]
        return snapshot


def ping(
    dev: str, path: str | None, address: str, *, count: int | None, size: int, interval: float, timeout: float
) -> int:
    """Print replies as they come, then the sum.  0 when any came."""
    request = {
        "op": "ping",
        "address": address,
        "count": count or MAX_PINGS,
        "size": size,
        "interval": interval,
        "timeout": timeout,
    }
    sent, rtts = 0, []
    with _request(dev, path, request) as (sock, _):
        click.echo(f"PING {address} from the stack, {size} bytes of data")
        try:
            while "seq" in (answer := _read_answer(sock)):
                sent += 1
                if "rtt_us" in answer:
                    rtts.append(answer["rtt_us"])
                    click.echo(
                        f"{size + 8} bytes from {address}: icmp_seq={answer['seq']} ttl={answer['ttl']} "
                        f"time={answer['rtt_us'] / 1000:.3f} ms"
                    )
                else:
                    click.echo(f"icmp_seq={answer['seq']} {answer.get('error', 'no answer')}")
        except KeyboardInterrupt:
            click.echo()
    lost = 100 * (sent - len(rtts)) / sent if sent else 0
    click.echo(f"{sent} sent, {len(rtts)} received, {lost:.0f}% lost")
    if rtts:
        click.echo(
            f"rtt min/avg/max = {min(rtts) / 1000:.3f}/{sum(rtts) / len(rtts) / 1000:.3f}/{max(rtts) / 1000:.3f} ms"
        )
    return 0 if rtts else 1


@contextmanager
def _open(dev: str, path: str | None, address: str, port: int, timeout: float) -> Iterator[socket.socket]:
    """A connection from the stack's address, as a socket."""
    with _request(dev, path, {"op": "connect", "address": address, "port": port, "timeout": timeout}) as (sock, _):
        yield sock


def nc(dev: str, path: str | None, address: str, port: int, timeout: float) -> int:
    """Standard input and output over a connection from the stack's address."""
    with _open(dev, path, address, port, timeout) as sock:
        # A thread, because reading standard input cannot be interrupted; a daemon one, so that it holds nobody up.
        threading.Thread(target=_send_input, args=(sock,), daemon=True).start()
        try:
            while data := sock.recv(CHUNK):
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        except KeyboardInterrupt:
            return 130
        except OSError:
            return 1
    return 0


def _send_input(sock: socket.socket) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), CHUNK):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction reports it


def get(dev: str, path: str | None, url: str, output: str | None, include: bool) -> int:
    """Fetch `url`; 0 when its status is below 400."""
    try:
        parts = urlsplit(url)
        port = parts.port or HTTP_PORT
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from None
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(f"{url} is not an http:// URL")
    try:
        address = resolve(parts.hostname)
    except OSError as error:
        raise ConfigError(f"{parts.hostname}: {error.strerror or error}") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    http = h11.Connection(h11.CLIENT)
    request = (
        http.send(
            h11.Request(
                method="GET",
                target=target,
                headers=[("Host", parts.netloc), ("User-Agent", "tapstack"), ("Connection", "close")],
            )
        )
        or b""
    )
    request += http.send(h11.EndOfMessage()) or b""
    with _open(dev, path, address, port, CONNECT_S) as sock, _output(output) as body:
        try:
            sock.sendall(request)
            return _receive(http, sock, body, include)
        except (h11.RemoteProtocolError, OSError) as error:
            raise StackError(f"{url}: {error}") from None


@contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = Path(path).open("wb")  # noqa: SIM115  # entered below, so that its errors are not taken for these
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    with file:
        yield file


def _events(http: h11.Connection, sock: socket.socket) -> Iterator[h11.Event]:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(sock.recv(CHUNK))
        elif isinstance(event, h11.Event):
            yield event
            if isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return


def _receive(http: h11.Connection, sock: socket.socket, body: BinaryIO, include: bool) -> int:
    code, received, begun = 0, 0, time.monotonic()
    for event in _events(http, sock):
        if isinstance(event, h11.Response):
            code = event.status_code
            if include:
                click.echo(f"HTTP/{event.http_version.decode()} {code} {event.reason.decode()}", err=True)
                for name, value in event.headers:
                    click.echo(f"{name.decode()}: {value.decode('latin-1')}", err=True)
        elif isinstance(event, h11.Data):
            body.write(event.data)
            received += len(event.data)
    took = max(time.monotonic() - begun, 1e-9)
    if body is not sys.stdout.buffer:
        click.echo(f"{code}, {received} bytes in {took:.2f} s, {received * 8 / took / 1e6:.1f} Mbit/s", err=True)
    return 0 if code < 400 else 1
