#!/usr/bin/env python3
"""Joins requirements, citations in the code and `@rfc` marks of the tests into docs/rfc-conformance.md.

    tools/rfc_coverage.py           check: every MUST tested or excused, no unknown requirement, page up to date
    tools/rfc_coverage.py --write   write the page

Citations look like `RFC 9293 §3.5 (MUST-10): why`, in comments and docstrings of stack/ and native/;
`DEVIATES RFC ...` and `OMITS RFC ...` with a requirement in parentheses excuse that requirement.  Several
requirements are separated by commas; `MUST-2/3`, `MUST-24..29` and `T-ST-*` are short for what they look like.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = "docs/rfc-conformance.md"
SECTION = r"§[\w.]*\w"
CITATION = re.compile(
    rf"(?:(DEVIATES|OMITS) )?RFC (\d+)(?: ({SECTION}(?:, {SECTION})*))?(?: \(([^()]*)\))?(?:: *(.*))?"
)
REQUIREMENT_ID = re.compile(r"[A-Z0-9]+[-/][\w./*-]+")
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}


@dataclass(slots=True)
class Requirement:
    """One line of docs/requirements.toml, and what was found about it."""

    group: str
    rfc: str
    section: str
    level: str
    text: str
    planned: str = ""
    omitted: str = ""
    excused: str = ""
    tests: set[str] = field(default_factory=set)
    code: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Reference:
    """A citation in the code or a mark on a test."""

    where: str  # path
    line: int
    rfc: str
    section: str
    ids: tuple[str, ...]
    kind: str = ""  # DEVIATES, OMITS or nothing
    why: str = ""


def load_requirements(text: str) -> dict[str, Requirement]:
    """Requirements by id, in the order of the file."""
    return {
        name: Requirement(group, **fields)
        for group, entries in tomllib.loads(text).items()
        for name, fields in entries.items()
    }


def expand(ids: str, known: dict[str, Requirement]) -> tuple[str, ...]:
    """The ids that a comma-separated list with the two short forms stands for."""
    found: list[str] = []
    for part in filter(None, (p.strip() for p in ids.split(","))):
        stem, dash, tail = part.rpartition("-")
        if part in known or not dash:
            found.append(part)
        elif tail == "*":
            found += [name for name in known if name.startswith(f"{stem}-")]
        elif match := re.fullmatch(r"((?:\d+\.)?)(\d+)\.\.\1(\d+)", tail):
            found += [f"{stem}-{match[1]}{n}" for n in range(int(match[2]), int(match[3]) + 1)]
        else:
            found += [f"{stem}-{n}" for n in tail.split("/")]
    return tuple(found)


def citations(root: Path, known: dict[str, Requirement]) -> Iterator[Reference]:
    """All citations in stack/ and native/."""
    paths = [p for part in ("stack", "native") for p in sorted((root / part).rglob("*"))]
    for path in paths:
        if path.suffix not in {".py", ".c", ".h"}:
            continue
        name = path.relative_to(root).as_posix()
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            for match in CITATION.finditer(line):
                kind, rfc, section, inside, why = (group or "" for group in match.groups())
                named = bool(inside) and all(REQUIREMENT_ID.fullmatch(i.strip()) for i in inside.split(","))
                ids = expand(inside, known) if named else ()
                if kind:
                    why = sentence(why, line[: match.start()].strip(), lines[number:])
                yield Reference(name, number, rfc, section, ids, kind, why)


def sentence(start: str, lead: str, following: list[str]) -> str:
    """A reason up to its full stop; it may go on in the next lines of its comment or docstring.

    `lead` is what stands before the citation in its line: behind code a comment has that line only.
    """
    goes_on = {"#": "#", "/*": "*", "*": "*", "": "", '"""': ""}.get(lead)
    text = start.strip()
    for line in following if goes_on is not None and text else []:
        more = line.strip()
        if not more or not more.startswith(goes_on or "") or text.endswith((".", "*/", '"""')):
            break
        text += " " + more.lstrip("#*/ ")
    return text.partition(". ")[0].removesuffix('"""').removesuffix("*/").strip().removesuffix(".")


def marks(root: Path, known: dict[str, Requirement]) -> Iterator[Reference]:
    """All calls of `rfc(number, section, requirement)` in tests/; the three must be written out."""
    for path in sorted((root / "tests").rglob("test_*.py")):
        name = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "rfc":
                values = [a.value for a in node.args if isinstance(a, ast.Constant)]
                number, section, requirement = (*(str(v) for v in values), "", "", "")[:3]
                ids = expand(requirement, known)
                if not ids:  # a section that holds one requirement names it
                    here = [i for i, r in known.items() if (r.rfc, r.section) == (number, section)]
                    ids = tuple(here) if len(here) == 1 else ()
                yield Reference(name, node.lineno, number, section, ids)


