"""The zero window: probes of it, and the timer that sends them (RFC 9293 §3.8.6.1).

Theory of operation.  When the peer's window leaves no room and nothing is outstanding, the PERSIST timer runs.  It
sends one octet past the window (`probing`): that octet is in the scoreboard, but neither retransmission nor loss
detection watches it, and when the window opens without it, it is taken back and sent again with what follows.
"""

from typing import TYPE_CHECKING

from stack.tcp.timers import PERSIST

if TYPE_CHECKING:
    from stack.tcp.sender import Sender


def on_persist(snd: "Sender", now: int) -> bool:
    """The persist timer fired: whether a probe shall go out (RFC 9293 §3.8.6.1, MUST-35..37)."""
    if snd.snd_una != snd.snd_nxt and not snd.probing:
        return False
    if not snd.probing and not snd.unsent() and not snd.fin_waits():
        return False
    snd.persist_backoff += 1
    arm(snd, now)
    return True


def arm(snd: "Sender", now: int) -> None:
    """Set the timer of the next probe."""
    # (SHLD-29, SHLD-30): first after one RTO, then exponentially
    delay = min(snd.rtt.rto_us << min(snd.persist_backoff, 16), snd.config.rto_max_us, patience_us(snd))
    snd.timers.arm(PERSIST, now + delay)


def patience_us(snd: "Sender") -> int:
    """The longest pause between probes of a closed window: a peer that answers each of them must be heard before
    the user timeout runs out (RFC 9293 §3.8.6.1, MUST-37).
    """
    return max(snd.user_timeout_us // 2, 1)


def take_probe(snd: "Sender") -> bool:
    """Choose the octet of a zero-window probe (MUST-36) as the next range."""
    snd.out_record = None
    snd.out_fin = False
    snd.out_probe = True
    snd.out_seq = snd.snd_una
    if snd.probing:
        r = snd.board.first()
        snd.out_record = r
        snd.out_fin = r is not None and r.fin
        snd.out_len = 0 if snd.out_fin else 1
        return r is not None
    if snd.unsent():
        snd.out_len = 1
    elif snd.fin_waits():
        snd.out_len = 0
        snd.out_fin = True
    else:
        return False
    if snd.snd_wnd > 0:
        # silly-window override (RFC 9293 §3.8.6.2.1): the timer sends what the window takes; it is no probe, and
        # the retransmission timer watches it
        snd.out_len = min(snd.unsent(), snd.snd_wnd, snd.eff_snd_mss)
        snd.out_probe = False
    return True


def untake_probe(snd: "Sender") -> None:
    """The window opened and the probe octet was not taken: send it again with what follows."""
    snd.probing = False
    snd.board.truncate(snd.snd_una)
    snd.snd_nxt = snd.snd_una
    snd.fin_seq = -1
