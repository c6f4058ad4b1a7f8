"""Hooks for looking inside.  A Host holds `Trace | None`; None costs one compare where it is asked."""


class Trace:
    """Base of every tracer; each hook does nothing.  Subclass and override what you need.

    Capture devices are told by `note_rx` what the stack has to say about the frame it is working on.
    """

    __slots__ = ()

    def note_rx(self, index: int, text: str) -> None:
        """A remark on row `index` of the burst being received."""

    def on_drop(self, reason: int, index: int) -> None:
        """Row `index` of the current burst was dropped (-1: not a received frame)."""

    def on_state(self, conn: object, old: int, new: int) -> None:
        """A connection moved from one state to another."""
