"""The fault device around a real TAP: the kernel on the other side notices, and the data arrives all the same."""

import hashlib
import re
import time
from statistics import median

import pytest

from stack.daemon.services import content
from stack.device.pcapng import INBOUND, OUTBOUND, read_pcapng
from tests.support.netns import STACK, Daemon, need
from tests.support.tshark import assert_clean

pytestmark = pytest.mark.netns
SIZE = 5_000_000


def test_delay_of_each_way_shows_in_every_ping(namespace, tmp_path):
    with Daemon(namespace, tmp_path, "--delay", "15"):
        out = namespace.run("ping", "-c", "20", "-i", "0.05", STACK).stdout
    times = [float(text) for text in re.findall(r"time=([\d.]+)", out)]
    assert len(times) == 20
    assert min(times) >= 30.0
    assert median(times) < 40.0


def test_loss_and_duplication_show_in_pings(namespace, tmp_path):
    with Daemon(namespace, tmp_path, "--loss", "0.2", "--duplicate", "0.2"):
        out = namespace.run("ping", "-c", "300", "-i", "0.01", "-W", "1", STACK, check=False).stdout
    received, duplicates = (int(re.search(pattern, out)[1]) for pattern in (r"(\d+) received", r"\+(\d+) duplicates"))
    assert 150 < received < 260  # 64 % of 300, five sigma
    assert duplicates > 20


@pytest.mark.parametrize("device", [(), ("--no-offload",)], ids=["offload", "plain"])
def test_everything_at_once_leaves_the_data_whole(namespace, tmp_path, device):
    need("tshark", "curl")
    capture, got, given = tmp_path / "faults.pcapng", tmp_path / "got", tmp_path / "given"
    given.write_bytes(hashlib.shake_128(b"given").digest(SIZE))
    faults = ("--loss", "0.005", "--duplicate", "0.01", "--corrupt", "0.005", "--reorder", "0.02", "--delay", "1")
    with Daemon(namespace, tmp_path, *device, *faults, "--capture", str(capture)):
        namespace.run("curl", "-sS", "-m", "60", "-o", str(got), f"http://{STACK}/bytes/{SIZE}", timeout=65)
        out = namespace.run("curl", "-sS", "-m", "60", "-T", str(given), f"http://{STACK}/upload", timeout=65).stdout
    assert hashlib.sha256(got.read_bytes()).hexdigest() == content.sha256(SIZE)
    assert hashlib.sha256(given.read_bytes()).hexdigest() in out
    assert_clean(capture, [STACK], loss_free=False)
    with capture.open("rb") as file:
        packets = read_pcapng(file).packets
    assert abs(packets[0].time / 1e6 - time.time()) < 300
    remarks = {(packet.direction, comment) for packet in packets for comment in packet.comments}
    assert (INBOUND, "dropped: tcp_checksum") in remarks
    assert any(direction == OUTBOUND and text.startswith("retransmission") for direction, text in remarks)
