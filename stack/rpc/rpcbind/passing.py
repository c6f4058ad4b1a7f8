"""Calls that an rpcbind passes on to a server of its process (RFC 1833 §2.2.1 and §3.2, CALLIT, BCAST and INDIRECT).

Theory of operation.  C's rpcbind makes such a call itself, so that to the server it comes from its own host: whoever
asks has the rights of who is local.  Here the server is given the call as that of the one who asked: with its address,
its credential, its xid.  So its policy holds, and its duplicate request cache.  Hence only servers of this process can
be reached in this way, and only by who is allowed to ask at all.

A reply over UDP is dropped if it would have more than twice the octets of the call: its receiver may be forged.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from stack.rpc.channel import Channel, Sink
from stack.rpc.constants import Status
from stack.rpc.dispatch import UDP, Invocation
from stack.rpc.errors import MessageError
from stack.rpc.message import build_call, parse_reply
from stack.rpc.policy import Policy
from stack.rpc.rpcbind.service import Asked

TIMEOUT_S: Final = 10.0  # for the server
_ROOM: Final = 32  # octets; a reply has 32 and the results, its call at least 56 and the arguments


class _Back(Channel):
    """The way back of one call."""

    __slots__ = ("reply",)

    def __init__(self, ctx: Invocation, reply: "asyncio.Future[bytes]") -> None:
        super().__init__(ctx.carrier, ctx.source)
        self.reply = reply

    @property
    def is_open(self) -> bool:
        """Until there is a reply."""
        return not self.reply.done()

    def post(self, message: bytes) -> None:
        """This is it."""
        if not self.reply.done():
            self.reply.set_result(message)

    def close(self) -> None:
        """Nobody waits."""
        self.reply.cancel()


class Passing:
    """See the head of this file.  `server_of` knows a server by the owner of its registrations."""

    __slots__ = ("_policy", "_server_of")

    def __init__(self, policy: Policy, server_of: Callable[[str], Sink | None]) -> None:
        self._policy = policy
        self._server_of = server_of

    def may(self, ctx: Invocation) -> bool:
        """Whether who calls may have calls passed on."""
        return self._policy.check(ctx.credential, ctx.source[0]) is None

    async def call(self, owner: str, ctx: Invocation, asked: Asked) -> bytes | None:
        """The results; None if there are none, or too many."""
        server = self._server_of(owner)
        if server is None:
            return None
        way = _Back(ctx, asyncio.get_running_loop().create_future())
        credential = ctx.credential.wire
        server.on_message(build_call(ctx.xid, *asked, credential=credential), way)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                message = await way.reply
            reply = parse_reply(message)
        except (TimeoutError, MessageError):
            return None
        results = message[reply.results_offset :]
        if reply.status != Status.SUCCESS or (ctx.carrier is UDP and len(results) > 2 * len(asked.args) + _ROOM):
            return None
        return results
