import pytest

from tools import loc_limits as tool


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "stack").mkdir()
    return tmp_path


def long_function(name: str, lines: int) -> str:
    return f"def {name}(self):\n" + "    x = 1\n" * (lines - 1)


def test_limits_hold_to_the_line(tree):
    file = tree / "stack/a.py"
    file.write_text(long_function("f", 60) + "x = 1\n" * 540)
    assert tool.problems(tree, {}) == []
    file.write_text(long_function("f", 61) + "x = 1\n" * 540)
    assert tool.problems(tree, {}) == [
        "stack/a.py: 601 lines, the limit is 600",
        "stack/a.py::f: 61 lines, the limit is 60",
    ]


def test_methods_are_named_with_their_class_and_constructors_have_a_lower_limit(tree):
    body = long_function("__init__", 41).replace("\n", "\n    ")
    (tree / "stack/a.py").write_text(f"class A:\n    {body}\n")
    assert tool.problems(tree, {}) == ["stack/a.py::A.__init__: 41 lines, the limit is 40"]


def test_c_functions_are_measured(tree):
    (tree / "stack/a.c").write_text(
        "static int\nlonely;\n\nstatic int f(int a,\n    int b)\n{\n" + "    a++;\n" * 60 + "}\n"
    )
    assert tool.problems(tree, {}) == ["stack/a.c::f: 64 lines, the limit is 60"]


def test_an_exception_needs_a_reason_a_use_and_still_limits(tree):
    (tree / "stack/a.py").write_text(long_function("f", 70))
    assert tool.problems(tree, {"stack/a.py::f": {"limit": 70, "reason": "a table"}}) == []
    assert tool.problems(tree, {"stack/a.py::f": {"limit": 65, "reason": "a table"}}) == [
        "stack/a.py::f: 70 lines, the limit is 65"
    ]
    assert tool.problems(tree, {"stack/a.py::f": {"limit": 70}}) == ["stack/a.py::f: the exception gives no reason"]
    assert tool.problems(
        tree, {"stack/a.py::f": {"limit": 70, "reason": "x"}, "gone": {"limit": 1, "reason": "x"}}
    ) == ["gone: no exception is needed (tools/loc_exceptions.toml)"]
