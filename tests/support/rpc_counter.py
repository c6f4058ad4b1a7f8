"""A program whose procedures show how often they were executed, and how they ended."""

import asyncio
from typing import Any

from stack import rpc

COUNTER_X = """
typedef opaque data<>;
typedef string text<>;
enum colour { RED = 1, BLUE = 2 };
program COUNTER {
    version COUNTER_V1 {
        unsigned int ADD(unsigned int) = 1;    /* counts; to be executed at most once for each call */
        unsigned int COUNT(void) = 2;
        int SLEEP(int) = 3;                    /* milliseconds */
        data ECHO(data) = 4;
        colour PAINT(int) = 5;                 /* what it returns is perhaps no colour */
        void RAISE(text) = 6;
        void SILENT(void) = 7;                 /* never answers */
        unsigned int FLIP(unsigned int) = 8;   /* said to be idempotent; counts as well */
        int LINGER(int) = 9;                   /* as SLEEP, to be executed at most once */
        text WHO(void) = 10;
        void MISSING(void) = 11;
    } = 1;
    version COUNTER_V2 { int ADD(int, int) = 1; } = 2;
} = 0x20001234;
"""

counter = rpc.compile_x(COUNTER_X)
V1, V2 = counter.COUNTER_V1, counter.COUNTER_V2
Base: Any = V1.Server


class Counter(Base):
    """`seen` are the numbers that ADD was given, in their order; several runs of a server may share it."""

    def __init__(self, seen=None):
        self.seen = [] if seen is None else seen
        self.begun = 0
        self.most = 0
        self.now = 0
        self.cancelled = []
        self.cut = None  # called with ctx when ADD was executed, before its reply

    async def ADD(self, ctx, number):
        self.seen.append(number)
        if self.cut is not None:
            self.cut(ctx)
        return len(self.seen)

    @rpc.proc(idempotent=True)
    async def COUNT(self, ctx):
        return len(self.seen)

    async def _sleep(self, ctx, milliseconds):
        self.begun += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(milliseconds / 1000)
        except asyncio.CancelledError:
            self.cancelled.append(ctx.xid)
            raise
        finally:
            self.now -= 1
        return milliseconds

    @rpc.proc(idempotent=True)
    async def SLEEP(self, ctx, milliseconds):
        return await self._sleep(ctx, milliseconds)

    async def LINGER(self, ctx, milliseconds):
        return await self._sleep(ctx, milliseconds)

    @rpc.proc(idempotent=True)
    async def ECHO(self, ctx, data):
        return data

    async def PAINT(self, ctx, number):
        return number if number not in set(counter.colour) else counter.colour(number)

    async def RAISE(self, ctx, name):
        raise {
            "proc": rpc.ProcUnavail(),
            "garbage": rpc.GarbageArgs(),
            "system": rpc.SystemErr(),
            "auth": rpc.AuthError(rpc.AuthStat.TOOWEAK),
            "bug": ZeroDivisionError("a bug"),
        }[name]

    async def SILENT(self, ctx):
        return rpc.NO_REPLY

    @rpc.proc(idempotent=True)
    async def FLIP(self, ctx, number):
        self.seen.append(number)
        if self.cut is not None:
            self.cut(ctx)
        return len(self.seen)

    async def WHO(self, ctx):
        return f"{ctx.transport} {ctx.source[0]} {ctx.credential!r}"
