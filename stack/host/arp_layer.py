"""ARP on the interfaces of a host: answers, asks, learns, defends (RFC 826, RFC 5227).

Theory of operation.  Joins the pure tables (`NeighborTable`, `AddressClaim`) with the interfaces' sinks.  `on_arp`
takes a packet from the wire; `pump` sends what the tables want sent; both return nothing: failures are left in
`neighbors.failures` and addresses lost to a conflict in `lost`, for the IP layer to act upon.
"""

from stack.config import NEVER, IpConfig, Rng
from stack.host.interface import Interface
from stack.ip import claim as claims
from stack.ip.claim import AddressClaim
from stack.ip.neighbors import INCOMPLETE, PROBE, NeighborTable
from stack.ip.routes import choose_source
from stack.stats import Counter, DropReason, Stats
from stack.wire import arp
from stack.wire.addr import MAC_BROADCAST, MAC_ZERO, is_unicast, prefix_mask
from stack.wire.ethernet import HLEN as ETH_HLEN
from stack.wire.ethernet import MIN_FRAME
from stack.wire.frame import GSO_NONE, TxFrame


def load_raw(frame: TxFrame, data: bytes) -> None:
    """Refill `frame` with one complete Ethernet frame that needs nothing more."""
    frame.header[:ETH_HLEN] = data[:ETH_HLEN]
    frame.start = 0
    frame.header_end = ETH_HLEN
    frame.payload = data
    frame.payload_off = ETH_HLEN
    frame.payload_len = len(data) - ETH_HLEN
    frame.flags = 0
    frame.gso_type = GSO_NONE
    frame.gso_size = 0


