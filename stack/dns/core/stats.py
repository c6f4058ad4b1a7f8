"""Counters of a resolver.  Every reply that is refused is counted under its reason."""

from collections import Counter as Tally
from enum import IntEnum, unique


@unique
class Refused(IntEnum):
    """Why something that came from a server was not believed, or not used."""

    # the message: it is ignored, and the true reply waited for
    UNASKED = 0  # no exchange of this number (any more)
    TOO_SHORT = 1
    WRONG_SOURCE = 2
    WRONG_ID = 3
    NOT_A_REPLY = 4  # QR clear, or an opcode that we never send
    WRONG_QUESTION = 5
    WRONG_COOKIE = 6
    # the message: asked again by TCP, which cannot be forged from aside
    WRONG_CASE = 7  # the question came back with other letters
    NO_COOKIE = 8  # of a server that has shown to know them
    MISMATCHES = 9  # too many wrong replies to one question
    # the server: another one is asked
    MALFORMED = 10  # what is wrong with it: `malformed`
    LAME_REFUSED = 11
    LAME_UPWARD = 12  # refers to its own zone or above
    LAME_NOT_AUTHORITATIVE = 13
    SERVER_FAILURE = 14  # SERVFAIL
    BAD_RCODE = 15
    NOT_RECURSIVE = 16  # a forwarder that refers
    # single records
    OUT_OF_BAILIWICK = 17
    GLUE_UNRELATED = 18  # additional records that no server of the delegation needs
    LOCAL_SERVER = 19  # a server's address that nobody outside can have
    NS_UNASKED = 20  # a zone's servers, in an answer to something else
    RANK = 21  # would replace something better founded
    # the question
    ALIAS_LOOP = 22
    ALIAS_LIMIT = 23
    QUOTA = 24
    REFERRAL_LIMIT = 25
    TARGET_LIMIT = 26
    NS_LIMIT = 27  # names of a delegation beyond those looked at
    TARGET_LOOP = 28  # servers whose names need each other
    CLIENT_LIMIT = 29
    BACKGROUND_LIMIT = 30
    STREAM_LIMIT = 31
    # the server, if there is another one: a denial without a SOA, which is believed of two servers or of the only one
    UNRELATED_ANSWER = 32  # the answer is about something else
    NO_SOA = 33  # there is none


@unique
class Count(IntEnum):
    """What happened, counted."""

    QUERIES = 0  # of clients
    CACHE_HITS = 1
    STALE_ANSWERS = 2
    COALESCED = 3  # clients that joined a question in hand
    PREFETCHES = 4
    PROBES = 5
    SENT_UDP = 6
    SENT_TCP = 7
    RECEIVED = 8  # messages that were what was asked for
    TIMEOUTS = 9
    FAILURES = 10  # tries that ended with an ICMP error, a refused connection and the like
    TRUNCATED = 11
    BADCOOKIE = 12
    WITHOUT_EDNS = 13  # servers found to know no EDNS
    CASE_FOLDING = 14  # servers found not to keep the letters of a question
    PRIMED = 15
    ANSWERS = 16
    NXDOMAIN = 17
    NODATA = 18
    SERVFAIL = 19
    CLIENT_TIMEOUTS = 20
    SHARED_EXCHANGES = 21  # questions that were in flight already
    CACHE_EVICTIONS = 22
    FAULTS = 23  # errors within the resolver, or of a validator


class ResolverStats:
    """The counters of one resolver.  `refused[reason]` and `counts[count]` are plain ints."""

    __slots__ = ("counts", "malformed", "refused")

    def __init__(self) -> None:
        self.refused = [0] * len(Refused)
        self.counts = [0] * len(Count)
        self.malformed: Tally[str] = Tally()  # reasons of FormError, of which there are few

    def refused_by_name(self) -> dict[str, int]:
        """Reasons that occurred, by lower-case name; those of what could not be read begin with "malformed_"."""
        reasons = {r.name.lower(): self.refused[r] for r in Refused if self.refused[r] and r is not Refused.MALFORMED}
        return reasons | {f"malformed_{reason}": count for reason, count in self.malformed.items()}

    def counts_by_name(self) -> dict[str, int]:
        """All counters by lower-case name."""
        return {c.name.lower(): self.counts[c] for c in Count}
