"""What `tapstack run` takes for Python, and how loops are replaced where they are asked for."""

import importlib.machinery
import subprocess
import sys
import types
from pathlib import Path

import pytest

from stack import injected
from stack.cli.run import INJECT, _kernels_end, _options, is_python
from stack.errors import ConfigError
from stack.run_loop import RunOptions

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ("#!/usr/bin/python3", True),
        ("#! /usr/bin/env python3.11", True),
        ("#!/usr/bin/env -S python3 -u", True),
        ("#!/usr/bin/env -S A=b python3", True),
        ("#!/opt/pypy3", True),
        ('#!/bin/sh\n\'\'\'exec\' "/a very long path/bin/python3" "$0" "$@"', False),
        ("#!/bin/sh\n'''exec' /a/very/long/path/bin/python3 \"$0\" \"$@\"", True),
        ("#!/bin/sh\necho python", False),
        ("#!/usr/bin/env bash", False),
        ("#!", False),
        ("\x7fELF", False),
        ("", False),
    ],
)
def test_scripts(tmp_path, first, found):
    script = tmp_path / "script"
    script.write_text(first + "\n")
    assert is_python(str(script)) is found


def test_interpreters(tmp_path):
    assert is_python(sys.executable)
    link = tmp_path / "interpreter"
    link.symlink_to(sys.executable)
    assert is_python(str(link))
    for name in ("python", "python3.14t", "pypy3"):
        assert is_python(f"/nowhere/{name}")
    assert not is_python("/bin/sh")
    assert not is_python("/nowhere/python-config")


@pytest.mark.parametrize(
    ("address", "kernels"),
    [
        ("198.18.7.2/24", "198.18.7.1"),
        ("198.18.7.1/24", "198.18.7.2"),
        ("10.0.0.0/30", "10.0.0.1"),
        ("198.18.0.9/24", None),  # the default is there
        ("198.18.0.9/15", None),
        ("10.0.0.1/31", None),
        ("10.0.0.1", None),
        ("nonsense", None),
    ],
)
def test_the_kernels_end_of_a_tap_is_on_its_network(address, kernels):
    assert _kernels_end(address) == ({} if kernels is None else {"TAPSTACK_HOST_ADDRESS": kernels})


def test_the_interpreters_own_options():
    assert _options(("python", "-u", "-I", "a.py", "-E")) == ["-u", "-I"]
    assert _options(("python3.12", "-m", "x", "-I")) == []
    assert _options(("uvicorn", "-I")) == []


def test_options_arrive():
    options = RunOptions("tap7", "/x", "198.18.0.9", "web", "all", tap=True, quiet=True)
    assert RunOptions.from_json(options.to_json()) == options
    for text in ("", "[]", "7", '{"nonsense": 1}'):
        with pytest.raises(ConfigError, match="not set by this version"):
            RunOptions.from_json(text)


def python(program, *paths, **env):
    """What a Python prints that has `paths` on its path."""
    environment = {"PYTHONPATH": ":".join(map(str, paths)), **env}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, cwd="/"
    )


def test_nothing_is_loaded_that_the_program_does_not_ask_for():
    result = python(
        "import sys; print([m for m in ('asyncio', 'socket', 'stack.app') if m in sys.modules])", INJECT, ROOT
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_modules_look_as_they_would_without_us():
    program = (
        "import sys, asyncio, uvloop, inspect\n"
        "for m in (asyncio, uvloop): print(type(m.__loader__).__name__, type(m.__spec__.loader).__name__)\n"
        "print(inspect.getsource(asyncio)[:3], [p for p in sys.path if 'inject' in p])\n"
    )
    result = python(program, INJECT, ROOT)
    assert result.stdout.split("\n")[:2] == ["SourceFileLoader SourceFileLoader"] * 2, result.stderr
    assert result.stdout.split("\n")[2].endswith("[]")


def test_a_python_without_tapstack_is_told_and_goes_on():
    program = "import sys; sys.modules['stack'] = None"  # what the import of it meets
    folder = INJECT.parent
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"{program}; sys.path.insert(0, {str(INJECT)!r}); import sitecustomize; print(1)"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={},
    )
    assert folder.name == "stack"
    assert result.stdout == "1\n"
    [line] = result.stderr.splitlines()
    assert line.startswith("tapstack run: ")
    assert "has no tapstack" in line


def test_only_asyncios_and_uvloops_own_loops_are_replaced(monkeypatch):
    made = []
    monkeypatch.setattr(injected, "_selector_loop", lambda: made.append("selector"))
    monkeypatch.setattr(injected, "_uv_loop", lambda: made.append("uv"))
    closed = []

    def loop(module, name):
        return type(name, (), {"__module__": module, "close": lambda self: closed.append(type(self).__name__)})()

    for module, name in (("asyncio.unix_events", "_UnixSelectorEventLoop"), ("uvloop", "Loop")):
        injected._ours(loop(module, name))
    assert made == ["selector", "uv"]
    assert closed == ["_UnixSelectorEventLoop", "Loop"]
    own = loop("mine", "Loop")
    assert injected._ours(own) is own
    assert len(closed) == 2


def test_uvicorn_before_it_had_factories(monkeypatch):
    old = types.SimpleNamespace()
    injected._patch_uvicorn(old)
    assert not vars(old)
    new = types.SimpleNamespace(asyncio_loop_factory=None)
    injected._patch_uvicorn(new)
    assert new.asyncio_loop_factory(use_subprocess=True) is injected._selector_loop


def test_a_module_that_is_not_there_is_not_found():
    finder = injected._Finder()
    assert finder.find_spec("json") is None
    meta_path = sys.meta_path
    try:
        sys.meta_path = [finder, types.SimpleNamespace(), importlib.machinery.BuiltinImporter]
        assert finder.find_spec("uvloop") is None
    finally:
        sys.meta_path = meta_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tap",), "/usr/bin/python3 has no tapstack, so nothing was started"),
        (("--tap", "--queues", "2"), "/usr/bin/python3 has no tapstack, so nothing was started"),
        (("--queues", "2"), "give --tap, too"),
    ],
)
@pytest.mark.parametrize("how", ["interpreter", "script"])
def test_nothing_is_started_that_would_be_on_the_kernel(tmp_path, arguments, told, how):
    """It would listen on the machine's own addresses."""
    script = tmp_path / "program"
    script.write_text("#!/usr/bin/python3\nprint('started')\n")
    script.chmod(0o755)
    command = ["/usr/bin/python3", str(script)] if how == "interpreter" else [str(script)]
    root = Path(__file__).parents[3]
    environment = {"PATH": "/usr/bin:/bin"}
    ours = [sys.executable, "-m", "stack.cli", "run", *arguments, "--", *command]
    done = subprocess.run(ours, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert told in done.stderr
