"""Cookies of a server (RFC 7873, RFC 9018): proof that a client received an earlier answer at its address.

A server cookie is a version, the time, and a hash of these, the client's own cookie and its address under a secret of
the server's, which thus keeps no state.  The secret is drawn anew now and then; cookies made with the one before stay
good for as long as any does.

What was computed for a client is kept for a while in a bounded table: clients send the same cookie with every query.
"""

from typing import Final

from stack.config import Rng

SIZE: Final = 16  # octets of a server cookie (RFC 9018 §4)
LIFE_S: Final = 3600  # RFC 9018 §4.3: older ones are not valid
RENEW_S: Final = 1800  # RFC 9018 §4.3: older ones are valid, and the answer brings a new one
FUTURE_S: Final = 300  # RFC 9018 §4.3
SECRET_S: Final = 26 * 86_400  # RFC 7873 §7.1: a secret should not be used for longer than 36 days; here for 26
SECRET: Final = 16
MAX_KNOWN: Final = 4096  # clients whose cookies are remembered
REMEMBERED_S: Final = 60

_CLIENT: Final = 8
_VERSION: Final = b"\1\0\0\0"  # and three octets that are reserved (RFC 9018 §4.1, §4.2)
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


def siphash24(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 (Aumasson and Bernstein 2012) of `data` under a key of 16 octets."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    padded = data + bytes(7 - len(data) % 8) + bytes((len(data) & 0xFF,))
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        a, b, c, d = _rounds(*state[:3], state[3] ^ word, count=2)
        state = a ^ word, b, c, d
    a, b, c, d = _rounds(state[0], state[1], state[2] ^ 0xFF, state[3], count=4)
    return (a ^ b ^ c ^ d).to_bytes(8, "little")


def _rounds(a: int, b: int, c: int, d: int, *, count: int) -> tuple[int, int, int, int]:
    for _ in range(count):
        a = a + b & _MASK
        b = (b << 13 | b >> 51) & _MASK ^ a
        a = (a << 32 | a >> 32) & _MASK
        c = c + d & _MASK
        d = (d << 16 | d >> 48) & _MASK ^ c
        a = a + d & _MASK
        d = (d << 21 | d >> 43) & _MASK ^ a
        c = c + b & _MASK
        b = (b << 17 | b >> 47) & _MASK ^ c
        c = (c << 32 | c >> 32) & _MASK
    return a, b, c, d


def make_cookie(secret: bytes, client: bytes, address: bytes, now_s: int) -> bytes:
    """The server cookie for a client cookie from an address of 4 or 16 octets."""
    head = _VERSION + (now_s & 0xFFFF_FFFF).to_bytes(4, "big")
    return head + siphash24(secret, client + head + address)


class Cookies:
    """What one server gives out and accepts."""

    __slots__ = ("_known", "_previous", "_renew_at_s", "_rng", "_secret")

    def __init__(self, rng: Rng, now_s: int) -> None:
        self._rng = rng
        self._secret = self._previous = rng.randbytes(SECRET)
        self._renew_at_s = now_s + SECRET_S
        self._known: dict[tuple[bytes, bytes], tuple[int, bytes, bool]] = {}

    def answer(self, cookie: bytes, address: bytes, now_s: int) -> tuple[bytes, bool]:
        """The cookie option's data for the reply to a query with `cookie`, and whether the server's part was good."""
        known = self._known.get((cookie, address))
        if known is not None and now_s < known[0]:
            return known[1], known[2]
        if now_s >= self._renew_at_s:
            self._previous, self._secret = self._secret, self._rng.randbytes(SECRET)
            self._renew_at_s = now_s + SECRET_S
        reply, good = self._answer(cookie, address, now_s)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[cookie, address] = now_s + REMEMBERED_S, reply, good
        return reply, good

    def _answer(self, cookie: bytes, address: bytes, now_s: int) -> tuple[bytes, bool]:
        client, server = cookie[:_CLIENT], cookie[_CLIENT:]
        good = False
        if len(server) == SIZE and server[:4] == _VERSION:
            made_s = int.from_bytes(server[4:8], "big")
            # RFC 9018 §4.3: in serial number arithmetic (RFC 1982)
            age_s = (now_s - made_s + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
            if -FUTURE_S <= age_s <= LIFE_S:
                good = any(
                    server == make_cookie(secret, client, address, made_s) for secret in (self._secret, self._previous)
                )
            if good and age_s <= RENEW_S:
                return cookie, True
        return client + make_cookie(self._secret, client, address, now_s), good
