"""The pytest plugin: tests on simulated hosts, as somebody writes them who has installed the package."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.inner_tests import BESIDE, FAILS

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
# -- what runs


def test_a_test_runs_on_virtual_time_without_a_decorator(run):
    result = run("""
async def test_it(hosts):
    a, b = hosts(2, delay=0.5)
    assert await say(a, b) == b"hello"
    assert 3.0 <= hosts.net.time < 3.5  # ARP, SYN and the text, each there and back

async def test_hours(hosts):
    await asyncio.sleep(3000)

class TestOfAClass:
    @pytest.mark.parametrize("count", [0, 1, 30])
    async def test_method(self, hosts, count):
        made = hosts(count)
        assert len({host.name for host in made}) == count == len({host.address for host in made})
""")
    result.assert_outcomes(passed=5)


def test_faults_apply_once_on_the_way_from_one_host_to_another(run):
    result = run("""
async def test_it(hosts):
    a, b, *_ = hosts(3, delay=0.02, loss=0.25, seed=3)
    c, d = hosts(names=["carol", "dave"], mtu=600, rate=1e6)
    assert c.link.mtu == 600
    assert await say(c, d) == b"hello"
    lost, times = 0, []
    for seq in range(400):
        try:
            times.append((await a.stack.ping("b", seq=seq)).rtt_us)
        except TimeoutError:
            lost += 1
    assert sorted(times)[len(times) // 2] == 40_000
    assert 0.36 < lost / 400 < 0.52  # there and back: 1 - 0.75 ** 2
""")
    result.assert_outcomes(passed=1)


def test_fixtures_of_others_may_make_the_hosts(run):
    result = run("""
@pytest.fixture
def cluster(hosts):
    return hosts(3, seed=5, invariants=False)

async def test_it(cluster, hosts, tmp_path):
    assert await say(*cluster[:2]) == b"hello"
    assert hosts.net.network.seed == 5
    assert hosts.net.watch is None
    assert [host.name for host in cluster + hosts(1)] == ["a", "b", "c", "d"]
    with pytest.raises(OSError, match="before the first"):
        hosts(1, seed=6)
    for wrong in ({}, {"names": "ab"}, {"count": 3, "names": ["x"]}):
        with pytest.raises(TypeError):
            hosts(**wrong)
    for wrong in ({"loss": 2}, {"delay": -1}, {"delay": float("nan")}, {"mtu": 1}):
        with pytest.raises(OSError):
            hosts(names=[str(wrong)], **wrong)
""")
    result.assert_outcomes(passed=1)


def test_programs_that_hosts_are_booted_with_may_run_to_the_end(run):
    result = run("""
async def node(host):
    server = await asyncio.start_server(echo, port=7)
    await server.serve_forever()

async def test_it(hosts):
    a, b = hosts(2)
    b.boot(node)
    await asyncio.sleep(1)
    b.crash()
    b.restart()
    await asyncio.sleep(1)
    with a.active():
        reader, writer = await asyncio.open_connection("b", 7)
    writer.close()
""")
    result.assert_outcomes(passed=1)


def test_a_fixture_of_the_same_name_stays_what_it_was(run):
    result = run("""
@pytest.fixture
def hosts():
    return ["x"]

def test_it(hosts):
    assert hosts == ["x"]
""")
    result.assert_outcomes(passed=1)


# -- seeds


SEEDED = """
async def test_it(hosts):
    hosts(1)
    print("SEED", hosts.net.network.seed, hosts.net.rng.random())
"""


def test_the_seed_is_that_of_the_test_or_of_the_option(run):
    def seen(*options):
        result = run(SEEDED, "-s", *options)
        result.assert_outcomes(passed=1)
        return re.findall(r"SEED.*", result.stdout.str())

    own = seen()
    assert seen() == own
    chosen = seen("--stack-seed=12")
    assert chosen[0].startswith("SEED 12 ")
    assert seen("--stack-seed=12") == chosen


def test_what_a_report_says_repeats_the_run(run, pytester):
    text = """
import random
async def test_it(hosts):
    hosts(2, loss=0.3)
    assert False, ("DRAWN", random.random(), hosts.net.rng.random())
"""
    first = run(text)
    first.assert_outcomes(failed=1)
    again = re.search(r"^again: pytest (.*)$", first.stdout.str(), re.MULTILINE)
    assert again is not None
    second = pytester.runpytest_inprocess(*again[1].split())
    second.assert_outcomes(failed=1)
    drawn = [re.findall(r"\('DRAWN', [^)]*\)", result.stdout.str())[0] for result in (first, second)]
    assert drawn[0] == drawn[1]
    other = pytester.runpytest_inprocess("--stack-seed=1")
    assert drawn[0] not in other.stdout.str()


# -- failures


def test_a_failure_names_seed_capture_and_last_events(run, tmp_path):
    result = run(FAILS, f"--stack-captures={tmp_path}/captures")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*Error*assert b'hello' == b'goodbye'*",
            "*simulated network*",
            "again: pytest test_it.py::test_it --stack-seed=*",
            "capture: *.pcapng",
            "seed *, at * us; the last events:",
            "* us *TCP 10.0.0.1 > 10.0.0.2*",
        ]
    )
    assert "supervise" not in result.stdout.str()  # our frames are no business of the test's
    (capture,) = (tmp_path / "captures").iterdir()
    seen = subprocess.run(
        ["tshark", "-r", capture, "-Y", "tcp.flags.syn==1 && tcp.flags.ack==0", "-T", "fields", "-e", "ip.dst"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(seen.split()) == {"10.0.0.2"}


def test_without_the_option_captures_are_among_temporary_files(run):
    result = run(FAILS)
    path = re.search(r"^capture: (.*)$", result.stdout.str(), re.MULTILINE)
    assert path is not None
    assert Path(path[1]).stat().st_size > 1000


def test_a_capture_that_cannot_be_written_hides_nothing(run, tmp_path):
    (tmp_path / "file").write_text("")
    result = run(FAILS, f"--stack-captures={tmp_path}/file")
    result.stdout.fnmatch_lines(["*assert b'hello' == b'goodbye'*", "capture: not written: *"])


def test_a_deadlock_and_the_end_of_time_name_who_waits(run):
    result = run(
        """
async def test_deadlock(hosts):
    await asyncio.Event().wait()

@pytest.mark.stack_timeout(100)
async def test_too_long(hosts):
    while True:
        await asyncio.sleep(1)

async def test_longer_than_the_option(hosts):
    await asyncio.sleep(60)

@pytest.mark.stack_timeout("long")
async def test_wrong(hosts):
    pass
""",
        "--stack-timeout=50",
    )
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "Deadlock: nothing is left to do at 0 us *, and these wait for ever:",
            "  test_deadlock in test_deadlock (test_it.py:*) > Event.wait *",
            "OutOfTime: the virtual time is over at 100000000 us *",
            "  test_too_long in test_too_long (test_it.py:*) > sleep *",
            "more virtual time: --stack-timeout*",
            "  test_longer_than_the_option in *",
            "stack_timeout: long is no number of virtual seconds",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert "All traceback entries" not in result.stdout.str()


def test_outcomes_that_are_no_failures_stay_what_they_are(run):
    result = run("""
async def test_skipped(hosts):
    pytest.skip("not today")

@pytest.mark.xfail(raises=AssertionError, strict=True)
async def test_xfail(hosts):
    raise AssertionError

async def test_fail(hosts):
    pytest.fail("by hand")

async def test_group(hosts):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1))
        group.create_task(asyncio.open_connection("a", 1))

