"""Two-phase commit on a network and disks that are only thought of: thousands of histories in a minute.

Members are the machines of stack.commit over a heap of events: what they send is encoded, and is lost, doubled, late
or held up by a partition; members crash in the middle of what they do to their disks, and are started again.  A Watch
sees what each store has done for good.  At the end all is well again, and `check` asks whether promises were kept.
"""

import heapq
from contextlib import suppress
from random import Random

from stack.commit import protocol
from stack.commit.coordinator import Coordinator
from stack.commit.errors import CommitError, CorruptLog
from stack.commit.ledger import Ledger, entries
from stack.commit.log import Log
from stack.commit.participant import Participant
from stack.commit.states import State
from stack.commit.transactions import Ask, Timing
from stack.config import NEVER, SECOND
from tests.support.commit_disk import Crash, SimDisk

ACCOUNTS = ("a", "b", "c")
CALL_US = 2 * SECOND  # after which an answer is not waited for
TIMING = Timing(vote_us=SECOND, again_us=SECOND // 5, longest_us=3 * SECOND)
PROCEDURES = {procedure.name: procedure for procedure in protocol.COMMIT_V1.procedures.values()}


class Violation(AssertionError):
    """A promise was broken."""


class Watch:
    """What happened for good, and whether it can all be true."""

    def __init__(self):
        self.outcome = {}  # by transaction
        self.work = {}  # by transaction and member
        self.members = {}
        self.acknowledged = set()
        self.commits = set()
        self.violations = []

    def on_promise(self, name, promise):
        own = {entry.account: entry.amount for entry in protocol.xdr_entries.decode(promise.intent.work)}
        self.work.setdefault(promise.transaction, {})[name] = own
        self.members[promise.transaction] = promise.intent.members

    def on_end(self, name, transaction, committed):
        known = self.outcome.setdefault(transaction, committed)
        if known != committed:
            self.violations.append(f"{transaction} is committed by one, and aborted by another: {name}")
        if committed:
            if (name, transaction) in self.commits:
                self.violations.append(f"{name} has committed {transaction} twice")
            self.commits.add((name, transaction))

    def at_the_end(self, ledgers):
        for transaction in sorted(self.acknowledged):
            for name in self.members[transaction]:
                if transaction not in ledgers[name].done:
                    self.violations.append(f"{transaction} is acknowledged, and {name} has not committed it")
        for name, ledger in ledgers.items():
            expected = dict.fromkeys(ACCOUNTS, 0)
            for transaction, committed in self.outcome.items():
                for account, amount in self.work[transaction].get(name, {}).items() if committed else ():
                    expected[account] += amount
            if {account: ledger.balance(account) for account in ACCOUNTS} != expected:
                self.violations.append(f"{name} has {ledger.balances}, and should have {expected}")


class WatchedLedger(Ledger):
    """Tells what it has done.  `hasty`: the disk does not flush promises (the control)."""

    def __init__(self, disk, name, rng, watch, *, hasty=False):
        self.name, self.disk, self.watch, self.hasty = name, disk, watch, hasty
        super().__init__(disk, "log", name, rng.randbytes, checkpoint=500)
        for transaction in self.done:  # also what a crash has kept this from telling
            if (name, transaction) not in watch.commits:
                watch.on_end(name, transaction, True)

    def prepare(self, promise):
        self.disk.lies = self.hasty
        self.watch.on_promise(self.name, promise)
        try:
            super().prepare(promise)
        finally:
            self.disk.lies = False

    def commit(self, promise):
        super().commit(promise)
        self.watch.on_end(self.name, promise.transaction, True)

    def abort(self, promise, *, for_good=False):
        super().abort(promise, for_good=for_good)
        self.watch.on_end(self.name, promise.transaction, False)


class HastyCoordinator(Coordinator):
    """Does not flush decisions (the control); its numbers it does."""

    def _commit(self, found, now):
        self.disk.lies = True
        try:
            super()._commit(found, now)
        finally:
            self.disk.lies = False


class Member:
    """A place in the network, whose machine is another one after each start."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.rng = Random(f"{world.seed}/{name}")
        self.disk = SimDisk(self.rng, self.on_step)
        if world.hasty == "names":
            self.disk.flush_names = lambda: None
        self.lives = 0
        self.machine = None
        self.steps = 0  # of the disk
        self.wake_at = NEVER

    def on_step(self, what, is_before):
        self.steps += 1
        if self.world.may_crash(self):
            raise Crash

    def run(self, function, *args):
        """Have the machine do something; the result, None if it crashed meanwhile."""
        if self.machine is None:
            return None
        try:
            result = function(*args)
        except Crash:
            self.crash()
            return None
        self.flush()
        return result

    def flush(self):
        machine, world = self.machine, self.world
        out, machine.outbox = machine.outbox, []
        for send in out:
            world.send(self, send)
        at = machine.deadline()
        if at < self.wake_at:
            self.wake_at = at
            world.at(max(at, world.now), self.on_wake, self.lives)

    def on_wake(self, life):
        if life == self.lives and self.machine is not None:
            self.wake_at = NEVER
            self.run(self.machine.tick, self.world.now)

    def crash(self, *, power=True):
        """With power, the process alone ends: the system still knows what it was given to write."""
        self.machine = None
        self.lives += 1
        self.wake_at = NEVER
        self.world.crashes += 1
        if power:
            self.disk.crash()
        self.world.at(self.world.now + self.rng.randrange(3 * SECOND), self.start, self.lives)

    def start(self, life):
        if life != self.lives:
            return
        self.disk.breaks = False
        try:
            self.machine = self.make()
        except Crash:
            self.crash()
        except CorruptLog as error:
            self.world.watch.violations.append(str(error))
        except CommitError:
            if self.disk.free is None:
                raise
            self.crash()  # it is full: it is tried again
        else:
            self.flush()


class Teller(Member):
    """A coordinator, and those who want something of it."""

    def make(self):
        world = self.world
        log = Log.open(self.disk, "log", owner=self.name, fresh=self.rng.randbytes)
        made = HastyCoordinator if world.hasty == "decision" else Coordinator
        made.disk = self.disk
        return made(self.name, log, world.banks, world.now, lambda: world.now, TIMING, checkpoint=500)

    def flush(self):
        for found in self.machine.changed:
            if found.state is State.COMMITTED:
                self.world.watch.acknowledged.add(found.transaction)
        self.machine.changed = []
        super().flush()

    def want(self):
        """A transfer, or money from outside."""
        if self.machine is None or self.machine.failed:
            return
        names = self.rng.sample(sorted(self.world.banks), 2)
        accounts, amount = self.rng.choices(ACCOUNTS, k=2), self.rng.randrange(1, 20)
        sign = self.rng.choice((1, -1))
        work = {names[0]: {accounts[0]: sign * amount}, names[1]: {accounts[1]: amount}}
        self.run(self.begin, work)

    def begin(self, work):
        with suppress(CommitError):  # the disk is full
            self.machine.begin({name: entries(own) for name, own in work.items()}, self.world.now)

    def receive(self, ask, what):
        assert ask is Ask.OUTCOME
        return self.machine.outcome(what)

    def on_reply(self, send, answered):
        now = self.world.now
        if send.ask is Ask.PREPARE:
            self.machine.on_vote(send.transaction, send.to, answered, now)
        else:
            self.machine.on_receipt(send.transaction, send.to, answered)


class Bank(Member):
    """A participant."""

    def make(self):
        world = self.world
        hasty = world.hasty == "vote"
        self.ledger = WatchedLedger(self.disk, self.name, self.rng, world.watch, hasty=hasty)
        return Participant(self.name, self.ledger, world.members, world.now, lambda: world.now, TIMING)

    def receive(self, ask, what):
        if ask is Ask.PREPARE:
            return self.machine.on_prepare(what, self.world.now)
        if ask is Ask.DECIDE:
            return self.machine.on_decide(what)
        return self.machine.outcome(what)

    def on_reply(self, send, answered):
        self.machine.on_answer(send.transaction, send.to, answered)


class World:
    """One history, from its seed."""

    def __init__(self, seed, *, hasty="", tellers=2, banks=3, transfers=30, trouble_us=12 * SECOND):
        self.seed, self.hasty = seed, hasty
        self.rng = Random(seed)
        self.now = 0
        self.count = 0
        self.crashes = 0
        self.delivered = 0
        self.heap = []
        self.watch = Watch()
        self.cut = set()  # pairs of names that hear nothing of each other
        self.is_well = False
        self.crash_rate = self.rng.choice((0, 0.002, 0.01, 0.03))
        self.loss = self.rng.choice((0, 0.02, 0.1))
        self.members = {f"t{n}": Teller(self, f"t{n}") for n in range(tellers)}
        self.banks = {f"b{n}": Bank(self, f"b{n}") for n in range(banks)}
        self.members |= self.banks
        for member in self.members.values():
            self.at(0, member.start, 0)
        for _ in range(transfers):
            teller = self.members[f"t{self.rng.randrange(tellers)}"]
            self.at(self.rng.randrange(trouble_us), teller.want)
        for _ in range(self.rng.randrange(12)):
            self.at(self.rng.randrange(trouble_us), self.trouble)
        self.at(trouble_us, self.heal)

    def run(self):
        """The whole of it.  Raises Violation."""
        while self.heap:
            self.now, _, function, args = heapq.heappop(self.heap)
            function(*args)
            if self.watch.violations:
                break
            if self.now > 300 * SECOND:
                self.watch.violations.append(f"no end: {self.unfinished()}")
                break
        else:
            if left := self.unfinished():
                self.watch.violations.append(f"never ended: {left}")
            self.watch.at_the_end({name: bank.ledger for name, bank in self.banks.items()})
        if self.watch.violations:
            raise Violation(f"seed {self.seed}: {self.watch.violations[0]}")
        return self

    def unfinished(self):
        return [
            (m.name, m.machine and m.machine.status())
            for m in self.members.values()
            if not m.machine or m.machine.status()
        ]

    def at(self, when, function, *args):
        self.count += 1
        heapq.heappush(self.heap, (when, self.count, function, args))

    # -- trouble

    def may_crash(self, member):
        return not self.is_well and self.rng.random() < self.crash_rate

    def trouble(self):
        rng = self.rng
        kind = rng.choice(["cut", "cut", "one way", "crash", "crash", "end", "full", "breaks"])
        chosen = rng.sample(sorted(self.members), rng.randint(1, len(self.members) - 1))
        if kind in {"cut", "one way"}:
            for one in chosen:
                for other in self.members.keys() - set(chosen):
                    self.cut.add((one, other))
                    if kind == "cut":
                        self.cut.add((other, one))
            self.at(self.now + rng.randrange(4 * SECOND), self.cut.clear)
        for name in chosen:
            member = self.members[name]
            if kind in {"crash", "end"} and member.machine is not None:
                member.crash(power=kind == "crash")
            elif kind == "full":
                member.disk.free = rng.randrange(300)
            elif kind == "breaks":
                member.disk.breaks = True
                self.at(self.now + rng.randrange(4 * SECOND), self.mend, member, rng.random() < 0.5)

    def mend(self, member, power):
        """Who notices that a disk has failed starts the member again."""
        member.disk.breaks = False
        if member.machine is not None and member.machine.failed:
            member.crash(power=power)

    def heal(self):
        self.is_well = True
        self.cut.clear()
        self.loss = 0
        for member in self.members.values():
            member.disk.free = None
            self.mend(member, power=True)

    # -- messages

    def delay_us(self):
        slow = self.rng.random() < 0.05 and not self.is_well
        return self.rng.randrange(20 * SECOND if slow else SECOND // 20)

    def post(self, one, other, function, *args):
        if (one, other) in self.cut or self.rng.random() < self.loss:
            return
        self.at(self.now + self.delay_us(), function, *args)
        if not self.is_well and self.rng.random() < 0.1:
            self.at(self.now + self.delay_us(), function, *args)

    def send(self, sender, send):
        procedure = PROCEDURES[send.ask.value]
        data = procedure.encode_args((send.what,))
        self.post(sender.name, send.to, self.arrive, sender, sender.lives, send, procedure, data, self.now + CALL_US)

    def arrive(self, sender, life, send, procedure, data, until):
        receiver = self.members[send.to]
        self.delivered += 1
        (what,) = procedure.decode_args(data)
        answered = receiver.run(receiver.receive, send.ask, what)
        if answered is not None:
            reply = procedure.encode_result(answered)
            self.post(send.to, sender.name, self.reply, sender, life, send, procedure, reply, until)

    def reply(self, sender, life, send, procedure, data, until):
        if sender.lives == life and self.now < until:
            sender.run(sender.on_reply, send, procedure.decode_result(data))


class Once(World):
    """One transaction between all, without trouble but for some crashes: of a member, at that step of its disk."""

    def __init__(self, seed, *crashes):
        super().__init__(seed, tellers=1, transfers=0, trouble_us=10 * SECOND)
        self.fatal = set(crashes)
        self.loss = 0
        self.heap = [event for event in self.heap if event[2].__name__ in {"start", "heal"}]
        heapq.heapify(self.heap)
        self.at(5 * SECOND, self.begin)

    def begin(self):
        teller = self.members["t0"]
        if teller.machine is not None:
            teller.run(teller.begin, {name: {"a": 1} for name in self.banks})

    def may_crash(self, member):
        return (member.name, member.steps) in self.fatal

    def delay_us(self):
        return SECOND // 1000
