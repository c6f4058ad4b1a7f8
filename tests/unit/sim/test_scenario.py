"""Scenario files: read with units, written so that they read back equal, refused with file, line and key."""

import pickle
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from stack.config import MS, SECOND
from stack.errors import ConfigError
from stack.sim import units
from stack.sim.scenario import BurstLoss, Scenario, ScenarioError, Way, changed
from stack.sim.scenario_toml import load, loads, to_toml
from stack.tcp import profiles

TEXT = """\
name = "two"
seed = 7
duration = "60s"
[tcp]
rto_min_us = "200ms"
[[host]]
name = "a"
[[host]]
name = "b"
tcp = { congestion = "newreno", sack = false}
[[link]]
between = ["a",
 "b"]
rate = "100Mbit/s"
queue="64KiB"
loss = "1%"
backward = { loss = 0.0, burst_loss={p=0.1,r=0.5} }
[link.forward]
delay = "20ms"
[[event]]
at = "2s"
link = ["a","b"]
set = {loss = 0.5}
[[flow]]
name = "x"
from="a"
to="b"
bytes="1MiB"
"""


def test_units_become_numbers() -> None:
    scenario = loads(TEXT)
    assert (scenario.duration_us, scenario.tcp) == (60 * SECOND, {"rto_min_us": 200 * MS})
    (link,) = scenario.links
    assert (link.rate, link.queue, link.loss, link.between) == (12_500_000, 65_536, 0.01, ("a", "b"))
    assert scenario.flows[0].bytes == 1 << 20


def test_a_direction_overrides_what_is_said_for_both() -> None:
    link = loads(TEXT).links[0]
    assert (link.way("forward").loss, link.way("forward").delay_us) == (0.01, 20 * MS)
    assert (link.way("backward").loss, link.way("backward").delay_us) == (0.0, None)
    assert link.way("backward").burst_loss == BurstLoss(p=0.1, r=0.5)
    assert changed(Way(loss=0.5, rate=9), Way(loss=0.1)) == Way(loss=0.1, rate=9)


def test_settings_of_tcp_add_up() -> None:
    scenario = loads(TEXT + 'tcp = { sack = true }\nserver_tcp = { nodelay = true, recv_buffer = "8KiB" }\n')
    client, server = (end(scenario.flows[0]) for end in (scenario.client_config, scenario.server_config))
    assert (client.sack, client.nodelay, client.congestion, client.rto_min_us) == (True, False, "cubic", 200 * MS)
    assert (server.sack, server.nodelay, server.congestion) == (False, True, "newreno")
    assert server.recv_buffer == 8192


def test_a_scenario_is_written_so_that_it_reads_back_equal() -> None:
    scenario = loads(TEXT)
    assert loads(to_toml(scenario)) == scenario
    odd = 'a "name" with \\ and \x07 \u00e9'
    assert tomllib.loads(to_toml(Scenario(name=odd)))["name"] == odd


WRONG = [
    ('rate = "100Mbit/s"', "rate = 0", 14, "link[0].rate"),
    ('rate = "100Mbit/s"', 'rate = "100 Mb"', 14, "link[0].rate"),
    ('rate = "100Mbit/s"', 'discipline = "codel"', 14, "link[0].discipline"),
    ('rate = "100Mbit/s"', 'discipline = "fifo"', 14, "link[0].discipline"),
    ('rate = "100Mbit/s"', "mtu = 20", 14, "link[0].mtu"),
    ("20ms", "20mss", 19, "link[0].forward.delay"),
    ("20ms", "2h", 19, "link[0].forward.delay"),
    ("sack", "sick", 10, "host[1].tcp.sick"),
    ("sack = false", "sack = 1", 10, "host[1].tcp.sack"),
    ("sack = false", "ttl = 256", 10, "host[1].tcp.ttl"),
    ('"newreno"', '"foo"', 10, "host[1].tcp.congestion"),
    ('to="b"', 'to="c"', 27, "flow[0].to"),
    ('to="b"', 'to="a"', 27, "flow[0].to"),
    ('bytes="1MiB"', "bytez=3", 28, "flow[0].bytez"),
    ('bytes="1MiB"', "start=3", 24, "flow[0]"),
    ('bytes="1MiB"', 'bytes=5\nfor="1s"', 24, "flow[0]"),
    ('bytes="1MiB"', 'bytes=5\nstart="1h"', 29, "flow[0].start"),
    ("set = {loss = 0.5}", "set = {loss = 1.5}", 23, "event[0].set.loss"),
    ("set = {loss = 0.5}", "down = true\nup = true", 20, "event[0]"),
    ("set = {loss = 0.5}", "abort = true", 20, "event[0]"),
    ('link = ["a","b"]', 'link = ["a","z"]', 22, "event[0].link"),
    ('link = ["a","b"]\nset = {loss = 0.5}', 'flow = "y"\nabort = true', 22, "event[0].flow"),
    ('at = "2s"', 'at = "2min"', 21, "event[0].at"),
    ("p=0.1", 'p="x"', 17, "link[0].backward.burst_loss.p"),
    ("200ms", "500s", 5, "tcp.rto_min_us"),
    ("seed = 7", 'seed = "a"', 2, "seed"),
    ("seed = 7", "seed = -1", 2, "seed"),
    ("seed = 7", "seed = ", 2, "TOML"),
    ("seed = 7", "seed = '''\n", 30, "TOML"),
    ('between = ["a",\n "b"]', 'between = ["a"]', 12, "link[0].between"),
    ('between = ["a",\n "b"]', 'between = ["a", "c"]', 12, "link[0].between"),
    ('name = "b"', 'name = "a"', 9, "host[1].name"),
    ('name = "b"', 'name = "a b"', 9, "host[1].name"),
    ('[[link]]\nbetween = ["a",', '[[host]]\nname = "c"\n[[link]]\nbetween = ["a",', 12, "c has no link"),
    ('duration = "60s"', "duration = 0", 3, "duration"),
    ('duration = "60s"', "duration = 1.5", 3, "duration"),
]


