from tools import state_diagram as tool


def test_every_transition_is_drawn_and_closed_only_where_nothing_else_follows():
    text = tool.diagram(("CLOSED", "SYN-SENT", "LAST-ACK"), {0: (1,), 1: (2, 0), 2: (0,)})
    arrows = [line.strip() for line in text.splitlines() if "-->" in line]
    assert arrows == ["CLOSED --> SYN_SENT", "SYN_SENT --> LAST_ACK", "LAST_ACK --> CLOSED"]
