"""What a daemon has to offer to attached processes, of its settings: its switch, its socket, its addresses."""

import socket
from pathlib import Path

from stack.daemon import control
from stack.daemon.attach.pool import AddressPool, parse_pool
from stack.daemon.attach.server import AttachServer, default_path
from stack.daemon.privileges import User
from stack.daemon.settings import Settings
from stack.device.attaching import Lease
from stack.device.switch import SwitchTap
from stack.device.tap import TapDevice

BACKLOG = 64


def open_device(settings: Settings) -> TapDevice:
    """The TAP, with a switch where processes may attach.  Raises DeviceError."""
    if settings.attach.enabled:
        return SwitchTap(
            settings.dev, mtu=settings.mtu, offload=settings.offload, floods_per_s=settings.attach.broadcasts
        )
    return TapDevice(settings.dev, mtu=settings.mtu, offload=settings.offload)


def listen(settings: Settings, device: TapDevice, user: User) -> tuple[socket.socket | None, Path]:
    """The socket on which they do, if `device` has a switch, and where it is.  Raises StackError."""
    given = settings.attach.socket
    path = Path(given).absolute() if given else default_path(settings.dev, settings.control)
    if not isinstance(device, SwitchTap):
        return None, path
    own_folder = not (given or settings.control)
    listener = control.listen(path, user.uid, user.gid, own_folder=own_folder, kind=socket.SOCK_SEQPACKET)
    listener.listen(BACKLOG)
    return listener, path


def make_server(
    settings: Settings, device: TapDevice, listener: socket.socket | None, user: User
) -> AttachServer | None:
    """What serves them; it is for `user`, whom the daemon becomes, and for root."""
    if listener is None or not isinstance(device, SwitchTap):
        return None
    ours, attach = settings.interface, settings.attach
    caps = device.caps
    offer = Lease(
        address="",
        prefix_len=ours.network.prefixlen,
        mac="",
        mtu=device.mtu,
        csum=caps.csum,
        tso4=caps.tso4,
        uso=caps.uso,
        gateway=str(settings.host_interface.ip),
        stack=str(ours.ip),
        resolver=settings.resolver or ("system" if settings.dns is None else f"{ours.ip}#{settings.dns.port}"),
        socks=0 if settings.socks is None else settings.socks.port,
    )
    pool = AddressPool(parse_pool(attach.pool, ours.network, settings.ends()))
    return AttachServer(
        device,
        pool,
        offer,
        listener,
        ports=attach.ports,
        queue_bytes=attach.queue_bytes,
        owners=frozenset({0, user.uid}),
    )
