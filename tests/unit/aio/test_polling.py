"""How long a device is polled, on a clock of the test's."""

import asyncio

import pytest

from stack.aio.network import AsyncHost
from stack.aio.polling import FIRST_US, MAX_POLL_US, POLL_US, Polling
from stack.errors import ConfigError


class Device:
    """Frames come so many microseconds after the device has run dry; each round of the loop takes one microsecond."""

    def __init__(self):
        self.polling = Polling()
        self.now = 1_000_000
        self.rounds = 0  # of polling
        self.slept = 0

    def frames_after(self, wait_us):
        due = self.now + wait_us
        again = self.polling.on_dry(self.now, had_frames=True)
        while again and self.now < due:
            self.rounds += 1
            self.now += 1
            again = self.polling.on_dry(self.now, had_frames=False)
        self.slept += self.now < due
        self.now = due
        self.polling.on_frames(due)


def test_frames_that_are_close_are_not_slept_for():
    device = Device()
    for _ in range(100):
        device.frames_after(50)
    assert device.slept <= 4  # until the time has grown
    assert device.polling.poll_us == POLL_US


def test_a_device_on_which_little_happens_is_not_polled():
    device = Device()
    for _ in range(20):
        device.frames_after(30)
    before = device.rounds
    for _ in range(1000):
        device.frames_after(10_000)
    assert device.polling.poll_us == 0
    assert device.rounds - before <= 2 * POLL_US  # what it had grown to, halved each time
    assert device.slept >= 1000


def test_frames_that_come_in_pairs_cost_one_round_of_polling_a_pair():
    device = Device()
    for _ in range(100):
        device.frames_after(20)
        device.frames_after(5_000)
    assert device.rounds <= 100 * (20 + 2 * FIRST_US)


def test_nothing_is_polled_before_the_first_frame():
    polling = Polling()
    assert not polling.on_dry(5, had_frames=False)
    assert not polling.on_dry(1_000_000, had_frames=True)


def test_a_limit_of_0_keeps_nobody_awake():
    polling = Polling(0)
    for now in range(100):
        polling.on_frames(now)
        assert not polling.on_dry(now, had_frames=True)


@pytest.mark.parametrize("spin_us", [-1, MAX_POLL_US + 1])
def test_what_cannot_be_meant_is_refused(spin_us):
    async def main():
        with pytest.raises(ConfigError, match=f"spin_us {spin_us}: use 0"):
            AsyncHost(spin_us=spin_us)
        for fine in (0, MAX_POLL_US):
            async with AsyncHost(spin_us=fine) as host:
                assert host.driver.spin_us == fine

    asyncio.run(main())
