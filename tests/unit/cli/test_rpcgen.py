"""`tapstack rpcgen`: what it writes, and what it says of a file with a mistake."""

import pytest
from click.testing import CliRunner

from stack.cli.main import main
from stack.rpc import compile_x

TEXT = """
#include "other.x"
#ifdef WIDE
typedef hyper number;
#else
typedef int number;
#endif
typedef number numbers[COUNT];
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "calc.x").write_text(TEXT)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.x").write_text("const COUNT = SIZE;\n")
    return tmp_path


def rpcgen(*arguments):
    return CliRunner().invoke(main, ["rpcgen", *map(str, arguments)])


def test_a_module_is_written(folder):
    out = folder / "calc.py"
    made = rpcgen(folder / "calc.x", "-o", out, "-I", folder / "elsewhere", "-D", "SIZE=3", "-DWIDE")
    assert (made.exit_code, made.output) == (0, "")
    space: dict = {}
    exec(out.read_text(), space)
    assert space["xdr_numbers"].encode([1, 2, 3]) == bytes.fromhex("0000000000000001 0000000000000002 0000000000000003")


def test_without_a_file_it_is_printed_and_is_what_compile_x_runs(folder):
    made = rpcgen(folder / "calc.x", "-I", folder / "elsewhere", "-D", "SIZE=2")
    assert made.exit_code == 0
    assert "numbers: TypeAlias = list[number]" in made.output
    module = compile_x(folder / "calc.x", include=[folder / "elsewhere"], define={"SIZE": 2})
    assert module.xdr_numbers.encode([1, 2]) == b"\0\0\0\1\0\0\0\2"


def test_mistakes_are_told_with_their_place(folder):
    made = rpcgen(folder / "calc.x")
    assert made.exit_code == 2
    assert f"{folder}/calc.x:2:1: other.x is not found" in made.output
    made = rpcgen(folder / "calc.x", "-I", folder / "elsewhere")
    assert f"{folder}/elsewhere/other.x:1:15: SIZE is not defined" in made.output
    assert "use NAME or NAME=VALUE" in rpcgen(folder / "calc.x", "-D", "=3").output
    assert rpcgen(folder / "none.x").exit_code != 0


def test_a_minus_sign_is_standard_input(folder):
    made = CliRunner().invoke(main, ["rpcgen", "-", "-I", str(folder)], input="const A = 3;\n")
    assert (made.exit_code, "A: Final = 3" in made.output) == (0, True)
    made = CliRunner().invoke(main, ["rpcgen", "-"], input="const A = ;\n")
    assert (made.exit_code, made.output) == (2, 'tapstack: standard input:1:11: a value is expected, not ";"\n')


def test_files_that_cannot_be_read_or_written_are_named(folder):
    source = folder / "elsewhere" / "other.x"
    for arguments, message in (
        ((folder / "none.x",), f"{folder}/none.x: no such file or directory"),
        ((folder,), f"{folder}: is a directory"),
        ((source, "-D", "SIZE=1", "-o", folder), f"{folder}: is a directory"),
        ((source, "-D", "SIZE=1", "-o", folder / "none" / "x.py"), f"{folder}/none/x.py: no such file or directory"),
    ):
        made = rpcgen(*arguments)
        assert (made.exit_code, made.output) == (1, f"tapstack: {message}\n")
