"""What the compiler makes: of Sun's files and ours, and of names and programs that are difficult."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from stack import rpc
from stack.rpc.program import Version
from stack.rpc.x.compile import generate
from stack.rpc.xdr import STRING, VOID, XdrError
from tests.support.rpc_values import RPCSVC, Corpus

ROOT = Path(__file__).parents[4]
CALC = ROOT / "tests" / "support" / "rpc" / "calc.x"

DIFFICULT = """
const class = 3;
const None = 4;
const _private = 5;
enum color { RED, mro, name, value, real, class_ = 7 };
struct int_ { int class; int self; string str<>; string more<>; opaque bytes<>; opaque rest<>; int list<>; int all<>; };
struct bytes { opaque data<>; };
struct inner { int x; };
struct outer { inner inner; inner *next; outer *outer; int dataclass; int property; };
union which switch (color value) {
    case RED: int property;
    case mro: inner inner;
    case name: inner *maybe;
    default: outer bytes<2>;
};
struct inline {
    enum { ON = 1, OFF } state;
    struct { int a; union switch (int b) { case 0: void; default: int c; } d; } sub;
};
typedef inner *pointer;
struct twice { pointer *p; pointer many<>; };
typedef string text<5>;
typedef text texts[2];
typedef texts tables<>;
typedef unsigned numbers<>;
struct wide { int a[40]; opaque b[300]; opaque c[301]; short d[3]; unsigned char e<>; hyper f; unsigned g; bool h[2]; };
struct nothing { };
struct holder { nothing a; nothing b[3]; nothing c<>; int end[0]; };
struct left { int value; right *next; };
struct right { left *next; };
struct both { int value; both *one; both others<>; };
struct data { int v; int data; };
struct item { int value; item *next; };
struct v1 { data a; item *b; v1 *next; };
struct value { v1 found<>; value *head; };
union found switch (int out) { case 0: data found; default: value *tail; };
enum kind { each, r, w };
typedef data at[3];
typedef opaque out<>;
struct a { at at; out out; kind kind; };
struct starmap { a Any; };
typedef starmap memoryview<>;
struct tail { int x; starmap map; unsigned quad; int y; };
program P1 {
    version V1 {
        color class(int_) = 1; void async(void) = 2; pointer MANY(int, string<5>, outer, string, opaque<>) = 3;
        a found(a, found, at) = 4;
        kind options(kind) = 5;
    } = 1;
    version SAME { void _call(void) = 1; int handler(int) = 2; void batch(void) = 3; } = 2;
} = 0x20000001;
program P2 {
    version SAME { which NULL(which) = 1; void inner(inner) = 2; } = 1;
} = 0x20000002;
"""


@pytest.fixture(scope="module")
def difficult(tmp_path_factory):
    path = tmp_path_factory.mktemp("x") / "difficult.x"
    path.write_text(DIFFICULT)
    return Corpus(path)


def test_all_files_of_sun_compile_and_their_values_survive():
    paths = sorted(RPCSVC.glob("*.x"))
    assert len(paths) == 17
    for path in paths:
        corpus = Corpus(path)
        for xtype in corpus.types():
            codec = corpus.codec(xtype)
            for _ in range(5):
                value = corpus.value(xtype)
                data = codec.encode(value)
                assert codec.decode(data) == value
                assert codec.decode(data, rpc.Limits(strict=True)) == value


def test_difficult_names_and_types_survive(difficult):
    for xtype in difficult.types():
        codec = difficult.codec(xtype)
        for _ in range(100):
            value = difficult.value(xtype)
            data = codec.encode(value)
            assert codec.decode(data) == value, xtype.name
            assert codec.encode(codec.decode(data)) == data


def test_generated_code_passes_mypy_and_the_formatter(tmp_path):
    """Strictly typed, and laid out as ruff would."""
    difficult = tmp_path / "difficult.x"
    difficult.write_text(DIFFICULT)
    use = "from difficult import *\nfrom difficult import P2_SAME, V1, inner, which\n" + USE
    (tmp_path / "use.py").write_text(use)
    for path in (*RPCSVC.glob("*.x"), CALC, difficult):
        (tmp_path / f"{path.stem}.py").write_text(generate(path.read_text(), str(path)))
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\nwarn_unreachable = True\nfollow_imports = silent\n")
    files = sorted(map(str, tmp_path.glob("*.py")))
    command = [sys.executable, "-m", "mypy", f"--config-file={config}", f"--cache-dir={ROOT}/.mypy_cache/x", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={"MYPYPATH": str(ROOT)})
    assert done.returncode == 1, done.stdout  # of the mistakes in USE, just those
    wrong = [line.split(" error: ")[1] for line in done.stdout.splitlines() if " error: " in line]
    assert [each.split("[")[-1] for each in wrong] == ["override]", "arg-type]", "call-arg]", "attr-defined]"], (
        done.stdout
    )
    layout = [sys.executable, "-m", "ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml")]
    layout += [name for name in files if not name.endswith("use.py")]
    done = subprocess.run(layout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


USE = """

