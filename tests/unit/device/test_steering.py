"""The kernel's program and `steer` agree on every frame."""

import os
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.device import steering
from stack.wire.steering import OWNED_PORTS, steer

COUNT, SEED = 3, 0xDEADBEEF
ETHER = bytes(6) + b"\x02" + bytes(5)


@pytest.fixture(scope="module")
def program():
    try:
        descriptor = steering.load(steering.program(COUNT, SEED), steering.SCHED_CLS)
    except PermissionError:
        pytest.skip("needs the right to load BPF programs")
    yield descriptor
    os.close(descriptor)


def frame(proto, src, sport, dst, dport, *, options=0, fragment=0, ethertype=0x0800, version=4):
    header = struct.pack(
        ">BBHHHBBHII", version << 4 | 5 + options, 0, 28 + 4 * options, 1, fragment, 64, proto, 0, src, dst
    )
    return (
        ETHER
        + struct.pack(">H", ethertype)
        + header
        + bytes(4 * max(options, 0))
        + struct.pack(">HH", sport, dport)
        + bytes(12)
    )


addr, port = st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([6, 17, 1, 47]), addr, port, addr, port, st.integers(0, 10))
def test_the_program_computes_steer(program, proto, src, sport, dst, dport, options):
    wanted = steer(proto, src, sport, dst, dport, COUNT, SEED)
    assert steering.run_once(program, frame(proto, src, sport, dst, dport, options=options)) == wanted


# of this flow the whole packet is for queue 2, so 0 is no accident
FLOW = (6, 1, next(p for p in range(99) if steer(6, 1, p, 2, 80, COUNT, SEED) == 2), 2, 80)


def test_what_has_no_ports_is_for_queue_0(program):
    run = steering.run_once
    assert run(program, frame(*FLOW)) == 2
    assert run(program, frame(*FLOW, fragment=0x4000)) == 2  # don't fragment
    for fragment in (0x2000, 0x0001, 0x2001, 0x1FFF):
        assert run(program, frame(*FLOW, fragment=fragment)) == 0
    assert run(program, frame(*FLOW, ethertype=0x0806)) == 0
    assert run(program, frame(*FLOW, version=6)) == 0
    assert run(program, frame(*FLOW, options=-1)) == 0  # no whole IP header
    assert run(program, frame(*FLOW)[:36]) == 0  # cut within the ports


@given(addr, port, addr, port)
def test_tcp_ends_may_be_exchanged(one, one_port, other, other_port):
    there = steer(6, one, one_port, other, other_port, COUNT, SEED)
    assert there == steer(6, other, other_port, one, one_port, COUNT, SEED)


def test_an_ephemeral_udp_port_has_one_owner():
    assert {steer(17, peer, 53, 2, 40_000, COUNT, SEED) for peer in range(200)} == {40_000 % COUNT}
    assert len({steer(17, peer, 53, 2, OWNED_PORTS - 1, COUNT, SEED) for peer in range(200)}) == COUNT


@pytest.mark.parametrize("count", [2, 3, 7])
def test_flows_of_one_client_are_spread_evenly(count):
    # Linux gives connect(2) the even ephemeral ports first
    shares = [0] * count
    for local in range(32_768, 60_998, 2):
        shares[steer(6, 0xC6120001, local, 0xC6120002, 8000, count, 1)] += 1
    even = sum(shares) / count
    assert all(0.95 * even < share < 1.05 * even for share in shares)
