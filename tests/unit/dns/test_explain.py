"""Explanations: text, picture, JSON."""

import asyncio
import re
from xml.etree import ElementTree as ET

import pytest

from stack.dns import NXDOMAIN, Explanation, Name, Resolver, ServFail
from stack.dns.core import Answer, Step
from stack.dns.errors import Ede, Try
from stack.dns.explain import MAX_RECORDS, cut, duration, explain
from stack.dns.rdata import CNAME, TXT, A
from stack.dns.rrset import Question, RRset
from tests.support.dns_zone_server import Served, Zone

WWW, TEST, ROOT = Name.parse("www.example.test"), Name.parse("test"), Name.parse(".")
NS = Name.parse("ns.other.test")


def step(depth, server, zone, name, verdict, why="", *, rtt_us=0, tcp=False, rrtype=1):
    return Step(depth, (server, 53) if server else None, zone, name, rrtype, verdict, rtt_us, why, tcp=tcp)


STEPS = [
    step(0, "198.41.0.4", ROOT, TEST, "NOERROR", rtt_us=12_300),
    step(0, None, None, TEST, "referral", "to test."),
    step(1, "198.41.0.4", ROOT, NS, "no answer", rtt_us=376_000),
    step(1, "199.7.91.13", ROOT, NS, "NOERROR", rtt_us=11_000),
    step(1, None, None, NS, "answer", "192.0.2.53"),
    step(2, None, None, NS, "cache", "A of x., 9 s left"),
    step(0, "192.0.2.53", TEST, WWW, "truncated", "asked again by TCP", rtt_us=1_000),
    step(0, "192.0.2.53", TEST, WWW, "NOERROR", rtt_us=2_000_000, tcp=True),
    step(0, None, None, WWW, "answer", "192.0.2.1"),
]
ANSWER = Answer(
    WWW,
    1,
    RRset.of(Name.parse("a.test"), 60, [A("192.0.2.1")]),
    60,
    (RRset.of(WWW, 300, [CNAME(Name.parse("a.test"))]),),
    server=("192.0.2.53", 53),
)
MADE = explain(WWW, 1, STEPS, ANSWER, 2_412_000)

TEXT = """\
www.example.test. A
├─ 198.41.0.4 (.): test. A                                               12.3 ms
│    NOERROR: referral to test.
│  ├─ 198.41.0.4 (.): ns.other.test. A                                  376.0 ms
│  │    no answer
│  ├─ 199.7.91.13 (.): ns.other.test. A                                  11.0 ms
│  │    NOERROR: answer 192.0.2.53
│  │  └─ ns.other.test. A
│  │       cache: A of x., 9 s left
├─ 192.0.2.53 (test.): www.example.test. A                                1.0 ms
│    truncated: asked again by TCP
├─ 192.0.2.53 (test.) by TCP: www.example.test. A                         2.00 s
│    NOERROR: answer 192.0.2.1
└─ www.example.test. 60 IN CNAME a.test.
   a.test. 60 IN A 192.0.2.1
   from 192.0.2.53, 2.41 s in all"""


def test_as_text():
    text = MADE.text(80)
    # the last of depth 1 has nothing of its depth below
    assert text == TEXT.replace(
        "│  ├─ 199.7.91.13 (.): ns.other.test. A ", "│  └─ 199.7.91.13 (.): ns.other.test. A "
    ).replace("│  │    NOERROR: answer", "│       NOERROR: answer").replace("│  │  └─", "│     └─").replace(
        "│  │       cache", "│          cache"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 10])
def test_no_line_is_wider_than_told(width):
    long = explain(
        Name.parse(".".join(["a" * 60] * 4)), 1, [*STEPS, step(3, "2001:db8::1", ROOT, WWW, "x" * 30, "why " * 90)],
        ANSWER, 1,
    )  # fmt: skip
    for made in (MADE, long):
        assert max(map(len, made.text(width).splitlines())) <= max(width, 40)


def test_str_is_its_text():
    assert str(MADE) == MADE.text()


