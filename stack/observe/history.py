"""Rings of one value a second: what a plot shows of the time before anybody looked.

Kept always, because a plot that begins empty says nothing for a minute.  It is bounded (`SECONDS` by `MAX_CONNECTIONS`)
and reads plain attributes only: about 1 µs for each connection and second (docs/decisions/0020).
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from stack.host.host import Host
from stack.tcp.connection import Connection
from stack.wire.addr import format_addr

SECONDS: Final = 300  # of the whole host
CONNECTION_SECONDS: Final = 120
MAX_CONNECTIONS: Final = 100  # the newest
TOTALS: Final = (
    *("time", "rx_bytes", "tx_bytes", "rx_frames", "tx_frames"),
    *("connections", "retransmits", "drops", "lag_us", "memory"),
)
OF_CONNECTION: Final = ("time", "cwnd", "srtt_us", "delivered", "rcv_nxt", "in_flight", "retransmits")

Totals = tuple[float, int, int, int, int, int, int, int, int, int]
Point = tuple[float, int, int, int, int, int, int]


def newest(host: Host, most: int) -> Iterator[Connection]:
    """At most `most` connections, the newest of each address first; the others cost nothing."""
    for table in list(host.tcp.flows.values()):
        yield from islice(reversed(table.values()), most)


def key_of(connection: Connection) -> str:
    """A name that no later connection of the same ends has."""
    local = f"{format_addr(connection.local_addr)}:{connection.local_port}"
    return f"{local}-{format_addr(connection.remote_addr)}:{connection.remote_port}-{connection.iss:x}"


def point_of(connection: Connection, time: float) -> Point:
    """The values of `OF_CONNECTION`."""
    snd = connection.snd
    controller = snd.controller
    return (
        time,
        controller.cwnd if controller is not None else 0,
        snd.rtt.srtt_us,
        snd.delivery.total,
        connection.rcv.rcv_nxt,
        snd.in_flight() if controller is not None else 0,
        snd.total_retrans,
    )


class _Ring:
    __slots__ = ("key", "points", "seen")

    def __init__(self, key: str) -> None:
        self.key = key
        self.points: deque[Point] = deque(maxlen=CONNECTION_SECONDS)
        self.seen = 0


class History:
    """The rings of one host."""

    __slots__ = ("_by_key", "_of", "_round", "totals")

    def __init__(self) -> None:
        self.totals: deque[Totals] = deque(maxlen=SECONDS)
        self._of: dict[Connection, _Ring] = {}
        self._by_key: dict[str, _Ring] = {}
        self._round = 0

    def __len__(self) -> int:
        return len(self._of)

    def add(self, host: Host, totals: Totals) -> None:
        """One second more; who is gone, or no longer among the newest, is forgotten."""
        self.totals.append(totals)
        self._round += 1
        rings = self._of
        for connection in islice(newest(host, MAX_CONNECTIONS), MAX_CONNECTIONS):
            ring = rings.get(connection)
            if ring is None:
                ring = rings[connection] = _Ring(key_of(connection))
                self._by_key[ring.key] = ring
            ring.points.append(point_of(connection, totals[0]))
            ring.seen = self._round
        if len(rings) > MAX_CONNECTIONS or any(ring.seen != self._round for ring in rings.values()):
            for connection in [one for one, ring in rings.items() if ring.seen != self._round]:
                self._by_key.pop(rings.pop(connection).key, None)

    def of_connection(self, key: str) -> list[Point]:
        """The points of the connection called `key`, oldest first."""
        ring = self._by_key.get(key)
        return list(ring.points) if ring is not None else []
