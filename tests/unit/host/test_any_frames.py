"""Whatever a link brings, IP raises nothing, keeps within its bounds and still answers."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.core_frames import spoiled, vnet
from tests.support.ip_subject import Subject, ping


@given(st.booleans(), st.lists(st.tuples(spoiled(), vnet), max_size=30), st.integers(0, 100_000_000))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_frames(forwarding, frames, wait):
    s = Subject(forwarding=forwarding, arp_entries=8, reassembly_bytes=20_000)
    far = s.add_link("tap1", "10.0.0.2", 24, "02:00:00:00:01:02", mtu=576)
    s.ip.add_route(0, 0, gateway=0x0A000001)
    s.ip.udp.open(0, 53)
    s.link.learn()
    for frame, offload in frames:
        s.rx((frame, *offload))
        far.rx((b"\x02\0\0\0\x01\x02" + frame[6:], *offload))
    s.advance(wait)
    assert len(s.ip.neighbors) <= 8
    assert s.ip.reassembly.used <= 20_000
    assert len(s.ip.errors) <= 256
    s.link.learn()
    far.take()
    s.take()
    s.rx(ping(b"still there"))
    assert s.take_ip()[0].load == b"still there"
