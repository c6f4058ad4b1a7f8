"""Root is needed to open the device and set up the host's side; after that it is given up for good.

Theory of operation.  `target(settings.user)` decides, before anything is opened, who the daemon will be;
`drop(who)` then gives up, in this order, what could bring anything back: ambient and bounding capabilities,
supplementary groups, group and user ids, the remaining capability sets, and `no_new_privs` so that no program
run later can regain them.  In a user namespace of our own the ids stay (the only id mapped there is already
the invoking user's) and the rest is dropped just the same.
"""

import ctypes
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stack.errors import ConfigError, StackError

# linux/prctl.h, linux/capability.h
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x2008_0522
_SYS_NOBODY: Final = 65_534

_libc = ctypes.CDLL(None, use_errno=True)
_capset = _libc.capset
_prctl = _libc.prctl


@dataclass(frozen=True, slots=True)
class User:
    """Whom the daemon becomes."""

    uid: int
    gid: int


def target(name: str, environ: dict[str, str] | None = None) -> User:
    """The user to become: `name` if given, else who called sudo, else nobody; without root, who we are.

    Raises ConfigError for a user that does not exist or is root.
    """
    if not is_root():
        return User(os.geteuid(), os.getegid())
    environ = dict(os.environ) if environ is None else environ
    if name:
        try:
            entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        except KeyError:
            raise ConfigError(f"user {name!r} does not exist") from None
        if entry.pw_uid == 0:
            raise ConfigError("user root is not allowed: the daemon gives its rights up after start")
        return User(entry.pw_uid, entry.pw_gid)
    uid, gid = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if uid.isdecimal() and gid.isdecimal() and int(uid) != 0 and int(gid) != 0:
        return User(int(uid), int(gid))
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return User(_SYS_NOBODY, _SYS_NOBODY)
    return User(entry.pw_uid, entry.pw_gid)


def is_root() -> bool:
    """Whether we are root over more than a namespace of our own."""
    return os.geteuid() == 0 and not in_own_namespace()


def outer_uid() -> int | None:
    """Who we are outside, if this is a user namespace that maps but one id (`unshare -r`); else None."""
    try:
        rows = [line.split() for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()]
    except OSError:
        return None
    return int(rows[0][1]) if len(rows) == 1 and rows[0][2] == "1" else None


def in_own_namespace() -> bool:
    """Whether this process lives in such a namespace."""
    return outer_uid() is not None


def drop(user: User) -> None:
    """Become `user` for good, with no groups, no capabilities and no way to new ones.  Raises StackError."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)  # fails where there are none: nothing lost
    capability = 0
    while _prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused without CAP_SETPCAP, where it is void anyway
        capability += 1
    if user.uid != os.geteuid():
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _capset(header, nothing) != 0:
        raise StackError("cannot give up capabilities", ctypes.get_errno())
    if _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise StackError("cannot set no_new_privs", ctypes.get_errno())
