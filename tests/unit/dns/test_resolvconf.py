"""resolv.conf, as resolv.conf(5) and the C library understand it."""

import pytest

from stack.dns.names import Name
from stack.dns.resolvconf import MAX_SEARCH, MAX_TEXT, ResolvConf, parse


def names(*texts):
    return tuple(Name.parse(text) for text in texts)


def test_an_empty_file_means_the_machine_itself():
    assert parse("") == ResolvConf()
    assert ResolvConf().servers == (("127.0.0.1", 53),)


def test_a_file():
    conf = parse(
        "# made by hand\n"
        "nameserver 10.53.0.10\n"
        "; another comment\n"
        "nameserver\t2001:DB8::53\n"
        "nameserver fe80::1%eth0\n"
        "search example.test test.\n"
        "options ndots:2 timeout:3 attempts:4 rotate edns0 trust-ad\n"
    )
    assert conf == ResolvConf(
        servers=(("10.53.0.10", 53), ("2001:db8::53", 53), ("fe80::1%eth0", 53)),
        search=names("example.test", "test"),
        ndots=2,
        timeout_s=3,
        attempts=4,
        rotate=True,
    )


def test_three_servers_count():
    conf = parse("".join(f"nameserver 10.0.0.{i}\n" for i in range(1, 9)))
    assert [server for server, _ in conf.servers] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(
    "line",
    [
        "nameserver",
        "nameserver one.one.one.one",
        "nameserver 10.0.0.1.2",
        "nameserver 010.0.0.1",
        " nameserver 10.0.0.9",  # the keyword begins the line
        "\tnameserver 10.0.0.9",
        "Nameserver 10.0.0.9",
        "options ndots:many timeout: attempts:-1 rotate:1e9 timeout:99999999999999999999",
        "options",
        "search",
        "sortlist 130.155.160.0/255.255.240.0",
        "\0\0\xff",
        "search " + "a" * 64 + ".test bad..name",
    ],
)
def test_what_is_wrong_is_passed_over(line):
    conf = parse(f"{line}\nnameserver 10.0.0.1\n")
    assert conf.servers == (("10.0.0.1", 53),)
    assert (conf.ndots, conf.timeout_s, conf.attempts, conf.search) == (1, 5, 2, ())


def test_of_domain_and_search_the_last_counts():
    assert parse("domain one.test two.test\nsearch three.test four.test\n").search == names("three.test", "four.test")
    assert parse("search three.test four.test\ndomain one.test two.test\n").search == names("one.test")


def test_without_them_the_domain_of_the_machine_is_searched():
    assert parse("", hostname="pc.example.test").search == names("example.test")
    assert parse("", hostname="pc").search == ()
    assert parse("search .\n", hostname="pc.example.test").search == ()


def test_the_environment_goes_first():
    conf = parse("search file.test\noptions ndots:3\n", local_domain="one.test two.test", res_options="ndots:5 rotate")
    assert conf.search == names("one.test", "two.test")
    assert conf.ndots == 5
    assert conf.rotate


def test_numbers_are_cut_to_what_the_c_library_takes():
    conf = parse("options ndots:99 timeout:99 attempts:99\n")
    assert (conf.ndots, conf.timeout_s, conf.attempts) == (15, 30, 5)
    conf = parse("options ndots:0 timeout:0 attempts:0\n")
    assert (conf.ndots, conf.timeout_s, conf.attempts) == (0, 1, 1)


def test_it_is_bounded():
    assert len(parse("search " + " ".join(f"d{i}.test" for i in range(1000))).search) == MAX_SEARCH
    assert parse("#" * MAX_TEXT + "\nnameserver 10.0.0.1\n").servers == (("127.0.0.1", 53),)
