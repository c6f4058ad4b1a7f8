"""What a ResolverCore hands out: answers, and the steps that led to them; and how a try can fail."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import NamedTuple

from stack.dns.core.config import Server
from stack.dns.errors import Ede
from stack.dns.names import Name
from stack.dns.rrset import RRset


@unique
class Failure(Enum):
    """Why an exchange or a stream ended without an answer, as the transport sees it; the value is for people."""

    UNREACHABLE = "unreachable"  # ICMP
    REFUSED = "connection refused"  # ICMP port unreachable, RST to our SYN
    NO_ROUTE = "no route"
    CLOSED = "closed by the server"
    CONNECT_TIMEOUT = "connection timed out"
    NO_SOCKET = "no socket left"  # local: ports or files are used up


@dataclass(slots=True)
class Answer:
    """What a name has of a type.  `ttl`, and those of `rrset` and `chain`, are the seconds left as from now."""

    name: Name  # asked for, after the search list
    rrtype: int
    rrset: RRset
    ttl: int
    chain: tuple[RRset, ...]  # the CNAMEs and DNAMEs between `name` and the owner of `rrset`
    secure: bool | None = None  # None: nobody validated
    stale: bool = False  # RFC 8767: too old, but there is nothing better
    server: Server | None = None  # whom the last of it came from; None: the hosts file
    ede: Ede | None = None  # RFC 8914: what the server had to say about it
    rcode: int = 0


class Step(NamedTuple):
    """One step of a resolution, for `explain`; `depth` makes a tree of the list."""

    depth: int  # 0: the client's question; deeper: for the address of a server
    server: Server | None  # None: no server was asked
    zone: Name | None  # whose server it is
    name: Name
    rrtype: int
    verdict: str
    rtt_us: int
    why: str
    tcp: bool
