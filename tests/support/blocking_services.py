"""Servers on the kernel's side for tests of blocking sockets: HTTP, HTTPS and SMTP.

    python -m tests.support.blocking_services ADDRESS FOLDER

FOLDER has the certificates of `tests.support.interop.make_certificates`.  Prints READY, and serves until it is killed.
"""

import http.server
import ssl
import sys
import threading
from pathlib import Path

from aiosmtpd.controller import Controller

HTTP, HTTPS, SMTP = 8080, 8443, 8025


class Pages(http.server.BaseHTTPRequestHandler):
    """`/N` has N bytes; what is posted comes back; `/who` is the address of the client."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self._answer(self.client_address[0].encode() if name == "who" else content(int(name)))

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        """Quiet."""


def content(size: int) -> bytes:
    """Bytes that are easily checked."""
    return (b"0123456789abcde\n" * (size // 16 + 1))[:size]


class Mailbox:
    """Mail is answered with its length."""

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802  (aiosmtpd's name)
        return f"250 {len(envelope.content)} bytes for {envelope.rcpt_tos[0]} from {session.peer[0]}"


def main(address: str, folder: str) -> None:
    """See the head of this file."""
    servers = [http.server.ThreadingHTTPServer((address, port), Pages) for port in (HTTP, HTTPS)]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(Path(folder) / "server.pem"))
    servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    mail = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    mail.load_cert_chain(str(Path(folder) / "server.pem"))
    Controller(Mailbox(), hostname=address, port=SMTP, tls_context=mail, ready_timeout=30).start()
    print("READY", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
