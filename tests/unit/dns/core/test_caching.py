"""What is kept and for how long: TTLs, negative answers, failures, prefetch, stale answers, bytes."""

import gc
import tracemalloc

import pytest

from stack.config import MS, SECOND
from stack.dns.constants import Rcode
from stack.dns.core import ResolverConfig
from stack.dns.core.cache import CUT, Cache, Delegation, Trust
from stack.dns.core.config import DAY, HOUR
from stack.dns.core.stats import ResolverStats
from stack.dns.errors import NXDOMAIN, NoData, ServFail, Timeout
from stack.dns.names import ROOT, Name
from stack.dns.rrset import RRset
from tests.support.dns_world import EXAMPLE_ADDRESS, Recursive, Scripted, World, iterative, records, stub, texts
from tests.support.rfc import rfc

ZONE = """
www.test. 300 A 192.0.2.1
long.test. 604800 A 192.0.2.2
zero.test. 0 A 192.0.2.3
alias.test. 20 CNAME www.test.
short.test. 20 A 192.0.2.4
a.b.test. 300 A 192.0.2.5
"""


def resolver(**settings) -> World:
    return stub({"10.0.0.1": Recursive(ZONE)}, **settings)


# --- TTL -------------------------------------------------------------------------------------------------------------


def test_an_answer_is_kept_for_its_time_and_counts_down():
    world = resolver()
    world.ask("www.test")
    world.advance(100 * SECOND)
    answer = world.ask("WWW.TEST")
    assert (answer.ttl, answer.rrset.ttl) == (200, 200)
    world.advance(199 * SECOND + 999 * MS)
    assert world.ask("www.test").ttl == 0
    assert len(world.sent) == 2  # the second is a prefetch
    world.settle()


def test_after_its_time_it_is_asked_for_once():
    world = resolver(prefetch_percent=0)
    world.ask("www.test")
    world.advance(300 * SECOND)
    assert world.ask("www.test").ttl == 300
    assert len(world.sent) == 2


def test_a_day_is_the_longest():
    world = resolver()
    assert world.ask("long.test").ttl == 86_400
    world.advance(DAY)
    world.ask("long.test")
    assert len(world.sent) == 2


@rfc("1035", "3.2.1")
def test_a_ttl_of_zero_is_for_this_question_only():
    world = resolver()
    assert texts(world.ask("zero.test")) == ["192.0.2.3"]
    assert texts(world.ask("zero.test")) == ["192.0.2.3"]
    assert len(world.sent) == 2


def test_a_chain_lives_as_long_as_its_shortest_link():
    world = resolver(prefetch_percent=0)
    assert world.ask("alias.test").ttl == 20
    world.advance(10 * SECOND)
    answer = world.ask("alias.test")
    assert (answer.ttl, answer.chain[0].ttl, answer.rrset.ttl) == (10, 10, 10)
    assert len(world.sent) == 1
    world.advance(10 * SECOND)
    world.ask("alias.test")
    assert len(world.sent) == 2


def test_an_alias_that_expires_while_its_target_is_looked_up():
    world = iterative(prefetch_percent=0, stale_us=0)
    world.ask("away.example.test", "CNAME")
    world.advance(299 * SECOND + 900 * MS)
    world.delays = dict.fromkeys(world.servers, 100 * MS)
    answer = world.ask("away.example.test")
    assert texts(answer) == ["198.51.100.1"]
    assert (answer.ttl, answer.rrset.ttl) == (0, 0)
    assert len(answer.chain) == 1


def test_cached_answers_are_given_without_a_handle():
    world = resolver()
    name = Name.parse("www.test")
    assert world.core.cached(name, 1, 0) is None
    world.ask("www.test")
    assert texts(world.core.cached(name, 1, world.now)) == ["192.0.2.1"]
    assert world.core.cached(Name.parse("www.test"), 15, world.now) is None


# --- negative --------------------------------------------------------------------------------------------------------


@rfc("2308", "5")
def test_negative_answers_are_kept_for_the_time_of_the_soa():
    world = iterative()
    assert isinstance(world.ask("none.example.test"), NXDOMAIN)
    assert isinstance(world.ask("www.example.test", "MX"), NoData)
    asked = len(world.sent)
    world.advance(299 * SECOND)
    assert isinstance(world.ask("none.example.test"), NXDOMAIN)
    assert isinstance(world.ask("none.example.test", "TXT"), NXDOMAIN)  # of a name, not of a type
    assert isinstance(world.ask("www.example.test", "MX"), NoData)
    assert len(world.sent) == asked
    world.advance(2 * SECOND)
    world.ask("none.example.test")
    assert len(world.sent) == asked + 1


