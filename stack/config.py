"""Settings of a host.  Durations are integer microseconds, sizes bytes.  Values are checked by `validate`."""

from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol

from stack.errors import ConfigError

MS: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
NEVER: Final = (1 << 62) - 1  # a deadline that is not set; the largest int that the compiled form does not box

# TcpConfig.ecn
ECN_OFF: Final = "off"
ECN_ACCEPT: Final = "accept"
ECN_REQUEST: Final = "request"
_ECN: Final = (ECN_OFF, ECN_ACCEPT, ECN_REQUEST)


def _restored(kind: type, values: dict[str, Any]) -> Any:
    return kind(**values)


def _reduced(settings: Any) -> tuple[Any, ...]:
    """For `__reduce__`: a class that cannot be changed is copied and unpickled by its constructor."""
    return _restored, (type(settings), {one.name: getattr(settings, one.name) for one in fields(settings)})


class Rng(Protocol):
    """The randomness a Host is given: `random.Random(seed)` in tests, `random.SystemRandom()` outside."""

    def getrandbits(self, k: int, /) -> int:
        """An int of `k` random bits."""

    def randrange(self, stop: int, /) -> int:
        """An int in [0, stop)."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` random bytes."""


@dataclass(frozen=True)
class TcpConfig:
    """Per-host defaults of TCP; `Host.connect` and `Host.listen` take a changed copy per connection."""

    # a name of tcp/congestion/registry.py, or a subclass of tcp.congestion.base.Controller
    congestion: Any = "cubic"
    hystart: bool = True  # RFC 9406: leave the first slow start before the queue overflows
    window_validation: str = (
        "rfc7661"  # of a window not used: "rfc7661", "rfc2861" or "rfc5681"; congestion/validation.py
    )
    fixed_window_segs: int = 16  # the window of `congestion = "fixed"`
    rtt_estimator: str = "jacobson"  # or "karn", "original"; tcp/estimators.py
    fast_retransmit: bool = True  # RFC 5681 §3.2; False: only the retransmission timer finds losses
    pacing: str = "auto"  # "auto": paths of more than 1 ms, and where the algorithm asks; "on": all paths; "off"
    max_pacing_rate: int = 0  # bytes of payload per second; 0: no limit
    nodelay: bool = False
    sack: bool = True
    timestamps: bool = True
    window_scaling: bool = True
    send_buffer: int = 4 << 20  # the largest; it begins with `send_buffer_initial` and follows cwnd
    send_buffer_initial: int = 128 << 10
    notsent_lowat: int = 0  # when set, no more than this waits unsent before a writer has to wait
    recv_buffer: int = 6 << 20  # the largest; it begins with `recv_buffer_initial` and follows what is read
    recv_buffer_initial: int = 64 << 10
    mss_limit: int = 65_495  # largest MSS ever announced or used
    rto_initial_us: int = 1 * SECOND  # RFC 6298 §2.1
    rto_min_us: int = 200 * MS
    rto_max_us: int = 120 * SECOND  # RFC 6298 §2.5: at least 60 s
    delayed_ack_us: int = 40 * MS  # RFC 9293 §3.8.6.3 (MUST-40): under 500 ms
    quick_acks: int = 16  # this many segments are acknowledged at once on a new connection
    syn_retries_us: int = 3 * MINUTE  # RFC 9293 §3.8.3 (MUST-23): R2 of a SYN at least 3 minutes
    r1_retries: int = 3  # RFC 9293 §3.8.3 (SHLD-10)
    user_timeout_us: int = 15 * MINUTE  # RFC 9293 §3.8.3 (SHLD-11): R2 at least 100 s
    keepalive: bool = False  # RFC 9293 §3.8.4 (MUST-25): default off
    keepalive_idle_us: int = 2 * 60 * MINUTE  # (MUST-28)
    keepalive_interval_us: int = 75 * SECOND
    keepalive_probes: int = 9
    msl_us: int = 30 * SECOND
    fin_wait_2_us: int = 60 * SECOND
    initial_window_segs: int = 10  # RFC 6928
    loss_detection: str = "rack"  # RFC 8985, or "rfc6675"; without SACK duplicate ACKs are counted
    tlp: bool = True  # tail loss probes, RFC 8985 §7; only with RACK
    frto: bool = True  # spurious timeouts are noticed, RFC 5682
    limited_transmit: bool = True  # RFC 3042
    dsack: bool = True  # duplicates are reported, and reports taken, RFC 2883
    ecn: str = ECN_ACCEPT  # RFC 3168: "off", "accept" when the peer asks, or "request" it, too
    out_of_order_bytes: int = 6 << 20
    out_of_order_ranges: int = 1024
    max_time_wait: int = 65_536
    max_connections: int = 200_000
    challenge_acks_per_s: int = 10  # per connection, RFC 5961 §7
    syn_cookies: bool = True  # RFC 4987 §3.6; without them the oldest half-open connection makes room
    max_syn_backlog: int = 4096  # half-open connections of one listener; its backlog bounds them, too
    mtu_probing: bool = True  # RFC 4821: smaller segments when large ones vanish, larger ones tried again
    mtu_raise_us: int = 10 * MINUTE  # RFC 1191 §6.3, RFC 4821 §7.1: until a larger size is tried again
    orphan_timeout_us: int = 2 * MINUTE  # nobody holds it and the peer takes nothing (RFC 6429 §3)
    max_orphans: int = 16_384  # connections with things to send that nobody holds; beyond, the oldest is reset
    dscp: int = 0
    ttl: int = 64  # RFC 9293 §3.9.1 (MUST-49), RFC 1700

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduced(self)

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        _check_ranges(self, _TCP_RANGES)
        _check_choices(self)
        if not isinstance(self.congestion, str | type):
            raise ConfigError(f"congestion {self.congestion!r}: use the name of an algorithm or a Controller class")
        if self.pacing == "off" and self.max_pacing_rate:
            raise ConfigError("max_pacing_rate needs pacing; use pacing 'auto' or 'on' with it")
        if self.rto_min_us > self.rto_max_us:
            raise ConfigError("rto_min_us must be at most rto_max_us")
        if self.ecn not in _ECN:
            raise ConfigError(f"ecn {self.ecn!r}: use one of {', '.join(_ECN)}")


