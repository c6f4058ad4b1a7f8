"""`tapstack dig` and `tapstack resolve` with a daemon: who asks, from where, and what is said without a way there."""

import contextlib
import json
import sys

import pytest

from tests.support.netns import HOST, STACK, Daemon, tapstack
from tools.netns import stop

pytestmark = pytest.mark.netns

SERVER = """
import asyncio, sys
from tests.support.dns_zone_server import Served, Zone

async def main():
    zone = Zone("www.example.test A 192.0.2.1", "www.example.test AAAA 2001:db8::1", "big.example.test A 192.0.2.2",
                "1.2.0.192.in-addr.arpa PTR www.example.test.", truncate=("big.example.test.",))
    async with Served(zone, "198.18.0.1", 53) as outer, Served(zone, "127.0.0.1", 53):
        receive = outer.endpoint.datagram_received

        def noting(data, addr):
            print(addr[0], flush=True)
            receive(data, addr)

        outer.endpoint.datagram_received = noting
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


# What the C library and our loop say, where both ask one server for names.
BACKWARDS = """
import asyncio, itertools, os, socket
from stack.aio.loop import SelectorLoop
from stack.dns import Resolver
from tests.support.dns_zone_server import Served, Zone

PEERS = [
    ("10.0.0.9", 80), ("10.0.0.9", 514), ("10.0.0.9", 0), ("10.0.0.9", 64_999), ("10.0.0.8", 80), ("10.0.0.7", 80),
    ("2001:db8::9", 53, 0, 0), ("2001:db8::9", 53), ("2001:db8::8", 53, 0, 0), ("::ffff:10.0.0.9", 80, 0, 0),
    ("fe80::1%lo", 80, 0, 0), ("fe80::1", 80, 0, 1), ("127.0.0.1", 1), ("::1", 80, 0, 0), ("0.0.0.0", 80),
    ("not figures", 80), ("", 80), ("10.9", 80), (b"10.0.0.9", 80), ("a\\0b", 80),
    ("10.0.0.9", 70_000), ("10.0.0.9", -1), ("10.0.0.9", "80"), ("10.0.0.9",), (), ("10.0.0.9", 80, 0, 0),
    ("::1", 80, -1, 0), ("10.0.0.9", 80, 0, 0, 0), ["10.0.0.9", 80], "10.0.0.9", None,
]
NAMES = ("NI_NAMEREQD", "NI_NUMERICHOST", "NI_NUMERICSERV", "NI_DGRAM", "NI_NOFQDN")
FLAGS = [sum(some) for some in itertools.product(*((0, getattr(socket, name)) for name in NAMES))]
FLAGS += [-1, 1 << 10, 1 << 20, 1 << 40, None, "x", 1.5]

async def outcome(asking):
    try:
        return await asking
    except Exception as error:
        return type(error).__name__, getattr(error, "errno", None)

async def serve(ready):
    six = ".".join(reversed("20010db8" + "9".zfill(24)))
    zone = Zone("9.0.0.10.in-addr.arpa PTR www.example.test.", f"{six}.ip6.arpa PTR six.example.test.",
                "7.0.0.10.in-addr.arpa PTR $(id).test.")
    async with Served(zone, "127.0.0.1", 53):
        os.write(ready, b".")
        await asyncio.Event().wait()

async def main():
    loop = asyncio.get_running_loop()
    async with Resolver.system() as loop.resolver:
        for peer, flags in itertools.product(PEERS, FLAGS):
            theirs = await outcome(asyncio.to_thread(socket.getnameinfo, peer, flags))
            ours = await outcome(loop.getnameinfo(peer, flags))
            print("alike" if ours == theirs else "DIFFER", peer, flags, ours, theirs)

# a process of its own: some Pythons let no other thread run while the C library asks
served, ready = os.pipe()
if not (server := os.fork()):
    asyncio.run(serve(ready))
try:
    os.read(served, 1)
    with asyncio.Runner(loop_factory=SelectorLoop) as runner:
        runner.run(main())
finally:
    os.kill(server, 9)
