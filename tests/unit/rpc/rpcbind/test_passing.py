"""Calls that our rpcbind passes on: to whom, for whom, and how much of a reply."""

import asyncio
from typing import Any

import pytest

import stack.sim
from stack import rpc
from stack.device.fault_settings import Faults
from stack.rpc.message import build_call, parse_reply
from stack.rpc.rpcbind import protocol
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_V3, RPCB_V4
from stack.rpc.transports import own_addresses

PROGRAM = 0x20000105
V1: Any = rpc.compile_x(f"""
    typedef opaque data<>;
    program PASSED {{ version PASSED_V1 {{
        string WHO(void) = 1;
        unsigned int COUNT(void) = 2;
        data BIG(unsigned int) = 3;
        void FAIL(void) = 4;
    }} = 1; }} = {PROGRAM};
""").PASSED_V1
WHO, COUNT, BIG, FAIL = (V1.procedures[number] for number in (1, 2, 3, 4))
EVERYBODY = rpc.allow()


Base: Any = V1.Server


class Passed(Base):
    def __init__(self):
        self.count = 0

    async def WHO(self, ctx):
        return f"{ctx.source[0]} {getattr(ctx.credential, 'uid', 'nobody')} {ctx.transport}"

    async def COUNT(self, ctx):
        self.count += 1
        return self.count

    async def BIG(self, ctx, octets):
        return bytes(octets)

    async def FAIL(self, ctx):
        raise rpc.GarbageArgs


def simulated(main, *, callit=EVERYBODY, auth=None, faults=None):
    """`main(a, b, address of b, the program, b's rpcbind)`."""

    async def with_hosts(net):
        a = net.add_host("a") if faults is None else net.add_host("a", faults=faults)
        b = net.add_host("b")
        program = Passed()
        async with (
            await rpc.rpcbind_server(host=b, callit=callit) as binder,
            await rpc.serve([program], host=b, register=True, auth=auth),
        ):
            await main(a, b, own_addresses(b)[0], program, binder)

    stack.sim.run(with_hosts, seed=1)


def to(interface, address, host, *, proto="udp", **options):
    return rpc.connect(interface, address, proto=proto, port=111, host=host, timeout=5, **options)


def asked(kind, procedure, *args):
    return kind(PROGRAM, 1, procedure.number, procedure.encode_args(args))


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_the_server_sees_who_has_asked(proto):
    """Not its own host, as with C's rpcbind."""

    async def main(a, b, address, program, binder):
        me = own_addresses(a)[0]
        expected = f"{me} 7 {proto}"
        auth = rpc.AuthSys(7, 7)
        port = await rpc.find_port(address, PROGRAM, 1, proto, host=a)
        async with to(PMAP_V2, address, a, proto=proto, auth=auth) as mapper:
            found = await mapper.PMAPPROC_CALLIT(asked(protocol.pmap_call, WHO))
            assert found.port == port
            assert WHO.decode_result(found.res) == expected
        for interface, name in ((RPCB_V3, "CALLIT"), (RPCB_V4, "BCAST"), (RPCB_V4, "INDIRECT")):
            async with to(interface, address, a, proto=proto, auth=auth) as binding:
                found = await getattr(binding, f"RPCBPROC_{name}")(asked(protocol.rpcb_call, WHO))
                assert found.addr == f"{address}.{port >> 8}.{port & 255}"
                assert WHO.decode_result(found.results) == expected

    simulated(main)


def test_by_default_nothing_is_passed_on():
    async def main(a, b, address, program, binder):
        async with to(PMAP_V2, address, a) as mapper:
            with pytest.raises(rpc.RpcTimeout):
                await mapper.PMAPPROC_CALLIT(asked(protocol.pmap_call, COUNT), timeout=2)
        async with to(RPCB_V4, address, a) as binding:
            with pytest.raises(rpc.ProcUnavail):
                await binding.RPCBPROC_INDIRECT(asked(protocol.rpcb_call, COUNT))
        assert program.count == 0
        assert binder.stats["denied_forward"] >= 2

    simulated(main, callit=None)


