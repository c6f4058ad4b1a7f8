"""Questions, and sets of records of one name, type and class.

An RRset keeps its data as they came, as octets with all names expanded; `rdatas` decodes them when first asked for.
So a message costs what is read of it, and what the cache holds is bytes.
"""

from collections.abc import Iterable
from typing import NamedTuple

from stack.dns.constants import RRClass, RRType, class_text, type_text
from stack.dns.names import Name
from stack.dns.rdata import Rdata, decode

_NAMES_ALONE = frozenset((RRType.NS, RRType.CNAME, RRType.PTR, RRType.DNAME))


class Question(NamedTuple):
    """What is asked.  Equal questions are equal byte for byte, case included; `key` is the same for either case."""

    name: Name
    rrtype: int
    rrclass: int = RRClass.IN

    @property
    def key(self) -> tuple[bytes, int, int]:
        """What a table of questions is indexed by."""
        return self.name.lower(), self.rrtype, self.rrclass

    @property
    def type_text(self) -> str:
        """Like "AAAA"."""
        return type_text(self.rrtype)

    def __str__(self) -> str:
        return f"{self.name} {class_text(self.rrclass)} {type_text(self.rrtype)}"


class RRset:
    """Records of one name, type and class.

    `raws` are their data in wire form, each once, names uncompressed (those of NS, CNAME, PTR and DNAME are Names).
    `RRset.of` makes one from objects.
    """

    __slots__ = ("_rdatas", "name", "raws", "rrclass", "rrtype", "ttl")

    def __init__(self, name: Name, rrtype: int, rrclass: int, ttl: int, raws: list[bytes]) -> None:
        self.name = name
        self.rrtype = rrtype
        self.rrclass = rrclass
        self.ttl = ttl
        self.raws = raws
        self._rdatas: tuple[Rdata, ...] | None = None

    @classmethod
    def of(cls, name: Name, ttl: int, rdatas: Iterable[Rdata], rrclass: int = RRClass.IN) -> "RRset":
        """The set of these, which are of one type.  Raises BadRdata, and ValueError if they are not."""
        given = tuple(rdatas)
        types = {int(rdata.rrtype) for rdata in given}
        if len(types) != 1:
            raise ValueError(f"the records of {name} are of {len(types)} types: an RRset has one")
        if not 0 <= ttl <= 0x7FFF_FFFF:
            raise ValueError(f"a TTL of {ttl}: from 0 to 2147483647 (RFC 2181 §8)")
        return cls(name, types.pop(), int(rrclass), ttl, list(dict.fromkeys([rdata.to_wire() for rdata in given])))

    @property
    def rdatas(self) -> tuple[Rdata, ...]:
        """The records' data as objects."""
        if self._rdatas is None or len(self._rdatas) != len(self.raws):
            self._rdatas = tuple([decode(self.rrtype, raw, self.rrclass) for raw in self.raws])
        return self._rdatas

    @property
    def names(self) -> list[Name]:
        """Of NS, CNAME, PTR and DNAME: the names that are their data."""
        assert self.rrtype in _NAMES_ALONE, type_text(self.rrtype)
        return [raw if isinstance(raw, Name) else Name(raw) for raw in self.raws]

    @property
    def type_covered(self) -> int:
        """Of RRSIG: the type of the records that are signed; an RRset has the signatures of one.  Else 0."""
        return self.raws[0][0] << 8 | self.raws[0][1] if self.rrtype == RRType.RRSIG and self.raws else 0

    @property
    def key(self) -> tuple[bytes, int, int]:
        """What a table of RRsets is indexed by: the key of the question that has this answer."""
        return self.name.lower(), self.rrtype, self.rrclass

    def with_ttl(self, ttl: int) -> "RRset":
        """The same records with another TTL."""
        copy = RRset(self.name, self.rrtype, self.rrclass, ttl, self.raws)
        copy._rdatas = self._rdatas
        return copy

    def with_name(self, name: Name) -> "RRset":
        """The same records at another name, as those of a wildcard are (or in another case)."""
        copy = RRset(name, self.rrtype, self.rrclass, self.ttl, self.raws)
        copy._rdatas = self._rdatas
        return copy

    def __len__(self) -> int:
        return len(self.raws)

    def __eq__(self, other: object) -> bool:
        """Equal name (in either case), type, class and TTL, and the same records in whatever order."""
        if not isinstance(other, RRset):
            return NotImplemented
        return self.key == other.key and self.ttl == other.ttl and sorted(self.raws) == sorted(other.raws)

    def __str__(self) -> str:
        """One line a record, as in a zone file."""
        head = f"{self.name}\t{self.ttl}\t{class_text(self.rrclass)}\t{type_text(self.rrtype)}\t"
        return "\n".join([f"{head}{rdata}".rstrip() for rdata in self.rdatas])

    def __repr__(self) -> str:
        kind = f"{class_text(self.rrclass)} {type_text(self.rrtype)}"
        return f"<RRset {self.name} {self.ttl} {kind}: {', '.join(map(str, self.rdatas))}>"
