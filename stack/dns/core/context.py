"""What all parts of a resolution share."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol

from stack.config import Rng
from stack.dns.core.cache import Cache
from stack.dns.core.config import ResolverConfig
from stack.dns.core.servers import Servers
from stack.dns.core.stats import ResolverStats
from stack.dns.core.work import Work
from stack.dns.names import Name

if TYPE_CHECKING:
    from stack.dns.core.exchanges import Result, Send
    from stack.dns.core.reply import Finding
    from stack.dns.message import Message

    Probe = Generator[Send, Result, None]


class Validator(Protocol):
    """The hook between answer and cache."""

    def __call__(
        self, finding: "Finding", message: "Message", zone: Name, work: Work
    ) -> "Generator[Send, Result, bool | None]":
        """Whether what a reply of a zone's server said is proved (True), unsigned (False), or unknown (None).

        It may ask servers itself.  Raises ResolutionFailed for an answer that must not be used.
        """


class Context:
    """One per core.  `now` is the time of the event being handled, set by the core before anything runs."""

    __slots__ = ("background", "cache", "config", "now", "rng", "servers", "stats", "validator")

    def __init__(self, config: ResolverConfig, rng: Rng, now: int, validator: Validator | None) -> None:
        self.config = config
        self.rng = rng
        self.now = now
        self.stats = ResolverStats()
        self.cache = Cache(config, self.stats)
        self.servers = Servers(config, rng)
        self.validator = validator
        self.background: list[Probe] = []  # to be run by the core, for nobody
