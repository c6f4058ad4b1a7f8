"""Where the peers of `make bench-peers` stand: each in namespaces of its own, with the same client before it.

Without loss the client is the kernel at the other end of the TAP device.  With loss there is a bridge between, and a
veth pair without offloads behind it, so that what is lost is a single frame of at most the MTU.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools.bench.peers.build import TAP, Peer
from tools.bench.sides import ADDRESS, CLIENT, PREFIX, Side, prepared, start, tap_of, veth_of
from tools.netns import Namespace

NEAR, FAR = "veth1", "veth0"  # the device of the server's namespace, and of the client's


def bridged_tap(stack: ExitStack) -> tuple[Namespace, Namespace]:
    """The client's namespace, and the one with the TAP device; a bridge and a veth pair join them."""
    client, server = prepared(stack), prepared(stack)
    client.ip(f"link add {FAR} type veth peer name {NEAR} netns {server.name}")
    server.ip("link add bridge type bridge")
    server.ip(f"tuntap add dev {TAP} mode tap")
    for device in (NEAR, TAP):
        server.ip(f"link set {device} master bridge up")
    server.ip(f"link set {TAP} txqueuelen 10000")
    server.ip("link set bridge up")
    client.ip(f"address add {CLIENT}/{PREFIX} dev {FAR}")
    client.ip(f"link set {FAR} up")
    return client, server


class Contestant:
    """The server of a peer, in namespaces that may lose frames; it is started anew after it has died."""

    def __init__(self, peer: Peer, folder: Path, *, lossy: bool) -> None:
        self.peer = peer
        self.side: Side
        self._folder = folder
        self._lossy = lossy
        self._stack = ExitStack()
        self._client: Namespace
        self._server: Namespace

    def begin(self) -> None:
        """Make it all, and wait until the server answers."""
        self.end()
        if self.peer.tap and not self._lossy:
            self._client = self._server = tap_of(self._stack)
        else:
            join = bridged_tap if self.peer.tap else veth_of
            self._client, self._server = join(self._stack)
        if self._lossy:
            for namespace, device in ((self._client, FAR), (self._server, NEAR)):
                namespace.run("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
        peer = self.peer
        self.side = start(
            peer.name, self._client, self._server, self._folder, peer.command, address=ADDRESS, seconds=peer.patience
        )

    def end(self) -> None:
        """Remove what was made."""
        self._stack.close()

    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self.side.server.poll() is None

    def pause(self) -> None:
        """The server stands still, so that its timers take nothing from the one that is measured."""
        self.side.server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `pause`."""
        self.side.server.send_signal(signal.SIGCONT)

    @contextmanager
    def losing(self, per_mille: int, *, towards_server: bool) -> Iterator[Callable[[], int]]:
        """Single frames get lost on their way in one direction; what comes back tells how many were."""
        namespace, device = (self._server, NEAR) if towards_server else (self._client, FAR)
        namespace.drop(device, per_mille)
        try:
            yield namespace.dropped
        finally:
            namespace.run("nft", "delete", "table", "netdev", "loss")