async def boom(host):
    raise KeyError("booted")

async def test_booted(hosts):
    (a,) = hosts(1)
    a.boot(boom)
    await asyncio.sleep(1)
""")
    result.assert_outcomes(skipped=1, xfailed=1, failed=3)
    result.stdout.fnmatch_lines(["*Failed: by hand*", "*no host of this simulation*", "*KeyError: 'booted'*"])


def test_what_a_handler_raises_is_in_the_log(run):
    result = run("""
async def test_it(hosts, caplog):
    a, b = hosts(2)
    async def bad(reader, writer):
        with __import__("contextlib").closing(writer):
            raise ValueError("in the handler")
    with b.active():
        server = await asyncio.start_server(bad, port=7)
    with a.active():
        reader, writer = await asyncio.open_connection("b", 7)
    assert await reader.read() == b""
    writer.close()
    server.close()
    assert "in the handler" in caplog.text
""")
    result.assert_outcomes(passed=1)


# -- what is refused


REFUSED = """
import unittest

def test_sync(hosts):
    pass

async def test_dynamic(request):
    pass

class TestOfUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _hosts(self, hosts):
        pass

    def test_it(self):
        pass

class TestOfUnittestAsync(unittest.IsolatedAsyncioTestCase):
    @pytest.mark.usefixtures("hosts")
    async def test_it(self):
        pass

@pytest.fixture
async def asynchronous(hosts):
    return 1

async def test_async_fixture(asynchronous, hosts):
    pass

@pytest.fixture
def coroutine():
    async def value():
        pass
    return value()

