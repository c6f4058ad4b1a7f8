#!/usr/bin/env python3
"""`make check`: runs every gate, shows the output of those that fail, and says what each one cost."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

GATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", (f"{BIN}/ruff", "format", "--check", "--quiet", ".")),
    ("lint", (f"{BIN}/ruff", "check", "--quiet", ".")),
    ("types", (f"{BIN}/mypy",)),
    ("import contracts", (f"{BIN}/lint-imports", "--no-cache")),
    ("size limits", (sys.executable, "tools/loc_limits.py")),
    ("RFC coverage", (sys.executable, "tools/rfc_coverage.py")),
    ("state diagram", (sys.executable, "tools/state_diagram.py")),
    ("interop matrix", (sys.executable, "tools/interop_matrix.py")),
)
ALWAYS_SHOWN = {"size limits"}  # its output is the size report


def main() -> int:
    """Run all gates, also after one failed; exit status 1 if any did."""
    failed = []
    for name, command in GATES:
        start = time.monotonic()
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        print(
            f"{'ok    ' if result.returncode == 0 else 'FAILED'} {name} ({time.monotonic() - start:.1f} s)", flush=True
        )
        if result.returncode or name in ALWAYS_SHOWN:
            print((result.stdout + result.stderr).rstrip(), flush=True)
        if result.returncode:
            failed.append(name)
    print(f"check: {'failed: ' + ', '.join(failed) if failed else 'clean'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
