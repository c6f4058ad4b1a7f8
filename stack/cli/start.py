"""Where `tapstack` begins: Ctrl-C ends it quietly while the rest is still being imported."""

import os
import signal

INTERRUPTED = 130  # as a shell reports it


def main() -> None:
    """Import and run the command."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where it is ignored, as in the background
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    from stack.cli.main import main as command  # noqa: PLC0415  # that is what takes the time

    signal.signal(signal.SIGINT, before)
    command(prog_name="tapstack")
