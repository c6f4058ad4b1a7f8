import asyncio

import pytest

from stack.aio.network import AsyncHost
from stack.daemon.pinger import Pinger
from stack.device.virtual import link
from stack.errors import NetworkUnreachable
from tests.support.frames import MAC_A, MAC_B


def ping(*addresses, timeout_s=0.05):
    """What comes of a ping to each address, from a host whose link leads to nobody."""

    async def scenario():
        near, _far = link(MAC_A, MAC_B)
        async with AsyncHost() as host:
            host.add_device(near, "10.0.0.1/24")
            pinger = Pinger(host)
            return [await pinger.ping(address, 8, timeout_s) for address in addresses]

    return asyncio.run(scenario())


def test_neighbour_that_does_not_answer_is_unreachable_and_oneself_is_not():
    silent, own = ping("10.0.0.9", "10.0.0.1")
    assert silent == {"error": "host unreachable"}
    assert own["rtt_us"] >= 0


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_what_is_no_host_is_said(address):
    with pytest.raises(NetworkUnreachable, match="is not the address of a host"):
        ping(address)
