"""Asking resolvers: order, failover, patience, search list, hosts table."""

import gc

import pytest

from stack.config import MS, SECOND
from stack.dns.constants import Rcode, RRType
from stack.dns.core import ResolverConfig
from stack.dns.core.core import Client, Task
from stack.dns.edns import Edns, ede_option
from stack.dns.errors import NXDOMAIN, NoData, ServFail, Timeout
from stack.dns.message import Message
from stack.dns.names import Name
from stack.errors import ConfigError
from tests.support.dns_world import DELAY_US, Recursive, Scripted, World, records, stub, texts

HOSTS = """
www.example.test. 300 A 192.0.2.1
www.example.test. 300 AAAA 2001:db8::1
host.a.test. 300 A 192.0.2.2
host.b.test. 300 A 192.0.2.3
host. 300 A 192.0.2.4
alias.example.test. 300 CNAME www.example.test.
only6.a.test. 300 AAAA 2001:db8::2
only6.b.test. 300 A 192.0.2.5
"""


def failing(rcode: int) -> Scripted:
    return Scripted(lambda query, tcp: query.reply(rcode))


def two(**settings) -> World:
    return stub({"10.0.0.1": Recursive(HOSTS), "10.0.0.2": Recursive(HOSTS)}, **settings)


def test_an_answer_says_what_where_from_and_for_how_long():
    world = two()
    answer = world.ask("WWW.example.test")
    assert texts(answer) == ["192.0.2.1"]
    assert (answer.ttl, answer.rrset.ttl, answer.server) == (300, 300, ("10.0.0.1", 53))
    assert (answer.secure, answer.stale, answer.chain) == (None, False, ())
    assert str(answer.name) == "WWW.example.test."
    assert world.open == {}


def test_recursion_is_wanted_and_do_and_ad_are_clear():
    world = two()
    world.ask("www.example.test")
    query = Message.parse(world.sent[0].wire)
    assert query.rd
    assert not query.ad
    assert query.edns is not None
    assert (query.edns.udp_size, query.edns.do, query.edns.version) == (1232, False, 0)


def test_ad_of_a_reply_means_nothing():
    def respond(query, tcp):
        reply = Recursive(HOSTS).respond(query, tcp)
        reply.ad = True
        return reply

    assert stub({"10.0.0.1": Scripted(respond)}).ask("www.example.test").secure is None


def test_the_letters_of_an_answer_are_those_of_the_question():
    answer = two().ask("wWw.eXample.test")
    assert str(answer.rrset.name) == "wWw.eXample.test."


def test_a_chain_comes_with_its_aliases():
    answer = two().ask("alias.example.test")
    assert texts(answer) == ["192.0.2.1"]
    assert [str(rrset.name) for rrset in answer.chain] == ["alias.example.test."]
    assert str(answer.rrset.name) == "www.example.test."


def test_nxdomain_and_nodata_carry_the_soa():
    world = two()
    with_soa = world.ask("none.test")
    assert isinstance(with_soa, NXDOMAIN)
    assert with_soa.soa is not None
    assert str(with_soa) == "[Errno 2] none.test. does not exist"
    assert isinstance(world.ask("www.example.test", "MX"), NoData)


def test_a_silent_server_costs_376_ms_once():
    world = two()
    world.down = {"10.0.0.1"}
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert world.now == 376 * MS + 2 * DELAY_US
    began_at = world.now
    assert texts(world.ask("host.a.test")) == ["192.0.2.2"]
    assert world.now - began_at == 2 * DELAY_US


def test_a_server_that_failed_is_probed_at_nobodys_cost_and_taken_back():
    world = two()
    world.down = {"10.0.0.1"}
    world.ask("www.example.test")
    world.advance(6 * SECOND)
    began_at = world.now
    world.ask("host.a.test")
    assert world.now - began_at == 2 * DELAY_US
    assert world.counts()["probes"] == 1
    world.down.clear()
    world.advance(6 * SECOND)
    world.ask("host.b.test")
    world.settle()
    world.ask("host")
    assert world.sent[-1].server == "10.0.0.1"


def test_an_icmp_error_ends_a_try_at_once():
    world = two()
    world.refusing = {"10.0.0.1"}
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert world.now == 4 * DELAY_US


def test_all_refusing_is_a_quick_error_that_names_them():
    world = two()
    world.refusing = {"10.0.0.1", "10.0.0.2"}
    error = world.ask("www.example.test")
    assert type(error) is ServFail
    assert world.now == 4 * DELAY_US
    assert [(t.server, t.why) for t in error.tries] == [("10.0.0.1", "unreachable"), ("10.0.0.2", "unreachable")]


