"""Which host the code that runs now speaks as, when it said so: `with host.active():`.

A context variable, so tasks inherit it from who creates them, and two tasks may speak as two hosts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

ACTIVE: Final[ContextVar["AsyncHost | None"]] = ContextVar("stack.aio.active", default=None)


@contextmanager
def activate(host: "AsyncHost") -> Iterator[None]:
    """Within the block new connections and endpoints of the running loop are those of `host`; blocks nest."""
    token = ACTIVE.set(host)
    try:
        yield
    finally:
        ACTIVE.reset(token)
