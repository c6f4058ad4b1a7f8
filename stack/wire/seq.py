"""Sequence number arithmetic modulo 2^32.

RFC 9293 §3.4: all comparisons of sequence numbers are made modulo 2^32.  On hot paths the same
expressions are written out inline; these functions are the readable form of them.
"""

from typing import Final

MOD: Final = 1 << 32
MASK: Final = MOD - 1
HALF: Final = 1 << 31


def seq_add(a: int, n: int) -> int:
    """`a` advanced by `n` (which may be negative)."""
    return (a + n) & MASK


def seq_sub(a: int, b: int) -> int:
    """Signed distance from `b` to `a`, in -2^31 .. 2^31-1."""
    d = (a - b) & MASK
    return d - MOD if d & HALF else d


def seq_lt(a: int, b: int) -> bool:
    """`a` lies before `b`."""
    return ((a - b) & MASK) >= HALF


def seq_le(a: int, b: int) -> bool:
    """`a` lies before `b` or is equal."""
    return ((b - a) & MASK) < HALF


def seq_gt(a: int, b: int) -> bool:
    """`a` lies after `b`."""
    return ((b - a) & MASK) >= HALF


def seq_ge(a: int, b: int) -> bool:
    """`a` lies after `b` or is equal."""
    return ((a - b) & MASK) < HALF


def seq_max(a: int, b: int) -> int:
    """The later of two sequence numbers."""
    return a if ((a - b) & MASK) < HALF else b