@pytest.mark.parametrize("rcode", [Rcode.SERVFAIL, Rcode.REFUSED, Rcode.NOTIMP])
def test_an_error_of_one_server_is_anothers_chance(rcode):
    world = stub({"10.0.0.1": failing(rcode), "10.0.0.2": Recursive(HOSTS)})
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]


def test_servfail_of_all_says_what_each_said():
    def respond(query, tcp):
        reply = query.reply(Rcode.SERVFAIL)
        reply.edns = Edns(options=[ede_option(22, "lame")])
        return reply

    world = stub({"10.0.0.1": Scripted(respond), "10.0.0.2": failing(Rcode.REFUSED)})
    error = world.ask("www.example.test")
    assert type(error) is ServFail
    assert [t.why for t in error.tries] == ["SERVFAIL", "REFUSED"]
    assert error.ede == (22, "lame")
    assert len(world.sent) == 2
    assert world.refused() == {"server_failure": 1, "lame_refused": 1}


def test_what_a_server_has_to_say_about_its_answer_comes_along():
    def respond(query, tcp):
        reply = Recursive(HOSTS).respond(query, tcp)
        reply.edns = Edns(options=[ede_option(3, "old")])
        return reply

    world = stub({"10.0.0.1": Scripted(respond)})
    for _ in range(2):
        assert world.ask("www.example.test").ede == (3, "old")
        assert world.ask("none.test").ede == (3, "old")
    assert len(world.sent) == 2


def test_a_server_that_only_refers_is_of_no_use_to_a_stub():
    def respond(query, tcp):
        reply = query.reply()
        reply.authority = records("test. 300 NS ns.test.")
        return reply

    world = stub({"10.0.0.1": Scripted(respond), "10.0.0.2": Recursive(HOSTS)})
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert world.refused() == {"not_recursive": 1}


def test_tries_grow_and_end_with_patience():
    world = stub({"10.0.0.1": Recursive(HOSTS)}, timeout_us=2 * SECOND, attempts=2)
    world.down = {"10.0.0.1"}
    error = world.ask("www.example.test")
    assert isinstance(error, Timeout)
    assert isinstance(error, TimeoutError)
    gaps = [b.at - a.at for a, b in zip(world.sent, world.sent[1:], strict=False)]
    assert gaps == [376 * MS, 752 * MS, 1504 * MS]
    assert world.now == 4632 * MS  # the last try has 2 s; more than 4 s are over then


def test_the_clients_own_time_is_kept():
    world = two()
    world.down = {"10.0.0.1", "10.0.0.2"}
    error = world.ask("www.example.test", timeout_us=1 * SECOND)
    assert isinstance(error, Timeout)
    assert world.now == 1 * SECOND
    assert [t.server for t in error.tries] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    assert "no answer yet after 248 ms" in str(error)
    assert world.open == {}
    assert world.counts()["client_timeouts"] == 1


def test_all_tries_name_the_port_when_it_is_not_53():
    world = World(ResolverConfig(servers=(("10.0.0.1", 5353), ("10.0.0.2", 53), ("2001:db8::1", 5353))), {})
    error = world.ask("www.example.test", timeout_us=1300 * MS)
    shown = ["10.0.0.1#5353", "10.0.0.2", "2001:db8::1#5353"]
    assert [t.server for t in error.tries] == [*shown, shown[0]]
    assert error.tries[-1].why == "no answer yet after 172 ms"
    assert all(f"{server}: " in str(error) for server in shown)


def test_rotate_begins_with_another_server_each_time():
    world = two(rotate=True)
    for name in ("www.example.test", "host.a.test", "host.b.test", "host"):
        world.ask(name)
    assert [sent.server for sent in world.sent] == ["10.0.0.2", "10.0.0.1", "10.0.0.2", "10.0.0.1"]


def test_without_rotate_the_first_server_is_asked():
    world = two()
    for name in ("www.example.test", "host.a.test", "host.b.test", "host"):
        world.ask(name)
    assert {sent.server for sent in world.sent} == {"10.0.0.1"}


def test_zones_with_forwarders_of_their_own():
    inside = Recursive("x.corp.test. 60 A 10.9.9.9")
    config = ResolverConfig(servers=(("10.0.0.1", 53),), forward=((Name.parse("corp.test"), (("10.0.0.9", 53),)),))
    world = World(config, {"10.0.0.1": Recursive(HOSTS), "10.0.0.9": inside})
    assert texts(world.ask("x.corp.test")) == ["10.9.9.9"]
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.server for sent in world.sent] == ["10.0.0.9", "10.0.0.1"]


