"""SOCKS version 5: what a server says and understands (RFC 1928), with a password if it has one (RFC 1929).

Theory of operation.  A Handshake is fed with what the client sent, in pieces of any size, and gives what is to be
answered.  It ends with a `request`, or with a `failure`: then the answer is the last one, and the connection is closed.
It takes no more octets than the longest request has; what comes after it is in `rest`.

    methods ─► [password] ─► request ─► done        any of them ─► failed

UDP datagrams have a header of their own: `unwrap` and `wrap`.
"""

import hmac
import ipaddress
from dataclasses import dataclass
from typing import Final

VERSION: Final = 5
CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3
IPV4, DOMAIN, IPV6 = 1, 3, 4
NO_AUTHENTICATION, PASSWORD, NO_METHOD = 0, 2, 0xFF
PASSWORD_VERSION: Final = 1  # RFC 1929 §2: "the current version of the subnegotiation, which is X'01'"

# RFC 1928 §6: REP
SUCCEEDED, GENERAL_FAILURE, NOT_ALLOWED, NETWORK_UNREACHABLE, HOST_UNREACHABLE = 0, 1, 2, 3, 4
REFUSED, TTL_EXPIRED, COMMAND_NOT_SUPPORTED, ADDRESS_NOT_SUPPORTED = 5, 6, 7, 8

NO_ACCEPTABLE_METHOD: Final = bytes((VERSION, NO_METHOD))
_LOWEST_PRINTING, _HIGHEST_PRINTING = 0x21, 0x7E


