"""dnspython: a tiny server on datagram endpoints and streams; the client asks by UDP, by TCP, and falls back."""

import asyncio
import contextlib
import struct
from typing import Any

import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.support.interop import Site, content

DNS_PORT = 5353
LONG = [content(100, str(number)).hex() for number in range(150)]  # 30 kB of TXT: too much for a datagram


def answer(wire: bytes, *, stream: bool) -> bytes:
    """What a server says."""
    query = dns.message.from_wire(wire)
    response = dns.message.make_response(query)
    name, kind = query.question[0].name, query.question[0].rdtype
    if kind == dns.rdatatype.A:
        last = int(str(name).split(".", maxsplit=1)[0].removeprefix("host"))
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", f"192.0.2.{last}"))
    elif stream:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", " ".join(LONG)))
    else:
        response.flags |= dns.flags.TC
    return response.to_wire(max_size=65_535 if stream else 1232)


class Datagrams(asyncio.DatagramProtocol):
    """The server by UDP."""

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        self._transport.sendto(answer(data, stream=False), addr)


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server by TCP."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            said = answer(await reader.readexactly(length), stream=True)
            writer.write(struct.pack("!H", len(said)) + said)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def serve(site: Site):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Datagrams, (site.address, DNS_PORT))
    try:
        async with await asyncio.start_server(converse, site.address, DNS_PORT):
            yield {"address": site.address}
    finally:
        transport.close()


def first(response: dns.message.Message) -> Any:
    """The first answer as text."""
    return response.answer[0][0].to_text()


async def talk(site: Site, served: dict) -> None:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [served["address"]], DNS_PORT
    resolver.timeout, resolver.lifetime = 2.0, site.limit(10)

    async def look_up(number: int) -> Any:
        return (await resolver.resolve(f"host{number}.test.", "A"))[0].to_text()

    found = await asyncio.gather(*(look_up(number) for number in range(1, 60)))
    assert found == [f"192.0.2.{number}" for number in range(1, 60)]

    where = {"where": served["address"], "port": DNS_PORT, "timeout": site.limit(10)}
    query = dns.message.make_query("host7.test.", "A")
    assert first(await dns.asyncquery.tcp(query, **where)) == "192.0.2.7"
    long = dns.message.make_query("long.test.", "TXT")
    if site.patience == 1.0:  # a single datagram may be lost on a bad link: the resolver above asks again
        assert first(await dns.asyncquery.udp(query, **where)) == "192.0.2.7"
        own = await dns.asyncquery.udp(query, source=site.address, **where)
        assert first(own) == "192.0.2.7"
        response, by_tcp = await dns.asyncquery.udp_with_fallback(long, **where)
        assert by_tcp
    else:
        for _ in range(20):  # enough frames for the link to lose some, both ways
            response = await dns.asyncquery.tcp(long, **where)
    assert [text.decode() for text in response.answer[0][0].strings] == LONG
