"""dnspython's queries from a host of ours, answered by a server that speaks dnspython's messages."""

import asyncio

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.rrset
import pytest

from stack.adapters.dnspython_backend import StackBackend

LONG = "long.test."


def answer(wire, *, tcp):
    """10.1.2.3 for every A query; a long name's answer does not fit a datagram."""
    query = dns.message.from_wire(wire)
    response = dns.message.make_response(query)
    [question] = query.question
    if question.name.to_text() == LONG:
        texts = [f'"{n:0250}"' for n in range(10)]
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", *texts))
        if not tcp:
            response.answer.clear()
            response.flags |= 0x0200  # TC
    else:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "10.1.2.3"))
    return response.to_wire()


async def serve(hosts, context=None):
    class Udp(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            self.transport.sendto(answer(data, tcp=False), addr)

    async def handle(reader, writer):
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                wire = answer(await reader.readexactly(size), tcp=True)
                writer.write(len(wire).to_bytes(2, "big") + wire)
        except asyncio.IncompleteReadError:
            writer.close()

    await hosts.server.create_datagram_endpoint(Udp, (hosts.ip, 53))
    await hosts.server.start_server(handle, hosts.ip, 53)
    if context is not None:
        await hosts.server.start_server(handle, hosts.ip, 853, ssl=context)


def test_the_resolver(run):
    async def main(hosts):
        await serve(hosts)
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [hosts.ip]
        backend = StackBackend(hosts.client)
        found = await resolver.resolve("name.test", backend=backend)
        assert [r.address for r in found] == ["10.1.2.3"]
        found = await resolver.resolve(LONG, "TXT", backend=backend)  # truncated, then by TCP
        assert len(found) == 10

    run(main)


def test_queries_by_udp_tcp_and_tls(run, tls):
    async def main(hosts):
        await serve(hosts, tls[0])
        backend = StackBackend(hosts.client)
        query = dns.message.make_query("name.test", "A")
        for asking in (
            dns.asyncquery.udp(query, hosts.ip, timeout=5, backend=backend, source=hosts.client_ip),
            dns.asyncquery.tcp(query, hosts.ip, timeout=5, backend=backend),
            dns.asyncquery.tls(
                query, hosts.ip, timeout=5, backend=backend, ssl_context=tls[1], server_hostname="server.test"
            ),
        ):
            response = await asking
            assert response.answer[0][0].address == "10.1.2.3"
        while hosts.client.driver.handlers:
            await asyncio.sleep(0.01)

    run(main)


def test_silence_is_dnspythons_timeout(run):
    async def main(hosts):
        await hosts.server.create_datagram_endpoint(asyncio.DatagramProtocol, (hosts.ip, 53))
        query = dns.message.make_query("name.test", "A")
        backend = StackBackend(hosts.client)
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(query, hosts.ip, timeout=0.05, backend=backend)
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.tcp(query, "10.0.0.77", timeout=0.05, backend=backend)
        with pytest.raises(ConnectionRefusedError):
            await dns.asyncquery.tcp(query, hosts.ip, timeout=5, backend=backend)

    run(main)
