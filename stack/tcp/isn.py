"""Initial sequence numbers and timestamp offsets (RFC 6528, RFC 7323 §5.4).

ISN = M + F(4-tuple, secret): M counts 4 us ticks, F is keyed BLAKE2s.  The timestamp offset comes from
the same hash, so that neither tells anything about another connection or about the uptime.
"""

from hashlib import blake2s

from stack.wire.seq import MASK


def _digest(secret: bytes, tag: bytes, laddr: int, lport: int, raddr: int, rport: int) -> bytes:
    width = 16 if laddr >> 32 or raddr >> 32 else 4
    text = b"%b%b%b%b%b" % (
        tag,
        laddr.to_bytes(width, "big"),
        lport.to_bytes(2, "big"),
        raddr.to_bytes(width, "big"),
        rport.to_bytes(2, "big"),
    )
    return blake2s(text, digest_size=16, key=secret).digest()


def initial_sequence(secret: bytes, laddr: int, lport: int, raddr: int, rport: int, now: int) -> tuple[int, int]:
    """(ISS, timestamp offset) for this 4-tuple at `now`; `secret` is at most 32 random bytes."""
    # RFC 9293 §3.4.1 (MUST-8, MUST-9), RFC 6528 §3 (6528-1): clock-driven, and keyed by a secret
    d = _digest(secret, b"isn", laddr, lport, raddr, rport)
    iss = ((now >> 2) + int.from_bytes(d[:4], "big")) & MASK
    return iss, int.from_bytes(d[4:8], "big")


def port_offset(secret: bytes, laddr: int, raddr: int, rport: int) -> int:
    """RFC 6056 §3.3.3 (6056-1): where the search for an ephemeral port begins for this destination."""
    return int.from_bytes(_digest(secret, b"port", laddr, 0, raddr, rport)[:4], "big")


def cookie_mac(secret: bytes, laddr: int, lport: int, raddr: int, rport: int, iss: int, tick: int) -> int:
    """24 bits that only the holder of `secret` can compute, for SYN cookies (RFC 4987 §3.6)."""
    tag = b"cookie" + iss.to_bytes(4, "big") + (tick & MASK).to_bytes(4, "big")
    return int.from_bytes(_digest(secret, tag, laddr, lport, raddr, rport)[:3], "big")
