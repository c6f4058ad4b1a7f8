"""Where `tapstack` begins: Ctrl-C ends it quietly while the rest is still being imported."""

import contextlib
import gc
import os
import signal
from collections.abc import Iterator

INTERRUPTED = 130  # as a shell reports it


@contextlib.contextmanager
def nothing_to_collect() -> Iterator[None]:
    """What is imported stays: nobody looks for garbage in it meanwhile, which would be an eighth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()  # all is in the oldest generation now, as if it had survived: the next collection passes it by
        gc.enable()


def main() -> None:
    """Import and run the command."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where it is ignored, as in the background
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    with nothing_to_collect():
        from stack.cli.main import main as command  # noqa: PLC0415  # that is what takes the time

    signal.signal(signal.SIGINT, before)
    command(prog_name="tapstack")
