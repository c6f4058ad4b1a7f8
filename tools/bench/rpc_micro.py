"""What one call costs in our server and client, without sockets: µs of process time, of the least disturbed round.

    python -m tools.bench.rpc_micro [--json] [--rounds 15] [CASE ...]

    bare       a protocol that answers whatever comes: what the measurement itself costs
    null       NULL, which the server answers by itself
    uncached   CALC_ECHO of 64 octets, which a procedure answers
    cached     the same, in a duplicate request cache that is full: as it is after some seconds of load
    client     NULL by our client, 32 at a time, answered at once
    by_hand    the same by a table of futures

Datagrams of 8 clients are handed to the protocols, 8 between two turns of the loop, and a transport counts what they
send.  The cases take turns, so that a change of the machine's mood meets all of them.
"""

import argparse
import asyncio
import itertools
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from stack import rpc
from stack.rpc.caller import RpcClient
from stack.rpc.channel import Channel
from stack.rpc.message import build_call
from stack.rpc.server import RpcServer
from stack.rpc.settings import ClientSettings
from stack.rpc.transports import DatagramPort
from tools.bench.rpc_rate import BareDatagrams
from tools.bench.rpc_serving import CALC, SUCCESS, Calc, Datagrams

CASES: Final = ("bare", "null", "uncached", "cached", "client", "by_hand")
CLIENTS: Final = 8
CALLS: Final = 4_000  # of a round
AT_A_TIME: Final = 32
WHERE: Final = "127.0.0.1"
ECHOED: Final = bytes((0, 0, 0, 64)) + bytes(64)
ECHO_NUMBER: Final = 5
V1: Final[Any] = CALC.CALC_V1
Round = Callable[[], Awaitable[float]]  # seconds of process time


class Counting:
    """A transport that counts datagrams."""

    def __init__(self) -> None:
        self.sent = 0

    def sendto(self, _: bytes, __: Any = None) -> None:
        """One more."""
        self.sent += 1


class Answering:
    """A transport that answers calls with the reply to NULL, in the next turn of the loop."""

    def __init__(self, protocol: Any) -> None:
        self._calls: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol

    def sendto(self, call: bytes, _: Any = None) -> None:
        """Remember it."""
        if not self._calls:
            self._loop.call_soon(self._answer)
        self._calls.append(call)

    def _answer(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            self._protocol.datagram_received(call[:4] + SUCCESS, (WHERE, 111))

    def close(self) -> None:
        """Nothing to close."""


def datagrams(xids: Iterator[int], procedure: int, args: bytes) -> list[tuple[bytes, tuple[str, int]]]:
    """The calls of one round, each with where it comes from; no two of all rounds are equal."""
    found = []
    for xid in itertools.islice(xids, CALLS):
        source = ("".join(WHERE), 1_000 + xid % CLIENTS)  # another text each time, as of a socket
        found.append((build_call(xid, V1.program, V1.version, procedure, args), source))
    return found


def serving(protocol: Any, procedure: int = 0, args: bytes = b"") -> Round:
    """Calls at a server's protocol."""
    transport, xids = Counting(), itertools.count(1)
    protocol.connection_made(transport)

    async def one() -> float:
        calls = datagrams(xids, procedure, args)
        wanted = transport.sent + CALLS
        began = time.process_time()
        for number, (data, source) in enumerate(calls, 1):
            protocol.datagram_received(data, source)
            if number % CLIENTS == 0:
                await asyncio.sleep(0)
        while transport.sent < wanted:  # noqa: ASYNC110  (nobody says so, and to say it would cost time)
            await asyncio.sleep(0)
        return time.process_time() - began

    return one


def calling(call: Callable[[], Awaitable[object]]) -> Round:
    """Calls of a client, so many at a time."""

    async def some() -> None:
        for _ in range(CALLS // AT_A_TIME):
            await call()

    async def one() -> float:
        began = time.process_time()
        await asyncio.gather(*(some() for _ in range(AT_A_TIME)))
        return time.process_time() - began

    return one


async def our_client() -> Round:
    """Ours."""

    async def open_channel(client: RpcClient) -> tuple[Channel, bool]:
        port = DatagramPort(client)
        port.connection_made(Answering(port))
        return port.lead_to((WHERE, 111)), False

    client = RpcClient(V1, ClientSettings(session=False, timeout=5.0), WHERE, open_channel, datagrams=True)
    await client.open()
    null: Callable[[], Awaitable[object]] = V1.Client(client).NULL
    return calling(null)


def by_hand() -> Round:
    """What one would write."""
    made = BareDatagrams()
    made.connection_made(Answering(made))
    return calling(made.call)


async def rounds(case: str) -> Round:
    """What is measured."""
    if case == "client":
        return await our_client()
    if case == "by_hand":
        return by_hand()
    if case == "bare":
        return serving(Datagrams())
    server = RpcServer([Calc()], duplicates=rpc.Duplicates() if case == "cached" else None)
    port = DatagramPort(server)
    if case == "null":
        return serving(port)
    one = serving(port, ECHO_NUMBER, ECHOED)
    while case == "cached" and not server.dispatcher._duplicates.evicted:  # type: ignore[union-attr]  # noqa: SLF001
        await one()
    return one


async def measure(cases: list[str], count: int) -> dict[str, float]:
    """µs of process time for a call, of all cases."""
    made = {case: await rounds(case) for case in cases}
    best = dict.fromkeys(cases, math.inf)
    for _ in range(count):
        for case, one in made.items():
            best[case] = min(best[case], await one() / CALLS * 1e6)
    return best


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        costs = runner.run(measure(arguments.cases or list(CASES), arguments.rounds))
    if arguments.json:
        print(json.dumps(costs))
        return
    table = Table("case", "µs")
    for case, cost in costs.items():
        table.add_row(case, f"{cost:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
