"""The contract of asyncio's transports between our stack and the Linux kernel, over a TAP device.

The bodies are those of tests/unit/aio/test_contract*.py, which run them with the same stack at both ends.
"""

import pytest

from tests.support.aio_nets import TapNet
from tests.unit.aio import test_contract, test_contract_endpoints
from tests.unit.aio.conftest import run  # noqa: F401  (a fixture)

pytestmark = pytest.mark.netns


@pytest.fixture(params=["ours-kernel", "kernel-ours", "kernel-ours-plain"])
def net(request, namespace):
    client, _, offload = request.param.partition("-")
    with namespace.entered():
        yield TapNet(namespace, client_is_ours=client == "ours", offload=offload != "ours-plain")


for bodies in (test_contract, test_contract_endpoints):
    globals().update({name: body for name, body in vars(bodies).items() if name.startswith("test_")})
