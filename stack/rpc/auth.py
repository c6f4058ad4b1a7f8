"""Credentials: what a caller says of itself.

AUTH_NONE says nothing.  AUTH_SYS (RFC 5531 appendix A) is a user's number, groups and machine, and nothing proves it:
it is a claim, worth as much as the network it comes from.  `stack.rpc.policy` decides on it.
"""

from collections.abc import Iterable
from importlib import import_module
from struct import Struct
from typing import Final

from stack.errors import ConfigError
from stack.rpc.constants import MAX_AUTH, MAX_GIDS, MAX_MACHINE_NAME, AuthStat, Flavor
from stack.rpc.message import NO_AUTH, build_auth

_TWO: Final = Struct("!2I")
_THREE: Final = Struct("!3I")
_MAX: Final = 0xFFFF_FFFF
_SYS_MIN: Final = 20  # octets: stamp, length of the name, uid, gid, number of groups
MAX_KNOWN: Final = 1024  # credentials that are known by sight


class AuthNone:
    """No credential.  `wire` is the credential as a message has it, `verifier` what goes with it."""

    __slots__ = ()

    flavor = Flavor.NONE
    wire = NO_AUTH
    verifier = NO_AUTH

    def __repr__(self) -> str:
        return "AuthNone()"


class AuthSys:
    """A user by number.  `machine` is the name of its host, `stamp` any number that its host chooses.

    Raises ConfigError for a name of more than 255 octets, more than 16 groups and numbers that are not of 32 bits.
    """

    __slots__ = ("gid", "gids", "machine", "stamp", "uid", "wire")

    flavor = Flavor.SYS
    verifier = NO_AUTH

    def __init__(
        self, uid: int, gid: int, gids: Iterable[int] = (), *, machine: str | bytes = b"", stamp: int = 0
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.gids = tuple(gids)
        self.machine = machine.encode("utf-8", "surrogateescape") if isinstance(machine, str) else machine
        self.stamp = stamp
        if len(self.machine) > MAX_MACHINE_NAME:
            raise ConfigError(f"a machine name of {len(self.machine)} octets: at most {MAX_MACHINE_NAME} are allowed")
        if len(self.gids) > MAX_GIDS:
            raise ConfigError(f"{len(self.gids)} groups: at most {MAX_GIDS} are allowed; give those that matter")
        for number in (stamp, uid, gid, *self.gids):
            if not 0 <= number <= _MAX:
                raise ConfigError(f"{number} is not a number of 32 bits without a sign")
        self.wire = build_auth(Flavor.SYS, self._body())

    @classmethod
    def current(cls) -> "AuthSys":
        """The user of this process, its groups (the first 16) and machine, as the operating system says."""
        found: AuthSys = import_module("stack.rpc.identity").current()  # which asks it; this file asks nobody
        return found

    def _body(self) -> bytes:
        name = self.machine + bytes(-len(self.machine) & 3)
        groups = b"".join(gid.to_bytes(4, "big") for gid in self.gids)
        return (
            _TWO.pack(self.stamp, len(self.machine)) + name + _THREE.pack(self.uid, self.gid, len(self.gids)) + groups
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AuthSys) and self.wire == other.wire

    def __hash__(self) -> int:
        return hash(self.wire)

    def __repr__(self) -> str:
        name = self.machine.decode("utf-8", "replace")
        return f"AuthSys(uid={self.uid}, gid={self.gid}, gids={self.gids}, machine={name!r})"


Credential = AuthNone | AuthSys
NOBODY: Final = AuthNone()


def parse_auth_sys(body: bytes) -> AuthSys | None:
    """The credential with this body; None if it is malformed.  What comes after it is passed over, as others do."""
    if not _SYS_MIN <= len(body) <= MAX_AUTH:
        return None
    stamp, length = _TWO.unpack_from(body)
    at = 8 + (length + 3 & ~3)
    if length > MAX_MACHINE_NAME or len(body) < at + 12:
        return None
    uid, gid, count = _THREE.unpack_from(body, at)
    if count > MAX_GIDS or len(body) < at + 12 + 4 * count:
        return None
    groups = memoryview(body)[at + 12 : at + 12 + 4 * count]
    gids = (int.from_bytes(groups[i : i + 4], "big") for i in range(0, 4 * count, 4))
    return AuthSys(uid, gid, gids, machine=body[8 : 8 + length], stamp=stamp)


class Credentials:
    """Reads credentials.  A client's are the same in all its calls: the last ones are known by sight."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, AuthSys] = {}

    def read(self, flavor: int, body: bytes) -> Credential | AuthStat:
        """The credential, or why it is refused."""
        if flavor == Flavor.NONE:
            return NOBODY  # RFC 5531 §10.1: the body should be empty, and is not looked at
        if flavor != Flavor.SYS:  # RFC 5531 §9: "client must begin new session", with one that is taken
            return AuthStat.REJECTEDCRED
        known = self._known.get(body)
        if known is not None:
            return known
        parsed = parse_auth_sys(body)
        if parsed is None:
            return AuthStat.BADCRED
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[body] = parsed
        return parsed
