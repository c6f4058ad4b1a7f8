"""Random hostile networks: `generate(seed)` gives a Scenario that promises how each of its flows ends.

Theory of operation.  Everything is drawn from one generator forked from the seed; the same seed gives the same
scenario.  A network has 2 to 4 hosts, joined directly, by a switch or by routers, links with loss (up to 30 %), bursts,
reordering, duplication, corruption, small queues, odd MTUs, and flows of all kinds with settings of TCP switched on
and off.  On the way links change, lose their MTU, go down and heal.

A connection may fail only where the scenario makes it: with every scenario comes a promise for each flow, exact
outcomes included.  Most flows must complete: there the limits that would let TCP give up (R2 of SYNs and of data) are
far beyond any unreachable time, so giving up is a bug.  In at most a tenth of the scenarios a flow must fail: its only
way is cut for longer than the user timeout, or it is aborted.

`duration` is the stated bound of simulated time within which all must be over.  It follows from what the scenario
contains (`_bound_us`): times without a way, transmission times, and for each of the retransmissions in a row that
losses make likely, a backed-off timeout.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import pairwise
from random import Random
from typing import Any, Final, Literal, TypeVar

from msgspec.structs import replace

from stack.config import MINUTE, MS, SECOND, TcpConfig
from stack.sim.scenario import BurstLoss, Event, Flow, HostSpec, Link, RouterSpec, Scenario, SwitchSpec, Way
from stack.tcp import profiles
from stack.tcp.congestion import registry

T = TypeVar("T")
Fate = Literal["complete", "cut", "outage", "aborted"]

THEMES: Final = 0.3  # of the scenarios: those that set up something which would seldom come about by itself
FAILING_SHARE: Final = 0.07  # of the scenarios: those in which a flow must not complete
NEVER_GIVE_UP_US: Final = 24 * 60 * MINUTE
GIVE_UP_US: Final = 30 * SECOND  # the user timeout where a flow shall fail
LOSSES: Final = (0, 0, 0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
QUEUES: Final[tuple[int | str, ...]] = ("4p", "10p", "50p", 20_000, 64_000)
SIZES: Final = (0, 1, 100, 1_000, 4_000, 10_000, 20_000, 40_000, 80_000)
SETTINGS: Final[tuple[tuple[float, str, Sequence[object]], ...]] = (  # chance, key, values
    (0.6, "congestion", sorted(registry.ALGORITHMS)),
    (0.1, "hystart", (False,)),
    (0.1, "window_validation", ("rfc2861", "rfc5681")),
    (0.2, "fixed_window_segs", (1, 3, 64)),
    (0.1, "rtt_estimator", ("karn", "original")),
    (0.05, "fast_retransmit", (False,)),
    (0.2, "pacing", ("on", "off")),
    (0.3, "loss_detection", ("rfc6675",)),
    (0.1, "tlp", (False,)),
    (0.1, "frto", (False,)),
    (0.1, "limited_transmit", (False,)),
    (0.1, "dsack", (False,)),
    (0.3, "sack", (False,)),
    (0.3, "timestamps", (False,)),
    (0.3, "window_scaling", (False,)),
    (0.4, "ecn", ("off", "request")),
    (0.3, "nodelay", (True,)),
    (0.4, "send_buffer", (1_000, 5_000, 20_000, 8 << 20)),
    (0.2, "send_buffer_initial", (300, 2_000, 20_000)),
    (0.2, "notsent_lowat", (200, 1_000, 16_000)),
    (0.4, "recv_buffer", (1_500, 4_000, 20_000, 70_000, 16 << 20)),
    (0.2, "recv_buffer_initial", (1, 600, 3_000, 1 << 20)),
    (0.2, "quick_acks", (0, 3)),
    (0.2, "delayed_ack_us", (5 * MS, 200 * MS, 499 * MS)),
    (0.2, "initial_window_segs", (1, 2, 4, 60)),
    (0.1, "mss_limit", (100, 536, 1000)),
    (0.1, "out_of_order_bytes", (0, 1_500, 3_000, 20_000)),
    (0.1, "out_of_order_ranges", (1, 4)),
    (0.1, "rto_initial_us", (300 * MS, 3 * SECOND)),
    (0.2, "rto_min_us", (5 * MS, 50 * MS, SECOND)),
    (0.1, "msl_us", (SECOND, 120 * SECOND)),
    (0.2, "mtu_raise_us", (SECOND, 10 * SECOND)),
    (0.1, "challenge_acks_per_s", (1, 2)),
    (0.1, "max_time_wait", (1,)),
)
PACKETS_MAX: Final = 200  # of one flow and direction, about: small networks are many networks


class _Draw:
    """What one scenario is made of, as it is drawn."""

    __slots__ = ("events", "fate", "hosts", "hurt", "links", "outage_us", "rng", "routers", "switches")

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"stack.sim.generate/{seed}")
        self.hosts: list[HostSpec] = []
        self.routers: list[RouterSpec] = []
        self.switches: list[SwitchSpec] = []
        self.links: list[Link] = []
        self.events: list[Event] = []
        self.fate: Fate = "complete"
        self.hurt = 0  # the link that has the worst of it
        self.outage_us = 0

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.rng.random() < probability

    def pick(self, values: Sequence[T]) -> T:
        """One of the values."""
        return self.rng.choice(values)


def generate(seed: int) -> Scenario:
    """The scenario of a seed."""
    return generate_with_theme(seed)[0]


def generate_with_theme(seed: int) -> tuple[Scenario, str]:
    """The scenario of a seed, and the name of what it sets up; "none" for most."""
    draw = _Draw(seed)
    if draw.chance(FAILING_SHARE):
        draw.fate = draw.pick(("cut", "outage", "aborted"))
    _topology(draw)
    flows = _flows(draw)
    _events(draw, flows)
    theme = "none"
    if draw.fate == "complete" and draw.chance(THEMES):
        theme = draw.pick(THEME_NAMES)
        flows = _THEMES[theme](draw, flows)
    tcp: dict[str, Any] = {"user_timeout_us": NEVER_GIVE_UP_US, "syn_retries_us": NEVER_GIVE_UP_US}
    if draw.fate != "complete":
        # an end that only listens finds out by keep-alive
        tcp = {"keepalive": True, "keepalive_idle_us": 20 * SECOND, "keepalive_interval_us": 5 * SECOND}
        tcp |= {"keepalive_probes": 5, "user_timeout_us": GIVE_UP_US, "syn_retries_us": GIVE_UP_US}
    scenario = Scenario(
        name=f"seed-{seed}",
        seed=seed,
        duration_us=_bound_us(draw, flows),
        tcp=tcp,
        hosts=draw.hosts,
        routers=draw.routers,
        switches=draw.switches,
        links=draw.links,
        events=sorted(draw.events, key=lambda event: event.at_us),
        flows=flows,
    )
    return scenario, theme


# -- nodes and links


def _topology(draw: _Draw) -> None:
    shape = draw.pick(("pair", "pair", "pair", "router", "router", "switch", "chain", "star"))
    if draw.fate != "complete":
        shape = draw.pick(("pair", "router", "chain"))  # one way only, so that all flows meet the cut
    names = ["a", "b"]
    if shape == "star":
        names = ["a", "b", "c", "d"][: draw.pick((3, 4))]
    draw.hosts = [HostSpec(name=name, offload=draw.chance(0.3)) for name in names]
    joints = {"pair": (), "switch": ("s",), "router": ("r",), "chain": ("r", "q"), "star": (draw.pick("rs"),)}[shape]
    draw.routers = [RouterSpec(name=name) for name in joints if name != "s"]
    draw.switches = [SwitchSpec(name=name) for name in joints if name == "s"]
    if shape == "star":
        pairs = [(name, joints[0]) for name in names]
    else:
        line = ["a", *joints, "b"]
        pairs = list(pairwise(line))
    draw.hurt = draw.rng.randrange(len(pairs))
    mtu = draw.pick((1500, 1500, 1500, 1500, 9000, 1280, 576, 296))
    same_mtu = "s" in joints  # a switch cannot tell anybody that a frame is too long
    for index, pair in enumerate(pairs):
        way = _way(draw, worst=index == draw.hurt)
        draw.links.append(
            Link(
                between=pair,
                mtu=mtu if same_mtu or draw.chance(0.7) else draw.pick((1500, 1006, 576)),
                forward=_way(draw, worst=True) if index == draw.hurt and draw.chance(0.3) else None,
                backward=_way(draw, worst=False) if draw.chance(0.2) else None,
                **{key: value for key in way.__struct_fields__ if (value := getattr(way, key)) is not None},
            )
        )


def _way(draw: _Draw, *, worst: bool) -> Way:
    """The faults of one direction; of many links on a path one has the worst of it."""
    pick, chance = draw.pick, draw.chance
    rate = pick((None, None, 8_000, 125_000, 1_250_000, 12_500_000)) if worst else pick((None, 1_250_000))
    delay_us = pick((0, 100, MS, 5 * MS, 20 * MS, 100 * MS)) if worst else pick((0, 50, 2 * MS))
    if rate is None:
        delay_us = max(delay_us, 1)  # a window of a byte on a path that takes no time at all: no end at one instant
    if not worst or draw.fate != "complete":
        if draw.fate != "complete":
            rate = 30_000  # its flows write without end
        return Way(rate=rate, delay_us=delay_us, loss=pick((0, 0, 0.01, 0.03)), queue="50p" if rate else None)
    burst = BurstLoss(p=pick((0.005, 0.02, 0.05)), r=pick((0.1, 0.3, 0.6))) if chance(0.15) else None
    return Way(
        rate=rate,
        delay_us=delay_us,
        jitter_us=pick((None, None, MS, 10 * MS, 50 * MS)),
        queue=pick(QUEUES) if rate else None,
        discipline="codel" if rate and chance(0.3) else None,
        ecn=chance(0.6) if rate else None,
        loss=pick(LOSSES) if burst is None else None,
        burst_loss=burst,
        reorder=pick((None, None, 0.01, 0.05, 0.2, 0.5)),
        reorder_by_us=pick((200, 2 * MS, 20 * MS, 100 * MS)),
        duplicate=pick((None, None, None, 0.01, 0.1, 0.3)),
        corrupt=pick((None, None, None, 0.01, 0.05)),
    )


# -- flows


def _flows(draw: _Draw) -> list[Flow]:
    names = [host.name for host in draw.hosts]
    flows = []
    for index in range(draw.pick((1, 1, 1, 2, 2, 3, 4)) if draw.fate == "complete" else 1):
        from_, to = draw.rng.sample(names, 2)
        mtu = min(link.mtu for link in draw.links)
        flow = Flow(
            name=f"f{index}",
            from_=from_,
            to=to,
            start_us=draw.pick((0, 0, 10 * MS, 500 * MS, 3 * SECOND)),
            iss=(1 << 32) - draw.rng.randrange(1, 20_000) if draw.chance(0.4) else None,
            tcp=_tcp(draw),
            server_tcp=_tcp(draw),
            **_application(draw, PACKETS_MAX * (mtu - 60)),
        )
        flows.append(flow)
    return flows


def _application(draw: _Draw, most: int) -> dict[str, Any]:
    """What the ends do; at most about `most` bytes each way."""
    if draw.fate != "complete":
        # still at it whenever the end comes
        return {"for_us": 10 * MINUTE, "expect": "aborted" if draw.fate == "aborted" else "failed"}
    pick = draw.pick
    kind = pick(("bulk", "bulk", "bulk", "echo", "rr"))
    nbytes = min(pick(SIZES), most)
    if kind == "rr":
        request, response = pick((1, 100, 1_500)), min(pick((1, 700, 5_000)), most // 10)
        return {"kind": kind, "bytes": request * pick((1, 3, 20)), "request": request, "response": response}
    if kind == "echo":
        return {"kind": kind, "bytes": nbytes}
    back = pick((0, 0, min(pick(SIZES), most)))
    stall = {}
    if draw.chance(0.2) and nbytes > 1_000:
        stall = {"stall_at": draw.rng.randrange(nbytes), "stall_for_us": pick((SECOND, 10 * SECOND, 200 * SECOND))}
    return {"kind": kind, "bytes": nbytes, "back": back, **stall}


def _tcp(draw: _Draw) -> dict[str, Any]:
    """Settings of one end; what is not drawn stays as it is by default."""
    pick = draw.pick
    if draw.fate == "complete" and draw.chance(0.04):
        return _machine(pick(profiles.names()))
    return {key: pick(values) for chance, key, values in SETTINGS if draw.chance(chance)}


def _machine(name: str) -> dict[str, Any]:
    """One of the textbook machines, as settings; but they find black holes, as there may be some."""
    plain, machine = TcpConfig(), profiles.get(name)
    own = {f.name: getattr(machine, f.name) for f in fields(TcpConfig)}
    return {key: value for key, value in own.items() if value != getattr(plain, key) and key != "mtu_probing"}


# -- events


def _events(draw: _Draw, flows: list[Flow]) -> None:
    hurt = draw.links[draw.hurt].between
    at_us = max(flow.start_us for flow in flows) + draw.rng.randrange(3 * SECOND)
    if draw.fate == "aborted":
        draw.events.append(Event(at_us=at_us, flow=flows[0].name, abort=True))
        return
    if draw.fate != "complete":
        draw.events.append(Event(at_us=at_us, link=hurt, down=True))
        if draw.fate == "outage":
            # twice as long as any end waits: user timeout, or idle time and keep-alive probes
            draw.events.append(Event(at_us=at_us + 4 * GIVE_UP_US, link=hurt, up=True))
        return
    if draw.chance(0.15):
        for _ in range(draw.pick((1, 1, 2))):
            length_us = draw.pick((50 * MS, 500 * MS, 3 * SECOND, 20 * SECOND))
            draw.events.append(Event(at_us=at_us, link=hurt, down=True))
            draw.events.append(Event(at_us=at_us + length_us, link=hurt, up=True))
            draw.outage_us += length_us
            at_us += length_us + 1 + draw.rng.randrange(2 * SECOND)
    if draw.chance(0.1):
        draw.events.append(Event(at_us=draw.rng.randrange(2 * SECOND), link=hurt, set=_way(draw, worst=True)))
    for flow in flows:
        if draw.chance(0.1):
            at_us = flow.start_us
            for _ in range(4):
                at_us += draw.rng.randrange(500 * MS)
                draw.events.append(Event(at_us=at_us, flow=flow.name, renege=True))
    if draw.chance(0.15) and not draw.switches:
        at_us, mtu = draw.rng.randrange(2 * SECOND), draw.pick((1400, 1000, 576, 296))
        # a black hole: nobody is told that longer packets vanish
        draw.events.append(Event(at_us=at_us, link=hurt, mtu=mtu, silent=mtu >= 576 and draw.chance(0.3)))


# -- themes: what would seldom come about by itself


def _crowd(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """Many connections at once to a listener that has room for one or two: SYN cookies.

    A cookie is known by the ACK that takes up its number, and grows old in two minutes.  A later segment that arrives
    first is of no connection, and is reset (RFC 4987 §3.6).  So the path keeps the order, loses and doubles nothing,
    and one segment carries all that the client sends.
    """
    calm = {"loss": None, "burst_loss": None, "corrupt": None, "reorder": None, "duplicate": None}
    calm |= {"queue": None, "discipline": None}
    draw.links = [replace(link, **calm, forward=None, backward=None) for link in draw.links]
    draw.events = []
    draw.outage_us = 0
    backlog, size = draw.pick((1, 2)), draw.pick((0, 1, 50))
    server_tcp = _tcp(draw)
    # a SYN that is sent again needlessly has its second SYN-ACK challenged: that ACK may come first, too
    patient = {"rto_initial_us": 3 * SECOND}
    return [
        Flow(name=f"f{i}", from_=flows[0].from_, to=flows[0].to, port=80, backlog=backlog, bytes=size,
             back=draw.pick((0, 1, 4_000)), start_us=draw.pick((0, 0, MS, 50 * MS)), tcp=_tcp(draw) | patient,
             server_tcp=server_tcp)
        for i in range(draw.pick((3, 6, 10)))
    ]  # fmt: skip


def _again(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """The same pair of ports again and again, while one end is still in TIME-WAIT."""
    model = flows[0]
    draw.events = [event for event in draw.events if event.flow is None]
    small = {"bytes": min(model.bytes or 0, 2_000), "back": min(model.back, 2_000), "port": 80, "iss": None}
    count = draw.pick((2, 4, 8))
    return [
        replace(model, name=f"f{i}", after=f"f{i - 1}" if i else None,
                start_us=draw.pick((0, MS, 300 * MS, 3 * SECOND)), local_port=5_000, **small, **_no_stall())
        for i in range(count)
    ]  # fmt: skip


def _no_stall() -> dict[str, Any]:
    return {"stall_at": None, "stall_for_us": 0}


def _crossing(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """SYNs that cross, and FINs: both ends open and close at the same time."""
    return [
        replace(flow, simultaneous=True, local_port=6_000 + i, iss=None,
                back=draw.pick((flow.bytes or 0, flow.back)) if flow.kind == "bulk" else 0)
        for i, flow in enumerate(flows)
    ]  # fmt: skip


def _trickles(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """Small pieces with pauses between them, some of them urgent, alive by probes."""
    settings = {"keepalive": True, "keepalive_idle_us": draw.pick((SECOND, 20 * SECOND)), "keepalive_probes": 10_000}
    flows = [
        replace(flow, urgent=draw.chance(0.4), tcp=flow.tcp | settings,
                server_tcp=flow.server_tcp | (settings if draw.chance(0.5) else {}))
        for flow in flows
    ]  # fmt: skip
    for i, flow in enumerate(flows):
        if flow.kind == "bulk":
            chunk, pause_us = draw.pick((1, 50, 700, 3_000)), draw.pick((2 * MS, 50 * MS, SECOND, 30 * SECOND))
            flows[i] = replace(flow, chunk=chunk, pause_us=pause_us, bytes=min(flow.bytes or 0, 40 * chunk))
    return flows


def _marks(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """A queue that marks what it would drop, and ends that answer to marks."""
    rate = draw.pick((30_000, 125_000, 1_250_000))
    codel = {"rate": rate, "discipline": "codel", "ecn": True, "queue": "100p", "target_us": draw.pick((500, 5 * MS))}
    draw.links[draw.hurt] = replace(draw.links[draw.hurt], **codel, interval_us=draw.pick((5 * MS, 100 * MS)))
    both = {"ecn": "request"}
    return [
        replace(flow, tcp=flow.tcp | both, server_tcp=flow.server_tcp | both,
                bytes=_longer(draw, flow), **_no_stall()) for flow in flows
    ]  # fmt: skip


def _longer(draw: _Draw, flow: Flow) -> int:
    """More of a bulk flow, so that there is time for something to happen."""
    most = PACKETS_MAX * (min(link.mtu for link in draw.links) - 60)
    return min(most, 160_000) if flow.kind == "bulk" else flow.bytes or 0


def _shifting(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """The size of segments changes while old ones are on their way: late, they overlap what was sent again."""
    late = {"reorder": draw.pick((0.1, 0.3, 0.5)), "reorder_by_us": draw.pick((20 * MS, 300 * MS, SECOND))}
    late |= {"rate": draw.pick((30_000, 125_000, 1_250_000)), "loss": draw.pick((0, 0.02, 0.1))}
    draw.links[draw.hurt] = replace(draw.links[draw.hurt], **late, delay_us=draw.pick((MS, 20 * MS)), forward=None)
    hurt = draw.links[draw.hurt].between
    at_us = min(flow.start_us for flow in flows)
    if not draw.switches:
        for _ in range(draw.pick((4, 12, 30))):
            at_us += draw.rng.randrange(1, 300 * MS)
            draw.events.append(Event(at_us=at_us, link=hurt, mtu=draw.pick((1500, 1400, 1000, 700, 576))))
    settings = {"mtu_raise_us": SECOND}
    return [
        replace(flow, bytes=_longer(draw, flow), tcp=_large(flow.tcp | settings), server_tcp=_large(flow.server_tcp),
                **_no_stall())
        for flow in flows
    ]  # fmt: skip


def _recut(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """Large segments come late, when some of the small ones that were sent in their place are there already.

    Half of a window of jumbo segments is on a detour while the MTU falls; what is taken for lost goes again in pieces,
    of which some are late or lost themselves.  So what comes at last overlaps the front, and runs with gaps between.
    """
    late: dict[str, Any] = {"reorder": draw.pick((0.3, 0.5))}
    late |= {"reorder_by_us": draw.pick((500 * MS, SECOND, 3 * SECOND))}
    late |= {"rate": draw.pick((None, 1_250_000)), "loss": draw.pick((0.02, 0.1)), "delay_us": draw.pick((MS, 20 * MS))}
    late |= {"queue": None, "discipline": None, "jitter_us": None}
    draw.links = [replace(link, mtu=9000, forward=None, backward=None) for link in draw.links]
    draw.links[draw.hurt] = replace(draw.links[draw.hurt], **late)
    draw.events = [event for event in draw.events if event.mtu is None and event.set is None]
    hurt = draw.links[draw.hurt].between
    at_us = min(flow.start_us for flow in flows)
    if not draw.switches:
        for _ in range(draw.pick((1, 3, 10))):
            at_us += draw.rng.randrange(10 * MS, 500 * MS)
            draw.events.append(Event(at_us=at_us, link=hurt, mtu=draw.pick((1000, 576, 296))))
            at_us += draw.rng.randrange(SECOND, 4 * SECOND)
            draw.events.append(Event(at_us=at_us, link=hurt, mtu=9000))
    settings = {"mtu_raise_us": SECOND, "initial_window_segs": draw.pick((10, 20)), "nodelay": True}
    return [
        replace(flow, bytes=_longer(draw, flow), tcp=_large(flow.tcp) | settings, server_tcp=_large(flow.server_tcp),
                **_no_stall())
        for flow in flows
    ]  # fmt: skip


def _large(settings: dict[str, Any]) -> dict[str, Any]:
    """Without limits that make every segment small."""
    small = (
        "mss_limit",
        "recv_buffer",
        "recv_buffer_initial",
        "send_buffer",
        "out_of_order_bytes",
        "timestamps",
        "notsent_lowat",
    )
    return {key: value for key, value in settings.items() if key not in small}


def _poor(draw: _Draw, flows: list[Flow]) -> list[Flow]:
    """A server with little memory whose applications read late."""
    model = flows[0]
    draw.links = [
        replace(link, mtu=9000, forward=None, rate=None if link.rate is None else max(link.rate, 125_000))
        for link in draw.links
    ]
    draw.events = [event for event in draw.events if event.mtu is None and event.set is None and event.flow is None]
    draw.hosts = [replace(host, memory=1 << 20 if host.name == model.to else None) for host in draw.hosts]
    count = draw.pick((2, 4, 5))
    wide = {"recv_buffer_initial": draw.pick((64 << 10, 1 << 20)), "send_buffer_initial": 1 << 20}
    return [
        replace(model, name=f"f{i}", kind="bulk", bytes=draw.pick((50_000, 200_000, 400_000)), back=0,
                stall_at=draw.pick((0, 1, 50_000)), stall_for_us=draw.pick((SECOND, 10 * SECOND)),
                tcp=_large(model.tcp) | wide, server_tcp=_large(model.server_tcp) | wide)
        for i in range(count)
    ]  # fmt: skip


_THEMES: Final[dict[str, Callable[[_Draw, list[Flow]], list[Flow]]]] = {
    "crowd": _crowd,
    "again": _again,
    "crossing": _crossing,
    "trickles": _trickles,
    "marks": _marks,
    "shifting": _shifting,
    "recut": _recut,
    "poor": _poor,
}
THEME_NAMES: Final = tuple(_THEMES)


# -- the bound


def _bound_us(draw: _Draw, flows: list[Flow]) -> int:
    """Virtual time within which all flows must be over.

    Backed off, a timeout is at most 120 s.  At 30 % loss both ways every other try fails: thirty tries in a row,
    that is an hour, have a chance of 2^-30.  But without timestamps the timeout stays backed off while everything has
    to be retransmitted (RFC 6298 §5.7), so that hours may pass until the last of some dozen segments is through.
    """
    ways = [link.way(name) for link in draw.links for name in ("forward", "backward")]
    ways += [event.set for event in draw.events if event.set is not None]
    rate = min((way.rate for way in ways if way.rate), default=1 << 30)
    nbytes = sum((flow.bytes or 0) * 2 + flow.back for flow in flows)
    waits = sum(flow.start_us + flow.stall_for_us for flow in flows)
    waits += sum(flow.pause_us * ((flow.bytes or 0) // flow.chunk + 1) for flow in flows if flow.chunk)
    fixed = draw.outage_us + waits + 20 * nbytes * SECOND // rate
    limits = [settings for flow in flows for settings in (flow.tcp, flow.server_tcp)]
    slow = any(not s.get("fast_retransmit", True) or s.get("out_of_order_bytes", MINUTE) < 3_000 for s in limits)
    harm = max((way.loss or 0.0) + (way.corrupt or 0.0) + 2 * (way.burst_loss is not None) for way in ways)
    if draw.fate != "complete":
        return fixed + 20 * MINUTE
    return fixed + (16 * 60 * MINUTE if slow or harm > 0.03 else 120 * MINUTE)
