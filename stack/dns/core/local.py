"""What is answered without asking anybody: the hosts file, and names that mean something everywhere."""

from typing import Final

from stack.dns.constants import RRClass, RRType
from stack.dns.core.config import HostsTable
from stack.dns.names import Name
from stack.dns.rrset import RRset

LOCAL_TTL: Final = 3600  # s

_LOCALHOST: Final = b"\x09localhost\0"
# RFC 6761 §6.4, RFC 7686 §2: nobody has them, and nobody is to be asked
_NOBODY: Final = (b"\x07invalid\0", b"\x05onion\0")
_SPECIAL: Final = (_LOCALHOST, *_NOBODY)
_LOOPBACK: Final = {RRType.A: b"\x7f\0\0\1", RRType.AAAA: b"\0" * 15 + b"\1"}
_ADDRESSES: Final = (RRType.A, RRType.AAAA)


class LocalNames:
    """Answers from the hosts table and the special names; `find` is None for all others."""

    __slots__ = ("_hosts", "_known")

    def __init__(self, hosts: HostsTable) -> None:
        self._hosts = hosts
        self._known = {key for key, rrtype in hosts if rrtype in _ADDRESSES}

    def find(self, key: bytes, rrtype: int) -> RRset | bool | None:
        """The records of a name (its key); or whether it exists, with none such; or None: somebody else has to know."""
        rrset = self._hosts.get((key, rrtype))
        if rrset is not None:
            return rrset
        if rrtype in _ADDRESSES and key in self._known:
            return True
        if key.endswith(_SPECIAL):
            name = Name(key)
            if name.is_within(_LOCALHOST):
                # RFC 6761 §6.3: always the loopback address
                raw = _LOOPBACK.get(RRType(rrtype)) if rrtype in _ADDRESSES else None
                return True if raw is None else RRset(name, rrtype, RRClass.IN, LOCAL_TTL, [raw])
            if any(name.is_within(zone) for zone in _NOBODY):
                return False
        return None
