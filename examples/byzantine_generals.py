"""Byzantine generals: one traitor among three makes the loyal ones act differently, one among four cannot.

A commander sends an order to his lieutenants.  All loyal lieutenants shall do the same, and if the commander is loyal,
what he has ordered.  Letters arrive, and who gets one knows who brought it ("oral messages"); but a traitor may write
whatever he likes, something else to each, or nothing.

The lieutenants follow OM(1) of L. Lamport, R. Shostak, M. Pease: The Byzantine Generals Problem, ACM TOPLAS 4(3), 1982:
each tells the others what he was ordered, and does what most of his letters say; no letter is a retreat, and so is a
tie.  Here each general is a host of a simulated network with a mailbox, and a traitor tries everything there is:

    python examples/byzantine_generals.py
"""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import stack.sim
from stack import rpc
from stack.sim import VirtualHost, VirtualNet

PORT = 5000
ATTACK, RETREAT, NOTHING = "attack", "retreat", ""
ORDERS = (ATTACK, RETREAT)
LETTERS = (ATTACK, RETREAT, NOTHING)  # what a traitor may send
ROUND_S = 1.0  # in which letters arrive

Letters = Mapping[str, str]  # by receiver


class War(NamedTuple):
    """What a traitor does: `letters` to each of those he writes to; and what the commander orders, if he is loyal."""

    generals: tuple[str, ...]  # the commander first
    traitor: str
    order: str
    letters: Letters


class Told(NamedTuple):
    """A lieutenant: the order that reached him, what the others say theirs was, and what he does."""

    order: str
    said: dict[str, str]
    action: str


class General:
    """A general at his host."""

    def __init__(self, host: VirtualHost, war: War, hosts: list[VirtualHost]) -> None:
        self.host = host
        self.war = war
        self.name_of = {host.address: host.name for host in hosts}
        self.lieutenants = [name for name in war.generals[1:] if name != host.name]

    async def fight(self) -> Told | None:
        """What a lieutenant has heard, and does; None of the commander."""
        async with await rpc.mailbox(host=self.host, udp=PORT) as box:
            if self.host.name == self.war.generals[0]:
                await self.write(box, dict.fromkeys(self.lieutenants, self.war.order))
                await asyncio.sleep(2 * ROUND_S)
                return None
            order = (await self.read(box)).get(self.war.generals[0], NOTHING)
            await self.write(box, dict.fromkeys(self.lieutenants, order))
            said = await self.read(box)
            votes = Counter([order, *(said.get(name, NOTHING) for name in self.lieutenants)])
            action = ATTACK if votes[ATTACK] > votes[RETREAT] + votes[NOTHING] else RETREAT
            return Told(order, said, action)

    async def write(self, box: rpc.Mailbox, letters: Letters) -> None:
        """Send these letters; a traitor has his own."""
        await asyncio.sleep(ROUND_S / 10)  # all others listen by then
        if self.host.name == self.war.traitor:
            letters = self.war.letters
        for name, text in letters.items():
            if text:
                await box.send(text.encode(), await box.connect("udp", name, PORT))

    async def read(self, box: rpc.Mailbox) -> dict[str, str]:
        """The letters of a round, by sender."""
        letters = {}
        try:
            async with asyncio.timeout(ROUND_S):
                while True:
                    letter = await box.receive()
                    letters[self.name_of[letter.sender.source[0]]] = letter.message.decode()
        except TimeoutError:
            return letters


def fight(war: War) -> dict[str, Told]:
    """What the loyal lieutenants have heard, and what they do."""

    async def main(net: VirtualNet) -> dict[str, Told]:
        hosts = net.add_hosts(*war.generals)
        tasks = [host.spawn(General(host, war, hosts).fight()) for host in hosts]
        told = dict(zip(war.generals, await asyncio.gather(*tasks), strict=True))
        return {name: one for name, one in told.items() if one is not None and name != war.traitor}

    return stack.sim.run(main, seed=1, invariants=False)


def wars(count: int) -> Iterator[War]:
    """Everything that one traitor among so many generals can do."""
    generals = ("commander", *"ABC"[: count - 1])
    for traitor in generals:
        readers = [name for name in generals[1:] if name != traitor]
        for order in ORDERS if traitor != generals[0] else (NOTHING,):
            for letters in itertools.product(LETTERS, repeat=len(readers)):
                yield War(generals, traitor, order, dict(zip(readers, letters, strict=True)))


def objection(war: War, told: dict[str, Told]) -> str:
    """What the loyal ones have done wrong; "" for nothing."""
    actions = {one.action for one in told.values()}
    if len(actions) > 1:
        return "the loyal lieutenants do not do the same"
    if war.traitor != war.generals[0] and actions != {war.order}:
        return "the loyal lieutenants do not do what their loyal commander has ordered"
    return ""


def rules_for_three() -> tuple[int, int]:
    """How many pairs of rules there are for two lieutenants, and how many stand a traitor.

    A rule says what to do for an order and what the other one says his was.  None does: a lieutenant hears the same
    from a lying commander as from a lying comrade.
    """
    heard = list(itertools.product(ORDERS, repeat=2))
    rules = [dict(zip(heard, actions, strict=True)) for actions in itertools.product(ORDERS, repeat=len(heard))]

    def stands(a: Mapping[tuple[str, str], str], b: Mapping[tuple[str, str], str]) -> bool:
        commander_lies = all(a[x, y] == b[y, x] for x, y in heard)
        a_lies = all(b[order, lie] == order for order, lie in heard)
        b_lies = all(a[order, lie] == order for order, lie in heard)
        return commander_lies and a_lies and b_lies

    pairs = list(itertools.product(rules, repeat=2))
    return len(pairs), sum(stands(a, b) for a, b in pairs)


def describe(war: War, told: dict[str, Told]) -> Iterator[str]:
    """A war in a few lines."""
    letters = ", ".join(f"{text or 'nothing'} to {name}" for name, text in war.letters.items())
    yield f"   {war.traitor} is the traitor, and sends {letters}"
    for name, one in told.items():
        said = ", ".join(f"{other} says {text}" for other, text in one.said.items()) or "nobody says anything"
        yield f"   {name} is ordered: {one.order or 'nothing'}; {said}; he does: {one.action}"


def main() -> int:
    """Three generals, then four."""
    left = {}
    for count in (3, 4):
        fought = [(war, fight(war)) for war in wars(count)]
        wrong = [(war, told, why) for war, told in fought if (why := objection(war, told))]
        print(f"{count} generals: {len(fought)} things that a traitor can do; {len(wrong)} make the loyal ones fail")
        for war, told, why in wrong[:1]:
            print(*describe(war, told), f"   {why}: {war.order}", sep="\n")
        left[count] = len(wrong)
    pairs, good = rules_for_three()
    print(f"No other rule helps three: of {pairs} pairs of rules for two lieutenants {good} stand a traitor")
    return 0 if left[3] and not left[4] and not good else 1


if __name__ == "__main__":
    sys.exit(main())
