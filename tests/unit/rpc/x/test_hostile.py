"""Interface files made to take the compiler's time or memory: refused at a place, for a reason, soon.

Each of them took minutes, gigabytes or for ever without the bound that it meets.
"""

import pytest

from stack.rpc.x.compile import generate
from stack.rpc.x.errors import InterfaceError
from stack.rpc.x.preprocess import MAX_TEXT, Preprocessor
from tests.support.rpc_fuzz import steps_of

FULL = MAX_TEXT - 100  # characters of a text that is just not too long


def doubled(first, each, count=60):
    return first + "".join(each.format(number, number - 1) for number in range(1, count)) + "const X = "


HOSTILE = {
    "too long": ("x" * (MAX_TEXT + 1), "1:1: the file has more than 1048576 characters"),
    "too many words": ("1 " * (FULL // 2), "more than 300000 words"),
    "marks of comments": ("#define A " + "/* " * (FULL // 3), "1:1: a comment in this line has no end"),
    "unclosed strings": ('#define A "' + '\\"' * (FULL // 2) + "\n}", '2:1: a definition begins with .* not with "}"'),
    "unclosed strings in text": ('"' + '\\"' * (FULL // 2), "has no meaning here"),
    "hashes": ("#" * FULL, "1:1: .*stands no word"),
    "a long number": ("const A = " + "9" * FULL + ";", r"1:11: 9{40}\.\.\. does not fit into 64 bits$"),
    "doubled macros": (doubled("#define A0 1+1\n", "#define A{0} A{1}+A{1}\n") + "A59;", "more than 300000 words"),
    "doubled arguments": (doubled("#define F0(x) x x\n", "#define F{0}(x) F{1}(x x)\n") + "F59(1);", "300000 words"),
    "doubled twice": (doubled("#define F0(x) x\n", "#define F{0}(x) F{1}(x) F{1}(x x)\n") + "F59(1);", "300000 words"),
    "joined without end": (
        doubled("#define F0(x) x\n", "#define F{0}(x) F{1}(x##x)\n") + "F59(a);",
        "more than 1000 characters",
    ),
    "nested calls": (
        "#define F(a) a\nconst X = " + "F(" * 5000 + "1" + ")" * 5000 + ";",
        r"2:\d+: macros are nested more than 100 deep",
    ),
    "nested choices": ("const A = " + "1 ? " * 5000 + "1" + ": 1" * 5000 + ";", "nested too deeply"),
    "choices in choices": ("const A = " + "0 ? 1 : " * 5000 + "1;", "nested too deeply"),
    "a row of typedefs": (
        "typedef int T3000;" + "".join(f"typedef T{i + 1} T{i};" for i in reversed(range(3000))),
        "more than 200 typedefs in a row",
    ),
    "a row of structs": (
        "struct T3000 { int a; };" + "".join(f"struct T{i} {{ T{i + 1} a; }};" for i in reversed(range(3000))),
        "nested too deeply",
    ),
}


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_text_is_refused_soon(title):
    text, message = HOSTILE[title]
    with pytest.raises(InterfaceError, match=message) as caught:
        generate(text, "bad.x")
    assert str(caught.value).startswith("bad.x:")
    assert len(str(caught.value)) < 500


def test_structs_of_two_structs_of_two_structs_take_no_time():
    text = "struct s0 { int a; int b; };" + "".join(f"struct s{i} {{ s{i - 1} a; s{i - 1} b; }};" for i in range(1, 40))
    assert steps_of(lambda: generate(text, "twice.x")) < 100_000


def left(text, **define):
    found = Preprocessor(lambda name, by: None, define).run(text, "main.x")
    return " ".join(token.text for token in found.tokens if token.text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#define F(a) a\nF(F(1)) F(F(F(2)))", "1 2"),
        ("#define ADD(a, b) (a + b)\nADD(1, ADD(2, 3))", "( 1 + ( 2 + 3 ) )"),
        ("#define JOIN(a, b) a##b\nJOIN(max, _size) JOIN(x, 1) JOIN(, y) JOIN(z ,)", "max_size x1 y z"),
        ("#define N 3\n#define JOIN(a, b) a ## b\n#define TWICE(a, b) JOIN(a, b)\nJOIN(N, N) TWICE(N, N)", "NN 33"),
        ("#define WORD un ## signed\nWORD int a;", "unsigned int a ;"),
        ('#define NAME(a) #a\nNAME(x  + 1) NAME("s")', '"x + 1" "\\"s\\""'),
        ("#define N /* a */ 3 // b\nN", "3"),
        ("#define N 3 /* over\n two lines */ + 4 \\\n + 5\nN", "3 + 4 + 5"),
        ('#define S "no /* comment"\nS', '"no /* comment"'),
        ("#error no\n", None),
        ("#if 1 ? 0 : 1\nno\n#elif 0 ? 0 : 2 > 1 ? 1 : 0\nyes\n#endif", "yes"),
        ("#if 0 && 1 / 0 || 1 || 1 % 0\nyes\n#endif", "yes"),
        ("#if defined N ? N / 0 : 1\nyes\n#endif", "yes"),
        ("#if 1 ? 1 / 0 : 1\n#endif", None),
        ("#if 1 ? 2\n#endif", None),
        ("#define A ## b\n", None),
        ("#define JOIN(a, b) a##b\nJOIN(+, *)", None),
    ],
)
def test_choices_and_macros_that_join_and_quote(text, words):
    if words is None:
        with pytest.raises(InterfaceError, match=r"main\.x:[12]:\d+: "):
            left(text)
    else:
        assert left(text) == words


def test_a_choice_as_constant_bound_and_case():
    made = generate(
        "const A = 2 > 1 ? 7 : 8; typedef opaque data<A == 7 ? 16 : 32>;"
        "union u switch (int k) { case A ? 1 : 2: int x; case 5: void; };",
        "choice.x",
    )
    assert "A: Final = 7" in made
    assert "16" in made
    assert "if v1 == 1:" in made
