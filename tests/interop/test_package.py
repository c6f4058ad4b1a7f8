"""The sdist and the wheel: built, installed into an empty environment, and run there."""

import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.support.netns import ROOT

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]


def run(*command, cwd, **kwargs):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **kwargs)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with both; the wheel is made from the sdist, so nothing is missing there."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(source), cwd=folder)
    return folder


def test_sdist_has_what_is_needed_to_build_and_read(built):
    with tarfile.open(next(built.glob("tapstack-*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "pyproject.toml",
        "setup.py",
        "native/build.py",
        "native/wire.h",
        "native/parse.c",
        "stack/py.typed",
    } <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_wheel_has_the_package_and_the_compiled_core_only(built):
    with zipfile.ZipFile(next(built.glob("tapstack-*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {"stack/__init__.py", "stack/py.typed", "stack/cli/main.py", "stack/daemon/services/http.py"} <= names
    assert "stack/inject/sitecustomize.py" in names  # what `tapstack run` puts first
    assert [name for name in names if name.startswith("stack/wire/_wire.") and name.endswith(".so")]
    assert [name for name in names if name.startswith("stack/device/_io.") and name.endswith(".so")]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"stack", "tapstack"}
    assert [name for name in names if name.endswith("/LICENSE")]


@pytest.mark.parametrize("kind", ["whl", "tar.gz"])
def test_it_installs_and_runs_in_an_empty_environment(built, tmp_path, kind):
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"), cwd=tmp_path)
    bin_ = tmp_path / "venv" / "bin"
    archive = next(built.glob(f"tapstack-*.{kind}"))
    run(str(bin_ / "pip"), "install", "--disable-pip-version-check", str(archive), cwd=tmp_path)
    assert "tapstack, version " in run(str(bin_ / "tapstack"), "--version", cwd=tmp_path)
    program = (
        "import stack, stack.app; from stack.wire import accel; print(accel.backend, *(getattr(stack, n).__name__ "
        "for n in stack.__all__))"
    )
    assert run(str(bin_ / "python"), "-c", program, cwd=tmp_path).split() == [
        "c",
        "AsyncHost",
        "HostConfig",
        "IpConfig",
        "StackError",
        "TcpConfig",
        "attach",
        "open_device",
        "open_packet",
        "open_tap",
        "open_tun",
        "run",
    ]
    refused = subprocess.run([str(bin_ / "tapstack"), "up", "--mtu", "1"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (2, "tapstack: mtu is 1: use 576 to 65521\n")
