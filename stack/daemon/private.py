"""Without root: a user and network namespace of our own, where we are root over nothing but its devices."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from stack.daemon.hostside import find_program
from stack.errors import DeviceError

TUN: Final = Path("/dev/net/tun")
_TRY_S: Final = 10.0


def check_tun() -> None:
    """Raise DeviceError, with what would help, where no TAP device can be opened."""
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        raise DeviceError(
            f"{TUN} is missing: this kernel or container has no TAP devices (modprobe tun as root, "
            "or pass the device into the container)"
        ) from None
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise DeviceError(f"{TUN} may not be opened by this user: run it with sudo") from None
        raise DeviceError(f"{TUN}: {(error.strerror or str(error)).lower()}") from None


def become_root(arguments: list[str]) -> None:
    """Become `tapstack ARGUMENTS` as root of new namespaces; returns at once when already root.

    The process id stays the same.  Raises StackError with what is missing.
    """
    check_tun()
    if os.geteuid() == 0:
        return
    unshare = [find_program("unshare"), "-U", "-r", "-n", "--"]
    tried = subprocess.run([*unshare, "/bin/true"], capture_output=True, timeout=_TRY_S, check=False)
    if tried.returncode != 0:
        raise DeviceError("this machine lets only root make network namespaces: run it with sudo")
    sys.stdout.flush()
    os.execv(unshare[0], [*unshare, sys.executable, "-m", "stack.cli", *arguments])  # no shell meant
