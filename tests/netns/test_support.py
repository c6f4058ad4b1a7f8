"""The namespace helpers clean up after themselves, and the loss they promise happens."""

import subprocess
from pathlib import Path

import pytest

from tests.support.netns import CommandFailed, Namespace

pytestmark = pytest.mark.netns


OWN = Path("/proc/thread-self/ns/net")


def names() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True, timeout=10).stdout


def test_a_namespace_goes_with_its_processes_also_after_a_failure():
    with pytest.raises(ZeroDivisionError), Namespace() as namespace:
        orphan = namespace.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!").stdout.strip()
        process = namespace.start("sleep", "1000")
        assert namespace.name in names()
        assert Path(f"/proc/{orphan}").exists()
        raise ZeroDivisionError
    assert namespace.name not in names()
    assert process.poll() is not None
    assert not Path(f"/proc/{orphan}").exists() or "Z" in Path(f"/proc/{orphan}/stat").read_text().split()[2]


def test_a_program_that_hangs_or_fails_fails_the_test(namespace):
    with pytest.raises(CommandFailed, match="not done after"):
        namespace.run("sleep", "100", timeout=0.1)
    with pytest.raises(CommandFailed, match="exit status 1"):
        namespace.run("false")


def test_the_thread_is_back_in_its_own_namespace_after_entering_another(namespace):
    before = OWN.readlink()
    with namespace.entered():
        assert OWN.readlink() != before
    assert OWN.readlink() == before


def test_loss_is_what_was_asked_for_and_without_the_rule_there_is_none(namespace):
    with Namespace() as other:
        namespace.ip(f"link add here type veth peer name there netns {other.name}")
        for one, device, address in ((namespace, "here", "10.0.0.1/24"), (other, "there", "10.0.0.2/24")):
            one.ip(f"address add {address} dev {device}")
            one.ip(f"link set {device} up")
        ping = ("ping", "-q", "-f", "-c", "1000", "10.0.0.2")
        assert " 1000 received" in namespace.run(*ping).stdout
        other.drop("there", 100)
        assert " 1000 received" not in namespace.run(*ping).stdout
        assert 50 < other.dropped() < 150
