import dataclasses

import pytest

from stack.config import IpConfig, TcpConfig
from stack.daemon import settings
from stack.errors import ConfigError


def load(text, folder, **options):
    file = folder / "tapstack.toml"
    file.write_text(text)
    return settings.load(str(file), options)


def test_defaults_are_those_of_the_readme():
    loaded = settings.load(None, {})
    assert (loaded.dev, str(loaded.interface), str(loaded.host_interface)) == (
        "tapstack0",
        "198.18.0.2/24",
        "198.18.0.1/24",
    )
    assert loaded.faults() is None
    assert loaded.host_config().tcp == TcpConfig()


def test_file_and_command_line_over_it(tmp_path):
    loaded = load(
        'mtu = 9000\ndev = "tap9"\n[fault]\nloss = 0.5\nseed = 7\n[tcp]\ncongestion = "newreno"\n[ip]\nttl = 3\n',
        tmp_path,
        dev="tap7",
        uplink=None,
        fault={"loss": 0.25, "seed": None},
    )
    assert (loaded.mtu, loaded.dev, loaded.uplink, loaded.fault.seed) == (9000, "tap7", False, 7)
    assert loaded.faults().loss == 0.25
    config = loaded.host_config()
    assert config.tcp == dataclasses.replace(TcpConfig(), congestion="newreno")
    assert config.ip == dataclasses.replace(IpConfig(), ttl=3)


def test_faults_in_the_units_of_the_device():
    faults = settings.load(None, {"fault": {"delay_ms": 1.5, "jitter_ms": 0.25, "rate_mbit": 8.0}}).faults()
    assert (faults.delay_us, faults.jitter_us, faults.rate) == (1500, 250, 1_000_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mtu = ", "not valid TOML"),
        ("mtu = 'big'", "mtu: expected `int`, got `str`"),
        ("mtuu = 1500", "mtuu is not a setting"),
        ("mtu = 100", "mtu is 100: use 576 to"),
        ("mtu = 70000", "mtu is 70000: use 576 to"),
        ("dev = 'a device'", "cannot name a device"),
        ("dev = ''", "cannot name a device"),
        ("dev = '..'", "cannot name a device"),
        ("dev = 'sixteen-letters0'", "cannot name a device"),
        ("address = '198.18.0.2'", "no prefix length: write 198.18.0.2/24"),
        ("address = '198.18.0.300/24'", "is not an IPv4 address"),
        ("address = '::1/64'", "is not an IPv4 address"),
        ("address = '198.18.0.2/31'", "prefix length from 1 to 30"),
        ("address = '198.18.0.0/24'", "network's own or broadcast"),
        ("address = '198.18.0.255/24'", "network's own or broadcast"),
        ("address = '127.0.0.2/24'\nhost_address = '127.0.0.1'", "not an address that a host can have"),
        ("address = '224.0.0.2/24'\nhost_address = '224.0.0.1'", "not an address that a host can have"),
        ("host_address = '10.0.0.1'", "outside the stack's network"),
        ("host_address = '198.18.0.2'", "the stack and the kernel need one each"),
        ("host_address = '198.18.0.1/25'", "another prefix length"),
        ("log_format = 'xml'", "log_format: invalid enum value 'xml'; use text or json"),
        ("log_level = 'loud'", "use debug or info or warning or error"),
        ("fault = 3", "fault: expected `table`, got `int`"),
        ("mtu = [3]", "mtu: expected `int`, got `list`"),
        ('capture = "a\\u0000b"', "capture contains a NUL"),
        ('control = "a\\u0000b"', "control contains a NUL"),
        ('user = "a\\u0000b"', "user contains a NUL"),
        ("drain = 5", "drain is not a setting; did you mean drain_s?"),
        ("delay = 5", "delay is not a setting; did you mean fault.delay_ms?"),
        ("host-address = '198.18.0.1'", "did you mean host_address?"),
        ("[fault]\nrate = 5", "fault.rate is not a setting; did you mean fault.rate_mbit?"),
        ("[fault]\nrate_mbit = 1e-9", "fault.rate_mbit is 1e-09: use 0.001 or more"),
        ("drain_s = -1", "drain_s is -1"),
        ("max_upload = -1", "max_upload is -1"),
        ("spin_us = -5", "spin_us is -5: use 0 (never) to 10000"),
        ("spin_us = 1_000_000", "spin_us is 1000000: use 0"),
        ("memory_bytes = 1000", "memory_bytes 1000"),
        ("[fault]\nloss = 2.0", "fault.loss is 2.0: use a fraction"),
        ("[fault]\nloss = nan", "fault.loss is nan"),
        ("[fault]\ndelay_ms = -1.0", "fault.delay_ms is -1.0"),
        ("[fault]\nlos = 0.1", "fault.los is not a setting"),
        ("[tcp]\nwindow = 3", "tcp.window is not a setting"),
        ("[tcp]\nsack = 3", "tcp.sack: expected `bool`, got `int`"),
        ("[tcp]\nmss_limit = 1", "mss_limit 1"),
        ("[dns]", "dns says nothing to serve: give zones, forward or iterate"),
        ("[dns]\nforward = ['192.0.2.1']\niterate = true", "dns.forward and dns.iterate exclude each other"),
        ("[dns]\nforward = ['192.0.2.1']\nhints = ['192.0.2.1']", "dns.hints are for dns.iterate"),
        ("[dns]\niterate = true\nport = 0", "dns.port is 0: use 1 to 65535"),
        ("[dns]\nzone = 'x'", "dns.zone is not a setting"),
        ("[dns]\nzones = ['x']", "dns.zones: expected `table`, got `list`"),
    ],
)
def test_every_mistake_is_one_sentence_that_names_it(tmp_path, text, says):
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path)
    message = caught.value.strerror
    assert says in message
    assert "\n" not in message
    assert "Traceback" not in message


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        settings.load(str(tmp_path / "absent.toml"), {})


def test_table_that_is_none_with_an_option_over_it(tmp_path):
    with pytest.raises(ConfigError, match="fault: expected `table`"):
        load("fault = 3", tmp_path, fault={"loss": 0.1})


def test_empty_file_name_is_told():
    with pytest.raises(ConfigError, match="--config needs the name of a file"):
        settings.load("", {})


def test_master_files_are_beside_the_configuration(tmp_path, monkeypatch):
    text = '[dns.zones]\n"a.test" = "a.zone"\n"b.test" = "/etc/b.zone"\n'
    expected = {"a.test": str(tmp_path / "a.zone"), "b.test": "/etc/b.zone"}
    assert load(text, tmp_path).dns.zones == expected
    monkeypatch.chdir(tmp_path)
    assert settings.load("tapstack.toml", {}).dns.zones == expected
