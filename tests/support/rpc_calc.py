"""The C peers of tests/support/rpc: a server, a client and a load generator, by rpcgen, gcc and libtirpc."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tools.netns import ROOT, CommandFailed

SOURCES: Final = ROOT / "tests" / "support" / "rpc"
CALC_X: Final = SOURCES / "calc.x"
PROGRAMS: Final = ("rpcgen", "gcc", "pkg-config")
PROGRAM: Final = 536873369
# What rpcgen makes, and of which part; -N: several arguments, -M: results in the caller's memory.
GENERATED: Final = {"calc.h": "-h", "calc_xdr.c": "-c", "calc_clnt.c": "-l", "calc_svc.c": "-m"}
LINKED: Final = {
    "calc_server": ("calc_server.c", "calc_svc.c", "calc_xdr.c"),
    "calc_client": ("calc_client.c", "calc_clnt.c", "calc_xdr.c"),
    "calc_bench": ("calc_bench.c", "calc_clnt.c", "calc_xdr.c"),
}


class CalcPrograms:
    """The paths of the programs, built in `folder`; a few seconds.  Raises CommandFailed."""

    __slots__ = ("bench", "client", "server")

    def __init__(self, folder: Path) -> None:
        for source in SOURCES.iterdir():
            shutil.copy(source, folder)
        for name, part in GENERATED.items():
            _run(folder, "rpcgen", "-N", "-C", "-M", part, "-o", name, "calc.x")
        compiler = ["gcc", "-O2", *_run(folder, "pkg-config", "--cflags", "libtirpc").split()]
        libraries = _run(folder, "pkg-config", "--libs", "libtirpc").split()
        for program, sources in LINKED.items():
            _run(folder, *compiler, "-o", program, *sources, *libraries)
        self.server, self.client, self.bench = (str(folder / program) for program in LINKED)


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
