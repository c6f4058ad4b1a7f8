"""What is compared with xdrlib3 are the same values of the same octets."""

import json

import pytest

from tools.bench import rpc_xdr


@pytest.mark.parametrize("case", rpc_xdr.CASES)
def test_both_read_the_same(case):
    found = [call() for call in rpc_xdr.calls(case).values()]
    assert found[0] == found[1] == rpc_xdr.CASES[case][1]


def test_numbers_for_each_case(capsys, monkeypatch):
    monkeypatch.setattr(rpc_xdr, "ROUND_SECONDS", 1e-6)
    monkeypatch.setattr("sys.argv", ["rpc_xdr", "--rounds", "1", "--json"])
    rpc_xdr.main()
    rows = json.loads(capsys.readouterr().out)
    assert list(rows) == list(rpc_xdr.CASES)
    assert all(row["tapstack"] > 0 < row["xdrlib3"] for row in rows.values())
    monkeypatch.setattr("sys.argv", ["rpc_xdr", "args", "xdrlib3", "--rounds", "1"])
    assert rpc_xdr.main() == 0
    assert json.loads(capsys.readouterr().out)["us_each"] > 0


@pytest.mark.parametrize(("theirs", "status"), [(31, 0), (29, 1)])
def test_what_is_too_slow_is_said(theirs, status, capsys, monkeypatch):
    monkeypatch.setattr(rpc_xdr, "measure", lambda _: {"args": {"tapstack": 10, "xdrlib3": theirs}})
    monkeypatch.setattr("sys.argv", ["rpc_xdr"])
    assert rpc_xdr.main() == status
    assert ("3 are wanted" in capsys.readouterr().err) == (status == 1)
