"""httpcore and httpx from a host of ours."""

import asyncio

import httpcore
import httpx
import pytest

from stack.adapters.httpcore_backend import StackBackend

BODY = b"0123456789" * 50_000


async def serve(hosts, port=80, context=None):
    """A small HTTP/1.1 server that keeps connections; how many it has had is in `seen`."""
    seen = []
    hosts.ended = asyncio.Event()

    async def handle(reader, writer):
        seen.append(writer)
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            if head.startswith(b"GET /hang"):
                await hosts.ended.wait()  # and read no more
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
            await writer.drain()
        writer.close()

    server = await hosts.server.start_server(handle, hosts.ip, port, ssl=context)
    return server, seen


def test_httpcore_over_the_backend(run):
    async def main(hosts):
        server, seen = await serve(hosts)
        async with httpcore.AsyncConnectionPool(network_backend=StackBackend(hosts.client)) as pool:
            for _ in range(3):
                response = await pool.request("GET", f"http://{hosts.ip}/")
                assert (response.status, response.content) == (200, BODY)
            assert len(seen) == 1  # kept alive
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("server_addr") == (hosts.ip, 80)
            assert stream.get_extra_info("client_addr")[0] == hosts.client_ip
            assert stream.get_extra_info("socket").getpeername() == (hosts.ip, 80)
            assert stream.get_extra_info("is_readable") is False
            assert stream.get_extra_info("else") is None
            seen[0].close()
            while not stream.get_extra_info("is_readable"):
                await asyncio.sleep(0.01)
            assert (await pool.request("GET", "http://server.test/")).status == 200  # a new connection, by name
            assert len(seen) == 2
        server.close()

    run(main)


def test_httpx_over_tls(run, tls):
    async def main(hosts):
        server, _ = await serve(hosts, 443, tls[0])
        transport = httpx.AsyncHTTPTransport(verify=tls[1])
        transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls[1], network_backend=StackBackend(hosts.client), http2=False
        )
        async with httpx.AsyncClient(transport=transport) as client:
            responses = await asyncio.gather(*(client.get("https://server.test/") for _ in range(5)))
            assert [r.content for r in responses] == [BODY] * 5
            with pytest.raises(httpx.ConnectError):
                await client.get(f"https://{hosts.ip}/")  # not the name in the certificate
        server.close()

    run(main)


def test_errors_have_httpcores_names(run):
    async def main(hosts):
        await serve(hosts)
        backend = StackBackend(hosts.client)
        with pytest.raises(httpcore.ConnectError):
            await backend.connect_tcp(hosts.ip, 81)
        with pytest.raises(httpcore.ConnectError):
            await backend.connect_tcp("nobody.test", 80)
        with pytest.raises(httpcore.ConnectError):
            await backend.connect_unix_socket("/tmp/socket")
        with pytest.raises(httpcore.ConnectTimeout):
            await backend.connect_tcp("10.0.0.77", 80, timeout=0.05)
        with pytest.raises(httpcore.ConnectError):
            await backend.connect_tcp(hosts.ip, 80, socket_options=[(1, 9999, 1)])
        stream = await backend.connect_tcp(hosts.ip, 80, local_address=hosts.client_ip)
        await stream.write(b"GET /hang HTTP/1.1\r\n\r\n")
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(100, timeout=0.05)
        with pytest.raises(httpcore.WriteTimeout):
            while True:
                await stream.write(bytes(1 << 20), timeout=0.05)
        await stream.aclose()
        with pytest.raises(httpcore.ReadError):
            await stream.read(1)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x")
        hosts.ended.set()

    run(main)
