"""Which form of the TCP core runs: the Python source as it stands, or the same source compiled by mypyc.

`make compiled` puts the compiled modules, all of `stack.tcp` and those in `ALONGSIDE`, under build/compiled/, apart
from the source, so that an edit is never hidden by an old compilation.  TAPSTACK_FORM chooses:

    (not set)     compiled when it is there and no source is newer, else interpreted
    compiled      compiled, or ImportError
    interpreted   the source, whatever is there

A wheel carries its compiled modules beside the source, where Python finds them by itself.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from os.path import dirname, exists, join, realpath
from types import ModuleType
from typing import Final

# os.path and plain classes: pathlib and importlib.abc would double the time that `import stack` takes
PACKAGE: Final = dirname(realpath(__file__))
BUILT: Final = join(dirname(PACKAGE), "build", "compiled", str(sys.implementation.cache_tag))
CORE: Final = "stack._core__mypyc"  # what all compiled modules share


def sources() -> list[str]:
    """The files that are compiled, as one group."""
    found = [join(dirname(PACKAGE), *name.split(".")) + ".py" for name in ALONGSIDE]
    for folder, _, names in sorted(os.walk(join(PACKAGE, "tcp"))):
        found += [join(folder, name) for name in sorted(names) if name.endswith(".py") and name != "__init__.py"]
    return found


# besides all of stack.tcp: what a frame passes on its way through a host and a simulated network, and what a question
# of the DNS passes between resolver and wire, and a remote call between its messages and its procedure
ALONGSIDE: Final = (
    "stack.aio.datagram",
    "stack.aio.device_driver",
    "stack.aio.driver",
    "stack.aio.polling",
    "stack.aio.server",
    "stack.aio.transports",
    "stack.config",
    "stack.device.base",
    "stack.device.callback",
    "stack.device.codel",
    "stack.device.fault",
    "stack.device.tap",
    "stack.device.tun",
    "stack.device.virtual",
    "stack.device.vnet",
    "stack.device.wrapper",
    "stack.dns.core.actions",
    "stack.dns.core.admit",
    "stack.dns.core.ask",
    "stack.dns.core.cache",
    "stack.dns.core.context",
    "stack.dns.core.core",
    "stack.dns.core.deadlines",
    "stack.dns.core.exchanges",
    "stack.dns.core.forward",
    "stack.dns.core.iterate",
    "stack.dns.core.local",
    "stack.dns.core.query",
    "stack.dns.core.reply",
    "stack.dns.core.resolve",
    "stack.dns.core.servers",
    "stack.dns.core.work",
    "stack.dns.edns",
    "stack.dns.engine",
    "stack.dns.message",
    "stack.dns.parsing",
    "stack.dns.ports",
    "stack.dns.rrset",
    "stack.host.forwarder",
    "stack.host.host",
    "stack.host.interface",
    "stack.host.ip_layer",
    "stack.host.ip_output",
    "stack.host.listeners",
    "stack.host.loopback",
    "stack.host.tcp_layer",
    "stack.host.timer_queue",
    "stack.host.udp_layer",
    "stack.ip.forward",
    "stack.ip.icmp",
    "stack.ip.neighbors",
    "stack.ip.output",
    "stack.rpc.calls",
    "stack.rpc.dispatch",
    "stack.rpc.duplicates",
    "stack.rpc.message",
    "stack.rpc.record",
    "stack.rpc.retransmit",
    "stack.rpc.stats",
    "stack.sim.driver",
    "stack.sim.events",
    "stack.sim.link",
    "stack.sim.node",
    "stack.sim.record",
    "stack.stats",
    "stack.udp.endpoint",
    "stack.wire.addr",
    "stack.wire.burst",
    "stack.wire.frame",
    "stack.wire.passing",
    "stack.wire.sink",
    "stack.wire.seq",
    "stack.wire.tcp",
)


def is_compiled_name(name: str) -> bool:
    """Whether the module called `name` belongs to the group."""
    return name.startswith("stack.tcp.") or name in ALONGSIDE or name == CORE


class _Compiled:
    """A meta path finder: the group's modules are in build/compiled/."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if not is_compiled_name(name):
            return None
        return PathFinder.find_spec(name, [join(BUILT, *name.split(".")[:-1])])


class _Interpreted:
    """A meta path finder: the group's source, past compiled modules that lie beside it."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if not is_compiled_name(name) or name == CORE:
            return None
        folder = join(dirname(PACKAGE), *name.split(".")[:-1])
        return FileFinder(folder, (SourceFileLoader, [".py"])).find_spec(name)


def _built() -> str:
    return join(BUILT, *CORE.split(".")) + EXTENSION_SUFFIXES[0]


def is_fresh() -> bool:
    """Whether a compilation of the source as it is now lies in build/compiled/."""
    try:
        built_at = os.stat(_built()).st_mtime_ns
        return all(os.stat(path).st_mtime_ns <= built_at for path in sources())
    except OSError:
        return False


def choose() -> None:
    """Install the finder that TAPSTACK_FORM asks for; called once, when `stack` is imported."""
    wanted = os.environ.get("TAPSTACK_FORM", "")
    if wanted not in {"", "compiled", "interpreted"}:
        raise ImportError(f"TAPSTACK_FORM={wanted!r}: use compiled or interpreted, or leave it out")
    if wanted == "interpreted":
        sys.meta_path.insert(0, _Interpreted)
    elif is_fresh():
        sys.meta_path.insert(0, _Compiled)
    elif wanted == "compiled" and PathFinder.find_spec(CORE, [PACKAGE]) is None:
        state = "older than its source" if exists(_built()) else "not there"
        raise ImportError(f"TAPSTACK_FORM=compiled, but the compiled TCP core is {state}; run `make compiled`")


def running() -> str:
    """The form that runs: "compiled" or "interpreted"."""
    spec = find_spec("stack.tcp.connection")
    return "interpreted" if spec is None or str(spec.origin).endswith(".py") else "compiled"