def test_only_for_those_who_may():
    async def main(a, b, address, program, binder):
        async with to(PMAP_V2, address, a) as stranger, to(PMAP_V2, address, b) as neighbour:
            with pytest.raises(rpc.RpcTimeout):
                await stranger.PMAPPROC_CALLIT(asked(protocol.pmap_call, COUNT), timeout=2)
            await neighbour.PMAPPROC_CALLIT(asked(protocol.pmap_call, COUNT))
        assert program.count == 1
        assert binder.stats["denied_forward"] >= 1

    simulated(main, callit=rpc.allow(networks=["10.0.0.2"]))


def test_rpcbind_lends_nobody_its_rights():
    """The server lets in its own host only; who asks its rpcbind from elsewhere is not."""

    async def main(a, b, address, program, binder):
        async with to(PMAP_V2, address, a) as stranger, to(PMAP_V2, address, b) as neighbour:
            with pytest.raises(rpc.RpcTimeout):
                await stranger.PMAPPROC_CALLIT(asked(protocol.pmap_call, COUNT), timeout=2)
            assert program.count == 0
            await neighbour.PMAPPROC_CALLIT(asked(protocol.pmap_call, COUNT))  # the control
            assert program.count == 1

    simulated(main, auth=rpc.allow(networks=["10.0.0.2"]))


def test_what_has_no_result_has_no_reply():
    async def main(a, b, address, program, binder):
        async with to(RPCB_V4, address, a) as binding:
            for call in (asked(protocol.rpcb_call, FAIL), protocol.rpcb_call(PROGRAM + 1, 1, 0, b"")):
                with pytest.raises(rpc.RpcTimeout):
                    await binding.RPCBPROC_BCAST(call, timeout=2)
                with pytest.raises(rpc.SystemErr):
                    await binding.RPCBPROC_INDIRECT(call)
            # nor is rpcbind asked by itself
            with pytest.raises(rpc.SystemErr):
                await binding.RPCBPROC_INDIRECT(protocol.rpcb_call(100000, 4, 4, b""))

    simulated(main)


def test_no_reply_over_udp_has_twice_the_octets_of_its_call():
    async def main(a, b, address, program, binder):
        largest = 0
        endpoint = await Raw.on(a, address)
        for octets in range(0, 400, 4):
            call = build_call(
                octets,
                100000,
                2,
                5,
                PMAP_V2.procedures[5].encode_args((asked(protocol.pmap_call, BIG, octets),)),
            )
            reply = await endpoint.ask(call)
            if reply is not None:
                assert len(reply) < 2 * len(call)
                largest = max(largest, octets)
        assert 0 < largest < 100
        async with to(PMAP_V2, address, a, proto="tcp") as mapper:  # the control: what is possible
            found = await mapper.PMAPPROC_CALLIT(asked(protocol.pmap_call, BIG, 4000))
            assert len(found.res) == 4004

    simulated(main)


def test_over_a_lossy_network_it_is_executed_once():
    async def main(a, b, address, program, binder):
        async with to(PMAP_V2, address, a) as mapper:
            for number in range(100):
                found = await mapper.PMAPPROC_CALLIT(asked(protocol.pmap_call, COUNT), timeout=60)
                assert COUNT.decode_result(found.res) == number + 1
        assert program.count == 100

    simulated(main, faults=Faults(delay_us=1000, loss=0.2))


def test_a_broadcast_is_answered_from_the_address_of_the_host():
    async def main(a, b, address, program, binder):
        endpoint = await Raw.on(a, "255.255.255.255")
        args = PMAP_V2.procedures[5].encode_args((protocol.pmap_call(PROGRAM, 1, 0, b""),))
        reply = await endpoint.ask(build_call(1, 100000, 2, 5, args))
        assert parse_reply(reply).status == 0
        assert endpoint.sender == (address, 111)

    simulated(main)


class Raw(asyncio.DatagramProtocol):
    """Datagrams, and who sent the last one."""

    @classmethod
    async def on(cls, host, address):
        made = cls()
        made.to = (address, 111)
        loop = asyncio.get_running_loop()
        with host.stack.active():
            made.transport, _ = await loop.create_datagram_endpoint(
                lambda: made, local_addr=("0.0.0.0", 0), allow_broadcast=True
            )
        return made

    def datagram_received(self, data, addr):
        self.sender = addr
        self.reply.set_result(data)

    async def ask(self, data):
        self.reply = asyncio.get_running_loop().create_future()
        self.transport.sendto(data, self.to)
        try:
            async with asyncio.timeout(1):
                return await self.reply
        except TimeoutError:
            return None
