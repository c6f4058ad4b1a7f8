"""What tshark thinks of a capture of finished wire frames.

`check` looks at our packets only: those whose IPv4 or ARP source is in `ours`, or if there is none (cut
short, say), those from the Ethernet address that such packets come from.  A loss-free capture must
give no expert remark of severity warning or error, but for those in `tshark_allowed`.  Of every capture,
lossy ones too, it asks: no malformed packet, no bad checksum, no data beyond the window that the peer has
offered, no ACK of data that the peer has not sent.  The last two are worked out here from the raw numbers:
tshark guesses when frames are missing.
"""

import re
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.tshark_allowed import ALLOWED, Allowed

MAX_BYTES = 20_000_000
SEVERITY_WARNING = 0x600000
PROTO_TCP = "6"
FLAG_FIN, FLAG_SYN, FLAG_RST, FLAG_ACK = 0x01, 0x02, 0x04, 0x10

CHECKSUMS = ("ip", "tcp", "udp", "icmp")
FIELDS = (
    "frame.number",
    "eth.src",
    "ip.src",
    "arp.src.proto_ipv4",
    "ip.proto",
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
    "tcp.stream",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.len",
    "tcp.window_size",
    *(f"{name}.checksum.status" for name in CHECKSUMS),
)
VERIFY = [word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE")]
# What TCP and UDP carry is the application's; by port 80 it would be judged as HTTP.
PAYLOAD_IS_DATA = ["-d", "tcp.port==0-65535,data", "-d", "udp.port==0-65535,data"]
SEPARATOR = "\x1f"  # between the values of one field; commas occur in messages

Row = dict[str, list[str]]


def read(path: Path) -> list[Row]:
    """The fields of each packet; a field that occurs several times (a packet quoted in an ICMP error) has
    several values, the outermost first."""
    if shutil.which("tshark") is None:
        raise FileNotFoundError("tshark is not installed; scripts/bootstrap.sh test installs it")
    command = [
        "tshark",
        "-n",
        "-r",
        str(path),
        *VERIFY,
        *PAYLOAD_IS_DATA,
        "-T",
        "fields",
        "-E",
        f"aggregator={SEPARATOR}",
    ]
    for name in FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"tshark cannot read {path}: {done.stderr.strip()}")
    rows = []
    for line in done.stdout.splitlines():
        values = line.split("\t")
        rows.append({name: value.split(SEPARATOR) if value else [] for name, value in zip(FIELDS, values, strict=True)})
    return rows


def check(path: Path, ours: Collection[str], *, loss_free: bool, allowed: Sequence[Allowed] = ALLOWED) -> list[str]:
    """What is wrong with our packets, one line each; empty if nothing is."""
    findings = []
    if path.stat().st_size > MAX_BYTES:
        findings.append(f"the capture is larger than {MAX_BYTES} bytes")
    rows = read(path)
    macs = {first(row, "eth.src") for row in rows if source(row) in ours}
    streams: dict[str, _Stream] = {}
    sent = 0
    for row in rows:
        our = source(row) in ours if source(row) else first(row, "eth.src") in macs
        problems = []
        if our:
            sent += 1
            problems += broken(row)
            if loss_free:
                problems += remarks(row, allowed)
        if first(row, "ip.proto") == PROTO_TCP and row["tcp.seq_raw"] and not broken(row):
            stream = streams.setdefault(first(row, "tcp.stream"), _Stream())
            problems += stream.sent(row) if our else stream.received(row)
        findings += [f"frame {first(row, 'frame.number')}: {problem}" for problem in problems]
    if not sent:
        findings.append(f"no packet is from {', '.join(ours)}")
    return findings


def assert_clean(path: Path, ours: Collection[str], *, loss_free: bool) -> None:
    """Fail with the list of findings unless there are none."""
    findings = check(path, ours, loss_free=loss_free)
    shown = "\n".join(findings[:20])
    assert not findings, f"{path}: {len(findings)} findings\n{shown}"


def first(row: Row, name: str) -> str:
    """The outermost value of a field, "" if it does not occur."""
    return row[name][0] if row[name] else ""


def source(row: Row) -> str:
    """The IPv4 address that sent the packet, "" if it shows none."""
    return first(row, "ip.src") or first(row, "arp.src.proto_ipv4")


def broken(row: Row) -> list[str]:
    """Malformed content and bad checksums (status 0: bad; 1: good; 2, 3: not checked or not there)."""
    # A TCP header with an impossible length is taken apart only as far as its numbers.
    cut = row["tcp.seq_raw"] and not row["tcp.flags"]
    found = ["malformed packet"] if row["_ws.malformed"] or cut else []
    return found + [f"bad {name} checksum" for name in CHECKSUMS if first(row, f"{name}.checksum.status") == "0"]


def remarks(row: Row, allowed: Sequence[Allowed]) -> list[str]:
    """Expert remarks of severity warning or error that are not allowed."""
    pairs = zip(row["_ws.expert.severity"], row["_ws.expert.message"], strict=True)
    return [
        f"tshark: {message}"
        for severity, message in pairs
        if int(severity) >= SEVERITY_WARNING and not any(re.fullmatch(item.pattern, message) for item in allowed)
    ]


@dataclass
class _Stream:
    """One TCP connection as seen from our side.  Numbers are raw, modulo 2^32."""

    peer_edge: int | None = None  # furthest ACK + window that the peer has sent
    peer_next: int | None = None  # one past the furthest sequence number that the peer has sent
    syns: set[bool] = field(default_factory=set)  # from us, from the peer: without both the scale is unknown

    def received(self, row: Row) -> list[str]:
        flags, seq, ack, length, window = numbers(row)
        self.peer_next = later(self.peer_next, seq + length + bool(flags & FLAG_SYN) + bool(flags & FLAG_FIN))
        if flags & FLAG_SYN:
            self.syns.add(False)
        if flags & FLAG_ACK and not flags & FLAG_RST:
            self.peer_edge = later(self.peer_edge, ack + window)
        return []

    def sent(self, row: Row) -> list[str]:
        flags, seq, ack, length, _ = numbers(row)
        problems = []
        if flags & FLAG_SYN:
            self.syns.add(True)
        if flags & FLAG_ACK and (self.peer_next is None or beyond(ack, self.peer_next) > 0):
            problems.append(f"acknowledges {ack}, but the peer has sent up to {self.peer_next} only")
        if self.peer_edge is not None and len(self.syns) == 2:
            excess = beyond(seq + length, self.peer_edge)
            # RFC 9293 §3.8.6.1: a probe may send one octet into a closed window.
            if length and excess > 0 and (length, excess) != (1, 1):
                problems.append(f"{excess} bytes beyond the window of the peer")
        return problems


def numbers(row: Row) -> tuple[int, int, int, int, int]:
    """Flags, sequence number, acknowledgment number, payload length, scaled window."""
    return (
        int(first(row, "tcp.flags"), 16),
        int(first(row, "tcp.seq_raw")),
        int(first(row, "tcp.ack_raw") or 0),
        int(first(row, "tcp.len")),
        int(first(row, "tcp.window_size")),
    )


def beyond(a: int, b: int) -> int:
    """How far `a` lies behind `b`, negative if before, modulo 2^32."""
    return (a - b + (1 << 31)) % (1 << 32) - (1 << 31)


def later(a: int | None, b: int) -> int:
    """The later of two sequence numbers."""
    b %= 1 << 32
    return b if a is None or beyond(b, a) > 0 else a