"""


def test_getnameinfo_is_the_c_librarys(namespace, tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:1\n")
    script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
    command = (
        "unshare",
        "-m",
        "sh",
        "-c",
        script,
        "sh",
        str(tmp_path / "resolv.conf"),
        sys.executable,
        "-c",
        BACKWARDS,
    )
    shown = namespace.run(*command).stdout.splitlines()
    assert [line for line in shown if not line.startswith("alike ")] == []
    for said in ("('www.example.test', 'shell')", "('gaierror', -2)", "('gaierror', -1)", "OverflowError", "TypeError"):
        assert any(said in line for line in shown), said


@contextlib.contextmanager
def beside_a_server(namespace, folder, settings):
    """A daemon with these settings, and whom a DNS server at the kernel's end of its device hears."""
    config = folder / "up.toml"
    config.write_text(settings)
    with Daemon(namespace, folder, "--config", str(config)) as made:
        made.settle()
        server = namespace.start(sys.executable, "-c", SERVER)
        try:
            assert server.stdout.readline() == "ready\n"
            yield made, server.stdout
        finally:
            stop(server)


@pytest.fixture
def daemon(namespace, tmp_path):
    """One that asks there."""
    with beside_a_server(namespace, tmp_path, f'resolver = "{HOST}"\n') as made:
        yield made


def test_by_the_daemon_and_by_the_kernel(daemon):
    made, heard = daemon
    shown = made.command("dig", "www.example.test")
    assert shown.splitlines()[:2] == [
        f";; asked by the daemon on tapstack0, from {STACK}",
        "www.example.test.\t300\tIN\tA\t192.0.2.1",
    ]
    assert heard.readline() == f"{STACK}\n"
    shown = made.command("dig", "www.example.test", f"@{HOST}", "--via", "kernel")
    assert shown.startswith(";; asked through kernel sockets\nwww.example.test.\t300\tIN\tA\t192.0.2.1\n")
    assert heard.readline() == f"{HOST}\n"  # the kernel speaks to itself
    assert made.command("resolve", "www.example.test") == "192.0.2.1\n2001:db8::1\n"
    assert made.command("resolve", "192.0.2.1") == "www.example.test\n"
    shown = json.loads(made.command("dig", "big.example.test", "--json"))
    assert shown["via"] == "daemon"
    assert [hop["tcp"] for hop in shown["hops"]] == [False, True]
    # a nameserver on loopback is the kernel's, whoever asks
    shown = made.command("dig", "www.example.test", "@127.0.0.1")
    assert shown.startswith(f";; asked by the daemon on tapstack0, from {STACK}\nwww.example.test.")


def test_without_a_way_there_the_sentence_names_via_kernel(daemon, namespace):
    made, _ = daemon
    result = namespace.run(
        *tapstack("dig", "www.example.test", "@192.0.2.99", "-W", "1", "--control", str(made._control)), check=False
    )
    assert result.returncode == 1
    assert "use --via kernel" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_daemon_with_a_dns_service_asks_as_that_does(namespace, tmp_path):
    by = f";; asked by the daemon on tapstack0, from {STACK}"
    with beside_a_server(namespace, tmp_path, f'[dns]\nforward = ["{HOST}"]\n') as (made, heard):
        shown = made.command("dig", "www.example.test").splitlines()
        assert shown[:2] == [
            f"{by}, by its [dns], which forwards to {HOST}",
            "www.example.test.\t300\tIN\tA\t192.0.2.1",
        ]
        assert heard.readline() == f"{STACK}\n"
        assert made.command("resolve", "192.0.2.1") == "www.example.test\n"
        # a server that is named goes before
        assert made.command("dig", "www.example.test", "@127.0.0.1").splitlines()[0] == by
    # and so does `resolver`, where it is set
    settings = f'resolver = "{HOST}"\n[dns]\nforward = ["192.0.2.99"]\n'
    with beside_a_server(namespace, tmp_path, settings) as (made, heard):
        assert made.command("dig", "www.example.test").splitlines()[0] == by
        assert heard.readline() == f"{STACK}\n"


@pytest.mark.parametrize("beyond", ["", f'forward = ["{HOST}"]\n'])
def test_a_daemon_finds_the_names_of_its_own_zones(namespace, tmp_path, beyond):
    (tmp_path / "corp.zone").write_text("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nwww A 198.18.0.1\n")
    settings = f'[dns]\n{beyond}[dns.zones]\n"private.corp" = "{tmp_path}/corp.zone"\n'
    with beside_a_server(namespace, tmp_path, settings) as (made, _):
        assert made.command("dig", "www.private.corp").splitlines()[1] == "www.private.corp.\t60\tIN\tA\t198.18.0.1"
        assert made.command("resolve", "www.private.corp") == "198.18.0.1\n"
        assert "198.18.0.1" in made.command("ping", "-c", "1", "www.private.corp")
