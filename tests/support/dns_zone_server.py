"""DNS servers for tests of the resolver's transport: asyncio programs with a table of answers, on any loop."""

import asyncio

from stack.dns.constants import Rcode, RRType
from stack.dns.message import AA, QR, RA, Message
from stack.dns.names import Name
from stack.dns.rdata import parse
from stack.dns.rrset import RRset


class Zone:
    """What a server says: `Zone("www.example.test A 10.0.0.1", ...)`; all else does not exist.

    `asked` are the questions, as ("www.example.test.", "A", is_tcp).  Types in `silent_for` are not answered.
    """

    def __init__(self, *records, ttl=300, truncate=(), silent_for=()):
        self.table = {}
        self.asked = []
        self.truncate = truncate
        self.silent_for = silent_for
        for record in records:
            name, rrtype, data = record.split(None, 2)
            number = RRType[rrtype]
            self.table.setdefault(Name.parse(name).key, {}).setdefault(int(number), []).append(parse(number, data))
        self.ttl = ttl

    def answer(self, wire, *, is_tcp):
        """The reply, None for none."""
        query = Message.parse(wire)
        question = query.question
        name, rrtype = str(question.name).lower(), question.type_text
        self.asked.append((name, rrtype, is_tcp))
        if rrtype in self.silent_for:
            return None
        reply = query.reply()
        reply.flags |= QR | AA | RA
        known = self.table.get(question.name.key)
        if known is None:
            reply.rcode = int(Rcode.NXDOMAIN)
        elif question.rrtype in known:
            reply.answer = [RRset.of(question.name, self.ttl, known[question.rrtype])]
        if known is None or question.rrtype not in known:
            soa = parse(RRType.SOA, "ns.test. admin.test. 1 3600 600 86400 60")
            reply.authority = [RRset.of(Name.parse("test"), 60, [soa])]
        if name in self.truncate and not is_tcp:
            reply.answer = []
            reply.tc = True
        return reply.build(65_535)


class UdpServer(asyncio.DatagramProtocol):
    """One endpoint of a Zone."""

    def __init__(self, zone):
        self.zone = zone

    def connection_made(self, transport):
        self.transport = transport
        self.ports = []  # that questions came from

    def datagram_received(self, data, addr):
        self.ports.append(addr[1])
        reply = self.zone.answer(data, is_tcp=False)
        if reply is not None:
            self.transport.sendto(reply, addr)


async def serve_tcp(zone, reader, writer):
    """Questions of one connection, in order."""
    try:
        while True:
            length = int.from_bytes(await reader.readexactly(2), "big")
            reply = zone.answer(await reader.readexactly(length), is_tcp=True)
            if reply is not None:
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Served:
    """A Zone on UDP and TCP of one port of the running loop: `async with Served(zone, "127.0.0.1") as (ip, port)`."""

    def __init__(self, zone, address="127.0.0.1", port=0):
        self.zone = zone
        self.address = address
        self.port = port

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.connections = 0

        async def on_client(reader, writer):
            self.connections += 1
            await serve_tcp(self.zone, reader, writer)

        self.tcp = await asyncio.start_server(on_client, self.address, self.port)
        self.port = self.tcp.sockets[0].getsockname()[1]
        self.udp, self.endpoint = await loop.create_datagram_endpoint(
            lambda: UdpServer(self.zone), (self.address, self.port)
        )
        return self

    @property
    def server(self):
        """For `Resolver(servers=[...])`."""
        return (self.address, self.port)

    async def __aexit__(self, *exc_info):
        self.udp.close()
        self.tcp.close()
