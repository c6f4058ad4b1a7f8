import pytest

from stack.config import NEVER, IpConfig
from stack.ip import neighbors as nb
from stack.ip.neighbors import NeighborTable
from stack.stats import DropReason, Stats
from tests.support.rfc import rfc

S = 1_000_000
MAC = bytes.fromhex("020000000001")
MAC2 = bytes.fromhex("020000000009")
PEER = 0x0A000001


class Clocked:
    """A table and what came out of it: (time, address, unicast) of each request, and failures."""

    def __init__(self, **config):
        self.config = IpConfig(**config)
        self.stats = Stats()
        self.table = NeighborTable(self.config, self.stats)
        self.now = 10 * S
        self.asked = []
        self.failed = []
        self.released = []

    def drain(self):
        table = self.table
        self.asked += [(self.now, entry.addr, unicast) for entry, unicast in table.requests]
        self.failed += [(self.now, entry.addr, frames) for entry, frames in table.failures]
        self.released += [frames for _, frames in table.released]
        for queue in (table.requests, table.failures, table.released, table.recovered):
            queue.clear()

    def use(self, addr=PEER):
        entry = self.table.use(1, addr, self.now)
        self.drain()
        return entry

    def reply(self, addr=PEER, mac=MAC, *, solicited=True, create=False):
        self.table.learn(1, addr, mac, self.now, create=create, solicited=solicited)
        self.drain()

    def advance(self, us):
        end = self.now + us
        while self.table.deadline <= end:
            self.now = max(self.now, self.table.deadline)
            self.table.on_timer(self.now)
            self.drain()
        self.now = end

    def state(self, addr=PEER):
        entry = self.table.get(1, addr)
        return nb.STATE_NAMES[entry.state] if entry else None


@pytest.fixture
def c():
    return Clocked()


@rfc("1122", "2.3.2.1", "ARP-4")
def test_one_request_a_second_then_failure(c):
    for _ in range(50):
        c.use()
    c.table.enqueue(c.table.get(1, PEER), [b"frame"])
    c.advance(10 * S)
    start = 10 * S
    assert c.asked == [(start, PEER, False), (start + S, PEER, False), (start + 2 * S, PEER, False)]
    assert c.failed == [(start + 3 * S, PEER, [b"frame"])]
    assert c.state() == "FAILED"


@rfc("1122", "2.3.2.1", "ARP-4")
def test_no_flood_by_failing_and_asking_again():
    c = Clocked()
    for _ in range(100):
        c.use()
        c.advance(100_000)
    times = [t for t, _, _ in c.asked]
    assert times == [(10 + n) * S for n in range(11)]


@rfc("1122", "2.4", "ARP-7")
def test_after_a_failure_the_next_use_asks_again(c):
    """A neighbour that was deaf for a while gets what is sent to it as soon as it hears again."""
    c.use()
    c.advance(3 * S)
    assert c.state() == "FAILED"
    entry = c.use()
    assert c.state() == "INCOMPLETE"
    assert len(c.asked) == 4
    assert c.table.enqueue(entry, [b"frame"])
    c.reply()
    assert c.released == [[b"frame"]]


