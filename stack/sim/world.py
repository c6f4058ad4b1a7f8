"""Ordinary asyncio programs on the hosts of a simulated network: hours in seconds, repeatable to the byte.

    async def main(net):
        alice, bob = net.add_hosts("alice", "bob")
        with bob.active():
            await asyncio.start_server(serve, port=7)
        with alice.active():
            reader, writer = await asyncio.open_connection("bob", 7)

    stack.sim.run(main, seed=1)

Theory of operation.  A VirtualNet owns a Network and the VirtualLoop that steps it.  A VirtualHost is a place in that
network: its name, address and ports stay, while the TCP/IP host at them is a new one after every `restart`.  Whatever
runs `with host.active()` or was started by `host.spawn` is on that host; tasks inherit it.

One seed decides everything: the faults of links, the hosts' own choices, and what a program draws from `net.rng` or the
module `random`, which is seeded while the simulation runs.  The kernel's randomness (`os.urandom`, `secrets`, `uuid4`,
keys and nonces of TLS) and real clocks (`time.time`) are not the seed's: over TLS times and lengths repeat, bytes do
not.
Sets of text are in the order of PYTHONHASHSEED: a program that acts in their order repeats with the same one only.
"""

import asyncio
import gc
import random
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import CoroutineType
from typing import Any, Final, TypeVar

from stack.aio.active import ACTIVE, activate
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.device.fault_settings import Faults
from stack.device.pcap import CaptureTrace
from stack.errors import AddressInUse, ConfigError, HostClosed
from stack.host.host import Host
from stack.sim.driver import SimDriver
from stack.sim.invariants import CheckedHost, Watch
from stack.sim.link import Link, Port
from stack.sim.loop import VirtualLoop
from stack.sim.network import Network, SimulationError
from stack.sim.node import HostNode, Node, Switch
from stack.sim.record import RECORD_FRAMES
from stack.sim.routing import address_of, host_of
from stack.wire.addr import format_addr, parse_cidr

T = TypeVar("T")

STAR: Final = "switch"  # the node between all hosts that are not placed elsewhere
STAR_NET, STAR_LEN = 0x0A00_0000, 16  # 10.0.0.0/16
STAR_FAULTS: Final = Faults(delay_us=250)  # of the link of each host, both ways: a round trip takes 1 ms
# The address is known to be free.  A lossy link loses three ARP requests in a row once in a while, but not ten
HOST_CONFIG: Final = HostConfig(ip=IpConfig(arp_probe=False, arp_tries=10))


