"""What can come of a question, of a name in text, and of bytes from the network.

Callers of a resolver see NXDOMAIN, NoData, ServFail or Timeout (and Bogus, once answers are validated): each is a
DnsError, thus an OSError, and says in one sentence what was asked, of whom, and why each of them was of no use.
BadName, BadRdata and BadType (`stack.dns.constants`) are mistakes of the caller.  FormError is what a peer got wrong;
it stays within: who parses a message counts its `reason` and drops the message.
"""

import errno
from collections.abc import Iterable
from enum import IntEnum, unique
from typing import TYPE_CHECKING, Final, NamedTuple

from stack.dns.constants import ede_text
from stack.errors import StackError

if TYPE_CHECKING:
    from stack.dns.rrset import Question, RRset


MAX_TOLD: Final = 6  # servers in the text of an error


class BadName(StackError, ValueError):
    """A text that is no domain name; the message says what is wrong with it (EINVAL)."""

    code = errno.EINVAL


class BadRdata(StackError, ValueError):
    """A value that a record of this type cannot hold; the message says which (EINVAL)."""

    code = errno.EINVAL


class ZoneError(StackError, ValueError):
    """A zone that cannot be served as it is written; the message says where, like "example.zone:12" (EINVAL)."""

    code = errno.EINVAL


@unique
class FormReason(IntEnum):
    """Why a message was refused, for counting."""

    SHORT = 0  # it ends within its header, a question or a record
    COUNTS = 1  # more records are announced than its length can hold
    QUESTIONS = 2  # more than one question
    BAD_LABEL = 3  # the first two bits of a label's length are 01 or 10
    POINTER = 4  # a compression pointer to itself, forward, into the header or along a chain too long
    NAME_TOO_LONG = 5  # more than 255 octets
    COMPRESSED = 6  # compression where RFC 3597 §4 forbids it
    RDLENGTH = 7  # the record's data reach past the end of the message
    RDATA = 8  # the record's data are not what its type demands
    OPT_TWICE = 9  # RFC 6891 §6.1.1
    OPT_MISPLACED = 10  # an OPT record outside the additional section
    OPT_OWNER = 11  # an OPT record whose name is not the root
    OPTION = 12  # an EDNS option with a wrong length
    TSIG = 13  # RFC 8945 §5.1: twice, or not the last record
    TRAILING = 14  # bytes after the last record


class FormError(ValueError):
    """A peer's message (or record) that breaks the format; `reason` says how, for counting."""

    def __init__(self, reason: FormReason, detail: str = "") -> None:
        super().__init__(f"{reason.name.lower()}: {detail}" if detail else reason.name.lower())
        self.reason = reason


class Ede(NamedTuple):
    """An extended error (RFC 8914): why a server says what it says."""

    code: int
    text: str = ""

    def __str__(self) -> str:
        return f"{ede_text(self.code)} ({self.text})" if self.text else ede_text(self.code)


class Try(NamedTuple):
    """One server that was asked, and what came of it, like ("10.53.0.3", "no answer within 376 ms").

    The server is named with its port if that is not 53: "10.53.0.3#5353".
    """

    server: str
    why: str

    def __str__(self) -> str:
        return f"{self.server}: {self.why}"


def told(tries: Iterable[Try]) -> list[str]:
    """What each of the servers did, the last of it, those asked last at the end; for a sentence."""
    last: dict[str, list[str]] = {}
    for tried in tries:
        last[tried.server] = [*last.pop(tried.server, []), tried.why]
    texts = [
        f"{server}: {whys[-1]}" + (f" (the last of {len(whys)} tries)" if len(whys) > 1 else "")
        for server, whys in last.items()
    ]
    left_out = len(texts) - MAX_TOLD
    return [f"{left_out} more servers", *texts[left_out:]] if left_out > 0 else texts


class DnsError(StackError):
    """No answer to `question`; `tries` are the servers asked, in order, and why each failed; `ede` what they said.

    `temporary`: to ask again later may help (`loop.getaddrinfo` says EAI_AGAIN then).
    """

    code = errno.EIO
    temporary = True
    sentence = "{name} {type} was not answered"
    soa: "RRset | None" = None  # of a negative answer: the zone's, with the time for which it may be kept (RFC 2308 §3)
    chain: "tuple[RRset, ...]" = ()  # the aliases between the question's name and the one that the answer is about

    def __init__(
        self,
        question: "Question",
        tries: Iterable[Try] = (),
        *,
        ede: Ede | None = None,
        because: str = "",
        code: int | None = None,
    ) -> None:
        self.question = question
        self.tries = tuple(tries)
        self.ede = ede
        name, rrtype = str(question.name), question.type_text
        text = self.sentence.format(name=name, type=rrtype)
        reasons = [because] if because else told(self.tries)
        if ede is not None:
            reasons.append(str(ede))
        super().__init__(f"{text} ({'; '.join(reasons)})" if reasons else text, code)


class NXDOMAIN(DnsError):
    """The name does not exist (ENOENT)."""

    code = errno.ENOENT
    temporary = False
    sentence = "{name} does not exist"


class NoData(DnsError):
    """The name exists, but has no record of this type (ENODATA)."""

    code = errno.ENODATA
    temporary = False
    sentence = "{name} has no {type} record"


class ServFail(DnsError):
    """Servers answered, or could not be reached, but nothing of use came of it (EIO)."""

    sentence = "no server could answer {name} {type}"


class Timeout(DnsError, TimeoutError):
    """Nobody answered in time, or the question's own time was up while somebody was still waited for (ETIMEDOUT)."""

    code = errno.ETIMEDOUT
    sentence = "no answer to {name} {type} came in time"


class ResolverClosed(DnsError):
    """The resolver was closed while it had the question in hand (ECANCELED), or before it was asked (EBADF)."""

    code = errno.ECANCELED
    sentence = "the resolver was closed before it answered {name} {type}"


class Bogus(DnsError):
    """The answer fails validation (EBADMSG)."""

    code = errno.EBADMSG
    sentence = "the answer to {name} {type} is not to be trusted"
