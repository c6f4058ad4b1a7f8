"""`tapstack sim`: run a scenario, compare settings, sweep over many, random campaigns."""

import sys
from pathlib import Path
from typing import Any

import click

from stack.cli import sim_names
from stack.cli.common import open_standard_streams, sentences
from stack.errors import ConfigError

_OUT = Path("out/sim")


class Folder(click.Path):
    """A folder for output; an empty name would be the current one, which nobody means by it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The Path."""
        if value == "":
            self.fail("the name of the folder is empty", param, ctx)
        return super().convert(value, param, ctx)


class DefaultGroup(click.Group):
    """`tapstack sim FILE` is `tapstack sim run FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the missing `run` in front."""
        if args and args[0] not in self.commands and args[0] not in {"-h", "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultGroup, subcommand_metavar="SCENARIO.toml [OPTIONS] | COMMAND [ARGS]...")
def sim() -> None:
    """Simulate a network on virtual time; one seed decides everything.

    \b
    tapstack sim SCENARIO.toml                    run it: captures, plots, table
    tapstack sim SCENARIO.toml --compare congestion=cubic,newreno
    tapstack sim sweep SCENARIO.toml --seeds 20   many runs, on all cores
    tapstack sim campaign --runs 1000             random hostile networks

    'tapstack sim run --help' lists the options of a run.  docs/simulator.md tells how to write a scenario.
    """


@sim.command()
@click.argument("scenario", metavar="SCENARIO.toml", type=click.Path(path_type=Path), required=False)
@click.option("--compare", metavar="KEY=A,B,...", help="Run once with each value; a TCP setting, or any key.")
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Change a key, e.g. link.loss=0.01.")
@click.option("--seed", type=click.IntRange(min=0), help="Another seed than the scenario's.")
@click.option("--out", type=Folder(path_type=Path), help="Where files go.  [default: out/sim/NAME]")
@click.option("--plots/--no-plots", default=True, show_default=True, help="Draw PNG and SVG pictures.")
@click.option(
    "--capture",
    type=click.Choice(["hosts", "all", "none"]),
    default="hosts",
    show_default=True,
    help="A pcapng file for each host, one of all ports, or none.",
)
@click.option("--invariants/--no-invariants", default=None, help="Check after every event.  [default: the scenario's]")
@click.option(
    "--list-profiles", is_flag=True, help="What goes by name: congestion controls, loss detections, machines."
)
def run(scenario: Path | None, **options: Any) -> None:
    """Run a scenario: captures, plots and summary.json in a folder, a table here.

    A setting of TCP is compared with --compare congestion=cubic,newreno, anything else by its path in the file,
    --compare link.loss=0,0.01.  Exit status 1: a flow did not end as the scenario promises.
    """
    open_standard_streams()
    with sentences():
        if options.pop("list_profiles"):
            click.echo(sim_names.listed())
            return
        from stack.cli import sim_run  # noqa: PLC0415  # takes a while to load

        if scenario is None:
            raise ConfigError("name a scenario file, such as examples/sim/slow-start.toml")
        code = sim_run.run(scenario, sim_run.RunOptions(**options))
    sys.exit(code)


@sim.command()
@click.argument("scenario", metavar="SCENARIO.toml", type=click.Path(path_type=Path))
@click.option("--grid", metavar="KEY=A,B,...", multiple=True, help="Values of a key; several options multiply.")
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Change a key in every run.")
@click.option("--seeds", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="Runs of each point.")
@click.option("--seed", type=click.IntRange(min=0), help="The first of the seeds.  [default: the scenario's]")
@click.option("--out", type=Folder(path_type=Path), help="Folder of results.parquet.  [default: out/sweep/NAME]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: all cores]")
@click.option("--cluster", metavar="ADDRESS", help="A Dask scheduler, such as tcp://10.1.2.3:8786, instead of --jobs.")
@click.option("--invariants/--no-invariants", default=None, help="Check after every event.  [default: the scenario's]")
def sweep(scenario: Path, **options: Any) -> None:
    """Run many seeds and a grid of settings; results in Parquet.

    What is there already is not run again, so an interrupted sweep goes on where it was.  Exit status 1: a run failed.
    """
    open_standard_streams()
    with sentences():
        from stack.cli import sim_sweep  # noqa: PLC0415  # takes a while to load

        code = sim_sweep.run(scenario, sim_sweep.SweepOptions(**options))
    sys.exit(code)


@sim.command()
@click.option("--runs", type=click.IntRange(0, 100_000_000), default=1000, show_default=True, help="Fresh seeds.")
@click.option("--fixed", type=click.IntRange(0, 100_000_000), help="Fixed seeds before them.  [default: 200]")
@click.option("--seed", type=click.IntRange(0, 1 << 62), help="The first fresh seed.  [default: drawn, and printed]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: all cores]")
@click.option("--out", type=Folder(path_type=Path), default=_OUT, show_default=True, help="Where failures go.")
def campaign(**options: Any) -> None:
    """Random hostile networks; failures are shrunk and written as scenario and capture."""
    open_standard_streams()
    with sentences():
        from stack.cli import sim_run  # noqa: PLC0415  # takes a while to load
        from stack.sim import campaign as campaigns  # noqa: PLC0415  # takes a while to load

        sim_run.make_folder(options["out"])  # better now than after a thousand runs
        given = {name: value for name, value in options.items() if value is not None}
        code = campaigns.main([word for name, value in given.items() for word in (f"--{name}", str(value))])
    sys.exit(code)
