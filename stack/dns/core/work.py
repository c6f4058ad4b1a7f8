"""What one question has cost so far, and what came of it: limits, tries, steps.

A Work is shared by everything that is done for the sake of one question of a client, so whatever a hostile zone
multiplies is counted in one place.
"""

from typing import Final, Protocol

from stack.dns.core.answer import Step
from stack.dns.core.config import ResolverLimits, Server, server_text
from stack.dns.core.stats import Refused, ResolverStats
from stack.dns.errors import Ede, Try
from stack.dns.names import Name

MAX_TRIES_KEPT: Final = 64


class Meaningful(Protocol):
    """What a reply was found to say: `stack.dns.core.reply.Finding`."""

    def meaning(self) -> tuple[str, str]:
        """What it is, and of what."""


class ResolutionFailed(Exception):
    """Within the core: this name and type cannot be found out.

    `final`: nor anything else, the work is used up.  `silent`: all were waited for, and nothing came.  `unheard`:
    nobody was heard of, waited for or not, so that asking them something else is of no use.
    """

    def __init__(self, why: str, *, final: bool = False, silent: bool = False, unheard: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.final = final
        self.silent = silent
        self.unheard = unheard


class Work:
    """The account of one question."""

    # fmt: off
    __slots__ = (
        "before", "depth", "ede", "failed_targets", "failed_targets_allowed", "limits", "resolving", "sent", "stats",
        "steps", "targets", "tries",
    )
    # fmt: on

    def __init__(self, limits: ResolverLimits, stats: ResolverStats, steps: list[Step] | None) -> None:
        self.limits = limits
        self.stats = stats
        self.steps = steps  # None: nobody wants to know
        self.sent = 0
        self.targets = 0  # names of servers looked up
        self.failed_targets = 0
        self.failed_targets_allowed = limits.failed_targets
        self.depth = 0  # 0: the client's question; else that of a server's address
        self.resolving: set[bytes] = set()  # keys of servers' names that are being looked up just now
        self.tries: list[Try] = []
        self.before = ""  # what the server that is being asked did when it was asked in another way
        self.ede: Ede | None = None  # the last that a failing server said

    def spend(self) -> None:
        """One more message is to be sent.  Raises ResolutionFailed when it is one too many."""
        if self.sent >= self.limits.quota:
            self.stats.refused[Refused.QUOTA] += 1
            raise ResolutionFailed(f"more than {self.limits.quota} messages would be needed", final=True)
        self.sent += 1

    def failed(self, server: Server, why: str) -> None:
        """Note a try that came to nothing."""
        if len(self.tries) < MAX_TRIES_KEPT:
            self.tries.append(Try(server_text(server), why))

    def note(self, name: Name, rrtype: int, finding: Meaningful) -> None:
        """Note what the last reply means."""
        if self.steps is not None:
            self.step(name, rrtype, *finding.meaning())

    def step(self, name: Name, rrtype: int, verdict: str, why: str = "") -> None:
        """Note a step that asked no server."""
        if self.steps is not None:
            self.steps.append(Step(self.depth, None, None, name, rrtype, verdict, 0, why, tcp=False))
