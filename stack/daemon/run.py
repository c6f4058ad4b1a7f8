"""From settings to a running daemon and back to a clean machine.

Theory of operation.  Three parts, in this order and never back:

    prepare   as root: open the device, the capture file and the control socket, set up the kernel's side
    drop      become the user for good; everything that will ever be imported has been by now
    serve     `stack.daemon.server`, until a signal or the loss of the device

The device is not persistent: it, its addresses and its routes go with the last descriptor.  What does not
(the uplink's rules, the control socket) is left to the Janitor, which is started before any of it is made.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stack import app
from stack.daemon import control, hostside, log, privileges
from stack.daemon.attach import offering
from stack.daemon.private import check_tun
from stack.daemon.server import Daemon
from stack.daemon.services.proxies import Proxies
from stack.daemon.settings import Settings
from stack.daemon.terminal import StatusLine, announce, say
from stack.daemon.view import load_files
from stack.device.pcap import CaptureTrace
from stack.device.tap import TapDevice
from stack.errors import StackError

if TYPE_CHECKING:
    from stack.daemon.services.dns import DnsService


@dataclass(frozen=True, slots=True)
class Prepared:
    """What needed root."""

    device: TapDevice
    listener: socket.socket
    attach: socket.socket | None  # where processes attach
    capture: BinaryIO | None
    proxies: Proxies


def prepare(settings: Settings, user: privileges.User, undo: contextlib.ExitStack) -> Prepared:
    """Open and set up everything; `undo` ends it.  Raises StackError."""
    path = Path(settings.control).absolute() if settings.control else control.default_path(settings.dev)
    check_tun()
    if privileges.in_own_namespace():
        hostside.loopback_up()
    proxies = Proxies(settings.socks, settings.forward)
    undo.callback(proxies.close)
    proxies.bind()
    network = settings.interface.network
    hostside.check_free(settings.dev, network)
    cleaning = []
    if hostside.exists(settings.dev):  # a device that was here before stays, without our address
        cleaning.append(["ip", "address", "delete", str(settings.host_interface), "dev", settings.dev])
    device = offering.open_device(settings)
    undo.callback(device.close)

    uplink = hostside.Uplink(settings.dev, network) if settings.uplink else None
    listener = control.listen(path, user.uid, user.gid, own_folder=not settings.control)
    undo.callback(listener.close)
    cleaning.append(["rm", "-f", str(path)])
    attach, attach_path = offering.listen(settings, device, user)
    if attach is not None:
        undo.callback(attach.close)
        cleaning.append(["rm", "-f", str(attach_path)])
    if not settings.control:
        cleaning.append(["rmdir", str(path.parent), str(path.parent.parent)])
    janitor = hostside.Janitor(cleaning + (uplink.undo if uplink else []))
    undo.callback(janitor.finish)

    hostside.configure(settings.dev, settings.host_interface, settings.mtu)
    if uplink is not None:
        uplink.open()
    capture = None
    if settings.capture:
        capture = _open_capture(settings.capture, user)
        undo.callback(_close_capture, capture)
    return Prepared(device, listener, attach, capture, proxies)


def _open_capture(path: str, user: privileges.User) -> BinaryIO:
    """A new file, which becomes the user's, or an old regular one, which is emptied; never what a link names."""
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not make us wait
    try:
        with contextlib.suppress(FileExistsError):
            file = os.fdopen(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), "wb")
            if os.geteuid() == 0:
                os.fchown(file.fileno(), user.uid, user.gid)
            return file
        file = os.fdopen(os.open(path, flags), "wb")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            os.ftruncate(file.fileno(), 0)
            return file
        file.close()
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise StackError(f"capture {path}: {(error.strerror or str(error)).lower()}") from None
    raise StackError(f"capture {path} is not a regular file: name a new file, or one to write over")


def _close_capture(file: BinaryIO) -> None:
    """What a full disk did not take has been reported."""
    with contextlib.suppress(OSError):
        file.close()


def _dns(settings: Settings) -> "DnsService | None":
    """Its zones are read here, with the rights of who started us.  Raises ConfigError."""
    if settings.dns is None:
        return None
    from stack.daemon.services.dns import DnsService  # noqa: PLC0415  # takes time that most starts need not spend

    return DnsService(settings.dns)


def up(settings: Settings) -> int:
    """Run the daemon until a signal or the loss of its device; the exit code.  Raises StackError before that."""
    log.set_up(settings.log_format, settings.log_level)
    user = privileges.target(settings.user)
    dns = _dns(settings)
    with contextlib.ExitStack() as undo:
        prepared = prepare(settings, user, undo)
        trace = CaptureTrace() if settings.capture else None
        attach = offering.make_server(settings, prepared.device, prepared.attach, user)
        daemon = Daemon(settings, StatusLine(), trace, dns, attach, prepared.proxies)
        runner = undo.enter_context(asyncio.Runner(loop_factory=app.loop_factory()))
        runner.get_loop()  # made now: what it imports is imported before the drop
        if settings.page.enabled:
            load_files()  # for the same reason
        device = app.wrap_device(prepared.device, settings.faults(), prepared.capture, trace=trace)  # likewise
        privileges.drop(user)
        return runner.run(daemon.run(device, prepared.listener, lambda: say(announce(settings))))
