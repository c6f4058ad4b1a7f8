"""What the SACK option of an ACK reports (RFC 2018, RFC 2883); the scoreboard keeps it."""

from typing import TYPE_CHECKING

from stack.tcp.segment import Segment
from stack.wire.seq import HALF, MASK
from stack.wire.tcp import parse_sack

if TYPE_CHECKING:
    from stack.tcp.sender import Sender


def on_option(snd: "Sender", seg: Segment, now: int) -> int:
    """Mark what the SACK option reports; returns the bytes that are news."""
    una, nxt = snd.snd_una, snd.snd_nxt
    span = (nxt - una) & MASK
    blocks = parse_sack(seg.options)
    if snd.config.dsack and blocks and _is_dsack(snd, blocks):
        snd.recovery.on_dsack(snd, *blocks.pop(0), now)
    good = []
    for left, right in blocks:
        # RFC 2018 §3, RFC 6675 §4 (6675-3): blocks must lie above snd_una and within what was sent
        begin = (left - una) & MASK
        end = (right - una) & MASK
        if 0 < begin < end <= span:
            good.append((begin, end))
    fresh = 0
    for begin, end in sorted(good):  # in their order, else a late report would look like reordering
        fresh += snd.board.on_sack((una + begin) & MASK, (una + end) & MASK)
    return fresh


def _is_dsack(snd: "Sender", blocks: list[tuple[int, int]]) -> bool:
    """RFC 2883 §4 (2883-1): the first block lies below the cumulative ACK or within the second block; and not
    further back than anything the peer may have been sent in the window before.
    """
    left, right = blocks[0]
    length = (right - left) & MASK
    below = (snd.snd_una - right) & MASK
    if 0 < length < HALF and below < HALF:
        return below + length <= max(snd.max_snd_wnd, snd.eff_snd_mss) + ((snd.snd_nxt - snd.snd_una) & MASK)
    if len(blocks) < 2 or not 0 < length <= (snd.snd_nxt - snd.snd_una) & MASK:
        return False
    outer_left, outer_right = blocks[1]
    outer = (outer_right - outer_left) & MASK
    return (left - outer_left) & MASK < (right - outer_left) & MASK <= outer < HALF
