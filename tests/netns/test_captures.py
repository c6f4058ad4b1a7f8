"""What Wireshark thinks of our packets in the tests with real peers.  (That it would notice: tests/unit/support.)"""

import pytest

from tests.support.netns import DEVICE, HOST, STACK, Daemon, Namespace, join_by_bridge, need
from tests.support.rfc import rfc
from tests.support.tshark import assert_clean

pytestmark = [pytest.mark.netns, pytest.mark.interop]


@rfc("9293", "3.1", "X-2")
@pytest.mark.parametrize("options", [(), ("--no-offload",)], ids=["offload", "plain"])
def test_without_loss_no_packet_draws_a_remark(namespace, tmp_path, options):
    need("tshark", "arping", "traceroute", "nc", "curl", "nmap")
    capture = tmp_path / "clean.pcapng"
    with Daemon(namespace, tmp_path, *options, "--capture", str(capture)):
        for command in (
            ("ping", "-c", "5", "-i", "0.01", STACK),
            ("ping", "-c", "2", "-i", "0.01", "-s", "65000", STACK),
            ("arping", "-c", "2", "-I", DEVICE, "-s", HOST, STACK),
            ("traceroute", "-n", "-q", "1", "-m", "2", STACK),
            ("curl", "-sS", "-m", "10", f"http://{STACK}/"),
            ("curl", "-sS", "-m", "10", "-o", "/dev/null", f"http://{STACK}/bytes/2000000"),
            ("nmap", "-n", "-Pn", "-sS", "-p", "1-200", STACK),
        ):
            namespace.run(*command)
        text = "to and fro\n" * 20_000
        assert namespace.run("nc", "-N", STACK, "7", text=text).stdout == text
        assert namespace.run("nc", "-u", "-w", "1", STACK, "7", text="datagram\n").stdout == "datagram\n"
    assert_clean(capture, [STACK], loss_free=True)


@rfc("9293", "3.1", "X-2")
def test_with_loss_nothing_sent_is_malformed_or_out_of_bounds(namespace, tmp_path):
    need("tshark", "curl", "nft", "ethtool")
    capture = tmp_path / "lossy.pcapng"
    with Namespace() as client, Daemon(namespace, tmp_path, "--capture", str(capture)):
        join_by_bridge(namespace, client)
        namespace.drop("near", 20)
        client.drop("far", 20)
        client.run("curl", "-sS", "-m", "30", "-o", "/dev/null", f"http://{STACK}/bytes/4000000", timeout=35)
        (tmp_path / "data").write_bytes(bytes(4_000_000))
        client.run("curl", "-sS", "-m", "30", "-T", str(tmp_path / "data"), f"http://{STACK}/upload", timeout=35)
        assert client.dropped()
        assert namespace.dropped()
    assert_clean(capture, [STACK], loss_free=False)