@pytest.mark.parametrize(("old", "new", "line", "key"), WRONG)
def test_an_error_names_file_line_and_key(old: str, new: str, line: int, key: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    assert TEXT.count(old) == 1 or old in {"sack", "200ms"}
    file.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ScenarioError) as failure:
        load(file)
    error = failure.value
    assert isinstance(error, ConfigError)
    assert error.strerror is not None
    assert error.strerror.startswith(f"{file}:{line}: ")
    assert key in error.strerror


CODEL = 'set = {discipline = "codel"}'


@pytest.mark.parametrize(
    ("rate", "set_", "wrong"),
    [
        ('rate = "100Mbit/s"', CODEL, False),
        ("", CODEL, True),
        ("", 'set = {discipline = "codel", rate = "1Mbit/s"}', False),
        ("", f'way = "backward"\n{CODEL}', True),
        ("", CODEL + '\n[[event]]\nat = "1s"\nlink = ["a","b"]\nset = {rate = "1Mbit/s"}', False),  # comes before
        ("", CODEL + '\n[[event]]\nat = "3s"\nlink = ["a","b"]\nset = {rate = "1Mbit/s"}', True),
    ],
)
def test_codel_without_a_rate_is_an_error_also_when_an_event_brings_it(rate: str, set_: str, *, wrong: bool) -> None:
    text = TEXT.replace('rate = "100Mbit/s"', rate).replace("set = {loss = 0.5}", set_)
    if not wrong:
        loads(text)
        return
    line = text.splitlines().index(CODEL) + 1
    with pytest.raises(ScenarioError, match=rf"file:{line}: event\[0\]\.set\.discipline: .*codel needs one"):
        loads(text, "file")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: no such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ScenarioError, match="UTF-8"):
        load(tmp_path / "latin.toml")
    with pytest.raises(ScenarioError, match="hosts"):
        loads("")
    with pytest.raises(ScenarioError, match=r"/dev/zero: .* longer than 4 MiB"):
        load(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("reader", "text", "number"),
    [
        (units.duration, "1.5s", 1_500_000),
        (units.duration, "2min", 120_000_000),
        (units.duration, 17, 17),
        (units.rate, "1kbit/s", 125),
        (units.rate, "1.2MB/s", 1_200_000),
        (units.size, "64KiB", 65_536),
        (units.size, "0", None),
        (units.queue, "100p", "100p"),
        (units.queue, "0p", None),
        (units.fraction, "2.5%", 0.025),
        (units.fraction, True, None),
        (units.fraction, float("nan"), None),
        (units.duration, 1.5, None),
        (units.duration, True, None),
        (units.duration, "-1s", None),
        (units.duration, "0.0000001s", None),
        (units.rate, "1bit/s", None),
        (units.size, "99999999GiB", None),
    ],
)
def test_units(reader, text, number) -> None:
    if number is None:
        with pytest.raises(ValueError, match=str(text)):
            reader(text)
    else:
        assert reader(text) == number


@pytest.mark.parametrize("number", [0, 1, 999, 1_000, 60_000_000, 1 << 20, 12_500_000])
def test_numbers_are_written_so_that_they_read_back_equal(number: int) -> None:
    assert units.duration(units.format_duration(number)) == number
    assert units.rate(units.format_rate(number)) == number
    assert units.size(units.format_size(number)) == number


