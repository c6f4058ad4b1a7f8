"""A DNS of our own in network namespaces: a signed root, top level and leaf zones, four resolvers, a bridge for them.

    with Hierarchy(folder) as dns:
        dns.client.run("dig", "@10.53.0.10", "www.example.test")

Theory of operation.  Zones are written and signed when the hierarchy is made, with keys of this run.  Every server runs
in the foreground in its place's namespace and is known by its pid; it is ready when it answers, over UDP and over TCP.
The places' veth pairs end in a bridge in a namespace of its own, in which also our TAP device is (`tap`), so that
nothing of this is seen by the machine's own network, and all of it goes with the namespaces.

`python -m tests.support.dns_hierarchy` keeps one until Ctrl-C or SIGTERM and says how to look into it.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stack.device.tap import TapDevice
from tests.support import dns_servers, dns_zones
from tests.support.dns_zones import AUTH, AUTH_TOO, BIND, CLIENT, DNSMASQ, PDNS, PREFIX, ROOT, TCP_ONLY, TLD, UNBOUND
from tools.netns import CommandFailed, Namespace, stop, wait_until

DEVICE: Final = "tap0"
BRIDGE: Final = "br0"
READY_S: Final = 20.0  # for a server to answer, on a busy machine
ALGORITHM: Final = "ECDSAP256SHA256"
PLACES: Final = {
    "root": (ROOT,),
    "tld": (TLD,),
    "auth": (AUTH, AUTH_TOO),
    "resolvers": (UNBOUND, BIND, PDNS, DNSMASQ, TCP_ONLY),
    "client": (CLIENT,),
}
PROGRAMS: Final = ("nsd", "knotd", "named", "unbound", "pdns_recursor", "dnsmasq", "dnssec-keygen", "dnssec-signzone")
# from leaf to root: a zone is signed with the DS records of its children in it
SIGNED: Final = {
    "example.test": dns_zones.EXAMPLE_ZONE,
    "0.53.10.in-addr.arpa": dns_zones.REVERSE_ZONE,
    "test": dns_zones.TEST_ZONE,
    "arpa": dns_zones.ARPA_ZONE,
    ".": dns_zones.ROOT_ZONE,
}
UNSIGNED: Final = {"glueless.test": dns_zones.GLUELESS_ZONE, "brief.test": dns_zones.BRIEF_ZONE}


class Server:
    """One server process: it can be stopped, frozen and brought back."""

    __slots__ = ("_command", "_log", "_name", "_namespace", "_probe", "address", "process")

    def __init__(self, namespace: Namespace, command: tuple[str, ...], log: Path, address: str, probe: str) -> None:
        self._namespace, self._command, self._log, self.address = namespace, command, log, address
        self._name = command[0]
        self._probe = probe  # a name that it has an A or SOA record of
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Run it; `ready` says when it answers."""
        self.process = self._namespace.start(*self._command, log=self._log)

    def ready(self) -> None:
        """Until it answers over UDP and TCP.  Raises CommandFailed if it has ended, TimeoutError."""
        process = self.process
        assert process is not None

        def answers() -> bool:
            if process.poll() is not None:
                raise CommandFailed(f"{self._name} ended with {process.returncode}:\n{self._log.read_text()[-3000:]}")
            return probe(self.address, self._probe, tcp=False) and probe(self.address, self._probe, tcp=True)

        with self._namespace.entered():
            try:
                wait_until(answers, f"{self._name} answers at {self.address}", READY_S)
            except TimeoutError:
                sys.stderr.write(self._log.read_text()[-3000:])  # pytest shows it beside the failure
                raise

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Without this server for a while: its port is closed, which ICMP tells."""
        self._signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(READY_S)
        try:
            yield
        finally:
            self.start()
            self.ready()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """With this server silent for a while."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)
            self.ready()

    def _signal(self, number: signal.Signals) -> None:
        """To all its processes: NSD has three."""
        assert self.process is not None
        os.killpg(self.process.pid, number)


