"""The table [attach] of the daemon's settings."""

import ipaddress

import msgspec

from stack.daemon.attach.pool import parse_pool
from stack.device.switch import FLOODS_PER_S, MAX_PORTS, QUEUE_BYTES
from stack.errors import ConfigError

_FLOODS_MAX = 100_000
_QUEUE_RANGE = range(128 << 10, (64 << 20) + 1)


class AttachSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Processes of the daemon's user on its switch.  `pool` "": up to 64 addresses of the upper half of the network."""

    enabled: bool = True
    pool: str = ""
    ports: int = MAX_PORTS  # processes at a time
    socket: str = ""  # where they attach; "": beside the control socket
    queue_bytes: int = QUEUE_BYTES  # what may wait for one that reads slowly
    broadcasts: int = FLOODS_PER_S  # that one may send a second

    def check(self, network: ipaddress.IPv4Network, taken: frozenset[ipaddress.IPv4Address]) -> None:
        """Raise ConfigError for what cannot be."""
        if not 1 <= self.ports <= MAX_PORTS:
            raise ConfigError(f"attach.ports is {self.ports}: use 1 to {MAX_PORTS}")
        if self.queue_bytes not in _QUEUE_RANGE:
            raise ConfigError(f"attach.queue_bytes is {self.queue_bytes}: use {_QUEUE_RANGE[0]} to {_QUEUE_RANGE[-1]}")
        if not 1 <= self.broadcasts <= _FLOODS_MAX:
            raise ConfigError(f"attach.broadcasts is {self.broadcasts}: use 1 to {_FLOODS_MAX} a second")
        if "\0" in self.socket:
            raise ConfigError("attach.socket contains a NUL character")
        parse_pool(self.pool, network, taken)
