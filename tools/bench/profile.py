"""`make profile only=crr32`: where our server spends its time in one row of `make bench`, Python and C together.

py-spy looks at the stack of the server some hundred times a second while the row is measured over and over: at frames
of Python, of the core as mypyc has compiled it, and of C.  out/profile-ROW.svg is a flame graph (open it in a browser:
a click goes deeper), out/profile-ROW.txt the share of each function without what it calls.  Where Linux's perf is
installed, it counts by program and library too, the kernel among them, which py-spy cannot see into.  py-spy stops the
server for each look, so that what it says are shares and not times.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from stack import _form
from tools.bench.arguments import Help, whole
from tools.bench.rows import METRICS, Metric
from tools.bench.run import OUT, allowed_congestion, exclusive
from tools.bench.sides import OURS, Setting, Side
from tools.netns import ROOT, CommandFailed, stop, why_none

LINES = 40
KERNEL = re.compile(r"(writev?|readv?|epoll_p?wait\w*|sendmmsg|recvmmsg|ioctl|poll|futex)(@\S+)? \(")
COMPILED = re.compile(r"CPy(?:Def|Py)_(\w+?) \(\w+__mypyc[^)<;]*\)")
TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*')
LINE_NUMBER = re.compile(r":\d+\)$")


def readable(text: str) -> str:
    """With the names that functions had before mypyc: `TcpLayer.poll_transmit (tcp_layer, compiled)`."""

    def name(match: re.Match[str]) -> str:
        module, _, rest = match[1].partition("___")
        module = module.strip("_")
        return f"{rest.replace('___', '.') or module} ({module}, compiled)"

    return COMPILED.sub(name, text)


def is_ours(frame: str) -> bool:
    """Whether a frame is a function that has a source in Python."""
    return ".py" in frame or frame.endswith(", compiled)")


def shares(raw: str) -> tuple[Counter[str], Counter[str]]:
    """Samples by function, without what it calls, and by kind; `raw` has a line for each stack: frames and a count.

    What C does for a function of Python (objects, calls, tables) counts as that function's, but for system calls.
    """
    functions: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for line in raw.splitlines():
        frames, _, count = readable(line).rpartition(" ")
        stack = [LINE_NUMBER.sub(")", frame) for frame in frames.split(";")]
        owner = next((frame for frame in reversed(stack) if is_ours(frame)), stack[-1])
        if call := KERNEL.match(stack[-1]):
            functions[f"the kernel: {call[1]}"] += int(count)
            kinds["system calls"] += int(count)
            continue
        functions[owner] += int(count)
        if owner.endswith(", compiled)"):
            kinds["compiled Python"] += int(count)
        else:
            kinds["interpreted Python" if is_ours(owner) else "C without Python (uvloop)"] += int(count)
    return functions, kinds


def report(raw: str) -> Iterator[str]:
    """Lines: first by kind, then the largest functions."""
    functions, kinds = shares(raw)
    total = sum(functions.values()) or 1
    yield f"{total} samples"
    for counter in (kinds, functions):
        yield ""
        for name, count in counter.most_common(LINES):
            yield f"{100 * count / total:5.1f} %  {name}"


def while_measured(side: Side, metric: Metric, setting: Setting, command: tuple[str, ...]) -> None:
    """Run a profiler to its end while the row is measured; CommandFailed when it fails."""
    with (OUT / "profiler.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            while process.poll() is None:
                metric.measure(side, setting)
        finally:
            stop(process, signal.SIGINT)
        if process.returncode:
            log.seek(0)
            raise CommandFailed(f"{command[0]}: exit status {process.returncode}\n{log.read()[-2000:]}")


def by_library(data: Path) -> str:
    """Samples of perf by program and library, the largest first."""
    command = ("perf", "report", "-i", str(data), "--stdio", "--no-children", "--sort", "dso")
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = [line.strip() for line in out.splitlines() if re.match(r"\s+\d", line)]
    return "\n".join(lines[:10])


def profile(name: str, seconds: int, rate: int, console: Console) -> None:
    """All of it for one row."""
    metric = METRICS[name]
    setting = Setting(str(OUT / "netbench"), allowed_congestion(), 1.0, 5000, 1000)
    picture, text, raw = (OUT / f"profile-{name}.{ending}" for ending in ("svg", "txt", "raw"))
    with ExitStack() as stack:
        side = next(side for side in metric.sides(stack, OUT, setting) if side.name == OURS)
        pid = str(side.server.pid)

        def spy(kind: str, path: Path) -> tuple[str, ...]:
            options = ("--native", "--function", "--rate", str(rate), "--duration", str(seconds))
            where = ("--format", kind, "--output", str(path), "--pid", pid)
            return (str(Path(sys.executable).parent / "py-spy"), "record", *options, *where)

        def run(*command: str) -> None:
            while_measured(side, metric, setting, command)

        run(*spy("flamegraph", picture))
        run(*spy("raw", raw))
        lines = [
            f"{name}, TCP core {_form.running()}: " + next(found := report(raw.read_text(encoding="utf-8"))),
            *found,
        ]
        if shutil.which("perf"):
            data = OUT / "profile.data"
            run("perf", "record", "-q", "-F", str(rate), "-p", pid, "-o", str(data), "--", "sleep", str(seconds))
            lines += ["", "by perf, the kernel included:", "", by_library(data)]
            data.unlink()
    drawn = TITLE.sub(rf"\1{name}: samples of the server", readable(picture.read_text(encoding="utf-8")), count=1)
    picture.write_text(drawn, encoding="utf-8")
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    console.print("written:", ", ".join(str(path.relative_to(ROOT)) for path in (picture, text, raw)))


# of the others the server is not one process that lives while something is measured
ROWS = [name for name in METRICS if not name.startswith(("start_", "idle_cpu"))]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Help)
    parser.add_argument("--only", action="append", choices=ROWS, help="this row  (default: crr32)")
    parser.add_argument("--seconds", type=whole(600), default=5, help="of each profiler")
    parser.add_argument("--rate", type=whole(5000), default=400, help="samples a second")
    options = parser.parse_args()
    if len(options.only or []) > 1:
        parser.error("one row at a time can be profiled")
    console = Console()
    if why := why_none():
        console.print(why, markup=False)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    OUT.mkdir(exist_ok=True)
    compile_it = ["cc", "-O2", "-Wall", "-o", str(OUT / "netbench"), str(ROOT / "tools/bench/netbench.c")]
    subprocess.run(compile_it, check=True)
    with exclusive():
        profile((options.only or ["crr32"])[0], options.seconds, options.rate, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
