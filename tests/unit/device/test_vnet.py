"""What a device of C says when its other end has gone."""

import errno
import os

import pytest

from stack.device.vnet import VnetDevice
from stack.errors import DeviceGone
from stack.wire.burst import Burst
from stack.wire.frame import Caps


class Nothing:
    def close(self):
        pass


@pytest.mark.parametrize("native", [True, False])
def test_whatever_reading_says_the_error_is_that_there_is_no_device(native):
    """A TAP that was deleted says EBADFD, others ENODEV, ENXIO, EIO."""
    reader, writer = os.pipe()
    try:
        device = VnetDevice("tap7", bytes(6), 1500, Caps(), writer, Nothing(), vnet=False, native=native)
        with pytest.raises(DeviceGone, match=r"tap7 disappeared \(Bad file descriptor\)") as caught:
            device.rx_burst(Burst())
        assert caught.value.errno == errno.ENODEV
    finally:
        os.close(reader)
        os.close(writer)
