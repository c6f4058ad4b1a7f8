"""`make compiled`: compile the TCP core with mypyc into build/compiled/, if what is there is not of this source.

`--if-possible` (make run, demo, bench) says in one line why the interpreted form will run, and goes on.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stack import _form

ROOT = Path(__file__).resolve().parent.parent
BUILT = Path(_form.BUILT)
STAMP = BUILT / "stamp"
OPTIMISATION, DEBUG, GROUP = "3", "0", "stack._core"
# The warning, which Python's own flags turn on, reads the source again from its start for every `else`: half of the
# time that gcc takes for a file of 300,000 lines
FLAGS = ("-Wno-misleading-indentation",)


def stamp() -> str:
    """What the compilation is made from."""
    import mypy.version  # noqa: PLC0415 - it may be missing

    digest = hashlib.sha256(f"{sys.version}{mypy.version.__version__}{OPTIMISATION}{DEBUG}{GROUP}".encode())
    for path in map(Path, _form.sources()):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def build_into(folder: Path) -> None:
    """Run mypyc and the C compiler; the modules end up in `folder`, laid out as packages."""
    from mypyc.build import mypycify  # noqa: PLC0415 - it may be missing
    from setuptools import Distribution  # noqa: PLC0415

    os.chdir(ROOT)
    work = folder / "work"
    paths = [os.path.relpath(path, ROOT) for path in _form.sources()]
    extensions = mypycify(paths, target_dir=str(work), opt_level=OPTIMISATION, debug_level=DEBUG, group_name=GROUP)
    for extension in extensions:
        extension.extra_compile_args.extend(FLAGS)
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib = str(folder / "lib")
    command.build_temp = str(work)
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()


def install(built: Path, mark: str, started_ns: int) -> None:
    """Put what was built in place of what is there; its age is that of the source: what is edited later is newer."""
    shutil.rmtree(BUILT, ignore_errors=True)
    BUILT.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(built / "lib", BUILT)
    for path in BUILT.rglob("*.so"):
        os.utime(path, ns=(started_ns, started_ns))
    STAMP.write_text(mark)
    if os.geteuid() == 0 and "SUDO_UID" in os.environ:  # it belongs to who called
        owner, group = int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", "-1"))
        for path in (ROOT / "build", BUILT.parent, BUILT, *BUILT.rglob("*")):
            os.chown(path, owner, group)


def hindrance() -> str:
    """Why nothing can be compiled here; empty when it can."""
    if shutil.which(os.environ.get("CC", "cc")) is None:
        return "no C compiler is installed"
    try:
        import mypyc.build  # noqa: F401, PLC0415
    except ImportError:
        return "mypy is not installed"
    return ""


def main() -> int:
    """Compile when needed; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--if-possible", action="store_true", help="go on without, when it cannot be compiled here")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # the child that compiles
    options = parser.parse_args()
    if options.into is not None:
        build_into(options.into)
        return 0
    if why := hindrance():
        print(f"the TCP core runs interpreted: {why}", file=sys.stderr)
        return 0 if options.if_possible else 1
    started_ns = time.time_ns()
    mark = stamp()
    if STAMP.exists() and STAMP.read_text() == mark:
        for path in BUILT.rglob("*.so"):  # a checkout gives old text new times
            os.utime(path)
        return 0
    print("compiling the TCP core with mypyc (one to two minutes) ...", file=sys.stderr, flush=True)
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        child = subprocess.run(
            [sys.executable, "-m", "tools.compiled", "--into", folder],
            cwd=ROOT,
            env=os.environ | {"TAPSTACK_FORM": "interpreted"},
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode:
            print(child.stdout[-4000:] + child.stderr[-4000:], file=sys.stderr)
            print("the TCP core could not be compiled: see above; it runs interpreted", file=sys.stderr)
            return 0 if options.if_possible else 1
        install(Path(folder), mark, started_ns)
    print(f"compiled in {(time.time_ns() - started_ns) / 1e9:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
