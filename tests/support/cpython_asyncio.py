"""Runs CPython's own asyncio tests on our loop, over a host of our stack.  In a namespace with a TAP device:

    python -m tests.support.cpython_asyncio uvloop|asyncio|plain REPORT [test ...]

The tests come from the interpreter's own library and are not changed but for their addresses.  They talk over the
loopback interface, often with blocking kernel sockets at one end, and 127/8 is never ours.  So

* the loopback address in their text becomes that of our host (STACK), and `asyncio.new_event_loop`, `SelectorEventLoop`
  and `asyncio.run` make our loop, with a host on the TAP device;
* the sockets that they make themselves bind the kernel's address (KERNEL) in its place: who connects to our host
  reaches the loop over the TAP device, and what the loop connects to goes out over it;
* a test that connects a blocking socket in the loop's own thread relies on a kernel that answers while the loop stands
  still: the loop is run until that connection is there;
* the tests of sendfile connect such a socket to a server of their own and hand it to the loop: it is connected by
  `loop.sock_connect`, so that what sends is a connection of the stack;
* datagrams on socket objects are the kernel's alone (DATAGRAMS), so their tests stay on the loopback interface;
* two tests of servers need the kernel's addresses besides ours (WILDCARD).

With `plain` the tests run unchanged on uvloop without us: what fails there is no fault of ours.

What is reported is one outcome per test; how many must pass, and which may fail and why, is tests/interop's business.
"""

import ast
import asyncio
import contextlib
import errno
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import types
import unittest
from pathlib import Path
from typing import Any, ClassVar, cast

import uvloop

from stack.aio.loop import SelectorLoop, UvLoop
from stack.aio.network import AsyncHost
from stack.aio.server import Listening
from stack.device.tap import TapDevice
from stack.errors import DeviceError
from tests.support.interop_hosts import CONFIG, DEVICE, KERNEL, PREFIX
from tests.support.interop_hosts import OURS as STACK

PACKAGE = "test.test_asyncio"
LOCAL = {"127.0.0.1", "localhost", STACK}
HANDED_ON = "test_sendfile."  # its sockets are connected for the loop
DATAGRAMS = "test_sock_lowlevel."  # its datagram sockets talk to one another
# listen on the kernel, too: one connects by IPv6, the other wants a port that a kernel socket has
WILDCARD = {"test_create_server_dual_stack": "both", "test_create_server_addr_in_use": "both"}
THEIRS = {"utils", "functional"}  # what these modules bind is always a kernel socket
SECONDS = 14  # for one test; on a machine with other work, too
MODULES = (
    "test_streams",
    "test_transports",
    "test_buffered_proto",
    "test_server",
    "test_sendfile",
    "test_sock_lowlevel",
    "test_ssl",
    "test_sslproto",
    "test_events",
)
# The same tests with other selectors would be the same tests with the same loop.
LEFT_OUT = ("SelectEventLoopTests", "PollEventLoopTests")
ELSEWHERE = re.compile(r"unix|pipe|pty|process|signal", re.IGNORECASE)  # what is no concern of a network stack
ONLY_CLASSES = {"test_events": ("EPollEventLoopTests",)}  # the others test handles, policies, abstract classes


# -- the loop


class Loopback:
    """Mixed into our loop: a host of its own on the TAP device, and where a local address leads."""

    host: AsyncHost | None = None

    def open_host(self) -> None:
        """Put our host on the device; a second loop of the same test has none."""
        try:
            device = TapDevice(DEVICE)
        except DeviceError as error:
            if error.errno != errno.EBUSY:
                raise
            return
        self.host = AsyncHost(CONFIG, loop=cast("Any", self))
        self.host.add_device(device, f"{STACK}/{PREFIX}")
        LOOPS.append(self)

    def close(self) -> None:
        """The host goes with its loop."""
        super().close()  # type: ignore[misc]  # there is one in what this is mixed into
        if self in LOOPS:
            LOOPS.remove(self)

    async def create_connection(self, protocol_factory, host=None, port=None, **options):
        """To a port that a socket of the test has: to the kernel."""
        name = host if options.get("ssl") and host and options.get("sock") is None else None
        if name is not None and options.get("server_hostname") is None:
            options["server_hostname"] = name
        target, port = leads_to((host, port))
        return await super().create_connection(protocol_factory, target, port, **options)

    async def sock_connect(self, sock, address):
        """As create_connection."""
        return await super().sock_connect(sock, leads_to(address) if sock.family == socket.AF_INET else address)


LOOPS: list[Any] = []  # open ones with a host
BOUND: set[int] = set()  # ports that sockets of the tests are bound to


def leads_to(address: Any) -> Any:
    """Where a local address leads: to our host, or to a socket of the test, where our host does not listen."""
    host, port = address[:2]
    if host not in LOCAL:
        return address
    ours = any(port in listening_ports(loop.host) for loop in LOOPS)
    return (KERNEL if port in BOUND and not ours else STACK, *address[1:])


