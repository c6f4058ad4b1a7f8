"""The tables of docs/dns-internet.md: python -m tools.dns_internet [--zones N] [--cold N] [--packets N] [--write].

Prints them; with --write puts them there.  Everything is on virtual time and follows from
the seed, so that the tables are the same on every machine.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from tools.dns_internet import world as worlds
from tools.dns_internet.report import ATTACK_HEADINGS, ATTACKS, HEADINGS, attack_cells, attacked, markdown, resolution
from tools.dns_internet.world import World

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "dns-internet.md"
BEGIN, END = "<!-- {} begin: make dns-internet -->", "<!-- {} end -->"
COLD: Final = 2_000
PACKETS: Final = 1_000_000


def put(page: Path, name: str, table: str) -> None:
    """Replace one table of the page."""
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN.format(name))
    _, end, tail = rest.partition(END.format(name))
    if not begin or not end:
        raise SystemExit(f"{page}: the marks of the table {name!r} are gone")
    page.write_text(f"{head}{begin}\n\n{table}\n\n{end}{tail}", encoding="utf-8")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--zones", type=int, default=worlds.ZONES)
    parser.add_argument("--cold", type=int, default=COLD, help="questions in each cold row")
    parser.add_argument("--packets", type=int, default=PACKETS, help="forged by each attacker")
    parser.add_argument("--write", action="store_true", help="into docs/dns-internet.md")
    options = parser.parse_args()
    rows = [row.cells() for row in resolution(World(options.seed, options.zones), min(options.cold, options.zones))]
    tables = {
        "resolution": markdown(HEADINGS, rows),
        "attacks": markdown(
            ATTACK_HEADINGS,
            [attack_cells(attack, attacked(attack, options.packets, options.seed)) for attack in ATTACKS],
        ),
    }
    for name, table in tables.items():
        print(f"{table}\n")
        if options.write:
            put(PAGE, name, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
