"""Who may ask, cookies, and the rate of answers."""

import ipaddress
import random

import pytest

from stack.dns import access, cookies, ratelimit
from stack.dns.access import Access
from stack.dns.cookies import Cookies, make_cookie
from stack.dns.ratelimit import RateLimit
from stack.errors import ConfigError
from tests.support.rfc import rfc

CLIENT = bytes(range(8))
HERE = bytes((192, 0, 2, 1))
NOW = 1_700_000_000


@rfc("5358", "4")
def test_only_own_networks_have_others_asked_for_them():
    judge = Access(["198.18.0.0/24", "2001:db8::/32"])
    for address, may in (
        ("198.18.0.7", True),
        ("198.18.1.7", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:198.18.0.7", True),
        ("127.0.0.1", False),
    ):
        assert (judge.of(address).may_ask, judge.of(address).may_recurse) == (True, may)
    assert Access().of("127.0.0.1").may_recurse
    assert not Access().of("198.18.0.7").may_recurse


def test_some_networks_may_not_even_ask():
    judge = Access(ask=["198.18.0.0/24"])
    assert judge.of("198.18.0.1").may_ask
    assert not judge.of("198.18.1.1").may_ask
    assert judge.of("no address") == access.NOBODY


def test_what_is_no_network_is_refused():
    for wrong in (["198.18.0.1/24"], ["example.test"], "198.18.0.0/24"):
        with pytest.raises(ConfigError, match=r"198\.18\.0|example"):
            Access(wrong)


def test_verdicts_are_remembered_in_a_bounded_table():
    judge = Access()
    for number in range(access.MAX_KNOWN + 10):
        judge.of(f"10.0.{number >> 8}.{number & 255}")
    assert len(judge._known) <= access.MAX_KNOWN


@rfc("9018", "4")
def test_the_vectors_of_the_rfc():
    secret = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
    client, address = bytes.fromhex("2464c4abcf10c957"), bytes((198, 51, 100, 100))
    assert make_cookie(secret, client, address, 1559731985).hex() == "010000005cf79f111f8130c3eee29480"
    client, address = bytes.fromhex("fc93fc62807ddb86"), bytes((203, 0, 113, 203))
    assert make_cookie(secret, client, address, 1559734700).hex() == "010000005cf7a9acf73a7810aca2381e"
    secret, client = bytes.fromhex("445536bcd2513298075a5d379663c962"), bytes.fromhex("22681ab97d52c298")
    address = ipaddress.ip_address("2001:db8:220:1:59de:d0f4:8769:82b8").packed
    assert make_cookie(secret, client, address, 1559741961).hex() == "010000005cf7c609a6bb79d16625507a"


def test_siphash_is_that_of_its_authors():
    key = bytes(range(16))
    assert cookies.siphash24(key, b"") == bytes.fromhex("310e0edd47db6f72")
    assert cookies.siphash24(key, bytes(range(15))) == bytes.fromhex("e545be4961ca29a1")


@rfc("9018", "4.3")
def test_a_cookie_lives_for_an_hour_and_is_renewed_at_half_time():
    giver = Cookies(random.Random(1), NOW)
    first, good = giver.answer(CLIENT, HERE, NOW)
    assert (len(first), good) == (24, False)
    for age, expected in ((0, True), (1800, True), (3600, True), (3601, False), (-300, True), (-301, False)):
        reply, good = giver.answer(first, HERE, NOW + age)
        assert good is expected
        assert (reply == first) is (expected and age <= 1800)
        assert reply[:8] == CLIENT
        giver._known.clear()


def test_a_cookie_is_for_one_client_at_one_address():
    giver = Cookies(random.Random(1), NOW)
    first, _ = giver.answer(CLIENT, HERE, NOW)
    assert giver.answer(first, HERE, NOW)[1]
    assert not giver.answer(first, bytes((192, 0, 2, 2)), NOW)[1]
    assert not giver.answer(bytes(8) + first[8:], HERE, NOW)[1]
    for at in range(8, 24):
        forged = bytearray(first)
        forged[at] ^= 1
        assert not giver.answer(bytes(forged), HERE, NOW)[1]
    assert not giver.answer(first[:16], HERE, NOW)[1]


@rfc("7873", "7.1")
def test_the_secret_is_renewed_and_the_one_before_still_good():
    giver = Cookies(random.Random(1), NOW)
    later = NOW + cookies.SECRET_S - 10
    first, _ = giver.answer(CLIENT, HERE, later)
    second, good = giver.answer(first, HERE, later + 60)
    assert (good, second) == (True, first)
    fresh, _ = giver.answer(CLIENT, HERE, later + 60)
    assert fresh != Cookies(random.Random(1), NOW).answer(CLIENT, HERE, later + 60 - cookies.SECRET_S)[0]
    assert giver.answer(fresh, HERE, later + 60 + cookies.SECRET_S)[0] != fresh
    assert not giver.answer(first, HERE, later + 2 * cookies.SECRET_S)[1]


def test_cookies_are_remembered_in_a_bounded_table():
    giver = Cookies(random.Random(1), NOW)
    for number in range(cookies.MAX_KNOWN + 10):
        giver._known[number.to_bytes(8, "big"), HERE] = NOW, b"", False
        if number == cookies.MAX_KNOWN:
            giver.answer(CLIENT, HERE, NOW)
            break
    assert len(giver._known) <= cookies.MAX_KNOWN


def test_the_rate_of_each_network():
    limit = RateLimit(10)
    assert [limit.allows(b"a", 0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert limit.allows(b"b", 0)
    assert [limit.allows(b"a", 200_000) for _ in range(3)] == [True, True, False]
    assert [limit.allows(b"a", 60_000_000) for _ in range(12)] == [True] * 10 + [False] * 2
    assert all(RateLimit(0).allows(b"a", 0) for _ in range(100))


def test_networks_are_counted_in_a_bounded_table():
    limit = RateLimit(10)
    for number in range(ratelimit.MAX_NETWORKS + 10):
        limit.allows(number.to_bytes(3, "big"), 0)
    assert len(limit) == ratelimit.MAX_NETWORKS
