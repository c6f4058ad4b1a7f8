"""How a process asks the daemon for a place on its switch: what both ends say.

Theory of operation.  On a Unix SEQPACKET socket the process sends one packet of JSON and gets one back:

    {"attach": 1, "name": "web", "address": "198.18.0.130"}          name and address are optional
    {"attach": 1, "probe": true}                                     what there would be; then the socket is closed
    {"ok": true, "attach": 1, "address": "198.18.0.130", "prefix_len": 24, "mac": "02:..", "mtu": 1500, "csum": true,
     "tso4": true, "uso": true, "gateway": "198.18.0.1", "stack": "198.18.0.2", "resolver": "system", "socks": 0}
    {"ok": false, "error": "a sentence"}                             and the socket is closed

`attach` is the version of this protocol.  From then on each packet is a virtio-net header (10 bytes, the byte order
of the machine) and an Ethernet frame, in both directions, as a TAP with IFF_VNET_HDR has them.
"""

import ipaddress
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from stack.errors import ConfigError, StackError
from stack.wire.frame import Caps

VERSION: Final = 1
MAX_HELLO: Final = 2048  # bytes, either way
MAX_NAME: Final = 64
MAX_GSO: Final = 65_535 - 120  # the IPv4 length limit less the longest IP and TCP headers


@dataclass(frozen=True, slots=True)
class Hello:
    """What a process asks for.  An empty address: any."""

    name: str = ""
    address: str = ""
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """What it got.  `gateway` is the kernel's address on the link, `stack` the daemon's own; `resolver` is the daemon's
    setting, `socks` the port of its SOCKS proxy (0: none).
    """

    address: str
    prefix_len: int
    mac: str
    mtu: int
    csum: bool
    tso4: bool
    uso: bool
    gateway: str
    stack: str
    resolver: str = "system"
    socks: int = 0

    def caps(self) -> Caps:
        """What the link carries."""
        return Caps(csum=self.csum, tso4=self.tso4, uso=self.uso, max_gso=MAX_GSO)


def pack_hello(hello: Hello) -> bytes:
    """The first packet."""
    return _pack({"attach": VERSION, **asdict(hello)})


def parse_hello(data: bytes) -> Hello:
    """Of the first packet.  Raises ConfigError with the sentence for the process, whatever it has sent."""
    fields = _parse(data) if len(data) <= MAX_HELLO else None
    if fields is None or "attach" not in fields:
        raise ConfigError("this is the socket for attached processes, and what came is no request of theirs")
    if fields["attach"] != VERSION or isinstance(fields["attach"], bool):
        raise ConfigError(
            f"this daemon speaks version {VERSION} of the attach protocol, the process another one: "
            "use the same tapstack on both sides"
        )
    name, address = fields.get("name", ""), fields.get("address", "")
    if not isinstance(name, str) or len(name) > MAX_NAME or not (name.isprintable() or not name):
        raise ConfigError(f"name: use up to {MAX_NAME} printable characters")
    if not isinstance(address, str):
        raise ConfigError("address: use a text like 198.18.0.130")
    if address:
        try:
            address = str(ipaddress.IPv4Address(address))
        except ValueError:
            raise ConfigError(f"{address[:MAX_NAME]!r} is no IPv4 address") from None
    return Hello(name, address, fields.get("probe") is True)


def pack_lease(lease: Lease) -> bytes:
    """The answer to who may attach."""
    return _pack({"ok": True, "attach": VERSION, **asdict(lease)})


def pack_refusal(sentence: str) -> bytes:
    """The answer to all others."""
    return _pack({"ok": False, "error": sentence[:1000]})


def parse_answer(data: bytes) -> Lease:
    """Of the daemon's packet.  Raises StackError: with its sentence, or for what is none of its answers."""
    fields = _parse(data)
    if fields is not None and fields.get("ok") is False:
        raise StackError(str(fields.get("error", "the daemon refused")))
    if fields is None or fields.get("ok") is not True or fields.get("attach") != VERSION:
        raise StackError("what answers on that socket is no daemon of this version of tapstack")
    try:
        return Lease(**{name: kind(fields[name]) for name, kind in Lease.__annotations__.items()})
    except (KeyError, TypeError, ValueError):
        raise StackError("the daemon's answer lacks something: use the same tapstack on both sides") from None


def _pack(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode("ascii")


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(data.decode("ascii"))  # json would guess other encodings, and load them
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