def listening_ports(host: AsyncHost) -> set[int]:
    """Ports that our host listens on."""
    places = [handler for handler in host.driver.handlers if isinstance(handler, Listening)]
    return {place.socket.getsockname()[1] for place in places}


class AsyncioLoop(Loopback, SelectorLoop):
    """Over asyncio."""


class UvloopLoop(Loopback, UvLoop):  # type: ignore[misc]  # as StackLoop and uvloop.Loop
    """Over uvloop."""

    _default_executor = None  # asyncio's own loops have it, and the tests ask for it when they clean up


class PlainLoop(uvloop.Loop):
    """uvloop without us."""

    _default_executor = None


class Policy(asyncio.DefaultEventLoopPolicy):
    """For `asyncio.run` in a test."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Ours."""
        loop: asyncio.AbstractEventLoop = new_loop()
        return loop


def new_loop(selector: Any = None) -> Any:
    """What the tests get from `asyncio.new_event_loop()` and `asyncio.SelectorEventLoop(selector)`."""
    if selector is not None:
        selector.close()
    if LOOP == PLAIN:
        return PlainLoop()
    loop = CLASSES[LOOP](wildcard=WILDCARD.get(Report.running.rpartition(".")[2], "stack"))
    loop.open_host()
    return loop


CLASSES: dict[str, Any] = {"asyncio": AsyncioLoop, "uvloop": UvloopLoop}
LOOP = "asyncio"
PLAIN = "plain"


# -- what the tests see of the socket module


class KernelSocket(socket.socket):
    """A socket of a test's own: at the kernel's address."""

    __slots__ = ()  # so that the loop may make one of its own kind of it

    def bind(self, address: Any) -> None:
        """As above; the port is remembered."""
        if self.family == socket.AF_INET and address[0] in {KERNEL, *LOCAL}:
            stays = self.type == socket.SOCK_DGRAM and Report.running.startswith(DATAGRAMS)
            address = ("127.0.0.1" if stays else KERNEL, *address[1:])
        super().bind(address)
        if self.family == socket.AF_INET:
            BOUND.add(self.getsockname()[1])

    def connect(self, address: Any) -> None:
        """To our host, if it listens there; its loop is run meanwhile if this is its thread."""
        if self.family != socket.AF_INET:
            super().connect(address)
            return
        address, timeout = leads_to(address), self.gettimeout()
        idle = [loop for loop in LOOPS if not loop.is_running()] if _in_main_thread() else []
        if idle and Report.running.startswith(HANDED_ON):
            idle[0].run_until_complete(idle[0].sock_connect(self, address))
            return
        if address[0] != STACK or timeout == 0 or not idle:
            super().connect(address)
            return
        self.setblocking(False)
        try:
            code = self.connect_ex(address)
            if code == errno.EINPROGRESS:
                code = self._turn(idle[0])
        finally:
            self.settimeout(timeout)
        if code:
            raise OSError(code, os.strerror(code))

    def _turn(self, loop: Any, seconds: float = 5.0) -> int:
        until = time.monotonic() + seconds
        while not select.select([], [self], [], 0)[1]:
            if time.monotonic() > until:
                return errno.ETIMEDOUT
            loop.run_until_complete(asyncio.sleep(0.001))
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def create_server(address: Any, *, family: int = socket.AF_INET, backlog: int | None = None, **options: Any) -> Any:
    """As socket.create_server, but for the class."""
    if family != socket.AF_INET:
        return socket.create_server(address, family=family, backlog=backlog, **options)
    sock = KernelSocket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(*(() if backlog is None else (backlog,)))
    return sock


class Face(types.ModuleType):
    """A module with some names exchanged."""

    def __init__(self, module: types.ModuleType, **exchanged: Any) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(exchanged, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)


# -- the tests, with our addresses


