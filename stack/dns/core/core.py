"""The resolver's engine: questions of clients in, messages out, answers back.

Theory of operation.  A client's question that the cache, or the hosts table, can answer is finished at once.  All
others become a Task, which runs a generator (stack.dns.core.resolve); clients that ask the same while it runs join it.
A generator yields a Send and rests until the exchange has ended; tasks never wait for one another, only for exchanges,
so they cannot deadlock.

Each client has a deadline of its own.  A task that nobody waits for any more is dropped, unless it runs for the cache's
sake: refreshing what will soon expire (prefetch), or what was just handed out stale.

The core does no input or output and reads no clock.  Call `poll` after each call of another method and do what it says,
and `on_timer` when `deadline` has come.
"""

from collections import deque
from collections.abc import Generator
from typing import Final

from stack.config import SECOND, Rng
from stack.dns.constants import BadType, RRType, type_text
from stack.dns.core.actions import Action, Finished
from stack.dns.core.answer import Answer, Failure, Step
from stack.dns.core.cache import NODATA, POSITIVE, Cache, Entry
from stack.dns.core.config import ResolverConfig, Server, server_text
from stack.dns.core.context import Context, Validator
from stack.dns.core.deadlines import Deadlines
from stack.dns.core.exchanges import Exchange, Exchanges, Result, Send
from stack.dns.core.local import LocalNames
from stack.dns.core.resolve import FRESH, STALE, Resolution, Trail
from stack.dns.core.servers import Servers
from stack.dns.core.stats import Count, Refused, ResolverStats
from stack.dns.core.work import ResolutionFailed, Work
from stack.dns.errors import NXDOMAIN, DnsError, NoData, ResolverClosed, ServFail, Timeout, Try, told
from stack.dns.names import ROOT, Name
from stack.dns.rrset import Question

# RFC 6895 §3.1: types that no question of a resolver has
# RFC 8482 §4: what is got for ANY is what a server pleases, and cannot be told from all there is
_NOT_ASKED: Final = frozenset((0, RRType.OPT, RRType.TKEY, RRType.TSIG, RRType.IXFR, RRType.AXFR, RRType.ANY))

_ANY: Final = int(RRType.ANY)
_QUERIES: Final = int(Count.QUERIES)  # a plain int indexes a list faster than an IntEnum
_CACHE_HITS: Final = int(Count.CACHE_HITS)
_ANSWERS: Final = int(Count.ANSWERS)

MAX_FAULTS: Final = 16

TaskKey = tuple[bytes, int, bool]


class Client:
    """Somebody who waits."""

    __slots__ = ("deadline_at", "handle", "name", "task", "timer")

    task: "Task"

    def __init__(self, handle: int, name: Name, deadline_at: int) -> None:
        self.handle = handle
        self.name = name
        self.deadline_at = deadline_at
        self.timer = 0


class Task:
    """A question being resolved."""

    __slots__ = ("background", "clients", "exchange", "generator", "key", "name", "rrtype", "work")

    def __init__(self, key: TaskKey | None, name: Name, rrtype: int, work: Work) -> None:
        self.key = key  # None: nobody may join
        self.name = name
        self.rrtype = rrtype
        self.work = work
        self.generator: Generator[Send, Result, Trail | None] | None = None
        self.clients: list[Client] = []
        self.exchange: Exchange | None = None
        self.background = False  # it runs for the cache's sake, too

    def detach(self) -> list[Client]:
        """Those who waited, at the end: then they and the task go at once, and leave the garbage collector nothing."""
        clients, self.clients = self.clients, []
        return clients


