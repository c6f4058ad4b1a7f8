"""Where servers are, and what a packet meets on its way: latency and loss by distance.

Light takes 5 µs for a kilometre of fibre, and cables take detours; to this comes what is near both ends.  Packets are
lost near the ends and, more often, far away.
"""

import math
import random
from dataclasses import dataclass
from typing import Final

EARTH_KM: Final = 6371.0
US_PER_KM: Final = 5 * 1.6  # of fibre; as much longer than the great circle as measured round trips suggest
ACCESS_US: Final = 1_000  # one way, whatever the distance
JITTER: Final = 0.05  # mean, of the latency; exponentially distributed
LOSS_ACCESS: Final = 0.001
LOSS_PER_KM: Final = 0.01 / 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the globe, as a unit vector."""

    x: float
    y: float
    z: float

    def distance_km(self, other: "Place") -> float:
        """Along the great circle."""
        cosine = self.x * other.x + self.y * other.y + self.z * other.z
        return EARTH_KM * math.acos(max(-1.0, min(1.0, cosine)))


def somewhere(rng: random.Random) -> Place:
    """Any point of the globe is as likely as any other."""
    z = rng.uniform(-1, 1)
    angle = rng.uniform(0, 2 * math.pi)
    radius = math.sqrt(1 - z * z)
    return Place(radius * math.cos(angle), radius * math.sin(angle), z)


@dataclass(frozen=True, slots=True)
class Path:
    """What lies between the resolver and a server: microseconds one way, and the share of packets that is lost."""

    latency_us: int
    loss: float

    def delay_us(self, rng: random.Random) -> int:
        """Of one packet."""
        return self.latency_us + int(rng.expovariate(1 / (JITTER * self.latency_us)))

    def loses(self, rng: random.Random) -> bool:
        """Whether this packet."""
        return rng.random() < self.loss


def path(here: Place, sites: tuple[Place, ...], *, lossless: bool = False) -> Path:
    """To the nearest of the places where an address is served (anycast)."""
    km = min(here.distance_km(site) for site in sites)
    return Path(round(ACCESS_US + US_PER_KM * km), 0.0 if lossless else LOSS_ACCESS + LOSS_PER_KM * km)
