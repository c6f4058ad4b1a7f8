"""Who listens on a host: which listener a segment without a connection is for.

Theory of operation.  An ordinary listener has a port, on one address of the host or on all of them; those that share a
port are its `group`.  A *transparent* listener has destinations that are nobody's here: all addresses of a prefix, on
one port or on all of them.  The host's own addresses are never among them, and of several transparent listeners the one
with the longest prefix has a destination, and of these the one that names the port.
"""

from typing import Final

from stack.errors import AddressInUse
from stack.tcp.listener import Listener
from stack.wire.addr import format_addr, is_unicast

ADDRESS_BITS: Final = 32
ANY_PORT: Final = -1


class ListenerTable:
    """See the head of this file."""

    __slots__ = ("_bound", "_transparent")

    def __init__(self) -> None:
        self._bound: dict[int, Listener] = {}  # local address (0: any) << 16 | port; the first of a group
        self._transparent: list[Listener] = []  # who is asked first comes first

    def __len__(self) -> int:
        return len(self._bound) + len(self._transparent)

    @property
    def is_transparent(self) -> bool:
        """Whether anybody takes what is for others."""
        return bool(self._transparent)

    def all(self) -> list[Listener]:
        """Every listener."""
        return [x for first in self._bound.values() for x in first.group or [first]] + self._transparent

    def find(self, laddr: int, port: int) -> Listener | None:
        """Who listens on an address of this host."""
        return self._bound.get(laddr << 16 | port) or self._bound.get(port)

    def find_transparent(self, laddr: int, port: int) -> Listener | None:
        """Who takes connections to an address of others; ANY_PORT: to some port of it."""
        for listener in self._transparent:
            shift = ADDRESS_BITS - listener.prefix_len
            here = not listener.local_port or port in (listener.local_port, ANY_PORT)
            if here and laddr >> shift == listener.local_addr >> shift:
                return listener if is_unicast(laddr) else None
        return None

    def has_port(self, laddr: int, port: int) -> bool:
        """Whether a connection from this port of `laddr` could be taken for one of a listener's."""
        return self.find(laddr, port) is not None

    def is_taken(self, laddr: int, port: int) -> bool:
        """Whether somebody listens on the port of `laddr` (0: of any address)."""
        return any(key & 0xFFFF == port and (not laddr or key >> 16 in (0, laddr)) for key in self._bound)

    def add(self, listener: Listener, *, share: bool) -> None:
        """Have it found.  Raises AddressInUse."""
        if listener.prefix_len >= 0:
            self._add_transparent(listener)
            return
        laddr, port = listener.local_addr, listener.local_port
        rivals = [
            x for key, x in self._bound.items() if key & 0xFFFF == port and (not laddr or key >> 16 in (0, laddr))
        ]
        if any(not (share and x.group is not None) for x in rivals):
            where = format_addr(laddr) if laddr else "this host"
            raise AddressInUse(f"TCP port {port} is in use on {where}; choose another, or 0 for a free one")
        first = self._bound.setdefault(laddr << 16 | port, listener)
        if share:
            listener.group = first.group if first.group is not None else []
            listener.group.append(listener)

    def _add_transparent(self, listener: Listener) -> None:
        what = (listener.local_addr, listener.prefix_len, listener.local_port)
        if any((x.local_addr, x.prefix_len, x.local_port) == what for x in self._transparent):
            where = f"{format_addr(listener.local_addr)}/{listener.prefix_len}"
            port = f"TCP port {listener.local_port}" if listener.local_port else "every TCP port"
            raise AddressInUse(f"{port} of {where} has a transparent listener already; close that one first")
        self._transparent.append(listener)
        self._transparent.sort(key=lambda x: (-x.prefix_len, not x.local_port))

    def remove(self, listener: Listener) -> None:
        """Have it found no longer."""
        if listener in self._transparent:
            self._transparent.remove(listener)
            return
        key = listener.local_addr << 16 | listener.local_port
        group = listener.group
        if group is not None and listener in group:
            group.remove(listener)
        if self._bound.get(key) is listener:
            del self._bound[key]
            if group:
                self._bound[key] = group[0]

    def snapshot(self) -> list[dict[str, object]]:
        """For `tapstack status`."""
        return [
            {
                "addr": format_addr(x.local_addr) + (f"/{x.prefix_len}" if x.prefix_len >= 0 else ""),
                "port": x.local_port,
                "backlog": x.backlog,
                "embryonic": len(x.half_open),
                "waiting": len(x.accept_queue),
            }
            for x in self.all()
        ]
