"""Settings of a connection that change while it lives: where socket options act.

Theory of operation.  A connection's settings are one frozen TcpConfig, which its halves share; `reconfigure` gives it
another one and carries over what was derived from the old: timers that run, the size of the receive buffer, the
congestion control algorithm.  The caller wakes the connection afterwards, since there may be something to send.
"""

from typing import TYPE_CHECKING

from stack.config import NEVER, TcpConfig
from stack.tcp import recovery as rec
from stack.tcp.congestion.base import INFINITE_SSTHRESH, initial_window
from stack.tcp.congestion.lossbased import LossBased
from stack.tcp.congestion.registry import algorithm
from stack.tcp.state import ESTABLISHED
from stack.tcp.timers import USER

if TYPE_CHECKING:
    from stack.tcp.connection import Connection
    from stack.tcp.receiver import Receiver
    from stack.tcp.sender import Sender


def reconfigure(conn: "Connection", config: TcpConfig, now: int) -> None:
    """From now on `config`, which was validated, rules `conn`.  Raises ConfigError for an unknown algorithm, and then
    nothing has changed.
    """
    old, snd = conn.config, conn.snd
    algorithm(config.congestion)
    conn.config = conn.rcv.config = config
    orphan_us = snd.user_timeout_us
    snd.configure(config)
    if snd.orphan:
        snd.user_timeout_us = min(orphan_us, config.user_timeout_us)
    if conn.state >= ESTABLISHED and conn.timers.at[USER] != NEVER and old.user_timeout_us != config.user_timeout_us:
        conn.timers.arm(USER, now + snd.user_timeout_us)
    if (old.keepalive, old.keepalive_idle_us, old.keepalive_interval_us) != (
        config.keepalive,
        config.keepalive_idle_us,
        config.keepalive_interval_us,
    ):
        conn.set_keepalive(config.keepalive, now)
    if (old.recv_buffer, old.recv_buffer_initial) != (config.recv_buffer, config.recv_buffer_initial):
        _resize(conn.rcv)
        if conn.state >= ESTABLISHED and conn.rcv.update_due():
            conn.ack_pending = True
    if old.congestion != config.congestion:
        _switch(snd, now)


def _resize(rcv: "Receiver") -> None:
    """The receive buffer begins anew; a smaller one is reached by what is read, since the window's right edge stays
    (RFC 9293 §3.8.6, MUST-34).
    """
    config = rcv.config
    rcv.limit = max(min(config.recv_buffer_initial, config.recv_buffer), 1 << rcv.rcv_wscale)
    rcv.tune_best = 0


def _switch(snd: "Sender", now: int) -> None:
    """Another congestion control algorithm goes on with the window of the one before, as in deployed stacks."""
    old, config, mss = snd.controller, snd.config, snd.eff_snd_mss
    if old is None:
        return  # it is made when the MSS is known
    new = algorithm(config.congestion)(mss, initial_window(mss, config.initial_window_segs))
    new.cwnd = max(old.cwnd, mss)
    if isinstance(new, LossBased) and isinstance(old, LossBased):
        new.ssthresh = old.ssthresh
    new.configure(config)
    snd.controller = new
    rates = new.wants_rates or new.wants_lost_ranges
    if rates and not snd.delivery.rates:
        in_flight, board = snd.in_flight(), snd.board
        for record in board.records:  # what is on its way was sent without the notes that a rate sample needs
            record.tx_in_flight = in_flight
            record.lost_before = board.lost_total
    snd.delivery.rates = rates
    snd.board.lost_log = [] if new.wants_lost_ranges else None
    recovery = snd.recovery
    recovery.end_undo()  # the window that a false alarm would restore was the other algorithm's
    new.on_start(now, snd.rtt.srtt_us, snd.iss)
    if recovery.phase != rec.OPEN and not (isinstance(new, LossBased) and new.ssthresh < INFINITE_SSTHRESH):
        new.on_loss(now, snd.flight_size())  # the episode goes on, and this one has not reduced for it
        recovery.prr_target = new.ssthresh
