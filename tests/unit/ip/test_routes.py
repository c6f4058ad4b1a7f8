import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from stack.config import NEVER
from stack.ip.routes import (
    DEAD_GATEWAY_US,
    MAX_REDIRECTS,
    MAX_ROUTES,
    REDIRECT_LIFETIME_US,
    Route,
    RouteTable,
    choose_source,
)
from stack.wire.addr import parse_addr, parse_cidr
from tests.support.rfc import rfc

A = parse_addr


def table(*routes):
    made = RouteTable()
    for dst, ifindex, *rest in routes:
        made.add(Route(*parse_cidr(dst), ifindex, **(rest[0] if rest else {})))
    return made


prefixes = st.tuples(st.integers(0, 0xFFFF_FFFF), st.integers(0, 32))


@rfc("1122", "3.3.1", "IP-10")
@given(st.lists(prefixes, max_size=12), st.lists(st.integers(0, 0xFFFF_FFFF), max_size=8))
def test_the_longest_prefix_wins(nets, destinations):
    routes = RouteTable()
    for n, (prefix, length) in enumerate(nets):
        routes.add(Route(prefix, length, n + 1))
    for dst in destinations + [prefix for prefix, _ in nets]:
        best = -1
        expected = set()
        for n, (prefix, length) in enumerate(nets):
            if ipaddress.IPv4Address(dst) in ipaddress.IPv4Network((prefix, length), strict=False) and length >= best:
                expected = expected | {n + 1} if length == best else {n + 1}
                best = length
        found = routes.lookup(dst)
        assert (found.ifindex if found else 0) in (expected or {0})


def test_metric_decides_between_equals_and_replacement_is_not_doubling():
    routes = table(
        ("0.0.0.0/0", 1, {"gateway": A("10.0.0.1"), "metric": 10}),
        ("0.0.0.0/0", 2, {"gateway": A("10.1.0.1"), "metric": 5}),
    )
    assert routes.lookup(A("8.8.8.8")).ifindex == 2
    assert routes.lookup(A("8.8.8.8"), 1).ifindex == 1
    routes.add(Route(0, 0, 2, gateway=A("10.1.0.1"), metric=20))
    assert routes.size == 2
    assert routes.lookup(A("8.8.8.8")).ifindex == 1
    assert routes.remove(0, 0) == 2
    assert routes.lookup(A("8.8.8.8")) is None
    assert list(routes) == []


@rfc("1122", "3.3.1", "IP-10")
def test_a_direct_destination_is_its_own_next_hop():
    routes = table(("10.0.0.0/24", 1), ("0.0.0.0/0", 1, {"gateway": A("10.0.0.1")}))
    assert routes.lookup(A("10.0.0.7")).next_hop(A("10.0.0.7")) == A("10.0.0.7")
    assert routes.lookup(A("10.0.1.7")).next_hop(A("10.0.1.7")) == A("10.0.0.1")


def test_every_change_raises_the_generation():
    routes = RouteTable()
    seen = {routes.generation}
    for change in (
        lambda: routes.add(Route(A("10.0.0.0"), 24, 1)),
        lambda: routes.add(Route(0, 0, 1, gateway=A("10.0.0.1"))),
        lambda: routes.mark_gateway(1, A("10.0.0.1"), 0, dead=True),
        lambda: routes.mark_gateway(1, A("10.0.0.1"), 0, dead=False),
        lambda: routes.redirect(A("8.8.8.8"), A("10.0.0.9"), A("10.0.0.1"), 1, 0),
        lambda: routes.remove(0, 0),
        lambda: routes.remove_interface(1),
    ):
        change()
        assert routes.generation > max(seen)
        seen.add(routes.generation)


def test_the_table_is_bounded():
    routes = RouteTable()
    for n in range(MAX_ROUTES):
        assert routes.add(Route(n << 8, 24, 1))
    assert not routes.add(Route(0xE0000000, 24, 1))
    assert routes.size == MAX_ROUTES


