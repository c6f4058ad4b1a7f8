"""What `tapstack up` can be told: a TOML file, then the command line over it, checked before anything is opened.

Every mistake becomes a ConfigError whose message is one sentence that names the setting.
"""

import ipaddress
import re
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import msgspec

from stack.aio.polling import MAX_POLL_US, POLL_US
from stack.config import HostConfig, IpConfig, TcpConfig
from stack.daemon.attach.settings import AttachSettings
from stack.daemon.lookups import make_resolver
from stack.daemon.services.proxies import ForwardSettings, SocksSettings
from stack.device.fault import Faults
from stack.errors import ConfigError, StackError
from stack.wire.addr import parse_network

_T = TypeVar("_T")
LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
_CHOICES = {"log_format": get_args(LogFormat), "log_level": get_args(LogLevel)}
_LENGTH_OF_NAME = 15  # IFNAMSIZ of Linux with the final zero
FAULT_QUEUE_BYTES = 1 << 20  # what waits at a limited rate
RATE_MIN_MBIT = 0.001  # 125 bytes/s
MTU_MIN = 576  # RFC 791: every host takes 576 bytes
_MAX_PORT = 65_535
MTU_MAX = 65_521  # the largest a TAP takes


class FaultSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The link made worse on purpose.  Rates are fractions, durations milliseconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    rate_mbit: float = 0.0
    seed: int = 1

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        for name in ("loss", "duplicate", "corrupt", "reorder"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"fault.{name} is {getattr(self, name)}: use a fraction from 0 to 1")
        for name in ("delay_ms", "jitter_ms", "rate_mbit"):
            if not 0.0 <= getattr(self, name) <= 1e6:
                raise ConfigError(f"fault.{name} is {getattr(self, name)}: use 0 to 1000000")
        if 0 < self.rate_mbit < RATE_MIN_MBIT:
            raise ConfigError(f"fault.rate_mbit is {self.rate_mbit}: use {RATE_MIN_MBIT} or more, or 0 for no limit")

    def active(self) -> bool:
        """Whether anything is to be made worse."""
        return any(
            (self.loss, self.duplicate, self.corrupt, self.reorder, self.delay_ms, self.jitter_ms, self.rate_mbit)
        )


class DnsSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A DNS server on the stack's address; what is in the files is checked when the daemon begins."""

    zones: dict[str, str] = {}  # name of a zone: its master file, which a path without "/" at its head is beside ours
    forward: list[str] = []  # servers that everything else is asked of
    iterate: bool = False  # everything else is resolved from the root
    hints: list[str] = []  # addresses of root servers other than the internet's
    allow: list[str] = []  # networks for which others are asked; none: the stack's own
    port: int = 53

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        if not (self.zones or self.forward or self.iterate):
            raise ConfigError("dns says nothing to serve: give zones, forward or iterate = true")
        if self.forward and self.iterate:
            raise ConfigError("dns.forward and dns.iterate exclude each other: ask other resolvers, or be one")
        if self.hints and not self.iterate:
            raise ConfigError("dns.hints are for dns.iterate = true")
        if not 0 < self.port <= _MAX_PORT:
            raise ConfigError(f"dns.port is {self.port}: use 1 to {_MAX_PORT}")


class PageSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The web page on port 80 of the stack's address, which shows and changes nothing."""

    enabled: bool = True  # the page, and what it asks for
    metrics: bool = True  # /metrics, for Prometheus
    allow: list[str] = []  # networks that may look; none: the stack's own
    names: list[str] = []  # names that the stack is called by, besides addresses (against DNS rebinding)

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        for network in self.allow:
            try:
                parse_network(network)
            except StackError as error:
                raise ConfigError(f"page.allow: {error.strerror}") from None
        for name in self.names:
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name):
                raise ConfigError(f"page.names has {name!r}: use names of hosts, without port")


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One daemon.  Field names are the keys of the TOML file; README.md says which options are called differently."""

    dev: str = "tapstack0"
    address: str = "198.18.0.2/24"
    host_address: str = "198.18.0.1"
    mtu: int = 1500
    offload: bool = True
    user: str = ""
    uplink: bool = False
    capture: str = ""
    control: str = ""
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    drain_s: float = 5.0
    max_upload: int = 10 << 30
    memory_bytes: int = 512 << 20
    spin_us: int = POLL_US  # for so long at most the loop stays awake for the next frame
    # "system", "iterative", "off", or addresses of servers; None: whom [dns] asks for others, else "system"
    resolver: str | None = None
    fault: FaultSettings = FaultSettings()
    dns: DnsSettings | None = None
    attach: AttachSettings = AttachSettings()
    socks: SocksSettings | None = None
    page: PageSettings = PageSettings()
    forward: list[ForwardSettings] = []
    tcp: dict[str, Any] = {}
    ip: dict[str, Any] = {}

    @property
    def interface(self) -> ipaddress.IPv4Interface:
        """The stack's address with its prefix."""
        return ipaddress.IPv4Interface(self.address)

    @property
    def host_interface(self) -> ipaddress.IPv4Interface:
        """The kernel's address on the device, with the same prefix."""
        return ipaddress.IPv4Interface(f"{self.host_address.partition('/')[0]}/{self.interface.network.prefixlen}")

    def ends(self) -> frozenset[ipaddress.IPv4Address]:
        """The addresses of the stack and of the kernel."""
        return frozenset({self.interface.ip, self.host_interface.ip})

    def faults(self) -> Faults | None:
        """What to do to frames in each direction; None for nothing."""
        fault = self.fault
        return (
            Faults(
                loss=fault.loss,
                duplication=fault.duplicate,
                corruption=fault.corrupt,
                reordering=fault.reorder,
                delay_us=round(fault.delay_ms * 1000),
                jitter_us=round(fault.jitter_ms * 1000),
                rate=round(fault.rate_mbit * 125_000),
                queue_bytes=FAULT_QUEUE_BYTES,
            )
            if fault.active()
            else None
        )

    def host_config(self) -> HostConfig:
        """The engine's configuration, validated."""
        config = HostConfig(
            tcp=_section(self.tcp, TcpConfig, "tcp"),
            ip=_section(self.ip, IpConfig, "ip"),
            memory_bytes=self.memory_bytes,
        )
        config.validate()
        return config


def _section(values: dict[str, Any], kind: type[_T], where: str) -> _T:
    hints = get_type_hints(kind)
    if "congestion" in hints:
        hints["congestion"] = str  # in a file by its name; the host takes a class, too
    for name in values:
        if name not in hints:
            raise ConfigError(f"{where}.{name} is not a setting; known are {', '.join(sorted(hints))}")
    # msgspec fills a dataclass past its constructor, where a compiled one does not look
    given = msgspec.defstruct(kind.__name__, [(name, hints[name]) for name in values])
    try:
        checked = msgspec.convert(values, given)
        return kind(**{name: getattr(checked, name) for name in values})
    except msgspec.ValidationError as error:
        raise ConfigError(_sentence(error, where)) from None


# what people try first -> what it is called in the file
_HINTS = {
    "drain": "drain_s",
    "no_offload": "offload",
    "loss": "fault.loss",
    "duplicate": "fault.duplicate",
    "corrupt": "fault.corrupt",
    "reorder": "fault.reorder",
    "seed": "fault.seed",
    **dict.fromkeys(("delay", "delay_ms", "fault.delay"), "fault.delay_ms"),
    **dict.fromkeys(("jitter", "jitter_ms", "fault.jitter"), "fault.jitter_ms"),
    **dict.fromkeys(("rate", "rate_mbit", "fault.rate"), "fault.rate_mbit"),
}


def _hint(name: str) -> str:
    """What may have been meant by the unknown `name`."""
    hint = _HINTS.get(name.replace("-", "_"), name.replace("-", "_"))
    known = hint.removeprefix("fault.") in FaultSettings.__struct_fields__ or hint in Settings.__struct_fields__
    return f"; did you mean {hint}?" if hint != name and known else ""


def _sentence(error: msgspec.ValidationError, where: str = "") -> str:
    """`Expected int, got str - at $.mtu` as `mtu: expected int, got str`."""
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    name = ".".join(part for part in (where, path) if part)
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown:
        name = f"{name}.{unknown[1]}" if name else unknown[1]
        return f"{name} is not a setting{_hint(name)}"
    text = text.replace("`object`", "`table`").replace("`array`", "`list`")
    if name in _CHOICES and "enum value" in text:
        text += f"; use {' or '.join(_CHOICES[name])}"
    return f"{name}: {text[0].lower()}{text[1:]}"


