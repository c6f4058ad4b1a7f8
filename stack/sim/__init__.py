"""Hosts and faulty links on a virtual clock; one seed decides everything.

    stack.sim.run(main, seed=1)

runs an ordinary asyncio program on hosts of a simulated network (`stack.sim.world`).  The names below are loaded when
they are first asked for: scenarios need no asyncio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.sim.isolated import Deadlock, NotSimulated, OutOfTime
    from stack.sim.world import STAR_FAULTS, VirtualHost, VirtualNet, run

__all__ = ["STAR_FAULTS", "Deadlock", "NotSimulated", "OutOfTime", "VirtualHost", "VirtualNet", "run"]

_HOME = {
    "Deadlock": "stack.sim.isolated",
    "NotSimulated": "stack.sim.isolated",
    "OutOfTime": "stack.sim.isolated",
    "STAR_FAULTS": "stack.sim.world",
    "VirtualHost": "stack.sim.world",
    "VirtualNet": "stack.sim.world",
    "run": "stack.sim.world",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