@rfc("1122", "3.3.1", "IP-10")
def test_a_dead_gateway_is_passed_over_and_tried_again():
    routes = table(
        ("0.0.0.0/0", 1, {"gateway": A("10.0.0.1")}), ("0.0.0.0/0", 1, {"gateway": A("10.0.0.2"), "metric": 9})
    )
    routes.mark_gateway(1, A("10.0.0.1"), 0, dead=True)
    assert routes.lookup(A("8.8.8.8")).gateway == A("10.0.0.2")
    routes.mark_gateway(1, A("10.0.0.2"), 0, dead=True)
    assert routes.lookup(A("8.8.8.8")).gateway == A("10.0.0.1")  # all dead: the best of them
    assert routes.deadline == DEAD_GATEWAY_US
    routes.mark_gateway(1, A("10.0.0.2"), 0, dead=False)
    routes.on_timer(DEAD_GATEWAY_US)
    assert routes.lookup(A("8.8.8.8")).gateway == A("10.0.0.1")
    assert routes.deadline == NEVER


def test_a_host_that_is_no_gateway_cannot_die_as_one():
    routes = table(("0.0.0.0/0", 1, {"gateway": A("10.0.0.1")}))
    before = routes.generation
    routes.mark_gateway(1, A("10.0.0.77"), 0, dead=True)
    assert routes.generation == before


@rfc("1122", "3.3.1", "IP-10")
def test_redirects_only_from_the_current_first_hop_to_a_gateway_on_the_link():
    routes = table(("10.0.0.0/24", 1), ("10.1.0.0/24", 2), ("0.0.0.0/0", 1, {"gateway": A("10.0.0.1")}))
    dst, gw, other = A("8.8.8.8"), A("10.0.0.1"), A("10.0.0.2")
    assert not routes.redirect(dst, other, A("10.0.0.3"), 1, 0)  # not our first hop
    assert not routes.redirect(dst, other, gw, 2, 0)  # another interface
    assert not routes.redirect(dst, A("10.1.0.2"), gw, 1, 0)  # not on that link
    assert not routes.redirect(dst, A("9.9.9.9"), gw, 1, 0)  # behind a gateway
    assert not routes.redirect(dst, gw, gw, 1, 0)  # to itself
    assert not routes.redirect(A("10.0.0.5"), other, A("10.0.0.5"), 1, 0)  # a neighbour is no first hop
    assert routes.redirect(dst, other, gw, 1, 0)
    assert routes.lookup(dst).gateway == other
    assert routes.lookup(A("8.8.8.9")).gateway == gw
    assert not routes.redirect(dst, A("10.0.0.3"), gw, 1, 0)  # gw is no longer the first hop
    assert routes.redirect(dst, A("10.0.0.3"), other, 1, 5)
    assert routes.lookup(dst).gateway == A("10.0.0.3")
    routes.on_timer(5 + REDIRECT_LIFETIME_US)
    assert routes.lookup(dst).gateway == gw


def test_a_redirect_through_a_dead_gateway_is_forgotten():
    routes = table(("10.0.0.0/24", 1), ("0.0.0.0/0", 1, {"gateway": A("10.0.0.1")}))
    routes.redirect(A("8.8.8.8"), A("10.0.0.2"), A("10.0.0.1"), 1, 0)
    routes.mark_gateway(1, A("10.0.0.2"), 0, dead=True)
    assert routes.lookup(A("8.8.8.8")).gateway == A("10.0.0.1")


def test_redirects_are_bounded():
    routes = table(("10.0.0.0/24", 1), ("0.0.0.0/0", 1, {"gateway": A("10.0.0.1")}))
    for n in range(MAX_REDIRECTS + 5):
        assert routes.redirect(A("8.0.0.0") + n, A("10.0.0.2"), A("10.0.0.1"), 1, n)
    assert routes.lookup(A("8.0.0.4")).gateway == A("10.0.0.1")
    assert routes.lookup(A("8.0.0.5")).gateway == A("10.0.0.2")


def test_an_interface_takes_its_routes_with_it():
    routes = table(("10.0.0.0/24", 1), ("0.0.0.0/0", 1, {"gateway": A("10.0.0.1")}), ("10.1.0.0/24", 2))
    routes.redirect(A("8.8.8.8"), A("10.0.0.2"), A("10.0.0.1"), 1, 0)
    routes.remove_interface(1)
    assert [r.snapshot()["dst"] for r in routes] == ["10.1.0.0/24"]
    assert routes.lookup(A("8.8.8.8")) is None


def test_the_source_is_on_the_subnet_of_the_next_hop():
    addresses = [(A("10.0.0.2"), 24), (A("10.1.0.2"), 24)]
    assert choose_source(addresses, A("10.1.0.9")) == A("10.1.0.2")
    assert choose_source(addresses, A("10.2.0.9")) == A("10.0.0.2")
    assert choose_source([], A("10.2.0.9")) == 0
