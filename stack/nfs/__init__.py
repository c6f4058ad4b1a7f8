"""NFS version 3 (RFC 1813): directories for others, and those of others.

    async with await nfs.serve("/srv/data", host=host, writable=True, register=True): ...

    async with nfs.mount("198.18.0.2:/data") as there:
        await there.write("file", b"hello")

The names below are the public ones; each is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.nfs.client import Mounted
    from stack.nfs.entry import Entry, FileKind, Space
    from stack.nfs.errors import MountError, NfsError
    from stack.nfs.mounting import mount
    from stack.nfs.server import NfsServer, serve

__all__ = ["Entry", "FileKind", "MountError", "Mounted", "NfsError", "NfsServer", "Space", "mount", "serve"]

_HOME = {
    "Entry": "stack.nfs.entry",
    "FileKind": "stack.nfs.entry",
    "Mounted": "stack.nfs.client",
    "Space": "stack.nfs.entry",
    "mount": "stack.nfs.mounting",
    "MountError": "stack.nfs.errors",
    "NfsError": "stack.nfs.errors",
    "NfsServer": "stack.nfs.server",
    "serve": "stack.nfs.server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