class VirtualHost:
    """A host of a VirtualNet, which makes it."""

    __slots__ = ("_config", "_main", "_net", "lives", "name", "node", "program", "stack")

    def __init__(self, net: "VirtualNet", name: str, config: HostConfig) -> None:
        self._net = net
        self._config = config
        self._main: Callable[[VirtualHost], Coroutine[Any, Any, object]] | None = None
        self.name = name
        self.lives = 0
        self.program: asyncio.Task[object] | None = None  # what `boot` began last
        self.stack: AsyncHost  # the host as asyncio programs see it; another one after each restart
        trace = CaptureTrace()
        self.node = net.network.add_host(name, self._begin(trace), trace)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{'' if self.is_up else ' crashed'}>"

    def _begin(self, trace: CaptureTrace | None) -> SimDriver:
        """A TCP/IP host that nothing has happened to yet."""
        net = self._net
        network, watch = net.network, net.watch
        self.lives += 1
        rng, now = network.rng(f"host/{self.name}/{self.lives}"), network.clock.now
        if watch is None:
            host = Host(self._config, rng, now, trace)
        else:
            host = CheckedHost(self._config, rng, now, trace, watch)
        driver = SimDriver(self.name, host, net.loop, network.clock)
        self.stack = AsyncHost.over(driver, resolver=net)
        driver.context.run(ACTIVE.set, self.stack)
        return driver

    # -- who and where

    @property
    def address(self) -> str:
        """Its first address, "" if it has none."""
        addr = next((addr for port in self.node.ports if (addr := address_of(port)[0])), 0)
        return format_addr(addr) if addr else ""

    @property
    def links(self) -> list[Link]:
        """Its links.  `configure` gives one other faults, `down` and `up` break and mend it."""
        return [port.link for port in self.node.ports if port.link is not None]

    @property
    def link(self) -> Link:
        """Its only link, or the first; "forward" is from this host if it was named first, as in a star."""
        links = self.links
        if not links:
            raise ConfigError(f"host {self.name} has no link; use `net.link`")
        return links[0]

    @property
    def is_up(self) -> bool:
        """Whether it was not crashed, nor closed."""
        return self.stack.driver.is_open

    # -- what runs on it

    def active(self) -> AbstractContextManager[None]:
        """Within the block asyncio's calls about networks are this host's, and tasks that are created are on it."""
        return activate(self.stack)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> "asyncio.Task[T]":
        """A task on this host.  Raises HostClosed when it has crashed."""
        if not self.is_up:
            coro.close()
            raise HostClosed(f"host {self.name} is down; restart it first")
        with self.active():
            task: asyncio.Task[T] = self._net.loop.create_task(coro, name=name)
            return task

    def boot(self, main: Callable[["VirtualHost"], Coroutine[Any, Any, object]]) -> "asyncio.Task[object]":
        """Run `main(host)` on this host now, and again after every restart.  What it raises ends the simulation."""
        task: asyncio.Task[object] = self.spawn(main(self), name=self.name)
        self.program = task
        self._main = main
        driver = self.stack.driver
        task.add_done_callback(lambda done: self._net.on_main_done(done, driver))
        return task

    # -- power

    def crash(self) -> None:
        """Stop at once: no frame leaves any more, not even those still on its links, and nobody is told.

        Its tasks are cancelled, its connections and all it knew are gone.  Nothing if it is down.
        """
        driver = self.stack.driver
        if not self.is_up:
            return
        assert isinstance(driver, SimDriver)
        self.node.halt()
        self._net.loop.cancel_tasks_of(driver)
        self._net.loop.remove_host(self.stack)
        driver.crash()

    def restart(self) -> None:
        """Crash if it is up; begin anew with the same addresses, routes and links; run again what `boot` was given."""
        self.crash()
        node, now = self.node, self._net.network.clock.now
        before = host_of(node)
        assert before is not None
        old = [port.ifindex for port in node.ports]
        node.replace(self._begin(node.trace))
        ip = self.stack.host.ip
        moved = dict(zip(old, (port.ifindex for port in node.ports), strict=True))
        for was, ifindex in moved.items():
            for addr, prefix_len in before.ip.interfaces[was].addrs:
                ip.add_address(ifindex, addr, prefix_len, now)
        for route in before.ip.routes:
            ip.add_route(
                route.prefix,
                route.prefix_len,
                gateway=route.gateway,
                ifindex=moved[route.ifindex],
                metric=route.metric,
                src=route.src,
                mtu=route.mtu,
            )
        self.stack.addresses_changed()
        self._net.network.remark(f"{self.name} restarted")
        if self._main is not None:
            self.boot(self._main)


Group = VirtualHost | Iterable[VirtualHost]


