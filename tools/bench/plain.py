"""The rows without offload: plain frames of at most the MTU, beside lwIP, which knows no others."""

from contextlib import ExitStack
from pathlib import Path

from tools.bench.peers import build
from tools.bench.sides import OURS, Setting, Side, start, tap_of

LWIP = "lwip"


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """Ours and lwIP.  Raises CannotBuild, with a sentence, where there is no lwIP."""
    made = []
    into = folder / "peers"
    into.mkdir(exist_ok=True)
    for name, peer in ((OURS, build.plain(into)), (LWIP, build.lwip(into))):
        namespace = tap_of(stack)
        made.append(start(name, namespace, namespace, folder, peer.command, seconds=peer.patience))
    return made
