"""Sending ICMP errors: when, how often, and what they quote (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3.2)."""

from typing import Final

from stack.config import SECOND, Rng
from stack.wire import accel, icmp, ipv4
from stack.wire.addr import is_multicast, is_unicast

# RFC 1812 §4.3.2.3: quote as much as keeps the error at no more than 576 bytes
QUOTE_MAX: Final = icmp.MAX_ERROR - ipv4.HLEN - icmp.HLEN


class IcmpLimiter:
    """Token bucket: `rate_per_s` on average, `burst` at once.  RFC 1812 §4.3.2.8.

    With `rng` a message takes none to two tokens.  Who uses the limit up cannot count then what else was sent, and
    so not learn of the host's dealings with others (CVE-2016-5696, CVE-2020-25705).
    """

    __slots__ = ("_burst", "_filled_at", "_rate", "_rng", "_tokens_us")

    def __init__(self, rate_per_s: int, burst: int, now: int = 0, rng: Rng | None = None) -> None:
        self._rng = rng
        self._rate = rate_per_s
        self._burst = burst
        self._filled_at = now
        self._tokens_us = burst * SECOND  # tokens times a second, so that the arithmetic stays in integers

    def allow(self, now: int) -> bool:
        """Take one token if there is one."""
        self._tokens_us = min(self._burst * SECOND, self._tokens_us + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens_us < SECOND:
            return False
        self._tokens_us -= SECOND if self._rng is None else self._rng.randrange(3) * SECOND
        return True


def may_report(packet: bytes, *, link_group: bool) -> bool:
    """An error about this IP packet is allowed.  RFC 1122 §3.2.2 (ICMP-3), RFC 1812 §4.3.2.7.

    Not about ICMP errors (and unknown ICMP types, which may be errors), link or IP broadcasts and multicasts,
    fragments but the first, or a source that is not a single host.  Directed broadcasts are the caller's to know.
    """
    ip = ipv4.parse(packet)
    if ip is None or link_group or ip.flags_offset & ipv4.OFFSET_MASK or not is_unicast(ip.src):
        return False
    if is_multicast(ip.dst) or ip.dst == 0xFFFF_FFFF:
        return False
    if ip.proto == ipv4.PROTO_ICMP:
        kind = packet[ip.hlen] if len(packet) > ip.hlen else -1
        return kind in (icmp.ECHO, icmp.ECHO_REPLY, icmp.TIMESTAMP, icmp.TIMESTAMP_REPLY)
    return True


def build_error(icmp_type: int, code: int, packet: bytes, *, ident: int = 0, second: int = 0) -> bytes:
    """An ICMP error message about `packet` (from its IP header on), checksum included.

    `ident` and `second` are the two halves of the second word: a next-hop MTU goes in `second`, a parameter problem's
    pointer in the high byte of `ident`, a redirect's gateway in both.
    """
    quoted = packet[:QUOTE_MAX]
    head = icmp.HEADER.pack(icmp_type, code, 0, ident, second)
    csum = accel.checksum(head + quoted)
    return icmp.HEADER.pack(icmp_type, code, csum, ident, second) + quoted