async def test_coroutine_of_a_fixture(coroutine, hosts):
    pass

@pytest.fixture(scope="module")
def module_wide(hosts):
    pass

async def test_module_wide(module_wide):
    pass

def test_of_others():
    pass
"""


def test_tests_that_cannot_run_on_hosts_are_told_so(run):
    result = run(
        REFUSED,
        "--deselect=test_it.py::test_dynamic",
    )
    result.assert_outcomes(errors=5, failed=1, passed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "`hosts` is for `async def` tests that name it, or a fixture that does",
            "`hosts` is not for classes of unittest*",
            "`hosts` is not for classes of unittest*",
            "*async fixture 'asynchronous'*",
            "*ScopeMismatch*",
            "the fixture 'coroutine' is async, which `hosts` does not run*",
        ]
    )


# -- other plugins, processes, keyboards


def test_pytest_asyncio_leaves_our_tests_alone(run_apart):
    theirs = """
@pytest.mark.asyncio
async def test_theirs():
    await asyncio.sleep(0)
    assert type(asyncio.get_running_loop()).__module__.startswith(("asyncio", "uvloop"))
"""
    for mode in ("auto", "strict"):
        result = run_apart(BESIDE + theirs, "-p", "asyncio", f"--asyncio-mode={mode}")
        result.assert_outcomes(passed=2)


def test_anyio_leaves_our_tests_alone(run_apart):
    theirs = """
@pytest.mark.anyio
async def test_theirs(anyio_backend):
    await asyncio.sleep(0)

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_both(hosts):
    a, b = hosts(2)
    assert await say(a, b) == b"hello"
"""
    run_apart(BESIDE + theirs, "-p", "anyio").assert_outcomes(passed=3)
    run_apart(BESIDE + theirs, "-p", "anyio", "-o", "anyio_mode=auto").assert_outcomes(passed=3)


def test_xdist_shows_the_same_as_one_process(run_apart):
    apart = run_apart(FAILS + BESIDE, "-p", "xdist", "-n", "2")
    apart.assert_outcomes(failed=1, passed=1)
    alone = run_apart(FAILS + BESIDE)
    sections = [re.search(r"^again:.*$", each.stdout.str(), re.MULTILINE)[0] for each in (apart, alone)]
    assert sections[0] == sections[1]
    apart.stdout.fnmatch_lines(["capture: *.pcapng", "seed *"])


def test_ctrl_c_ends_the_run(run_apart):
    result = run_apart("""
import os, signal
async def test_it(hosts):
    asyncio.get_running_loop().call_later(5, os.kill, os.getpid(), signal.SIGINT)
    while True:
        await asyncio.sleep(1)

async def test_never(hosts):
    print("NEVER")
""")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*KeyboardInterrupt*"])
    assert "NEVER" not in result.stdout.str()


def test_it_costs_nothing_where_it_is_not_used(run_apart):
    result = run_apart(
        """
import sys
def test_it():
    loaded = [name for name in sys.modules if name.startswith("stack.")]
    assert sorted(loaded) == ["stack._form", "stack.testing"]
    assert "asyncio" not in sys.modules or "asyncio" in BEFORE
""",
        head="import sys\nBEFORE = set(sys.modules)\n",
    )
    result.assert_outcomes(passed=1)


def test_after_installation_it_is_there(run_apart, pytester, monkeypatch):
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    info = pytester.mkdir("tapstack-0.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tapstack\nVersion: 0\n")
    (info / "RECORD").write_text("stack/__init__.py,,\nstack/testing/__init__.py,,\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    text = BESIDE + "def test_others():\n    pass\n"
    run_apart(text)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    for options in ("", "-p stack.testing"):
        pytester.makeini(f"[pytest]\naddopts = --strict-markers {options}")
        pytester.runpytest_subprocess("-W", "error::pytest.PytestAssertRewriteWarning").assert_outcomes(passed=2)
    pytester.runpytest_subprocess("-p", "no:stack.testing").assert_outcomes(passed=1, errors=1)


# -- the page


def test_the_page_is_true(run):
    """Each block of docs/testing.md is a file of tests that pass; what is said to fail fails as it is shown."""
    blocks = re.findall(r"```(python|text)\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)
    programs = [text for kind, text in blocks if kind == "python"]
    (shown,) = [text for kind, text in blocks if kind == "text"]
    good = run("".join(programs), head="")
    counts = good.parseoutcomes()
    assert counts.pop("failed") == 1
    assert counts["passed"] >= 3
    for line in shown.splitlines():
        if not line.endswith("..."):
            good.stdout.fnmatch_lines([line.replace("[", "[[]")])
