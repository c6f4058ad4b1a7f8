"""The control socket: other programs of the same user look into the daemon and act through it.

Theory of operation.  A Unix stream socket, mode 0600, in a directory of the daemon's user; the peer's user is
checked as well (SO_PEERCRED).  A client sends one line of JSON, `{"op": NAME, ...}`, and gets one line
back, `{"ok": true, ...}` or `{"ok": false, "error": SENTENCE}`.

    status    the snapshot, in the same line
    lookup    what came of a request of `stack.daemon.lookups`, in the same line
    call      what came of a request of `stack.daemon.calls`, in the same line
    ping      then one line per echo request, and a last one with `done`
    watch     then a snapshot a second, a line each (`stack.daemon.watching`)
    capture   then packets as pcapng (the same)
    forward   what was begun, in the same line; it ends with the client (`stack.daemon.services.proxies`)
    connect   then the socket is the TCP connection: raw bytes both ways, half close included

One request per connection; when the client goes away, what it asked for ends.
"""

import asyncio
import contextlib
import ipaddress
import json
import logging
import math
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from stack.daemon.privileges import is_root, outer_uid
from stack.errors import AddressInUse, InvalidAddress, StackError
from stack.proxy.rules import Rule

logger = logging.getLogger(__name__)

MAX_LINE: Final = 64 << 10
MAX_CLIENTS: Final = 256
MAX_PINGS: Final = 1 << 32
CHUNK: Final = 256 << 10
REQUEST_S: Final = 10.0
TURNED_AWAY_S: Final = 1.0
CONNECT_S: Final = 180.0
_ROOT: Final = 0
_UCRED: Final = struct.Struct("3i")  # unix(7): pid, uid, gid


