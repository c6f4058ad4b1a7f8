"""Unmodified libraries over hosts of ours: both ends of each conversation are in this process."""

import asyncio
import contextlib
import http.client
import http.server
import socket as stdlib
import socketserver
import ssl
import threading
import urllib.request

import pytest
import trustme

from stack import socket
from stack.errors import ConfigError
from stack.socket.ends import end_of
from tests.support.blocking import OURS, PATIENCE_S, PEER

NAMES = ("socket", "getaddrinfo", "gethostbyname", "gethostbyname_ex")


@pytest.fixture
def patched(station):
    with socket.patched():
        yield station


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"hello {self.client_address[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def tls():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(PEER).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_the_module_is_itself_again():
    before = [getattr(stdlib, name) for name in NAMES]
    wrapped = ssl.SSLContext.sslsocket_class
    with pytest.raises(ConfigError), socket.patched():
        pass
    with socket.use(lambda: None):
        with socket.patched():
            assert stdlib.socket is not before[0]
            with socket.patched():
                pass
            assert stdlib.socket is not before[0]
            with before[0]() as real:
                assert isinstance(real, stdlib.socket)
        with pytest.raises(ZeroDivisionError), socket.patched():
            raise ZeroDivisionError
    assert [getattr(stdlib, name) for name in NAMES] == before
    assert ssl.SSLContext.sslsocket_class is wrapped


def test_overlapping_blocks_of_two_threads():
    before = stdlib.socket
    entered, leave = threading.Event(), threading.Event()

    def other():
        with socket.patched():
            entered.set()
            leave.wait(PATIENCE_S)

    with socket.use(lambda: None):
        with socket.patched():
            thread = threading.Thread(target=other)
            thread.start()
            entered.wait(PATIENCE_S)
        assert stdlib.socket is not before
        leave.set()
        thread.join()
    assert stdlib.socket is before


def test_what_is_the_kernels_stays_the_kernels(patched):
    with stdlib.create_server(("127.0.0.1", 0)) as server, stdlib.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        accepted.close()
        assert end_of(client.fileno()) is None
    with stdlib.create_server(("", 0)) as everywhere:
        assert end_of(everywhere.fileno()) is None
    first, second = stdlib.socketpair()
    with first, second:
        first.send(b"x")
        assert second.recv(1) == b"x"
    with stdlib.socket(stdlib.AF_INET6, stdlib.SOCK_STREAM) as six:
        assert six.family == stdlib.AF_INET6
        six.bind(("::1", 0))
        assert six.getsockname()[0] == "::1"


def test_a_web_server_and_clients(patched):
    with serving(http.server.ThreadingHTTPServer((PEER, 0), Page)) as (host, port):
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello " + OURS.encode()
        assert connection.sock.getpeername() == (PEER, port)
        connection.close()
        with urllib.request.urlopen(f"http://{host}:{port}/", b"x" * 300_000, timeout=PATIENCE_S) as answer:
            assert len(answer.read()) == 300_000


def test_tls_on_both_sides(patched, tls):
    server_context, client_context = tls
    server = http.server.ThreadingHTTPServer((PEER, 0), Page)
    server.socket = server_context.wrap_socket(server.socket, server_side=True)
    with serving(server) as (host, port):
        connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=client_context)
        connection.request("POST", "/", b"y" * 500_000)
        assert connection.getresponse().read() == b"y" * 500_000
        sock = connection.sock
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.getpeername() == (PEER, port)
        sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
        assert sock.getsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY) == 1
        connection.close()


def test_requests(patched, tls, tmp_path):
    requests = pytest.importorskip("requests")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(PEER).configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server = http.server.ThreadingHTTPServer((PEER, 0), Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as (host, port), requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            answer = session.get(f"https://{host}:{port}/", verify=str(bundle), timeout=PATIENCE_S)
            assert answer.text == f"hello {OURS}"


class Shout(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


def test_socketserver(patched):
    with (
        serving(socketserver.ThreadingTCPServer((PEER, 0), Shout)) as address,
        stdlib.create_connection(address, PATIENCE_S) as sock,
        sock.makefile("rw") as file,
    ):
        for word in ("hello", "world"):
            file.write(f"{word}\n")
            file.flush()
            assert file.readline() == f"{word.upper()}\n"


def test_asyncio_in_another_thread(patched):
    """A loop of the standard library's, which waits for our descriptors."""

    async def main():
        async def shout(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()

        server = await asyncio.start_server(shout, PEER, 0)
        async with server:
            address = server.sockets[0].getsockname()
            for _ in range(5):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"hello\n")
                assert await reader.read() == b"HELLO\n"
                assert writer.get_extra_info("peername") == address
                writer.close()
                await writer.wait_closed()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(PEER, 99)

    async def bounded():
        async with asyncio.timeout(PATIENCE_S):
            await main()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(bounded())


def test_tls_around_a_socket_that_is_not_connected(patched, tls):
    server_context, client_context = tls
    server = http.server.ThreadingHTTPServer((PEER, 0), Page)
    server.socket = server_context.wrap_socket(server.socket, server_side=True)
    with serving(server) as address, stdlib.socket() as plain:
        plain.settimeout(PATIENCE_S)
        with client_context.wrap_socket(plain, server_hostname=PEER) as sock:
            with pytest.raises(OSError, match="not connected"):
                sock.getpeername()
            sock.connect(address)
            assert sock.getpeername() == address
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.makefile("rb").read().endswith(b"hello " + OURS.encode())
