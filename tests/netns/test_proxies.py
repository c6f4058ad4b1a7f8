"""Programs of this machine use the stack through its SOCKS5 proxy; curl, PySocks and a browser are the clients."""

import json
import sys

import pytest

from tests.support.netns import HOST, STACK, Daemon, Namespace, need, wait_until
from tools.netns import stop

pytestmark = pytest.mark.netns

PROXY = "127.0.0.1:1080"
WEB = 8000

NAMES = """
import asyncio
from tests.support.dns_zone_server import Served, Zone

async def main():
    async with Served(Zone("www.example.test A 198.18.0.1"), "198.18.0.1", 53) as served:
        receive = served.endpoint.datagram_received

        def noting(data, addr):
            print(addr[0], flush=True)
            receive(data, addr)

        served.endpoint.datagram_received = noting
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


class Proxied:
    """A daemon with a proxy, and servers of the kernel's on the other side of its stack."""

    def __init__(self, daemon, folder):
        self.daemon = daemon
        self.folder = folder
        self.namespace = daemon.namespace
        self.asked = folder / "names.log"

    def curl(self, *arguments, uid=None):
        """What curl says, whatever comes of it."""
        who = ["setpriv", f"--reuid={uid}", "--clear-groups"] if uid is not None else []
        return self.namespace.run(*who, "curl", "-sS", "-m", "20", *arguments, check=False)

    def status(self):
        return json.loads(self.daemon.command("status", "--json"))["socks"]

    def counted(self, name, before):
        """Wait until one more is counted than `before` says."""
        wait_until(lambda: self.status().get(name, 0) == before.get(name, 0) + 1, f"{name} is counted")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxies")
    (folder / "page.html").write_text("<html><body><p>by way of the stack</p></body></html>")
    (folder / "big").write_bytes(bytes(range(256)) * 40_000)
    settings = folder / "up.toml"
    settings.write_text(f'resolver = "{HOST}"\n[socks]\nmax_clients = 8\n')
    with Namespace() as namespace, Daemon(namespace, folder, "--config", str(settings)) as daemon:
        daemon.settle()
        made = Proxied(daemon, folder)
        names = namespace.start(sys.executable, "-c", NAMES, log=made.asked)
        web = namespace.start(
            sys.executable, "-m", "http.server", "-b", HOST, "-d", str(folder), str(WEB), log=folder / "web.log"
        )
        wait_until(lambda: made.curl(f"http://{HOST}:{WEB}/page.html").returncode == 0, "the server answers")
        wait_until(lambda: "ready" in made.asked.read_text(), "names are known")
        yield made
        stop(web)
        stop(names)


# -- CONNECT


def test_curl_goes_by_the_stack(proxied):
    need("curl")
    before = proxied.status()
    got = proxied.curl("--socks5", PROXY, f"http://{HOST}:{WEB}/page.html")
    assert "by way of the stack" in got.stdout, got.stderr
    assert f"{STACK} - -" in (proxied.folder / "web.log").read_text()  # so it came from our address
    assert "tapstack" in proxied.curl("--socks5", PROXY, f"http://{STACK}/").stdout
    wait_until(lambda: proxied.status()["open"] == 0, "both have ended")
    after = proxied.status()
    assert after["served"] == before.get("served", 0) + 2
    assert after["octets_out"] > before["octets_out"] + 1000


def test_much_comes_through_whole(proxied):
    got = proxied.folder / "got"
    result = proxied.curl("--socks5", PROXY, "-o", str(got), f"http://{HOST}:{WEB}/big")
    assert result.returncode == 0, result.stderr
    assert got.read_bytes() == (proxied.folder / "big").read_bytes()


def test_names_are_asked_by_the_stack(proxied):
    asked = proxied.asked.read_text().count(STACK)
    got = proxied.curl("--socks5-hostname", PROXY, f"http://www.example.test:{WEB}/page.html")
    assert "by way of the stack" in got.stdout, got.stderr
    assert proxied.asked.read_text().count(STACK) > asked
    assert HOST not in proxied.asked.read_text()  # the client's machine has asked nobody


@pytest.mark.parametrize(
    ("url", "reply"),
    [
        (f"http://{HOST}:1/", 5),  # refused
        ("http://198.18.0.77/", 4),  # nobody answers ARP
        ("http://no.such.test/", 4),
        ("http://224.0.0.1/", 3),
        ("http://[2001:db8::1]/", 8),
    ],
)
def test_what_goes_wrong_is_said_as_socks_says_it(proxied, url, reply):
    got = proxied.curl("--socks5-hostname", PROXY, url)
    assert got.returncode == 97
    assert f"({reply})" in got.stderr


# -- who may


def test_another_user_is_refused(proxied):
    before = proxied.status()
    url = f"http://{HOST}:{WEB}/page.html"
    refused = proxied.curl("--socks5", PROXY, url, uid=1234)
    assert (refused.returncode, refused.stdout) == (97, "")
    assert "No authentication method was acceptable" in refused.stderr
    proxied.counted("refused_user", before)
    assert "by way" in proxied.curl("--socks5", PROXY, url, uid=65_534).stdout  # whom the daemon became
    assert "by way" in proxied.curl(url, uid=1234).stdout  # the control: without the proxy that user may