def load(path: str | None, options: dict[str, Any]) -> Settings:
    """The file at `path`, if any, with `options` over it (None: not given; `fault` may be a partial dict)."""
    values: dict[str, Any] = {}
    if path == "":
        raise ConfigError("--config needs the name of a file")
    if path is not None:
        try:
            values = msgspec.toml.decode(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror.lower() if error.strerror else error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from None
    given = {name: value for name, value in options.items() if value is not None and name != "fault"}
    fault = {name: value for name, value in options.get("fault", {}).items() if value is not None}
    socks = given.pop("socks", None)
    values = {**values, **given}
    if socks is not None and isinstance(values.get("socks", {}), dict):
        values["socks"] = {**values.get("socks", {}), "port": socks}
    if fault and isinstance(values.get("fault", {}), dict):  # anything else is told below
        values["fault"] = {**values.get("fault", {}), **fault}
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        where = f"{path}: " if path is not None else ""
        raise ConfigError(where + _sentence(error)) from None
    if path is not None and settings.dns is not None:
        folder = Path(path).absolute().parent
        zones = {origin: str(folder / file) for origin, file in settings.dns.zones.items()}
        settings = msgspec.structs.replace(settings, dns=msgspec.structs.replace(settings.dns, zones=zones))
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Raise ConfigError for the first setting that cannot be used."""
    name = settings.dev
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or len(name) > _LENGTH_OF_NAME or name in {".", ".."}:
        raise ConfigError(
            f"dev {name!r} cannot name a device: use 1 to {_LENGTH_OF_NAME} letters, digits, '_', '.', '-'"
        )
    for name in ("user", "capture", "control"):
        if "\0" in getattr(settings, name):
            raise ConfigError(f"{name} contains a NUL character")
    if not MTU_MIN <= settings.mtu <= MTU_MAX:
        raise ConfigError(f"mtu is {settings.mtu}: use {MTU_MIN} to {MTU_MAX}")
    if not 0 <= settings.drain_s <= 300:
        raise ConfigError(f"drain_s is {settings.drain_s}: use 0 to 300 seconds")
    if not 0 <= settings.spin_us <= MAX_POLL_US:
        raise ConfigError(f"spin_us is {settings.spin_us}: use 0 (never) to {MAX_POLL_US} microseconds")
    if not 0 <= settings.max_upload <= 1 << 50:
        raise ConfigError(f"max_upload is {settings.max_upload}: use a number of bytes from 0 to {1 << 50}")
    _check_addresses(settings)
    settings.fault.check()
    if settings.dns is not None:
        settings.dns.check()
    settings.attach.check(settings.interface.network, settings.ends())
    if settings.socks is not None:
        settings.socks.check()
    settings.page.check()
    for one in settings.forward:
        one.rule()
    settings.host_config()
    make_resolver(settings.resolver)


def _check_addresses(settings: Settings) -> None:
    for what, text in (("address", settings.address), ("host_address", settings.host_address)):
        try:
            ipaddress.IPv4Interface(text)
        except ValueError:
            raise ConfigError(f"{what} {text!r} is not an IPv4 address, such as 198.18.0.2/24") from None
    if "/" not in settings.address:
        raise ConfigError(f"address {settings.address} has no prefix length: write {settings.address}/24")
    ours, host = settings.interface, settings.host_interface
    if not 1 <= ours.network.prefixlen <= 30:
        raise ConfigError(f"address {ours}: use a prefix length from 1 to 30, so that two hosts fit")
    written = settings.host_address.partition("/")[2]
    if written and written != str(ours.network.prefixlen):
        raise ConfigError(f"host_address {settings.host_address} has another prefix length than address {ours}")
    for what, one in (("address", ours), ("host_address", host)):
        if one.ip in (one.network.network_address, one.network.broadcast_address):
            raise ConfigError(f"{what} {one.ip} is the network's own or broadcast address")
        if one.ip.is_multicast or one.ip.is_loopback or one.ip.is_unspecified or one.ip.is_reserved:
            raise ConfigError(f"{what} {one.ip} is not an address that a host can have")
    if host.ip not in ours.network:
        other = next(one for one in ours.network.hosts() if one != ours.ip)
        raise ConfigError(
            f"host_address {host.ip} is outside the stack's network {ours.network}: give the kernel an address in "
            f"there, too, such as {other}"
        )
    if host.ip == ours.ip:
        raise ConfigError(f"address and host_address are both {ours.ip}: the stack and the kernel need one each")
