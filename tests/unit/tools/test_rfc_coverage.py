from textwrap import dedent

import pytest

from tools import rfc_coverage as tool

REQUIREMENTS = """
["Opening"]
"MUST-10" = { rfc = "9293", section = "3.5", level = "MUST", text = "simultaneous open" }
"MUST-2" = { rfc = "9293", section = "3.1", level = "MUST", text = "checksum sent" }
"MUST-3" = { rfc = "9293", section = "3.1", level = "MUST", text = "checksum verified" }
"MAY-6" = { rfc = "9293", section = "3.8.4", level = "MAY", text = "garbage octet", planned = "later" }
"""


@pytest.fixture
def tree(tmp_path):
    for folder in ("stack", "native", "tests", "docs"):
        (tmp_path / folder).mkdir()

    def write(path: str, text: str):
        (tmp_path / path).write_text(dedent(text))
        return run()

    def run():
        known = tool.load_requirements(REQUIREMENTS)
        cited = list(tool.citations(tmp_path, known))
        return known, cited, tool.join(known, cited, list(tool.marks(tmp_path, known)))

    write.run = run
    return write


def test_a_must_without_a_test_is_a_problem_and_a_may_is_none(tree):
    _, _, problems = tree.run()
    assert [p.split(":")[0] for p in problems] == ["MUST-10", "MUST-2", "MUST-3"]


def test_a_mark_shows_a_requirement_and_the_short_form_shows_both(tree):
    tree("tests/test_a.py", '@rfc("9293", "3.5", "MUST-10")\ndef test_it(): pass\n')
    known, _, problems = tree("tests/test_b.py", 'pytestmark = rfc("9293", "3.1", "MUST-2/3")\n')
    assert problems == []
    assert known["MUST-3"].tests == {"tests/test_b.py"}


def test_a_section_with_one_requirement_names_it_and_one_with_two_does_not(tree):
    tree("tests/test_a.py", '@rfc("9293", "3.5")\ndef test_it(): pass\n')
    known, _, _ = tree("tests/test_b.py", '@rfc("9293", "3.1")\ndef test_it(): pass\n')
    assert known["MUST-10"].tests
    assert not known["MUST-2"].tests


def test_a_citation_alone_proves_nothing(tree):
    known, _, problems = tree("stack/a.py", "# RFC 9293 §3.5 (MUST-10): both sides open\n")
    assert known["MUST-10"].code == {"stack/a.py"}
    assert any(p.startswith("MUST-10:") for p in problems)


def test_omits_and_deviates_with_a_requirement_excuse_it(tree):
    tree("stack/a.py", "# OMITS RFC 9293 §3.5 (MUST-10): nobody asks\n")
    known, cited, problems = tree("native/a.c", "/* DEVIATES RFC 9293 §3.1 (MUST-2, MUST-3): the device does it */\n")
    assert problems == []
    assert known["MUST-10"].excused == "omits: nobody asks"
    assert "DEVIATES RFC 9293 §3.1: the device does it" in tool.page(known, cited)


def test_a_reason_goes_on_to_its_full_stop_and_sections_may_be_several(tree):
    source = '''
        """Theory.

        OMITS RFC 793: it is
        obsolete.  This is not the reason.
        """
        # DEVIATES RFC 9293 §3.1, §3.5 (MUST-2): because of
        # this and that.  More about it.
        # OMITS RFC 9293 §3.5: one comment
        x = 1  # OMITS RFC 9293 §3.1: behind code
        # next
    '''
    known, cited, _ = tree("stack/a.py", source)
    assert known["MUST-2"].excused == "deviates: because of this and that"
    assert [line for line in tool.page(known, cited).splitlines() if line.startswith("- ")] == [
        "- DEVIATES RFC 9293 §3.1, §3.5: because of this and that (`stack/a.py`)",
        "- OMITS RFC 793: it is obsolete (`stack/a.py`)",
        "- OMITS RFC 9293 §3.1: behind code (`stack/a.py`)",
        "- OMITS RFC 9293 §3.5: one comment (`stack/a.py`)",
    ]


def test_a_departure_without_a_reason_is_a_problem(tree):
    _, _, problems = tree("stack/a.py", "# OMITS RFC 9293 §3.5 (MUST-10)\n")
    assert "stack/a.py:1: OMITS says no reason" in problems


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("stack/a.py", "# RFC 9293 §3.5 (MUST-99): no such thing\n"),
        ("tests/test_a.py", '@rfc("9293", "3.5", "MUST-99")\ndef test_it(): pass\n'),
    ],
)
def test_an_unknown_requirement_is_a_problem(tree, path, text):
    _, _, problems = tree(path, text)
    assert f"{path}:1: MUST-99 is not in docs/requirements.toml" in problems


def test_remarks_in_parentheses_are_not_taken_for_requirements(tree):
    _, cited, problems = tree("stack/a.py", "# RFC 9293 §3.3.2 (figure 5): the states\n")
    assert cited[0].ids == ()
    assert len(problems) == 3


def test_what_is_tested_is_no_longer_planned(tree):
    _, _, problems = tree("tests/test_a.py", '@rfc("9293", "3.8.4", "MAY-6")\ndef test_it(): pass\n')
    assert any(p.startswith("MAY-6: is tested") for p in problems)


def test_ranges_and_ids_with_slashes_expand():
    entry = '{ rfc = "896", section = "1", level = "MAY", text = "" }'
    known = tool.load_requirements(f'["a"]\n"896/1122" = {entry}\n"T-ST-A" = {entry}\n"T-ST-B" = {entry}\n')
    assert tool.expand("6298-5.1..5.3", known) == ("6298-5.1", "6298-5.2", "6298-5.3")
    assert tool.expand("T-ST-*", known) == ("T-ST-A", "T-ST-B")
    assert tool.expand("MUST-24..26, MAY-6", known) == ("MUST-24", "MUST-25", "MUST-26", "MAY-6")
    assert tool.expand("896/1122", known) == ("896/1122",)


def test_our_own_list_is_well_formed():
    known = tool.load_requirements((tool.ROOT / "docs/requirements.toml").read_text())
    assert len(known) > 200
    assert all(r.level in tool.LEVELS and r.text and r.rfc.isdigit() and r.section for r in known.values())
    assert not [i for i, r in known.items() if r.level.startswith("MUST") and r.planned]