@dataclass(frozen=True)
class IpConfig:
    """IPv4, ARP, ICMP and UDP of one host."""

    forwarding: bool = False
    ttl: int = 64
    reassembly_timeout_us: int = 60 * SECOND  # RFC 1122 §3.3.2
    reassembly_bytes: int = 4 << 20
    reassembly_datagrams: int = 1024
    icmp_rate_per_s: int = 1000
    icmp_burst: int = 50
    echo_reply: bool = True
    accept_redirects: bool = True
    send_redirects: bool = True
    arp_probe: bool = True  # RFC 5227: probe before an address is used
    arp_optimistic: bool = True  # use the address while it is being probed (as RFC 4429 does for IPv6)
    arp_entries: int = 4096
    arp_queue_frames: int = 1024  # packets that wait for an unresolved neighbour
    arp_queue_bytes: int = 256 << 10  # of them, each with 512 besides: 450 small ones, or 3 datagrams of 65507 bytes
    arp_reachable_us: int = 30 * SECOND
    arp_retry_us: int = 1 * SECOND  # RFC 1122 §2.3.2.1: at most one request a second
    arp_tries: int = 3
    pmtu_timeout_us: int = 10 * MINUTE  # RFC 1191 §6.3
    udp_recv_buffer: int = 1 << 20  # per endpoint
    udp_recv_datagrams: int = 1024
    max_udp_endpoints: int = 65_536

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduced(self)


@dataclass(frozen=True)
class HostConfig:
    """All settings of one host."""

    tcp: TcpConfig = field(default_factory=TcpConfig)
    ip: IpConfig = field(default_factory=IpConfig)
    port_range: tuple[int, int] = (32_768, 60_999)  # ephemeral ports, inclusive
    memory_bytes: int = 512 << 20  # of all connections together; one takes 3.75 KiB besides the data that it holds

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduced(self)

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        lo, hi = self.port_range
        if not 1 <= lo <= hi <= 65_535:
            raise ConfigError(f"port_range {lo}-{hi}: use 1 <= low <= high <= 65535")
        _check_ranges(self, _HOST_RANGES)
        self.tcp.validate()
        _check_ranges(self.ip, _IP_RANGES)


