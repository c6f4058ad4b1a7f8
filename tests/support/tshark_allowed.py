"""Expert remarks of tshark that are right and wanted, each with the reason.

Patterns are regular expressions for the whole message.  Everything else of severity warning or error on one
of our packets fails a loss-free capture.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowed:
    """A remark that may occur, and why."""

    pattern: str
    reason: str


ALLOWED = (
    Allowed(
        r"Connection reset \(RST\)",
        "the answer to a segment for a closed port or of an aborted connection (RFC 9293 §3.5.2)",
    ),
    Allowed(
        r"TCP window specified by the receiver is now completely full",
        "using all of the window that the peer offers is right",
    ),
    Allowed(r"TCP Zero Window segment", "our receive buffer is full because the application does not read"),
)
