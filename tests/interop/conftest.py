"""What the interop tests share: a namespace with a device to the kernel, its processes there, certificates."""

import pytest

from stack.device.tap import TapDevice
from tests.support.interop import make_certificates
from tests.support.interop_hosts import DEVICE, KERNEL, OURS, OURS_TOO, PREFIX
from tests.support.interop_peer import Peer
from tests.support.netns import Namespace


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A folder with a certificate for all our addresses."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, KERNEL, OURS, OURS_TOO)
    return folder


@pytest.fixture(scope="module")
def tap_namespace():
    """A namespace with a persistent TAP device, so that the kernel keeps its address between our hosts."""
    with Namespace() as made:
        with made.entered():
            device = TapDevice(DEVICE)
            device.set_persistent(True)
            device.set_up()
            device.close()
        made.ip(f"address add {KERNEL}/{PREFIX} dev {DEVICE}")
        yield made


@pytest.fixture(scope="module")
def kernel_peers(tap_namespace):
    """kernel_peers(loop): the process on the kernel's side; a new one after a failure."""
    peers: dict[str, Peer] = {}

    def get(loop: str, *, fresh: bool = False) -> Peer:
        if fresh and loop in peers:
            peers.pop(loop).close()
        if loop not in peers:
            peers[loop] = Peer(tap_namespace, loop)
        return peers[loop]

    yield get
    for peer in peers.values():
        peer.close()
