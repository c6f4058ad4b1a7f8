"""Counters of servers and clients.  What is dropped or refused is counted under its reason."""

from collections import Counter
from enum import IntEnum, unique
from typing import Final

from stack.rpc.constants import AuthStat, Status
from stack.rpc.errors import MessageReason
from stack.rpc.record import RecordFault


@unique
class Dropped(IntEnum):
    """Why a call that could be read got no reply."""

    IN_PROGRESS = 0  # the same call is being executed: its reply will come
    FORGOTTEN = 1  # it was executed, but its reply was too large to be kept
    BUSY = 2  # the server executes as many calls as it may
    CLIENT_BUSY = 3  # it does so for this client
    NO_REPLY = 4  # its procedure wants none sent


# fmt: off
_OF_CLIENTS: Final = (
    "bad_results", "calls", "cancelled", "failed", "reboots", "refused", "resent", "retransmitted", "timeouts",
    "unknown_xid",
)
# fmt: on


class ServerStats:
    """The counters of one server.  Lists are indexed by their enumerations."""

    __slots__ = ("auth", "calls", "dropped", "garbage", "malformed", "not_noted", "replayed", "replies", "too_large")

    def __init__(self) -> None:
        self.calls = 0  # messages that came
        self.replayed = 0  # replies of calls executed before
        self.not_noted = 0  # calls that a durable cache could not write down: SYSTEM_ERR, not executed
        self.too_large = 0  # results that the transport could not carry: SYSTEM_ERR
        self.replies = [0] * len(Status)  # but for those replayed
        self.auth = [0] * len(AuthStat)  # callers refused
        self.dropped = [0] * len(Dropped)
        self.malformed = [0] * len(MessageReason)
        self.garbage: Counter[str] = Counter()  # why arguments could not be decoded, of which there are few

    def by_name(self) -> dict[str, int]:
        """Counters that are not 0, by name: those of lists begin with the list's."""
        found = {name: getattr(self, name) for name in ("calls", "not_noted", "replayed", "too_large")}
        found |= {f"replies_{status.name.lower()}": self.replies[status] for status in Status}
        found |= {f"auth_{stat.name.lower()}": self.auth[stat] for stat in AuthStat}
        found |= {f"dropped_{why.name.lower()}": self.dropped[why] for why in Dropped}
        found |= {f"malformed_{why.name.lower()}": self.malformed[why] for why in MessageReason}
        found |= {f"garbage_{why}": count for why, count in self.garbage.items()}
        return {name: count for name, count in found.items() if count}


class ClientStats:
    """The counters of one client."""

    # fmt: off
    __slots__ = (
        "bad_results", "calls", "cancelled", "failed", "faults", "malformed", "reboots", "refused", "replies", "resent",
        "retransmitted", "timeouts", "unknown_xid",
    )
    # fmt: on

    def __init__(self) -> None:
        self.calls = 0  # started
        self.retransmitted = 0  # messages sent again because no reply came
        self.resent = 0  # messages sent again on a new connection
        self.replies = [0] * len(Status)  # to calls that were waiting
        self.unknown_xid = 0  # replies that nobody waits for (any more): second ones, late ones, forged ones
        self.bad_results = 0  # of them could not be decoded
        self.timeouts = 0
        self.cancelled = 0
        self.failed = 0  # calls lost with their connection
        self.reboots = 0  # times that the server was found to have been started anew
        self.faults = [0] * len(RecordFault)  # connections given up, for what came on them
        self.refused = 0  # calls not started: too many in flight
        self.malformed = [0] * len(MessageReason)

    def by_name(self) -> dict[str, int]:
        """Counters that are not 0, by name."""
        found = {name: getattr(self, name) for name in _OF_CLIENTS}
        found |= {f"replies_{status.name.lower()}": self.replies[status] for status in Status}
        found |= {f"malformed_{why.name.lower()}": self.malformed[why] for why in MessageReason}
        found |= {f"fault_{why.name.lower()}": self.faults[why] for why in RecordFault}
        return {name: count for name, count in found.items() if count}


# (of what is compiled, __slots__ cannot be read)
_OF_POOL: Final = ("calls", "failed", "failed_over", "hedged", "hedges_won", "over_budget")


class PoolStats:
    """The counters of one pool."""

    __slots__ = ("calls", "failed", "failed_over", "hedged", "hedges_won", "over_budget")

    def __init__(self) -> None:
        self.calls = 0
        self.failed = 0  # with whatever error
        self.failed_over = 0  # calls made again elsewhere, after a failure
        self.hedged = 0  # calls made a second time, as the reply was late
        self.hedges_won = 0  # of them were answered first
        self.over_budget = 0  # calls not made a second time, as too many were

    def by_name(self) -> dict[str, int]:
        """Counters that are not 0, by name."""
        return {name: count for name in _OF_POOL if (count := getattr(self, name))}
