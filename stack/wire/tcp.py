"""TCP header and options (RFC 9293 §3.1, RFC 7323 §2-3, RFC 2018 §2-3): bytes to numbers and back.

Parsers are total: a bad length ends the scan and what was understood before it stands
(RFC 9293 §3.1, MUST-7).  Offsets and lengths are bytes.
"""

from struct import Struct
from typing import Final

from mypy_extensions import mypyc_attr

HEADER_LEN: Final = 20
MAX_OPTIONS: Final = 40
CSUM_OFFSET: Final = 16

OPT_EOL: Final = 0
OPT_NOP: Final = 1
OPT_MSS: Final = 2
OPT_WSCALE: Final = 3
OPT_SACK_OK: Final = 4
OPT_SACK: Final = 5
OPT_TS: Final = 8

LEN_TS: Final = 12  # as sent: NOP NOP TS, aligned (RFC 7323, appendix A)
MAX_WSCALE: Final = 14  # RFC 7323 §2.3
DEFAULT_MSS: Final = 536  # RFC 9293 §3.7.1 (MUST-15)
MIN_MSS: Final = 64  # a peer that announces less gets this: bounds the cost of tiny segments

# sport, dport, seq, ack, offset and flags, window, checksum, urgent pointer
HEADER: Final = Struct("!HHIIHHHH")
# the same followed by NOP NOP TS: the header of nearly every segment
HEADER_TS: Final = Struct("!HHIIHHHHIII")
TS_PREFIX: Final = 0x0101080A
OFFSET_PLAIN: Final = 5 << 12
OFFSET_TS: Final = 8 << 12

_TS: Final = Struct("!II")
_BLOCK: Final = Struct("!II")
_MSS: Final = Struct("!BBH")
_TS_OPTION: Final = Struct("!BBII")
_WSCALE: Final = Struct("!BBBB")
_SYN_OPTIONS: Final = Struct("!BBH2sBBIIBBBB")  # these, with _SACK_OK or _TWO_NOPS after the first
_SACK_OK: Final = bytes((OPT_SACK_OK, 2))
_TWO_NOPS: Final = bytes((OPT_NOP, OPT_NOP))


@mypyc_attr(acyclic=True)
class SynOptions:
    """The options of one SYN.  `wscale` is -1 and `mss` 0 when absent."""

    __slots__ = ("has_ts", "mss", "sack_ok", "tsecr", "tsval", "wscale")

    def __init__(self) -> None:
        self.mss = 0
        self.wscale = -1
        self.sack_ok = False
        self.has_ts = False
        self.tsval = 0
        self.tsecr = 0


def _next_option(data: bytes, at: int) -> tuple[int, int]:
    """(where the first option from `at` on begins that is no NOP, its length); length 0 at the end."""
    end = len(data)
    while at < end:
        kind = data[at]
        if kind == OPT_NOP:
            at += 1
            continue
        # RFC 9293 §3.1 (MUST-7, MUST-64): lengths 0 and 1 and those past the header end the scan
        if kind == OPT_EOL or at + 1 >= end:
            break
        length = data[at + 1]
        if length < 2 or at + length > end:
            break
        return at, length
    return end, 0


def options_of(data: bytes) -> list[tuple[int, int, int]]:
    """(kind, offset of the value, value length) of each option; stops at EOL or an illegal length."""
    found: list[tuple[int, int, int]] = []
    at, length = _next_option(data, 0)
    while length:
        found.append((data[at], at + 2, length - 2))
        at, length = _next_option(data, at + length)
    return found


def parse_syn(data: bytes) -> SynOptions:
    """The options that matter on a SYN; options of a wrong length are ignored."""
    out = SynOptions()
    at, length = _next_option(data, 0)
    while length:
        kind = data[at]
        if kind == OPT_MSS and length == 4:
            out.mss = data[at + 2] << 8 | data[at + 3]
        elif kind == OPT_WSCALE and length == 3:
            out.wscale = min(data[at + 2], MAX_WSCALE)  # RFC 7323 §2.3 (7323-2.3): above 14 is 14
        elif kind == OPT_SACK_OK and length == 2:
            out.sack_ok = True
        elif kind == OPT_TS and length == 10:
            out.has_ts = True
            out.tsval, out.tsecr = _TS.unpack_from(data, at + 2)
        at, length = _next_option(data, at + length)
    return out


def parse_sack(data: bytes) -> list[tuple[int, int]]:
    """The (left, right) edges of the first SACK option; unchecked sequence numbers."""
    for kind, at, length in options_of(data):
        if kind == OPT_SACK and length and length % 8 == 0:
            return [_BLOCK.unpack_from(data, at + i) for i in range(0, length, 8)]
    return []


def pack_syn_options(mss: int, wscale: int, sack_ok: bool, ts: tuple[int, int] | None) -> bytes:
    """Options of a SYN or SYN-ACK, padded with NOP; `wscale` -1 leaves the option out."""
    if ts is not None and wscale >= 0:  # nearly always
        return _SYN_OPTIONS.pack(
            OPT_MSS,
            4,
            mss,
            _SACK_OK if sack_ok else _TWO_NOPS,
            OPT_TS,
            10,
            ts[0],
            ts[1],
            OPT_NOP,
            OPT_WSCALE,
            3,
            wscale,
        )
    out: bytes = _MSS.pack(OPT_MSS, 4, mss)
    if ts is not None:
        out += _SACK_OK if sack_ok else _TWO_NOPS
        out += _TS_OPTION.pack(OPT_TS, 10, ts[0], ts[1])
    elif sack_ok:
        out += _TWO_NOPS + _SACK_OK
    if wscale >= 0:
        out += _WSCALE.pack(OPT_NOP, OPT_WSCALE, 3, wscale)
    return out


def pack_sack(blocks: list[tuple[int, int]]) -> bytes:
    """NOP NOP SACK with these blocks."""
    out = bytearray((OPT_NOP, OPT_NOP, OPT_SACK, 2 + 8 * len(blocks)))
    for left, right in blocks:
        out += _BLOCK.pack(left, right)
    return bytes(out)


def pack_ts(tsval: int, tsecr: int) -> bytes:
    """NOP NOP TS."""
    return bytes((OPT_NOP, OPT_NOP, OPT_TS, 10)) + _TS.pack(tsval, tsecr)
