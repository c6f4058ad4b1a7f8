"""ONC RPC as it is deployed, in network namespaces: two places with an rpcbind and C programs each, our device beside.

    with RpcNet(folder) as net:
        with net.server.calc():
            net.client.run("rpcinfo", "-p", SERVER)

Theory of operation.  rpcbind keeps its state and its local socket in /run, and libtirpc finds it there, whatever the
network namespace.  So a place is a network namespace and a mount namespace with a /run of its own, which a sleeping
process holds; everything that runs there enters both.  The places' veth pairs end in a bridge in a namespace apart,
in which our TAP device is too.  Loss is made where frames enter the bridge, so what a kernel hears of its own sending
is not touched.

`python -m tests.support.rpc_net` keeps one until Ctrl-C and says how to look into it.
"""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stack.device.tap import TapDevice
from tests.support.rpc_calc import PROGRAM, CalcPrograms
from tools.netns import CommandFailed, Namespace, stop, wait_until

DEVICE: Final = "tap0"
BRIDGE: Final = "br0"
PREFIX: Final = 24
SERVER: Final = "10.111.0.1"
CLIENT: Final = "10.111.0.2"
OURS: Final = "10.111.0.40"
PROGRAMS: Final = ("rpcbind", "rpcinfo", "rpcgen", "gcc", "pkg-config", "nft", "unshare", "nsenter")
READY_S: Final = 20.0


class Place:
    """A host of the kernel's with a /run of its own, where programs see only each other's rpcbind."""

    __slots__ = ("_folder", "_holder", "address", "name", "namespace", "programs", "rpcbind")

    def __init__(self, name: str, namespace: Namespace, address: str, folder: Path, programs: CalcPrograms) -> None:
        self.name, self.namespace, self.address, self._folder = name, namespace, address, folder
        self.programs = programs
        mount = "mount -t tmpfs tmpfs /run && mkdir /run/rpcbind && echo ready && exec sleep infinity"
        self._holder = namespace.start("unshare", "-m", "sh", "-c", mount, log=folder / f"{name}-holder.log")
        log = folder / f"{name}-holder.log"
        wait_until(lambda: "ready" in log.read_text(), f"{name} has a /run of its own", READY_S)
        self.rpcbind: subprocess.Popen[str] | None = None

    def inside(self, *command: str) -> tuple[str, ...]:
        """The command line that runs it in this place, from inside the network namespace."""
        return "nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *command

    def run(self, *command: str, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program to its end.  Raises CommandFailed."""
        return self.namespace.run(*self.inside(*command), timeout=timeout, check=check)

    def start(self, *command: str, log: str) -> subprocess.Popen[str]:
        """Start a program that runs beside the test."""
        return self.namespace.start(*self.inside(*command), log=self._folder / f"{self.name}-{log}.log")

    def start_rpcbind(self) -> None:
        """Run rpcbind, as secure as it is by default, until it answers."""
        process = self.rpcbind = self.start("rpcbind", "-f", log="rpcbind")
        self._ready(process, "rpcbind", lambda: "100000" in self.run("rpcinfo", "-p", check=False).stdout)

    def stop_rpcbind(self) -> None:
        """End it; it forgets everything."""
        assert self.rpcbind is not None
        stop(self.rpcbind)
        self.run("sh", "-c", "rm -rf /run/rpcbind* && mkdir /run/rpcbind")

    @contextlib.contextmanager
    def calc(self, port: int = 0) -> Iterator[subprocess.Popen[str]]:
        """With the C server of calc.x, which is registered here when it is ready."""
        process = self.start_calc(port)
        try:
            yield process
        finally:
            stop(process, signal.SIGKILL)
            for version in "12":
                self.run("rpcinfo", "-d", str(PROGRAM), version, check=False)

    def start_calc(self, port: int = 0) -> subprocess.Popen[str]:
        """Run the C server of calc.x until it answers."""
        process = self.start(self.programs.server, str(port), log="calc")

        def answers() -> bool:
            asked = (self.run("rpcinfo", "-T", kind, "localhost", str(PROGRAM), check=False) for kind in ("udp", "tcp"))
            return all(one.returncode == 0 for one in asked)

        self._ready(process, "calc_server", answers)
        return process

    def _ready(self, process: subprocess.Popen[str], name: str, answers) -> None:
        def ready() -> bool:
            if process.poll() is not None:
                text = "".join(path.read_text()[-3000:] for path in self._folder.glob(f"{self.name}-*.log"))
                raise CommandFailed(f"{name} ended with {process.returncode}:\n{text}")
            return bool(answers())

        wait_until(ready, f"{name} answers in {self.name}", READY_S)


class RpcNet:
    """See above.  `server` and `client` are alike: both have an rpcbind."""

    __slots__ = ("_folder", "_stack", "client", "programs", "server", "switch")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.switch = Namespace()
        self.programs: CalcPrograms
        self.server: Place
        self.client: Place

    def __enter__(self) -> Self:
        built = self._folder / "calc"
        built.mkdir()
        self.programs = CalcPrograms(built)
        try:
            self._cable()
            for place in (self.server, self.client):
                place.start_rpcbind()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def tap(self) -> TapDevice:
        """Our end of the TAP device in the bridge; one host at a time can have it."""
        with self.switch.entered():
            return TapDevice(DEVICE)

    @contextlib.contextmanager
    def loss(self, per_mille: int, *devices: str) -> Iterator[None]:
        """With so many frames lost of those that come from each of these ports: `tap0`, `v-server`, `v-client`."""
        for device in devices:
            self.switch.drop(device, per_mille)
        try:
            yield
            assert self.switch.dropped() > 0
        finally:
            self.switch.run("nft", "delete", "table", "netdev", "loss")

    def _cable(self) -> None:
        switch = self._stack.enter_context(self.switch)
        switch.ip(f"link add {BRIDGE} type bridge")
        switch.ip(f"link set {BRIDGE} up")
        self.server = self._place("server", SERVER)
        self.client = self._place("client", CLIENT)
        with switch.entered():
            device = TapDevice(DEVICE)
            device.set_persistent(True)
            device.set_up()
            device.close()
        switch.ip(f"link set {DEVICE} master {BRIDGE}")

    def _place(self, name: str, address: str) -> Place:
        namespace = self._stack.enter_context(Namespace())
        namespace.ip(f"link add eth0 type veth peer name v-{name} netns {self.switch.name}")
        self.switch.ip(f"link set v-{name} master {BRIDGE} up")
        namespace.ip(f"address add {address}/{PREFIX} broadcast + dev eth0")
        namespace.ip("link set eth0 up")
        return Place(name, namespace, address, self._folder, self.programs)


def main() -> int:
    """Keep a network with both servers running until Ctrl-C."""
    with tempfile.TemporaryDirectory() as folder, RpcNet(Path(folder)) as net, net.server.calc():
        inside = " ".join(net.client.inside())
        print(f"ask with\n  ip netns exec {net.client.namespace.name} {inside} rpcinfo -p {SERVER}")
        print(f"  ip netns exec {net.client.namespace.name} {inside} {net.programs.client} {SERVER} udp all")
        print(f"our TAP device: {DEVICE} in {net.switch.name}; logs in {folder}; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
