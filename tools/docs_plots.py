#!/usr/bin/env python3
"""`make docs-plots`: the pictures in docs/img, from the example scenarios.  The same input gives the same files."""

import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stack.sim import overrides, plot  # noqa: E402  # also without installation
from stack.sim.runner import Run  # noqa: E402
from stack.sim.scope import Scope  # noqa: E402

EXAMPLES = ROOT / "examples" / "sim"
TARGET = ROOT / "docs" / "img"
SINGLE = {  # scenario: pictures to keep
    "slow-start": ("download-sequence", "download-sender"),
    "saw-tooth": ("bulk-sender",),
    "fairness": ("flows",),
    "black-hole-mtu": ("upload-sizes",),
}
COMPARED = {
    "controllers-compare": ("congestion", ("cubic", "newreno", "bbr")),
    "reordering": ("loss_detection", ("rack", "rfc6675")),
    "bufferbloat": ("congestion", ("cubic", "bbr")),
}


def scoped(data: dict[str, object]) -> Scope:
    """A scope on a finished run."""
    run = Run(overrides.scenario_with(data, []), invariants=False)
    scope = Scope(run)
    run.run()
    return scope


def main() -> int:
    """Write them all."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, pictures in SINGLE.items():
        scope = scoped(tomllib.loads((EXAMPLES / f"{name}.toml").read_text()))
        with tempfile.TemporaryDirectory() as folder:
            plot.write_all(scope.flows, scope.queues, Path(folder), name)
            for picture in pictures:
                (TARGET / f"{name}-{picture}.svg").write_bytes((Path(folder) / f"{picture}.svg").read_bytes())
    for name, (key, values) in COMPARED.items():
        data = tomllib.loads((EXAMPLES / f"{name}.toml").read_text())
        traces = {value: scoped(overrides.with_setting(data, key, value)).flows["bulk"] for value in values}
        with tempfile.TemporaryDirectory() as folder:
            plot.write_overlay(traces, Path(folder), "compare", f"{name}: {key}")
            (TARGET / f"{name}.svg").write_bytes((Path(folder) / "compare.svg").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
