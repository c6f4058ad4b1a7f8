"""What seeded runs once found, each as a case of its own."""

from tests.support.frames import End, tcp_frame
from tests.support.net import TestNet


def test_a_stray_ack_in_the_first_minute_is_no_cookie_of_the_minute_before() -> None:
    with TestNet() as net:
        net.b.listen(0, 80)
        a = End(net.link.a.mac, bytes([10, 0, 0, 1]), 4_000)
        b = End(net.link.b.mac, bytes([10, 0, 0, 2]), 80)
        net.run_for(1_000)
        for tick in range(32):  # the high bits of a cookie
            net.link.forward.offer(tcp_frame(a, b, "A", 1, (tick << 27) + 1), net.now)
        net.run_for(1_000)
        assert net.b.connections() == []
