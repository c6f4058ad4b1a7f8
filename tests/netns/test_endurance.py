"""Many connections and bad frames: nothing is lost, and memory stays where it is."""

import subprocess
import sys

import pytest

from tests.support.mutate import mutated, originals
from tests.support.netns import DEVICE, HOST, ROOT, STACK, wait_until
from tests.support.rfc import rfc

pytestmark = pytest.mark.netns


def test_10_000_idle_connections_are_held_in_8_kib_each(stack, record_property):
    script = str(ROOT / "tools/bench/idle_client.py")
    before = stack.memory()
    client = stack.namespace.start(sys.executable, script, STACK, "7", "10000", stdin=subprocess.PIPE)
    assert client.stdout.readline() == "opened 10000\n"
    each = (stack.memory() - before) / 10_000
    record_property("bytes_per_idle_connection", round(each))
    sys.stdout.write(f"an idle established connection takes {each:.0f} bytes\n")
    client.stdin.write("\n")
    client.stdin.flush()
    assert client.stdout.readline() == "echoed 10000\n"
    client.stdin.close()
    assert client.wait(10) == 0
    assert 0 < each <= 8192


def answers_ping(namespace):
    """Some mutants are sound ARP packets that give us a wrong link address; the stack has to notice and ask again."""
    return namespace.run("ping", "-c", "1", "-W", "1", STACK, check=False).returncode == 0


@rfc("1122", "1.2.2", "X-5")
@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in range(2, 10))])
def test_100_000_mutated_frames_do_no_harm(stack, seed):
    """All go through the device; ping is answered afterwards and between, and memory stops growing."""
    namespace = stack.namespace
    stack.settle()
    namespace.run("ping", "-c", "1", STACK)
    addresses = [namespace.run("cat", f"/sys/class/net/{DEVICE}/address").stdout]
    addresses += [line.split()[4] for line in namespace.run("ip", "neigh", "show", STACK).stdout.splitlines()]
    frames = originals(*(bytes.fromhex(a.strip().replace(":", "")) for a in addresses), HOST, STACK)
    sizes = []
    first = namespace.link_statistics(DEVICE)["tx_packets"]
    with namespace.packet_socket(DEVICE) as raw:
        for number, frame in enumerate(mutated(frames, 100_000, seed), 1):
            raw.send(frame)
            if number % 2_000 == 0:  # fewer than the device's queue takes
                wait_until(
                    lambda sent=number: namespace.link_statistics(DEVICE)["tx_packets"] >= first + sent,
                    "the daemon reads what was sent",
                )
            if number % 25_000 == 0:
                wait_until(lambda: answers_ping(namespace), "the daemon answers ping")
                sizes.append(stack.memory())
    assert stack.process.poll() is None
    assert sizes[-1] - sizes[1] < 2 << 20, sizes