@rfc("1122", "2.3.2.1", "ARP-3")
def test_the_life_of_a_neighbour(c):
    """Reachable, stale, delay, probe by unicast, and reachable again or gone."""
    c.use()
    c.reply()
    assert c.state() == "REACHABLE"
    before = c.table.generation
    c.advance(c.config.arp_reachable_us)
    assert c.state() == "STALE"
    assert c.table.generation == before + 1
    assert c.table.deadline == NEVER  # nobody uses it: nothing is asked
    assert c.use().is_usable()
    assert c.state() == "DELAY"
    assert len(c.asked) == 1
    c.advance(nb.DELAY_US)
    assert c.state() == "PROBE"
    assert c.asked[-1] == (c.now, PEER, True)
    c.advance(S // 2)
    c.reply()
    assert c.state() == "REACHABLE"
    c.advance(c.config.arp_reachable_us)
    c.use()
    before = c.table.generation
    c.advance(nb.DELAY_US + 3 * S)
    assert [unicast for _, _, unicast in c.asked[-3:]] == [True, False, False]
    assert c.state() == "FAILED"
    assert c.table.generation > before
    assert len(c.failed) == 1


def test_a_transport_can_confirm_and_doubt(c):
    c.use()
    c.reply()
    c.advance(c.config.arp_reachable_us)
    entry = c.use()
    c.table.confirm(entry, c.now)
    assert c.state() == "REACHABLE"
    c.advance(nb.DELAY_US + S)
    assert len(c.asked) == 1  # it was never probed
    c.table.doubt(entry, c.now)
    c.drain()
    assert c.asked[-1] == (c.now, PEER, True)
    c.table.doubt(entry, c.now)
    c.drain()
    assert len(c.asked) == 2


@rfc("1122", "2.3.2.2", "ARP-5")
def test_the_latest_packets_are_kept_and_come_out_in_order():
    c = Clocked(arp_queue_frames=3)
    entry = c.use()
    for n in range(5):
        assert c.table.enqueue(entry, [b"%d" % n, b"fragment"])
    assert c.stats.drops[DropReason.ARP_QUEUE_FULL] == 2
    c.reply()
    assert c.released == [[b"2", b"fragment"], [b"3", b"fragment"], [b"4", b"fragment"]]
    assert entry.queue_bytes == 0


def test_the_queue_is_bounded_in_bytes_too():
    each = 300 + nb.PACKET_BYTES
    c = Clocked(arp_queue_bytes=3 * each + 100)
    entry = c.use()
    for _ in range(16):
        c.table.enqueue(entry, [bytes(300)])
    assert entry.queue_bytes == 3 * each
    assert len(entry.queue) == 3
    assert len(list(c.table.waiting())) == 3


def test_a_first_burst_of_small_datagrams_waits_whole():
    c = Clocked()
    entry = c.use()
    for n in range(400):
        c.table.enqueue(entry, [b"%d" % n])
    assert not c.stats.drops[DropReason.ARP_QUEUE_FULL]
    for n in range(2000):
        c.table.enqueue(entry, [b"%d" % n])
    assert entry.queue_bytes <= 256 << 10  # the control: it has a bound
    assert c.stats.drops[DropReason.ARP_QUEUE_FULL] > 1800


@rfc("826", "0", "ARP-1")
def test_merge_always_and_insert_only_when_asked_ourselves(c):
    c.reply(solicited=False)
    assert c.state() is None
    c.reply(solicited=False, create=True)
    assert c.state() == "STALE"
    c.use()
    before = c.table.generation
    c.reply(mac=MAC2, solicited=False)
    assert c.table.get(1, PEER).mac == MAC2
    assert c.table.generation > before


@rfc("1122", "2.3.2.1", "ARP-4")
def test_a_contradiction_is_believed_and_verified_at_once_but_not_more_than_once_a_second(c):
    c.use()
    c.reply()
    c.advance(2 * S)
    for n in range(100):
        c.reply(mac=bytes([2, 0, 0, 0, 1, n]), solicited=False)
        assert c.state() == "PROBE"
        assert c.use().mac == bytes([2, 0, 0, 0, 1, n])
    assert c.asked[1:] == [(c.now, PEER, False)]
    c.reply()  # who is asked answers: a contradiction again
    assert c.table.get(1, PEER).mac == MAC
    assert c.state() == "PROBE"
    c.advance(S)
    assert len(c.asked) == 3
    c.reply()
    assert c.state() == "REACHABLE"
    c.advance(S)
    assert len(c.asked) == 3


def test_a_forged_answer_to_a_verification_does_not_stand(c):
    """It comes just when we ask; the true answer to the next question puts it right."""
    c.use()
    c.reply()
    c.advance(c.config.arp_reachable_us)
    c.use()
    c.advance(nb.DELAY_US)
    assert c.state() == "PROBE"
    c.reply(mac=MAC2)
    assert c.use().mac == MAC2
    assert c.state() == "PROBE"
    c.advance(S)
    assert c.asked[-1] == (c.now, PEER, False)
    c.reply()
    assert c.use().mac == MAC
    c.advance(S)
    c.reply()
    assert c.state() == "REACHABLE"


def test_a_packet_that_tells_nothing_new_does_not_renew_trust(c):
    c.use()
    c.reply()
    c.advance(c.config.arp_reachable_us)
    c.reply(solicited=False)
    assert c.state() == "STALE"


def test_frames_that_wait_go_out_with_whatever_tells_the_address(c):
    entry = c.use()
    c.table.enqueue(entry, [b"frame"])
    c.reply(solicited=False)
    assert c.released == [[b"frame"]]
    assert c.state() == "DELAY"


def test_permanent_entries_neither_age_nor_change():
    c = Clocked(arp_entries=2)
    c.table.add_permanent(1, PEER, MAC)
    c.reply(mac=MAC2)
    for n in range(10):
        c.use(PEER + 1 + n)
    c.advance(1000 * S)
    entry = c.table.get(1, PEER)
    assert (entry.mac, entry.state) == (MAC, nb.REACHABLE)
    assert len(c.table) == 2


def test_the_table_is_bounded_and_floods_evict_their_like():
    c = Clocked(arp_entries=8)
    proven = [PEER + n for n in range(4)]
    for addr in proven:
        c.use(addr)
        c.reply(addr)
    for n in range(1000):
        c.reply(PEER + 100 + n, solicited=False, create=True)
        c.use(PEER + 2000 + n)
        assert len(c.table) <= 8
    assert all(c.state(addr) == "REACHABLE" for addr in proven)
    assert c.stats.drops[DropReason.ARP_TABLE_FULL] == 2000 + 4 - 8


def test_among_proven_neighbours_the_least_recently_used_makes_room():
    c = Clocked(arp_entries=3)
    for n in range(3):
        c.use(PEER + n)
        c.reply(PEER + n)
    c.use(PEER)
    before = c.table.generation
    c.use(PEER + 9)
    assert [c.state(PEER + n) for n in range(3)] == ["REACHABLE", None, "REACHABLE"]
    assert c.table.generation > before  # a path may still point to the evicted one


def test_timers_of_many_evicted_entries_do_not_pile_up():
    c = Clocked(arp_entries=16)
    for n in range(5000):
        c.use(PEER + n)
    assert len(c.table._heap) <= 4 * 16 + 64
    c.advance(5 * S)
    assert {addr for _, addr, _ in c.failed} <= {PEER + n for n in range(5000)}
    assert len(c.failed) == 16


def test_an_interface_takes_its_neighbours_with_it(c):
    c.use()
    c.reply()
    before = c.table.generation
    c.table.forget_interface(1)
    assert len(c.table) == 0
    assert c.table.generation > before
    c.advance(100 * S)
    assert c.failed == []
