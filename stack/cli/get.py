"""`tapstack get`: a page over a connection of the stack's, or of the kernel's."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import quote, urlsplit

import click
import h11

from stack.cli.via import Way
from stack.daemon.control import CHUNK, CONNECT_S
from stack.errors import ConfigError, StackError

HTTP_PORT = 80
_URL_SAFE = "!$%&'()*+,/:;=?@[]~"


def get(way: Way, url: str, output: str | None, include: bool) -> int:
    """Fetch `url`; 0 when its status is below 400.  Raises StackError."""
    try:
        parts = urlsplit(url)
        port = parts.port or HTTP_PORT
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from None
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(f"{url} is not an http:// URL")
    if not (parts.netloc.isascii() and parts.netloc.isprintable()):
        raise ConfigError(f"{parts.netloc!a}: write the host's name in ASCII")
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
    with way.connection(parts.hostname, port, CONNECT_S) as sock, closing(_Output(output)) as body:
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
