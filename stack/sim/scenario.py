"""What a simulation is made of: hosts, links, faults, events and flows, as values.

Theory of operation.  A Scenario is data and nothing else: frozen, comparable, written and read as TOML
(`scenario_toml`), made by people, by `generate` and by `shrink`.  `check` refuses what could not be simulated, before
anything is built: a ScenarioError names the key (and, from a file, the line).  All numbers are in base units here:
microseconds, bytes per second, bytes, fractions; the TOML names of the fields are those of the contract (`delay`,
`rate`), with units as text.

    name = "two hosts"                 [[link]]                          [[flow]]
    seed = 7                           between = ["a", "b"]              name = "bulk"
    duration = "60s"                   rate = "100Mbit/s"                from = "a"
                                       delay = "10ms"                    to = "b"
    [[host]]                           queue = "64KiB"                   bytes = "1MiB"
    name = "a"                         loss = 0.01
    [[host]]                           backward = { loss = 0.0 }         [[event]]
    name = "b"                                                           at = "2s"
    tcp = { congestion = "reno" }                                        link = ["a", "b"]
                                                                         down = true

What holds for a connection is, from weak to strong: the defaults of TcpConfig, `[tcp]`, `tcp` of the host it runs on,
`tcp` (client) or `server_tcp` (server) of the flow.  `profile = "go-back-n"` in one of these tables stands for all
settings that make the machines of `tcp/profiles.py` what they are; other keys of its table change single ones.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import field

from stack.config import MINUTE, SECOND, HostConfig, TcpConfig
from stack.errors import ConfigError
from stack.sim import units
from stack.tcp import profiles
from stack.tcp.congestion import registry

MTU_MIN: Final = 68  # RFC 791 §3.2: every link carries a packet of 68 bytes
MTU_MAX: Final = 65_535
MEMORY_MIN: Final = 1 << 20  # as HostConfig
DELAY_MAX: Final = 60 * MINUTE
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)
TEXT_MAX: Final = 400
TITLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}", re.ASCII)  # names a folder

Path = tuple[str | int, ...]


class ScenarioError(ConfigError):
    """A scenario that cannot be run.  `key` is the place in the file ("link[1].rate"), `path` the same in pieces."""

    def __init__(self, path: Path, text: str, file: str = "", line: int = 0) -> None:
        if len(text) > TEXT_MAX:  # it quotes what was written
            text = f"{text[: TEXT_MAX // 2]} ... {text[-TEXT_MAX // 2 :]}"
        self.path = path
        self.text = text
        self.file = file
        self.line = line
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{where}{self.key}: {text}" if path else f"{where}{text}")

    def __reduce__(self) -> tuple[Any, ...]:
        """For the way from one process to another."""
        return type(self), (self.path, self.text, self.file, self.line)

    @property
    def key(self) -> str:
        """The path as one writes it."""
        return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.path).lstrip(".")


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Options of all structs here."""


class BurstLoss(_Value, frozen=True, kw_only=True):
    """Gilbert and Elliott's channel: two states, a loss rate in each, chances per frame to change."""

    p: float  # good to bad
    r: float  # bad to good
    loss_good: float = 0.0
    loss_bad: float = 1.0


class Way(_Value, frozen=True, kw_only=True):
    """One direction of a link, or changes to one: None leaves a setting as it is (at first: no such fault)."""

    rate: int | None = None
    delay_us: int | None = field(default=None, name="delay")
    jitter_us: int | None = field(default=None, name="jitter")
    queue: int | str | None = None
    discipline: Literal["droptail", "codel"] | None = None
    target_us: int | None = field(default=None, name="target")  # of CoDel, as `interval` and `ecn` (mark, not drop)
    interval_us: int | None = field(default=None, name="interval")
    ecn: bool | None = None
    loss: float | None = None
    burst_loss: BurstLoss | None = None
    reorder: float | None = None
    reorder_by_us: int | None = field(default=None, name="reorder_by")
    duplicate: float | None = None
    corrupt: float | None = None


WAY_FIELDS: Final = Way.__struct_fields__
WAYS: Final[tuple[Literal["forward", "backward"], ...]] = ("forward", "backward")


class Link(Way, frozen=True, kw_only=True):
    """A link between two nodes; `forward` is from the first to the second, and overrides what is said for both."""

    between: tuple[str, str]
    mtu: int = 1500
    forward: Way | None = None
    backward: Way | None = None

    def way(self, name: Literal["forward", "backward"]) -> Way:
        """All that holds for one direction."""
        own = self.forward if name == "forward" else self.backward
        both = Way(**{key: getattr(self, key) for key in WAY_FIELDS})
        return changed(both, own) if own is not None else both


