"""The timerfd, through the C core where it is built and through ctypes."""

import select
import time

import pytest

from stack.device import timer


@pytest.fixture(params=["built", "plain"])
def make(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(timer, "_open", timer._open_plain)
        monkeypatch.setattr(timer, "_set", timer._set_plain)
    made = []

    def make_timer():
        made.append(timer.MonotonicTimer())
        return made[-1]

    yield make_timer
    for each in made:
        each.close()


def now():
    return time.monotonic_ns() // 1000


def readable(each, seconds):
    return bool(select.select([each.fd], [], [], seconds)[0])


def test_it_fires_at_the_time_and_not_before(make):
    each = make()
    at = now() + 3_000
    each.arm(at)
    assert readable(each, 5)
    assert at <= now()


def test_a_time_in_the_past_fires_at_once(make):
    each = make()
    each.arm(-5)
    assert readable(each, 5)


def test_arming_and_disarming_again_take_the_expiry_back(make):
    each = make()
    each.arm(1)
    assert readable(each, 5)
    each.arm(now() + 60_000_000)
    assert not readable(each, 0)
    each.arm(1)
    assert readable(each, 5)
    each.disarm()
    assert not readable(each, 0)
