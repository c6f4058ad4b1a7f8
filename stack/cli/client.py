"""The client's side of the control socket (`stack.daemon.control` tells the protocol)."""

import ipaddress
import json
import os
import re
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from stack.daemon.control import CHUNK, MAX_PINGS, candidates
from stack.errors import StackError

_STATUS_S = 5.0
_FORWARD_S = 10.0  # the daemon asks nobody before it answers
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


@contextmanager
def stream(dev: str, path: str | None, request: dict[str, Any]) -> Iterator[socket.socket]:
    """A request after whose answer the daemon goes on sending.  Raises StackError."""
    with _request(dev, path, request) as (sock, _):
        yield sock


def watch(dev: str, path: str | None, keys: int | None = None) -> Iterator[bytes | str]:
    """A snapshot a second, as lines of JSON in bytes; and keys, as text, from the descriptor `keys`.

    Raises StackError when there is no daemon, and when it ends.
    """
    with stream(dev, path, {"op": "watch"}) as sock:
        waiting = bytearray()
        while True:
            readable, _, _ = select.select([sock.fileno(), *([] if keys is None else [keys])], [], [])
            if keys in readable:
                assert keys is not None
                yield from _keys_in(os.read(keys, 64).decode(errors="replace"))
                continue
            data = sock.recv(CHUNK)
            if not data:
                raise StackError(f"the daemon on {dev} has ended")
            waiting += data
            *lines, rest = waiting.split(b"\n")
            waiting = bytearray(rest)
            if lines:
                yield from (bytes(one) for one in lines) if keys is None else [bytes(lines[-1])]


def _keys_in(typed: str) -> list[str]:
    """Keys one by one.  What begins with ESC and goes on is one: an arrow, or the wheel of a mouse (ECMA-48 §5.4)."""
    return re.findall(r"\x1b[\[O][0-?]*[ -/]*[@-~]|.", typed, re.DOTALL) or ["\x03"]


def pings(
    dev: str, path: str | None, address: str, *, count: int | None, size: int, interval: float, timeout: float
) -> Iterator[dict[str, Any]]:
    """First what the daemon says to the request, then what comes of each echo request.  Raises StackError."""
    request = {
        "op": "ping",
        "address": address,
        "count": count or MAX_PINGS,
        "size": size,
        "interval": interval,
        "timeout": timeout,
    }
    with _request(dev, path, request) as (sock, begun):
        yield begun
        while "seq" in (answer := _read_answer(sock)):
            yield answer
        if "done" not in answer:
            raise StackError(str(answer.get("error", "the daemon went away")))


def look_up(dev: str, path: str | None, request: dict[str, Any]) -> dict[str, Any]:
    """What the daemon answers to a request of `stack.daemon.lookups`.  Raises StackError, NoDaemon."""
    with _request(dev, path, request) as (_, answer):
        return answer


def call(dev: str, path: str | None, request: dict[str, Any]) -> dict[str, Any]:
    """What the daemon answers to a request of `stack.daemon.calls`.  Raises StackError, NoDaemon."""
    with _request(dev, path, request) as (_, answer):
        return answer


@contextmanager
def forwarded(dev: str, path: str | None, request: dict[str, Any]) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
    """A port forwarded within the block: the socket ends when the daemon does.  Raises StackError, NoDaemon."""
    with _request(dev, path, {"op": "forward", **request}, _FORWARD_S) as (sock, answer):
        yield sock, answer


@contextmanager
def connection(dev: str, path: str | None, address: str, port: int, timeout: float) -> Iterator[socket.socket]:
    """A connection from the stack's address, as a socket.  Raises StackError."""
    with _request(dev, path, {"op": "connect", "address": address, "port": port, "timeout": timeout}) as (sock, _):
        yield sock
