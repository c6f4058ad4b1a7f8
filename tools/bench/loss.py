"""The rows with loss: one frame in a hundred that carries data is lost on its way, one way or the other.

Ours stands behind a bridge and a veth pair without offloads, the kernel's server behind the same veth pair: so what is
lost is a single frame of at most the MTU, on its arrival, and no segment of 64 KiB.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tools.bench.peers.ground import FAR, NEAR, bridged_tap
from tools.bench.sides import ADDRESS, KERNEL, OURS, PREFIX, Sample, Setting, Side, start, veth_of
from tools.netns import Namespace

PER_MILLE = 10
Measure = Callable[[Side, Setting], Sample]


@dataclass
class Lossy(Side):
    """A side with the namespace that its server is in."""

    home: Namespace


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """The services of tools/bench/services.py; both clients far from them."""
    commands = {
        OURS: ("server", "tap0", f"{ADDRESS}/{PREFIX}"),
        KERNEL: ("kernel_server", ADDRESS, setting.congestion),
    }
    made: list[Side] = []
    for name, (module, *arguments) in commands.items():
        client, home = (bridged_tap if name == OURS else veth_of)(stack)
        for namespace, device in ((client, FAR), (home, NEAR)):
            namespace.run("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
        side = start(name, client, home, folder, (sys.executable, "-m", f"tools.bench.{module}", *arguments))
        made.append(Lossy(**vars(side), home=home))
    return made


def losing(side: Side, setting: Setting, bulk: Measure, *, to_server: bool) -> Sample:
    """A stream, and how many frames were lost."""
    assert isinstance(side, Lossy)
    namespace, device = (side.home, NEAR) if to_server else (side.client, FAR)
    namespace.drop(device, PER_MILLE)
    try:
        return bulk(side, setting) | {"dropped": namespace.dropped()}
    finally:
        namespace.run("nft", "delete", "table", "netdev", "loss")


def towards_server(bulk: Measure) -> Measure:
    """Data to the server get lost."""
    return lambda side, setting: losing(side, setting, bulk, to_server=True)


def towards_client(bulk: Measure) -> Measure:
    """Data from the server get lost."""
    return lambda side, setting: losing(side, setting, bulk, to_server=False)