def test_errors_end_the_tree():
    question = Question(WWW, 1)
    error = ServFail(question, [Try("192.0.2.53", "REFUSED")], ede=Ede(18, "not for you"))
    made = explain(WWW, 1, STEPS[:1], error, 5)
    assert made.status == "ServFail"
    assert "192.0.2.53: REFUSED" in made.error
    assert made.text(200).splitlines()[-2:] == [f"└─ ServFail: {made.error}", "   0.0 ms in all"]
    assert explain(WWW, 1, [], NXDOMAIN(question), 5).status == "NXDOMAIN"


def test_many_records_are_not_all_in_the_tree():
    rrset = RRset.of(WWW, 60, [TXT((b"%d" % i,)) for i in range(50)])
    made = explain(WWW, 16, [], Answer(WWW, 16, rrset, 60, ()), 5)
    assert len(made.records) == 50
    assert made.text().splitlines()[MAX_RECORDS + 1 :] == ["   and 38 more", "   from the hosts file, 0.0 ms in all"]


def test_remarks():
    made = explain(WWW, 1, [], Answer(WWW, 1, ANSWER.rrset, 30, (), stale=True, server=("::1", 5353), ede=Ede(3)), 5)
    assert made.remark == "from ::1#5353; stale: older than it should be, since no server answers; stale answer"


def test_json_and_back():
    import json  # noqa: PLC0415

    assert Explanation.from_json(json.loads(json.dumps(MADE.to_json()))) == MADE
    with pytest.raises((KeyError, TypeError)):
        Explanation.from_json({"name": "x"})


def test_as_a_picture():
    nasty = explain(Name.parse(r"a\<b&c.test"), 1, [step(0, "192.0.2.1", TEST, WWW, "<script>", "&")], ANSWER, 5)
    for made in (MADE, nasty, explain(WWW, 1, [], NXDOMAIN(Question(WWW, 1)), 5)):
        root = ET.fromstring(made.svg())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert made.question in texts
        height = int(root.attrib["height"])
        assert all(float(element.attrib.get("y", 0)) < height for element in root.iter())
    texts = [element.text for element in ET.fromstring(MADE.svg()).iter("{http://www.w3.org/2000/svg}text")]
    for said in ("198.41.0.4 .", "referral to test.", "no answer", "376.0 ms", "a.test. 60 IN A 192.0.2.1"):
        assert said in texts
    boxes = [e for e in ET.fromstring(MADE.svg()).iter("{http://www.w3.org/2000/svg}rect") if e.get("rx") == "6"]
    assert len(boxes) == len(MADE.hops)
    assert len({box.get("x") for box in boxes}) == 3  # a column for each depth


def test_a_picture_is_bounded():
    made = explain(WWW, 1, STEPS[:1] * 1000, ANSWER, 5)
    assert len(made.svg()) < 300_000
    assert "800 more steps" in made.svg()


def test_of_a_resolver():
    async def main():
        zone = Zone("a.test A 10.0.0.1", truncate=("a.test.",))
        async with Served(zone) as served, Resolver(servers=[served.server]) as r:
            made = await r.explain("a.test")
            assert [(hop.verdict, hop.why, hop.tcp) for hop in made.hops] == [
                ("truncated", "asked again by TCP", False),
                ("NOERROR", "answer 10.0.0.1", True),
            ]
            assert made.status == "answer"
            made = await r.explain("a.test")
            assert [hop.verdict for hop in made.hops] == ["cache"]
            made = await r.explain("nobody.test")
            assert made.status == "NXDOMAIN"
            assert re.search(r"nobody\.test\. does not exist", made.text())

    asyncio.run(main())


def test_durations_and_cuts():
    assert [duration(us) for us in (0, 40, 12_345, 999_999, 1_000_000, 61_000_000)] == [
        "0.0 ms",
        "0.0 ms",
        "12.3 ms",
        "1000.0 ms",
        "1.00 s",
        "61.00 s",
    ]
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