# --- search list -----------------------------------------------------------------------------------------------------

SEARCH = (Name.parse("a.test"), Name.parse("b.test"))


def test_a_name_with_few_dots_is_tried_with_the_search_list_first():
    world = two(search=SEARCH)
    answer = world.ask("host", search=True)
    assert texts(answer) == ["192.0.2.2"]
    assert str(answer.name) == "host.a.test."
    assert world.asked() == [("host.a.test.", "A")]


def test_without_the_search_list_it_is_only_itself():
    assert texts(two(search=SEARCH).ask("host")) == ["192.0.2.4"]


def test_a_name_with_enough_dots_is_tried_as_it_is_first():
    world = two(search=SEARCH)
    assert texts(world.ask("host.a.test", search=True)) == ["192.0.2.2"]
    assert world.asked() == [("host.a.test.", "A")]
    world = two(search=SEARCH, ndots=3)
    world.ask("host.a.test", search=True)
    assert world.asked()[0] == ("host.a.test.a.test.", "A")


def test_a_name_without_such_records_does_not_end_the_search():
    world = two(search=SEARCH)
    answer = world.ask("only6", search=True)
    assert str(answer.name) == "only6.b.test."


def test_what_no_suffix_has_does_not_exist():
    error = two(search=SEARCH).ask("nothing", search=True)
    assert isinstance(error, NXDOMAIN)


def test_a_found_name_without_data_is_nodata():
    error = two(search=SEARCH).ask("only6", "MX", search=True)
    assert isinstance(error, NoData)


# --- hosts table, special names --------------------------------------------------------------------------------------

TABLE = {(rrset.name.key, rrset.rrtype): rrset for rrset in records("box. 0 A 192.0.2.9\nbox. 0 A 192.0.2.10")}


def test_the_hosts_table_is_asked_first_and_nobody_else():
    world = two(hosts=TABLE)
    assert texts(world.ask("BOX")) == ["192.0.2.10", "192.0.2.9"]
    assert isinstance(world.ask("box", "AAAA"), NoData)
    assert world.sent == []


def test_other_types_of_a_local_name_are_asked_for():
    world = two(hosts=TABLE)
    assert isinstance(world.ask("box", "MX"), NXDOMAIN)
    assert world.asked() == [("box.", "MX")]


@pytest.mark.parametrize("name", ["localhost", "x.localhost", "LOCALHOST"])
def test_localhost_is_the_loopback_address(name):
    world = two()
    assert texts(world.ask(name)) == ["127.0.0.1"]
    assert texts(world.ask(name, "AAAA")) == ["::1"]
    assert isinstance(world.ask(name, "MX"), NoData)
    assert world.sent == []


@pytest.mark.parametrize("name", ["a.invalid", "abc.onion"])
def test_names_that_are_nobodys_are_not_asked_for(name):
    world = two()
    assert isinstance(world.ask(name), NXDOMAIN)
    assert world.sent == []


def test_a_name_that_only_ends_alike_is_asked_for():
    world = two()
    world.ask("notlocalhost")
    assert world.asked() == [("notlocalhost.", "A")]


# --- callers' faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rrtype", [0, RRType.OPT, RRType.AXFR, RRType.TSIG, RRType.ANY, -1, 65_536])
def test_types_that_cannot_be_asked_for(rrtype):
    world = two()
    with pytest.raises(ValueError, match="cannot be asked of a resolver"):
        world.core.start(Name.parse("a.test"), rrtype, 0, timeout_us=SECOND)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout_us": 0},
        {"udp_size": 100},
        {"attempts": 0},
        {"prefetch_percent": 100},
        {"hints": ()},
    ],
)
def test_settings_that_cannot_work(settings):
    with pytest.raises(ConfigError):
        World(ResolverConfig(**settings), {})


def in_hand() -> int:
    return sum(isinstance(thing, Task | Client) for thing in gc.get_objects())


@pytest.mark.parametrize("name", ["www.example.test", "missing.example.test", "failing.test"])
def test_a_question_that_ended_is_gone_without_the_garbage_collector(name):
    def respond(query, tcp):
        failing = query.question.name.key.startswith(b"\x07failing")
        return query.reply(Rcode.SERVFAIL) if failing else Recursive(HOSTS).respond(query, tcp)

    world = stub({"10.0.0.1": Scripted(respond)})
    gc.collect()
    before = in_hand()
    gc.disable()
    try:
        world.ask(name)
        assert in_hand() == before
    finally:
        gc.enable()
