"""Worker processes that Ctrl-C does not concern: the process that gathers their results ends them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Processes that are started within never see SIGINT, from their first instruction on; ours comes when it is over.

    A mask is inherited where a handler is not: a process that is still importing would print a traceback.
    """
    resource_tracker.ensure_running()  # now: its start unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
