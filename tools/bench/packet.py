"""The rows on a packet socket at one end of a veth pair, beside the same server on a TAP."""

import sys
from contextlib import ExitStack
from pathlib import Path

from tools.bench.sides import ADDRESS, CLIENT, OURS, PREFIX, Setting, Side, prepared, start, tap_of

TAP = "tap"


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """Ours on the packet socket, and on the TAP."""
    client, server = prepared(stack), prepared(stack)
    client.ip(f"link add veth0 type veth peer name veth1 netns {server.name}")
    client.ip(f"address add {CLIENT}/{PREFIX} dev veth0")
    client.ip("link set veth0 up")
    server.ip("link set veth1 up")
    program, address = (sys.executable, "-m", "tools.bench.server"), f"{ADDRESS}/{PREFIX}"
    ours = start(OURS, client, server, folder, (*program, "veth1", address, "--packet"))
    namespace = tap_of(stack)
    return [ours, start(TAP, namespace, namespace, folder, (*program, "tap0", address))]
