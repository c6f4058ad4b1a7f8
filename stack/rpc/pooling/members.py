"""The servers of a pool: who is there, how busy and how quick each is, and who gets the next call.

Theory of operation.  A member is *ready* while it can be reached, which the pool finds out (`on_up`, `on_down`).  Calls
begin and end here, so that for each member it is known how many are in flight, how long replies take (smoothed as in
RFC 6298 §2), and how many calls in a row had none.  Three of those eject it: for a second it is chosen only where there
is nobody else, then for twice as long each time, up to a minute.  After that it is on probation: one more failure
ejects it again, one reply forgets all.  If all that are ready are ejected, all are chosen from: then it is more likely
that the fault is ours, or everybody's.

Nothing here reads a clock: times are microseconds, and `now` comes with the call.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, unique
from hashlib import blake2b
from typing import Final

from stack.config import MINUTE, SECOND, Rng
from stack.errors import ConfigError

MAX_MEMBERS: Final = 1024
FAILURES: Final = 3  # in a row eject a member
EJECTION_US: Final = 1 * SECOND  # the first
MAX_EJECTION_US: Final = 1 * MINUTE
_MAX_DOUBLED: Final = 6  # times until that is reached
HALF_LIFE_US: Final = 10 * SECOND  # of what is known of a member's speed, while nobody asks it
_MAX_HALVED: Final = 63
_SCALE: Final = 1 << 16  # weights have 16 bits


@unique
class Choice(Enum):
    """Who gets the next call."""

    ROUND_ROBIN = "round_robin"  # one after the other
    LEAST_LOADED = "least_loaded"  # who has the fewest calls in flight; of those, who is quickest
    TWO_CHOICES = "two_choices"  # the less loaded of two picked at random


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a member is.  `port` None: its rpcbind knows.

    Of those that are fit, the ones with the lowest `priority` are chosen, in proportion to `weight` (RFC 2782).
    """

    address: str
    port: int | None = None
    priority: int = 0
    weight: int = 1

    def __str__(self) -> str:
        if self.port is None:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Member:
    """One server of a pool."""

    # fmt: off
    __slots__ = (
        "because", "calls", "credit", "ejected_until", "ejections", "failed", "failures", "in_flight", "is_ready",
        "place", "sampled_at", "srtt_us", "weight",
    )
    # fmt: on

    def __init__(self, place: Place) -> None:
        self.place = place
        self.weight = max(place.weight, 1)  # RFC 2782: 0 has a very small chance, but one
        self.credit = 0  # of its turn
        self.is_ready = False
        self.because = "not reached yet"  # why it is not ready
        self.calls = 0
        self.in_flight = 0
        self.srtt_us = 0  # of the replies; 0: none yet
        self.sampled_at = 0
        self.failed = 0
        self.failures = 0  # in a row
        self.ejections = 0  # in a row
        self.ejected_until = 0

    def load(self, now: int) -> tuple[int, int]:
        """What is compared.  A member that nobody asks is forgiven its slowness, or nobody would ever ask it again."""
        busy = self.in_flight * _SCALE // self.weight
        return busy, self.srtt_us >> min((now - self.sampled_at) // HALF_LIFE_US, _MAX_HALVED)

    def state(self, now: int) -> str:
        """For people: "ready", "ejected", or "down"."""
        if not self.is_ready:
            return "down"
        return "ejected" if now < self.ejected_until else "ready"


class Members:
    """See the head of this file.  `ejections` counts."""

    __slots__ = ("_all", "_choice", "_rng", "ejections")

    def __init__(self, choice: Choice, rng: Rng) -> None:
        self._choice = choice
        self._rng = rng
        self._all: dict[Place, Member] = {}
        self.ejections = 0

    def __iter__(self) -> Iterator[Member]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    # -- who is there

    def update(self, places: Iterable[Place]) -> tuple[list[Member], list[Member]]:
        """These are the members from now on: who has come, and who is gone.  Raises ConfigError for too many."""
        wanted = dict.fromkeys(places)
        if len(wanted) > MAX_MEMBERS:
            raise ConfigError(f"a pool of {len(wanted)} servers: {MAX_MEMBERS} are the most")
        gone = [member for place, member in self._all.items() if place not in wanted]
        come = [Member(place) for place in wanted if place not in self._all]
        for member in gone:
            del self._all[member.place]
            member.is_ready = False
            member.because = "it is no longer in the pool"
        for member in come:
            self._all[member.place] = member
        return come, gone

    @staticmethod
    def on_up(member: Member) -> None:
        """It can be reached."""
        member.is_ready = True
        member.because = ""

    @staticmethod
    def on_down(member: Member, because: str) -> None:
        """It cannot."""
        member.is_ready = False
        member.because = because

    # -- who is chosen

    def choose(self, now: int, without: Collection[Member] = ()) -> Member | None:
        """Who gets the next call; None if nobody can be reached but those that were tried."""
        ready = [member for member in self._all.values() if member.is_ready and member not in without]
        if not ready:
            return None
        fit = [member for member in ready if now >= member.ejected_until] or ready
        first = min(member.place.priority for member in fit)
        return self._pick([member for member in fit if member.place.priority == first], now)

    def _pick(self, fit: list[Member], now: int) -> Member:
        if len(fit) == 1:
            return fit[0]
        if self._choice is Choice.ROUND_ROBIN:
            return _next_in_turn(fit)
        if self._choice is Choice.TWO_CHOICES:
            one = self._rng.randrange(len(fit))
            other = (one + 1 + self._rng.randrange(len(fit) - 1)) % len(fit)
            fit = [fit[one], fit[other]]
        loads = [member.load(now) for member in fit]
        least = min(loads)
        best = [member for member, load in zip(fit, loads, strict=True) if load == least]
        return best[self._rng.randrange(len(best))]

    def choose_for(self, key: str, now: int) -> Member | None:
        """Always the same one for a key, as long as it is there (rendezvous hashing, Thaler and Ravishankar 1998).

        When a member comes or goes, only the keys that are its own get another one.
        """
        ready = [member for member in self._all.values() if member.is_ready]
        fit = [member for member in ready if now >= member.ejected_until] or ready
        return max(fit, key=lambda member: _rank(key, member.place), default=None)

    # -- what came of calls

    @staticmethod
    def begin(member: Member) -> None:
        """A call goes to it.  Ended by just one of those below."""
        member.calls += 1
        member.in_flight += 1

    @staticmethod
    def on_reply(member: Member, took_us: int, now: int) -> None:
        """It has answered."""
        member.in_flight -= 1
        srtt = member.srtt_us
        member.srtt_us = (srtt + (took_us - srtt) // 8 if srtt else took_us) or 1  # RFC 6298 §2.3
        member.sampled_at = now
        member.failures = member.ejections = member.ejected_until = 0

    def on_failure(self, member: Member, now: int) -> None:
        """It could not be reached, did not answer, or failed."""
        member.in_flight -= 1
        self._blame(member, now)

    def on_beaten(self, member: Member, took_us: int, now: int) -> None:
        """After `on_cancelled`: another one answered first, so this one takes at least so long."""
        member.srtt_us = max(member.srtt_us, took_us)
        member.sampled_at = now
        self._blame(member, now)

    def _blame(self, member: Member, now: int) -> None:
        member.failed += 1
        member.failures += 1
        if member.failures >= FAILURES and now >= member.ejected_until:
            member.ejected_until = now + min(EJECTION_US << min(member.ejections, _MAX_DOUBLED), MAX_EJECTION_US)
            member.ejections += 1
            self.ejections += 1

    @staticmethod
    def on_cancelled(member: Member) -> None:
        """Nobody knows how it would have ended."""
        member.in_flight -= 1


def _next_in_turn(fit: list[Member]) -> Member:
    """Each as often as its weight says, and spread evenly: whoever was passed over gains credit."""
    for member in fit:
        member.credit += member.weight
    best = max(fit, key=lambda member: member.credit)
    best.credit -= sum(member.weight for member in fit)
    return best


def _rank(key: str, place: Place) -> bytes:
    text = f"{place}\0{key}".encode("utf-8", "surrogateescape")
    return blake2b(text, digest_size=8).digest()