class Malformed(ValueError):
    """What is not SOCKS; `reason` is a word to count by, `reply` the REP that says so (0: nothing is said)."""

    def __init__(self, reason: str, reply: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Request:
    """What the client wants; `host` is an IPv4 address in figures, or a name."""

    command: int
    host: str
    port: int


def reply(code: int, address: str = "0.0.0.0", port: int = 0) -> bytes:  # noqa: S104  # BND.ADDR of a failure
    """RFC 1928 §6: an answer to a request; `address` is IPv4."""
    return bytes((VERSION, code, 0)) + _packed(address, port)


def _packed(address: str, port: int) -> bytes:
    return bytes((IPV4,)) + ipaddress.IPv4Address(address).packed + port.to_bytes(2, "big")


def _name(octets: bytes) -> str:
    """A name of printing ASCII.  Raises Malformed."""
    if not octets or not all(_LOWEST_PRINTING <= octet <= _HIGHEST_PRINTING for octet in octets):
        raise Malformed("name", GENERAL_FAILURE)
    return octets.decode("ascii")


def _address(data: bytes, at: int) -> tuple[str, int, int] | None:
    """RFC 1928 §5: the host and port at `at`, where ATYP is, and where they end; None: more is needed.

    Raises Malformed.
    """
    if len(data) < at + 2:
        return None
    kind = data[at]
    if kind == IPV4:
        begin, end = at + 1, at + 5
    elif kind == DOMAIN:
        begin, end = at + 2, at + 2 + data[at + 1]
    else:  # RFC 1928 §6: REP X'08', for IPv6, too, which the stack does not speak
        raise Malformed("address_type", ADDRESS_NOT_SUPPORTED)
    if len(data) < end + 2:
        return None
    host = str(ipaddress.IPv4Address(data[begin:end])) if kind == IPV4 else _name(data[begin:end])
    return host, int.from_bytes(data[end : end + 2], "big"), end + 2


class Handshake:
    """The server's side until it knows what is wanted.

    `credentials`: a user's name and password, without which nobody is served (RFC 1929); None asks for none.
    """

    __slots__ = ("_buffer", "_credentials", "_step", "failure", "request", "rest")

    def __init__(self, credentials: tuple[str, str] | None = None) -> None:
        self._buffer = b""
        self._credentials = credentials
        self._step = self._methods
        self.request: Request | None = None
        self.failure = ""  # a word to count by
        self.rest = b""  # what came after the request

    def feed(self, data: bytes) -> bytes:
        """Take what the client sent; returns what to send to it."""
        answers = []
        self._buffer += data
        while not self.failure and self.request is None:
            try:
                answer = self._step()
            except Malformed as error:
                self.failure = error.reason
                answer = reply(error.reply) if error.reply else b""
            if answer is None:
                break
            answers.append(answer)
        if self.request is not None:
            self.rest, self._buffer = self.rest + self._buffer, b""
        elif self.failure:
            self._buffer = b""
        return b"".join(answers)

    def _take(self, count: int) -> bytes:
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _methods(self) -> bytes | None:
        """RFC 1928 §3 (SOCKS-METHODS): version and methods; one of them is selected, or X'FF'.

        OMITS RFC 1928 §3 (SOCKS-GSSAPI): no client in use has it; the kernel says who it is (decision 22).
        """
        data = self._buffer
        if data and data[0] != VERSION:
            raise Malformed("version")
        if len(data) < 2 or len(data) < 2 + data[1]:
            return None
        methods = self._take(2 + data[1])[2:]
        wanted = NO_AUTHENTICATION if self._credentials is None else PASSWORD
        if wanted not in methods:
            self.failure = "method"
            return NO_ACCEPTABLE_METHOD
        self._step = self._request if wanted == NO_AUTHENTICATION else self._password
        return bytes((VERSION, wanted))

    def _password(self) -> bytes | None:
        """RFC 1929 §2 (SOCKS-PASSWORD): name and password; X'00' goes on, anything else ends."""
        data = self._buffer
        if data and data[0] != PASSWORD_VERSION:
            raise Malformed("version")
        if len(data) < 2 or len(data) < 3 + data[1] or len(data) < 3 + data[1] + data[2 + data[1]]:
            return None
        length = data[1]
        taken = self._take(3 + length + data[2 + length])
        assert self._credentials is not None
        user, password = (text.encode("utf-8") for text in self._credentials)
        right = hmac.compare_digest(taken[2 : 2 + length], user)
        right &= hmac.compare_digest(taken[3 + length :], password)
        if not right:
            self.failure = "password"
            return bytes((PASSWORD_VERSION, 1))
        self._step = self._request
        return bytes((PASSWORD_VERSION, 0))

    def _request(self) -> bytes | None:
        """RFC 1928 §4, §6 (SOCKS-REPLIES); RSV is not looked at."""
        data = self._buffer
        if data and data[0] != VERSION:
            raise Malformed("version", GENERAL_FAILURE)
        if len(data) < 2:
            return None
        if data[1] not in (CONNECT, UDP_ASSOCIATE):  # no BIND: nothing but old FTP needs it
            raise Malformed("command", COMMAND_NOT_SUPPORTED)
        found = _address(data, 3)
        if found is None:
            return None
        host, port, end = found
        if data[1] == CONNECT and port == 0:
            raise Malformed("port", GENERAL_FAILURE)
        self.request = Request(self._take(end)[1], host, port)
        return b""


def unwrap(datagram: bytes) -> tuple[str, int, bytes]:
    """RFC 1928 §7: destination and data of a datagram of the client's.  Raises Malformed.

    RFC 1928 §7 (SOCKS-FRAG): "an implementation that does not support fragmentation MUST drop any datagram whose FRAG
    field is other than X'00'".
    """
    if len(datagram) < 4 or datagram[:2] != b"\0\0":
        raise Malformed("header")
    if datagram[2] != 0:
        raise Malformed("fragment")
    found = _address(datagram, 3)
    if found is None:
        raise Malformed("header")
    host, port, end = found
    if port == 0:
        raise Malformed("port")
    return host, port, datagram[end:]


def wrap(address: str, port: int, data: bytes) -> bytes:
    """RFC 1928 §7: a datagram for the client; `address` is the IPv4 address it came from."""
    return b"\0\0\0" + _packed(address, port) + data
