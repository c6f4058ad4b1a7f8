"""Names of the congestion control algorithms.  A new one is one file and one line here."""

from stack.errors import ConfigError
from stack.tcp.congestion.base import Controller
from stack.tcp.congestion.bbr import Bbr
from stack.tcp.congestion.cubic import Cubic
from stack.tcp.congestion.fixed import Fixed
from stack.tcp.congestion.newreno import NewReno
from stack.tcp.congestion.reno import Reno
from stack.tcp.congestion.tahoe import Tahoe

ALGORITHMS: dict[str, type[Controller]] = {
    "cubic": Cubic,
    "newreno": NewReno,
    "reno": Reno,
    "tahoe": Tahoe,
    "fixed": Fixed,
    "bbr": Bbr,
}


def algorithm(choice: object) -> type[Controller]:
    """The class for `TcpConfig.congestion`: a name of the table, or a subclass of Controller, the user's own for
    example.  Raises ConfigError for anything else.
    """
    if isinstance(choice, str):
        if choice not in ALGORITHMS:
            raise ConfigError(f"congestion control {choice!r} is not known; use one of {', '.join(sorted(ALGORITHMS))}")
        return ALGORITHMS[choice]
    if isinstance(choice, type) and issubclass(choice, Controller):
        return choice
    raise ConfigError(
        f"congestion {choice!r}: use a name ({', '.join(sorted(ALGORITHMS))}) or a subclass of "
        "stack.tcp.congestion.base.Controller"
    )
