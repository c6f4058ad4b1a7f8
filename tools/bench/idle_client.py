"""Opens many connections to an echo port and holds them.

    idle_client.py ADDRESS PORT COUNT

Prints `opened N` when all are open, waits for a line on standard input, then sends one byte through each
and prints `echoed N`, the number that came back.
"""

import resource
import socket
import sys


def main() -> None:
    """Open, wait, echo."""
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    connections = [socket.create_connection((address, port), timeout=10) for _ in range(count)]
    print(f"opened {len(connections)}", flush=True)
    sys.stdin.readline()
    for connection in connections:
        connection.send(b"x")
    print(f"echoed {sum(connection.recv(2) == b'x' for connection in connections)}", flush=True)


main()
