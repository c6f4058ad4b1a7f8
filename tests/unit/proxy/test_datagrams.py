"""Flows of datagrams: what is bounded, and for how long an answer is let in."""

import asyncio
from collections import Counter

import pytest

from stack.proxy import associate, clients, flows
from stack.proxy.associate import Association
from stack.proxy.clients import Room, Users
from stack.proxy.flows import UdpForward
from stack.proxy.rules import parse
from stack.proxy.socks5 import UDP_ASSOCIATE, Request, wrap

CLIENT = ("127.0.0.1", 4000)


class Transport:
    """Keeps what is sent."""

    def __init__(self):
        self.sent = []
        self.closed = False

    def sendto(self, data, addr=None):
        self.sent.append((data, addr))

    def close(self):
        self.closed = True

    def get_extra_info(self, name):
        return ("127.0.0.1", 9053)


class Resolver:
    """Never answers."""

    async def resolve(self, name):
        await asyncio.get_running_loop().create_future()


class Host:
    """A host whose endpoints are Transports."""

    def __init__(self):
        self.endpoints = []
        self.resolver = Resolver()

    async def create_datagram_endpoint(self, factory, local_addr=None, remote_addr=None):
        transport, protocol = Transport(), factory()
        protocol.connection_made(transport)
        self.endpoints.append((transport, protocol, remote_addr))
        return transport, protocol


async def association(idle_s):
    """One that is open, its way out and its way back."""
    host = Host()
    made = Association(host, Users(None), CLIENT[0], Request(UDP_ASSOCIATE, "0.0.0.0", 0), Counter(), Room(), idle_s)
    await made.open("127.0.0.1")
    made._near.close()
    made._near = Transport()
    return made, host.endpoints[0][0], made._near


def test_answers_are_let_in_for_a_while_only():
    async def main():
        for idle_s, heard in ((1000.0, 1), (-1.0, 0)):
            made, far, near = await association(idle_s)
            made.on_near(wrap("192.0.2.1", 53, b"question"), CLIENT)
            assert far.sent == [(b"question", ("192.0.2.1", 53))]
            made.on_far(b"answer", ("192.0.2.1", 53))
            made.on_far(b"answer", ("192.0.2.1", 54))  # of another port
            assert near.sent == [(wrap("192.0.2.1", 53, b"answer"), CLIENT)] * heard
            assert made._counts["udp_refused_stranger"] == 2 - heard
            made.close()
            assert far.closed
            assert near.closed

    asyncio.run(main())


def test_peers_of_an_association_are_bounded_and_the_oldest_goes(monkeypatch):
    monkeypatch.setattr(associate, "MAX_PEERS", 3)

    async def main():
        made, _, near = await association(1000.0)
        for port in (1, 2, 3, 1, 4):  # 1 is used again: 2 is the oldest
            made.on_near(wrap("192.0.2.1", port, b"x"), CLIENT)
        for port in (1, 2, 3, 4):
            made.on_far(bytes((port,)), ("192.0.2.1", port))
        assert [data[-1] for data, _ in near.sent] == [1, 3, 4]
        made.close()

    asyncio.run(main())


def test_names_being_looked_up_are_bounded_and_end_with_the_association(monkeypatch):
    monkeypatch.setattr(associate, "MAX_LOOKUPS", 4)

    async def main():
        made, _, _ = await association(1000.0)
        for _ in range(6):
            made.on_near(b"\0\0\0\x03\x01a\0\x35data", CLIENT)
            await asyncio.sleep(0)
        assert made._counts["udp_dropped"] == 2
        tasks = set(made._lookups)
        assert len(tasks) == 4
        made.close()
        await asyncio.wait(tasks)
        assert made._lookups == set()

    asyncio.run(main())


async def forwarding(idle_s=1000.0):
    """A forwarded UDP port, its host and where it answers."""
    host = Host()
    forward = UdpForward(host, parse("9053/udp", "192.0.2.1:53"), Users(None), idle_s=idle_s)
    forward._near = near = Transport()
    return forward, host, near


def test_each_sender_is_a_flow_and_flows_are_bounded(monkeypatch):
    monkeypatch.setattr(flows, "MAX_FLOWS", 2)

    async def main():
        forward, host, near = await forwarding()
        for port in (1, 2, 3, 1):
            forward.on_datagram(bytes((port,)), ("127.0.0.1", port))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [[data for data, _ in transport.sent] for transport, _, _ in host.endpoints] == [[b"\1", b"\1"], [b"\2"]]
        assert {remote for _, _, remote in host.endpoints} == {("192.0.2.1", 53)}
        host.endpoints[1][1].datagram_received(b"answer", ("192.0.2.1", 53))
        assert near.sent == [(b"answer", ("127.0.0.1", 2))]
        assert forward.status()["refused_full"] == 1
        await forward.aclose()
        assert all(transport.closed for transport, _, _ in host.endpoints)
        assert near.closed

    asyncio.run(main())


def test_idle_flows_end_and_busy_ones_stay():
    async def main():
        for idle_s, left in ((1000.0, 1), (-1.0, 0)):
            forward, host, _ = await forwarding(idle_s)
            forward.on_datagram(b"x", CLIENT)
            await asyncio.sleep(0)
            forward._sweep()
            assert forward.status()["open"] == left
            assert host.endpoints[0][0].closed == (not left)
            await forward.aclose()

    asyncio.run(main())


def test_what_waits_for_a_flow_is_bounded(monkeypatch):
    monkeypatch.setattr(flows, "MAX_WAITING", 2)

    async def main():
        forward, host, _ = await forwarding()
        for _ in range(5):
            forward.on_datagram(b"x", CLIENT)
        await asyncio.sleep(0)
        assert len(host.endpoints[0][0].sent) == 2
        assert forward.status()["dropped"] == 3
        await forward.aclose()

    asyncio.run(main())


class Served(Users):
    """Users whose sockets are served while `now` says so."""

    def __init__(self):
        super().__init__(None)
        self.now = True

    def may_send(self, source, destination):
        return self.now


@pytest.mark.parametrize("asked_again", [True, False])
def test_a_port_that_becomes_another_users_is_no_longer_served(monkeypatch, asked_again):
    monkeypatch.setattr(clients, "RECHECK_S", -1.0 if asked_again else 1000.0)  # the control: once, and for ever

    async def main():
        host, users = Host(), Served()
        made = Association(host, users, CLIENT[0], Request(UDP_ASSOCIATE, "0.0.0.0", 0), Counter(), Room())
        await made.open("127.0.0.1")
        far = host.endpoints[0][0]
        forward = UdpForward(host, parse("9053/udp", "192.0.2.1:53"), users)
        forward._near = near = Transport()
        for now in (True, False):
            users.now = now
            made.on_near(wrap("192.0.2.1", 53, b"question"), CLIENT)
            forward.on_datagram(b"question", CLIENT)
            await asyncio.sleep(0)
        flow = host.endpoints[1]
        flow[1].datagram_received(b"answer", ("192.0.2.1", 53))
        made.on_far(b"answer", ("192.0.2.1", 53))
        served = 1 if asked_again else 2
        assert (len(far.sent), len(flow[0].sent), len(near.sent)) == (served, served, served - 1)
        assert made._counts["udp_refused_user"] == forward.counts["refused_user"] == (2 if asked_again else 0)
        made.close()
        await forward.aclose()

    asyncio.run(main())
