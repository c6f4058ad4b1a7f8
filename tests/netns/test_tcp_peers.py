"""curl, nc and wrk against the daemon's services."""

import hashlib
import re

import pytest

from stack.daemon.services import content
from tests.support.netns import STACK, need
from tests.support.rfc import rfc

pytestmark = [pytest.mark.netns, pytest.mark.interop]
MIB = 1 << 20


def sha256(path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(namespace, size, target, timeout=60.0):
    """`/bytes/N` with curl, compared with what the server must have sent."""
    url = f"http://{STACK}/bytes/{size}"
    namespace.run("curl", "-sS", "--fail", "-m", str(timeout), "-o", str(target), url, timeout=timeout + 5)
    assert target.stat().st_size == size
    assert sha256(target) == content.sha256(size)


def upload(namespace, source, timeout=60.0):
    """A file sent to `/upload` with curl, compared with the checksum that the server answers."""
    url = f"http://{STACK}/upload"
    out = namespace.run("curl", "-sS", "--fail", "-m", str(timeout), "-T", str(source), url, timeout=timeout + 5).stdout
    assert sha256(source) in out


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    """100 MiB that no pattern of loss, duplication or misplacement leaves the same."""
    path = tmp_path_factory.mktemp("data") / "random"
    path.write_bytes(hashlib.shake_128(b"100 MiB").digest(100 * MIB))
    return path


def test_curl_gets_the_page(stack):
    out = stack.namespace.run("curl", "-sS", "--fail", "--max-time", "10", f"http://{STACK}/").stdout
    assert "<html" in out.lower()
    assert "198.18.0.1" in out, "the page shows who is connected"


@rfc("9293", "1", "X-7")
def test_100_mib_each_way_arrive_whole(stack, tmp_path, random_file):
    download(stack.namespace, 100 * MIB, tmp_path / "got")
    upload(stack.namespace, random_file)


@rfc("9293", "1", "X-1")
@pytest.mark.timeout(240)
def test_100_mib_each_way_arrive_whole_although_one_packet_in_a_hundred_is_lost(lossy, tmp_path, random_file):
    need("nft", "ethtool")
    daemon, client = lossy
    download(client, 100 * MIB, tmp_path / "got", 100)
    upload(client, random_file, 100)
    assert client.dropped() > 300
    assert daemon.namespace.dropped() > 300


@rfc("9293", "3.6.1", "MAY-1")
def test_half_close_nc_sends_its_end_and_still_gets_everything(stack):
    need("nc")
    text = "".join(f"line {n}\n" for n in range(50_000))
    assert stack.namespace.run("nc", "-N", STACK, "7", text=text).stdout == text


def test_daytime_closes_first(stack):
    assert re.search(r"\d\d:\d\d:\d\d", stack.namespace.run("nc", "-d", STACK, "13").stdout)


def test_a_closed_port_refuses_at_once(stack):
    result = stack.namespace.run("nc", "-v", "-w", "5", STACK, "81", check=False)
    assert result.returncode == 1
    assert "refused" in result.stderr


@pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_wrk_with_64_connections_sees_no_error(stack, seconds):
    need("wrk")
    out = stack.namespace.run("wrk", "-t", "1", "-c", "64", "-d", f"{seconds}s", f"http://{STACK}/bytes/100").stdout
    assert "Socket errors" not in out, out
    assert "Non-2xx" not in out, out
    assert int(re.search(r"(\d+) requests in", out)[1]) > 1000 * seconds, out
