"""Mistakes in interface files: where they are, and what is said."""

import pytest

from stack.rpc import InterfaceError, compile_x
from stack.rpc.x.compile import generate
from tests.support.rfc import rfc


@rfc("4506", "6.4", "R-XDR-NAMES")
@rfc("4506", "6.4", "R-XDR-RANGES")
@rfc("5531", "12.1", "R-XDR-NULL")
@rfc("5531", "12.3", "R-XDR-NUMBERS")
@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        # syntax
        ("int a;", "1:1", 'begins with const, typedef, enum, struct, union or program, not with "int"'),
        ("struct a { int b; }", "2:1", '";" is expected, not the end of the file'),
        ("struct a {\n  int b\n};", "3:1", '";" is expected'),
        ("struct a { int; };", "1:15", "a name for the member is expected"),
        ("struct a { int struct; };", "1:16", "is a word of the language"),
        ("struct int { int b; };", "1:8", "is a word of the language"),
        ("struct a { void; };", "1:12", "cannot be void"),
        ("typedef void a;", "1:1", "cannot be void"),
        ("struct a { int b[2][3]; };", "1:20", "one dimension"),
        ("struct a { int b[]; };", "1:18", "a value is expected"),
        ("struct a { int b<3; };", "1:19", '">" is expected'),
        ("struct a { case b; };", "1:12", "a type is expected"),
        ("struct a { 5 b; };", "1:12", "a type is expected"),
        ("enum a { };", "1:10", "a name for the value is expected"),
        ("enum a { B = };", "1:14", 'is expected, not "}"'),
        ("const A;", "1:8", '"=" is expected'),
        ("const A = ;", "1:11", 'is expected, not ";"'),
        ("const A = 1 2;", "1:13", "behind the end of an expression"),
        ("const A = 0x;", "1:11", "0x is no number"),
        ("const A = 99999999999999999999;", "1:11", "64 bits"),
        ("union u switch (int a) { };", "1:7", "at least one case"),
        ("union u switch (int a) { int b; };", "1:26", '"case", "default" or "}" is expected'),
        ("union u switch (int a) { default: void; default: void; };", "1:41", "one default"),
        ("union u (int a) { };", "1:9", '"switch" is expected'),
        ("program P { } = 1;", "1:9", "at least one version"),
        ("program P { version V { int F(void, int) = 1; } = 1; } = 1;", "1:29", "void and something else"),
        ("program P { version V { int F() = 1; } = 1; } = 1;", "1:31", "a type is expected"),
        ("program P { version V { int *F(int *<3>) = 1; } = 1; } = 1;", "1:32", "needs a typedef"),
        ("struct a { " + "struct { " * 60 + "int b;", "1:462", "nested more than 50 deep"),
        # meaning
        ("struct a { b c; };", "1:12", "the type b is not defined"),
        ("typedef int a[N];", "1:15", "N is not defined"),
        ("const A = B; const B = A;", "1:24", "A is defined by itself"),
        ("const A = A;", "1:11", "A is defined by itself"),
        ('const S = "text"; typedef int a[S];', "1:33", "S is a string"),
        ("const A = 1; const A = 2;", "1:20", "A is defined already, in <text> line 1"),
        ("struct a { int b; }; enum a { C };", "1:27", "a is defined already"),
        ("enum a { B }; const B = 1;", "1:21", "B is defined already"),
        ("const B = 1; enum a { B };", "1:23", "B is defined already"),
        ("enum a { B, B };", "1:13", "B is defined already"),
        ("struct bool_ { int a; int a; };", "1:27", "another member a"),
        ("const A = 1; struct s { A b; };", "1:25", "A is a constant, and no type"),
        ("enum a { B = 2147483648 };", "1:10", "32 bits and a sign"),
        ("typedef int a[-1];", "1:15", "the size of a is -1"),
        ("typedef int a[9999999];", "1:15", "the size of a is 9999999"),
        ("typedef int a<4294967296>;", "1:15", "the limit of a is 4294967296"),
        ("struct s { string a; };", "1:12", "string needs <n> or <> behind the name"),
        ("struct s { string a[3]; };", "1:12", "string needs"),
        ("struct s { opaque *a; };", "1:12", "opaque needs [n], <n> or <>"),
        ("struct a { a b; };", "1:8", "contains itself without an end"),
        ("struct a { b c; }; struct b { a d[2]; };", "1:8", "contains itself without an end"),
        ("union a switch (int b) { default: a c; };", "1:7", "contains itself without an end"),
        ("typedef a *b; typedef b a;", "1:12", "is defined by itself"),
        ("union u switch (hyper a) { default: void; };", "1:23", "a discriminant is an int"),
        ("union u switch (int a<>) { default: void; };", "1:21", "a discriminant is an int"),
        ("union u switch (bool a) { case 2: void; };", "1:32", "the case is 2; it can be 0 to 1"),
        ("enum e { A }; union u switch (e a) { case 1: void; };", "1:43", "1 is no value of the discriminant a"),
        ("union u switch (int a) { case 1: void; case 1: void; };", "1:45", "stands in line 1 already"),
        ("union u switch (int a) { case 1: int b; case 2: int b; };", "1:53", "another member b"),
        ("union u switch (int a) { case 1: int a; };", "1:38", "another member a"),
        ("program P { version V { void F(int) = 0; } = 1; } = 1;", "1:30", "void F(void)"),
        ("program P { version V { void F(void) = 1; void G(void) = 1; } = 1; } = 1;", "1:48", "the number 1"),
        ("program P { version V { void F(void) = 1; void F(void) = 2; } = 1; } = 1;", "1:48", "procedure F"),
        ("program P { version V { } = 1; version W { } = 1; } = 1;", "1:40", "the number 1"),
        ("program P { version V { } = 1; } = 1; program Q { version V { } = 1; } = 1;", "1:47", "the number 1"),
        ("program P { version V { } = 1; } = -1;", "1:36", "the number of the program is -1"),
        ("program P { version V { b F(void) = 1; } = 1; } = 1;", "1:25", "the type b is not defined"),
    ],
)
def test_a_mistake_is_told_with_its_place(text, place, message):
    with pytest.raises(InterfaceError) as caught:
        compile_x(text + "\n")
    assert f"<text>:{place}: " in str(caught.value)
    assert message in str(caught.value)


