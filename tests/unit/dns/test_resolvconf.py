"""resolv.conf, as resolv.conf(5) and the C library understand it."""

import pytest

from stack.dns.names import Name
from stack.dns.resolvconf import MAX_SEARCH, MAX_TEXT, MAX_WARNINGS, ResolvConf, parse


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nameserver", "passed over: nameserver without an address"),
        ("nameserver banana", "passed over: 'banana' is not an address in figures"),
        ("nameserver 10.0.0.2 10.0.0.3", "'10.0.0.3' is passed over: there is one nameserver to a line"),
        (" nameserver 10.0.0.9", "passed over: 'nameserver' is not at the beginning of the line"),
        ("Nameserver 10.0.0.9", "passed over: 'Nameserver' is not nameserver, search, domain or options"),
        ("sortlist 10.0.0.0", "passed over: 'sortlist' is not nameserver, search, domain or options"),
        ("\x1b[2J\xff", "passed over: '\\x1b[2J\xff' is not nameserver, search, domain or options"),
        ("x" * 100, f"passed over: '{'x' * 60}...' is not nameserver, search, domain or options"),
        ("search bad..name good.test", "'bad..name' is passed over: it is not a domain"),
        ("domain " + "a" * 64, f"'{'a' * 60}...' is passed over: it is not a domain"),
        ("options ndots:xx", "option 'ndots:xx' is passed over: write ndots:NUMBER"),
        ("options timeout:", "option 'timeout:' is passed over: write timeout:NUMBER"),
        ("options attempts", "option 'attempts' is passed over: write attempts:NUMBER"),
        (
            "options ndots:99999999999999999999",
            "option 'ndots:99999999999999999999' is passed over: write ndots:NUMBER",
        ),
        ("options ndots:16", "option ndots:16 is taken as ndots:15"),
        ("options timeout:0", "option timeout:0 is taken as timeout:1"),
        ("options rotat", "option 'rotat' is not known"),
        ("nameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4", None),
    ],
)
def test_what_is_not_taken_is_said_with_file_and_line(line, said):
    conf = parse(f"nameserver 10.0.0.1\n\n{line}\n", source="/etc/resolv.conf")
    where = 3 if said else 5
    said = said or "passed over: only the first 3 nameservers are asked"
    assert conf.warnings == (f"/etc/resolv.conf:{where}: {said}",)


def test_what_others_understand_is_no_mistake():
    text = "search\ndomain\noptions\nsearch .\noptions edns0 trust-ad single-request use-vc no-aaaa\nlookup file bind\n"
    assert parse(f"{text}# x\n; y\n   \nnameserver 10.0.0.1 # ours\n").warnings == ()


def test_mistakes_in_the_environment_name_the_variable():
    conf = parse("", local_domain="a..b", res_options="ndots:z")
    assert conf.warnings == (
        "LOCALDOMAIN: 'a..b' is passed over: it is not a domain",
        "RES_OPTIONS: option 'ndots:z' is passed over: write ndots:NUMBER",
    )


def test_warnings_are_bounded():
    conf = parse("nonsense\n" * 1000)
    assert len(conf.warnings) == MAX_WARNINGS + 1
    assert conf.warnings[-1] == f"resolv.conf: and {1000 - MAX_WARNINGS} more"
    assert parse("#" * (MAX_TEXT + 1)).warnings == ("resolv.conf: what is beyond 64 KiB is not read",)


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
