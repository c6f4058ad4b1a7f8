"""The socket on which processes attach, and who is attached.

Theory of operation.  A Unix SEQPACKET socket, mode 0600, beside the control socket; the peer's user is checked as well
(SO_PEERCRED).  A connection begins with a hello (`stack.device.attaching`), within HELLO_S seconds; one packet
answers it. Then its socket is a port of the SwitchTap, which alone reads and writes it.  When the process ends, in
whatever way, the switch sees the end of the socket and tells us: its address is free at once.  Whoever gets it next
announces it (RFC 5227 §2.3), and an address always has the same link address, so that nobody's ARP cache is wrong
meanwhile.

What is bounded: hellos under way (MAX_HELLOS), ports (`attach.ports`), addresses (`attach.pool`), what waits for a
port.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from stack.daemon import control
from stack.daemon.attach.pool import AddressPool
from stack.device.attached import SOCKET_BYTES
from stack.device.attaching import MAX_HELLO, Lease, pack_lease, pack_refusal, parse_hello
from stack.device.switch import MAX_PORTS, SwitchTap
from stack.errors import ConfigError, NoBufferSpace, StackError

logger = logging.getLogger(__name__)

HELLO_S: Final = 5.0
MAX_HELLOS: Final = 64
ACCEPTS: Final = 16  # of one turn of the loop
REST_S: Final = 1.0  # when there are no descriptors left
_UCRED: Final = struct.Struct("3i")  # unix(7): pid, uid, gid


def default_path(device: str, control_path: str = "") -> Path:
    """Where processes attach to the daemon on `device`, unless told otherwise: beside its control socket."""
    if control_path:
        return Path(f"{Path(control_path).absolute()}.attach")
    return control.default_path(device).with_name("attach")


def candidates(device: str, control_path: str = "") -> list[Path]:
    """Where to look for it."""
    if control_path:
        return [default_path(device, control_path)]
    return [path.with_name("attach") for path in control.candidates(device)]


def link_address(base: bytes, addr: ipaddress.IPv4Address) -> bytes:
    """The one of a port: administered locally, and the same for the same address whenever it is given."""
    return b"\x02" + hashlib.sha256(base + addr.packed).digest()[:5]


@dataclass(slots=True)
class Attached:
    """A process with a port."""

    sock: socket.socket
    name: str
    pid: int
    uid: int
    addr: ipaddress.IPv4Address
    mac: bytes
    since: float


class AttachServer:
    """See the head of this file.  `offer` is what all leases have in common; `ports` how many there may be.

    `owners`: users who may attach, by default root and the daemon's own.
    """

    __slots__ = (
        "_hellos",
        "_listener",
        "_loop",
        "_owners",
        "_pool",
        "_port_limit",
        "_ports",
        "_queue_bytes",
        "_resting",
        "_switch",
        "attaches",
        "offer",
        "on_left",
        "refused",
    )

    def __init__(
        self,
        switch: SwitchTap,
        pool: AddressPool,
        offer: Lease,
        listener: socket.socket,
        *,
        ports: int,
        queue_bytes: int,
        owners: frozenset[int] | None = None,
    ) -> None:
        self.offer = offer
        self.on_left: Callable[[int], object] | None = None  # told which address has nobody behind it now
        self.attaches = 0
        self.refused: Counter[str] = Counter()
        self._switch = switch
        self._pool = pool
        self._port_limit = ports
        self._queue_bytes = queue_bytes
        self._owners = frozenset({0, os.geteuid()}) if owners is None else owners
        self._loop: asyncio.AbstractEventLoop
        self._listener: socket.socket | None = listener
        self._resting: asyncio.TimerHandle | None = None
        self._hellos: dict[socket.socket, asyncio.TimerHandle] = {}
        self._ports: dict[int, Attached] = {}
        switch.on_gone = self._on_gone

    def start(self) -> None:
        """Accept processes on the running loop."""
        assert self._listener is not None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def stop(self) -> None:
        """Refuse new ones and end those that are attached: their devices see that the daemon has gone."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for sock in list(self._hellos):
            self._forget(sock)
            sock.close()
        for index in list(self._ports):
            self._detach(index)

    def status(self) -> dict[str, Any]:
        """Who is attached, with what passed; how many could be; why others were refused."""
        now = time.monotonic()
        return {
            "ports": [
                {
                    "address": str(one.addr),
                    "mac": one.mac.hex(":"),
                    "name": one.name,
                    "pid": one.pid,
                    "uid": one.uid,
                    "seconds": int(now - one.since),
                    **self._switch.port_counts(index),
                }
                for index, one in self._ports.items()
            ],
            "limit": self._port_limit,
            "pool": self._pool.size,
            "free": self._pool.free,
            "attaches": self.attaches,
            "refused": dict(self.refused),
        }

    # -- hellos

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPTS):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError, InterruptedError):
                return
            except OSError as exc:  # out of descriptors: whoever waits is met again, but not at once and for ever
                logger.warning("cannot take another process: %s", (exc.strerror or str(exc)).lower())
                self._loop.remove_reader(self._listener.fileno())
                self._resting = self._loop.call_later(REST_S, self._accept_again)
                return
            sock.setblocking(False)
            if len(self._hellos) >= MAX_HELLOS:
                self._refuse(sock, "too_many", "too many processes ask at once: try again in a moment")
                continue
            self._hellos[sock] = self._loop.call_later(HELLO_S, self._refuse, sock, "silent", "no hello came")
            self._loop.add_reader(sock.fileno(), self._on_hello, sock)

    def _accept_again(self) -> None:
        self._resting = None
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _forget(self, sock: socket.socket) -> None:
        """It is in no hello any more."""
        handle = self._hellos.pop(sock, None)
        if handle is not None:
            handle.cancel()
            self._loop.remove_reader(sock.fileno())

    def _refuse(self, sock: socket.socket, reason: str, sentence: str) -> None:
        self._forget(sock)
        self.refused[reason] += 1
        with contextlib.suppress(OSError):
            sock.send(pack_refusal(sentence))
        sock.close()

    def _on_hello(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(MAX_HELLO + 1)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._refuse(sock, "went_away", "no hello came")
            return
        pid, uid, _gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in self._owners:
            self._refuse(sock, "not_owner", "this daemon belongs to another user")
            return
        try:
            hello = parse_hello(data)
        except ConfigError as exc:
            self._refuse(sock, "bad_hello", str(exc.strerror))
            return
        self._forget(sock)
        if hello.probe:
            with contextlib.suppress(OSError):
                sock.send(pack_lease(self.offer))
            sock.close()
            return
        try:
            self._attach(sock, hello.name, hello.address, pid, uid)
        except NoBufferSpace as exc:
            self._refuse(sock, "full", str(exc.strerror))
        except StackError as exc:
            self._refuse(sock, "address", str(exc.strerror))

    # -- ports

    def _attach(self, sock: socket.socket, name: str, wanted: str, pid: int, uid: int) -> None:
        """Raises NoBufferSpace, AddressInUse, AddressNotAvailable, DeviceError."""
        if len(self._ports) >= self._port_limit:
            more = ", or give the daemon more ports in [attach]" if self._port_limit < MAX_PORTS else ""
            raise NoBufferSpace(
                f"all {self._port_limit} places for attached processes are in use: end one of them{more}"
            )
        addr = self._pool.take(wanted)
        mac = link_address(self._switch.mac, addr)
        try:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            lease = replace(self.offer, address=str(addr), mac=mac.hex(":"))
            with contextlib.suppress(OSError):  # it has gone: the switch sees it
                sock.send(pack_lease(lease))  # before any frame
            index = self._switch.add_port(sock.fileno(), int(addr), mac, self._queue_bytes)
        except BaseException:
            self._pool.give_back(addr)
            raise
        self._ports[index] = Attached(sock, name, pid, uid, addr, mac, time.monotonic())
        self.attaches += 1
        logger.info("attached", extra={"fields": {"address": str(addr), "pid": pid, "name": name}})

    def _on_gone(self, index: int) -> None:
        """Its process has ended, or has said something that is no packet."""
        if index in self._ports:
            addr = self._ports[index].addr
            self._detach(index)
            if self.on_left is not None:  # later: what it sent last is in the burst that is being read
                self._loop.call_soon(self.on_left, int(addr))

    def _detach(self, index: int) -> None:
        gone = self._ports.pop(index)
        self._switch.remove_port(index)
        gone.sock.close()
        self._pool.give_back(gone.addr)
        logger.info("detached", extra={"fields": {"address": str(gone.addr), "pid": gone.pid, "name": gone.name}})
