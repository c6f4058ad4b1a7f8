import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.packet import Raw

from stack.config import NEVER, IpConfig
from stack.ip.output import fragment
from stack.ip.reassembly import DATAGRAM_COST, FRAGMENT_COST, Reassembly
from stack.stats import Counter, DropReason, Stats
from stack.wire import ipv4
from tests.support.rfc import rfc

SRC, DST = 0x0A000001, 0x0A000002


def header(offset=0, *, more=False, ident=1, proto=17, src=SRC, tos=0, options=b""):
    assert offset % 8 == 0
    made = ipv4.pack(
        total=60,
        proto=proto,
        src=src,
        dst=DST,
        ident=ident,
        tos=tos,
        flags_offset=offset // 8 | (ipv4.MF if more else 0),
        hlen=20 + len(options),
    )
    return made + options


class Box:
    def __init__(self, **config):
        self.stats = Stats()
        self.table = Reassembly(IpConfig(**config), self.stats)

    def put(self, offset, data, *, more, now=0, **fields):
        return self.table.on_fragment(1, header(offset, more=more, **fields), data, now)

    def drops(self):
        return {r for r in DropReason if self.stats.drops[r]}


@pytest.fixture
def box():
    return Box()


def pieces(data, size):
    return [(at, data[at : at + size], at + size < len(data)) for at in range(0, len(data), size)]


