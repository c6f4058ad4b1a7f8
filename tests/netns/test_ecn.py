"""Explicit congestion notification with the Linux kernel; nftables marks packets on the way (RFC 3168)."""

import subprocess
import sys

import pytest

from tests.support.netns import HOST, STACK, Daemon, Namespace, join_by_bridge, need, wait_until
from tests.support.rfc import rfc

pytestmark = [pytest.mark.netns, pytest.mark.interop]
TOTAL = 3_000_000


def count(capture, display_filter):
    """How many packets of the capture match."""
    found = subprocess.run(
        ["tshark", "-r", str(capture), "-Y", display_filter, "-T", "fields", "-e", "frame.number"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return len(found.stdout.split())


def mark(namespace, device, every):
    """One in `every` ECN-capable packets that leave by `device` is marked "congestion experienced"."""
    rules = f"""
        table netdev marks {{
            chain out {{
                type filter hook egress device {device} priority 0;
                ip ecn ect0 numgen inc mod {every} 0 ip ecn set ce
            }}
        }}
    """
    namespace.run("nft", "-f", "-", text=rules)


@rfc("3168", "6.1", "3168-1")
@pytest.mark.parametrize("offload", [(), ("--no-offload",)], ids=["offload", "plain"])
def test_marks_are_echoed_and_answered_in_both_directions(namespace, tmp_path, offload):
    need("tshark", "nft", "curl", "ethtool")
    capture = tmp_path / "ecn.pcapng"
    with Namespace() as client, Daemon(namespace, tmp_path, *offload, "--capture", str(capture)) as daemon:
        join_by_bridge(namespace, client)
        daemon.settle()
        client.sysctl("net.ipv4.tcp_ecn=1")  # the kernel asks
        mark(namespace, "near", 50)
        mark(client, "far", 5)  # the hook sees what the kernel sends before it is cut into segments
        client.run("curl", "-sS", "-m", "30", "-o", "/dev/null", f"http://{STACK}/bytes/{TOTAL}", timeout=35)
        (tmp_path / "data").write_bytes(bytes(TOTAL))
        client.run("curl", "-sS", "-m", "30", "-T", str(tmp_path / "data"), f"http://{STACK}/upload", timeout=35)
    ours, theirs = f"ip.src == {STACK} && ", f"ip.dst == {STACK} && "
    assert count(capture, ours + "tcp.flags.syn == 1 && tcp.flags.ece == 1 && tcp.flags.cwr == 0") == 2
    # the kernel found our segments marked, and said so; we reduced, and said so
    assert count(capture, ours + "tcp.len > 0 && ip.dsfield.ecn == 2")
    assert count(capture, theirs + "tcp.flags.syn == 0 && tcp.flags.ece == 1")
    assert count(capture, ours + "tcp.flags.syn == 0 && tcp.flags.cwr == 1 && tcp.len > 0")
    # and the other way round
    assert count(capture, theirs + "ip.dsfield.ecn == 3")
    assert count(capture, ours + "tcp.flags.syn == 0 && tcp.flags.ece == 1")
    assert count(capture, theirs + "tcp.flags.syn == 0 && tcp.flags.cwr == 1 && tcp.len > 0")
    # RFC 3168 §6.1.4, §6.1.5: ECT on no SYN and on no segment without data
    assert count(capture, ours + "ip.dsfield.ecn != 0 && (tcp.len == 0 || tcp.flags.syn == 1)") == 0


@rfc("3168", "6.1.1", "3168-1")
def test_the_kernel_agrees_when_we_ask(namespace, tmp_path):
    need("tshark")
    capture, settings = tmp_path / "asked.pcapng", tmp_path / "settings.toml"
    settings.write_text('[tcp]\necn = "request"\n')
    (tmp_path / "page").write_text("as asked for")
    options = ("--config", str(settings), "--capture", str(capture))
    with Daemon(namespace, tmp_path, *options) as daemon:
        namespace.start(sys.executable, "-m", "http.server", "8000", "--bind", HOST, "--directory", str(tmp_path))
        wait_until(lambda: namespace.run("nc", "-z", HOST, "8000", check=False).returncode == 0, "the server answers")
        assert daemon.command("get", f"http://{HOST}:8000/page") == "as asked for"
    ours, theirs = f"ip.src == {STACK} && ", f"ip.dst == {STACK} && "
    assert count(capture, ours + "tcp.flags == 0x0c2") == 1
    assert count(capture, theirs + "tcp.flags == 0x052") == 1
    assert count(capture, ours + "tcp.len > 0 && ip.dsfield.ecn == 2")
    assert count(capture, theirs + "tcp.len > 0 && ip.dsfield.ecn == 2")
