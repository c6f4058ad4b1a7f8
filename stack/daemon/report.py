"""The status of a host as plain data: what `tapstack status --json` prints and the index page shows.

- interfaces, addresses, neighbors, routes, pmtu, reassembly, udp: as the IP layer tells them
- listeners, time_wait, timers, memory: as TCP tells them
- connection_count; connections: key, local_addr, local_port, remote_addr, remote_port, options, and every field of
  TcpInfo
- counters, drops: by name
"""

from dataclasses import fields
from itertools import islice
from typing import Any, Final

from stack.host.host import Host
from stack.observe.history import key_of, newest
from stack.tcp.connection import Connection
from stack.tcp.info import TcpInfo
from stack.wire.addr import format_addr

_FIELDS: Final = tuple(field.name for field in fields(TcpInfo))


def options(info: TcpInfo) -> list[str]:
    """What was negotiated, as `ss` names it."""
    names = []
    if info.timestamps:
        names.append("ts")
    if info.sack:
        names.append("sack")
    if info.snd_wscale or info.rcv_wscale:
        names.append(f"wscale:{info.snd_wscale},{info.rcv_wscale}")
    return names


def of_connection(connection: Connection) -> dict[str, Any]:
    """One connection."""
    info = connection.tcp_info()
    return {
        "key": key_of(connection),
        "local_addr": format_addr(connection.local_addr),
        "local_port": connection.local_port,
        "remote_addr": format_addr(connection.remote_addr),
        "remote_port": connection.remote_port,
        "options": options(info),
        **{name: getattr(info, name) for name in _FIELDS},
    }


def from_host(host: Host, most: int | None = None) -> dict[str, Any]:
    """The whole host; of its connections at most the `most` newest in detail."""
    snapshot: dict[str, Any] = dict(host.snapshot())
    tcp = snapshot.pop("tcp")
    return {
        **snapshot,
        "udp": [
            {**one, "local_addr": format_addr(one["local_addr"]), "remote_addr": format_addr(one["remote_addr"])}
            for one in snapshot["udp"]
        ],
        "listeners": tcp["listeners"],
        "time_wait": tcp["time_wait"],
        "timers": tcp["timers"],
        "memory": tcp["memory"],
        "connection_count": host.tcp.n_conns,
        "connections": [of_connection(one) for one in _shown(host, most)],
    }


def _shown(host: Host, most: int | None) -> list[Connection]:
    """All, or the `most` newest; the oldest first."""
    if most is None:
        return host.connections()
    return list(islice(newest(host, most), most))[::-1]
