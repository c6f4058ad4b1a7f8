"""What the daemon, or a command by itself, answers to `tapstack dig` and `tapstack resolve`."""

import asyncio

import pytest

from stack.daemon.lookups import Lookups, make_resolver
from stack.dns import Explanation, Resolver
from stack.errors import ConfigError, StackError
from tests.support.dns_zone_server import Served, Zone

ZONE = ("a.test A 10.0.0.1", "a.test AAAA 2001:db8::1", "1.0.0.10.in-addr.arpa PTR a.test.")


def answer(request, *, resolver=True, records=ZONE):
    """What comes of a request where the resolver asks a server; "SERVER" in the request is that server."""

    async def main():
        async with Served(Zone(*records)) as served, Resolver(servers=[served.server]) as r:
            text = "{}#{}".format(*served.server)
            asked = {key: [text if one == "SERVER" else one for one in value] if isinstance(value, list) else value
                     for key, value in request.items()}  # fmt: skip
            result = await Lookups(r if resolver else None).answer(asked)
            return result, served.zone.asked

    return asyncio.run(main())


def test_records():
    result, asked = answer({"want": "records", "name": "a.test", "type": "aaaa"})
    made = Explanation.from_json(result["explanation"])
    assert made.records == ("a.test.\t300\tIN\tAAAA\t2001:db8::1",)
    assert asked == [("a.test.", "AAAA", False)]


def test_of_a_server_that_is_named():
    request = {"want": "records", "name": "a.test", "servers": ["SERVER"]}
    result, _ = answer(request, resolver=False)
    assert Explanation.from_json(result["explanation"]).status == "answer"


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "10.0.0.1#5353", "SERVER"])
def test_root_servers_that_would_not_be_asked(server):
    with pytest.raises(ConfigError, match=r"root server [^ ]+: "):
        answer({"want": "records", "name": "a.test", "servers": [server], "trace": True})


def test_addresses_and_names():
    result, _ = answer({"want": "addresses", "name": "a.test"})
    assert set(result["found"]) == {"10.0.0.1", "2001:db8::1"}
    assert answer({"want": "name", "name": "10.0.0.1"})[0] == {"found": ["a.test"]}
    result, _ = answer({"want": "addresses", "name": "nobody.test"})
    assert result == {"found": [], "status": "NXDOMAIN", "error": "nobody.test. does not exist", "tries": []}
    result, _ = answer({"want": "name", "name": "10.0.0.2"})
    assert result["status"] == "NXDOMAIN"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"want": "records"},
        {"want": "much", "name": "a.test"},
        {"want": "records", "name": 7},
        {"want": "records", "name": "a..b"},
        {"want": "records", "name": "a.test", "type": "NOTYPE"},
        {"want": "records", "name": "a.test", "type": "AXFR"},
        {"want": "records", "name": "a.test", "timeout": 0},
        {"want": "records", "name": "a.test", "timeout": float("nan")},
        {"want": "records", "name": "a.test", "timeout": "long"},
        {"want": "records", "name": "a.test", "servers": "10.0.0.1"},
        {"want": "records", "name": "a.test", "servers": ["one"]},
        {"want": "records", "name": "a.test", "servers": [7]},
        {"want": "records", "name": "a.test", "servers": ["10.0.0.1"] * 17},
        {"want": "name", "name": "a.test"},
    ],
)
def test_what_cannot_be_asked(request_):
    with pytest.raises(ValueError) as caught:
        answer(request_)
    assert isinstance(caught.value, StackError)  # which becomes one sentence


def test_without_a_resolver_a_server_is_to_be_named():
    with pytest.raises(ConfigError, match="its resolver is off"):
        answer({"want": "records", "name": "a.test"}, resolver=False)


def test_whose_resolver_it_is_is_said_where_that_one_is_asked():
    async def main():
        async with Served(Zone(*ZONE)) as served, Resolver(servers=[served.server]) as r:
            lookups = Lookups(r, about="by somebody", hints=["192.0.2.1"])
            assert (await lookups.answer({"want": "addresses", "name": "a.test"}))["about"] == "by somebody"
            request = {"want": "records", "name": "a.test"}
            assert (await lookups.answer(request))["about"] == "by somebody"
            assert "about" not in await lookups.answer({**request, "servers": ["{}#{}".format(*served.server)]})
            for servers, root in (([], "192.0.2.1"), (["2001:db8::1"], "2001:db8::1")):
                tracing = lookups._choose({**request, "trace": True, "servers": servers})
                assert [hint.addresses for hint in tracing._config.hints] == [(root,)]

    asyncio.run(main())


def test_resolvers_of_configurations():
    assert repr(make_resolver(None)) == repr(make_resolver("system"))
    assert make_resolver("off") is None
    assert make_resolver("system") is not None
    assert repr(make_resolver("iterative")) == "<Resolver from the root>"
    assert repr(make_resolver("10.0.0.1, 10.0.0.2#5353 ::1")) == "<Resolver 10.0.0.1, 10.0.0.2#5353, ::1>"
    for bad in ("", " , ", "google", "10.0.0.1#x"):
        with pytest.raises(ConfigError):
            make_resolver(bad)
