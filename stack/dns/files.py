"""The files of this machine that a stub resolver goes by, and whether they have changed.

Theory of operation.  A change shows in what `stat` tells: the files are looked at no more often than once in LOOK_US,
and read again only then.  A file that is not there says nothing, which is not an error (resolv.conf(5)).
"""

import os
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Final

from stack.config import SECOND
from stack.dns import hostsfile, resolvconf
from stack.dns.core.config import ResolverConfig

RESOLV_CONF: Final = "/etc/resolv.conf"
HOSTS: Final = "/etc/hosts"
LOOK_US: Final = 1 * SECOND

Mark = tuple[int, int, int] | None  # inode, size, time of change; None: no such file


class SystemFiles:
    """`config` is `base` with what the files say in it; `warnings` is what they say and was not taken."""

    __slots__ = ("_base", "_hosts", "_look_at", "_marks", "_resolv_conf", "config", "warnings")

    def __init__(self, base: ResolverConfig, resolv_conf: str, hosts: str) -> None:
        self._base = base
        self._resolv_conf = Path(resolv_conf)
        self._hosts = Path(hosts)
        self._look_at = 0  # when to look next
        self._marks = self._marks_now()
        self.warnings: tuple[str, ...] = ()
        self.config = self._read()

    def look(self, now: int) -> bool:
        """Whether they have changed, as far as somebody looked; then `config` is another one."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_US
        marks = self._marks_now()
        if marks == self._marks:
            return False
        self._marks = marks
        self.config = self._read()
        return True

    def _marks_now(self) -> tuple[Mark, Mark]:
        return _mark(self._resolv_conf), _mark(self._hosts)

    def _read(self) -> ResolverConfig:
        warnings: list[str] = []
        # one character more: so it is seen that there are
        text = _text(self._resolv_conf, resolvconf.MAX_TEXT + 1, warnings)
        conf = resolvconf.parse(
            text,
            source=str(self._resolv_conf),
            hostname=socket.gethostname(),
            local_domain=os.environ.get("LOCALDOMAIN", ""),
            res_options=os.environ.get("RES_OPTIONS", ""),
        )
        hosts = hostsfile.parse(_text(self._hosts, hostsfile.MAX_TEXT, warnings))
        self.warnings = (*warnings, *conf.warnings)
        return replace(
            self._base,
            servers=conf.servers,
            search=conf.search,
            ndots=conf.ndots,
            timeout_us=conf.timeout_s * SECOND,
            attempts=conf.attempts,
            rotate=conf.rotate,
            hosts=hosts,
        )


def _mark(path: Path) -> Mark:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _text(path: Path, limit: int, warnings: list[str]) -> str:
    """What the file says; nothing when it cannot be read, which is worth a warning if it is there."""
    try:
        mode = path.stat().st_mode
        # what is no file may keep its reader waiting; to open a folder says what it is
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or str(path) == os.devnull):
            warnings.append(f"{path}: cannot be read: it is no regular file")
            return ""
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        warnings.append(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}")
        return ""
