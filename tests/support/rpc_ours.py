"""Our side in the network of rpc_net: the calc server in Python, a host on the TAP device, and clients on it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from stack import rpc
from stack.aio.loop import new_event_loop
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.rpc.auth import AuthSys
from stack.rpc.dispatch import NO_REPLY
from tests.support.rpc_calc import CALC_X
from tests.support.rpc_net import OURS, PREFIX, RpcNet

CONFIG = HostConfig(ip=IpConfig(arp_probe=False))
calc: Any = rpc.compile_x(CALC_X)
LIMIT = 10**12


class Calc1(calc.CALC_V1.Server):
    """Version 1, as calc_server.c does it.  `counter` is a list of one number, which both versions share."""

    def __init__(self, counter: list[int]) -> None:
        self.counter = counter
        self.executed: list[str] = []

    @rpc.proc(idempotent=True)
    async def CALC_DO(self, ctx, a):
        value = calculated(a)
        return calc.result(0, value) if value is not None else calc.result(1, 0)

    @rpc.proc(idempotent=True)
    async def CALC_TRY(self, ctx, a):
        value = calculated(a)
        if value is None:
            return calc.outcome(calc.verdict.BY_ZERO)
        if abs(value) > LIMIT:
            return calc.outcome(calc.verdict.TOO_BIG, "more than 10^12")
        return calc.outcome(calc.verdict.FINE, value)

    @rpc.proc(idempotent=True)
    async def CALC_SUM(self, ctx, first):
        return sum(values(first))

    @rpc.proc(idempotent=True)
    async def CALC_REVERSE(self, ctx, first):
        back = None
        for value in values(first):
            back = calc.node(value, back)
        return back

    @rpc.proc(idempotent=True)
    async def CALC_ECHO(self, ctx, data):
        return data

    async def CALC_COUNTER(self, ctx):
        self.executed.append("CALC_COUNTER")
        self.counter[0] += 1
        return self.counter[0]

    @rpc.proc(idempotent=True)
    async def CALC_COUNT(self, ctx):
        return self.counter[0]

    @rpc.proc(idempotent=True)
    async def CALC_SLEEP(self, ctx, milliseconds):
        await asyncio.sleep(milliseconds / 1000)
        return milliseconds

    async def CALC_CUT(self, ctx):
        self.counter[0] += 1
        if ctx.transport != "udp":
            ctx.reply_to.abort()
        return NO_REPLY

    @rpc.proc(idempotent=True)
    async def CALC_GREET(self, ctx, who):
        return f"hello {who}"

    @rpc.proc(idempotent=True)
    async def CALC_EVERYTHING(self, ctx, given):
        return given

    @rpc.proc(idempotent=True)
    async def CALC_WHO(self, ctx):
        who = ctx.credential
        if not isinstance(who, AuthSys):
            return calc.caller(0, "", 0, 0, [])
        return calc.caller(1, who.machine.decode(), who.uid, who.gid, list(who.gids))


class Calc2(calc.CALC_V2.Server):
    """Version 2."""

    def __init__(self, counter: list[int]) -> None:
        self.counter = counter

    @rpc.proc(idempotent=True)
    async def CALC_ADD3(self, ctx, a, b, c):
        return a + b + c

    async def CALC_RESET(self, ctx):
        self.counter[0] = 0


def programs() -> list[Any]:
    """Both versions, with one counter."""
    counter = [0]
    return [Calc1(counter), Calc2(counter)]


def values(node) -> list[int]:
    """Of a linked list."""
    found = []
    while node is not None:
        found.append(node.value)
        node = node.next
    return found


def calculated(a):
    """As C does: division is towards zero; None: by zero."""
    if a.what == calc.op.ADD:
        return a.a + a.b
    if a.what == calc.op.SUB:
        return a.a - a.b
    if a.what == calc.op.MUL:
        return a.a * a.b
    if a.b == 0:
        return None
    quotient = abs(a.a) // abs(a.b)
    return quotient if (a.a < 0) == (a.b < 0) else -quotient


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """On a loop of ours."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


@contextlib.asynccontextmanager
async def host_in(net: RpcNet) -> AsyncIterator[AsyncHost]:
    """Our host, 10.111.0.40, on the running loop."""
    async with AsyncHost(CONFIG) as host:
        host.add_device(net.tap(), f"{OURS}/{PREFIX}")
        yield host


@contextlib.asynccontextmanager
async def serving(net: RpcNet, port: int = 0) -> AsyncIterator[AsyncHost]:
    """Our host with an rpcbind of ours, and calc registered with it."""
    async with (
        host_in(net) as host,
        await rpc.rpcbind_server(host=host),
        await rpc.serve(programs(), host=host, udp=port, tcp=port, register=True),
    ):
        yield host


async def in_thread(function, *args, **options) -> Any:
    """A program that blocks, beside our loop."""
    return await asyncio.to_thread(function, *args, **options)
