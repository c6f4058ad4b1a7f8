"""Registrations with C's rpcbind, and after it was started anew; what is asked of it; services of the DNS."""

import contextlib

import pytest

from stack import rpc
from stack.rpc.raw import raw_call, raw_procedure, raw_version
from stack.rpc.rpcbind.binding import statistics
from tests.support.rpc_calc import PROGRAM
from tests.support.rpc_kernel_place import PORT, KernelServer
from tests.support.rpc_net import CLIENT, OURS, SERVER
from tests.support.rpc_ours import calc, host_in, in_thread, programs, run
from tools.netns import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.interop]
both = pytest.mark.parametrize("protocol", ["udp", "tcp"])


def registered_ports(net):
    """Those of calc, as rpcinfo lists them."""
    rows = [line.split() for line in net.client.run("rpcinfo", "-p", SERVER).stdout.splitlines()]
    return sorted((row[1], row[2], row[3]) for row in rows if row[0] == str(PROGRAM))


OF_OURS = sorted((version, kind, str(PORT)) for version in "12" for kind in ("tcp", "udp"))


@both
def test_c_finds_our_server_by_its_own_rpcbind(net, tmp_path, protocol):
    with KernelServer(net, tmp_path).running():
        assert registered_ports(net) == OF_OURS
        assert "sum of three" in net.client.run(net.programs.client, SERVER, protocol, "all").stdout
    assert registered_ports(net) == []


def test_registrations_survive_rpcbind(net, tmp_path):
    with KernelServer(net, tmp_path).running():
        net.server.stop_rpcbind()
        net.server.start_rpcbind()
        wait_until(lambda: registered_ports(net) == OF_OURS, "our server has registered again")
        assert net.client.run(net.programs.client, SERVER, "tcp", "counter", "3").stdout == "3\n"


def test_c_s_own_server_does_not_come_back(net):
    """The control: what is not renewed is gone."""
    with net.server.calc():
        net.server.stop_rpcbind()
        net.server.start_rpcbind()
        assert registered_ports(net) == []


def test_what_a_dead_server_left_is_replaced(net, tmp_path):
    server = KernelServer(net, tmp_path)
    with server.running():
        server.kill()
        assert registered_ports(net) == OF_OURS
        server.start()
        assert registered_ports(net) == OF_OURS
    assert registered_ports(net) == []


@both
def test_what_is_not_registered(net, protocol):
    async def main():
        async with host_in(net) as host:
            with pytest.raises(rpc.NotRegistered) as caught:
                await rpc.find_port(CLIENT, PROGRAM, 1, protocol, host=host)
            with pytest.raises(rpc.NotRegistered):
                async with rpc.connect(calc.CALC_V1, CLIENT, proto=protocol, host=host):
                    pass
        return caught.value

    error = run(main())
    assert not error.maybe_executed
    assert str(error).endswith(
        f"program {PROGRAM} version 1 over {protocol} at {CLIENT} is not registered; it has not run"
    )


@both
def test_another_version(net, protocol):
    """Found by rpcbind all the same: the server says which it has."""

    async def main():
        async with (
            host_in(net) as host,
            rpc.connect(raw_version(PROGRAM, 9), SERVER, proto=protocol, host=host) as client,
        ):
            with pytest.raises(rpc.ProgMismatch) as caught:
                await raw_call(client, raw_procedure(7), b"")
            return caught.value

    with net.server.calc():
        error = run(main())
    assert (error.low, error.high) == (1, 2)


def test_what_was_asked(net):
    async def main():
        async with host_in(net) as host:
            await rpc.find_port(SERVER, 100000, 2, "tcp", host=host)
            before = await statistics(SERVER, host=host)
            with contextlib.suppress(rpc.NotRegistered):
                await rpc.find_port(SERVER, 4711, 1, "udp", host=host)
            return before, await statistics(SERVER, host=host)

    before, after = run(main())
    assert after[2].info[3] == before[2].info[3] + 1
    assert after[4].info[12] == before[4].info[12] + 1


def test_a_broadcast_of_rpcinfo_finds_our_server(net):
    """It calls procedure 0 by CALLIT at the broadcast address, versions 2 and 3 of rpcbind."""

    async def main():
        async with (
            host_in(net) as host,
            await rpc.rpcbind_server(host=host, callit=rpc.allow(networks=["10.111.0.0/24"])) as binder,
            await rpc.serve(programs(), host=host, register=True),
        ):
            said = await in_thread(net.client.run, "rpcinfo", "-b", str(PROGRAM), "1", timeout=60)
            return said.stdout, binder.stats

    said, stats = run(main())
    assert OURS in said
    assert stats["replies_success"] == 2
