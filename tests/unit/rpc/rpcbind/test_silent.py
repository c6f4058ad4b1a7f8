"""No rpcbind where one is needed."""

import pytest

import stack.sim
from stack import rpc
from tests.support.rpc_counter import V1


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_one_is_told_to_give_the_port(proto):
    async def main(net):
        one, _ = net.add_hosts("one", "other")
        with pytest.raises(rpc.Unreachable) as caught:
            async with rpc.connect(V1, "other", proto=proto, host=one, timeout=20):
                pass
        assert "rpcbind there does not answer" in caught.value.strerror
        assert "give port=" in caught.value.strerror
        assert "PMAP" not in caught.value.strerror
        assert not caught.value.maybe_executed

    stack.sim.run(main, seed=1)
