import os
import signal
import threading

import pytest

from stack.sim.processes import interrupts_held


@pytest.fixture
def other_thread():
    """One that takes signals which the main thread has masked."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.usefixtures("other_thread")
def test_an_interrupt_comes_when_it_is_over():
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
        reached += [sum(range(1000)) for _ in range(100)]  # time for it to come
    assert len(reached) == 100
    with pytest.raises(KeyboardInterrupt):  # what was there before is there again
        signal.raise_signal(signal.SIGINT)


def test_nothing_comes_of_nothing():
    handler = signal.getsignal(signal.SIGINT)
    with interrupts_held():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.getsignal(signal.SIGINT) is handler


def test_in_another_thread_there_is_only_the_mask():
    seen = []

    def run():
        with interrupts_held():
            seen.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [True]