class VirtualNet:
    """A network of hosts for asyncio programs; `run` makes one.  See the head of this file.

    `faults` are those of each host's link to the switch, in both directions.  With `invariants` everything that hosts
    send and remember is checked after every event, which costs time.  `record_frames` is how many of the latest
    frames captures and reports can show.
    """

    __slots__ = ("_faults", "_main", "_main_error", "_seats", "_star", "hosts", "loop", "network", "rng", "watch")

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults = STAR_FAULTS,
        invariants: bool = True,
        record_frames: int = RECORD_FRAMES,
    ) -> None:
        self.network = Network(seed, record_frames=record_frames, invariants=invariants)
        self.watch = Watch(self.network.clock) if invariants else None
        self.loop = VirtualLoop(self.network, self)
        self.rng = self.network.rng("program")  # for what the program wants to be random
        self.hosts: dict[str, VirtualHost] = {}
        self._faults = faults
        self._star: Switch | None = None
        self._seats = 0  # addresses given to hosts of the star
        self._main: asyncio.Task[Any] | None = None
        self._main_error: BaseException | None = None  # of `run`'s main, or of what a host was booted with

    @property
    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self.loop.time()

    def reset(self, *, seed: int | None = None, invariants: bool | None = None) -> None:
        """Another seed, or whether invariants are checked.  Raises ConfigError once there is a host."""
        network = self.network
        network.reset(seed=seed, invariants=invariants)
        if invariants is not None:
            self.watch = Watch(network.clock) if invariants else None
        if seed is not None:
            self.rng = network.rng("program")
            if self.loop.is_running():
                _seed_random(seed)

    # -- what it is made of

    def add_host(
        self,
        name: str,
        *,
        address: str | None = None,
        faults: Faults | None = None,
        config: HostConfig = HOST_CONFIG,
        attach: bool = True,
    ) -> VirtualHost:
        """A new host, linked to the switch that all share; with `attach=False` to nothing: use `link` and `autoroute`.

        `address` is like "10.0.1.7", or with a length if it is not in 10.0.0.0/16; by default the next free one.
        `faults` are those of its link, both ways.  Raises ConfigError, InvalidAddress, AddressInUse.
        """
        given = parse_cidr(address) if address is not None else None
        if given is not None and any(given[0] == address_of(port)[0] for port in self._host_ports()):
            raise AddressInUse(f"{format_addr(given[0])} is the address of another host of this network")
        host = self.hosts[name] = VirtualHost(self, name, config)
        if attach:
            if self._star is None:
                self._star = self.network.add_switch(STAR)
            faults = self._faults if faults is None else faults
            port = self.network.link(host.node, self._star, faults, faults).a
            addr, length = given or (self._free_address(), STAR_LEN)
            if address is not None and "/" not in address:
                length = STAR_LEN
            host.stack.host.add_address(port.ifindex, addr, length, self.network.clock.now)
            host.stack.addresses_changed()
        return host

    def _host_ports(self) -> Iterator[Port]:
        return (port for host in self.hosts.values() for port in host.node.ports)

    def _free_address(self) -> int:
        taken = {address_of(port)[0] for port in self._host_ports()}
        while True:
            self._seats += 1
            if self._seats >= (1 << (32 - STAR_LEN)) - 1:
                raise ConfigError("no address is left in 10.0.0.0/16")
            if STAR_NET + self._seats not in taken:
                return STAR_NET + self._seats

    def add_hosts(
        self, *names: str, faults: Faults | None = None, config: HostConfig = HOST_CONFIG
    ) -> list[VirtualHost]:
        """A star: all these hosts on one switch.  Raises ConfigError."""
        return [self.add_host(name, faults=faults, config=config) for name in names]

    def add_router(self, name: str) -> HostNode:
        """A host that forwards and runs no program; to be linked.  Raises ConfigError."""
        return self.network.add_router(name, HOST_CONFIG)

    def add_switch(self, name: str) -> Switch:
        """A learning switch; to be linked.  Raises ConfigError."""
        return self.network.add_switch(name)

    def link(
        self,
        a: VirtualHost | Node,
        b: VirtualHost | Node,
        forward: Faults | None = None,
        backward: Faults | None = None,
        *,
        mtu: int = 1500,
    ) -> Link:
        """Join two hosts, routers or switches; `forward` are the faults from `a` to `b`.

        `backward` are by default the same.  Raises ConfigError.
        """
        one, other = (end.node if isinstance(end, VirtualHost) else end for end in (a, b))
        return self.network.link(one, other, forward, forward if backward is None else backward, mtu=mtu)

    def autoroute(self) -> None:
        """Addresses for all ports that have none, and routes to everywhere.  Raises ConfigError."""
        self.network.autoroute()
        for host in self.hosts.values():
            host.stack.addresses_changed()

    def configure(self, faults: Faults) -> None:
        """Other faults on all links of the star, and for hosts that are added from now on."""
        self._faults = faults
        for port in self._star.ports if self._star is not None else ():
            assert port.link is not None
            port.link.configure(faults)

    # -- partitions

    def partition(self, a: Group, b: Group, *, one_way: bool = False) -> None:
        """Let nothing pass any more between hosts `a` and hosts `b` of one switch, or only not from `a` to `b`.

        Nobody is told; what is past the switch arrives.  Raises ConfigError for hosts that are not on one switch: take
        a link down between those.
        """
        for switch, there, back in self._between(a, b):
            switch.barred.add((there, back))
            if not one_way:
                switch.barred.add((back, there))
        self.network.remark(f"partition {_names(a)} {'>' if one_way else '|'} {_names(b)}")

    def heal(self, a: Group | None = None, b: Group | None = None) -> None:
        """End all partitions, or those between hosts `a` and hosts `b`.  Raises ConfigError."""
        if a is None or b is None:
            for node in self.network.nodes:
                if isinstance(node, Switch):
                    node.barred.clear()
            self.network.remark("healed")
            return
        for switch, there, back in self._between(a, b):
            switch.barred -= {(there, back), (back, there)}
        self.network.remark(f"healed {_names(a)} | {_names(b)}")

    @staticmethod
    def _between(a: Group, b: Group) -> list[tuple[Switch, Port, Port]]:
        """For each pair of hosts the switch that joins them, and its ports to them."""
        pairs = []
        for one in _members(a):
            for other in _members(b):
                if one is other:
                    raise ConfigError(f"host {one.name} is on both sides of the partition")
                near, far = _switch_ports(one), _switch_ports(other)
                switch = next((switch for switch in near if switch in far), None)
                if switch is None:
                    raise ConfigError(
                        f"{one.name} and {other.name} are not on one switch: take a link between them down"
                    )
                pairs.append((switch, near[switch], far[switch]))
        return pairs

    # -- names

    async def resolve(self, name: str) -> list[str]:
        """The address of the host of that name.  Raises socket.gaierror."""
        host = self.hosts.get(name)
        address = host.address if host is not None else ""
        if not address:
            raise socket.gaierror(socket.EAI_NONAME, f"{name}: no host of this simulation has that name and an address")
        return [address]

    # -- what happened

    def digest(self) -> str:
        """SHA-256 over all frames so far, with their times and places."""
        return self.network.digest()

    def write_capture(self, path: str | PathLike[str], host: VirtualHost | None = None) -> None:
        """Write the latest frames on all links, or at the first port of `host`, as pcapng."""
        with Path(path).open("wb") as file:
            self.network.write_capture(None if host is None else host.node.ports[0], file)

    # -- running

    async def supervise(self, main: "Callable[[VirtualNet], Coroutine[Any, Any, T]]") -> T:
        """Run `main(self)`, and end what it leaves behind.  Raises what `main` or a booted program raised first."""
        self._main = asyncio.current_task()
        try:
            result = await main(self)
        except asyncio.CancelledError:
            if self._main_error is None:
                raise
        except Exception as error:  # noqa: BLE001  (it is raised when all tasks have ended)
            if self._main_error is None:
                self._main_error = error
        finally:
            await self._end_tasks()
        if self._main_error is not None:
            raise self._main_error
        return result

    def on_main_done(self, task: "asyncio.Task[object]", driver: object) -> None:
        """What a host was booted with has ended."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(driver, SimDriver) and driver.crashed:
            return  # its connections broke under it
        if self._main_error is None and self._main is not None:
            self._main_error = error
            self._main.cancel()

    async def _end_tasks(self) -> None:
        """Cancel all other tasks, the oldest first, and wait for them."""
        self._main = None  # nothing cancels it any more
        own = asyncio.current_task()
        while others := [task for task in self.loop.tasks if task is not own]:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            for task in others:
                if not task.cancelled() and (error := task.exception()) is not None and error is not self._main_error:
                    self.loop.call_exception_handler(
                        {"message": "a task failed when the simulation ended", "exception": error, "task": task}
                    )

    def explained(self, error: Exception) -> Exception:
        """What `run` raises for `error`: with seed, time and the last events as a note."""
        first = self._main_error
        if isinstance(error, SimulationError) and isinstance(first, Exception) and first is not error:
            first.add_note(f"and then: {error}")
            error = first
        return self.network.explain(error)


def _members(group: Group) -> list[VirtualHost]:
    return [group] if isinstance(group, VirtualHost) else list(group)


def _names(group: Group) -> str:
    return ",".join(host.name for host in _members(group))


def _switch_ports(host: VirtualHost) -> dict[Switch, Port]:
    """The ports of switches to which a host is linked."""
    found: dict[Switch, Port] = {}
    for link in host.links:
        for port in (link.a, link.b):
            if isinstance(port.node, Switch):
                found[port.node] = port
    return found


def _seed_random(seed: int) -> None:
    random.seed(f"{seed}/random")


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """The module `random` is the seed's meanwhile, and garbage is not collected but when the loop says so."""
    state, collecting = random.getstate(), gc.isenabled()
    _seed_random(seed)
    gc.disable()
    try:
        yield
    finally:
        random.setstate(state)
        if collecting:
            gc.enable()


