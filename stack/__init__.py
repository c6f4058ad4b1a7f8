"""A TCP/IP host you can import.

    async with stack.open_tap("tapstack0", "198.18.0.2/24", host_address="198.18.0.1") as host:
        reader, writer = await host.open_connection("198.18.0.1", 8000)

The names below are the public ones; each is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stack import _form

if TYPE_CHECKING:
    from stack import socket as socket
    from stack.aio.network import AsyncHost
    from stack.app import attach, open_device, open_packet, open_tap, open_tun, run
    from stack.config import HostConfig, IpConfig, TcpConfig
    from stack.errors import StackError

__all__ = [
    "AsyncHost",
    "HostConfig",
    "IpConfig",
    "StackError",
    "TcpConfig",
    "attach",
    "open_device",
    "open_packet",
    "open_tap",
    "open_tun",
    "run",
]

_form.choose()

_HOME = {
    "AsyncHost": "stack.aio.network",
    "HostConfig": "stack.config",
    "IpConfig": "stack.config",
    "StackError": "stack.errors",
    "TcpConfig": "stack.config",
    "attach": "stack.app",
    "open_device": "stack.app",
    "open_packet": "stack.app",
    "open_tap": "stack.app",
    "open_tun": "stack.app",
    "run": "stack.app",
}


def __getattr__(name: str) -> Any:
    if name == "socket":  # blocking sockets
        return import_module("stack.socket")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
