"""Domain names.

A Name *is* its bytes on the wire, uncompressed: labels each after its length, the root's empty label last (RFC 1035
§3.1), letters as they were written.  All names are absolute.  Since lengths are at most 63 and letters begin at 65,
lower-casing the bytes lower-cases the letters and nothing else: `name.key` is what tables are indexed by, and two
names are the same name if their keys are equal.  `==` compares bytes, that is, also the case (0x20 wants that).

`read_name` takes a name out of a message.  Pointers only lead backwards, so that they end; what was expanded once is
found in a table by its offset, and a chain of pointers is bounded, so that no message costs more than its length
allows.
"""

from collections.abc import Iterable
from typing import Final, Self

from stack.dns.errors import BadName, FormError, FormReason

MAX_NAME: Final = 255  # octets, lengths included (RFC 1035 §2.3.4)
MAX_LABEL: Final = 63
MAX_TEXT: Final = 4 * MAX_NAME  # every octet written as \DDD
MAX_POINTERS: Final = 127  # no name has more labels
HEADER: Final = 12  # no name lies within the header of a message

# RFC 1035 §5.1, RFC 4343 §2.1: what means something else in a zone file gets a backslash, what cannot be seen a number
_SPECIAL: Final = frozenset(b'."\\;@$()')
_TEXT: Final = tuple(
    f"\\{chr(octet)}" if octet in _SPECIAL else chr(octet) if 0x21 <= octet < 0x7F else f"\\{octet:03d}"
    for octet in range(256)
)
_DOTS: Final = {0x3002: ".", 0xFF0E: ".", 0xFF61: "."}  # RFC 3490 §3.1: these separate labels, too
# RFC 5894 §7.2: IDNA 2003 makes other letters of these, or nothing, and IDNA 2008 keeps them: two names, which may have
# two owners.  What is under the one must not be given out as the other, so these are refused.
_DEVIATIONS: Final = frozenset("\u00df\u03c2\u200c\u200d")
_PLAIN: Final = bytes(octet for octet in range(0x21, 0x7F) if octet not in _SPECIAL)


class Name(bytes):
    """An absolute domain name in wire form.  `Name.parse` makes one of text; the constructor trusts the bytes given."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, origin: bytes | None = None) -> Self:
        r"""The name that `text` writes: labels between dots, with \. and \DDD, non-ASCII letters by IDNA
        (RFC 3490, which is what the standard library and so asyncio have; but see `_DEVIATIONS`).

        A final dot changes nothing unless `origin` is given: then a text without it is relative to that, and "@" is
        the origin itself.  Raises BadName.
        """
        if len(text) > MAX_TEXT:
            raise BadName(f"a name of {len(text)} characters: at most {MAX_NAME} octets can be one")
        if text == ".":
            return cls(b"\0")
        if not text:
            raise BadName('an empty text is no domain name: the root is "."')
        if text == "@" and origin is not None:
            return cls(origin)
        if "\\" in text:
            labels = _split_escaped(text)
        elif text.isascii():
            labels = text.encode("ascii").split(b".")
        else:
            labels = [_label(part, text) for part in text.translate(_DOTS).split(".")]
        if not labels[-1] and len(labels) > 1:
            labels.pop()
            return cls.of(labels, text=text)
        return cls.of(labels, origin or b"\0", text)

    @classmethod
    def of(cls, labels: Iterable[bytes], suffix: bytes = b"\0", text: str = "") -> Self:
        """The name of these labels, the leftmost first, before `suffix`.  Raises BadName."""
        wire = bytearray()
        for label in labels:
            if not 0 < len(label) <= MAX_LABEL:
                what = "an empty label" if not label else f"a label of {len(label)} octets (at most {MAX_LABEL})"
                raise BadName(f"{text or bytes(label)!r} is not a domain name: it has {what}")
            wire.append(len(label))
            wire += label
        wire += suffix
        if len(wire) > MAX_NAME:
            raise BadName(f"{text or bytes(wire)!r} is not a domain name: {len(wire)} octets, at most {MAX_NAME}")
        return cls(wire)

    @property
    def key(self) -> bytes:
        """What equal names have in common: the bytes in lower case (RFC 4343 §3)."""
        return self.lower()

    @property
    def labels(self) -> tuple[bytes, ...]:
        """Its labels from left to right, without the root's."""
        found, at = [], 0
        while length := self[at]:
            found.append(self[at + 1 : at + 1 + length])
            at += length + 1
        return tuple(found)

    @property
    def depth(self) -> int:
        """How many labels it has; the root has none."""
        count = at = 0
        while length := self[at]:
            at += length + 1
            count += 1
        return count

    @property
    def is_wildcard(self) -> bool:
        """Its first label is an asterisk (RFC 4592 §2.1.1)."""
        return self[:2] == b"\1*"

    def parent(self) -> "Name":
        """The name without its first label; the root's is the root."""
        return Name(self[self[0] + 1 :] or b"\0")

    def ancestors(self) -> "list[Name]":
        """The name itself, its parent, and so on up to the root."""
        found, at = [], 0
        while length := self[at]:
            found.append(Name(self[at:]))
            at += length + 1
        found.append(ROOT)
        return found

    def suffix(self, depth: int) -> "Name":
        """Its last `depth` labels."""
        at = 0
        for _ in range(self.depth - depth):
            at += self[at] + 1
        return Name(self[at:])

    def is_within(self, other: bytes) -> bool:
        """It is `other` or below it, whatever the case of the letters."""
        if len(other) == 1:
            return True
        above = len(self) - len(other)
        if above < 0 or (self[above:] != other and self[above:].lower() != other.lower()):
            return False
        at = 0
        while at < above:  # the end is equal: does it begin with a label?
            at += self[at] + 1
        return at == above

    def child(self, label: bytes) -> "Name":
        """The name with one more label at its left.  Raises BadName."""
        return Name.of((label,), self)

    def __str__(self) -> str:
        r"""As in a zone file, with the final dot; \. and \DDD where needed."""
        if len(self) == 1:
            return "."
        parts = []
        for label in self.labels:
            # bytes.translate with a deletion tells in C whether a label is plain
            plain = not label.translate(None, _PLAIN)
            parts.append(label.decode("ascii") if plain else "".join([_TEXT[octet] for octet in label]))
        parts.append("")
        return ".".join(parts)

    def __repr__(self) -> str:
        return f"Name({str(self)!r})"


