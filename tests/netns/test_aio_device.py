"""The TAP device disappears under a running host."""

import asyncio

import pytest

from stack.errors import DeviceGone
from tests.support.aio_nets import TapNet
from tests.support.aio_protocols import pair
from tests.unit.aio.conftest import run  # noqa: F401  (a fixture)

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("offload", [True, False])
def test_connections_and_the_waiting_program_are_told(run, namespace, offload):  # noqa: F811
    async def main():
        async with TapNet(namespace, client_is_ours=False, offload=offload) as net:
            theirs, ours = await pair(net)
            waiting = asyncio.ensure_future(net.host.driver.closed)
            await asyncio.to_thread(namespace.ip, "link delete tap0")
            assert isinstance(await waiting, DeviceGone)
            assert isinstance(await ours.closed, DeviceGone)
            assert not net.host.driver.handlers
            theirs.transport.abort()
            await theirs.closed

    with namespace.entered():
        [told] = run(main(), expect_errors=True)
    assert told["message"].startswith("tap0 disappeared")
