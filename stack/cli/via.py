"""Who does what a command is for: the daemon, from the stack's address, or this process, through kernel sockets.

The daemon does where one runs, unless `--via` says otherwise.  Names are looked up on the same side, by our resolver.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeVar

import click

from stack.cli import client, kernel
from stack.errors import ConfigError

DAEMON, KERNEL = "daemon", "kernel"
LOOK_UP_S: Final = 10.0
_SHOWN: Final = 3  # servers in a sentence

_T = TypeVar("_T")


class Way:
    """The daemon on `dev`, or this process.  `via` None: the daemon if one runs."""

    __slots__ = ("_control", "_dev", "_via", "by", "how")

    def __init__(self, via: str | None, dev: str, control: str | None) -> None:
        self._via = via
        self._dev = dev
        self._control = control
        self.by = via or DAEMON
        self.how = ""  # says who did it, once it is done

    # --- who --------------------------------------------------------------------------------------------------------

    def _do(self, by_daemon: Callable[[], _T], by_kernel: Callable[[], _T]) -> _T:
        """What comes of it, by whoever does it; the next request goes the same way.  Raises StackError."""
        if self._via != KERNEL:
            try:
                result = by_daemon()
            except client.NoDaemon as error:
                if self._via == DAEMON:
                    raise
                self.how = f"through kernel sockets, since {error.why}"
            else:
                self._via = self.by = DAEMON
                self.how = f"by the daemon on {self._dev}"
                return result
        self._via = self.by = KERNEL
        self.how = self.how or "through kernel sockets"
        return by_kernel()

    def lost(self, servers: list[str]) -> str:
        """The sentence for when there is no way to any server."""
        names = list(dict.fromkeys(servers))
        tried = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        if self.by == DAEMON:
            return (
                f"the daemon on {self._dev} has no route to any server ({tried}): use --via kernel, "
                "or start it with --uplink"
            )
        return f"there is no route to any server ({tried}), with --via kernel: is this machine connected?"

    def silent(self, error: str) -> str:
        """The sentence for when no server answered."""
        if self.by == DAEMON:
            return f"{error}; if the daemon has no way to its servers, use --via kernel"
        return error

    # --- names ------------------------------------------------------------------------------------------------------

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """What comes of a request of `stack.daemon.lookups`.  Raises StackError."""
        answer = self._do(
            lambda: client.look_up(self._dev, self._control, request), lambda: asyncio.run(_ask_by_ourselves(request))
        )
        if self.by == DAEMON:
            about = f", {answer['about']}" if "about" in answer else ""
            self.how = f"by the daemon on {self._dev}, from {answer['address']}{about}"
        for warning in answer.get("warnings", ()):
            click.echo(f"tapstack: {warning}", err=True)
        return answer

    def addresses(self, host: str) -> list[str]:
        """Of a host, the best first; figures are their own.  Raises StackError."""
        if client.is_address(host):
            return [host]
        from stack.dns.names import Name  # noqa: PLC0415  # addresses in figures need none of it

        Name.parse(host)
        answer = self.ask({"op": "lookup", "want": "addresses", "name": host, "timeout": LOOK_UP_S})
        if answer["found"]:
            return [str(address) for address in answer["found"]]
        raise ConfigError(self.sentence(answer["status"], answer["error"], answer["tries"]))

    def sentence(self, status: str, error: str, tries: list[Any]) -> str:
        """Why a lookup found nothing: its status, its error, and the servers asked with what each said."""
        from stack.dns.core.answer import Failure  # noqa: PLC0415  # as above

        lost = {Failure.NO_ROUTE.value, Failure.UNREACHABLE.value}
        if status not in {"NXDOMAIN", "NoData"} and tries and all(why in lost for _, why in tries):
            return self.lost([server for server, _ in tries])
        return self.silent(error) if status == "Timeout" else error

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """What comes of a request of `stack.daemon.calls`.  Raises StackError."""
        answer = self._do(
            lambda: client.call(self._dev, self._control, request), lambda: asyncio.run(_call_by_ourselves(request))
        )
        if self.by == DAEMON:
            self.how = f"by the daemon on {self._dev}, from {answer['address']}"
        return answer

    # --- more than names --------------------------------------------------------------------------------------------

    @contextmanager
    def connection(self, host: str, port: int, timeout: float, *, say: bool = True) -> Iterator[socket.socket]:
        """A TCP connection, as a socket; `say`: on standard error, whose it is.  Raises StackError."""
        addresses = self.addresses(host)
        with ExitStack() as closing:
            sock = self._do(
                lambda: closing.enter_context(
                    client.connection(self._dev, self._control, first_of_version_4(host, addresses), port, timeout)
                ),
                lambda: closing.enter_context(kernel.connect(addresses, port, timeout)),
            )
            if say:
                click.echo(f";; connected {self.how}", err=True)
            yield sock

    def pings(self, host: str, **options: Any) -> tuple[str, Iterator[dict[str, Any]]]:
        """The address, and what comes of each echo request as it comes.  Raises StackError, also as one goes on."""
        address = first_of_version_4(host, self.addresses(host))

        def by_daemon() -> Iterator[dict[str, Any]]:
            answers = client.pings(self._dev, self._control, address, **options)
            next(answers)  # it has agreed
            return answers

        return address, self._do(by_daemon, lambda: kernel.pings(address, **options))


def first_of_version_4(host: str, addresses: list[str]) -> str:
    """The best IPv4 address of a host, which is all that the stack and ping know.  Raises ConfigError."""
    for address in addresses:
        if ":" not in address:
            return address
    raise ConfigError(f"{host} has no IPv4 address")


async def _ask_by_ourselves(request: dict[str, Any]) -> dict[str, Any]:
    from stack.daemon.lookups import SYSTEM, Lookups, make_resolver  # noqa: PLC0415  # as above

    logging.getLogger("stack.dns").addHandler(logging.NullHandler())  # the answer has its warnings, too
    resolver = make_resolver(SYSTEM)
    assert resolver is not None
    async with resolver:
        return await Lookups(resolver).answer(request)


async def _call_by_ourselves(request: dict[str, Any]) -> dict[str, Any]:
    from stack.daemon.calls import Calls  # noqa: PLC0415  # as above

    return await Calls().answer(request)