class HostSpec(_Value, frozen=True, kw_only=True):
    """A host.  `offload`: it hands super-segments to its interfaces, which cut them.  `memory`: what its connections
    may hold together, in bytes (HostConfig.memory_bytes).
    """

    name: str
    tcp: dict[str, Any] = {}
    offload: bool = False
    memory: int | None = None


class RouterSpec(_Value, frozen=True, kw_only=True):
    """A host that forwards."""

    name: str


class SwitchSpec(_Value, frozen=True, kw_only=True):
    """A learning switch."""

    name: str


class Event(_Value, frozen=True, kw_only=True):
    """Something that happens at `at_us`: to a link (down, up, set, mtu) or to a flow (abort, renege).

    renege: both ends forget what they have received out of order, though it was reported (RFC 2018 §8).
    """

    at_us: int = field(name="at")
    link: tuple[str, str] | None = None
    down: bool = False
    up: bool = False
    set: Way | None = None
    way: Literal["forward", "backward", "both"] = "both"  # for `set`
    mtu: int | None = None
    silent: bool = False  # with `mtu`: the hosts are not told, longer packets vanish (a black hole)
    flow: str | None = None
    abort: bool = False
    renege: bool = False


class Flow(_Value, frozen=True, kw_only=True):
    """One connection and what the applications at its ends do.

    bulk: the client sends `bytes` (or without end `for_us`), the server `back` bytes at the same time; both close.
    echo: the server returns every byte.  rr: requests of `request` bytes, one at a time, each answered by `response`
    bytes, until `bytes` of requests are through.
    `stall_at`/`stall_for`: the server's application stops reading there, for so long (its window closes).
    `chunk`, `pause`: the client writes so much at a time, and waits in between.  `urgent`: its writes are urgent data.
    `iss` is the client's initial sequence number, `ts_offset` what its timestamps are ahead of the clock, where it
    matters (near 2^32, say).
    `port`: the server's; flows to one host with the same port share a listener, that of the first, which has room for
    `backlog` connections that are not established.  `local_port`: the client's.  `after`: `start` counts from the end
    of that flow.  `simultaneous`: both ends connect, at the same time, and nobody listens.
    `expect` is what the scenario promises (`Outcome` in result.py).
    """

    name: str
    from_: str = field(name="from")
    to: str
    start_us: int = field(default=0, name="start")
    kind: Literal["bulk", "echo", "rr"] = "bulk"
    bytes: int | None = None
    for_us: int | None = field(default=None, name="for")
    back: int = 0
    request: int = 200
    response: int = 1000
    stall_at: int | None = None
    stall_for_us: int = field(default=0, name="stall_for")
    chunk: int = 0
    pause_us: int = field(default=0, name="pause")
    urgent: bool = False
    iss: int | None = None
    ts_offset: int | None = None
    port: int | None = None
    local_port: int = 0
    backlog: int = 16
    after: str | None = None
    simultaneous: bool = False
    tcp: dict[str, Any] = {}
    server_tcp: dict[str, Any] = {}
    expect: Literal["complete", "failed", "aborted", "any"] = "complete"


