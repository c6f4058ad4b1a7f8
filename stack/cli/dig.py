"""`tapstack dig` and `tapstack resolve`: the DNS as the stack sees it, or as the kernel's sockets do.

The daemon is asked where one runs, else this process asks by itself; what is shown is the same, and says who asked.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, Final

import click

from stack.cli import client
from stack.daemon.lookups import SYSTEM, Lookups, make_resolver
from stack.dns.constants import parse_type
from stack.dns.core.actions import Failure
from stack.dns.explain import Explanation, duration
from stack.dns.names import Name
from stack.errors import ConfigError

DAEMON, KERNEL = "daemon", "kernel"
_LOST: Final = frozenset({Failure.NO_ROUTE.value, Failure.UNREACHABLE.value})
_NOT_THERE: Final = frozenset({"NXDOMAIN", "NoData"})  # these are answers, too


class Way:
    """Who asks: the daemon on `dev`, or this process.  `via` None: the daemon if one runs."""

    __slots__ = ("_control", "_dev", "_via", "by", "remark")

    def __init__(self, via: str | None, dev: str, control: str | None) -> None:
        self._via = via
        self._dev = dev
        self._control = control
        self.by = via or DAEMON
        self.remark = ""  # says who asked, once `ask` has returned

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """What comes of a request of `stack.daemon.lookups`.  Raises StackError."""
        if self._via != KERNEL:
            try:
                answer = client.look_up(self._dev, self._control, request)
            except client.NoDaemon as error:
                if self._via == DAEMON:
                    raise
                self.by, self.remark = KERNEL, f"asked through kernel sockets, since {error.why}"
            else:
                self.remark = f"asked by the daemon on {self._dev}, from {answer['address']}"
                return answer
        else:
            self.remark = "asked through kernel sockets"
        return asyncio.run(_ask_by_ourselves(request))

    def lost(self, servers: list[str]) -> str:
        """The sentence for when there is no way to any server."""
        tried = ", ".join(dict.fromkeys(servers))
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


async def _ask_by_ourselves(request: dict[str, Any]) -> dict[str, Any]:
    resolver = make_resolver(SYSTEM)
    assert resolver is not None
    async with resolver:
        return await Lookups(resolver).answer(request)


def question(words: tuple[str, ...]) -> dict[str, Any]:
    """The request of the words of `dig`: NAME [TYPE] [+trace] [@SERVER ...], in any order.  Raises ConfigError."""
    plain: list[str] = []
    servers: list[str] = []
    trace = False
    for word in words:
        if word.startswith("@"):
            servers.append(word[1:])
        elif word == "+trace":
            trace = True
        elif word.startswith("+"):
            raise ConfigError(f"{word} is not known: use +trace, or the options of --help")
        else:
            plain.append(word)
    if not 1 <= len(plain) <= 2:
        raise ConfigError("give a name and, if it is not A, a type: tapstack dig www.example.com AAAA")
    name, rrtype = plain[0], plain[1] if len(plain) > 1 else "A"
    Name.parse(name)
    try:
        parse_type(rrtype)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return {"want": "records", "name": name, "type": rrtype, "servers": servers, "trace": trace}


def dig(words: tuple[str, ...], way: Way, *, timeout: float, as_json: bool, svg: str | None) -> int:
    """Print what comes of a question; 0 when it has an answer.  Raises StackError."""
    request = question(words)
    answer = way.ask({"op": "lookup", "timeout": timeout, **request})
    made = Explanation.from_json(answer["explanation"])
    if svg is not None:
        Path(svg).write_text(made.svg(), encoding="utf-8")
    if as_json:
        click.echo(json.dumps({"via": way.by, **made.to_json()}, indent=2))
        return 0 if not made.error else 1
    click.echo(f";; {way.remark}")
    if request["trace"]:
        click.echo(made.text(shutil.get_terminal_size().columns))
    for record in made.records if not request["trace"] else ():
        click.echo(record)
    if not made.error:
        if not request["trace"]:
            click.echo(f";; {made.remark}, {duration(made.took_us)}")
        return 0
    asked = [hop for hop in made.hops if hop.server]
    sentence = _sentence(way, made.status, made.error, [(hop.server, hop.verdict) for hop in asked])
    if not request["trace"] or sentence != made.error:  # the tree ends with it
        click.echo(f"tapstack: {sentence}", err=True)
    return 1


def resolve(name: str, way: Way, *, timeout: float, as_json: bool) -> int:
    """Print the addresses of a name, or the name of an address; 0 when there are any.  Raises StackError."""
    is_address = client.is_address(name)
    if not is_address:
        Name.parse(name)
    want = "name" if is_address else "addresses"
    answer = way.ask({"op": "lookup", "want": want, "name": name, "timeout": timeout})
    if as_json:
        shown = {key: answer[key] for key in ("status", "error", "tries") if key in answer}
        click.echo(json.dumps({"via": way.by, "name": name, "found": answer["found"], **shown}, indent=2))
        return 0 if answer["found"] else 1
    click.echo(f";; {way.remark}", err=True)  # so that what is printed can be used
    for one in answer["found"]:
        click.echo(one)
    if answer["found"]:
        return 0
    tries = [(server, why) for server, why in answer["tries"]]
    click.echo(f"tapstack: {_sentence(way, answer['status'], answer['error'], tries)}", err=True)
    return 1


def _sentence(way: Way, status: str, error: str, tries: list[tuple[str, str]]) -> str:
    if status not in _NOT_THERE and tries and all(why in _LOST for _, why in tries):
        return way.lost([server for server, _ in tries])
    return way.silent(error) if status == "Timeout" else error