@rfc("2308", "5")
def test_negative_answers_are_kept_for_an_hour_at_most():
    def respond(query, tcp):
        reply = query.reply(Rcode.NXDOMAIN)
        reply.ra = True
        reply.authority = records(". 86400 SOA a. b. 1 2 3 4 86400")
        return reply

    world = stub({"10.0.0.1": Scripted(respond)})
    world.ask("x.test")
    world.advance(HOUR - SECOND)
    world.ask("x.test")
    assert len(world.sent) == 1
    world.advance(SECOND)
    world.ask("x.test")
    assert len(world.sent) == 2


@rfc("2308", "5")
def test_a_negative_answer_without_a_soa_is_not_kept():
    def respond(query, tcp):
        reply = query.reply(Rcode.NXDOMAIN)
        reply.ra = True
        return reply

    world = stub({"10.0.0.1": Scripted(respond)})
    world.ask("x.test")
    world.ask("x.test")
    assert len(world.sent) == 2


def test_a_soa_of_elsewhere_is_no_soa():
    def respond(query, tcp):
        reply = query.reply(Rcode.NXDOMAIN)
        reply.ra = True
        reply.authority = records("elsewhere. 86400 SOA a. b. 1 2 3 4 86400")
        return reply

    world = stub({"10.0.0.1": Scripted(respond)})
    world.ask("x.test")
    world.ask("x.test")
    assert len(world.sent) == 2


@rfc("8020", "2")
def test_nothing_is_below_a_name_that_does_not_exist():
    world = iterative()
    world.ask("none.example.test")
    asked = len(world.sent)
    assert isinstance(world.ask("a.b.none.example.test"), NXDOMAIN)
    assert len(world.sent) == asked
    world = iterative(nxdomain_cut=False)
    world.ask("none.example.test")
    asked = len(world.sent)
    world.ask("a.b.none.example.test")
    assert len(world.sent) > asked


def test_a_name_without_data_cuts_nothing_off():
    world = resolver()
    assert isinstance(world.ask("b.test"), NoData)
    assert texts(world.ask("a.b.test")) == ["192.0.2.5"]


@rfc("2308", "2.1")
def test_the_end_of_a_chain_may_not_exist():
    world = iterative()
    error = world.ask("gone.tree.example.test")
    assert isinstance(error, NXDOMAIN)
    assert [rrset.rrtype for rrset in error.chain] == [39, 5]
    asked = len(world.sent)
    assert isinstance(world.ask("gone.tree.example.test", "AAAA"), NXDOMAIN)
    assert len(world.sent) == asked


# --- failures --------------------------------------------------------------------------------------------------------


@rfc("9520", "3.2")
def test_a_failure_is_kept_for_a_second():
    world = stub({"10.0.0.1": Scripted(lambda query, tcp: query.reply(Rcode.SERVFAIL))})
    assert isinstance(world.ask("x.test"), ServFail)
    assert isinstance(world.ask("x.test"), ServFail)
    assert len(world.sent) == 1
    world.advance(SECOND)
    world.ask("x.test")
    assert len(world.sent) == 2


def test_a_clients_impatience_is_no_failure():
    world = resolver()
    world.delays["10.0.0.1"] = 150 * MS
    assert isinstance(world.ask("www.test", timeout_us=100 * MS), Timeout)
    assert texts(world.ask("www.test")) == ["192.0.2.1"]


# --- prefetch --------------------------------------------------------------------------------------------------------


def test_what_is_wanted_shortly_before_its_end_is_fetched_anew():
    world = resolver()
    world.ask("www.test")
    world.advance(269 * SECOND)
    world.ask("www.test")
    world.settle()
    assert len(world.sent) == 1
    world.advance(5 * SECOND)
    began_at = world.now
    assert world.ask("www.test").ttl == 26
    assert world.now == began_at  # the client did not wait
    world.settle()
    assert world.ask("www.test").ttl == 300
    assert len(world.sent) == 2
    assert world.counts()["prefetches"] == 1


def test_answers_at_hand_are_fetched_anew_too():
    world = resolver()
    name = Name.parse("www.test")
    world.ask("www.test")
    world.advance(269 * SECOND)
    assert world.core.cached(name, 1, world.now) is not None
    assert world.core.poll() == []
    world.advance(5 * SECOND)
    for _ in range(3):
        answer = world.core.cached(name, 1, world.now)
        assert answer is not None
        assert answer.ttl == 26
        world._pump()
    world.settle()
    assert len(world.sent) == 2
    assert world.ask("www.test").ttl == 300


