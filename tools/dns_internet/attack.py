"""Kaminsky's attack (2008) on the resolver of a simulation.

The attacker can make the resolver ask for names that he chooses, as anybody behind it can, and can send packets with
any source address.  He knows the zone, its servers, when a question leaves and for whom: all but what is random.  So he
asks for names that do not exist, each a new race that needs no waiting for a TTL; in each he sends as many forged
answers as fit before the true one, and in them not only the name asked for but what he is after: www of the zone, its
name servers, and their addresses.  A lucky one is enough.

What is random he finds out first: he asks for names of a zone of his own, where he sees the ports, ids and letters that
the resolver uses.  A port that does not change he knows, ids that are counted up he knows but for a few; all else he
guesses.  The names he asks for are digits, so that few letters can be spelt at random.

Two questions can be answered of him: whether a client was ever given his address for a name of the zone ("believed"),
and whether he got www, so that whoever asks comes to him ("captured").
"""

import random
import struct
from dataclasses import dataclass
from typing import Final

from stack.config import SECOND
from stack.dns.constants import RRType
from stack.dns.core.actions import SendUdp
from stack.dns.core.answer import Answer
from stack.dns.names import Name
from tools.dns_internet.simulation import PORTS, Simulation
from tools.dns_internet.world import SimServer, SimZone

EVIL: Final = bytes((66, 6, 6, 6))
EVIL_TEXT: Final = "66.6.6.6"
PER_RACE: Final = 2_000  # forged answers between a question and its answer: 100 Mbit/s for 20 ms
AHEAD: Final = 8  # ids that are counted up are this far at most when the race begins
TTL: Final = 86_400
QR_AA: Final = 0x8400
CHECKS: Final = 3  # of www, at the cost of waiting until the true one has expired


@dataclass(slots=True)
class Verdict:
    """How an attack ended."""

    forged: int = 0
    races: int = 0
    delivered: int = 0  # forged answers that came to a port that was open for the server they claim to be from
    believed: int = 0  # races after which a client was given the attacker's address, for a name that he chose
    first_after: int = 0  # forged answers until the first of these
    captured: bool = False  # the same for www of the zone: whoever asks is his


@dataclass(frozen=True, slots=True)
class Seen:
    """A question of the resolver as the attacker's own server sees it."""

    port: int
    message_id: int
    name: bytes


class Attacker:
    """One attack on `victim`, by the owner of the zone `own`.  `at_once`: how often he asks for each name."""

    # fmt: off
    __slots__ = (
        "_asked", "_at_once", "_is_ready", "_net", "_own_servers", "_own_zone", "_rng", "_seen", "_victim", "_victims",
        "verdict",
    )
    # fmt: on

    def __init__(self, net: Simulation, victim: SimZone, own: SimZone, *, seed: int = 1, at_once: int = 1) -> None:
        self._net = net
        self._victim, self._own_zone = Name.parse(victim.name), own.name
        self._victims = {address for _, address in victim.servers}
        self._own_servers = {address for _, address in own.servers}
        self._rng = random.Random(f"attacker {seed}")
        self._at_once = at_once
        self._asked = self._victim  # for the race that is on
        self._is_ready = False  # to forge: one burst for each name, however often it is asked
        self._seen: list[Seen] = []
        self.verdict = Verdict()
        net.on_send = self._on_send
        # where those come who believe him
        fake = SimZone(
            victim.name, [(f"ns66.{victim.name}", EVIL_TEXT)], glue=True, records=[f"* A {EVIL_TEXT}"], ttl=TTL
        )
        net.world.servers[EVIL_TEXT] = SimServer(EVIL_TEXT, net.world.servers[victim.servers[0][1]].sites, zones=[fake])

    def run(self, packets: int) -> Verdict:
        """Attack until www is his, or with that many forged answers."""
        www, verdict = self._victim.child(b"www"), self.verdict
        # as it is with a name that is worth it: the true address is in the cache, and cannot be raced for
        self._ask(www)
        while verdict.forged < packets and not verdict.captured:
            for look in range(2):
                self._ask(Name.parse(f"{look}{verdict.races}.{self._own_zone}"))
            verdict.races += 1
            if not self._ask(self._victim.child(b"%05d" % verdict.races), self._at_once):
                continue
            verdict.believed += 1
            verdict.first_after = verdict.first_after or verdict.forged
            verdict.captured = self._ask(www)
            if not verdict.captured and verdict.believed <= CHECKS:
                self._net.run_to(self._net.now + TTL * SECOND)
                verdict.captured = self._ask(www)
        return verdict

    def _ask(self, name: Name, times: int = 1) -> bool:
        """As a client of the resolver: whether the answer is the attacker's address."""
        self._asked, self._is_ready = name, True
        outcomes = [self._net.ask(name, RRType.A) for _ in range(times)]
        self._net.run(lambda: all(outcome.result is not None for outcome in outcomes))
        return any(
            isinstance(outcome.result, Answer) and EVIL_TEXT in map(str, outcome.result.rrset.rdatas)
            for outcome in outcomes
        )

    def _on_send(self, sent: SendUdp, port: int) -> None:
        """The resolver asks somebody something.  To his own servers he sees all, else only that and whom."""
        if sent.server[0] in self._own_servers:
            name = sent.wire[12 : sent.wire.index(0, 12) + 1]
            self._seen = [*self._seen[-1:], Seen(port, int.from_bytes(sent.wire[:2], "big"), name)]
        elif sent.server[0] in self._victims and len(self._seen) == 2 and self._is_ready:
            self._is_ready = False
            self._net.at(self._net.now + 1, lambda: self._forge(sent))

    def _forge(self, sent: SendUdp) -> None:
        """A burst of answers, all there before the true one."""
        net, rng, verdict = self._net, self._rng, self.verdict
        before, latest = self._seen
        known_port = latest.port if before.port == latest.port else 0
        counted = 0 < (latest.message_id - before.message_id) & 0xFFFF <= AHEAD
        tail = self._answer(plain=latest.name == latest.name.lower())
        for _ in range(PER_RACE):
            port = known_port or rng.choice(PORTS)
            guess = (latest.message_id + rng.randrange(1, AHEAD) if counted else rng.getrandbits(16)) & 0xFFFF
            verdict.forged += 1
            if port in net.ports:
                verdict.delivered += net.deliver(port, sent.server, guess.to_bytes(2, "big") + tail)

    def _answer(self, *, plain: bool) -> bytes:
        """All of a forged answer but its id; the letters are a guess, unless the resolver leaves them as they are."""
        asked, victim = self._asked, self._victim
        bits = bytes(len(asked)) if plain else self._rng.randbytes(len(asked))
        spelt = bytes(c ^ (b & 0x20) if 65 <= c & 0xDF <= 90 else c for c, b in zip(asked, bits, strict=True))
        www, server = victim.child(b"www"), victim.child(b"ns66")
        if self.verdict.races % 2:  # an address, or an alias of what he is after with that one's address
            answers = [record(asked, RRType.A, EVIL)]
        else:
            answers = [record(asked, RRType.CNAME, www), record(www, RRType.A, EVIL)]
        rest = record(victim, RRType.NS, server) + record(server, RRType.A, EVIL) + record(www, RRType.A, EVIL)
        head = struct.pack("!5H", QR_AA, 1, len(answers), 1, 2)
        return head + spelt + struct.pack("!2H", RRType.A, 1) + b"".join(answers) + rest


def record(owner: bytes, rrtype: int, rdata: bytes) -> bytes:
    """One record on the wire."""
    return owner + struct.pack("!2HIH", rrtype, 1, TTL, len(rdata)) + rdata