def join(known: dict[str, Requirement], cited: list[Reference], marked: list[Reference]) -> list[str]:
    """Note citations and marks in the requirements; what is wrong comes back."""
    found = [f"{i}: level {r.level!r} is none of {sorted(LEVELS)}" for i, r in known.items() if r.level not in LEVELS]
    for reference, is_test in [(c, False) for c in cited] + [(m, True) for m in marked]:
        if reference.kind and not reference.why:
            found.append(f"{reference.where}:{reference.line}: {reference.kind} says no reason")
        for name in reference.ids:
            requirement = known.get(name)
            if requirement is None:
                found.append(f"{reference.where}:{reference.line}: {name} is not in docs/requirements.toml")
            elif is_test:
                requirement.tests.add(reference.where)
            else:
                requirement.code.add(reference.where)
                if reference.kind:
                    requirement.excused = f"{reference.kind.lower()}: {reference.why}"
    for name, requirement in known.items():
        if requirement.level.startswith("MUST") and state(requirement) == "not shown":
            found.append(f"{name}: a MUST that no test shows and nothing excuses: {requirement.text}")
        if requirement.planned and requirement.tests:
            found.append(f"{name}: is tested, so it is no longer planned (docs/requirements.toml)")
        if requirement.omitted and requirement.tests:
            found.append(f"{name}: is tested, so it is not omitted (docs/requirements.toml)")
        if requirement.omitted and requirement.level.startswith("MUST"):
            found.append(f"{name}: a MUST cannot be omitted (docs/requirements.toml)")
    return found


def state(requirement: Requirement) -> str:
    """One word or two about where a requirement stands."""
    if requirement.tests:
        return "tested"
    if requirement.excused:
        return "excused"
    if requirement.omitted:
        return "omitted"
    return "planned" if requirement.planned else "not shown"


def page(known: dict[str, Requirement], cited: list[Reference]) -> str:
    """The text of docs/rfc-conformance.md."""
    out = ["# RFC conformance", "", "Generated by `tools/rfc_coverage.py --write` from `docs/requirements.toml`, the"]
    out += ["citations in the code and the `@rfc` marks of the tests. Do not edit.", ""]
    states = ("tested", "excused", "omitted", "planned", "not shown")
    out += ["| level | " + " | ".join(states) + " |", "|---|" + "---|" * len(states)]
    for level in ("MUST", "SHOULD", "MAY"):
        of_level = [state(r) for r in known.values() if r.level.startswith(level)]
        out.append(f"| {level} | " + " | ".join(str(of_level.count(s)) for s in states) + " |")
    group = ""
    for name, requirement in known.items():
        if requirement.group != group:
            group = requirement.group
            out += ["", f"## {group}", "", "| id | RFC | level | requirement | state | tests | code |"]
            out.append("|---|---|---|---|---|---|---|")
        note = requirement.excused or requirement.omitted or requirement.planned
        standing = state(requirement) + (f" ({note})" if note and not requirement.tests else "")
        places = [
            ", ".join(f"`{p.partition('/')[2]}`" for p in sorted(s)) for s in (requirement.tests, requirement.code)
        ]
        row = (
            name,
            f"{requirement.rfc} §{requirement.section}",
            requirement.level,
            requirement.text,
            standing,
            *places,
        )
        out.append("| " + " | ".join(column.replace("|", "\\|") for column in row) + " |")
    departures = sorted({(c.kind, int(c.rfc), c.section, c.why, c.where) for c in cited if c.kind})
    out += ["", "## Departures", "", "What the code says it does otherwise (DEVIATES) or leaves out (OMITS).", ""]
    out += [
        f"- {kind} RFC {rfc}{section and ' '}{section}: {why} (`{where}`)"
        for kind, rfc, section, why, where in departures
    ]
    return "\n".join(out) + "\n"


def main(arguments: list[str]) -> int:
    """Check, or write the page with --write."""
    known = load_requirements((ROOT / "docs/requirements.toml").read_text())
    cited = list(citations(ROOT, known))
    found = join(known, cited, list(marks(ROOT, known)))
    text = page(known, cited)
    target = ROOT / PAGE
    if "--write" in arguments:
        target.write_text(text)
    elif not target.exists() or target.read_text() != text:
        found.append(f"{PAGE} is not up to date: run `make docs`")
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