@rfc("1122", "3.3.2", "IP-4")
@given(st.integers(20, 65_515), st.integers(1, 185), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_any_order_with_duplicates_gives_the_datagram_back(length, size, rng):
    data = random.Random(length).randbytes(length)
    parts = pieces(data, max(size * 8, 104, -(-length // 400) * 8))
    parts += rng.sample(parts, min(3, len(parts)))
    rng.shuffle(parts)
    box = Box()
    done = []
    for at, part, more in parts:
        got = box.put(at, part, more=more)
        if got:
            done.append(got.payload())
    # A duplicate that comes after the whole datagram begins a new one, as it must: nothing is remembered.
    assert done[0] == data
    assert DropReason.IP_FRAG_OVERLAP not in box.drops()


@rfc("1122", "3.3.2", "IP-4")
def test_the_header_is_that_of_the_first_fragment_made_whole(box):
    assert box.put(64, b"b" * 10, more=False, tos=0) is None
    whole = box.put(0, b"a" * 64, more=True, tos=0x10)
    packet = IP(whole.header() + whole.payload())
    assert (packet.len, packet.id, packet.flags, packet.frag, packet.tos) == (94, 1, 0, 0, 0x10)
    assert whole.payload() == b"a" * 64 + b"b" * 10
    assert box.table.used == 0
    assert len(box.table) == 0
    assert box.stats.counts[Counter.IP_REASSEMBLED] == 1


def test_a_congestion_mark_on_any_fragment_marks_the_whole(box):
    box.put(0, b"a" * 64, more=True, tos=2)
    assert box.put(64, b"b", more=False, tos=3).header()[1] & 3 == 3


@rfc("1122", "3.3.2", "IP-4")
@pytest.mark.parametrize("other", [{"src": SRC + 1}, {"proto": 6}, {"ident": 2}])
def test_datagrams_are_told_apart(box, other):
    box.put(0, b"a" * 64, more=True)
    assert box.put(64, b"b" * 8, more=False, **other) is None
    assert len(box.table) == 2
    assert box.put(64, b"c" * 8, more=False).payload() == b"a" * 64 + b"c" * 8


@rfc("5722", "4", "IP-5")
@pytest.mark.parametrize(
    ("offset", "data", "more"),
    [
        (56, b"x" * 16, True),  # over the end of the first
        (0, b"x" * 64, True),  # the same place, other data
        (0, b"a" * 56, True),  # inside
        (8, b"a" * 8, True),
        (0, b"a" * 72, True),  # around
        (120, b"x" * 16, True),  # into the third
        (128, b"x" * 8, False),  # a second end
        (136, b"x" * 8, True),  # beyond the end
        (64, b"x" * 8, False),  # an end before what is held
    ],
)
def test_any_overlap_or_contradiction_condemns_the_datagram(box, offset, data, more):
    box.put(0, b"a" * 64, more=True)
    box.put(128, b"c" * 16, more=False)
    assert box.put(offset, data, more=more) is None
    assert DropReason.IP_FRAG_OVERLAP in box.drops()
    assert box.put(64, b"b" * 64, more=True) is None  # what would have completed it
    assert box.put(0, b"a" * 64, more=True) is None
    assert len(box.table) == 1  # condemned until its time is over
    assert box.table.used == DATAGRAM_COST
    assert box.table.on_timer(60_000_000) == []


@rfc("5722", "4", "IP-5")
def test_an_exact_duplicate_is_harmless(box):
    box.put(0, b"a" * 64, more=True)
    used = box.table.used
    assert box.put(0, b"a" * 64, more=True) is None
    assert box.table.used == used
    assert box.put(64, b"b" * 9, more=False).payload() == b"a" * 64 + b"b" * 9
    assert box.drops() == set()


@rfc("5722", "4", "IP-5")
@pytest.mark.parametrize(
    ("proto", "offset", "size", "reason"),
    [
        (6, 0, 16, DropReason.IP_FRAG_TINY),  # TCP ports but no flags
        (6, 8, 64, DropReason.IP_FRAG_TINY),  # would rewrite the TCP flags
        (17, 0, 0, DropReason.IP_FRAG_BAD_LENGTH),
        (17, 0, 20, DropReason.IP_FRAG_BAD_LENGTH),  # not a multiple of eight
        (17, 65_512, 8, DropReason.IP_FRAG_TOO_LONG),
    ],
)
def test_fragments_refused_by_themselves(box, proto, offset, size, reason):
    assert box.put(offset, b"x" * size, more=True, proto=proto) is None
    assert box.drops() == {reason}
    assert len(box.table) == 0


@rfc("1122", "3.3.2", "IP-4")
def test_a_timeout_is_reported_only_when_fragment_0_was_seen(box):
    options = b"\x94\x04\x00\x00"
    box.table.on_fragment(1, header(0, more=True, ident=1, options=options), b"a" * 64, 0)
    box.put(64, b"b" * 64, more=True, ident=2)
    assert box.table.deadline == 60_000_000
    assert box.table.on_timer(59_999_999) == []
    [(ifindex, packet)] = box.table.on_timer(60_000_000)
    assert ifindex == 1
    assert IP(packet).id == 1
    assert packet[20:24] == options
    assert packet[24:] == b"a" * 64
    assert box.stats.drops[DropReason.IP_FRAG_TIMEOUT] == 2
    assert box.table.deadline == NEVER
    assert box.table.used == 0


@rfc("5722", "4", "IP-5")
def test_memory_is_bounded_and_the_oldest_go():
    box = Box(reassembly_bytes=50_000, reassembly_datagrams=1000)
    for ident in range(500):
        box.put(0, bytes(1024), more=True, ident=ident)
        assert box.table.used <= 50_000
    assert len(box.table) == 50_000 // (1024 + FRAGMENT_COST + DATAGRAM_COST)
    assert box.stats.drops[DropReason.IP_FRAG_MEMORY] == 500 - len(box.table)
    assert box.put(1024, b"end", more=False, ident=499) is not None


def test_the_number_of_datagrams_is_bounded():
    box = Box(reassembly_datagrams=10)
    for ident in range(50):
        box.put(8, b"x" * 8, more=True, ident=ident)
    assert len(box.table) == 10


def test_tiny_fragments_cannot_hide_their_cost():
    box = Box(reassembly_bytes=20_000)
    for n in range(1000):
        box.put(16 * n, b"x" * 8, more=True)
        assert box.table.used <= 20_000


fragments = st.tuples(st.integers(0, 30), st.integers(0, 40), st.booleans(), st.integers(0, 2))


@rfc("5722", "4", "IP-5")
@given(st.lists(fragments, max_size=40))
@example([(0, 8, True, 0), (1, 8, False, 0)])
def test_whatever_comes_out_was_tiled_by_what_went_in(received):
    box = Box(reassembly_bytes=6000)
    seen = {}
    for at, length, more, fill in received:
        data = bytes([fill]) * length
        seen.setdefault((at * 8, length), set()).add(data)
        whole = box.put(at * 8, data, more=more)
        assert 0 <= box.table.used <= 6000
        if whole:
            assert whole.end == sum(map(len, whole.pieces))
            for offset, piece in zip(whole.offsets, whole.pieces, strict=True):
                assert piece in seen[offset, len(piece)]
            assert whole.offsets[0] == 0


def fragments_of(packet, mtu):
    hlen = (packet[0] & 15) * 4
    out = []
    for head, at, size in fragment(packet[:hlen], len(packet) - hlen, mtu):
        piece = IP(head + packet[hlen + at : hlen + at + size])
        del piece.len, piece.chksum
        out.append(IP(bytes(piece)))
    return out


@rfc("791", "2.3", "IP-9")
@given(
    st.integers(1, 9000), st.integers(68, 1500), st.sampled_from([b"", b"\x94\x04\x00\x00", b"\x07\x07\x04" + bytes(5)])
)
@settings(deadline=None)
def test_fragments_fit_and_go_together_again(length, mtu, options):
    data = random.Random(length).randbytes(length)
    packet = ipv4.pack(total=20, proto=17, src=SRC, dst=DST, ident=9, hlen=20 + len(options)) + options + data
    parts = fragments_of(packet, mtu)
    assert all(len(p) <= mtu for p in parts)
    assert all((len(p) - p.ihl * 4) % 8 == 0 for p in parts[:-1])
    assert [bool(p.flags.MF) for p in parts] == [True] * (len(parts) - 1) + [False]
    assert b"".join(bytes(p.payload) for p in parts) == data
    assert all(p.ihl == 5 + (len(options) // 4 if n == 0 or options[:1] == b"\x94" else 0) for n, p in enumerate(parts))


@rfc("791", "2.3", "IP-9")
def test_a_fragment_can_be_cut_again():
    data = bytes(range(200)) * 5
    first = IP(src="10.0.0.1", dst="10.0.0.2", id=5, flags="MF", frag=100, proto=17) / Raw(data)
    parts = fragments_of(bytes(first), 300)
    assert parts[0].frag == 100
    assert all(p.flags.MF for p in parts)  # the last piece of a fragment that is not the last
    assert b"".join(bytes(p.payload) for p in parts) == data
