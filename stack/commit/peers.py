"""The other members, as one of them sees them: a client for each, made when it is needed."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from stack import rpc
from stack.commit import protocol
from stack.commit.protocol import COMMIT_V1
from stack.commit.transactions import Send
from stack.errors import ConfigError
from stack.rpc.client import MAX_PORT, is_port

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

Members = Mapping[str, tuple[str, int]]  # name: address (or a name of the DNS), port
IDEMPOTENT: Final = tuple(procedure.name for procedure in COMMIT_V1.procedures.values())  # copies do no harm, by design


class Peers:
    """See the head of this file.  Addresses may be wrong, or nobody be there: that is known when somebody is called."""

    __slots__ = ("_clients", "_host", "_loop", "_members", "_opening")

    def __init__(self, members: Members, host: "AsyncHost | VirtualHost | None") -> None:
        self._members = members
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._clients: list[Any] = []
        self._opening: dict[str, asyncio.Task[COMMIT_V1.Client]] = {}

    async def ask(self, send: Send, timeout_s: float) -> Any:
        """What a member answers.  Raises OSError, which a timeout is, too."""
        async with asyncio.timeout(timeout_s):
            call: Any = getattr(await self.stub(send.to), send.ask.value)
            return await call(send.what, timeout=timeout_s)  # TCP gives a dead connection up then, too

    async def stub(self, name: str) -> COMMIT_V1.Client:
        """The client of a member.  Raises OSError."""
        opening = self._opening.get(name)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = self._opening[name] = self._loop.create_task(self._open(name))
        return await asyncio.shield(opening)

    async def _open(self, name: str) -> COMMIT_V1.Client:
        address, port = self._members[name]
        client = rpc.connect(COMMIT_V1, address, port=port, host=self._host, idempotent=IDEMPOTENT, session=False)
        stub = await client.__aenter__()
        self._clients.append(client)
        return stub

    async def aclose(self) -> None:
        """End all calls."""
        for opening in self._opening.values():
            opening.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await opening
        for client in self._clients:
            await client.__aexit__(None, None, None)
        self._clients.clear()


def check_members(members: Members, name: str) -> None:
    """Raise ConfigError for what cannot be."""
    given: Mapping[Any, Any] = members  # (of a file of settings, perhaps)
    for member, place in given.items():
        if not (isinstance(place, tuple | list) and len(place) == 2 and isinstance(place[0], str)):
            raise ConfigError(
                f"member {member!r} is at {place!r}: use a pair of address and port, like ('127.0.0.1', 7000)"
            )
        if not is_port(place[1], free=False):
            raise ConfigError(f"member {member!r} has port {place[1]!r}: use a number from 1 to {MAX_PORT}")
        if not 0 < len(member.encode()) <= protocol.COMMIT_NAME:
            raise ConfigError(f"member {member[:20]!r}...: a name has 1 to {protocol.COMMIT_NAME} octets")
    if name not in members:
        raise ConfigError(f"no member is called {name!r}: there are {', '.join(sorted(members)) or 'none'}")
