"""Echo requests from the stack's address, one future each."""

import asyncio
from typing import Any

from stack.aio.driver import Ended
from stack.aio.network import AsyncHost
from stack.udp.endpoint import to_exception
from stack.wire.addr import parse_addr

_SEQ_MASK = 0xFFFF


class Pinger:
    """The daemon's one ICMP endpoint; whoever pings shares it.  It is the `user` of the endpoint."""

    __slots__ = ("_endpoint", "_host", "_next", "_waiting")

    def __init__(self, host: AsyncHost) -> None:
        self._host = host
        self._endpoint = host.host.icmp_open()
        self._endpoint.user = self
        self._next = 0
        self._waiting: dict[int, tuple[int, asyncio.Future[dict[str, Any]]]] = {}  # seq -> (destination, answer)

    async def ping(self, address: str, size: int, timeout_s: float) -> dict[str, Any]:
        """One request with `size` bytes of data: `{"rtt_us": .., "ttl": ..}` or `{"error": ..}`.  Raises StackError."""
        if len(self._waiting) > _SEQ_MASK // 2:
            return {"error": "too many requests under way"}
        while self._next in self._waiting:
            self._next = (self._next + 1) & _SEQ_MASK
        seq, driver = self._next, self._host.driver
        self._next = (seq + 1) & _SEQ_MASK
        data = bytes(i & 0xFF for i in range(size))
        raddr, answer = parse_addr(address), self._host.loop.create_future()
        self._waiting[seq] = raddr, answer
        try:
            if not self._host.host.ip.icmp.send_echo(self._endpoint, raddr, seq, data, driver.time()):
                return {"error": "host unreachable" if self._is_silent(raddr) else "dropped on the way out"}
            driver.schedule()
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            return {"error": "host unreachable" if self._is_silent(raddr) else "no answer"}
        finally:
            del self._waiting[seq]

    def _is_silent(self, raddr: int) -> bool:
        """Whether the next hop has not answered ARP.  Raises StackError where there is no way at all."""
        ip = self._host.host.ip
        path = ip.path(raddr)
        hop = ip.neighbors.get(path.ifindex, path.next_hop)
        return hop is not None and not hop.is_usable()

    def _settle(self, seq: int, result: dict[str, Any]) -> None:
        _, answer = self._waiting.get(seq, (0, None))
        if answer is not None and not answer.done():
            answer.set_result(result)

    # -- the driver's side

    def on_events(self, events: int) -> None:  # noqa: ARG002  # the queues tell
        """Replies and errors have come."""
        while self._endpoint.replies:
            reply = self._endpoint.replies.popleft()
            if reply.rtt_us >= 0:
                self._settle(reply.seq, {"rtt_us": reply.rtt_us, "ttl": reply.ttl})
        while self._endpoint.errors:
            error, _ = self._endpoint.errors.popleft()
            result = {"error": to_exception(error).strerror}
            if error.local:  # the next hop is silent: whatever goes there is affected
                for seq, (raddr, _) in self._waiting.items():
                    if raddr == error.raddr:
                        self._settle(seq, result)
            else:
                self._settle(error.seq, result)

    def on_callback_error(self, exc: BaseException) -> None:
        """Nothing of ours raises."""

    def on_device_gone(self, exc: Ended) -> None:
        """Those who wait are told when their time is up."""