def test_a_mistake_in_an_included_file_is_told_with_that_file(tmp_path):
    (tmp_path / "a.x").write_text('#include "b.x"\n')
    (tmp_path / "b.x").write_text("\n\nstruct s { t u; };\n")
    with pytest.raises(InterfaceError, match=r"b\.x:3:12: the type t is not defined"):
        compile_x(tmp_path / "a.x")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"typedef t{n + 1} t{n};\n" for n in range(5000)) + "typedef int t5000;\n",
        "".join(f"const c{n} = c{n + 1};\n" for n in range(5000)) + "const c5000 = 1;\n",
        "const A = " + "-" * 5000 + "1;\n",
        "const A = " + "(" * 5000 + "1" + ")" * 5000 + ";\n",
    ],
)
def test_what_is_nested_without_sense_is_refused(text):
    with pytest.raises(InterfaceError, match=r"nested|itself"):
        generate(text, "deep.x")


@pytest.mark.parametrize("nothing", ["", " \n"])
def test_no_text_and_no_path_is_told(nothing):
    with pytest.raises(InterfaceError, match="nothing to compile: give a path, or the text"):
        compile_x(nothing)


def test_a_file_without_definitions_is_a_module_without_names(tmp_path):
    (tmp_path / "empty.x").write_text("/* nothing yet */\n")
    assert not hasattr(compile_x(tmp_path / "empty.x"), "CODECS")


def test_an_octet_that_is_no_utf8_is_told_as_a_number(tmp_path):
    (tmp_path / "latin.x").write_bytes(b"struct s { char \xff; };\n")
    with pytest.raises(InterfaceError, match=r"latin\.x:1:17: the octet 0xff is no UTF-8"):
        compile_x(tmp_path / "latin.x")
