"""Every step of a resolution, for people: as text, as a picture (`stack.dns.picture`), as JSON.

Pure functions of what the core noted.  An Explanation holds plain values only, so that one that was made elsewhere (by
the daemon) can be shown here.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from textwrap import wrap
from typing import Any, Final

from stack.dns.constants import type_text
from stack.dns.core.answer import Answer, Step
from stack.dns.core.config import server_text
from stack.dns.errors import DnsError
from stack.dns.names import Name

WIDTH: Final = 80
MIN_WIDTH: Final = 40
MAX_WHY: Final = 400  # characters of a reason
MAX_RECORDS: Final = 12  # at the end of the tree
_TIME: Final = 10  # columns


@dataclass(frozen=True, slots=True)
class Hop:
    """One step: a server was asked, or something was known without."""

    depth: int  # 0: for the question; deeper: for the address of a server
    server: str  # "" when no server was asked
    zone: str  # whose server it is, "" if that is of no account
    name: str
    rrtype: str
    verdict: str
    why: str
    rtt_us: int
    tcp: bool

    @property
    def question(self) -> str:
        """Like "www.example.test. A"."""
        return f"{self.name} {self.rrtype}"

    @property
    def outcome(self) -> str:
        """The verdict and what there is to say about it."""
        return f"{self.verdict}: {self.why}" if self.why else self.verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a question was answered, or why it was not."""

    name: str
    rrtype: str
    hops: tuple[Hop, ...]
    records: tuple[str, ...]  # of the answer, aliases first, as in a zone file
    status: str  # "answer", or the kind of error, like "NXDOMAIN"
    error: str  # its sentence, "" for an answer
    remark: str  # of an answer: where it came from
    took_us: int

    @property
    def question(self) -> str:
        """Like "www.example.test. A"."""
        return f"{self.name} {self.rrtype}"

    def text(self, width: int = WIDTH) -> str:
        """A tree of the steps, in lines of at most `width` characters."""
        return "\n".join(_lines(self, max(width, MIN_WIDTH)))

    def __str__(self) -> str:
        return self.text()

    def svg(self) -> str:
        """A picture: the steps, who was asked what, what came of it, and when."""
        from stack.dns.picture import draw  # noqa: PLC0415  (it imports this module)

        return draw(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Explanation":
        """What `to_json` gave.  Raises KeyError and TypeError for what it did not."""
        given = dict(values)
        hops = tuple(Hop(**hop) for hop in given.pop("hops"))
        return cls(hops=hops, records=tuple(given.pop("records")), **given)


def explain(name: Name, rrtype: int, steps: Iterable[Step], result: Answer | DnsError, took_us: int) -> Explanation:
    """What the core noted, and what came of it."""
    records: list[str] = []
    status, error, remark = "answer", "", ""
    if isinstance(result, DnsError):
        status, error = type(result).__name__, result.strerror or str(result)
    else:
        for rrset in (*result.chain, result.rrset):
            records += str(rrset.with_ttl(min(rrset.ttl, result.ttl))).splitlines()
        remark = answer_remark(result)
    return Explanation(
        str(name), type_text(rrtype), tuple(_hops(steps)), tuple(records), status, error, remark, took_us
    )


def answer_remark(answer: Answer) -> str:
    """Where it came from, and what is to be known about it."""
    words = [f"from {server_text(answer.server)}" if answer.server is not None else "from the hosts file"]
    if answer.stale:
        words.append("stale: older than it should be, since no server answers")
    if answer.ede is not None:
        words.append(str(answer.ede))
    return "; ".join(words)


def _hops(steps: Iterable[Step]) -> list[Hop]:
    """A step without a server that follows one with a server says what its reply meant."""
    hops: list[Hop] = []
    for step in steps:
        why = step.why[:MAX_WHY]
        if step.server is None and hops and hops[-1].server and hops[-1].depth == step.depth:
            last = hops[-1]
            if last.name == str(step.name) and not last.why and step.verdict != "cache":
                meant = f"{step.verdict} {why}".strip() if why != last.verdict else step.verdict
                hops[-1] = replace(last, why=meant)
                continue
        hops.append(
            Hop(
                step.depth,
                server_text(step.server) if step.server is not None else "",
                str(step.zone) if step.zone is not None else "",
                str(step.name),
                type_text(step.rrtype),
                step.verdict,
                why,
                step.rtt_us,
                step.tcp,
            )
        )
    return hops


def duration(us: int) -> str:
    """Like "12.3 ms"."""
    return f"{us / 1000:.1f} ms" if us < 1_000_000 else f"{us / 1_000_000:.2f} s"


# -- text


def _lines(made: Explanation, width: int) -> list[str]:
    lines = [cut(made.question, width)]
    for number, hop in enumerate(made.hops):
        lines += _hop_lines(hop, made.hops[number + 1 :], width)
    lines += [f"└─ {line}" if first else f"   {line}" for first, line in _ending(made, width - 3)]
    return lines


def _hop_lines(hop: Hop, later: tuple[Hop, ...], width: int) -> list[str]:
    """Who was asked and how long it took, then what for and what came of it."""
    trunk = "".join("│  " if _goes_on(depth, later) else "   " for depth in range(hop.depth))
    has_more = _goes_on(hop.depth, later)
    head, tail = trunk + ("├─ " if has_more else "└─ "), trunk + ("│    " if has_more else "     ")
    room = width - len(head) - _TIME
    if hop.server:
        zone = f" ({hop.zone})" if hop.zone else ""
        who = cut(f"{hop.server}{zone}{' by TCP' if hop.tcp else ''}: {hop.question}", room)
        first = f"{head}{who:<{room}}{duration(hop.rtt_us):>{_TIME}}"
    else:
        first = head + cut(f"{hop.question}", room)
    return [first, *(tail + line for line in wrap(hop.outcome, max(width - len(tail), 16)))]


def _goes_on(depth: int, later: tuple[Hop, ...]) -> bool:
    """Whether the line of this depth has more below.  That of the question has its end."""
    if depth == 0:
        return True
    for hop in later:
        if hop.depth <= depth:
            return hop.depth == depth
    return False


def _ending(made: Explanation, width: int) -> list[tuple[bool, str]]:
    if made.error:
        lines = wrap(f"{made.status}: {made.error}", width)
    else:
        lines = [cut(record.replace("\t", " "), width) for record in made.records[:MAX_RECORDS]]
        if len(made.records) > MAX_RECORDS:
            lines.append(f"and {len(made.records) - MAX_RECORDS} more")
    lines += wrap(f"{made.remark}{', ' if made.remark else ''}{duration(made.took_us)} in all", width)
    return [(number == 0, line) for number, line in enumerate(lines)]


def cut(text: str, width: int) -> str:
    """At most `width` characters of it."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"
