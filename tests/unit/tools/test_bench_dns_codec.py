"""What is compared with dnspython is the same message, parsed and built by both."""

import json

import dns.message

from stack.dns.message import Message
from tools.bench import dns_codec


def test_the_messages_are_what_they_are_called():
    answer = Message.parse(dns_codec.answer().build())
    assert [len(rrset) for rrset in answer.answer] == [3]
    wire = dns_codec.referral().build(dns_codec.LIMIT)
    referral = Message.parse(wire)
    assert len(wire) == 840
    assert [len(rrset) for rrset in referral.authority] == [13]
    assert len(referral.additional) == 26
    theirs = dns.message.from_wire(wire)
    assert sum(len(rrset) for section in theirs.sections for rrset in section) == 39


def test_numbers_for_each_case(capsys, monkeypatch):
    monkeypatch.setattr(dns_codec, "ROUND_SECONDS", 1e-6)
    monkeypatch.setattr("sys.argv", ["dns_codec", "--rounds", "1", "--json"])
    dns_codec.main()
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == {
        f"{what} {title}" for what in ("parse", "build") for title in ("3 addresses", "13 servers", "query")
    }
    assert all(row["ours_us"] > 0 < row["dnspython_us"] for row in rows.values())


def test_what_is_too_slow_is_named():
    slow = {("parse", "13 servers"): dns_codec.Cost(10, 149), ("parse", "3 addresses"): dns_codec.Cost(10, 150)}
    assert [line.partition(":")[0] for line in dns_codec.too_slow(slow)] == ["parse 13 servers"]
