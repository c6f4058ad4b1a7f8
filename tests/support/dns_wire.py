"""Raw DNS exchanges from a namespace, as dnspython messages: what the peers do, with nothing of ours in between."""

import socket
import struct
from typing import Self

import dns.flags
import dns.message
import dns.rcode

from tools.netns import Namespace, wait_until

PORT = 53


def query(name: str, rrtype: str, **options) -> dns.message.Message:
    """A question with EDNS 1232, as ours has; `options` are dnspython's."""
    return dns.message.make_query(name, rrtype, **{"use_edns": 0, "payload": 1232, **options})


def ask_udp(namespace: Namespace, server: str, asked: dns.message.Message, seconds: float = 10.0):
    """Its reply to one datagram.  Raises TimeoutError."""
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(seconds)
        sock.connect((server, PORT))
        sock.send(asked.to_wire())
        return dns.message.from_wire(sock.recv(65535))


class Stream:
    """A TCP connection to a server, for queries in a row."""

    def __init__(self, namespace: Namespace, server: str, seconds: float = 10.0) -> None:
        with namespace.entered():
            self._socket = socket.create_connection((server, PORT), timeout=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *queries: dns.message.Message) -> None:
        """All of them in one write."""
        wires = [asked.to_wire() for asked in queries]
        self._socket.sendall(b"".join(struct.pack("!H", len(wire)) + wire for wire in wires))

    def receive(self):
        """The next reply.  Raises TimeoutError, EOFError."""
        (length,) = struct.unpack("!H", self._read(2))
        return dns.message.from_wire(self._read(length))

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise EOFError(f"the server closed after {len(data)} of {count} bytes")
            data += piece
        return data


def ask_tcp(namespace: Namespace, server: str, asked: dns.message.Message):
    """Its reply over a connection of its own."""
    with Stream(namespace, server) as stream:
        stream.send(asked)
        return stream.receive()


def rcode(reply) -> str:
    """NOERROR, NXDOMAIN ..."""
    return dns.rcode.to_text(reply.rcode())


def flags(reply) -> set[str]:
    """QR, AA, TC, RD, RA, AD, CD: which are set."""
    return set(dns.flags.to_text(reply.flags).split())


def texts(rrsets) -> list[str]:
    """Rdata of all records, sorted."""
    return sorted(rdata.to_text() for rrset in rrsets for rdata in rrset)


def wait_for_ttl(namespace: Namespace, server: str, asked: dns.message.Message, ttl: int) -> None:
    """Until the server's answer has this TTL.  Raises TimeoutError."""

    def has_it() -> bool:
        answer = ask_udp(namespace, server, asked).answer
        return bool(answer) and answer[0].ttl == ttl

    wait_until(has_it, f"{server} answers with TTL {ttl}", 30.0)
