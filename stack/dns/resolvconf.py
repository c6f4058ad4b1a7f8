"""resolv.conf: which servers a stub resolver asks, and how (resolv.conf(5)).

Theory of operation.  A pure function of the file's text and of the environment.  As for the C library a line that says
nothing of use is passed over, and options unknown here are too: a resolver that refuses to work because of a setting
for another one helps nobody.  Numbers are cut to the C library's limits.  But what was not taken as it is written is
said, with file and line, in `warnings`.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final

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
MAX_WARNINGS: Final = 16
_SHOWN: Final = 60  # characters of a wrong word
# resolv.conf(5), of this C library and of others: what is for their ways of asking, and says nothing to ours
_FOREIGN_OPTIONS: Final = frozenset(
    (
        *("debug", "edns0", "inet6", "ip6-bytestring", "ip6-dotint", "no-ip6-dotint", "insecure1", "insecure2"),
        *("no-aaaa", "no-check-names", "no-reload", "no-tld-query", "no_tld_query", "single-request"),
        *("single-request-reopen", "trust-ad", "use-vc", "tcp"),
    )
)
_NUMBERS: Final = {  # option: field, least, most
    "ndots": ("ndots", 0, MAX_NDOTS),
    "timeout": ("timeout_s", 1, MAX_TIMEOUT_S),
    "attempts": ("attempts", 1, MAX_ATTEMPTS),
}
_DIGITS: Final = 9
_FOREIGN_WORDS: Final = frozenset(("family", "lookup", "port"))
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
    warnings: tuple[str, ...] = ()  # like "/etc/resolv.conf:3: ...": what is not taken as it is written


def parse(
    text: str, *, source: str = "resolv.conf", hostname: str = "", local_domain: str = "", res_options: str = ""
) -> ResolvConf:
    """What `text` says; `local_domain` and `res_options` are the variables LOCALDOMAIN and RES_OPTIONS, which go first.

    The domain of `hostname` is searched when nothing else is said.  `source` is the file that warnings name.
    """
    reader = _Reader()
    if len(text) > MAX_TEXT:
        reader.warn(source, f"what is beyond {MAX_TEXT >> 10} KiB is not read")
    for number, line in enumerate(text[:MAX_TEXT].splitlines(), 1):
        reader.line(line, f"{source}:{number}")
    if local_domain:
        reader.search = reader.names(local_domain.split(), "LOCALDOMAIN")
    for option in res_options.split():
        reader.option(option, "RES_OPTIONS")
    if reader.search is None:
        reader.search = _domain_of(hostname)
    if reader.unsaid:
        reader.warnings.append(f"{source}: and {reader.unsaid} more")
    return replace(
        reader.conf,
        servers=tuple(reader.servers) or DEFAULT_SERVERS,
        search=tuple(reader.search),
        warnings=tuple(reader.warnings),
    )


class _Reader:
    """What has been read so far."""

    __slots__ = ("conf", "search", "servers", "unsaid", "warnings")

    def __init__(self) -> None:
        self.conf = ResolvConf()  # what the options say
        self.servers: list[Server] = []
        self.search: list[Name] | None = None
        self.warnings: list[str] = []
        self.unsaid = 0  # warnings beyond MAX_WARNINGS

    def warn(self, where: str, what: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(f"{where}: {what}")
        else:
            self.unsaid += 1

    def line(self, line: str, where: str) -> None:
        # resolv.conf(5): the keyword begins the line, and a comment has ; or # in its first column
        if line[:1] in {"#", ";"} or not line.strip():
            return
        word, *values = line.split()
        if line[:1] in {" ", "\t"}:
            self.warn(where, f"passed over: {_shown(word)} is not at the beginning of the line")
        elif word == "nameserver":
            self._server(values, where)
        elif word == "search":
            self.search = self.names(values, where) if values else self.search
        elif word == "domain":  # resolv.conf(5): of `domain` and `search` the last one counts
            self.search = self.names(values[:1], where) if values else self.search
        elif word == "options":
            for option in values:
                self.option(option, where)
        elif word not in _FOREIGN_WORDS:
            self.warn(where, f"passed over: {_shown(word)} is not nameserver, search, domain or options")

    def _server(self, values: list[str], where: str) -> None:
        if not values:
            self.warn(where, "passed over: nameserver without an address")
            return
        address, percent, scope = values[0].partition("%")
        try:
            server = f"{ip_address(address)}{percent}{scope}", PORT
        except ValueError:
            self.warn(where, f"passed over: {_shown(values[0])} is not an address in figures")
            return
        if len(self.servers) == MAX_SERVERS:
            self.warn(where, f"passed over: only the first {MAX_SERVERS} nameservers are asked")
            return
        self.servers.append(server)
        if len(values) > 1 and values[1][0] not in "#;":
            self.warn(where, f"{_shown(values[1])} is passed over: there is one nameserver to a line")

    def names(self, texts: list[str], where: str) -> list[Name]:
        """Those that are names; the root among them would only ask again for what was asked for."""
        names: list[Name] = []
        for text in texts:
            if len(names) == MAX_SEARCH:
                self.warn(where, f"only {MAX_SEARCH} domains are searched")
                break
            try:
                name = Name.parse(text)
            except BadName:
                self.warn(where, f"{_shown(text)} is passed over: it is not a domain")
                continue
            if name != ROOT:
                names.append(name)
        return names

    def option(self, option: str, where: str) -> None:
        name, _, value = option.partition(":")
        if name == "rotate":
            self.conf = replace(self.conf, rotate=True)
            return
        if name not in _NUMBERS:
            if name not in _FOREIGN_OPTIONS:
                self.warn(where, f"option {_shown(name)} is not known")
            return
        if not (value.isascii() and value.isdigit()) or len(value) > _DIGITS:
            self.warn(where, f"option {_shown(option)} is passed over: write {name}:NUMBER")
            return
        field, least, most = _NUMBERS[name]
        number = min(max(int(value), least), most)
        if number != int(value):
            self.warn(where, f"option {option} is taken as {name}:{number}")
        changes: dict[str, Any] = {field: number}
        self.conf = replace(self.conf, **changes)


def _domain_of(hostname: str) -> list[Name]:
    try:
        return [Name.parse(hostname.partition(".")[2])]
    except BadName:
        return []


def _shown(word: str) -> str:
    return repr(word if len(word) <= _SHOWN else f"{word[:_SHOWN]}...")
