"""One running host as its watchers see it: a tick a second, packets, and the history of both.

Theory of operation.  `Observer` keeps one timer.  Each second it adds a point to the `History` and measures how late
the event loop called it.  If somebody listens to `ticks` it also makes the whole snapshot, once for all listeners, as
JSON.  Packets come from `PacketSource`, which is in the packet path only while somebody listens.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from stack.aio.device_driver import DeviceDriver
from stack.observe.bus import Topic
from stack.observe.history import MAX_CONNECTIONS, History
from stack.observe.packets import PacketSource
from stack.stats import Counter

TICK_S: Final = 1.0
Status = Callable[[int], dict[str, Any]]  # the snapshot, with at most so many connections


def _nothing() -> None:
    """A topic without a source of its own."""


class Observer:
    """Watches the host of `driver`; `status` makes the snapshot, `traffic` the frames and bytes of its device."""

    __slots__ = ("_due", "_status", "_timer", "_traffic", "driver", "history", "lag_us", "packets", "ticks", "watchers")

    def __init__(self, driver: DeviceDriver, status: Status, traffic: Callable[[], dict[str, int]]) -> None:
        self.driver = driver
        self._status = status
        self._traffic = traffic
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.lag_us = 0
        self.history = History()
        self.ticks: Topic[bytes] = Topic(_nothing, _nothing)
        self.packets = PacketSource(driver, lambda: time.time_ns() // 1000)
        self.watchers: dict[str, int] = {}  # how many of each kind there are now

    def start(self) -> None:
        """Begin to tick."""
        loop = self.driver.loop
        self._due = loop.time()
        self._tick()

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        loop = self.driver.loop
        now = loop.time()
        self.lag_us = max(0, round((now - self._due) * 1e6))
        self._due = max(self._due + TICK_S, now)  # what was missed is not made up for
        self._timer = loop.call_at(self._due, self._tick)
        host = self.driver.host
        seen = self._traffic()
        self.history.add(
            host,
            (
                round(time.time(), 3),
                *(seen["rx_bytes"], seen["tx_bytes"], seen["rx_frames"], seen["tx_frames"]),
                host.tcp.n_conns,
                host.stats.counts[Counter.TCP_RETRANS_SEGS],
                sum(host.stats.drops),
                self.lag_us,
                host.tcp.budget.used,
            ),
        )
        if self.ticks.subscriptions:
            encoded = self.encoded()
            self.ticks.publish(encoded, len(encoded))

    def snapshot(self, connections: int = MAX_CONNECTIONS) -> dict[str, Any]:
        """The snapshot with at most so many connections; and the time, the totals of this second and the last."""
        totals = self.history.totals
        return {
            "time": round(time.time(), 3),
            "totals": totals[-1] if totals else None,
            "before": totals[-2] if len(totals) > 1 else None,
            "loop_lag_us": self.lag_us,
            "watchers": {name: count for name, count in self.watchers.items() if count},
            "packets_lost": self.packets.topic.total_lost(),
            **self._status(connections),
        }

    def encoded(self) -> bytes:
        """The snapshot as one line of JSON."""
        return msgspec.json.encode(self.snapshot())

    def joined(self, kind: str) -> None:
        """One watcher more."""
        self.watchers[kind] = self.watchers.get(kind, 0) + 1

    def left(self, kind: str) -> None:
        """One watcher fewer."""
        self.watchers[kind] -= 1
