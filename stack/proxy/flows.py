"""UDP forwarded: each sender is a flow with a port of its own on the other side, so that answers find their way back.

Theory of operation.  One endpoint listens.  The first datagram of a sender opens an endpoint on the other side, which
is connected to the target; what comes back goes to that sender.  A flow in which nothing passes for IDLE_S seconds
ends, and there are at most MAX_FLOWS of them (RFC 4787 is where such times come from; it asks for two minutes).
"""

import asyncio
import logging
import socket
from collections import Counter
from typing import Any, Final

from stack.aio.network import AsyncHost
from stack.proxy.clients import Room, Sender, Users
from stack.proxy.rules import Rule

logger = logging.getLogger(__name__)

IDLE_S: Final = 120.0  # RFC 4787 §4.3: "A NAT UDP mapping timer MUST NOT expire in less than two minutes"
MAX_FLOWS: Final = 256
MAX_WAITING: Final = 16  # datagrams of a flow that is being opened
SWEEP_S: Final = 10.0

Address = tuple[str, int]


class UdpForward:
    """One rule at work.  `users` is asked about senders on the kernel's side only."""

    __slots__ = (
        "_flows",
        "_host",
        "_near",
        "_room",
        "_sweeper",
        "counts",
        "idle_s",
        "octets_in",
        "octets_out",
        "rule",
        "users",
    )

    def __init__(
        self, host: AsyncHost, rule: Rule, users: Users, room: Room | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._host = host
        self.rule = rule
        self.users = users
        self.idle_s = idle_s
        self._room = room or Room()
        self.counts: Counter[str] = Counter()
        self.octets_in = 0
        self.octets_out = 0
        self._flows: dict[Address, _Flow] = {}
        self._near: asyncio.DatagramTransport | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket | None) -> None:
        """As `TcpForward.start`."""
        if listener is None:
            local = (self.rule.address, self.rule.port)
            self._near, _ = await self._host.create_datagram_endpoint(lambda: _Near(self), local)
        else:
            loop = asyncio.get_running_loop()
            self._near, _ = await loop.create_datagram_endpoint(lambda: _Near(self), sock=listener)

    def on_datagram(self, data: bytes, source: Address) -> None:
        """From a sender."""
        flow = self._flows.get(source)
        if flow is None:
            flow = self._open(source)
            if flow is None:
                return
        if flow.is_served():
            self.octets_in += len(data)
            flow.send(data)

    def _open(self, source: Address) -> "_Flow | None":
        if len(self._flows) >= MAX_FLOWS:
            self.counts["refused_full"] += 1
            return None
        assert self._near is not None
        sender = None
        if not self.rule.inward:
            sender = Sender(self.users, source, self._near.get_extra_info("sockname"))
            if not sender.is_served():
                self.counts["refused_user"] += 1
                return None
        if not self._room.take():
            self.counts["refused_full"] += 1
            return None
        self.counts["served"] += 1
        flow = self._flows[source] = _Flow(self, source, sender)
        loop = asyncio.get_running_loop()
        flow.task = loop.create_task(self._connect(flow))
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)
        return flow

    async def _connect(self, flow: "_Flow") -> None:
        """A port on the other side."""
        rule, target = self.rule, (self.rule.host, self.rule.host_port)
        try:
            if rule.inward:
                await asyncio.get_running_loop().create_datagram_endpoint(lambda: flow, remote_addr=target)
            else:
                await self._host.create_datagram_endpoint(lambda: flow, remote_addr=target)
        except (OSError, UnicodeError) as error:
            logger.debug("forward %s: %s: %s", rule.listen, rule.target, error)
            self.counts["failed"] += 1
            self._forget(flow)

    def _forget(self, flow: "_Flow") -> None:
        if self._flows.pop(flow.source, None) is not None:
            self._room.free()
        flow.close()

    def on_answer(self, data: bytes, source: Address) -> None:
        """From the target, for a sender."""
        self.octets_out += len(data)
        if self._near is not None:
            self._near.sendto(data, source)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() - self.idle_s
        for flow in list(self._flows.values()):
            if flow.used_at < until:
                self._forget(flow)
        self._sweeper = loop.call_later(SWEEP_S, self._sweep) if self._flows else None

    async def aclose(self) -> None:
        """End all flows."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for flow in list(self._flows.values()):
            self._forget(flow)
        if self._near is not None:
            self._near.close()
            self._near = None

    def status(self) -> dict[str, Any]:
        """For `tapstack status`."""
        return {
            "open": len(self._flows),
            "limit": MAX_FLOWS,
            "octets_in": self.octets_in,
            "octets_out": self.octets_out,
            **dict(sorted(self.counts.items())),
        }


class _Near(asyncio.DatagramProtocol):
    """The endpoint that listens."""

    def __init__(self, forward: UdpForward) -> None:
        self._forward = forward

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._forward.on_datagram(data, addr)

    def error_received(self, _exc: Exception) -> None:
        self._forward.counts["errors"] += 1


class _Flow(asyncio.DatagramProtocol):
    """The endpoint on the other side of one sender."""

    def __init__(self, forward: UdpForward, source: Address, sender: Sender | None) -> None:
        self._forward = forward
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: list[bytes] = []
        self._closed = False
        self._sender = sender
        self.source = source
        self.task: asyncio.Task[None] | None = None
        self.used_at = asyncio.get_running_loop().time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if self._closed:
            transport.close()
            return
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self._transport.sendto(data)  # type: ignore[union-attr]

    def is_served(self) -> bool:
        """Whether the sender still is."""
        if self._sender is None or self._sender.is_served():
            return True
        self._forward.counts["refused_user"] += 1
        return False

    def send(self, data: bytes) -> None:
        """To the target."""
        self.used_at = asyncio.get_running_loop().time()
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(data)
        else:
            self._forward.counts["dropped"] += 1

    def datagram_received(self, data: bytes, _addr: Address) -> None:
        if self.is_served():
            self.used_at = asyncio.get_running_loop().time()
            self._forward.on_answer(data, self.source)

    def error_received(self, _exc: Exception) -> None:
        self._forward.counts["errors"] += 1  # ICMP: a UDP endpoint for all senders has no way to pass it on

    def close(self) -> None:
        """The port is free again."""
        self._closed = True
        if self.task is not None:
            self.task.cancel()
        if self._transport is not None:
            self._transport.close()
