"""resolv.conf: which servers a stub resolver asks, and how (resolv.conf(5)).

Theory of operation.  A pure function of the file's text and of the environment.  As for the C library a line that says
nothing of use is passed over, and options unknown here are too: a resolver that refuses to work because of a setting
for another one helps nobody.  Numbers are cut to the C library's limits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from stack.dns.constants import PORT
from stack.dns.errors import BadName
from stack.dns.names import ROOT, Name

Server = tuple[str, int]  # address in figures, port

MAX_TEXT: Final = 64 << 10  # of the file; what is beyond is not read
MAX_SERVERS: Final = 3  # the C library's MAXNS
MAX_SEARCH: Final = 32
MAX_NDOTS: Final = 15  # resolv.conf(5): values above are cut to these
MAX_TIMEOUT_S: Final = 30
MAX_ATTEMPTS: Final = 5
DEFAULT_SERVERS: Final[tuple[Server, ...]] = (("127.0.0.1", PORT),)  # resolv.conf(5): the machine's own


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What the file says; without a file it says this."""

    servers: tuple[Server, ...] = DEFAULT_SERVERS
    search: tuple[Name, ...] = ()  # names with fewer than `ndots` dots are tried below these first
    ndots: int = 1
    timeout_s: int = 5  # of one try
    attempts: int = 2  # at each server
    rotate: bool = False  # begin with another server each time


def parse(text: str, *, hostname: str = "", local_domain: str = "", res_options: str = "") -> ResolvConf:
    """What `text` says; `local_domain` and `res_options` are the variables LOCALDOMAIN and RES_OPTIONS, which go first.

    The domain of `hostname` is searched when nothing else is said.
    """
    servers: list[Server] = []
    search: list[Name] | None = None
    options: list[str] = []
    for word, values in _lines(text[:MAX_TEXT]):
        if word == "nameserver":
            server = _server(values[0])
            if server is not None and len(servers) < MAX_SERVERS:
                servers.append(server)
        elif word == "search":
            search = _names(values)
        elif word == "domain":  # resolv.conf(5): of `domain` and `search` the last one counts
            search = _names(values[:1])
        elif word == "options":
            options += values
    if local_domain:
        search = _names(local_domain.split())
    if search is None:
        search = _names([hostname.partition(".")[2]])
    conf = ResolvConf(tuple(servers) or DEFAULT_SERVERS, tuple(search))
    for option in (*options, *res_options.split()):
        conf = _with_option(conf, option)
    return conf


def _lines(text: str) -> Iterator[tuple[str, list[str]]]:
    """Keywords and their values."""
    for line in text.splitlines():
        # resolv.conf(5): the keyword begins the line, and a comment has ; or # in its first column
        if line[:1] in {"", "#", ";", " ", "\t"}:
            continue
        word, *values = line.split()
        if values:
            yield word, values


def _server(text: str) -> Server | None:
    address, percent, scope = text.partition("%")
    try:
        return f"{ip_address(address)}{percent}{scope}", PORT
    except ValueError:
        return None


def _names(texts: list[str]) -> list[Name]:
    """Those that are names; the root among them would only ask again for what was asked for."""
    names: list[Name] = []
    for text in texts[:MAX_SEARCH]:
        try:
            name = Name.parse(text)
        except BadName:
            continue
        if name != ROOT:
            names.append(name)
    return names


def _with_option(conf: ResolvConf, option: str) -> ResolvConf:
    name, _, value = option.partition(":")
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
    if name == "rotate":
        return replace(conf, rotate=True)
    if number is None:
        return conf
    if name == "ndots":
        return replace(conf, ndots=min(number, MAX_NDOTS))
    if name == "timeout":
        return replace(conf, timeout_s=min(max(number, 1), MAX_TIMEOUT_S))
    if name == "attempts":
        return replace(conf, attempts=min(max(number, 1), MAX_ATTEMPTS))
    return conf
