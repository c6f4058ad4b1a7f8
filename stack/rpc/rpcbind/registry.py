"""What is registered where on this host: the table behind an rpcbind, and who may do what to it.

Theory of operation.  A mapping is (program, version, netid) -> universal address, and has an owner, who alone may take
it away.  The table is kept by program, for an address is also given for a version that is not there: the server then
says which versions it has.  (RFC 1833 §2.2.1 has GETVERSADDR for those who want exactly one.)  Mappings are listed in
the order in which they were registered, rpcbind's own first, which nobody can change.

Who asks is an `Asker`: from this host or not, over which transport, and under which name.  `may` holds the rules:

    change   (SET, UNSET)                    from this host only, over any transport
    list     (DUMP, GETADDRLIST, GETSTAT)    by datagrams from this host only: replies are many times the request
    forward  (CALLIT, BCAST, INDIRECT)       nobody: the call, and the trust in it, would be this host's

What is not allowed is counted by what was wanted, what the table refuses by reason; both are bounded by enumerations.
"""

from collections import Counter
from collections.abc import Iterator
from enum import Enum, unique
from typing import Final, NamedTuple

from stack.rpc.rpcbind.address import LOCAL, NETIDS, parse

RPCBIND: Final = 100000  # the program itself
VERSIONS: Final = (4, 3, 2)
SUPERUSER: Final = "superuser"
UNKNOWN: Final = "unknown"  # who registers over the loopback: nothing says who it is
MAX_MAPPINGS: Final = 1024
MAX_NUMBER: Final = 0xFFFF_FFFF


@unique
class Want(Enum):
    """What somebody wants of the table."""

    LOOK_UP = "look_up"
    CHANGE = "change"
    LIST = "list"
    FORWARD = "forward"


@unique
class Refusal(Enum):
    """Why the table did not change."""

    TAKEN = "taken"  # by another address
    FULL = "full"
    ADDRESS = "address"  # not one of its netid
    NETID = "netid"  # not known
    PROTECTED = "protected"  # rpcbind's own
    OWNER = "owner"  # somebody else's
    ABSENT = "absent"


class Mapping(NamedTuple):
    """One registration."""

    program: int
    version: int
    netid: str
    address: str  # universal
    owner: str


class Asker(NamedTuple):
    """Who asks: `local` from this host itself, `datagram` by a transport on which a source address can be forged."""

    local: bool
    datagram: bool
    owner: str = UNKNOWN


class Registry:
    """The table.  `own` are the universal addresses of rpcbind itself, by netid."""

    __slots__ = ("_count", "_max", "_programs", "denied", "refused")

    def __init__(self, own: dict[str, str] | None = None, *, max_mappings: int = MAX_MAPPINGS) -> None:
        self._programs: dict[int, dict[tuple[int, str], Mapping]] = {RPCBIND: {}}
        self._count = 0
        self._max = max_mappings
        self.refused: Counter[Refusal] = Counter()
        self.denied: Counter[Want] = Counter()
        for netid, address in (own or {}).items():
            for version in VERSIONS:
                self._programs[RPCBIND][version, netid] = Mapping(RPCBIND, version, netid, address, SUPERUSER)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping]:
        for mappings in self._programs.values():
            yield from mappings.values()

    # --- who may ------------------------------------------------------------------------------------------------------

    def may(self, want: Want, asker: Asker) -> bool:
        """Whether this is allowed; what is not is counted."""
        if want is Want.LOOK_UP:
            return True
        stream_may = want is Want.LIST and not asker.datagram
        allowed = stream_may or (asker.local and want is not Want.FORWARD)
        if not allowed:
            self.denied[want] += 1
        return allowed

    # --- changes ------------------------------------------------------------------------------------------------------

    def set(self, mapping: Mapping) -> bool:
        """Register; False, and counted, if it cannot be.  To register the same again is right, whoever did it first."""
        program, version, netid, address, _ = mapping
        if program == RPCBIND:
            return self._refuse(Refusal.PROTECTED)
        if netid not in NETIDS:
            return self._refuse(Refusal.NETID)
        try:
            endpoint = parse(netid, address)
        except ValueError:
            return self._refuse(Refusal.ADDRESS)
        if endpoint.port == 0 and netid != LOCAL:
            return self._refuse(Refusal.ADDRESS)  # RFC 1833 §3.2: port 0 says that a program is not registered
        there = self._programs.get(program, {}).get((version, netid))
        if there is not None:
            # DEVIATES RFC 1833 §2.2.1: to register the same address again succeeds, as servers of today expect, which
            # do so when they are started anew
            return there.address == address or self._refuse(Refusal.TAKEN)
        if self._count >= self._max:
            return self._refuse(Refusal.FULL)
        self._programs.setdefault(program, {})[version, netid] = mapping
        self._count += 1
        return True

    def unset(self, program: int, version: int, netid: str, owner: str) -> bool:
        """Take away what the owner registered for this netid, or for all if it is empty; True if it was any.

        SUPERUSER may take away everybody's.
        """
        if program == RPCBIND:
            return self._refuse(Refusal.PROTECTED)
        mappings = self._programs.get(program, {})
        found = [key for key in mappings if key[0] == version and netid in {"", key[1]}]
        mine = [key for key in found if owner in {SUPERUSER, mappings[key].owner}]
        for key in mine:
            del mappings[key]
        self._count -= len(mine)
        if not mappings:
            self._programs.pop(program, None)
        if len(mine) < len(found):
            self.refused[Refusal.OWNER] += 1
        return bool(mine) or (not found and self._refuse(Refusal.ABSENT))

    def drop_owner(self, owner: str) -> int:
        """Take away all that one owner registered; how many there were."""
        gone = [mapping for mapping in self if mapping.owner == owner and mapping.program != RPCBIND]
        for mapping in gone:
            self.unset(mapping.program, mapping.version, mapping.netid, owner)
        return len(gone)

    def _refuse(self, why: Refusal) -> bool:
        self.refused[why] += 1
        return False

    # --- questions ----------------------------------------------------------------------------------------------------

    def find(self, program: int, version: int, netid: str, *, exact: bool = False) -> Mapping | None:
        """Where this program is on this netid; if the version is not there and need not be, the highest that is."""
        mappings = self._programs.get(program)
        if mappings is None:
            return None
        found = mappings.get((version, netid))
        if found is not None or exact:
            return found
        others = [mapping for (_, on), mapping in mappings.items() if on == netid]
        return max(others, key=lambda mapping: mapping.version, default=None)

    def everywhere(self, program: int, version: int) -> list[Mapping]:
        """On all netids, in the order of registration."""
        return [mapping for (has, _), mapping in self._programs.get(program, {}).items() if has == version]

    def check_invariants(self) -> None:
        """The count is right, no program is empty but ours, every mapping is under its own key."""
        listed = [mapping for mapping in self if mapping.program != RPCBIND]
        assert len(listed) == self._count <= self._max
        assert all(mappings or program == RPCBIND for program, mappings in self._programs.items())
        for program, mappings in self._programs.items():
            for (version, netid), mapping in mappings.items():
                assert mapping[:3] == (program, version, netid)
