"""What it costs to parse and to build a message of the DNS, beside dnspython, turn by turn in one run.

    python -m tools.bench.dns_codec [--json] [--rounds 15]

Three messages: an answer with 3 addresses, a referral to 13 servers with all their addresses (840 octets), and a query.
Each number is that of the least disturbed of several rounds.  Status 1 if parsing is not fast enough.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import dns.message
from rich.console import Console
from rich.table import Table

from stack.dns import rdata
from stack.dns.constants import RRType
from stack.dns.edns import Edns
from stack.dns.message import Message, RRset
from stack.dns.names import Name

FACTOR_WANTED: Final = 15  # parsing, of the answer and of the referral
LIMIT: Final = 4096
ROUND_SECONDS: Final = 0.02

Case = tuple[str, str]  # what is done, with which message


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one call."""

    ours: float
    theirs: float

    @property
    def factor(self) -> float:
        """How many times as fast ours is."""
        return self.theirs / self.ours


def answer() -> Message:
    """Three addresses."""
    name = Name.parse("www.example.test")
    reply = Message.query(name, RRType.A, id=4711).reply()
    reply.edns = Edns()
    reply.answer = [RRset.of(name, 300, [rdata.A(f"192.0.2.{number}") for number in range(1, 4)])]
    return reply


def referral() -> Message:
    """What a root server says about com."""
    servers = [Name.parse(f"{letter}.gtld-servers.net") for letter in "abcdefghijklm"]
    reply = Message.query(Name.parse("www.example.com"), RRType.A, id=4711).reply()
    reply.edns = Edns()
    reply.authority = [RRset.of(Name.parse("com"), 172_800, [rdata.NS(server) for server in servers])]
    reply.additional = [
        RRset.of(server, 172_800, [address])
        for number, server in enumerate(servers)
        for address in (rdata.A(f"192.5.6.{number}"), rdata.AAAA(f"2001:503:a83e::{number:x}"))
    ]
    return reply


def query() -> Message:
    """A question with EDNS."""
    return Message.query(Name.parse("www.example.test"), RRType.A, id=4711, edns=Edns())


def us_per_call(call: Callable[[], object]) -> float:
    """Mean cost over one round."""
    count, took = 1, 0.0
    while took < ROUND_SECONDS:
        began = time.perf_counter()
        for _ in range(count):
            call()
        took = time.perf_counter() - began
        count *= 2
    return took / (count // 2) * 1e6


def measure(rounds: int) -> dict[Case, Cost]:
    """All cases; ours and theirs alternate, so that a change of the machine's mood meets both."""
    calls: dict[Case, tuple[Callable[[], object], Callable[[], object]]] = {}
    for title, message in (("3 addresses", answer()), ("13 servers", referral()), ("query", query())):
        calls |= pair(title, message)
    best: dict[Case, tuple[float, float]] = {}
    for _ in range(rounds):
        for case, (ours, theirs) in calls.items():
            cost, other = best.get(case, (float("inf"), float("inf")))
            best[case] = min(cost, us_per_call(ours)), min(other, us_per_call(theirs))
    return {case: Cost(*costs) for case, costs in best.items()}


def pair(title: str, message: Message) -> dict[Case, tuple[Callable[[], object], Callable[[], object]]]:
    """Parsing and building this message, by ours and by dnspython."""
    wire = message.build(LIMIT)
    theirs = dns.message.from_wire(wire)
    return {
        ("parse", title): (lambda: Message.parse(wire), lambda: dns.message.from_wire(wire)),
        ("build", title): (lambda: message.build(LIMIT), lambda: theirs.to_wire(max_size=LIMIT)),
    }


def table(costs: dict[Case, Cost]) -> Table:
    """One row a case."""
    found = Table()
    for heading in ("message", "", "tapstack µs", "dnspython µs", "factor"):
        found.add_column(heading, no_wrap=True)
    for (what, title), cost in costs.items():
        found.add_row(title, what, f"{cost.ours:.1f}", f"{cost.theirs:.0f}", f"{cost.factor:.1f}")
    return found


def too_slow(costs: dict[Case, Cost]) -> list[str]:
    """One line for each message that is not parsed as fast as it should be."""
    return [
        f"{what} {title}: {cost.factor:.1f} times as fast as dnspython, {FACTOR_WANTED} are wanted"
        for (what, title), cost in costs.items()
        if what == "parse" and title != "query" and cost.factor < FACTOR_WANTED
    ]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    costs = measure(arguments.rounds)
    if arguments.json:
        rows = {
            f"{what} {title}": {"ours_us": cost.ours, "dnspython_us": cost.theirs}
            for (what, title), cost in costs.items()
        }
        print(json.dumps(rows))
    else:
        Console().print(table(costs))
    wrong = too_slow(costs)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
