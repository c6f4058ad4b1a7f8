"""The client's side of the control socket (`stack.daemon.control` tells the protocol)."""

import ipaddress
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import quote, urlsplit

import click
import h11

from stack.daemon.control import CHUNK, CONNECT_S, MAX_PINGS, candidates
from stack.errors import ConfigError, StackError

HTTP_PORT = 80
_URL_SAFE = "!$%&'()*+,/:;=?@[]~"
_STATUS_S = 5.0
_ANSWER_S = 190.0  # longer than the daemon takes to give up a connect


class NoDaemon(StackError):
    """There is no daemon that would hear us; `why` is the reason, as a part of a sentence."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(f"{why}{hint}")
        self.why = why


def is_address(text: str) -> bool:
    """Whether it is an address in figures."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def resolve(name: str) -> str:
    """The IPv4 address of `name`, by this machine's resolver.  Raises OSError."""
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None


@contextmanager
def _request(
    dev: str, path: str | None, request: dict[str, Any], patience_s: float = _ANSWER_S
) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
    """Ask the daemon; its answer, and the socket on which more may follow.  Raises StackError."""
    with _connect(dev, path, patience_s) as sock:
        try:
            with suppress(BrokenPipeError):  # turned away before it was asked: the answer says why
                sock.sendall(json.dumps(request).encode("ascii") + b"\n")
            answer = _read_answer(sock)
        except TimeoutError:
            raise StackError(f"the daemon on {dev} did not answer within {patience_s:g} s: is it stopped?") from None
        except ConnectionError:
            answer = {}
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


def _connect(dev: str, path: str | None, patience_s: float) -> socket.socket:
    paths = [path] if path is not None else [str(candidate) for candidate in candidates(dev)]
    denied = False
    for candidate in paths:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(patience_s)
        try:
            sock.connect(candidate)
        except PermissionError:
            denied = True
            sock.close()
        except BlockingIOError:
            sock.close()
            raise StackError(f"the daemon on {dev} takes no more clients: is it stopped?") from None
        except OSError:
            sock.close()
        else:
            return sock
    if denied:
        raise NoDaemon(f"the daemon on {dev} belongs to another user", "; try as root or as that user")
    raise NoDaemon(f"no daemon is running on {dev}", f" (looked for {', '.join(paths)}); 'tapstack up' starts one")


def status(dev: str, path: str | None) -> dict[str, Any]:
    """The daemon's snapshot.  Raises StackError."""
    with _request(dev, path, {"op": "status"}, _STATUS_S) as (_, answer):
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
            if "done" not in answer:
                click.echo(f"tapstack: {answer.get('error', 'the daemon went away')}", err=True)
        except KeyboardInterrupt:
            click.echo()
    lost = 100 * (sent - len(rtts)) / sent if sent else 0
    click.echo(f"{sent} sent, {len(rtts)} received, {lost:.0f}% lost")
    if rtts:
        click.echo(
            f"rtt min/avg/max = {min(rtts) / 1000:.3f}/{sum(rtts) / len(rtts) / 1000:.3f}/{max(rtts) / 1000:.3f} ms"
        )
    return 0 if rtts else 1


def look_up(dev: str, path: str | None, request: dict[str, Any]) -> dict[str, Any]:
    """What the daemon answers to a request of `stack.daemon.lookups`.  Raises StackError, NoDaemon."""
    with _request(dev, path, request) as (_, answer):
        return answer


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
    if not (parts.netloc.isascii() and parts.netloc.isprintable()):
        raise ConfigError(f"{parts.netloc!a}: write the host's name in ASCII")
    try:
        address = resolve(parts.hostname)
    except OSError as error:
        raise ConfigError(f"{parts.hostname}: {error.strerror or error}") from None
    # RFC 3986 §2.1: what a URL may not contain goes as %XX of its UTF-8; the rest stays as given.
    target = quote(
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_URL_SAFE, errors="surrogateescape"
    )
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
    with _open(dev, path, address, port, CONNECT_S) as sock, closing(_Output(output)) as body:
        try:
            sock.sendall(request)
            return _receive(http, sock, body, include)
        except StackError:
            raise
        except (h11.RemoteProtocolError, OSError) as error:
            raise StackError(f"{url}: {error}") from None


class _Output:
    """Where the body goes: the file at `path`, or standard output.  Raises StackError that names it."""

    __slots__ = ("_file", "_name")

    def __init__(self, path: str | None) -> None:
        self._name = "standard output" if path is None else path
        self._file: BinaryIO = sys.stdout.buffer
        if path is not None:
            try:
                self._file = Path(path).open("wb")  # noqa: SIM115  # `close` is ours
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from None

    @property
    def is_standard(self) -> bool:
        """Whether it is standard output."""
        return self._file is sys.stdout.buffer

    def write(self, data: bytes) -> None:
        """All of it."""
        try:
            self._file.write(data)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Push out what is buffered; standard output stays open."""
        try:
            if self.is_standard:
                self._file.flush()
            else:
                self._file.close()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        if self.is_standard:  # what is buffered would fail once more at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StackError(f"{self._name}: {(error.strerror or str(error)).lower()}") from None


def _events(http: h11.Connection, sock: socket.socket) -> Iterator[h11.Event]:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(sock.recv(CHUNK))
        elif isinstance(event, h11.Event):
            yield event
            if isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return


def _receive(http: h11.Connection, sock: socket.socket, body: _Output, include: bool) -> int:
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
    if not body.is_standard:
        click.echo(f"{code}, {received} bytes in {took:.2f} s, {received * 8 / took / 1e6:.1f} Mbit/s", err=True)
    return 0 if code < 400 else 1