class Hierarchy:
    """See above.  `servers` are by name: root, tld, auth, unbound, bind, pdns, dnsmasq."""

    __slots__ = ("_folder", "_stack", "built_s", "places", "servers", "switch")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.places: dict[str, Namespace] = {}
        self.servers: dict[str, Server] = {}
        self.switch = Namespace()
        self.built_s = 0.0

    def __enter__(self) -> Self:
        began = time.monotonic()
        try:
            self._cable()
            self._serve(*Signer(self._folder).zones())
        except BaseException:
            self._stack.close()
            raise
        self.built_s = time.monotonic() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def unbound_by_tcp_only(self) -> Iterator[str]:
        """One more unbound, at the address that comes back: over UDP it answers TC to everything, unseen."""
        place, anchor = self.places["resolvers"], (self._folder / "unbound" / "root.key").read_text().strip()
        command = dns_servers.unbound(self._room("tcp-only"), anchor, TCP_ONLY, "do-udp: no", "tcp-upstream: yes")
        with contextlib.ExitStack() as stack:
            process = place.start(*command, log=self._folder / "tcp-only.log")
            stack.callback(stop, process, signal.SIGKILL)
            stack.enter_context(place.entered())
            wait_until(lambda: probe(TCP_ONLY, "www.example.test", tcp=True), f"unbound answers at {TCP_ONLY}", READY_S)
            yield TCP_ONLY

    @property
    def client(self) -> Namespace:
        """Where programs that ask run."""
        return self.places["client"]

    def tap(self) -> TapDevice:
        """Our end of the TAP device in the bridge; one host at a time can have it."""
        with self.switch.entered():
            return TapDevice(DEVICE)

    def _cable(self) -> None:
        switch = self._stack.enter_context(self.switch)
        switch.ip(f"link add {BRIDGE} type bridge")
        switch.ip(f"link set {BRIDGE} up")
        for name, addresses in PLACES.items():
            place = self.places[name] = self._stack.enter_context(Namespace())
            place.ip(f"link add eth0 type veth peer name v-{name} netns {switch.name}")
            switch.ip(f"link set v-{name} master {BRIDGE} up")
            for address in addresses:
                place.ip(f"address add {address}/{PREFIX} dev eth0")
            place.ip("link set eth0 up")
        with switch.entered():
            device = TapDevice(DEVICE)
            device.set_persistent(True)
            device.set_up()
            device.close()
        switch.ip(f"link set {DEVICE} master {BRIDGE}")

    def _serve(self, zones: dict[str, Path], anchor: str) -> None:
        def some(*names: str) -> dict[str, Path]:
            return {name: zones[name] for name in names}

        leaves = some("example.test", "0.53.10.in-addr.arpa", *UNSIGNED)
        www = "www.example.test"
        self._add("root", "root", dns_servers.nsd(self._room("root"), some(".")), ROOT, ".")
        self._add("tld", "tld", dns_servers.knot(self._room("tld"), some("test", "arpa")), TLD, "test")
        self._add("auth", "auth", dns_servers.bind_authority(self._room("auth"), leaves), AUTH, www)
        self._add("unbound", "resolvers", dns_servers.unbound(self._room("unbound"), anchor), UNBOUND, www)
        self._add("bind", "resolvers", dns_servers.bind_resolver(self._room("bind"), anchor), BIND, www)
        self._add("pdns", "resolvers", dns_servers.pdns(self._room("pdns")), PDNS, www)
        self._add("dnsmasq", "resolvers", dns_servers.dnsmasq(self._room("dnsmasq")), DNSMASQ, www)
        # who is asked is ready before who asks: a resolver remembers that a server was down
        for names in (("root", "tld", "auth"), ("unbound", "bind", "pdns"), ("dnsmasq",)):
            for name in names:
                self.servers[name].start()
            for name in names:
                self.servers[name].ready()

    def _room(self, name: str) -> Path:
        room = self._folder / name
        room.mkdir()
        return room

    def _add(self, name: str, place: str, command: tuple[str, ...], address: str, question: str) -> None:
        self.servers[name] = Server(self.places[place], command, self._folder / f"{name}.log", address, question)


class Signer:
    """Makes the keys and signs the zones."""

    __slots__ = ("_folder",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "zones"
        self._folder.mkdir()

    def zones(self) -> tuple[dict[str, Path], str]:
        """The files of all zones by name, and the DNSKEY record of the root that a validator trusts."""
        keys = self._keys()
        made = {}
        for name, text in (SIGNED | UNSIGNED).items():
            made[name] = self._folder / f"{name.strip('.') or 'root'}.zone"
            made[name].write_text(text)
        for name in SIGNED:
            signed = made[name].with_suffix(".signed")
            run(self._folder, "dnssec-signzone", "-q", "-S", "-g", "-P", "-o", name, "-f", signed.name, made[name].name)
            made[name] = signed
        return made, next(line for line in keys["."].read_text().splitlines() if "DNSKEY" in line and line[0] != ";")

    def _keys(self) -> dict[str, Path]:
        """Both keys of every zone, made side by side; the files of the key signing keys come back."""
        command = ["dnssec-keygen", "-q", "-a", ALGORITHM]
        running = {
            (zone, role): subprocess.Popen([*command, *role, zone], cwd=self._folder, stdout=subprocess.PIPE, text=True)
            for zone in SIGNED
            for role in (("-f", "KSK"), ())
        }
        names = {which: process.communicate(timeout=30)[0].strip() for which, process in running.items()}
        for which, process in running.items():
            if process.returncode:
                raise CommandFailed(f"dnssec-keygen {which} ended with {process.returncode}")
        return {zone: self._folder / f"{names[zone, role]}.key" for zone, role in running if role}


def run(folder: Path, *command: str) -> None:
    """A program of the signer's.  Raises CommandFailed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")


def probe(address: str, name: str, *, tcp: bool, seconds: float = 0.5) -> bool:
    """Whether the server answers without an error; in the namespace of the calling thread, by hand, to need nothing."""
    labels = [label.encode() for label in name.split(".") if label]
    wire_name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    kind = 1 if len(labels) > 2 else 6  # A of a host, SOA of a zone
    query = struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + wire_name + struct.pack("!2H", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect((address, 53))
            sock.sendall(struct.pack("!H", len(query)) + query if tcp else query)
            reply = sock.recv(65535)[2 if tcp else 0 :]
        except OSError:
            return False
    # id, QR, NOERROR, and something in the answer
    return len(reply) > 12 and reply[:2] == query[:2] and reply[2] >> 7 == 1 and reply[3] & 15 == 0 and reply[7] > 0


def end(*_: object) -> None:
    """Told to end: once, so that nothing keeps us from cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Keep a hierarchy until Ctrl-C or SIGTERM, also while it is built."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as folder,
        Hierarchy(Path(folder)) as dns,
    ):
        print(f"built in {dns.built_s:.1f} s; ask with")
        print(f"  ip netns exec {dns.client.name} dig @{UNBOUND} www.example.test")
        print(f"our TAP device: {DEVICE} in {dns.switch.name}; logs in {folder}; Ctrl-C ends it", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