class Mine(V1.Server):
    async def MANY(self, ctx: object, number: int, word: str, third: outer, *rest: object) -> inner | None:
        return third.inner


class Wrong(P2_SAME.Server):
    async def inner(self, ctx: object, given: int) -> None:
        return None


async def use(client: V1.Client, other: P2_SAME.Client) -> which:
    found = await client.MANY(1, "two", outer(inner(1), None, None, 2, 3), "four", b"five", timeout=2.0)
    await client.async_()
    await client.MANY("1", "two", outer(inner(1), None, None, 2, 3), "four", b"five")
    await client.async_(time=1.0)
    print(found.y if found is not None else 0)
    return await other.NULL(which(RED, 3), timeout=None)
"""


def test_names_that_python_cannot_use(difficult):
    made = difficult.module
    assert (made.class_, made.None_, made.x_private) == (3, 4, 5)
    assert made.color.mro_ == made.mro == 1
    assert [each.value for each in made.color] == [0, 1, 2, 3, 4, 7]
    assert made.int_(1, 2, "a", "b", b"c", b"d", [3], [4]).class_ == 1
    assert made.bytes_(b"x").data == b"x"
    assert made.which(made.RED, 3).property_ == 3
    assert made.twice([None], [made.inner(1)]).p == [None]


def test_programs_and_versions(difficult):
    made = difficult.module
    assert (made.P1, made.V1.program, made.V1.version, made.V1.name) == (0x20000001, 0x20000001, 1, "V1")
    assert made.P1_SAME.program_name == "P1"
    assert made.P2_SAME.program == made.P2 == 0x20000002
    assert issubclass(made.V1, Version)
    assert sorted(made.V1.procedures) == [0, 1, 2, 3, 4, 5]
    assert made.V1.procedures[0].args == ()
    assert made.V1.procedures[0].result is VOID
    assert made.V1.procedures[3].args[3] is STRING
    assert [made.P1_SAME.procedures[n].attribute for n in range(4)] == ["NULL", "x_call", "handler_", "batch_"]
    assert [made.P2_SAME.procedures[n].attribute for n in (0, 1, 2)] == ["SAME_NULL", "NULL", "inner"]


def test_servers_have_the_procedures_that_they_override(difficult):
    made = difficult.module

    class Both(made.P1_SAME.Server, made.V1.Server):
        async def async_(self, ctx):
            return 5

    both = Both()
    assert Both.interfaces() == [made.P1_SAME, made.V1]
    assert both.handler(made.V1, 1) is None
    assert both.handler(made.V1, 9) is None
    assert asyncio.run(both.handler(made.V1, 2)(None)) == 5
    assert asyncio.run(both.handler(made.P1_SAME, 0)(None)) is None
    assert both.handler(made.P1_SAME, 1) is None


def test_clients_marshal_what_they_are_given(difficult):
    made = difficult.module
    calls = []

    async def call(procedure, args, options):
        calls.append((procedure.name, procedure.decode_args(procedure.encode_args(args)), options))
        return procedure.decode_result(procedure.encode_result(made.inner(7)))

    outer = made.outer(made.inner(1), None, None, 2, 3)
    found = asyncio.run(made.V1.Client(call).MANY(1, "two", outer, "four", b"five", timeout=2.0))
    assert found == made.inner(7)
    assert calls == [("MANY", (1, "two", outer, "four", b"five"), {"timeout": 2.0})]
    with pytest.raises(XdrError, match="string<5>: 13 octets, at most 5 are allowed"):
        asyncio.run(made.V1.Client(call).MANY(1, "longer than 5", outer, "four", b"five"))
    with pytest.raises(TypeError, match="takes 5 arguments, not 1"):
        made.V1.procedures[3].encode_args((1,))


def test_names_are_found_where_c_would_find_them(tmp_path):
    (tmp_path / "base.x").write_text(
        "struct pair { int a; int b; };\nconst TOP = 4;\nprogram B { version W { } = 1; } = 9;\n"
    )
    (tmp_path / "main.x").write_text(
        "%#include <some/base.h>\n%#define MOST TOP + 1\n"
        "struct s { pair p[MOST]; netobj n; uint64_t u; u_short h; opaque name<MAXNETNAMELEN>; };\n"
    )
    made = rpc.compile_x(tmp_path / "main.x")
    value = made.s([made.pair(n, n) for n in range(5)], b"n", 1 << 60, 3, b"x")
    assert made.xdr_s.decode(made.xdr_s.encode(value)) == value
    assert not hasattr(made, "B")
    with pytest.raises(rpc.XdrError):
        made.xdr_netobj.encode(bytes(1025))


def test_own_definitions_go_before_those_of_the_library():
    made = rpc.compile_x("typedef opaque netobj<2>; typedef int quad_t; struct s { netobj n; quad_t q; };")
    assert len(made.xdr_s.encode(made.s(b"ab", 1))) == 12


def test_tracebacks_show_the_generated_code():
    made = rpc.compile_x("struct s { string a<>; };", name="shown")
    with pytest.raises(AttributeError) as caught:
        made.xdr_s.write(None, 5)
    assert "shown" in str(caught.traceback[-1].path)
