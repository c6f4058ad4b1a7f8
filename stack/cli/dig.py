"""`tapstack dig` and `tapstack resolve`: the DNS as the stack sees it, or as the kernel's sockets do.

The daemon is asked where one runs, else this process asks by itself; what is shown is the same, and says who asked.
"""

import json
import shutil
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from stack.cli import client
from stack.cli.via import Way
from stack.dns.constants import parse_type
from stack.dns.explain import Explanation, duration
from stack.dns.hostsfile import reverse_name
from stack.dns.names import Name
from stack.errors import ConfigError


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
    plain[1:] = [word for word in plain[1:] if word.upper() != "IN"]  # the class that there is
    if not 1 <= len(plain) <= 2:
        raise ConfigError("give a name and, if it is not A, a type: tapstack dig www.example.com AAAA")
    name, rrtype = plain[0], plain[1] if len(plain) > 1 else ""
    if client.is_address(name):
        if rrtype.upper() not in {"", "PTR"}:
            raise ConfigError(f"{name} is an address, of which only the name can be asked for: leave out {rrtype}")
        name, rrtype = str(reverse_name(ip_address(name.partition("%")[0]))), "PTR"
    rrtype = rrtype or "A"
    Name.parse(name)
    parse_type(rrtype)
    return {"want": "records", "name": name, "type": rrtype, "servers": servers, "trace": trace}


def dig(words: tuple[str, ...], way: Way, *, timeout: float, as_json: bool, svg: str | None) -> int:
    """Print what comes of a question; 0 when it has an answer.  Raises StackError."""
    request = question(words)
    if svg == "":
        raise ConfigError("--svg needs the name of a file")
    answer = way.ask({"op": "lookup", "timeout": timeout, **request})
    made = Explanation.from_json(answer["explanation"])
    if svg is not None:
        Path(svg).write_text(made.svg(), encoding="utf-8")
    if as_json:
        click.echo(json.dumps({"via": way.by, **made.to_json()}, indent=2))
        return 0 if not made.error else 1
    click.echo(f";; asked {way.how}")
    if request["trace"]:
        click.echo(made.text(shutil.get_terminal_size().columns))
    for record in made.records if not request["trace"] else ():
        click.echo(record)
    if not made.error:
        if not request["trace"]:
            click.echo(f";; {made.remark}, {duration(made.took_us)}")
        return 0
    asked = [hop for hop in made.hops if hop.server]
    sentence = way.sentence(made.status, made.error, [(hop.server, hop.verdict) for hop in asked])
    if not request["trace"] or sentence != made.error:  # the tree ends with it
        click.echo(f"tapstack: {sentence}", err=True)
    return 1


def resolve(words: tuple[str, ...], way: Way, *, timeout: float, as_json: bool) -> int:
    """Print the addresses of a name, or the name of an address; 0 if there are any.  Raises StackError, UsageError."""
    name, *others = words
    if any(word.startswith("@") for word in words):
        raise ConfigError("resolve asks the resolver in use; who is asked is said with: tapstack dig NAME @SERVER")
    if others:
        raise click.UsageError(f"{others[0]}: give one name or address")
    is_address = client.is_address(name)
    if not is_address:
        Name.parse(name)
    want = "name" if is_address else "addresses"
    answer = way.ask({"op": "lookup", "want": want, "name": name, "timeout": timeout})
    if as_json:
        shown = {key: answer[key] for key in ("status", "error", "tries") if key in answer}
        click.echo(json.dumps({"via": way.by, "name": name, "found": answer["found"], **shown}, indent=2))
        return 0 if answer["found"] else 1
    click.echo(f";; asked {way.how}", err=True)  # so that what is printed can be used
    for one in answer["found"]:
        click.echo(one)
    if answer["found"]:
        return 0
    click.echo(f"tapstack: {way.sentence(answer['status'], answer['error'], answer['tries'])}", err=True)
    return 1