def test_a_prefetch_that_fails_is_not_repeated_with_every_hit():
    world = resolver()
    world.ask("www.test")
    world.down = {"10.0.0.1"}
    world.advance(290 * SECOND)
    for _ in range(5):
        assert world.ask("www.test").ttl >= 8
        world.advance(100 * MS)
    assert world.counts()["prefetches"] == 1
    world.settle()


def test_prefetch_of_a_chain_asks_for_all_of_it():
    world = resolver()
    world.ask("alias.test")
    world.advance(19 * SECOND)
    world.ask("alias.test")
    world.settle()
    assert world.ask("alias.test").ttl == 20
    assert len(world.sent) == 2


def test_prefetch_can_be_turned_off():
    world = resolver(prefetch_percent=0)
    world.ask("www.test")
    world.advance(299 * SECOND)
    world.ask("www.test")
    world.settle()
    assert len(world.sent) == 1


# --- stale -----------------------------------------------------------------------------------------------------------


@rfc("8767", "5")
def test_an_expired_answer_is_given_when_nothing_better_comes_in_1800_ms():
    world = resolver()
    world.ask("www.test")
    world.advance(400 * SECOND)
    world.down = {"10.0.0.1"}
    began_at = world.now
    answer = world.ask("www.test")
    assert answer.stale
    assert (answer.ttl, answer.rrset.ttl) == (30, 30)
    assert world.now - began_at == 1800 * MS
    assert world.counts()["stale_answers"] == 1


@rfc("8767", "5")
def test_the_failed_question_is_not_tried_again_at_once():
    world = resolver()
    world.ask("www.test")
    world.advance(400 * SECOND)
    world.refusing = {"10.0.0.1"}
    assert world.ask("www.test").stale
    asked, at = len(world.sent), world.now
    assert world.ask("www.test").stale
    assert (len(world.sent), world.now) == (asked, at)
    world.refusing.clear()
    world.advance(30 * SECOND)
    answer = world.ask("www.test")
    assert not answer.stale
    assert answer.ttl == 300


@rfc("8767", "5")
def test_questions_do_not_put_off_the_next_try_to_refresh():
    world = resolver()
    world.ask("www.test")
    world.advance(400 * SECOND)
    world.refusing = {"10.0.0.1"}
    assert world.ask("www.test").stale
    world.refusing.clear()
    for _ in range(30):
        assert world.ask("www.test").stale
        world.advance(1 * SECOND)
    assert not world.ask("www.test").stale


def test_what_was_given_stale_is_refreshed_behind_the_scenes():
    world = resolver()
    world.ask("www.test")
    world.advance(400 * SECOND)
    world.delays["10.0.0.1"] = 1000 * MS  # both ways: later than the client response timer
    world.down = {"10.0.0.1"}
    handle = world.start("www.test")
    world.at(1500 * MS, world.down.clear)
    assert world.wait(handle).stale
    world.settle()
    assert not world.ask("www.test").stale
    assert world.open == {}


def test_aliases_are_given_stale_too():
    world = resolver()
    world.ask("alias.test")
    world.advance(400 * SECOND)
    world.down = {"10.0.0.1"}
    for _ in range(2):
        answer = world.ask("alias.test")
        assert answer.stale
        assert texts(answer) == ["192.0.2.1"]
        assert len(answer.chain) == 1


@rfc("8767", "4")
def test_an_authority_that_says_otherwise_ends_stale_data():
    world = iterative()
    world.ask("www.example.test")
    world.advance(500 * SECOND)
    world.servers[EXAMPLE_ADDRESS] = Scripted(_denial)
    assert isinstance(world.ask("www.example.test"), NXDOMAIN)


def _denial(query, tcp):
    reply = query.reply(Rcode.NXDOMAIN)
    reply.aa = True
    return reply


def test_stale_answers_end_after_a_day():
    world = resolver()
    world.ask("www.test")
    world.advance(DAY + 300 * SECOND)
    world.down = {"10.0.0.1"}
    assert isinstance(world.ask("www.test"), Timeout)


def test_stale_answers_can_be_turned_off():
    world = resolver(stale_us=0)
    world.ask("www.test")
    world.advance(301 * SECOND)
    world.down = {"10.0.0.1"}
    assert isinstance(world.ask("www.test"), Timeout)


