"""What a test left open on its hosts, or running.

Theory of operation.  When a test returns much may still be ending by itself: a FIN is on its way, the other side's
handler is about to read it.  So the network goes on until nothing is left, for at most LINGER_S, and what is there
then is a leak.  What hosts were booted with is ended first, by cancelling it, as one ends a program.

A connection that its owner closed is none, whatever the peer makes of that, nor is one without an owner.  One whose
StreamWriter was garbage before anybody closed it is: asyncio closes it then, so it has to be noticed when that happens.
(Older Pythons, such as 3.11.2, leave it open: there it is an open connection as any other.)
"""

import asyncio
from collections.abc import Collection, Iterator
from typing import Final, Self

import pytest

from stack.aio.datagram import StackDatagramTransport
from stack.aio.server import Listening
from stack.aio.transports import StackTransport
from stack.host.host import Host
from stack.sim.isolated import SimTask, describe_task
from stack.sim.world import VirtualNet
from stack.tcp.state import NAMES
from stack.wire.addr import format_addr

LINGER_S: Final = 30.0  # of virtual time: some losses of a FIN in a row
FIRST_LOOK_S: Final = 0.001
MAX_NAMED: Final = 20  # of each kind
KINDS: Final = ("connections", "listeners", "datagrams", "tasks")
Leak = tuple[str, str]  # its kind, and which one


class Leaked(Exception):
    """The test left something open."""


class Collected:
    """A context in which it is noticed when an open StreamWriter of the network becomes garbage."""

    __slots__ = ("_net", "_patch", "found")

    def __init__(self, net: VirtualNet) -> None:
        self._net = net
        self._patch = pytest.MonkeyPatch()
        self.found: list[Leak] = []

    def __enter__(self) -> Self:
        before = getattr(asyncio.StreamWriter, "__del__", None)
        if before is None:
            return self  # an older Python, which leaves it open
        loop = self._net.loop

        def delete(writer: asyncio.StreamWriter) -> None:
            transport = writer.transport
            if getattr(writer, "_loop", None) is not loop or transport.is_closing():
                before(writer)
            else:
                self._note(transport)
                transport.close()  # as asyncio does, which warns besides

        self._patch.setattr(asyncio.StreamWriter, "__del__", delete)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _note(self, transport: asyncio.WriteTransport) -> None:
        here, there = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        name = next((name for name, host in self._net.hosts.items() if host.address == here[0]), "?")
        text = f"{name}: {here[0]}:{here[1]} > {there[0]}:{there[1]}, not closed before its StreamWriter was garbage"
        self.found.append(("connections", text))


async def leaks(net: VirtualNet, collected: Collected, allowed: Collection[str]) -> list[Leak]:
    """What is still there after a while, and what was `collected`, but for the kinds that are `allowed`."""
    for host in net.hosts.values():
        if host.program is not None:
            host.program.cancel()
    waited, pause = 0.0, FIRST_LOOK_S
    await asyncio.sleep(0)
    while (found := _look(net, allowed)) and waited < LINGER_S:
        await asyncio.sleep(pause)
        waited += pause
        pause *= 2
    return [leak for leak in collected.found if leak[0] not in allowed] + found


def in_words(found: list[Leak]) -> str:
    """All leaks, by kind."""
    lines = [f"the test left these open ({LINGER_S:g} s of virtual time after its end):"]
    for kind in KINDS:
        which = [text for of, text in found if of == kind]
        lines += [f"  {kind}: {text}" for text in which[:MAX_NAMED]]
        if len(which) > MAX_NAMED:
            lines.append(f"  {kind}: and {len(which) - MAX_NAMED} more")
    lines.append("close them and await tasks, or allow it: @pytest.mark.stack_leaks")
    return "\n".join(lines)


def _look(net: VirtualNet, allowed: Collection[str]) -> list[Leak]:
    found = [
        leak
        for host in net.hosts.values()
        if host.is_up
        for leak in (*_connections(host.name, host.stack.host), *_endpoints(host.name, host.stack.driver.handlers))
    ]
    return [leak for leak in (*found, *_tasks(net)) if leak[0] not in allowed]


def _connections(name: str, host: Host) -> Iterator[Leak]:
    for conn in host.connections():
        owner = conn.user
        if owner is None or (isinstance(owner, StackTransport) and owner.is_closing()):
            continue
        here = f"{format_addr(conn.local_addr)}:{conn.local_port}"
        there = f"{format_addr(conn.remote_addr)}:{conn.remote_port}"
        yield "connections", f"{name}: {here} > {there} {NAMES[conn.state]}"


def _endpoints(name: str, handlers: Collection[object]) -> Iterator[Leak]:
    for handler in handlers:
        if isinstance(handler, Listening):
            addr, port = handler.socket.getsockname()
            yield "listeners", f"{name}: {addr}:{port}"
        elif isinstance(handler, StackDatagramTransport) and not handler.is_closing():
            addr, port = handler.get_extra_info("sockname")
            yield "datagrams", f"{name}: {addr}:{port}"


def _tasks(net: VirtualNet) -> Iterator[Leak]:
    own = asyncio.current_task()
    for task, driver in net.loop.tasks.items():
        if task is own:
            continue
        made = task.made_in if isinstance(task, SimTask) else None
        if made is None:
            origin = "made for a connection or a callback"
        else:
            code, line = made
            origin = f"made at {code.co_filename.rpartition('/')[2]}:{line}, in {code.co_qualname}"
        yield "tasks", f"{describe_task(task)}{f', on {driver.name}' if driver is not None else ''}; {origin}"