class Scenario(_Value, frozen=True, kw_only=True):
    """A whole simulation.  `duration_us` bounds it; it ends earlier once every flow has."""

    name: str = "scenario"
    seed: int = 1
    duration_us: int = field(default=60 * SECOND, name="duration")
    invariants: bool = True
    tcp: dict[str, Any] = {}
    hosts: list[HostSpec] = field(default_factory=list, name="host")
    routers: list[RouterSpec] = field(default_factory=list, name="router")
    switches: list[SwitchSpec] = field(default_factory=list, name="switch")
    links: list[Link] = field(default_factory=list, name="link")
    events: list[Event] = field(default_factory=list, name="event")
    flows: list[Flow] = field(default_factory=list, name="flow")

    def check(self) -> None:
        """Raise ScenarioError for what cannot be simulated."""
        if not TITLE.fullmatch(self.name):
            raise ScenarioError(
                ("name",), f"{self.name!r}: use up to 64 letters, digits, spaces and _.-, as for a file"
            )
        if not 1 <= self.duration_us <= 1000 * 24 * 60 * MINUTE:
            raise ScenarioError(("duration",), "use more than nothing and at most 1000 days")
        if not 0 <= self.seed < 1 << 63:
            raise ScenarioError(("seed",), "use a whole number from 0 to 2^63-1")
        check_tcp((self.tcp,), ("tcp",))
        for index, host in enumerate(self.hosts):
            check_tcp((self.tcp, host.tcp), ("host", index, "tcp"))
            _check_memory(host.memory, ("host", index, "memory"))
        nodes = self._check_names()
        joined = {spec.name: spec.name for spec in self.switches}
        for index, link in enumerate(self.links):
            _check_link(link, ("link", index), nodes)
            if all(name in joined for name in link.between):
                a, b = (joined[name] for name in link.between)
                if a == b:
                    raise ScenarioError(
                        ("link", index, "between"), "switches in a loop: a broadcast would circle in it"
                    )
                joined = {name: b if root == a else root for name, root in joined.items()}
        for name, path in nodes.items():
            if not any(name in link.between for link in self.links):
                raise ScenarioError((*path, "name"), f"{name} has no link")
        for index, flow in enumerate(self.flows):
            self._check_flow(flow, ("flow", index), nodes)
            if flow.after is not None and flow.after not in {earlier.name for earlier in self.flows[:index]}:
                raise ScenarioError(("flow", index, "after"), f"no flow {flow.after!r} stands before this one")
            if not self._reachable(flow.from_, flow.to):
                raise ScenarioError(("flow", index, "to"), f"no route from {flow.from_} to {flow.to}")
        for index, event in enumerate(self.events):
            self._check_event(event, ("event", index))
        self._check_disciplines()

    def host(self, name: str) -> HostSpec:
        """The host of that name.  Raises KeyError."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def client_config(self, flow: Flow) -> TcpConfig:
        """The settings of the end that opens `flow`."""
        return tcp_config(self.tcp, self.host(flow.from_).tcp, flow.tcp)

    def server_config(self, flow: Flow) -> TcpConfig:
        """The settings of the other end."""
        return tcp_config(self.tcp, self.host(flow.to).tcp, flow.server_tcp)

    def link_index(self, between: tuple[str, str]) -> int:
        """Which link joins two nodes (the first, if there are several); -1 for none."""
        for index, link in enumerate(self.links):
            if set(link.between) == set(between):
                return index
        return -1

    def _reachable(self, a: str, b: str) -> bool:
        """There is a way over links, switches and routers; hosts do not forward."""
        passing = {a} | {router.name for router in self.routers} | {switch.name for switch in self.switches}
        seen, waiting = {a}, [a]
        while waiting:
            here = waiting.pop()
            if here not in passing:
                continue
            for link in self.links:
                if here in link.between:
                    there = link.between[link.between[0] == here]
                    if there not in seen:
                        seen.add(there)
                        waiting.append(there)
        return b in seen

    def _check_names(self) -> dict[str, Path]:
        """Every node by its name, with its place in the file."""
        nodes: dict[str, Path] = {}
        flows: dict[str, Path] = {}
        parts = (("host", self.hosts), ("router", self.routers), ("switch", self.switches), ("flow", self.flows))
        for kind, specs in parts:
            for index, name in enumerate([spec.name for spec in specs]):
                path: Path = (kind, index, "name")
                if not NAME.fullmatch(name):
                    raise ScenarioError(path, f"{name!r}: use up to 32 letters, digits and _.-")
                taken = flows if kind == "flow" else nodes
                if name in taken:
                    raise ScenarioError(path, f"{name!r} is used twice")
                taken[name] = (kind, index)
        if not self.hosts:
            raise ScenarioError((), "no [[host]]: a simulation needs hosts")
        return nodes

    def _check_flow(self, flow: Flow, path: Path, nodes: dict[str, Path]) -> None:
        for key, name in (("from", flow.from_), ("to", flow.to)):
            if nodes.get(name, ("",))[0] != "host":
                known = ", ".join(host.name for host in self.hosts)
                raise ScenarioError((*path, key), f"{name!r} is not a host; the hosts are {known}")
        if flow.from_ == flow.to:
            raise ScenarioError((*path, "to"), "a flow runs between two hosts")
        if (flow.bytes is None) == (flow.for_us is None):
            raise ScenarioError(path, f"flow {flow.name}: give either 'bytes' or 'for'")
        if flow.kind != "bulk" and flow.bytes is None:
            raise ScenarioError((*path, "for"), f"only a bulk flow has a time; give 'bytes' for {flow.kind}")
        if flow.kind != "bulk" and flow.back:
            raise ScenarioError((*path, "back"), f"what comes back of {flow.kind} follows from its kind")
        if flow.start_us >= self.duration_us:
            raise ScenarioError((*path, "start"), "the simulation is over by then")
        _check_numbers(flow, path)
        if flow.kind == "rr" and not (0 < flow.request <= 1 << 20 and 0 < flow.response <= 1 << 20):
            raise ScenarioError((*path, "request"), "request and response have 1 byte to 1 MiB")
        check_tcp((self.tcp, self.host(flow.from_).tcp, flow.tcp), (*path, "tcp"))
        check_tcp((self.tcp, self.host(flow.to).tcp, flow.server_tcp), (*path, "server_tcp"))

    def _check_event(self, event: Event, path: Path) -> None:
        if event.at_us > self.duration_us:
            raise ScenarioError((*path, "at"), "the simulation is over by then")
        if (event.link is None) == (event.flow is None):
            raise ScenarioError(path, "an event concerns either a link or a flow")
        told = (event.down, event.up, event.set is not None, event.mtu is not None, event.abort, event.renege)
        if sum(told) != 1:
            raise ScenarioError(path, "an event does one of down, up, set, mtu, abort, renege")
        if (event.abort or event.renege) == (event.flow is None):
            raise ScenarioError(path, "a flow is aborted or reneges; a link goes down or up, or is set, or gets an mtu")
        if event.way != "both" and event.set is None:
            raise ScenarioError((*path, "way"), "only 'set' has a direction; down, up and mtu are of the whole link")
        if event.silent and event.mtu is None:
            raise ScenarioError((*path, "silent"), "it says how an 'mtu' comes")
        if event.set == Way():
            raise ScenarioError((*path, "set"), "say what changes, such as { loss = 0.1 }")
        if event.flow is not None and event.flow not in {flow.name for flow in self.flows}:
            raise ScenarioError((*path, "flow"), f"there is no flow {event.flow!r}")
        if event.link is not None:
            index = self.link_index(event.link)
            if index < 0:
                raise ScenarioError((*path, "link"), f"no link joins {event.link[0]!r} and {event.link[1]!r}")
            if event.set is not None:
                _check_way(event.set, (*path, "set"))
            if event.mtu is not None:
                _check_mtu(event.mtu, (*path, "mtu"))

    def _check_disciplines(self) -> None:
        """What the events make of the links, one after the other."""
        now = [[link.way(name) for name in WAYS] for link in self.links]
        for index, event in sorted(enumerate(self.events), key=lambda one: one[1].at_us):
            if event.link is None or event.set is None:
                continue
            ways = now[self.link_index(event.link)]
            for number, name in enumerate(WAYS):
                if event.way in {name, "both"}:
                    ways[number] = changed(ways[number], event.set)
                    _check_discipline(ways[number], ("event", index, "set"))


W = TypeVar("W", bound=Way)


def changed(way: W, by: Way) -> W:
    """`way` with the settings that `by` has."""
    new = {key: value for key in WAY_FIELDS if (value := getattr(by, key)) is not None}
    return msgspec.structs.replace(way, **new)


def _check_link(link: Link, path: Path, nodes: dict[str, Path]) -> None:
    for name in link.between:
        if name not in nodes:
            raise ScenarioError((*path, "between"), f"{name!r} is no host, router or switch")
    if link.between[0] == link.between[1]:
        raise ScenarioError((*path, "between"), "a link joins two nodes")
    _check_mtu(link.mtu, (*path, "mtu"))
    _check_way(link, path)
    for name, own in (("forward", link.forward), ("backward", link.backward)):
        if own is not None:
            _check_way(own, (*path, name))
    for name in WAYS:
        _check_discipline(link.way(name), path)


def _check_discipline(way: Way, path: Path) -> None:
    if way.discipline == "codel" and way.rate is None:
        raise ScenarioError((*path, "discipline"), "without a rate nothing queues: codel needs one")


def _check_memory(memory: int | None, path: Path) -> None:
    if memory is None:
        return
    try:
        HostConfig(memory_bytes=memory).validate()
    except ConfigError as error:
        raise ScenarioError(path, (error.strerror or "").removeprefix("memory_bytes ")) from None


def _check_numbers(flow: Flow, path: Path) -> None:
    """Ports and numbers of a flow."""
    for key, number in (("iss", flow.iss), ("ts_offset", flow.ts_offset)):
        if number is not None and not 0 <= number < 1 << 32:
            raise ScenarioError((*path, key), "use a whole number of 32 bits")
    for key, port in (("port", flow.port), ("local_port", flow.local_port or None)):
        if port is not None and not 0 < port < 1 << 16:
            raise ScenarioError((*path, key), "use 1 to 65535")
    if flow.backlog < 1:
        raise ScenarioError((*path, "backlog"), "use at least 1")
    if flow.chunk < 0 or (flow.pause_us > 0) != (flow.chunk > 0):
        raise ScenarioError((*path, "chunk"), "give both 'chunk' and 'pause', as much as nothing or more")
    if (flow.stall_for_us > 0) != (flow.stall_at is not None):
        raise ScenarioError((*path, "stall_at"), "give both 'stall_at' and 'stall_for'")
    if flow.simultaneous and not flow.local_port:
        raise ScenarioError((*path, "local_port"), "the other end connects to it: give the port")


def _check_mtu(mtu: int, path: Path) -> None:
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise ScenarioError(path, f"{mtu}: use {MTU_MIN} to {MTU_MAX}")


def _check_way(way: Way, path: Path) -> None:
    if way.rate is not None and way.rate <= 0:
        raise ScenarioError((*path, "rate"), "a link of rate 0 carries nothing; leave it out for no limit")
    if way.queue == 0:
        raise ScenarioError((*path, "queue"), "a queue of 0 holds nothing; leave it out for no bound")
    for key, us in (("delay", way.delay_us), ("jitter", way.jitter_us), ("reorder_by", way.reorder_by_us)):
        if us is not None and not 0 <= us <= DELAY_MAX:
            raise ScenarioError((*path, key), "use nothing to an hour")
    for key, us in (("target", way.target_us), ("interval", way.interval_us)):
        if us is not None and not 1 <= us <= DELAY_MAX:
            raise ScenarioError((*path, key), "use a microsecond to an hour")
    chances: Iterable[tuple[str, float | None]] = [
        (key, getattr(way, key)) for key in ("loss", "reorder", "duplicate", "corrupt")
    ]
    if way.burst_loss is not None:
        chances = [*chances, *((f"burst_loss.{k}", getattr(way.burst_loss, k)) for k in BurstLoss.__struct_fields__)]
    for key, chance in chances:
        if chance is not None and not 0.0 <= chance <= 1.0:
            raise ScenarioError((*path, *key.split(".")), f"{chance}: use a fraction from 0 to 1")
    if isinstance(way.queue, str):
        try:
            units.queue(way.queue)
        except ValueError as exc:
            raise ScenarioError((*path, "queue"), str(exc)) from None


# -- settings of TCP

TCP_FIELDS: Final = {f.name: f for f in fields(TcpConfig)}
TCP_SIZES: Final = (
    "send_buffer", "send_buffer_initial", "notsent_lowat", "recv_buffer", "recv_buffer_initial", "out_of_order_bytes",
    "mss_limit",
)  # fmt: skip


PROFILE: Final = "profile"  # besides those of TcpConfig
# What a profile decides: not the buffers of a host, nor how long it waits for a dead peer, say.
OF_PROFILES: Final = tuple(
    name
    for name, one in TCP_FIELDS.items()
    if any(getattr(profile, name) != one.default for profile in profiles.PROFILES.values())
)


def check_tcp(layers: Sequence[dict[str, Any]], path: Path) -> None:
    """Raise ScenarioError for settings that are not of TcpConfig, or do not go together.

    `layers` are tables from weak to strong; `path` is the place of the last one, those before are known to be right.
    """
    for key, value in layers[-1].items():
        if key != PROFILE and key not in TCP_FIELDS:
            close = difflib.get_close_matches(key, [*TCP_FIELDS, PROFILE], 1, cutoff=0.75)
            meant = f"; is {close[0]!r} meant?" if close else ""
            raise ScenarioError((*path, key), f"TCP has no setting {key!r}{meant}")
        wanted = str if key == PROFILE else type(TCP_FIELDS[key].default)
        if type(value) is not wanted and (key == PROFILE or TCP_FIELDS[key].type is not Any):
            what = {bool: "true or false", int: "a whole number", str: "text"}.get(wanted, wanted.__name__)
            raise ScenarioError((*path, key), f"{value!r}: use {what}")
    try:
        config = tcp_config(*layers)
        config.validate()
        registry.algorithm(config.congestion)
    except ConfigError as exc:
        text = exc.strerror or str(exc)
        named = tuple(key for key in layers[-1] if re.search(rf"\b{key}\b", text))
        raise ScenarioError((*path, *named[:1]), text) from None


def tcp_config(*layers: dict[str, Any]) -> TcpConfig:
    """The settings as the stack takes them; `layers` are tables from weak to strong.

    Raises ConfigError for a profile that is not known.
    """
    settings: dict[str, Any] = {}
    for layer in layers:
        if PROFILE in layer:
            profile = profiles.get(layer[PROFILE])
            settings |= {key: getattr(profile, key) for key in OF_PROFILES}
        settings |= {key: value for key, value in layer.items() if key != PROFILE}
    return TcpConfig(**settings)
