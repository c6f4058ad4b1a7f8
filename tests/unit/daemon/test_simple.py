import asyncio
import re
import socket

import pytest

from stack.daemon.services import simple
from tests.support.memory_transport import MemoryTransport, settle
from tests.support.rfc import rfc


class Wire(asyncio.DatagramTransport):
    def __init__(self):
        super().__init__()
        self.sent = []

    def sendto(self, data, addr=None):
        self.sent.append((data, addr))


def datagram(port, data, source=40_000):
    service = simple.Datagrams(simple.DATAGRAMS[port])
    wire = Wire()
    service.connection_made(wire)
    service.datagram_received(data, ("198.18.0.1", source))
    return [reply for reply, addr in wire.sent if addr == ("198.18.0.1", source)]


@rfc("9293", "3.8.4", "MAY-5")
@pytest.mark.parametrize("service", [simple.Echo, simple.Discard])
def test_a_client_that_is_gone_without_a_word_is_found_out_by_keep_alive(service):
    transport = MemoryTransport(service())
    assert transport.get_extra_info("socket").set == {(socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1}


@rfc("862", "TCP Based Echo Service")
def test_echo_sends_back_what_comes_and_stops_reading_when_nobody_takes_it():
    protocol = simple.Echo()
    transport = MemoryTransport(protocol, full_at=10)
    protocol.data_received(b"hello")
    assert not transport.reading_paused
    protocol.data_received(b"world")
    assert transport.reading_paused
    assert transport.take() == b"helloworld"
    assert not transport.reading_paused


@rfc("863", "TCP Based Discard Service")
def test_discard_sends_nothing():
    protocol = simple.Discard()
    transport = MemoryTransport(protocol)
    protocol.data_received(b"x" * 1000)
    assert (transport.take(), transport.closed) == (b"", False)


@rfc("867", "TCP Based Daytime Service")
def test_daytime_is_one_line_and_the_end():
    transport = MemoryTransport(simple.Daytime())
    line = transport.take().decode("ascii")
    assert re.fullmatch(r"\w+, \w+ \d\d, \d{4} \d\d:\d\d:\d\d-UTC\r\n", line)
    assert transport.closed


@rfc("864", "TCP Based Character Generator Service")
def test_chargen_goes_on_for_as_long_as_it_is_read():
    async def scenario():
        transport = MemoryTransport(simple.Chargen(), full_at=20_000)
        taken = b""
        for _ in range(5):
            await settle()
            assert transport.writing_paused
            taken += transport.take()
        transport.protocol.connection_lost(None)
        await settle()
        transport.take()
        before = transport.total
        await settle()
        assert transport.total == before
        return taken, transport.largest

    taken, largest = asyncio.run(scenario())
    lines = taken.split(b"\r\n")[:-1]
    assert len(lines) > 1000
    assert {len(line) for line in lines} == {72}
    assert lines[1][:-1] == lines[0][1:]
    assert largest < 40_000


@rfc("862", "UDP Based Echo Service")
def test_udp_echo():
    assert datagram(simple.ECHO, b"x" * 65_507) == [b"x" * 65_507]
    assert datagram(simple.ECHO, b"") == [b""]


@rfc("863", "UDP Based Discard Service")
def test_udp_discard():
    assert datagram(simple.DISCARD, b"x") == []


@rfc("867", "UDP Based Daytime Service")
def test_udp_daytime():
    assert datagram(simple.DAYTIME, b"")[0].endswith(b"-UTC\r\n")


@rfc("864", "UDP Based Character Generator Service")
def test_udp_chargen_is_at_most_512_characters():
    lengths = {len(datagram(simple.CHARGEN, b"")[0]) for _ in range(300)}
    assert max(lengths) <= 512
    assert len(lengths) > 50


@pytest.mark.parametrize("source", [0, 7, 9, 13, 17, 19, 53, 1023])
@pytest.mark.parametrize("port", [simple.ECHO, simple.DAYTIME, simple.CHARGEN])
def test_two_services_cannot_be_made_to_talk_to_each_other(port, source):
    assert datagram(port, b"x", source) == []
    assert datagram(port, b"x", 1024) != []
