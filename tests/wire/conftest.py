"""The two subjects: our daemon on a TAP device, and the Linux kernel behind a veth pair."""

import sys

import pytest

from tests.support.netns import DEVICE, PREFIX, ROOT, STACK, Daemon, Namespace, wait_until
from tests.support.wire_peer import Subject


@pytest.fixture(scope="session")
def ours(tmp_path_factory):
    # finished frames only, so that a packet socket sees what a wire would
    folder = tmp_path_factory.mktemp("ours")
    with (
        Namespace() as namespace,
        Daemon(namespace, folder, "--no-offload"),
        namespace.packet_socket(DEVICE) as raw,
    ):
        subject = Subject("ours", STACK, raw)
        subject.meet()
        yield subject


@pytest.fixture(scope="session")
def linux():
    with Namespace() as kernel, Namespace() as tester:
        kernel.ip(f"link add link0 type veth peer name link1 netns {tester.name}")
        kernel.ip(f"address add {STACK}/{PREFIX} dev link0")
        kernel.ip("link set link0 up")
        tester.ip("link set link1 up")
        kernel.run("ethtool", "-K", "link0", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        kernel.sysctl("net.ipv4.tcp_invalid_ratelimit=0")  # each script has its challenge ACKs to itself
        kernel.start(sys.executable, str(ROOT / "tests/support/kernel_services.py"), STACK)
        wait_until(
            lambda: kernel.run("nc", "-z", STACK, "19", check=False).returncode == 0, "the kernel's services answer"
        )
        with tester.packet_socket("link1") as raw:
            subject = Subject("linux", STACK, raw)
            subject.meet()
            yield subject
