"""The settings of a faulty link; `fault.py` says what they do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stack.device.codel import INTERVAL_US, TARGET_US
from stack.errors import ConfigError

QUEUES: Final = ("droptail", "codel")


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Loss in bursts: a link that is good or bad, and may change with every frame.

    `p` is the probability to turn bad, `r` that to turn good again; so bad spells last 1/r frames on average, and
    p / (p + r) of all frames meet one.  `loss_bad` and `loss_good` are the losses in the two states.
    """

    p: float
    r: float
    loss_bad: float = 1.0
    loss_good: float = 0.0

    def __post_init__(self) -> None:
        for name in ("p", "r", "loss_bad", "loss_good"):
            _check_probability(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Faults:
    """Settings of one direction.  Probabilities are 0 to 1 per frame; 0 switches a fault off.

    `rate` is bytes of Ethernet frame (without preamble and FCS) per second, 0 for no limit, and so no queue.
    `queue_bytes` and `queue_frames` bound what waits for it, with the frame that is leaving (a frame that finds the
    link idle always goes); 0 for no bound but that of frames under way (`fault.MAX_HELD`).  `queue` is "droptail" or
    "codel" (RFC 8289), whose settings are `codel_target_us`, `codel_interval_us` and `ecn`: mark frames
    of an ECN-capable transport in place of dropping them.
    `reordering` frames of all arrive `reorder_us` late.
    `lose_if` is asked about every frame; True loses it (scripted losses).
    """

    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    reordering: float = 0.0
    delay_us: int = 0
    jitter_us: int = 0
    reorder_us: int = 2_000
    rate: int = 0
    queue_bytes: int = 0
    lose_if: Callable[[bytes], bool] | None = None
    burst_loss: GilbertElliott | None = None
    queue: str = "droptail"
    queue_frames: int = 0
    codel_target_us: int = TARGET_US
    codel_interval_us: int = INTERVAL_US
    ecn: bool = False

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "corruption", "reordering"):
            _check_probability(name, getattr(self, name))
        for name in ("delay_us", "jitter_us", "reorder_us", "rate", "queue_bytes", "queue_frames"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} {getattr(self, name)}: use 0 or more")
        for name in ("codel_target_us", "codel_interval_us"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: use 1 or more")
        if self.queue not in QUEUES:
            raise ConfigError(f"queue {self.queue!r}: use one of {', '.join(QUEUES)}")


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} {value}: use a probability from 0 to 1")
