"""Ephemeral ports (RFC 6056 §3.3.3, algorithm 3: simple hash-based selection)."""

from collections.abc import Callable

from stack.errors import AddressNotAvailable
from stack.tcp.isn import port_offset
from stack.wire.ipv4 import PROTO_TCP
from stack.wire.steering import Steering


class EphemeralPorts:
    """Chooses local ports for active opens."""

    __slots__ = ("_count", "_low", "_next", "_secret", "steering")

    def __init__(self, port_range: tuple[int, int], secret: bytes) -> None:
        self._low = port_range[0]
        self._count = port_range[1] - port_range[0] + 1
        self._secret = secret
        self._next = 0
        self.steering: Steering | None = None  # of a host that shares its addresses with other processes

    def pick(self, laddr: int, raddr: int, rport: int, taken: Callable[[int], bool]) -> int:
        """A port for which `taken(port)` is false; unpredictable from outside (6056-1).  Raises
        AddressNotAvailable when all are taken.
        """
        offset = port_offset(self._secret, laddr, raddr, rport)
        for _ in range(self._count):
            port = self._low + (offset + self._next) % self._count
            self._next += 1
            if self.steering is not None and not self.steering.is_mine(PROTO_TCP, raddr, rport, laddr, port):
                continue  # the answers would come to another process
            if not taken(port):
                return port
        raise AddressNotAvailable("every ephemeral port to this destination is in use; widen port_range")