# -- profiles


def test_a_profile_is_all_settings_of_a_machine_and_other_keys_change_single_ones() -> None:
    text = TEXT.replace('rto_min_us = "200ms"', 'rto_min_us = "200ms"\nprofile = "go-back-n"\nfixed_window_segs = 4')
    text = text.replace('tcp = { congestion = "newreno", sack = false}', 'tcp = { profile = "selective-repeat" }')
    scenario = loads(text)
    flow = scenario.flows[0]
    client, server = scenario.client_config(flow), scenario.server_config(flow)
    assert client == replace(profiles.get("go-back-n"), rto_min_us=200 * MS, fixed_window_segs=4)
    assert server == replace(profiles.get("selective-repeat"), rto_min_us=200 * MS)
    assert loads(to_toml(scenario)) == scenario


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('rto_min_us = "200ms"', 'profile = "go-back-m"', 5),
        ('congestion = "newreno", sack = false', 'profile = "go-back-m"', 10),
        ('bytes="1MiB"', 'bytes="1MiB"\nserver_tcp = { profile = "go-back-m" }', 29),
    ],
)
def test_an_unknown_profile_is_an_error_that_names_all(old: str, new: str, line: int) -> None:
    with pytest.raises(
        ScenarioError, match="'go-back-m' is not known; use one of stop-and-wait, alternating-bit"
    ) as told:
        loads(TEXT.replace(old, new), "file")
    assert (told.value.strerror or "").startswith(f"file:{line}: ")
    assert told.value.key.endswith("tcp.profile")


# -- what a newcomer writes


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('delay = "20ms"', 'dealy = "20ms"', "link[0].forward.dealy: there is no key 'dealy' here; is 'delay' meant?"),
        ("at = ", "att = ", "event[0].att: there is no key 'att' here; is 'at' meant?"),
        ("seed = 7", "sede = 7", "file:2: sede: there is no key 'sede' here; is 'seed' meant?"),
        ("[[flow]]", "[[flwo]]", "file:24: flwo: there is no key 'flwo' here; is 'flow' meant?"),
        ("[[flow]]", "[flow]", "file:24: flow: write [[flow]], with two brackets"),
        ("rto_min_us", "rto_min", "tcp.rto_min: TCP has no setting 'rto_min'; is 'rto_min_us' meant?"),
        ("seed = 7", 'seed = "7"', "seed: expected a whole number, got text"),
        ('name = "two"', 'name = "../two"', "file:1: name: '../two': use up to 64 letters"),
        ('name = "two"', 'name = ""', "file:1: name: '': use up to 64 letters"),
        ('queue="64KiB"', "queue=0", "link[0].queue: a queue of 0 holds nothing"),
        ('rate = "100Mbit/s"', 'discipline = "pie"', "link[0].discipline: 'pie': use one of droptail, codel"),
        ("set = {loss = 0.5}", 'set = {discipline = "pie"}', "'pie': use one of droptail, codel"),
        ("set = {loss = 0.5}", "set = {}", "file:23: event[0].set: say what changes, such as { loss = 0.1 }"),
        ("set = {loss = 0.5}", 'down = true\nway = "forward"', "file:24: event[0].way: only 'set' has a direction"),
        ("set = {loss = 0.5}", "down = true\nsilent = true", "file:24: event[0].silent: it says how an 'mtu' comes"),
        ('to="b"', 'to="b"\nkind="rrr"', "file:28: flow[0].kind: 'rrr': use one of bulk, echo, rr"),
        (
            'name = "b"',
            'name = "b"\nmemory = "256KiB"',
            "file:10: host[1].memory: 262144: use a whole number from 1048576",
        ),
        ('to="b"', 'to="b"\nstall_at=3', "file:28: flow[0].stall_at: give both 'stall_at' and 'stall_for'"),
        ('to="b"', 'to="b"\nstall_for="3s"', "flow[0].stall_at: give both 'stall_at' and 'stall_for'"),
        ("seed = 7", "seed = " + "[" * 5000, "file: not a scenario: "),
        ("seed = 7", "seed = " + "7" * 5000, "file: not a scenario: "),
    ],
)
def test_errors_say_what_would_do(old: str, new: str, says: str) -> None:
    with pytest.raises(ScenarioError) as told:
        loads(TEXT.replace(old, new), "file")
    assert says in (told.value.strerror or "")


def test_an_error_travels_between_processes() -> None:
    error = ScenarioError(("link", 1, "rate"), "too slow", "file", 7)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.line) == (str(error), error.path, error.line)


def test_a_mark_of_the_byte_order_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_text(TEXT, encoding="utf-8-sig")
    assert load(path) == loads(TEXT)