def run(
    main: Callable[[VirtualNet], Coroutine[Any, Any, T]],
    *,
    seed: int,
    faults: Faults = STAR_FAULTS,
    invariants: bool = True,
    record_frames: int = RECORD_FRAMES,
    capture: str | PathLike[str] | None = None,
    debug: bool | None = None,
) -> T:
    """Run `main(net)` in a simulation of its own, as `asyncio.run` would; returns what it returns.

    `net` is a VirtualNet, which takes `faults`, `invariants` and `record_frames`.  What is left when `main` returns is
    cancelled.  `capture` is the path of a pcapng file for the latest frames, written however the run ends.

    Raises what `main` raises, with the seed, the time and the last events as a note; Deadlock when all wait for what
    will never come; NotSimulated (in the task concerned) for what needs the kernel; AssertionError when a host breaks a
    rule.  Real time passes for the computations only.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("stack.sim.run() cannot be called from a running event loop: it runs one of its own")
    given: object = main
    if asyncio.iscoroutine(given):
        given.close()
        raise TypeError("give the function, not what it returned: run(main, seed=1) calls main(net)")
    net = VirtualNet(seed, faults=faults, invariants=invariants, record_frames=record_frames)
    try:
        return run_in(net, main, debug=debug)
    finally:
        if capture is not None:
            net.write_capture(capture)


def run_in(net: VirtualNet, main: Callable[[VirtualNet], Coroutine[Any, Any, T]], *, debug: bool | None = None) -> T:
    """As `run`, in a network that is there already, whose loop is closed then.  Raises as `run`."""
    with _repeatable(net.network.seed), closing(net.loop):
        try:
            with asyncio.Runner(loop_factory=lambda: net.loop, debug=debug) as runner:
                return runner.run(net.supervise(main))
        except Exception as error:  # noqa: BLE001  (it is raised, with a note)
            raise net.explained(error)  # noqa: B904  (mostly the same)
        finally:
            for task in list(net.loop.tasks):
                _abandon(task)


def _abandon(task: "asyncio.Task[Any]") -> None:
    """It would not be cancelled: have it end here, and not speak up as garbage in the middle of something else."""
    setattr(task, "_log_destroy_pending", False)  # noqa: B010  (asyncio's own tasks have it, and no name for others)
    coro = task.get_coro()
    if isinstance(coro, CoroutineType):
        with suppress(Exception):  # from its `finally`
            coro.close()


__all__ = ["HOST_CONFIG", "STAR_FAULTS", "VirtualHost", "VirtualNet", "run", "run_in"]
