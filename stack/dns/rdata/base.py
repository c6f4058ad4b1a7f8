"""A record's data: the class that all types share, and the class of what is not known.

Each type is a frozen dataclass, whose fields stand in the order in which they are on the wire, and a `layout` of as
many kinds.  From these come its form on the wire and its text, both ways.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from stack.dns.constants import type_text
from stack.dns.errors import BadRdata, FormError, FormReason
from stack.dns.names import Name
from stack.dns.rdata.kinds import Kind, unhex
from stack.dns.rdata.text import Tokens, joined, number, tokenize

MAX_RDATA: Final = 0xFFFF


class Rdata:
    """The data of one record.  `str()` is its text as in a zone file."""

    __slots__: tuple[str, ...] = ()
    rrtype: int
    layout: ClassVar[tuple[Kind[Any], ...]] = ()

    @classmethod
    def read(cls, wire: bytes, at: int, end: int, memo: dict[int, Name]) -> Self:
        """Decode wire[at:end] of a message; `memo` as for `read_name`.  Raises FormError, or IndexError at its end."""
        values = []
        for kind in cls.layout:
            value, at = kind.read(wire, at, end, memo)
            values.append(value)
        if at != end:
            raise FormError(FormReason.RDATA, f"{abs(end - at)} octets too {'many' if at < end else 'few'}")
        return cls(*values)

    @classmethod
    def from_wire(cls, raw: bytes) -> Self:
        """Decode uncompressed data.  Raises FormError."""
        try:
            return cls.read(raw, 0, len(raw), {})
        except IndexError:
            raise FormError(FormReason.RDATA, "too short") from None

    def to_wire(self) -> bytes:
        """Its data, uncompressed.  Raises BadRdata for a value that does not fit its field."""
        parts = []
        for field, kind in zip(self.__slots__, self.layout, strict=True):
            try:
                parts.append(kind.write(getattr(self, field)))
            except (ValueError, TypeError, AttributeError) as error:
                raise self._wrong(field, error) from error
        raw = b"".join(parts)
        if len(raw) > MAX_RDATA:
            raise BadRdata(f"{type_text(self.rrtype)}: {len(raw)} octets of data, at most {MAX_RDATA}")
        return raw

    @classmethod
    def parse(cls, tokens: Tokens) -> Self:
        """The data that these words write.  Raises BadRdata."""
        values: list[Any] = []
        try:
            values.extend(kind.parse(tokens) for kind in cls.layout)  # up to the field that is wrong
            tokens.end()
        except ValueError as error:
            raise cls._wrong((*cls.__slots__, "")[len(values)], error) from error
        rdata = cls(*values)
        rdata.to_wire()  # what no field alone can see
        return rdata

    @classmethod
    def from_text(cls, text: str, origin: bytes | None = None) -> Self:
        """The data that one line of a zone file writes, like "10 mail.example." for MX.  Raises BadRdata."""
        try:
            tokens = tokenize(text)
        except ValueError as error:
            raise cls._wrong("", error) from error
        return cls.parse(Tokens(tokens, origin))

    @classmethod
    def _wrong(cls, field: str, error: Exception) -> BadRdata:
        said = error.strerror if isinstance(error, OSError) else error
        where = f"{cls.__name__} {field.replace('_', ' ')}".rstrip()
        return BadRdata(f"{where}: {said}")

    def __str__(self) -> str:
        words = [kind.format(getattr(self, field)) for field, kind in zip(self.__slots__, self.layout, strict=True)]
        return " ".join([word for word in words if word])


@dataclass(frozen=True, slots=True)
class Unknown(Rdata):
    r"""Data of a type without a class here, or of records not of class IN: octets, as \# LENGTH HEX (RFC 3597 §5)."""

    rrtype: int
    data: bytes

    def to_wire(self) -> bytes:
        return self.data

    @classmethod
    def parse_as(cls, rrtype: int, tokens: Tokens) -> "Unknown":
        r"""The data that the words after \# write.  Raises BadRdata."""
        try:
            size = number(tokens.word(), MAX_RDATA)
            data = unhex(joined(tokens.rest()))
            if len(data) != size:
                raise ValueError(f"{len(data)} octets, but {size} are announced")  # noqa: TRY301  # one handler for all
        except ValueError as error:
            raise BadRdata(f"{type_text(rrtype)}: {error}") from error
        return cls(rrtype, data)

    def __str__(self) -> str:
        return f"\\# {len(self.data)} {self.data.hex()}".rstrip()