class ResolverCore:
    """See the head of this file.  Raises ConfigError for a configuration that cannot work."""

    # fmt: off
    __slots__ = (
        "_background", "_clients", "_config", "_context", "_exchanges", "_handle", "_local", "_resolution", "_tasks",
        "_timers", "faults",
    )
    # fmt: on

    def __init__(self, config: ResolverConfig, rng: Rng, now: int, validator: Validator | None = None) -> None:
        config.validate()
        self._config = config
        self._context = Context(config, rng, now, validator)
        self._timers = Deadlines()
        self._exchanges = Exchanges(config, rng, self._context.stats, self._timers)
        self._resolution = Resolution(self._context)
        self._local = LocalNames(config.hosts)
        self._clients: dict[int, Client] = {}
        self._tasks: dict[TaskKey, Task] = {}
        self._background: set[Task] = set()
        self._handle = 0
        self.faults: deque[Exception] = deque(maxlen=MAX_FAULTS)  # to be told by who drives the core

    # --- getters -----------------------------------------------------------------------------------------------------

    @property
    def config(self) -> ResolverConfig:
        """As given."""
        return self._config

    @property
    def stats(self) -> ResolverStats:
        """Counters."""
        return self._context.stats

    @property
    def cache(self) -> Cache:
        """What is known of names."""
        return self._context.cache

    @property
    def servers(self) -> Servers:
        """What is known of servers."""
        return self._context.servers

    @property
    def deadline(self) -> int | None:
        """When `on_timer` wants to be called; None: not at all."""
        return self._timers.deadline

    # --- calls of the application ------------------------------------------------------------------------------------

    def cached(self, name: Name, rrtype: int, now: int) -> Answer | None:
        """An answer that is there for the taking: neither a negative one, nor by way of aliases, nor local.

        None only means that `start` has to be asked.  May leave a prefetch for `poll`.
        """
        context = self._context
        entry = context.cache.get(name.lower(), rrtype, now)
        if entry is None or entry.kind != POSITIVE:
            return None
        counts = context.stats.counts
        counts[_QUERIES] += 1
        counts[_CACHE_HITS] += 1
        if now >= entry.refresh_at and now >= entry.retry_at:
            context.now = now
            self._prefetch(name, rrtype, entry)
            self._drain()
        ttl = (entry.expires_at - now) // SECOND
        return Answer(name, rrtype, entry.at(ttl), ttl, (), entry.secure, False, entry.server, entry.ede)

    def start(
        self,
        name: Name,
        rrtype: int,
        now: int,
        *,
        timeout_us: int,
        trace: list[Step] | None = None,
        search: bool = False,
    ) -> int:
        """Ask for the records of a name; the handle that Finished will have.  `search`: with the search list.

        With a `trace`, which the steps are put in, the question is not mixed up with those of others.
        Raises BadType for a type that cannot be asked for.
        """
        if rrtype in _NOT_ASKED or not 0 < rrtype <= 0xFFFF:
            why = ", since a server may answer it with any part of what there is (RFC 8482)" if rrtype == _ANY else ""
            raise BadType(f"{type_text(rrtype)} cannot be asked of a resolver{why}: ask for a type of records, like A")
        self._context.now = now
        self._context.stats.counts[_QUERIES] += 1
        self._handle = handle = self._handle + 1
        key = name.lower()
        result = self._local_answer(name, key, rrtype)
        if result is None and len(self._clients) >= self._config.limits.clients:
            self._context.stats.refused[Refused.CLIENT_LIMIT] += 1
            because = f"the resolver has {len(self._clients)} questions in hand already"
            result = ServFail(Question(name, rrtype), because=because)
        if result is not None:
            self._exchanges.actions.append(Finished(handle, result))
        else:
            search = search and bool(self._config.search)
            self._wait(Client(handle, name, now + timeout_us), key, rrtype, trace, search=search)
            self._drain()
        return handle

    def _wait(self, client: Client, key: bytes, rrtype: int, trace: list[Step] | None, *, search: bool) -> None:
        """Make somebody a client of the task that resolves the question, which begins if it has not."""
        context, name = self._context, client.name
        task_key = (key, rrtype, search) if trace is None and self._config.guards.coalesce else None
        task = begun = self._tasks.get(task_key) if task_key is not None else None
        if task is None:
            task = Task(task_key, name, rrtype, Work(self._config.limits, context.stats, trace))
            resolution = self._resolution
            task.generator = (resolution.search if search else resolution.resolve)(name, rrtype, task.work)
            if task_key is not None:
                self._tasks[task_key] = task
        else:
            context.stats.counts[Count.COALESCED] += 1
        client.task = task
        task.clients.append(client)
        self._clients[client.handle] = client
        at = client.deadline_at
        if context.cache.has_expired(key, rrtype, context.now):
            # RFC 8767 §5: the client response timer
            at = min(at, context.now + self._config.stale_answer_us)
        self._timers.set(client, at)
        if begun is None:
            self._run(task, None)

    def cancel(self, handle: int, now: int) -> None:
        """The client of this handle does not wait any more; nothing happens if it does not exist."""
        self._context.now = now
        client = self._clients.pop(handle, None)
        if client is not None:
            self._timers.cancel(client)
            self._leave(client)

    def close(self, now: int) -> None:
        """Finish all that is in hand with an error, and close all that is open."""
        self._context.now = now
        clients = list(self._clients.values())
        for client in clients:
            question = Question(client.name, client.task.rrtype)
            self._finish(client, ResolverClosed(question))
        for task in {client.task for client in clients} | self._background:
            self._abandon(task)
        self._exchanges.close()

    # --- events ------------------------------------------------------------------------------------------------------

    def on_datagram(self, exchange: int, source: Server, wire: bytes, now: int) -> None:
        """A datagram came on the socket of an exchange."""
        self._context.now = now
        self._exchanges.on_datagram(exchange, source, wire, now)
        self._drain()

    def on_stream_message(self, stream: int, wire: bytes, now: int) -> None:
        """A message came on a stream, without its length."""
        self._context.now = now
        self._exchanges.on_stream_message(stream, wire, now)
        self._drain()

    def on_failed(self, exchange_or_stream: int, failure: Failure, now: int) -> None:
        """An exchange or a stream is of no use any more; what is gone already may be named, too."""
        self._context.now = now
        self._exchanges.on_failed(exchange_or_stream, failure, now)
        self._drain()

    def on_timer(self, now: int) -> None:
        """The deadline has come."""
        self._context.now = now
        while (owner := self._timers.pop_due(now)) is not None:
            if isinstance(owner, Exchange):
                self._exchanges.on_timeout(owner, now)
                self._drain()  # before a client's time, since that may end the task
            elif isinstance(owner, Client):
                self._on_client_due(owner, now)

    def poll(self) -> list[Action]:
        """What is to be done, in this order."""
        actions = self._exchanges.actions
        if actions:
            self._exchanges.actions = []
        return actions

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Resume whoever's exchange has ended, until all rest."""
        results, background = self._exchanges.results, self._context.background
        while results or background:
            while results:
                waiting, result = results.popleft()
                for task in waiting:
                    assert isinstance(task, Task)
                    task.exchange = None
                    self._run(task, result)
            while background:
                self._run_for_nobody(Task(None, ROOT, 0, Work(self._config.limits, self.stats, None)), background.pop())

    def _run(self, task: Task, result: Result | None) -> None:
        assert task.generator is not None
        try:
            send = task.generator.send(result)  # type: ignore[arg-type]  # None is what a generator begins with
            task.exchange = self._exchanges.send(send, task, self._context.now)
        except StopIteration as stop:
            self._on_end(task, stop.value)
        except ResolutionFailed as failure:
            self._on_failure(task, failure)
        except Exception as error:  # noqa: BLE001  (of ours, or of a validator: nobody shall wait for what never comes)
            self.stats.counts[Count.FAULTS] += 1
            self.faults.append(error)
            self._on_failure(task, ResolutionFailed(f"an error within the resolver: {error!r}"))

    def _run_for_nobody(self, task: Task, generator: Generator[Send, Result, Trail | None]) -> None:
        if len(self._background) >= self._config.limits.background:
            self.stats.refused[Refused.BACKGROUND_LIMIT] += 1
            generator.close()
            return
        task.generator = generator
        task.background = True
        self._background.add(task)
        if task.key is not None:
            self._tasks[task.key] = task
        self._run(task, None)

    def _prefetch(self, name: Name, rrtype: int, entry: Entry | None = None) -> None:
        """What was just answered will soon expire: ask anew, for the next one who wants it."""
        key = (name.key, rrtype, False)
        if key in self._tasks:
            return
        if entry is not None:
            entry.retry_at = self._context.now + self._config.stale_recheck_us  # if it fails, not with every hit
        self.stats.counts[Count.PREFETCHES] += 1
        task = Task(key, name, rrtype, Work(self._config.limits, self.stats, None))
        self._run_for_nobody(task, self._resolution.resolve(name, rrtype, task.work, FRESH))

    def _forget(self, task: Task) -> None:
        self._background.discard(task)
        if task.key is not None and self._tasks.get(task.key) is task:
            del self._tasks[task.key]

    def _abandon(self, task: Task) -> None:
        """End a task before its time."""
        self._forget(task)
        if task.exchange is not None:
            self._exchanges.leave(task.exchange, task)
        if task.generator is not None:
            task.generator.close()

    # --- ends --------------------------------------------------------------------------------------------------------

    def _on_end(self, task: Task, trail: Trail | None) -> None:
        self._forget(task)
        if trail is None:
            return  # a probe
        if not task.work.sent and not task.background:
            self.stats.counts[_CACHE_HITS] += 1
            if self._context.now >= trail.refresh_at:
                self._prefetch(trail.asked, task.rrtype, trail.entry)
        for client in task.detach():
            # who joined wrote the name with letters of their own
            asked = client.name if len(trail.asked) == len(client.name) else trail.asked
            self._finish(client, self._result(asked, task.rrtype, trail, task.work))

    def _on_failure(self, task: Task, failure: ResolutionFailed) -> None:
        self._forget(task)
        for client in task.detach():
            stale = self._stale(client.name, task.rrtype)
            self._finish(client, stale or self._error(client.name, task, failure))

    def _on_client_due(self, client: Client, now: int) -> None:
        task = client.task
        stale = self._stale(client.name, task.rrtype)
        if stale is None and now < client.deadline_at:
            self._timers.set(client, client.deadline_at)
            return
        if stale is not None:
            # what is stale is still to be refreshed
            task.background = task.background or len(self._background) < self._config.limits.background
            if task.background:
                self._background.add(task)
            self._finish(client, stale)
            self._leave(client)
            return
        self.stats.counts[Count.CLIENT_TIMEOUTS] += 1
        tries = list(task.work.tries)
        if task.exchange is not None:
            why = task.work.before + task.exchange.waited(now)
            tries.append(Try(server_text(task.exchange.facts.address), why))
        self._finish(client, Timeout(Question(client.name, task.rrtype), tries, ede=task.work.ede))
        self._leave(client)

    def _finish(self, client: Client, result: Answer | DnsError) -> None:
        del self._clients[client.handle]
        self._timers.cancel(client)
        if isinstance(result, Answer) and result.stale:
            self.stats.counts[Count.STALE_ANSWERS] += 1
        self._exchanges.actions.append(Finished(client.handle, result))

    def _leave(self, client: Client) -> None:
        """A client goes, its task stays; unless nobody is left who wants to know."""
        task = client.task
        task.clients.remove(client)
        if not task.clients and not task.background and task.exchange is not None:
            self._abandon(task)

    # --- results -----------------------------------------------------------------------------------------------------

    def _local_answer(self, name: Name, key: bytes, rrtype: int) -> Answer | DnsError | None:
        local = self._local.find(key, rrtype)
        if local is None:
            return None
        if local is True:
            return NoData(Question(name, rrtype), because="the name is a local one")
        if local is False:
            return NXDOMAIN(Question(name, rrtype), because="such names are not in the DNS")
        return Answer(name, rrtype, local, local.ttl, ())

    def _result(self, name: Name, rrtype: int, trail: Trail, work: Work | None) -> Answer | DnsError:
        """What a trail led to."""
        entry, counts = trail.entry, self._context.stats.counts
        assert entry is not None
        chain = tuple(trail.chain)
        if entry.kind == POSITIVE and entry.rrset is not None:
            counts[_ANSWERS] += 1
            ttl = max(0, (trail.expires_at - self._context.now) // SECOND)  # an alias may have expired on the way
            rrset = entry.first(ttl) if work is not None and work.sent else entry.at(ttl)
            return Answer(name, rrtype, rrset, ttl, chain, entry.secure, False, entry.server, entry.ede)
        negative = entry.kind == NODATA
        counts[Count.NODATA if negative else Count.NXDOMAIN] += 1
        error = (NoData if negative else NXDOMAIN)(
            Question(name, rrtype), work.tries if work is not None else (), ede=entry.ede
        )
        error.soa, error.chain = entry.rrset, chain
        return error

    def _stale(self, name: Name, rrtype: int) -> Answer | None:
        """An answer that has expired, if there is one that will do.  RFC 8767."""
        if not self._config.stale_us:
            return None
        trail = Trail(name)
        if not trail.follow(self._context, rrtype, STALE) or trail.entry is None or trail.entry.rrset is None:
            return None
        entry = trail.entry
        if entry.kind != POSITIVE or entry.rrset is None:
            return None
        ttl = self._config.stale_ttl_us // SECOND
        chain = tuple(trail.chain)
        return Answer(name, rrtype, entry.at(ttl), ttl, chain, entry.secure, True, entry.server, entry.ede)

    def _error(self, name: Name, task: Task, failure: ResolutionFailed) -> DnsError:
        self.stats.counts[Count.SERVFAIL] += 1
        tries = task.work.tries
        because = "; ".join([text for text in (failure.why, *told(tries)) if text])
        error = Timeout if failure.silent else ServFail
        return error(Question(name, task.rrtype), tries, ede=task.work.ede, because=because)
