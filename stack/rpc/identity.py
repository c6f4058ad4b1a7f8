"""Who we are, as the operating system says: for credentials."""

import os
import socket

from stack.rpc.auth import AuthSys
from stack.rpc.constants import MAX_GIDS, MAX_MACHINE_NAME


def current() -> AuthSys:
    """The effective user and group of this process, and as many of its other groups as there is room for."""
    gid = os.getegid()
    others = [other for other in os.getgroups() if other != gid]
    machine = socket.gethostname().encode("utf-8", "surrogateescape")[:MAX_MACHINE_NAME]
    return AuthSys(os.geteuid(), gid, others[:MAX_GIDS], machine=machine)
