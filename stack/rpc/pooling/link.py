"""The client of one member of a pool, and the task that keeps it and says whether the member is ready."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from stack.config import Rng
from stack.rpc.caller import RpcClient
from stack.rpc.calls import Semantics
from stack.rpc.errors import ProgMismatch, ProgUnavail, Rejected, RpcError, RpcTimeout
from stack.rpc.pooling.members import Member, Members, Place
from stack.rpc.program import Procedure

FIRST_PAUSE_S: Final = 0.1  # until a member that is down is tried again; then twice as long, up to
MAX_PAUSE_S: Final = 10.0
CHECK_TIMEOUT_S: Final = 2.0
SPREAD: Final = 0.25  # pauses are longer by up to this share, so that many pools do not ask at once


class Link:
    """See the head of this file.  `changed` is called when the member was found ready, or not."""

    __slots__ = ("_changed", "_check_s", "_make", "_members", "_null", "_rng", "_soon", "_task", "client", "member")

    def __init__(
        self,
        member: Member,
        members: Members,
        make: Callable[[Place], RpcClient],
        null: Procedure,
        check_s: float,
        rng: Rng,
        changed: Callable[[], None],
    ) -> None:
        self.member = member
        self.client: RpcClient | None = None
        self._members = members
        self._make = make
        self._null = null
        self._check_s = check_s
        self._rng = rng
        self._changed = changed
        self._soon = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def on_trouble(self, error: RpcError) -> None:
        """A call found that it cannot be reached: look now."""
        self._members.on_down(self.member, reason(error))
        self._soon.set()

    def stop(self) -> None:
        """Look no more; its calls go on."""
        self._task.cancel()

    async def aclose(self) -> None:
        """Calls in flight fail with ClientClosed."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.client is not None:
            await self.client.aclose()

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            self._soon.clear()
            try:
                await self._check()
            except Exception as error:  # noqa: BLE001  (of whichever host, loop or resolver: it is not there)
                self._members.on_down(self.member, reason(error))
                wait_s, pause_s = pause_s, min(2 * pause_s, MAX_PAUSE_S)
            else:
                self._members.on_up(self.member)
                wait_s, pause_s = self._check_s, FIRST_PAUSE_S
            self._changed()
            wait_s *= 1 + SPREAD * self._rng.getrandbits(8) / 256
            if self.member.is_ready:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._soon.wait()
            else:
                await asyncio.sleep(wait_s)

    async def _check(self) -> None:
        """Raises RpcError if it cannot be called."""
        if self.client is None:
            client = self._make(self.member.place)
            try:
                await client.open()
            except BaseException:
                await client.aclose()
                raise
            self.client = client
        try:
            await self.client(self._null, (), {"timeout": CHECK_TIMEOUT_S, "semantics": Semantics.AT_LEAST_ONCE})
        except (ProgUnavail, ProgMismatch):
            raise
        except Rejected:  # it is there, and does not let us call NULL
            return


def reason(error: Exception) -> str:
    """Why a member is down, for people.  Whether it has run is said of calls, not of what the pool asks."""
    if isinstance(error, RpcTimeout):
        return "no answer in time"
    if isinstance(error, RpcError) and error.__cause__ is None:
        return str(error.strerror).rpartition("; it ")[0]
    cause = error.__cause__ or error
    if isinstance(cause, RpcError):
        return f"its rpcbind: {reason(cause)}"
    if isinstance(cause, OSError) and (type(cause) is ConnectionRefusedError or not cause.strerror):
        return os.strerror(cause.errno).lower() if cause.errno else type(cause).__name__
    return (getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).lower()