def test_a_fresh_answer_in_time_is_not_stale():
    world = resolver()
    world.ask("www.test")
    world.advance(301 * SECOND)
    world.delays["10.0.0.1"] = 100 * MS
    answer = world.ask("www.test")
    assert not answer.stale
    assert answer.ttl == 300


# --- the table -------------------------------------------------------------------------------------------------------


def table(**settings) -> tuple[Cache, ResolverStats]:
    stats = ResolverStats()
    return Cache(ResolverConfig(**settings), stats), stats


def test_it_never_holds_more_bytes_than_it_may():
    cache, stats = table(cache_bytes=100_000)
    for n in range(2000):
        (rrset,) = records(f"h{n}.test. 300 TXT {'x' * (n % 200)}.")
        cache.put_rrset(rrset, Trust.AUTHORITY, None, 0)
        assert cache.size <= 100_000
    assert 10 < len(cache) < 200
    assert sum(entry.size for entry in cache.entries()) == cache.size
    assert stats.counts_by_name()["cache_evictions"] == 2000 - len(cache)


@pytest.mark.parametrize("count", [1, 3, 13])
def test_the_bytes_counted_are_about_those_taken(count):
    cache, _ = table()
    tracemalloc.start()
    for n in range(200):
        (rrset,) = records("\n".join(f"h{n}.example.test. 300 A 192.0.2.{i}" for i in range(count)))
        rrset = RRset(Name(bytes(rrset.name)), rrset.rrtype, 1, 300, [bytes(raw) for raw in rrset.raws])
        _ = cache.put_rrset(rrset, Trust.AUTHORITY, None, 0).at(1)
    del rrset
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.6 * taken < cache.size < 1.6 * taken


def test_the_least_recently_used_goes_first():
    cache, _ = table(cache_bytes=5_000)
    for n in range(20):
        (rrset,) = records(f"h{n}.test. 300 A 192.0.2.1")
        cache.put_rrset(rrset, Trust.AUTHORITY, None, 0)
        cache.get(Name.parse("h0.test").key, 1, 0)
    assert cache.get(Name.parse("h0.test").key, 1, 0) is not None
    assert cache.get(Name.parse("h1.test").key, 1, 0) is None


@rfc("2181", "5.4.1")
def test_ranks():
    cache, stats = table()
    good, bad = records("a.test. 10 A 192.0.2.1")[0], records("a.test. 300 A 192.0.2.2")[0]
    cache.put_rrset(good, Trust.AUTHORITY, None, 0)
    assert cache.put_rrset(bad, Trust.ANSWER, None, SECOND).rrset is good
    assert stats.refused_by_name() == {"rank": 1}
    assert cache.put_rrset(bad, Trust.ANSWER, None, 10 * SECOND).rrset is bad  # the better one has expired
    assert cache.put_rrset(good, Trust.AUTHORITY, None, 11 * SECOND).rrset is good


def test_the_deepest_cut_is_found():
    cache, _ = table()
    for zone in (".", "test", "a.b.test"):
        cache.put_delegation(Delegation(Name.parse(zone), (), {}), 300, 0)
    for name, zone in (("x.a.b.test", "a.b.test"), ("a.b.test", "a.b.test"), ("b.test", "test"), ("net", ".")):
        found = cache.closest_cut(Name.parse(name).key, 0)
        assert found is not None
        assert found.zone == Name.parse(zone)
    assert cache.closest_cut(ROOT, 0) is not None
    assert cache.closest_cut(Name.parse("x.test").key, 300 * SECOND) is None


def test_names_can_be_forgotten():
    cache, _ = table()
    for name in ("a.test", "b.a.test", "ba.test"):
        cache.put_rrset(records(f"{name}. 300 A 192.0.2.1")[0], Trust.AUTHORITY, None, 0)
    assert cache.flush(Name.parse("a.test")) == 2
    assert len(cache) == 1
    assert cache.flush() == 1
    assert cache.size == 0


def test_delegations_are_not_answers():
    world = iterative()
    world.ask("www.example.test")
    kinds = {(str(entry.name), entry.rrtype) for entry in world.core.cache.entries()}
    assert ("example.test.", CUT) in kinds
    asked = len(world.sent)
    assert texts(world.ask("example.test", "NS")) == ["ns.example.test."]
    assert texts(world.ask("ns.example.test")) == [EXAMPLE_ADDRESS]
    assert len(world.sent) == asked + 2  # neither was taken from the referral
