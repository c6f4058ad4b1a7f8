"""Initial sequence numbers and timestamp offsets (RFC 6528, RFC 7323 §5.4).

ISN = M + F(4-tuple, secret): M counts 4 us ticks, F is BLAKE2s of secret and 4-tuple.  As in RFC 6528 §3 they are
simply concatenated, since nobody can extend a BLAKE2s whose state he does not see; the keyed mode takes twice the time,
as a key fills a block of its own.  What it is for (`tag`) and the family of the addresses give texts of different
lengths.  The timestamp offset comes from the same hash, so that neither tells anything about another connection or
about the uptime.
"""

from hashlib import blake2s
from struct import Struct
from typing import Final

from stack.wire.seq import MASK

_FLOW: Final = Struct("!IHIH")
_TWO: Final = Struct("!II")


def _digest(secret: bytes, tag: bytes, laddr: int, lport: int, raddr: int, rport: int) -> bytes:
    if laddr >> 32 or raddr >> 32:
        text = b"%b%b%b%b%b" % (
            tag,
            laddr.to_bytes(16, "big"),
            lport.to_bytes(2, "big"),
            raddr.to_bytes(16, "big"),
            rport.to_bytes(2, "big"),
        )
    else:
        text = tag + _FLOW.pack(laddr, lport, raddr, rport)
    return blake2s(secret + text).digest()


def initial_sequence(secret: bytes, laddr: int, lport: int, raddr: int, rport: int, now: int) -> tuple[int, int]:
    """(ISS, timestamp offset) for this 4-tuple at `now`; `secret` is 32 random bytes."""
    # RFC 9293 §3.4.1 (MUST-8, MUST-9), RFC 6528 §3 (6528-1): clock-driven, and keyed by a secret
    d = _digest(secret, b"isn", laddr, lport, raddr, rport)
    offset, ts_offset = _TWO.unpack_from(d)
    return ((now >> 2) + offset) & MASK, ts_offset


def port_offset(secret: bytes, laddr: int, raddr: int, rport: int) -> int:
    """RFC 6056 §3.3.3 (6056-1): where the search for an ephemeral port begins for this destination."""
    return int.from_bytes(_digest(secret, b"port", laddr, 0, raddr, rport)[:4], "big")


def cookie_mac(secret: bytes, laddr: int, lport: int, raddr: int, rport: int, iss: int, tick: int) -> int:
    """24 bits that only the holder of `secret` can compute, for SYN cookies (RFC 4987 §3.6)."""
    tag = b"cookie" + iss.to_bytes(4, "big") + (tick & MASK).to_bytes(4, "big")
    return int.from_bytes(_digest(secret, tag, laddr, lport, raddr, rport)[:3], "big")
