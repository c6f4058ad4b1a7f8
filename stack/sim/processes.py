"""Worker processes that Ctrl-C does not concern: the process that gathers their results ends them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Processes that are started within never see SIGINT, from their first instruction on; ours comes when it is over.

    They inherit a mask, where they would not inherit a handler: a process that is still importing would print a
    traceback.  The mask is this thread's alone, and Python runs handlers in the main thread whichever thread a signal
    went to; so in the main thread there is another handler meanwhile.
    """
    resource_tracker.ensure_running()  # now: its start unblocks SIGINT
    held: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number)) if is_main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if is_main:
            signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)
