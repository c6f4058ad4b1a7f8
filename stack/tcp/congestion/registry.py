"""Names of the congestion control algorithms.  A new one is one file and one line here."""

from stack.errors import ConfigError
from stack.tcp.congestion.base import Controller
from stack.tcp.congestion.cubic import Cubic
from stack.tcp.congestion.newreno import NewReno

ALGORITHMS: dict[str, type[Controller]] = {
    "cubic": Cubic,
    "newreno": NewReno,
}


def check(name: str) -> None:
    """Raise ConfigError for an unknown name."""
    if name not in ALGORITHMS:
        raise ConfigError(f"congestion control {name!r} is not known; use one of {', '.join(sorted(ALGORITHMS))}")


def controller(name: str, mss: int, initial_window: int) -> Controller:
    """A new controller by name.  Raises ConfigError for an unknown one."""
    check(name)
    return ALGORITHMS[name](mss, initial_window)
