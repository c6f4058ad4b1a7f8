"""A network that loses a fifth of all frames each way, servers that die: how often calls were executed."""

import asyncio
import signal

import pytest

from stack import rpc
from tests.support.rpc_kernel_place import PORT, KernelServer
from tests.support.rpc_net import SERVER
from tests.support.rpc_ours import calc, host_in, run

pytestmark = [pytest.mark.netns, pytest.mark.interop]
both = pytest.mark.parametrize("protocol", ["udp", "tcp"])
CALLS = 1000
IN_FLIGHT = 32
LOSS_PER_MILLE = 200
FROZEN_S = 1.0
GIVE_UP_S = 110  # 17 tries, each lost with 0.36; what the server remembers lives for 120 s
WAYS = ("v-server", "tap0")  # where frames of the server's, and of ours, enter the bridge


async def count_up(client, calls):
    """So many calls, 32 at a time: the values that came, and the errors."""
    values, errors = [], []
    left = iter(range(calls))

    async def caller():
        for _ in left:
            try:
                values.append(await client.CALC_COUNTER(timeout=GIVE_UP_S))
            except rpc.RpcError as error:
                errors.append(error)

    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return values, errors


def counted(net, protocol, calls=CALLS, **options):
    """Calls under loss, from our stack."""

    async def main():
        async with (
            host_in(net) as host,
            rpc.connect(calc.CALC_V1, SERVER, proto=protocol, port=PORT, host=host, **options) as client,
        ):
            with net.loss(LOSS_PER_MILLE, *WAYS):
                return await count_up(client, calls)

    return run(main())


@both
def test_a_thousand_calls_are_executed_a_thousand_times(net, tmp_path, protocol):
    with KernelServer(net, tmp_path).running() as server:
        values, errors = counted(net, protocol)
        assert errors == []
        assert sorted(values) == list(range(1, CALLS + 1))
        assert server.executed == CALLS


def test_without_the_cache_they_are_executed_more_often(net, tmp_path):
    """The control: over UDP the same loss, and nothing but the cache is missing."""
    with KernelServer(net, tmp_path, "uncached").running() as server:
        values, errors = counted(net, "udp", 250)
        assert errors == []
        assert len(values) == 250
        assert server.executed > 250


@both
def test_a_server_that_dies_in_the_middle(net, tmp_path, protocol):
    """Calls that were on their way then may have been executed, and say so; no other call is lost or executed twice."""
    server = KernelServer(net, tmp_path)

    async def restart():
        while server.executed < CALLS // 3:
            await asyncio.sleep(0.01)
        # frozen first: else the kernel may deliver all replies before it ends the connections, and no call is in doubt
        server.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(FROZEN_S)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

    async def main():
        async with (
            host_in(net) as host,
            rpc.connect(calc.CALC_V1, SERVER, proto=protocol, port=PORT, host=host, reconnect_s=30) as client,
        ):
            with net.loss(LOSS_PER_MILLE, *WAYS):
                return (await asyncio.gather(count_up(client, CALLS), restart()))[0]

    with server.running():
        values, errors = run(main())
        assert len(values) + len(errors) == CALLS
        uncertain = [error for error in errors if error.maybe_executed]
        assert uncertain
        assert {type(error) for error in uncertain} <= {rpc.ServerRebooted, rpc.ConnectionLost, rpc.RpcTimeout}
        assert len(values) <= server.executed <= len(values) + len(uncertain)