# What a setting may be: inclusive bounds, and the reason where it is not plain.
_LONGEST: Final = 7 * 24 * 60 * MINUTE
_DURATION: Final = (1, _LONGEST, "")
_SIZE: Final = (1, 1 << 30, "")
_COUNT: Final = (1, 1 << 24, "")
_TCP_RANGES: Final[dict[str, tuple[int, int, str]]] = {
    "send_buffer": _SIZE,
    "send_buffer_initial": _SIZE,
    "notsent_lowat": (0, 1 << 30, "0 is off"),
    "recv_buffer": _SIZE,
    "recv_buffer_initial": _SIZE,
    "max_pacing_rate": (0, 1 << 40, "0 sets no limit"),
    "mss_limit": (64, 65_495, ""),
    "rto_initial_us": _DURATION,
    "rto_min_us": _DURATION,
    "rto_max_us": _DURATION,
    "delayed_ack_us": (1, 500 * MS - 1, "RFC 9293 §3.8.6.3"),
    "quick_acks": (0, 1 << 24, ""),
    "syn_retries_us": _DURATION,
    "r1_retries": _COUNT,
    "user_timeout_us": _DURATION,
    "keepalive_idle_us": _DURATION,
    "keepalive_interval_us": _DURATION,
    "keepalive_probes": _COUNT,
    "msl_us": _DURATION,
    "fin_wait_2_us": _DURATION,
    "initial_window_segs": (1, 1 << 16, ""),
    "fixed_window_segs": (1, 1 << 16, ""),
    "out_of_order_bytes": (0, 1 << 30, ""),
    "out_of_order_ranges": (0, 1 << 24, ""),
    "max_time_wait": _COUNT,
    "max_connections": _COUNT,
    "challenge_acks_per_s": (0, 1 << 24, ""),
    "max_syn_backlog": _COUNT,
    "mtu_raise_us": _DURATION,
    "orphan_timeout_us": _DURATION,
    "max_orphans": (0, 1 << 24, ""),
    "dscp": (0, 63, "six bits, RFC 2474 §3"),
    "ttl": (1, 255, ""),
}
_IP_RANGES: Final[dict[str, tuple[int, int, str]]] = {
    "ttl": (1, 255, ""),
    "reassembly_timeout_us": (60 * SECOND, 120 * SECOND, "RFC 1122 §3.3.2"),
    "reassembly_bytes": (0, 1 << 30, ""),
    "reassembly_datagrams": _COUNT,
    "icmp_rate_per_s": (0, 1 << 24, "0 sends no ICMP errors"),
    "icmp_burst": (0, 1 << 24, "0 sends no ICMP errors"),
    "arp_entries": _COUNT,
    "arp_queue_frames": _COUNT,
    "arp_queue_bytes": _SIZE,
    "arp_reachable_us": _DURATION,
    "arp_retry_us": (SECOND, _LONGEST, "RFC 1122 §2.3.2.1"),
    "arp_tries": _COUNT,
    "pmtu_timeout_us": _DURATION,
    "udp_recv_buffer": _SIZE,
    "udp_recv_datagrams": _COUNT,
    "max_udp_endpoints": _COUNT,
}


_HOST_RANGES: Final[dict[str, tuple[int, int, str]]] = {
    "memory_bytes": (1 << 20, 1 << 50, ""),
}


_TCP_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "loss_detection": ("rack", "rfc6675"),
    "pacing": ("auto", "on", "off"),
    "rtt_estimator": ("jacobson", "karn", "original"),
    "window_validation": ("rfc7661", "rfc2861", "rfc5681"),
}


def _check_choices(settings: TcpConfig) -> None:
    for name, choices in _TCP_CHOICES.items():
        value = getattr(settings, name)
        if value not in choices:
            raise ConfigError(f"{name} {value!r}: use one of {', '.join(choices)}")


def _check_ranges(settings: TcpConfig | IpConfig | HostConfig, ranges: dict[str, tuple[int, int, str]]) -> None:
    for name, (low, high, why) in ranges.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(f"{name} {value!r}: use a whole number from {low} to {high}{f' ({why})' if why else ''}")
