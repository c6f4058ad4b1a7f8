"""`tapstack rpcinfo` and `tapstack call` with C's rpcbind and server, by the daemon and through kernel sockets."""

import json
import re

import pytest

from tests.support.netns import HOST, STACK, Daemon, Namespace, need, tapstack
from tests.support.rpc_calc import CALC_X, PROGRAM, CalcPrograms
from tests.support.rpc_net import PROGRAMS, Place

pytestmark = [pytest.mark.netns, pytest.mark.interop]
every_way = pytest.mark.parametrize("via", ["daemon", "kernel"])
every_proto = pytest.mark.parametrize("proto", ["udp", "tcp"])
PORT = 2052
CALC = str(CALC_X)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """The daemon; rpcbind and the calc server in C are at the kernel's end of its device."""
    need(*PROGRAMS)
    folder = tmp_path_factory.mktemp("cli")
    built = folder / "calc"
    built.mkdir()
    with Namespace() as namespace, Daemon(namespace, folder) as made:
        made.settle()
        place = Place("host", namespace, HOST, folder, CalcPrograms(built))
        place.start_rpcbind()
        with place.calc(PORT):
            yield made


def command(daemon, *words, check=True):
    """What it prints, what it says, its exit status; the daemon's control socket is among the words."""
    control = ["--control", str(daemon.log.parent / "control.sock")]
    done = daemon.namespace.run(*tapstack(*words, *control), check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@every_way
@every_proto
def test_a_call(daemon, via, proto):
    words = (
        "call",
        CALC,
        HOST,
        "CALC_DO",
        '{"what": "MUL", "a": 1099511627776, "b": -3}',
        "--proto",
        proto,
        "--via",
        via,
    )
    done = command(daemon, *words)
    assert json.loads(done.stdout) == {"status": 0, "value": -3298534883328}
    how = f"by the daemon on tapstack0, from {STACK}" if via == "daemon" else "through kernel sockets"
    assert done.stderr == f";; called {how}\n"


EVERYTHING = {
    "small": -1, "natural": 1, "large": -(1 << 63), "vast": (1 << 64) - 1, "flag": True, "single": 1.5, "twice": -0.1,
    "what": "DIV", "five": "0001feff80", "some": "", "text": "grüß dich", "fixed": [1, 2, 3, 4, 5, 6, 7, 8],
    "counts": [7], "corners": [{"x": 1.0, "y": 2.0}], "centre": None, "note": {"present": True, "text": "a"},
    "last": {"status": "TOO_BIG", "why": "b"},
}  # fmt: skip


@every_way
def test_every_type(daemon, via):
    done = command(daemon, "call", CALC, HOST, "CALC_EVERYTHING", json.dumps(EVERYTHING), "--via", via)
    assert json.loads(done.stdout) == EVERYTHING
    assert "grüß dich" in done.stdout


@every_way
def test_lists_and_several_arguments(daemon, via):
    nodes = [{"value": number} for number in range(1000)]
    done = command(daemon, "call", CALC, HOST, "CALC_REVERSE", json.dumps(nodes), "--compact", "--via", via)
    assert json.loads(done.stdout) == nodes[::-1]
    assert command(daemon, "call", "--via", via, CALC, HOST, "CALC_ADD3", "1", "2", "-3").stdout == "0\n"


@every_way
def test_who_calls(daemon, via):
    assert json.loads(command(daemon, "call", CALC, HOST, "CALC_WHO", "--via", via).stdout)["flavor"] == 0
    said = json.loads(command(daemon, "call", CALC, HOST, "CALC_WHO", "--auth", "sys", "--via", via).stdout)
    assert (said["flavor"], said["uid"], said["gid"]) == (1, 0, 0)
    assert said["machine"]


@every_way
def test_what_is_registered(daemon, via):
    done = command(daemon, "rpcinfo", HOST, "--via", via)
    rows = [re.split(r" {2,}", line) for line in done.stdout.splitlines()[2:]]
    ours = sorted(tuple(row[1:5]) for row in rows if row[0] == str(PROGRAM))
    assert ours == [(version, kind, "0.0.0.0", str(PORT)) for version in "12" for kind in ("tcp", "udp")]
    assert ["100000", "4", "tcp", "0.0.0.0", "111", "rpcbind", "superuser"] in rows
    assert done.stdout.startswith(";; asked by the daemon" if via == "daemon" else ";; asked through kernel sockets")


@every_way
@every_proto
def test_whether_it_answers(daemon, via, proto):
    done = command(daemon, "rpcinfo", HOST, str(PROGRAM), "--proto", proto, "--via", via)
    assert done.stdout.splitlines()[1:] == [
        f"program {PROGRAM} version {version} over {proto}: ready" for version in "12"
    ]
    done = command(daemon, "rpcinfo", HOST, str(PROGRAM), "9", "--proto", proto, "--via", via, check=False)
    assert done.returncode == 1
    assert done.stderr == f"tapstack: program {PROGRAM} at {HOST} has versions 1 to 2 only\n"
    done = command(daemon, "rpcinfo", HOST, "nfs", "--proto", proto, "--via", via, check=False)
    assert done.returncode == 1
    assert done.stderr == f"tapstack: program 100003 is not registered at {HOST} over {proto}\n"


@every_way
def test_nobody_there(daemon, via):
    done = command(daemon, "call", CALC, HOST, "CALC_COUNT", "--port", "9", "--via", via, check=False)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@every_way
def test_a_cut_connection_may_have_run(daemon, via):
    before = int(command(daemon, "call", CALC, HOST, "CALC_COUNT", "--via", via).stdout)
    done = command(daemon, "call", CALC, HOST, "CALC_CUT", "-W", "2", "--via", via, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("it may have run\n")
    assert int(command(daemon, "call", CALC, HOST, "CALC_COUNT", "--via", via).stdout) == before + 1
