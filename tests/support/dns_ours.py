"""Our side in the DNS hierarchy: a host on the TAP device in the bridge, and resolvers on it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any

from stack.aio.loop import new_event_loop
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.dns.core.answer import Answer
from stack.dns.core.config import ResolverConfig
from stack.dns.core.hints import Hint
from stack.dns.names import Name
from stack.dns.resolver import Resolver
from tests.support.dns_hierarchy import Hierarchy
from tests.support.dns_zones import OURS, PREFIX, ROOT

HINTS = (Hint(Name.parse("a.root"), (ROOT,)),)
CONFIG = HostConfig(ip=IpConfig(arp_probe=False))
# the case of hex digits is a matter of taste; an alias that a DNAME made is written as whoever asked the resolver first
# wrote the name, and we write names at random
IN_ANY_CASE = {"DS", "SSHFP", "TLSA", "CNAME"}
Question = tuple[str, str]
Line = tuple[str, str, str]  # owner in lower case, type, rdata


def run(main: Coroutine[Any, Any, object]) -> None:
    """On a loop of ours."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


@contextlib.asynccontextmanager
async def host_in(hierarchy: Hierarchy) -> AsyncIterator[AsyncHost]:
    """Our host, 10.53.0.40, on the running loop."""
    async with AsyncHost(CONFIG) as host:
        host.add_device(hierarchy.tap(), f"{OURS}/{PREFIX}")
        yield host


@contextlib.asynccontextmanager
async def iterative(hierarchy: Hierarchy, config: ResolverConfig | None = None, **options) -> AsyncIterator[Resolver]:
    """A resolver from the root, on a host of its own."""
    async with (
        host_in(hierarchy) as host,
        Resolver.iterative(hints=HINTS, host=host, config=config, **options) as resolver,
    ):
        yield resolver


@contextlib.asynccontextmanager
async def stub(
    hierarchy: Hierarchy, *servers: str, config: ResolverConfig | None = None, **options
) -> AsyncIterator[Resolver]:
    """A resolver that asks these servers, on a host of its own."""
    async with host_in(hierarchy) as host, Resolver(servers, host=host, config=config, **options) as resolver:
        yield resolver


def lines_of(answer: Answer) -> list[Line]:
    """All records of an answer, aliases too, sorted."""
    text = "\n".join(str(rrset) for rrset in (*answer.chain, answer.rrset))
    return sorted(line for line, _ in parsed(text.splitlines()))


def parsed(lines: Iterable[str]) -> Iterator[tuple[Line, int]]:
    """Records in presentation form, and the TTL of each."""
    for line in lines:
        owner, ttl, _, rrtype, rdata = re.split(r"\s+", line, maxsplit=4)
        yield (
            (owner.lower(), rrtype, rdata.lower() if rrtype in IN_ANY_CASE or rrtype.startswith("TYPE") else rdata),
            int(ttl),
        )


def dig(hierarchy: Hierarchy, server: str, questions: Iterable[Question]) -> dict[Question, dict[Line, int]]:
    """What dig says of them: the records of each answer, and their TTLs."""
    asked = list(questions)
    words = [word for question in asked for word in question]
    out = hierarchy.client.run("dig", f"@{server}", "+noall", "+answer", "+question", "+nosplit", *words).stdout
    sections = re.split(r"^;.*\n", out, flags=re.MULTILINE)[1:]
    assert len(sections) == len(asked)
    return {
        question: dict(parsed(line for line in section.splitlines() if line))
        for question, section in zip(asked, sections, strict=True)
    }


async def outcomes(resolver: Resolver, questions: Iterable[Question]) -> dict[Question, Answer | BaseException]:
    """All at once."""
    asked = list(questions)
    results = await asyncio.gather(*(resolver.query(*question) for question in asked), return_exceptions=True)
    return dict(zip(asked, results, strict=True))