class Addresses(ast.NodeTransformer):
    """The loopback address becomes `address`, and `localhost` where it stands as an address.

    But what a server is said to have as `peername` is the address of a kernel socket.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        """Also within longer texts, such as the messages that are expected."""
        if isinstance(node.value, str) and "127.0.0.1" in node.value:
            return ast.copy_location(ast.Constant(node.value.replace("127.0.0.1", self.address)), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`f("localhost", port)`, `assertEqual("127.0.0.1", transport.get_extra_info("peername")[0])`."""
        asserts = isinstance(node.func, ast.Attribute) and node.func.attr == "assertEqual"
        if asserts and any(isinstance(part, ast.Constant) and part.value == "peername" for part in ast.walk(node)):
            return Addresses(KERNEL).generic_visit(node)
        self.generic_visit(node)
        for position, argument in enumerate(node.args[:-1]):
            if isinstance(argument, ast.Constant) and argument.value == "localhost":
                node.args[position] = ast.copy_location(ast.Constant(self.address), argument)
        return node


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of the tests with the addresses exchanged."""

    def get_code(self, fullname: str) -> types.CodeType | None:
        """Compiled from the source, never from a cache."""
        if LOOP == PLAIN:
            return super().get_code(fullname)
        address = KERNEL if fullname.rpartition(".")[2] in THEIRS else STACK
        tree = Addresses(address).visit(ast.parse(Path(self.path).read_text(), self.path))
        code: types.CodeType = compile(tree, self.path, "exec")
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        """Then exchange what it sees of two modules."""
        super().exec_module(module)
        names = module.__dict__
        if "socket" in names and LOOP != PLAIN:
            names["socket"] = Face(socket, socket=KernelSocket, create_server=create_server)
        if "asyncio" in names:
            names["asyncio"] = Face(asyncio, new_event_loop=new_loop, SelectorEventLoop=new_loop)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of PACKAGE for the Loader."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """None for what is not one of them."""
        if not fullname.startswith(PACKAGE + ".") or not path:
            return None
        file = str(Path(next(iter(path))) / (fullname.rpartition(".")[2] + ".py"))
        return importlib.util.spec_from_file_location(fullname, file, loader=Loader(fullname, file))


class Report(unittest.TestResult):
    """One outcome per test: "" for a pass, else the last line of what went wrong; skipped tests are left out."""

    running: ClassVar[str] = ""  # the name of the test

    def __init__(self, path: str) -> None:
        super().__init__()
        self.outcomes: dict[str, str] = {}
        self._path = path
        self._started = 0.0

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802  (the name is unittest's)
        """Each test starts from our policy and has a time limit."""
        Report.running = name_of(test)
        super().startTest(test)
        asyncio.set_event_loop_policy(Policy())
        signal.setitimer(signal.ITIMER_REAL, SECONDS, 1)  # again and again: also what it cleans up may hang
        self.outcomes[name_of(test)] = ""

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802  (the name is unittest's)
        """What a failed test has left open must not harm the next one."""
        super().stopTest(test)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for loop in LOOPS.copy():
            with contextlib.suppress(Exception):
                loop.close()
        Path(self._path).write_text(json.dumps(self.outcomes))

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802  (the name is unittest's)
        """Also those of a whole class."""
        super().addError(test, err)
        self._failed(test, err)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802  (the name is unittest's)
        """As addError."""
        super().addFailure(test, err)
        self._failed(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802  (the name is unittest's)
        """As addError."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802  (the name is unittest's)
        """It says nothing about us."""
        super().addSkip(test, reason)
        self.outcomes.pop(name_of(test), None)

    def _failed(self, test: Any, err: Any) -> None:
        lines = str(err[1]).strip().splitlines() or [""]
        self.outcomes[name_of(test)] = f"{err[0].__name__}: {lines[0]}"


def name_of(test: Any) -> str:
    """Module, class and method."""
    return str(test.id()).removeprefix(PACKAGE + ".")


def tests_of(suite: Any) -> list[unittest.TestCase]:
    """The tests of a suite, flat."""
    if isinstance(suite, unittest.TestCase):
        return [suite]
    return [test for part in suite for test in tests_of(part)]


def is_wanted(test: unittest.TestCase) -> bool:
    """Not one of those that would only repeat another, or are about something else."""
    if ELSEWHERE.search(name_of(test)):
        return False
    module, _, rest = name_of(test).partition(".")
    kind = rest.partition(".")[0]
    return kind not in LEFT_OUT and kind in ONLY_CLASSES.get(module, (kind,))


class Late(SystemExit):
    """A SystemExit, since uvloop lets nothing else out of a signal handler."""


def late(signum: int, frame: Any) -> None:
    """A test hangs."""
    raise Late(f"not done after {SECONDS} s")


def unused_port(*_: object) -> int:
    """Where sockets of the tests bind; a port may be free for 127.0.0.1 and not there, where connections have been."""
    with socket.socket() as one:
        one.bind((KERNEL, 0))
        port: int = one.getsockname()[1]
    return port


def main(arguments: list[str]) -> int:
    """Run them."""
    global LOOP
    LOOP, report, *only = arguments
    signal.signal(signal.SIGALRM, late)
    sys.meta_path.insert(0, Finder())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        from test.support import socket_helper  # type: ignore[import-not-found]  # noqa: PLC0415  (it may not be there)

        if LOOP != PLAIN:
            socket_helper.HOST = socket_helper.HOSTv4 = STACK
            socket_helper.find_unused_port = unused_port
        load = unittest.defaultTestLoader.loadTestsFromName
        found = tests_of(unittest.TestSuite(load(f"{PACKAGE}.{name}") for name in MODULES))
        wanted = [test for test in found if is_wanted(test)]
        if only:
            wanted = [test for test in wanted if any(part in name_of(test) for part in only)]
        result = Report(report)
        unittest.TestSuite(wanted).run(result)
        if only:
            for test, text in result.errors + result.failures:
                print(name_of(test), text, sep="\n")
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # a thread of a failed test may wait for ever