# the request, and the rest of the connection
Operation = Callable[[dict[str, Any], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Actor(Protocol):
    """What the daemon can do for a client."""

    def status(self) -> dict[str, Any]:
        """The snapshot."""

    async def connect(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection from the stack's address.  Raises OSError."""

    def forward(self, request: dict[str, Any]) -> contextlib.AbstractAsyncContextManager[Rule]:
        """A port forwarded for as long as the block lasts.  Raises OSError."""

    async def look_up(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the DNS has.  Raises ValueError for a request that cannot be."""

    async def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """What came of a remote procedure call.  Raises ValueError for a request that cannot be."""

    async def ping(self, address: str, size: int, timeout_s: float) -> dict[str, Any]:
        """One echo request: `{"rtt_us": .., "ttl": ..}` or `{"error": ..}`.  Raises OSError."""


def default_path(device: str) -> Path:
    """Where the daemon on `device` listens unless told otherwise."""
    if is_root():
        return Path("/run/tapstack") / device / "control"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "tapstack" / device / "control"
    uid = outer_uid()
    return Path(f"/tmp/tapstack-{os.getuid() if uid is None else uid}") / device / "control"  # noqa: S108  # owner checked


def candidates(device: str) -> list[Path]:
    """Where to look for the daemon on `device`."""
    found = [default_path(device), Path("/run/tapstack") / device / "control"]
    return list(dict.fromkeys(found))


def _make_folder(folder: Path, uid: int, gid: int) -> None:
    """The socket's own folder, for its user only."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, uid, gid, follow_symlinks=False)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
        raise StackError(f"control socket: {folder} belongs to somebody else")


def _is_served(path: Path, kind: socket.SocketKind) -> bool:
    """Whether a daemon answers there; a stale socket is removed."""
    with socket.socket(socket.AF_UNIX, kind) as probe:
        try:
            probe.connect(os.fspath(path))
        except FileNotFoundError:
            return False
        except ConnectionRefusedError:
            path.unlink()
            return False
    return True


def listen(
    path: Path, uid: int, gid: int, *, own_folder: bool, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """A listening socket that only `uid` can connect to.  Raises AddressInUse when a daemon answers there already."""
    server = socket.socket(socket.AF_UNIX, kind)
    before = os.umask(0o177)
    try:
        if own_folder:
            os.umask(0o022)
            _make_folder(path.parent, uid, gid)
            os.umask(0o177)
        if _is_served(path, kind):
            raise AddressInUse(
                f"another tapstack daemon is listening on {path}; give this one its own with --control PATH"
            )
        server.bind(os.fspath(path))
        os.chown(path, uid, gid, follow_symlinks=False)
        server.listen(16)
        server.setblocking(False)
    except OSError as error:
        server.close()
        if isinstance(error, StackError):
            raise
        what = "control socket" if kind == socket.SOCK_STREAM else "socket for attached processes"
        raise StackError(f"{what} {path}: {(error.strerror or str(error)).lower()}") from None
    finally:
        os.umask(before)
    return server


class ControlServer:
    """Serves `actor` on a listening Unix socket, for the users `owners`: root and the daemon's own by default.

    `more` are operations besides the actor's.
    """

    __slots__ = ("_actor", "_more", "_owners", "_server", "_tasks")

    def __init__(
        self, actor: Actor, owners: frozenset[int] | None = None, more: Mapping[str, Operation] | None = None
    ) -> None:
        self._actor = actor
        self._more = more or {}
        self._owners = frozenset({_ROOT, os.geteuid()}) if owners is None else owners
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, server: socket.socket) -> None:
        """Accept clients."""
        self._server = await asyncio.start_unix_server(self._on_client, sock=server, limit=MAX_LINE)

    async def stop(self) -> None:
        """Refuse new clients and end what goes on."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) > MAX_CLIENTS:
                with contextlib.suppress(TimeoutError, ValueError):  # closing on what it sends would reset it
                    await asyncio.wait_for(reader.readline(), TURNED_AWAY_S)
                await reply(writer, {"ok": False, "error": "the daemon has too many clients"})
                return
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or we do
        except Exception:
            logger.exception("control request failed")
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        operations: dict[str, Operation] = {
            "status": self._status,
            "lookup": partial(self._ask, self._actor.look_up),
            "call": partial(self._ask, self._actor.call),
            "ping": self._ping,
            "connect": self._connect,
            "forward": self._forward,
            **self._more,
        }
        try:
            line = await asyncio.wait_for(reader.readline(), REQUEST_S)
            if _uid_of(writer.get_extra_info("socket")) not in self._owners:
                await reply(writer, {"ok": False, "error": "not your daemon"})
                return
            request = json.loads(line.decode("utf-8"))  # json would guess other encodings, which we may not load
            operation = operations[request["op"]]
        except (ValueError, KeyError, TypeError, TimeoutError, RecursionError):
            await reply(writer, {"ok": False, "error": "not a request of this daemon's version"})
            return
        try:
            await operation(request, reader, writer)
        except ConnectionError as error:
            if writer.is_closing():  # it is the client that went away
                return
            await reply(writer, {"ok": False, "error": error.strerror or str(error)})
        except (InvalidAddress, ValueError) as error:
            await reply(writer, {"ok": False, "error": f"bad request: {getattr(error, 'strerror', None) or error}"})
        except TimeoutError:
            await reply(writer, {"ok": False, "error": "timed out"})
        except OSError as error:
            await reply(writer, {"ok": False, "error": error.strerror or str(error)})

    async def _status(
        self, _request: dict[str, Any], _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reply(writer, {"ok": True, "status": self._actor.status()})

    async def _ask(
        self,
        actor: Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]],
        request: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """An answer of the actor's; nobody works on it any more once the client has gone."""
        gone = asyncio.ensure_future(reader.read(1))  # the client says nothing more: this is its end
        looking = asyncio.ensure_future(actor(request))
        try:
            await asyncio.wait([gone, looking], return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                await reply(writer, {"ok": True, **looking.result()})
        except StackError as error:  # what cannot be asked: the sentence says why
            await reply(writer, {"ok": False, "error": error.strerror})
        finally:
            gone.cancel()
            looking.cancel()

    async def _ping(self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, count, size = _address(request), int(_number(request, "count")), int(_number(request, "size"))
        interval, timeout = _number(request, "interval"), _number(request, "timeout")
        if not (
            1 <= count <= MAX_PINGS and 0 <= size <= 65_507 and 0.001 <= interval <= 3600 and 0.001 <= timeout <= 3600
        ):
            raise ValueError("count, size, interval or timeout out of range")
        await reply(writer, {"ok": True})
        gone = asyncio.ensure_future(reader.read(1))  # the client says nothing more: this is its end
        try:
            for seq in range(1, count + 1):
                result = await self._actor.ping(address, size, timeout)
                await reply(writer, {"seq": seq, **result})
                if seq < count:
                    await asyncio.wait([gone], timeout=interval)
                if gone.done():
                    return
            await reply(writer, {"done": True})
        finally:
            gone.cancel()

    async def _forward(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with self._actor.forward(request) as rule:
                await reply(writer, {"ok": True, "listen": rule.listen, "to": rule.target})
                await reader.read(1)  # the client says nothing more: this is its end
        except StackError as error:  # what cannot be forwarded: the sentence says why
            await reply(writer, {"ok": False, "error": error.strerror})

    async def _connect(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        address, port = _address(request), int(_number(request, "port"))
        if not 1 <= port <= 65_535:
            raise ValueError("port out of range")
        timeout = min(_number(request, "timeout"), CONNECT_S) if "timeout" in request else CONNECT_S
        far_reader, far_writer = await asyncio.wait_for(self._actor.connect(address, port), timeout)
        try:
            await reply(writer, {"ok": True})
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far_writer))
                group.create_task(_copy(far_reader, writer))
        except* OSError as errors:  # the client sees the end of the stream; why, the log says
            logger.info(
                "relayed connection failed",
                extra={"fields": {"peer": f"{address}:{port}", "error": str(errors.exceptions[0])}},
            )
            far_writer.transport.abort()
        finally:
            far_writer.close()


def _address(request: dict[str, Any]) -> str:
    if "address" not in request:
        raise ValueError("address is missing")
    return str(ipaddress.IPv4Address(str(request["address"])))


def _number(request: dict[str, Any], name: str) -> float:
    """A finite number.  Raises ValueError."""
    if name not in request:
        raise ValueError(f"{name} is missing")
    try:
        number = float(request[name])
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is not a number")
    return number


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes from one to the other, then its end."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def reply(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    """One line.  Raises BrokenPipeError when the client has gone."""
    if writer.is_closing():
        raise BrokenPipeError
    writer.write(json.dumps(answer).encode("ascii") + b"\n")
    await writer.drain()


def _uid_of(client: socket.socket) -> int:
    """Who is at the other end."""
    _pid, uid, _gid = _UCRED.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)
