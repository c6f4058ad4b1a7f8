"""What people write to have a port forwarded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.daemon.services.proxies import ForwardSettings, SocksSettings
from stack.daemon.settings import load
from stack.errors import ConfigError
from stack.proxy.rules import Rule, parse


def test_what_can_be_forwarded():
    assert parse("8080", "198.18.0.1:80") == Rule("127.0.0.1", 8080, "198.18.0.1", 80)
    assert parse("127.0.0.2:53/udp", "dns.example.test:5353") == Rule(
        "127.0.0.2", 53, "dns.example.test", 5353, udp=True
    )
    assert parse("80/tcp", "localhost:8000", inward=True) == Rule("", 80, "127.0.0.1", 8000, inward=True)
    assert parse("*:80", "127.0.0.1:8000", inward=True).address == ""
    assert parse("0.0.0.0:80", "h:1", anyone=True).anyone
    assert (parse("8080", "a.test:1").listen, parse("80", "127.0.0.1:1", inward=True).listen) == (
        "127.0.0.1:8080",
        "*:80",
    )


@pytest.mark.parametrize(
    ("listen", "target", "inward", "says"),
    [
        ("", "a:1", False, "'' is nowhere to listen"),
        ("http", "a:1", False, "nowhere to listen"),
        ("0", "a:1", False, "nowhere to listen"),
        ("65536", "a:1", False, "nowhere to listen"),
        ("-1", "a:1", False, "nowhere to listen"),
        ("8080/sctp", "a:1", False, "use /tcp, /udp or nothing"),
        ("8080/", "a:1", False, "use /tcp, /udp or nothing"),
        ("name:80", "a:1", False, "is not an IPv4 address"),
        ("[::1]:80", "a:1", False, "is not an IPv4 address"),
        ("192.0.2.1:80", "a:1", False, "not on loopback"),
        ("8080", "", False, "is no target"),
        ("8080", "a", False, "is no target"),
        ("8080", ":80", False, "is no target"),
        ("8080", "a:0", False, "is no target"),
        ("8080", "a:70000", False, "is no target"),
        ("8080", "a b:80", False, "is no target"),
        ("8080", "[2001:db8::1]:80", False, "is no target"),
        ("8080", "http://a:80", False, "is no target"),
        ("8080", "a" * 300 + ":80", False, "is no target"),
        ("8080", "127.0.0.1:80", False, "does not reach this machine's loopback"),
        ("8080", "localhost:80", False, "does not reach this machine's loopback"),
        ("8080", "0.0.0.0:80", False, "use the address of one host"),
        ("8080", "0.0.0.0:80", True, "use the address of one host"),
        ("8080", "224.0.0.1:80/udp", False, "is no target"),
        ("8080/udp", "224.0.0.1:80", False, "use the address of one host"),
        ("8080", "name.test:80", True, "use an IPv4 address"),
        ("name:8080", "127.0.0.1:80", True, "is not an IPv4 address of the stack"),
    ],
)
def test_what_cannot_is_said(listen, target, inward, says):
    with pytest.raises(ConfigError, match="(?s)" + says) as caught:
        parse(listen, target, inward=inward)
    assert "\n" not in caught.value.strerror


@given(st.text(max_size=30), st.text(max_size=30), st.booleans(), st.booleans())
def test_any_text_is_a_rule_or_an_error(listen, target, inward, anyone):
    try:
        rule = parse(listen, target, inward=inward, anyone=anyone)
    except ConfigError:
        return
    assert 0 < rule.port < 65_536
    assert 0 < rule.host_port < 65_536
    assert rule.inward or rule.address


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[socks]\nport = 0", "socks.port is 0"),
        ("[socks]\nhandshake_s = 0", "socks.handshake_s is 0"),
        ("[socks]\nmax_clients = 0", "socks.max_clients is 0"),
        ('[socks]\naddress = "0.0.0.0"', "not on loopback"),
        ('[socks]\naddress = "here"', "not an IPv4 address"),
        ('[socks]\nuser = "me"', "go together"),
        (f'[socks]\nuser = "me"\npassword = "{"x" * 256}"', "socks.password is too long"),
        ("[socks]\nports = 1", "socks.ports is not a setting"),
        ('[[forward]]\nlisten = "80"', "missing required field `to`"),
        ('[[forward]]\nlisten = "80"\nto = "x"', "'x' is no target"),
        ("forward = 1", "forward: expected `list`"),
    ],
)
def test_settings_that_cannot_be(tmp_path, text, says):
    file = tmp_path / "up.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load(str(file), {})


def test_settings_that_can(tmp_path):
    file = tmp_path / "up.toml"
    file.write_text(
        '[socks]\nuser = "me"\npassword = "secret"\n'
        '[[forward]]\nlisten = "8080"\nto = "a.test:80"\n[[forward]]\nlisten = "80"\nto = "127.0.0.1:8000"\nin = true\n'
    )
    settings = load(str(file), {"socks": 1081})
    assert settings.socks == SocksSettings(port=1081, user="me", password="secret")
    assert settings.socks.credentials == ("me", "secret")
    assert settings.forward == [
        ForwardSettings("8080", "a.test:80"),
        ForwardSettings("80", "127.0.0.1:8000", inward=True),
    ]
    assert load(None, {"socks": 1080}).socks == SocksSettings()
    assert load(None, {}).socks is None
