"""What a test leaves open fails it; each kind is planted here, and allowed by the marker."""

import asyncio

import pytest

pytest_plugins = ["pytester"]

LEAKS = """
KEPT = []
udp = asyncio.DatagramProtocol

async def serving(hosts):
    a, b = hosts(2)
    with b.active():
        server = await asyncio.start_server(echo, port=7)
    with a.active():
        reader, writer = await asyncio.open_connection("b", 7)
    await asyncio.sleep(1)
    return server, writer

{mark}
async def test_it(hosts):
    server, writer = await serving(hosts)
    {end}
"""
# Of a StreamWriter that is garbage newer Pythons close the connection, and older ones, such as 3.11.2, leave it open.
CLOSED_AS_GARBAGE = hasattr(asyncio.StreamWriter, "__del__")
GARBAGE = "not closed before its StreamWriter was garbage" if CLOSED_AS_GARBAGE else "ESTABLISHED"
PLANTED = {
    "nothing": ("writer.close(); server.close()", []),
    "connections": ("KEPT.append(writer); server.close()", ["connections: a: 10.0.0.1:* > 10.0.0.2:7 ESTABLISHED"]),
    "garbage": (
        "server.close(); del writer",
        ["connections: a: 10.0.0.1:* > 10.0.0.2:7*" + GARBAGE],
    ),
    "half": ("writer.write_eof(); KEPT.append(writer); server.close(); await asyncio.sleep(1)", []),
    "listeners": ("writer.close()", ["listeners: b: 0.0.0.0:7"]),
    "datagrams": (
        "writer.close(); server.close(); await hosts(1)[0].stack.create_datagram_endpoint(udp, ('0.0.0.0', 9))",
        ["datagrams: c: 0.0.0.0:9"],
    ),
    "tasks": (
        "writer.close(); server.close()\n    asyncio.create_task(asyncio.sleep(9999), name='sleeper')",
        ["tasks: sleeper in sleep (*); made at test_it.py:*, in test_it"],
    ),
}


@pytest.fixture
def leak(run):
    return lambda kind, mark="": run(LEAKS.format(mark=mark, end=PLANTED[kind][0]))


@pytest.mark.parametrize("kind", ["nothing", "half"])
def test_who_closes_what_he_opened_passes(leak, kind):
    leak(kind).assert_outcomes(passed=1)


@pytest.mark.parametrize("kind", ["connections", "garbage", "listeners", "datagrams", "tasks"])
def test_a_planted_leak_fails_the_test_and_is_named(leak, kind):
    result = leak(kind)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["Leaked: the test left these open*", *(f"  {line}" for line in PLANTED[kind][1])])


@pytest.mark.parametrize("kind", ["connections", "garbage", "listeners", "datagrams", "tasks"])
def test_the_marker_allows_one_kind_and_no_other(leak, kind):
    of = "connections" if kind == "garbage" else kind
    other = "tasks" if kind == "listeners" else "listeners"
    assert leak(kind, "@pytest.mark.stack_leaks").parseoutcomes() == {"passed": 1}
    if kind != "connections" and (kind != "garbage" or CLOSED_AS_GARBAGE):  # the handler of an open one is a task
        assert leak(kind, f"@pytest.mark.stack_leaks('{of}')").parseoutcomes() == {"passed": 1}
    assert leak(kind, f"@pytest.mark.stack_leaks('{other}')").parseoutcomes() == {"failed": 1}


def test_a_kind_that_is_none_is_an_error(leak):
    result = leak("nothing", "@pytest.mark.stack_leaks('sockets')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["stack_leaks: unknown*"])


def test_a_test_that_failed_is_not_accused_of_leaks_too(run):
    result = run(LEAKS.format(mark="", end="raise KeyError('first')"))
    result.assert_outcomes(failed=1)
    assert "left these open" not in result.stdout.str()


def test_a_task_that_cannot_be_cancelled_ends_the_run_nevertheless(run):
    result = run("""
async def stubborn():
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass

async def test_it(hosts):
    asyncio.create_task(stubborn(), name="mule")

async def test_next(hosts):
    pass
""")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["Leaked: *", "  tasks: mule in *", "and then: the virtual time is over*"])
