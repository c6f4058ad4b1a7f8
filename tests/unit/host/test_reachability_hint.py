"""A conversation that makes progress tells ARP that the neighbour lives; one-way traffic does not."""

from stack.config import SECOND
from stack.stats import Counter
from tests.support.net import ADDR_B, TestNet
from tests.support.rfc import rfc

LASTS_S = 120


def arp_requests(*, tcp: bool) -> int:
    """Requests of host a in two minutes of talking to host b every second."""
    with TestNet() as net:
        client, server = net.connect()
        endpoint = net.a.udp_open(0, 0, net.now)
        net.network.run_for(10 * SECOND)  # the address is claimed by then
        before = net.a.stats.counts[Counter.ARP_OUT_REQUESTS]
        for _ in range(LASTS_S):
            if tcp:
                client.send(b"x", net.now)
                net.a.wake(client)
            else:
                net.a.udp_send(endpoint, b"x", ADDR_B, 9, net.now)
            net.network.run_for(SECOND)
            server.recv_chunks()
        return net.a.stats.counts[Counter.ARP_OUT_REQUESTS] - before


@rfc("1122", "2.3.2.1", "ARP-3")
def test_a_connection_in_use_spares_the_arp_polls():
    assert arp_requests(tcp=True) == 0


def test_without_answers_the_neighbour_is_polled():
    assert arp_requests(tcp=False) > 0