class ArpLayer:
    """See the head of this file.  `interfaces` and `local_addrs` are those of the IP layer, shared."""

    __slots__ = ("_claims", "_config", "_frame", "_interfaces", "_local_addrs", "_rng", "_stats", "lost", "neighbors")

    def __init__(
        self, config: IpConfig, rng: Rng, stats: Stats, interfaces: dict[int, Interface], local_addrs: dict[int, int]
    ) -> None:
        self._config = config
        self._rng = rng
        self._stats = stats
        self._interfaces = interfaces
        self._local_addrs = local_addrs
        self._claims: dict[int, AddressClaim] = {}  # by address
        self._frame = TxFrame()
        self.neighbors = NeighborTable(config, stats)
        self.lost: list[AddressClaim] = []

    # --- addresses -------------------------------------------------------------------------------------------------

    def claim(self, interface: Interface, addr: int, prefix_len: int, now: int) -> AddressClaim:
        """Start to claim an address.  RFC 5227 §2.1 (ARP-6)."""
        made = AddressClaim(
            interface.index, addr, prefix_len, interface.mac, self._rng, now, probe=self._config.arp_probe
        )
        self._claims[addr] = made
        return made

    def release(self, addr: int) -> None:
        """The address is no longer wanted."""
        self._claims.pop(addr, None)

    def claim_states(self) -> dict[int, str]:
        """Address -> state of its claim, for status output."""
        return {addr: claims.STATE_NAMES[c.state] for addr, c in self._claims.items()}

    # --- input -----------------------------------------------------------------------------------------------------

    def on_arp(self, interface: Interface, packet: bytes, now: int) -> None:
        """One ARP packet from the wire, in the order of RFC 826 (packet reception)."""
        msg = arp.parse(packet)
        if msg is None:
            self._stats.drops[DropReason.ARP_MALFORMED] += 1
            return
        # RFC 1122 §2.3.2 (ARP-2): no learning from impossible senders
        if msg.sha == MAC_ZERO or msg.sha[0] & 1 or msg.sha == interface.mac or (msg.spa and not is_unicast(msg.spa)):
            self._stats.drops[DropReason.ARP_BAD_SENDER] += 1
            return
        self._stats.counts[Counter.ARP_IN_REQUESTS if msg.op == arp.REQUEST else Counter.ARP_IN_REPLIES] += 1
        if self._check_conflict(interface, msg, now):
            return
        ours = self._local_addrs.get(msg.tpa) == interface.index
        if msg.spa and msg.spa not in self._local_addrs:
            self._learn(interface, msg, now, ours=ours)
        if ours and msg.op == arp.REQUEST:
            self._stats.counts[Counter.ARP_OUT_REPLIES] += 1
            self._send(interface, msg.sha, arp.REPLY, msg.tpa, msg.sha, msg.spa)
        self.pump(now)

    def _check_conflict(self, interface: Interface, msg: arp.Arp, now: int) -> bool:
        for held in (self._claims.get(msg.spa), self._claims.get(msg.tpa)):
            if held is None or held.ifindex != interface.index or not held.is_conflict(msg):
                continue
            self._stats.counts[Counter.ARP_CONFLICTS] += 1
            if held.on_conflict(now) == claims.ANNOUNCE:
                self._announce(held)
            elif held.state == claims.LOST:
                self.lost.append(held)
            return True
        return False

    def _learn(self, interface: Interface, msg: arp.Arp, now: int, *, ours: bool) -> None:
        entry = self.neighbors.get(interface.index, msg.spa)
        solicited = msg.op == arp.REPLY and ours and entry is not None and entry.state in (INCOMPLETE, PROBE)
        on_link = any((msg.spa ^ a) & prefix_mask(n) == 0 for a, n in interface.addrs)
        self.neighbors.learn(
            interface.index,
            msg.spa,
            msg.sha,
            now,
            create=ours and on_link and msg.op == arp.REQUEST,
            solicited=solicited,
        )

    # --- output ----------------------------------------------------------------------------------------------------

    def pump(self, now: int) -> None:  # noqa: ARG002 - the signature of all pumps
        """Send the requests that are due and the frames that waited."""
        neighbors = self.neighbors
        while neighbors.requests:
            entry, unicast = neighbors.requests.pop()
            interface = self._interfaces.get(entry.ifindex)
            if interface is None:
                continue
            self._stats.counts[Counter.ARP_OUT_REQUESTS] += 1
            self._send(
                interface,
                entry.mac if unicast else MAC_BROADCAST,
                arp.REQUEST,
                choose_source(interface.addrs, entry.addr),
                MAC_ZERO,
                entry.addr,
            )
        if neighbors.released:
            released, neighbors.released = neighbors.released, []
            for entry, frames in released:
                interface = self._interfaces.get(entry.ifindex)
                for data in frames if interface is not None else ():
                    load_raw(self._frame, entry.mac + data[6:])
                    interface.sink.send(self._frame)  # type: ignore[union-attr]

    def _send(self, interface: Interface, dst: bytes, op: int, spa: int, tha: bytes, tpa: int) -> None:
        data = arp.frame(dst, op, interface.mac, spa, tha, tpa)
        load_raw(self._frame, data + bytes(MIN_FRAME - len(data)))
        interface.sink.send(self._frame)

    def _announce(self, held: AddressClaim) -> None:
        """RFC 5227 §2.3: a request whose sender and target address are both the one claimed."""
        interface = self._interfaces[held.ifindex]
        self._send(interface, MAC_BROADCAST, arp.REQUEST, held.addr, MAC_ZERO, held.addr)

    # --- time ------------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int:
        """When `on_timer` wants to be called."""
        return min(self.neighbors.deadline, min((c.deadline for c in self._claims.values()), default=NEVER))

    def on_timer(self, now: int) -> list[AddressClaim]:
        """Advance claims and neighbours.  Returns the claims that have just been proven."""
        proven = []
        for held in self._claims.values():
            if held.deadline > now:
                continue
            before = held.is_proven()
            action = held.on_timer(now)
            if action == claims.PROBE:
                self._stats.counts[Counter.ARP_OUT_REQUESTS] += 1
                self._send(self._interfaces[held.ifindex], MAC_BROADCAST, arp.REQUEST, 0, MAC_ZERO, held.addr)
            elif action == claims.ANNOUNCE:
                self._announce(held)
                if not before:
                    proven.append(held)
        self.neighbors.on_timer(now)
        self.pump(now)
        return proven