ROOT: Final = Name(b"\0")


def _label(part: str, text: str) -> bytes:
    for char in part:
        if char in _DEVIATIONS:
            raise BadName(
                f"{text!r} could be two names, since IDNA 2003 and 2008 write {char!r} (U+{ord(char):04X}) differently:"
                " give its ASCII form (xn--...)"
            )
    try:
        return part.encode("ascii") if part.isascii() else part.encode("idna")
    except UnicodeError as error:
        raise BadName(
            f"{text!r} is not a domain name: {part!r} has no form in ASCII ({error.__cause__ or error})"
        ) from error


def _split_escaped(text: str) -> list[bytes]:
    r"""Labels of a text with \c or \DDD in it (RFC 1035 §5.1)."""
    labels, label, at = [], bytearray(), 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == ".":
            labels.append(bytes(label))
            label.clear()
            continue
        if char == "\\":
            octet, at = unescape(text, at)
            label.append(octet)
        elif char.isascii():
            label.append(ord(char))
        else:
            raise BadName(f"{text!r}: write {char!r} in a name without backslashes, or in its ASCII form (xn--...)")
    labels.append(bytes(label))
    return labels


def unescape(text: str, at: int) -> tuple[int, int]:
    r"""The octet that stands after a backslash, as \c or \DDD, and the position after it.  Raises BadName."""
    digits = text[at : at + 3]
    if digits[:1].isascii() and digits[:1].isdigit():
        if len(digits) == 3 and digits.isascii() and digits.isdigit() and int(digits) <= 0xFF:
            return int(digits), at + 3
    elif digits and digits[0].isascii():
        return ord(digits[0]), at + 1
    raise BadName(f"{text!r}: after a backslash comes one ASCII character or a number from 000 to 255 of three digits")


def read_name(wire: bytes, at: int, memo: dict[int, Name]) -> tuple[Name, int]:
    """The name at offset `at` of a message, and the offset after it.  `memo` has the names of earlier offsets.

    Raises FormError, and IndexError where the message ends within the name.
    """
    start = at
    while length := wire[at]:
        if length > MAX_LABEL:
            if length < 0xC0:
                raise FormError(FormReason.BAD_LABEL, f"{length:#x} at {at}")
            target = (length & 0x3F) << 8 | wire[at + 1]
            suffix = memo.get(target)
            if suffix is None:
                suffix = _expand(wire, target, start, memo)
            if at == start:
                return suffix, at + 2
            name = Name(wire[start:at] + suffix)
            at += 1
            break
        at += length + 1
    else:
        name = Name(wire[start : at + 1])
    if len(name) > MAX_NAME:
        raise FormError(FormReason.NAME_TOO_LONG, f"{len(name)} octets at {start}")
    memo[start] = name
    return name, at + 1


def _expand(wire: bytes, at: int, before: int, memo: dict[int, Name]) -> Name:
    """The name at `at`, which a pointer of a name that begins at `before` leads to."""
    target = at
    pieces: list[bytes] = []
    for _ in range(MAX_POINTERS):
        # RFC 1035 §4.1.4: a pointer leads to a prior occurrence.  So offsets only fall, and no walk goes round.
        if not HEADER <= at < before:
            raise FormError(FormReason.POINTER, f"to {at} from a name at {before}")
        if (known := memo.get(at)) is not None:
            pieces.append(known)
            break
        before = at
        while 0 < (length := wire[at]) <= MAX_LABEL:
            at += length + 1
            if at - before > MAX_NAME:  # here, since many pointers may lead into one run of labels
                raise FormError(FormReason.NAME_TOO_LONG, f"at {before}")
        if not length:
            pieces.append(wire[before : at + 1])
            break
        if length < 0xC0:
            raise FormError(FormReason.BAD_LABEL, f"{length:#x} at {at}")
        pieces.append(wire[before:at])
        at = (length & 0x3F) << 8 | wire[at + 1]
    else:
        raise FormError(FormReason.POINTER, f"more than {MAX_POINTERS} in a row")
    name = Name(b"".join(pieces))
    if len(name) > MAX_NAME:
        raise FormError(FormReason.NAME_TOO_LONG, f"{len(name)} octets at {target}")
    memo[target] = name
    return name
