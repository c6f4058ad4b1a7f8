"""The snapshot for Prometheus, in its text format.

The registry has nothing in it but a collector over one snapshot: no state between two scrapes, and no thread.  Labels
are names of the stack's own (interfaces, drop reasons, TCP states), never addresses or ports: their number is bounded
whatever the peers do.
"""

from collections import Counter as Counted
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stack.tcp.state import NAMES

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
SERVICES: Final = ("attach", "socks")
PREFIX: Final = "tapstack"
_HELP: Final = {
    "rx_frames": "Frames that a host received",
    "ip_in_delivers": "IP datagrams given to a transport",
    "tcp_in_segs": "TCP segments received",
    "tcp_out_segs": "TCP segments sent",
    "tcp_retrans_segs": "TCP segments sent again",
    "tcp_active_opens": "TCP connections opened by this host",
    "tcp_passive_opens": "TCP connections opened by peers",
    "tcp_attempt_fails": "TCP connections that were not established",
    "tcp_estab_resets": "Established TCP connections that were reset",
}


class _Snapshot(Collector):
    """One snapshot as metrics."""

    def __init__(self, snapshot: Mapping[str, Any], states: Mapping[str, int]) -> None:
        self._snapshot = snapshot
        self._states = states

    def collect(self) -> Iterable[Metric]:
        """All of them, in a fixed order."""
        yield from _of_daemon(self._snapshot)
        yield from _of_device(self._snapshot)
        yield from _of_tables(self._snapshot)
        yield _labelled("connections", "TCP connections by state", "state", {**dict.fromkeys(NAMES, 0), **self._states})
        dropped = CounterMetricFamily(f"{PREFIX}_dropped", "Packets dropped, by reason", labels=["reason"])
        for reason, count in self._snapshot["drops"].items():
            dropped.add_metric([reason], count)
        yield dropped
        for name, count in self._snapshot["counters"].items():
            text = _HELP.get(name, f"Counter {name.upper()} of the stack")
            yield CounterMetricFamily(f"{PREFIX}_{name}", text, value=count)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _of_daemon(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    daemon = snapshot["daemon"]
    yield _gauge("uptime_seconds", "Seconds since the daemon began", daemon["uptime_s"])
    yield CounterMetricFamily(f"{PREFIX}_http_requests", "Requests that the HTTP service took", daemon["http_requests"])
    yield _gauge("event_loop_lag_seconds", "How late the event loop ran its last tick", snapshot["loop_lag_us"] / 1e6)
    yield _labelled("watchers", "Who is looking in, by kind", "kind", snapshot["watchers"])
    yield CounterMetricFamily(
        f"{PREFIX}_watch_lost", "Packets that were not shown to slow watchers", snapshot["packets_lost"]
    )


def _of_device(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    """Of every interface its MTU; what has passed, of the daemon's device, as the kernel counted it."""
    names = [one["name"] for one in snapshot["interfaces"]]
    yield _labelled(
        "interface_mtu_bytes", "MTU", "interface", {one["name"]: one["mtu"] for one in snapshot["interfaces"]}
    )
    device, traffic = snapshot["daemon"]["device"], snapshot["traffic"]
    for way, text in (("rx", "received"), ("tx", "sent")):
        for unit, key in (("frames", f"{way}_frames"), ("bytes", f"{way}_bytes")):
            family = CounterMetricFamily(
                f"{PREFIX}_interface_{'receive' if way == 'rx' else 'transmit'}_{unit}",
                f"{unit.capitalize()} {text}",
                labels=["interface"],
            )
            if device in names:
                family.add_metric([device], traffic[key])
            yield family


def _of_tables(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    memory = snapshot["memory"]
    yield _labelled(
        "memory_bytes",
        "The budget of all connections",
        "kind",
        {name: memory[name] for name in ("used", "peak", "limit") if name in memory},
    )
    yield _gauge("listeners", "TCP ports that are listened on", len(snapshot["listeners"]))
    yield _gauge("time_wait", "Connections in TIME-WAIT", snapshot["time_wait"])
    yield _gauge("timers", "Running timers of connections", snapshot["timers"])
    yield _gauge("udp_endpoints", "Open UDP endpoints", len(snapshot["udp"]))
    yield _gauge("routes", "Routes", len(snapshot["routes"]))
    yield _gauge("reassembly_bytes", "Bytes of unfinished datagrams", snapshot["reassembly"]["bytes"])
    states = Counted(one["state"] for one in snapshot["neighbors"])
    yield _labelled("neighbors", "Neighbours by state", "state", states)
    yield _of_services(snapshot)


def _of_services(snapshot: Mapping[str, Any]) -> Metric:
    """What the services tell of themselves: numbers, and the lengths of tables."""
    family = GaugeMetricFamily(f"{PREFIX}_service", "Numbers of services", labels=["service", "name"])
    for service in SERVICES:
        for name, value in (snapshot.get(service) or {}).items():
            if isinstance(value, int | float):
                family.add_metric([service, name], value)
            elif isinstance(value, list):
                family.add_metric([service, name], len(value))
    return family


def render(snapshot: Mapping[str, Any], states: Mapping[str, int]) -> bytes:
    """The text format.  `states` are the numbers of all connections by state."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(snapshot, states))
    return generate_latest(registry)
