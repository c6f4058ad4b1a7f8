import io
import sys

import pytest

from stack.cli import demo
from stack.errors import StackError


def test_output_that_is_not_utf_8_takes_everything_the_demo_prints(monkeypatch):
    def nowhere():
        print("µs…")  # as the table does
        raise StackError("far enough")

    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "ascii", write_through=True))
    monkeypatch.setattr(demo, "_enter_namespace", nowhere)
    with pytest.raises(StackError, match="far enough"):
        demo.run(1)
    assert out.getvalue() == b"?s?\n"
