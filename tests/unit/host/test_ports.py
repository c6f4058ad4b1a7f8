"""Which local ports active opens get."""

import random

import pytest

from stack.errors import AddressNotAvailable
from stack.host.ports import EphemeralPorts
from tests.support.rfc import rfc

RANGE = (32_768, 60_999)
US, PEER, OTHER = 0x0A000002, 0x0A000001, 0x0A000003


def free(_):
    return False


def first(secret, raddr=PEER, rport=80):
    return EphemeralPorts(RANGE, secret).pick(US, raddr, rport, free)


@rfc("6056", "3.3", "6056-1")
def test_where_a_destination_begins_depends_on_a_secret_and_is_spread_over_the_range():
    rng = random.Random(1)
    ports = [first(rng.randbytes(32)) for _ in range(4000)]
    assert RANGE[0] <= min(ports) < max(ports) <= RANGE[1]
    tenths = [sum((p - RANGE[0]) * 10 // (RANGE[1] - RANGE[0] + 1) == n for p in ports) for n in range(10)]
    assert min(tenths) > 300, tenths


@rfc("6056", "3.3", "6056-1")
def test_the_port_to_one_destination_tells_nothing_of_another():
    """An observer of the ports to its own address could else guess those of other connections."""
    rng = random.Random(2)
    steps = set()
    for _ in range(500):
        secret = rng.randbytes(32)
        steps.add((first(secret, OTHER) - first(secret)) % (RANGE[1] - RANGE[0] + 1))
        steps.add((first(secret, rport=81) - first(secret)) % (RANGE[1] - RANGE[0] + 1))
    assert len(steps) > 950


@rfc("6056", "3.3.3")
def test_every_port_of_the_range_is_used_before_it_gives_up():
    ports = EphemeralPorts((1000, 1009), b"secret")
    taken = set()
    for _ in range(10):
        taken.add(ports.pick(US, PEER, 80, taken.__contains__))
    assert taken == set(range(1000, 1010))
    with pytest.raises(AddressNotAvailable):
        ports.pick(US, PEER, 80, taken.__contains__)
