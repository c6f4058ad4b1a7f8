"""What callers of the library get wrong is said at once, with what to do; nothing of it is taken for something else."""

import asyncio
import re

import pytest

from stack import rpc
from stack.errors import ConfigError
from tests.support.rpc_counter import V1, Counter
from tests.support.rpc_joined import PORT, joined, simulated

# -- calls


@pytest.mark.parametrize("given", ["at-most-once", "AT_MOST_ONCE", rpc.Semantics.AT_MOST_ONCE])
def test_semantics_may_be_text(given):
    async def main(net, one, other):
        async with joined(one, other, "udp", client={"semantics": given}) as (stub, _, __):
            assert set(stub._call._semantics.values()) >= {rpc.Semantics.AT_MOST_ONCE}
            assert await stub.ADD(1, semantics=given) == 1

    simulated(main)


def test_semantics_that_do_not_exist_are_refused():
    async def main(net, one, other):
        async with joined(one, other, "udp") as (stub, program, _):
            for wrong in ("at-most-onec", 1, object()):
                with pytest.raises(ConfigError, match="use one of 'maybe', 'at-least-once', 'at-most-once'"):
                    await stub.ADD(1, semantics=wrong)
                with pytest.raises(ConfigError, match="semantics is"):
                    rpc.connect(V1, "198.18.0.2", semantics=wrong)
            assert program.seen == []

    simulated(main)


def test_options_of_a_call_that_do_not_exist_are_refused():
    async def main(net, one, other):
        async with joined(one, other, "tcp") as (stub, program, _):
            with pytest.raises(TypeError, match=r"ADD has no option 'timout': .* it takes semantics and timeout"):
                await stub.ADD(1, timout=2)
            assert program.seen == []

    simulated(main)


def test_a_call_that_cannot_be_sent_leaves_nothing_behind(monkeypatch):
    async def main(net, one, other):
        async with joined(one, other, "tcp") as (stub, _, __):
            channel = stub._call.channel
            with monkeypatch.context() as patch:
                patch.setattr(type(channel), "post", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    await stub.ADD(1)
            assert stub._call.stats["in_flight"] == 0
            assert await stub.ADD(2) == 1

    simulated(main)


# -- clients


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"auth": (1, 2)}, r"auth is \(1, 2\): use a credential"),
        ({"auth": rpc.AuthSys}, "auth is <class .*: use a credential"),
        ({"max_record": 0}, "max_record is 0: use a number of octets"),
        ({"max_record": -5}, "max_record is -5"),
        ({"port": 0}, "port is 0: use a number from 1"),
        ({"port": "111"}, "port is '111': use a number from 1"),
        ({"port": 70_000}, "port is 70000"),
        ({"timeout": "1"}, "timeout is '1'"),
        ({"xdr": 5}, r"xdr is 5: use rpc.Limits"),
        ({"max_in_flight": "9"}, "max_in_flight is '9'"),
        ({"reconnect_s": -1}, "reconnect_s is -1"),
    ],
)
def test_what_connect_is_given_is_looked_at(options, says):
    async def main():
        with pytest.raises(ConfigError, match=says):
            rpc.connect(V1, "127.0.0.1", **{"port": 9, **options})

    asyncio.run(main())


def test_connect_takes_a_version():
    async def main():
        for wrong in (V1.Client, Counter(), None):
            with pytest.raises(ConfigError, match="no version of a program: give the class"):
                rpc.connect(wrong, "127.0.0.1", port=9)

    asyncio.run(main())


def test_clients_are_made_while_a_loop_runs():
    with pytest.raises(ConfigError, match=r"no event loop is running: .*asyncio\.run"):
        rpc.connect(V1, "127.0.0.1", port=9)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_a_client_is_entered_once(proto):
    async def main(net, one, other):
        async with joined(one, other, proto):
            connecting = rpc.connect(V1, "other", proto=proto, port=PORT, host=one)
            async with connecting as stub:
                assert await stub.ADD(1) == 1
                with pytest.raises(ConfigError, match="entered already: make another one"):
                    await connecting.__aenter__()
                assert await stub.ADD(1) == 2
            with pytest.raises(ConfigError, match="entered already: make another one"):
                await connecting.__aenter__()

    simulated(main)


def test_a_client_that_is_not_entered_says_how():
    async def main():
        connecting = rpc.connect(V1, "127.0.0.1", port=9)
        use = re.escape("a client is used by `async with rpc.connect(...) as client:`")
        with pytest.raises(TypeError, match=use):
            await connecting
        with pytest.raises(AttributeError, match=f"no attribute ADD .*{use}"):
            connecting.ADD(1)

    asyncio.run(main())


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_entering_takes_no_longer_than_a_call(proto):
    async def main(net, one, other):
        class Mute(asyncio.Protocol):
            pass

        if proto == "tcp":
            server = await other.stack.create_server(Mute, "other", PORT)
        else:
            server, _ = await other.stack.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("other", PORT))
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        async with rpc.connect(V1, "other", proto=proto, port=PORT, host=one, timeout=0.5) as stub:
            assert loop.time() - began_at <= 0.51
            with pytest.raises(rpc.RpcTimeout):
                await stub.ADD(1)
            assert loop.time() - began_at <= 1.02
        server.close()

    simulated(main)


# -- shares


def test_clients_of_a_unix_socket_have_shares_of_their_own(tmp_path):
    path = str(tmp_path / "counter")

    async def main():
        limits = rpc.ServerLimits(running=8, running_per_client=2)
        async with (
            await rpc.serve([Counter()], unix=path, udp=None, tcp=None, limits=limits) as server,
            rpc.connect(V1, path, proto="unix") as one,
            rpc.connect(V1, path, proto="unix") as other,
        ):
            slow = [asyncio.ensure_future(one.SLEEP(60_000)) for _ in range(4)]
            while server.stats["running"] < 2:
                await asyncio.sleep(0)
            assert await other.ADD(1, timeout=30) == 1
            assert server.stats["running"] == 2
            for call in slow:
                call.cancel()
            await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(main())


def test_the_share_of_a_client_can_be_said():
    async def main(net, one, other):
        limits = rpc.ServerLimits(running=8, running_per_client=8)
        async with joined(one, other, "tcp", limits=limits) as (stub, _, server):
            slow = [asyncio.ensure_future(stub.SLEEP(10)) for _ in range(8)]
            await asyncio.sleep(0.005)
            assert server.stats["running"] == 8
            await asyncio.gather(*slow)

    simulated(main)


def test_limits_are_numbers():
    for name in ("running", "running_per_client", "idle_s"):
        with pytest.raises(ConfigError, match=f"{name} is 'x': use a number"):
            rpc.ServerLimits(**{name: "x"}).validate()
    rpc.ServerLimits(running_per_client=None).validate()
