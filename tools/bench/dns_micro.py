"""What one step of DNS costs, ours or dnspython's; prints JSON with microseconds for each.

dns_micro.py answer|referral CLIENT             parse a message: 3 addresses; 13 name servers with both their addresses
dns_micro.py cache CLIENT SERVER                the same question again: our cache; dnspython's parsing of the answer
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable

import dns.message
import dns.rrset
import uvloop

from stack.dns.message import Message
from stack.dns.resolver import Resolver
from tools.bench.dns_clients import ADDRESSES, ZONE

NAME = f"www.{ZONE}"
ROUNDS, SECONDS = 7, 0.1
HITS = 5_000
SERVERS = "abcdefghijklm"


def reply(text: str) -> dns.message.Message:
    """To a question for addresses."""
    made = dns.message.make_response(dns.message.make_query(text, "A", use_edns=0), recursion_available=True)
    assert isinstance(made, dns.message.Message)
    return made


def answer() -> bytes:
    """Three addresses."""
    made = reply(f"{NAME}.")
    made.answer.append(dns.rrset.from_text(f"{NAME}.", 60, "IN", "A", *ADDRESSES))
    return made.to_wire()


def referral() -> bytes:
    """What the root says of com: 13 servers, and an IPv4 and an IPv6 address of each."""
    made = reply("www.example.com.")
    names = [f"{letter}.gtld-servers.net." for letter in SERVERS]
    made.authority.append(dns.rrset.from_text("com.", 172_800, "IN", "NS", *names))
    for number, name in enumerate(names):
        made.additional.append(dns.rrset.from_text(name, 172_800, "IN", "A", f"192.5.6.{30 + number}"))
        made.additional.append(dns.rrset.from_text(name, 172_800, "IN", "AAAA", f"2001:503:a83e::2:{30 + number}"))
    return made.to_wire()


MESSAGES = {"answer": answer, "referral": referral}


def us_each(call: Callable[[], object]) -> float:
    """Microseconds of one call, of the least disturbed round."""
    count = 1
    while (took := timed(call, count)) < SECONDS:
        count = max(2 * count, int(count * SECONDS / max(took, 1e-6)))
    return min(timed(call, count) for _ in range(ROUNDS)) / count * 1e6


def timed(call: Callable[[], object], count: int) -> float:
    """Seconds that so many take."""
    gc.collect()
    began = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - began


def parse(case: str, client: str) -> float:
    """Of one message."""
    wire = MESSAGES[case]()
    return us_each((lambda: Message.parse(wire)) if client == "tapstack" else (lambda: dns.message.from_wire(wire)))


async def hit(server: str) -> float:
    """Of one question that the cache answers, through the whole of our interface."""
    resolver = Resolver(servers=[server])
    best = float("inf")
    try:
        await resolver.query(NAME, "A")
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for _ in range(HITS):
                await resolver.query(NAME, "A")
            best = min(best, (time.perf_counter() - began) / HITS)
    finally:
        await resolver.aclose()
    return best * 1e6


def main() -> None:
    """Command line."""
    case, client, *server = sys.argv[1:]
    if case == "cache" and client == "tapstack":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            each = runner.run(hit(server[0]))
    else:
        each = parse("answer" if case == "cache" else case, client)
    print(json.dumps({"us_each": each}))


if __name__ == "__main__":
    main()
