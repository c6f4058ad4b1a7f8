"""What `make bench` has measured, and how it is shown."""

import statistics
from dataclasses import dataclass, field

from rich.table import Table

from tools.bench.rows import METRICS
from tools.bench.sides import OURS, Sample


@dataclass
class Results:
    """Samples by metric and side."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, metric: str, side: str, sample: Sample) -> None:
        """Note one."""
        self.samples.setdefault(metric, {}).setdefault(side, []).append(sample)

    def values(self, metric: str, side: str) -> list[float]:
        """The numbers that count."""
        key = METRICS[metric].key
        return [sample[key] for sample in self.samples[metric].get(side, []) if key in sample and "error" not in sample]

    def errors(self) -> list[str]:
        """One line for each sample that failed."""
        return [
            f"{metric} {side}: {sample['error']}"
            for metric, sides in self.samples.items()
            for side, samples in sides.items()
            for sample in samples
            if "error" in sample
        ]

    def table(self) -> Table:
        """Median and spread of both, and ours as a multiple of the peer's."""
        table = Table()
        for heading in ("metric", "unit", "tapstack", "spread", "peer", "", "spread", "ratio"):
            table.add_column(heading, no_wrap=True)
        for metric in self.samples:
            row, medians = [metric, METRICS[metric].unit], []
            for side in (OURS, METRICS[metric].peer):
                values = self.values(metric, side)
                if side != OURS:
                    row.append(side)
                if values:
                    medians.append(statistics.median(values))
                    row += [figure(medians[-1]), f"{figure(min(values))} to {figure(max(values))}"]
                else:
                    row += ["-", "-"]
            table.add_row(*row, f"{medians[0] / medians[1]:.2f}" if len(medians) == 2 and medians[1] else "-")
        return table


def figure(value: float) -> str:
    """Three digits are what such a measurement can mean."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
