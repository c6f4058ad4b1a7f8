"""The hosts file: names and addresses that nobody is asked about (hosts(5)).

A pure function of the file's text makes the table that a ResolverCore looks into first: what a name has of A and AAAA,
and the names of addresses, as PTR.  A line that is wrong is passed over, as the C library does.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from stack.dns.constants import RRClass, RRType
from stack.dns.errors import BadName
from stack.dns.names import Name
from stack.dns.rrset import RRset

Table = dict[tuple[bytes, int], RRset]  # (key of a name, type)
Address = IPv4Address | IPv6Address

MAX_TEXT: Final = 16 << 20  # of the file; what is beyond is not read
MAX_ENTRIES: Final = 100_000  # names with a type; lists of names to be blocked are this long
TTL: Final = 0  # a change of the file is to be seen


def parse(text: str) -> Table:
    """What `text` says."""
    table: Table = {}
    for line in text[:MAX_TEXT].splitlines():
        _read(line, table)
    return table


def reverse_name(address: Address) -> Name:
    """The name under which the names of an address are found (RFC 1035 §3.5, RFC 3596 §2.5)."""
    return Name.parse(address.reverse_pointer)


def _read(line: str, table: Table) -> None:
    words = line.partition("#")[0].split()
    if len(words) < 2 or "%" in words[0]:  # an address with a scope has no place in a record
        return
    try:
        address = ip_address(words[0])
    except ValueError:
        return
    rrtype = RRType.A if isinstance(address, IPv4Address) else RRType.AAAA
    canonical: Name | None = None
    for word in words[1:]:
        try:
            name = Name.parse(word)
        except BadName:
            continue
        _add(table, name, rrtype, address.packed)
        canonical = canonical or name
    if canonical is not None:  # hosts(5): the first is the canonical name, the others are aliases
        _add(table, reverse_name(address), RRType.PTR, canonical)


def _add(table: Table, name: Name, rrtype: RRType, raw: bytes) -> None:
    key = (name.key, int(rrtype))
    rrset = table.get(key)
    if rrset is None:
        if len(table) < MAX_ENTRIES:
            table[key] = RRset(name, rrtype, RRClass.IN, TTL, [raw])
    elif raw not in rrset.raws:
        rrset.raws.append(raw)
