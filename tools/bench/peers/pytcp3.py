"""The peer PyTCP 3 (PyPI: PyTCP; Python 3.14 or later), which has threads and blocking sockets, on a TAP device.

pytcp3.py TAP ADDRESS/PREFIX

The services of tools/bench/services.py, a thread for each connection.  Runs in an environment of its own.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from net_addr import Ip4IfAddr, MacAddress
from pytcp import stack
from pytcp.runtime.socket import AddressFamily, SocketType, socket

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
REQUEST_END = b"\r\n\r\n"
CHUNK = bytes(1 << 16)
AHEAD = 4 * len(CHUNK)
MAC = "02:00:00:00:00:02"
DISCARD = 9


def sink(connection: Any) -> None:
    """Reads and forgets."""
    while connection.recv():
        pass


def source(connection: Any) -> None:
    """Writes zeros until the peer has enough; `send` takes everything at once, as in the form for asyncio."""
    session = connection.tcp_session
    while True:
        if len(session._tx.buffer) < AHEAD:  # noqa: SLF001
            connection.send(CHUNK)
        else:
            time.sleep(0.001)


def echo(connection: Any) -> None:
    """Sends back what comes."""
    while data := connection.recv():
        connection.send(data)


def http(connection: Any) -> None:
    """One answer per request."""
    while data := connection.recv():
        connection.send(RESPONSE * data.count(REQUEST_END))


def converse(connection: Any, serve: Callable[[Any], None]) -> None:
    """Until either end has closed; a session that has ended has no buffer any more."""
    with contextlib.suppress(OSError, AttributeError):
        serve(connection)
        connection.close()


def listen(address: str, port: int, serve: Callable[[Any], None]) -> None:
    """One service."""
    listener = socket(AddressFamily.INET4, SocketType.STREAM)
    listener.bind((address, port))
    listener.listen(backlog=4096)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=converse, args=(connection, serve), daemon=True).start()


def echo_datagrams(address: str) -> None:
    """The echo service of UDP."""
    endpoint = socket(AddressFamily.INET4, SocketType.DGRAM)
    endpoint.bind((address, 5003))
    while True:
        data, sender = endpoint.recvfrom()
        endpoint.sendto(data, sender)


def claimed(address: str) -> None:
    """Wait until nobody has objected to the address: before that, it cannot be bound."""
    while True:
        try:
            probe = socket(AddressFamily.INET4, SocketType.DGRAM)
            probe.bind((address, DISCARD))
            probe.close()
        except OSError:
            time.sleep(0.2)
        else:
            return


def main(tap: str, interface: str) -> None:
    """Serve until killed."""
    stack.LOG__CHANNEL.clear()
    stack.init()
    link = stack.initialize_interface__tap(interface_name=tap, mac_address=MacAddress(MAC))
    stack.add_interface(**link, ip4_support=True, ip4_host=Ip4IfAddr(interface), ip6_support=False)
    stack.start()
    address = interface.partition("/")[0]
    claimed(address)
    for port, serve in ((5001, sink), (5002, source), (5003, echo), (8080, http)):
        threading.Thread(target=listen, args=(address, port, serve), daemon=True).start()
    echo_datagrams(address)


if __name__ == "__main__":
    main(*sys.argv[1:3])
