"""The daemon's simple services on the kernel's sockets, the other subject of tests/wire:  kernel_services.py ADDRESS"""

import socket
import sys
import threading
from collections.abc import Callable


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def discard(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def daytime(connection: socket.socket) -> None:
    connection.sendall(b"Thursday, January 01, 1970 00:00:00-UTC\r\n")


def chargen(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"0123456789" * 1000)


def converse(service: Callable[[socket.socket], None], connection: socket.socket) -> None:
    try:
        with connection:
            service(connection)
    except OSError:  # the peer is a test that resets its connections
        pass


def serve(address: str, port: int, service: Callable[[socket.socket], None]) -> None:
    listener = socket.create_server((address, port), backlog=128)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=converse, args=(service, connection), daemon=True).start()


for number, what in ((7, echo), (9, discard), (13, daytime), (19, chargen)):
    threading.Thread(target=serve, args=(sys.argv[1], number, what)).start()
