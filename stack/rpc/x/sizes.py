"""What can be said of types beforehand: their sizes on the wire, and which contain themselves."""

from stack.rpc.x.types import (
    NO_LIMIT,
    Alias,
    Array,
    Bool,
    Enum,
    Number,
    Opaque,
    Struct,
    Union,
    Void,
    XType,
    bare,
    parts,
)

ENDLESS = float("inf")
MAX_TYPEDEFS = 200  # one leading to the next


class Sizes:
    """The least number of octets of each type, ENDLESS where a type cannot come to an end."""

    __slots__ = ("_least",)

    def __init__(self, named: list[Struct | Union]) -> None:
        self._least: dict[int, float] = {id(xtype): ENDLESS for xtype in named}
        changed = True
        while changed:
            changed = False
            for xtype in named:
                least = self._sum(xtype)
                if least < self._least[id(xtype)]:
                    self._least[id(xtype)] = least
                    changed = True

    def _sum(self, xtype: Struct | Union) -> float:
        if isinstance(xtype, Struct):
            return sum(self.least(member.type) for member in xtype.members)
        arms = [self.least(case.member.type) if case.member else 0 for case in xtype.cases]
        return self.least(xtype.discriminant.type) + min(arms)

    def least(self, xtype: XType) -> float:
        """Octets that a value has at least."""
        xtype = bare(xtype)
        if isinstance(xtype, Struct | Union):
            return self._least[id(xtype)]
        if isinstance(xtype, Number):
            return xtype.size
        if isinstance(xtype, Opaque):
            return xtype.size + (-xtype.size & 3)
        if isinstance(xtype, Array):
            return self.least(xtype.item) * xtype.size if xtype.size else 0
        return 0 if isinstance(xtype, Void) else 4


def fixed_size(xtype: XType) -> int | None:
    """Octets that every value has; None where they differ."""
    xtype = bare(xtype)
    if isinstance(xtype, Number):
        return xtype.size
    if isinstance(xtype, Bool | Enum):
        return 4
    if isinstance(xtype, Opaque):
        return xtype.size + (-xtype.size & 3)
    if isinstance(xtype, Array):
        size = fixed_size(xtype.item)
        return None if size is None else min(size * xtype.size, NO_LIMIT)
    if isinstance(xtype, Struct) and not xtype.group:
        total = 0
        for member in xtype.members:
            size = fixed_size(member.type)
            if size is None:
                return None
            total += size
        return total
    return None


def mark_groups(named: list[Struct | Union]) -> None:
    """Give all structs and unions that contain one another the same `group` (Tarjan's components, in a loop)."""
    edges = {id(xtype): _reached(xtype) for xtype in named}
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[Struct | Union] = []
    on_stack: set[int] = set()
    group = 0
    for root in named:
        if id(root) in index:
            continue
        work = [(root, iter(edges[id(root)]))]
        index[id(root)] = low[id(root)] = len(index)
        stack.append(root)
        on_stack.add(id(root))
        while work:
            xtype, targets = work[-1]
            for target in targets:
                if id(target) not in index:
                    index[id(target)] = low[id(target)] = len(index)
                    stack.append(target)
                    on_stack.add(id(target))
                    work.append((target, iter(edges[id(target)])))
                    break
                if id(target) in on_stack:
                    low[id(xtype)] = min(low[id(xtype)], index[id(target)])
            else:
                work.pop()
                if work:
                    above = id(work[-1][0])
                    low[above] = min(low[above], low[id(xtype)])
                if low[id(xtype)] == index[id(xtype)]:
                    group += 1
                    _close(xtype, stack, on_stack, group, edges)


def _close(
    xtype: Struct | Union,
    stack: list[Struct | Union],
    on_stack: set[int],
    group: int,
    edges: dict[int, list[Struct | Union]],
) -> None:
    members = []
    while True:
        member = stack.pop()
        on_stack.discard(id(member))
        members.append(member)
        if member is xtype:
            break
    if len(members) > 1 or any(target is xtype for target in edges[id(xtype)]):
        for member in members:
            member.group = group


def _reached(xtype: Struct | Union) -> list[Struct | Union]:
    """The structs and unions within a type, not looking into them."""
    found: list[Struct | Union] = []
    left = parts(xtype)
    while left:
        part = bare(left.pop())
        if isinstance(part, Struct | Union):
            found.append(part)
        else:
            left += parts(part)
    return found


def groups_in(types: list[XType]) -> set[int]:
    """The groups of the structs and unions that these types contain."""
    found: set[int] = set()
    left, seen = list(types), set()
    while left:
        part = bare(left.pop())
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Struct | Union):
            found.add(part.group)
        left += parts(part)
    return found


def typedef_circle(alias: Alias) -> bool:
    """Whether a typedef leads back to itself, or through MAX_TYPEDEFS others, without a struct or union between."""
    left, seen = [alias.target], 0
    while left:
        part = left.pop()
        seen += 1
        if part is alias or seen > MAX_TYPEDEFS:
            return True
        if not isinstance(part, Struct | Union):
            left += parts(part)
    return False
