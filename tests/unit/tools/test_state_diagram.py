from stack.commit.states import Event, State
from tools import state_diagram as tool


def test_every_transition_is_drawn_and_closed_only_where_nothing_else_follows():
    text = tool.diagram(("CLOSED", "SYN-SENT", "LAST-ACK"), {0: (1,), 1: (2, 0), 2: (0,)})
    arrows = [line.strip() for line in text.splitlines() if "-->" in line]
    assert arrows == ["CLOSED --> SYN_SENT", "SYN_SENT --> LAST_ACK", "LAST_ACK --> CLOSED"]


def test_arrows_of_a_transaction_say_why():
    table = {State.WORKING: {Event.ANY_NO: State.ABORTED}, State.ABORTED: {}}
    text = tool.labelled("The coordinator", table)
    assert text.startswith("\n## The coordinator\n\n```mermaid\nstateDiagram-v2\n    [*] --> working\n")
    assert "    working --> aborted : a vote is no\n    aborted --> [*]\n```\n" in text


def test_the_pages_are_up_to_date_and_one_that_is_not_is_told(tmp_path, monkeypatch, capsys):
    assert tool.main([]) == 0
    page = tmp_path / "old.md"
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "pages", lambda: {page: "new"})
    assert tool.main([]) == 1
    assert "old.md is not up to date" in capsys.readouterr().out
    assert (tool.main(["--write"]), page.read_text(), tool.main([])) == (0, "new", 0)
