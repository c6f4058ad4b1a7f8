"""`tapstack status` for people: interfaces, neighbours, routes, sockets like `ss -ti`, and what was dropped."""

import json
from collections.abc import Callable
from typing import Any

from stack.daemon.page import duration, size


def as_json(status: dict[str, Any]) -> str:
    """The whole snapshot."""
    return json.dumps(status, indent=2)


def as_text(status: dict[str, Any]) -> str:
    """The snapshot in sections."""
    daemon, traffic = status["daemon"], status["traffic"]
    lines = [
        (
            f"tapstack on {daemon['device']}: {daemon['address']}, up {daemon['uptime_s']} s, "
            f"{traffic['rx_frames']} frames in ({size(traffic['rx_bytes'])}), "
            f"{traffic['tx_frames']} out ({size(traffic['tx_bytes'])})"
        )
    ]
    names = {interface["ifindex"]: interface["name"] for interface in status["interfaces"]}
    lines += _section(
        "Interfaces",
        ("name", "mac", "mtu", "addresses"),
        [
            (
                one["name"],
                one["mac"] or "-",
                one["mtu"],
                " ".join(f"{a} ({_claim(status, a)})" if _claim(status, a) else a for a in one["addrs"]),
            )
            for one in status["interfaces"]
        ],
    )
    lines += _section(
        "Neighbours",
        ("address", "dev", "mac", "state"),
        [
            (one["addr"], names.get(one["ifindex"], one["ifindex"]), one["mac"] or "-", one["state"])
            for one in status["neighbors"]
        ],
    )
    lines += _section(
        "Routes",
        ("destination", "via", "dev", "source"),
        [
            (one["dst"], one["gateway"] or "-", names.get(one["ifindex"], one["ifindex"]), one["src"] or "-")
            for one in status["routes"]
        ],
    )
    lines += _section(
        "Listening",
        ("", "address", "queue"),
        [
            *(
                ("tcp", f"{one['addr']}:{one['port']}", f"{one['waiting']}/{one['backlog']}")
                for one in status["listeners"]
            ),
            *(("udp", f"{one['local_addr']}:{one['local_port']}", f"{one['queued']}") for one in status["udp"]),
        ],
    )
    lines += ["", "Connections"]
    for one in status["connections"]:
        lines += [f"  {line}" for line in _connection(one)]
    if not status["connections"]:
        lines.append("  none")
    lines += [line for name, show in _SERVICES.items() if name in status for line in show(status[name])]
    lines += _section("Dropped", ("reason", "count"), sorted(status["drops"].items(), key=lambda item: -item[1]))
    return "\n".join(lines)


def _dns(dns: dict[str, Any]) -> list[str]:
    """What the DNS server has done."""
    server, refused = dns["server"], dns["resolver"].get("refused", {})
    counts = {
        "queries": server["queries"],
        **{f"answered {rcode}": count for rcode, count in server["rcodes"].items()},
        "from others": server["recursive"],
        "over TCP": server["tcp"],
        **{f"dropped: {reason}": count for reason, count in server["dropped"].items()},
        **{f"malformed: {reason}": count for reason, count in server["malformed"].items()},
        **{f"of others refused: {reason}": count for reason, count in refused.items()},
    }
    lines = _section("DNS", ("", "count"), [(what, count) for what, count in counts.items() if count])
    return lines + [f"  zone {name} {count} records" for name, count in dns["zones"].items()]


def _attached(attach: dict[str, Any]) -> list[str]:
    """Who is on the switch."""
    ports = [
        (
            one["address"],
            one["name"] or "?",
            one["pid"],
            duration(one["seconds"] * 1_000_000),
            *(one[name] for name in ("rx_bytes", "tx_bytes", "tx_dropped")),
            sum(count for name, count in one.items() if name.startswith("refused_")),
        )
        for one in attach["ports"]
    ]
    heads = ("address", "name", "pid", "for", "bytes from it", "bytes to it", "dropped", "refused")
    lines = _section(f"Attached processes ({attach['free']} of {attach['pool']} addresses free)", heads, ports)
    return lines + [f"  turned away: {count} ({reason})" for reason, count in attach["refused"].items()]


def _socks(socks: dict[str, Any]) -> list[str]:
    """Who uses the proxy."""
    about = {"open": f"{socks['open']} of {socks['limit']}", **_counts(socks, ("listen", "open", "limit"))}
    return _section(f"SOCKS5 on {socks['listen']}", ("", "count"), list(about.items()))


def _forwards(forwards: list[dict[str, Any]]) -> list[str]:
    """What leads where."""
    known = ("listen", "to", "in", "open", "limit", "octets_in", "octets_out")
    rows = [
        (
            f"{'stack' if one['in'] else 'kernel'} {one['listen']}",
            one["to"],
            f"{one['open']}/{one['limit']}",
            one["octets_in"],
            one["octets_out"],
            " ".join(f"{name}:{count}" for name, count in one.items() if name not in known) or "-",
        )
        for one in forwards
    ]
    return _section("Forwarded", ("from", "to", "open", "bytes in", "bytes out", "counts"), rows)


def _counts(counts: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    """What is worth a line."""
    return {name.replace("_", " "): count for name, count in counts.items() if name not in without and count}


# key of the snapshot: its section
_SERVICES: dict[str, Callable[[Any], list[str]]] = {
    "dns": _dns,
    "attach": _attached,
    "socks": _socks,
    "forwards": _forwards,
}


def _claim(status: dict[str, Any], address: str) -> str:
    """What RFC 5227 says of `address`, unless it is simply ours."""
    state = str(status["addresses"].get(address.partition("/")[0], ""))
    return "" if state in {"announcing", "held"} else state


def _connection(one: dict[str, Any]) -> list[str]:
    """Two lines, as `ss -ti` has them."""
    words = [
        *one["options"],
        one["congestion"],
        f"rto:{one['rto_us'] / 1000:g}",
        f"rtt:{one['srtt_us'] / 1000:g}/{one['rttvar_us'] / 1000:g}",
        f"mss:{one['mss']}",
        f"cwnd:{one['cwnd']}",
    ]
    if one["ssthresh"] < 1 << 30:
        words.append(f"ssthresh:{one['ssthresh']}")
    words += [f"snd_wnd:{one['snd_wnd']}", f"rcv_wnd:{one['rcv_wnd']}", f"delivered:{one['delivered']}"]
    words += [
        f"{name}:{one[name]}"
        for name in ("in_flight", "unsent", "retransmits", "sacked", "lost", "out_of_order", "backoff")
        if one[name]
    ]
    if one["min_rtt_us"] > 0:
        words.append(f"minrtt:{duration(one['min_rtt_us']).replace(' ', '')}")
    if one["timers"]:
        words.append(f"timers:{','.join(one['timers'])}")
    ends = f"{one['local_addr']}:{one['local_port']}  {one['remote_addr']}:{one['remote_port']}"
    queues = f"recv-q {one['recv_queue']:<7} send-q {one['send_queue']:<7}"
    return [f"{one['state']:<12} {queues} {ends}", f"    {' '.join(words)}"]


def _section(title: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """A titled table with columns as wide as needed."""
    if not rows:
        return ["", title, "  none"]
    table = [heads, *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    body = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
    return ["", title, *body]
