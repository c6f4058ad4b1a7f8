"""Which form of the TCP core is loaded, and that an edit is never hidden by an old compilation."""

import ast
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from stack import _form

ROOT = Path(__file__).parents[2]
ASK = "from stack import _form; print(_form.running())"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source tree of its own, in which nothing is compiled."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "stack", tree / "stack", ignore=shutil.ignore_patterns("__pycache__"))
    for path in tree.rglob("*.py"):
        path.touch()  # as in a fresh checkout: no source is older than others
    return tree


def ask(tree: Path, form: str | None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "TAPSTACK_FORM"} | {"PYTHONPATH": str(tree)}
    if form is not None:
        env["TAPSTACK_FORM"] = form
    return subprocess.run([sys.executable, "-c", ASK], env=env, cwd=tree, capture_output=True, text=True, check=False)


def pretend_to_compile(tree: Path, age_s: int) -> Path:
    """Something that has the place and the name of the compiled core, `age_s` older than now."""
    tag = sys.implementation.cache_tag
    core = tree / "build" / "compiled" / str(tag) / "stack" / f"_core__mypyc{EXTENSION_SUFFIXES[0]}"
    core.parent.mkdir(parents=True, exist_ok=True)
    core.touch()
    newest = max(path.stat().st_mtime for path in (tree / "stack").rglob("*.py"))
    os.utime(core, (newest - age_s, newest - age_s))
    return core


@pytest.mark.parametrize("form", [None, "interpreted"])
def test_without_a_compilation_the_source_runs(copy: Path, form: str | None) -> None:
    assert ask(copy, form).stdout.strip() == "interpreted"


def test_what_is_asked_for_and_missing_is_an_error_that_says_what_to_do(copy: Path) -> None:
    answer = ask(copy, "compiled")
    assert answer.returncode
    assert "not there; run `make compiled`" in answer.stderr


def test_an_old_compilation_is_passed_over(copy: Path) -> None:
    core = pretend_to_compile(copy, age_s=5)
    try:
        assert ask(copy, None).stdout.strip() == "interpreted"
        assert "older than its source; run `make compiled`" in ask(copy, "compiled").stderr
    finally:
        core.unlink()


def test_a_fresh_compilation_is_taken(copy: Path) -> None:
    """The control of the test before: here the source is not newer, so the (empty) module is what Python gets."""
    core = pretend_to_compile(copy, age_s=-5)
    connection = core.parent / "tcp" / f"connection{EXTENSION_SUFFIXES[0]}"
    connection.parent.mkdir()
    connection.touch()
    try:
        assert ask(copy, None).stdout.strip() == "compiled"
        assert ask(copy, "interpreted").stdout.strip() == "interpreted"
    finally:
        core.unlink()


def test_another_value_is_refused(copy: Path) -> None:
    answer = ask(copy, "fast")
    assert "use compiled or interpreted" in answer.stderr


def constant_slices(text: str) -> list[int]:
    """The lines that have a `Final` which is a slice."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AnnAssign)
        and "Final" in ast.unparse(node.annotation)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) in {"slice", "builtins.slice"}
    ]


def test_what_is_compiled_has_no_slices_as_constants():
    """mypyc takes `octets[SLICE]` for an index that is an integer, and raises TypeError where the source does not."""
    assert constant_slices("A: Final = 1\nB: Final = slice(0, 2)\nclass C:\n    D: Final[slice] = slice(1)\n") == [2, 4]
    sources = [Path(name) for name in _form.sources()]
    assert len(sources) > len(_form.ALONGSIDE)
    assert [f"{path}:{line}" for path in sources for line in constant_slices(path.read_text())] == []
