"""The directives of interface files: what is left for the compiler, and what is said of mistakes."""

import pytest

from stack.rpc.x.errors import InterfaceError
from stack.rpc.x.preprocess import MAX_INCLUDES, Preprocessor

FILES = {
    "sizes.x": "#define SIZE 7\nconst OTHER = SIZE;\n",
    "loop.x": '#include "loop.x"\n',
    "open.x": "#ifdef A\n",
    "shut.x": "#endif\n",
    "deep/one.x": '#include "two.x"\n',
}


def read(name, by):
    return (name, FILES[name]) if name in FILES else None


def words(text, **define):
    found = Preprocessor(read, define).run(text, "main.x")
    return " ".join(token.text for token in found.tokens if token.text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a /* b\n c */ d // e\n f", "a d f"),
        ("#define N 3\nint a[N];", "int a [ 3 ] ;"),
        ("#define N M\n#define M 4\nN", "4"),
        ("#define N N + 1\nN", "N + 1"),
        ("#define A B\n#define B A\nA B", "A B"),
        ("#define N 3\n#undef N\nN", "N"),
        ("#define ADD(a, b) ((a) + b)\nADD(1, (2, 3)) ADD", "( ( 1 ) + ( 2 , 3 ) ) ADD"),
        ("#define ADD(a,b) a+b\nADD(1,\n 2)", "1 + 2"),
        ("#define ZERO() 0\nZERO()", "0"),
        ("#define LONG 1 + \\\n 2\nLONG", "1 + 2"),
        ("#define N 3 /* a\n comment */\nN", "3"),
        ("#define N\n#ifdef N\nyes\n#endif", "yes"),
        ("#ifdef N\nno ' \" @ text\n#else\nyes\n#endif", "yes"),
        ("#ifndef N\nyes\n#elif 1\nno\n#endif", "yes"),
        ("#if 0\na\n#elif defined(N) || 2 > 1\nb\n#elif 1\nc\n#else\nd\n#endif", "b"),
        ("#if RPC_HDR\nyes\n#endif", "yes"),
        ("#if defined X && !defined(Y)\nyes\n#endif", "yes"),
        ("#if UNKNOWN\nno\n#endif\nyes", "yes"),
        ("#if 0\n#if 1\nno\n#else\nno\n#endif\n#error no\n#else\nyes\n#endif", "yes"),
        ("#if (1 << 4) == 0x10 && -7 / 2 == -3 && -7 % 2 == -1 && (6 & 3) == 2 && (6 ^ 3) == 5\nyes\n#endif", "yes"),
        ('#include "sizes.x"\nSIZE', "const OTHER = 7 ; 7"),
        ("  #  include <sizes.x>\nSIZE", "const OTHER = 7 ; 7"),
        ('#pragma once\n#ident x\n#line 7\n# 12 "file"\n#warning w\n#\nyes', "yes"),
        ("% anything ' goes\nyes % 2", "yes % 2"),
        ("a #b", None),
        ("'a'", None),
    ],
)  # fmt: skip
def test_what_is_left(text, left):
    if left is None:
        with pytest.raises(InterfaceError):
            words(text)
    else:
        assert words(text, RPC_HDR=1, X=None) == left


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a\n b /* c", "main.x:2:4", "has no end"),
        ('#include "none.x"', "main.x:1:1", "none.x is not found"),
        ("#include none", "main.x:1:1", "needs a name"),
        ('\n#include "loop.x"', "loop.x:1:1", f"more than {MAX_INCLUDES} deep"),
        ('#include "open.x"', "open.x:1:1", "has no #endif"),
        ('#if 1\n#include "shut.x"\n#endif', "shut.x:1:1", "#endif without #if"),
        ("x\n  #else", "main.x:2:3", "#else without #if"),
        ("#if 1\n#else\n#else\n#endif", "main.x:3:1", "behind the #else of line 1"),
        ("#if 1\n#else\n#elif 1\n#endif", "main.x:3:1", "behind the #else"),
        ("#if 1\n#if 0\n#endif", "main.x:1:1", "has no #endif"),
        ("#if 1 +\n#endif", "main.x:1:1", "a number or the name of a constant is expected"),
        ("#if 1 2\n#endif", "main.x:1:1", "behind the end"),
        ("#if (1\n#endif", "main.x:1:1", "a ) is expected"),
        ("#if 1 / 0\n#endif", "main.x:1:1", "division by zero"),
        ("#if 1 << 99\n#endif", "main.x:1:1", "shift"),
        ("#if " + "(" * 100 + "\n#endif", "main.x:1:1", "nested too deeply"),
        ("#if 08\n#endif", "main.x:1:1", "08 is no number"),
        ("#ifdef\n#endif", "main.x:1:1", "needs a name"),
        ("#define 1", "main.x:1:1", "needs a name"),
        ("#define f(a+) 1", "main.x:1:1", "not a list of names"),
        ("#define f(a) a\nx f(1, 2)", "main.x:2:3", "takes 1 arguments, not 2"),
        ("#define f(a) a\nf(1", "main.x:2:1", "is not closed"),
        ("#error not this way", "main.x:1:1", "not this way"),
        ("#nonsense", "main.x:1:1", "#nonsense is no directive"),
        ("ok\n\tx @", "main.x:2:4", "'@' has no meaning"),
    ],
)
def test_mistakes_have_a_place(text, place, message):
    with pytest.raises(InterfaceError) as caught:
        words(text)
    assert str(caught.value).startswith(f"{place}: ")
    assert message in str(caught.value)
    assert place == f"{caught.value.file}:{caught.value.line}:{caught.value.column}"


def test_macros_cannot_make_a_file_grow_without_bound():
    bomb = "#define a0 x\n" + "".join(f"#define a{n + 1} {f'a{n} ' * 10}\n" for n in range(9)) + "a9"
    with pytest.raises(InterfaceError, match="more than"):
        words(bomb)


def test_lines_for_c_are_remembered():
    text = '%#include <rpcsvc/nis.h>\n%#define N 5 + 1\n%#define F(a) a\n%int x;\n#if 0\n%#include "no.h"\n#endif\n'
    found = Preprocessor(read, {}).run(text, "main.x")
    assert [token.text for token in found.headers] == ["rpcsvc/nis.h"]
    assert {name: "".join(token.text for token in body) for name, body in found.constants.items()} == {"N": "5+1"}
