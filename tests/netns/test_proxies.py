"""Programs of this machine use the stack through its SOCKS5 proxy; curl, PySocks and a browser are the clients."""

import contextlib
import json
import signal
import socket
import struct
import sys

import pytest

from stack.proxy.socks5 import wrap
from tests.support.netns import HOST, STACK, Daemon, Namespace, need, tapstack, wait_until
from tests.support.rfc import rfc
from tools.netns import stop

pytestmark = pytest.mark.netns

PROXY = "127.0.0.1:1080"
WEB = 8000
RESET = (7, 56)  # of curl: as it connects, or afterwards

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

    def forwards(self):
        return json.loads(self.daemon.command("status", "--json")).get("forwards", [])

    def counted(self, name, before):
        """Wait until one more is counted than `before` says."""
        wait_until(lambda: self.status().get(name, 0) == before.get(name, 0) + 1, f"{name} is counted")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxies")
    (folder / "page.html").write_text("<html><body><p>by way of the stack</p></body></html>")
    (folder / "big").write_bytes(bytes(range(256)) * 40_000)
    settings = folder / "up.toml"
    settings.write_text(f'resolver = "{HOST}"\n[socks]\nmax_clients = 8\nhandshake_s = 3\n')
    with Namespace() as namespace, Daemon(namespace, folder, "--config", str(settings)) as daemon:
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
        ("http://224.0.0.1/", 2),
        ("http://127.0.0.1:1080/", 2),
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


# -- clients that are no good


def connected(proxied, port=1080, address="127.0.0.1"):
    with proxied.namespace.entered():
        return socket.create_connection((address, port), timeout=10)


def asked_for(port=WEB):
    """A greeting, and a request to connect to the server."""
    return b"\x05\x01\x00\x05\x01\x00\x01" + socket.inet_aton(HOST) + port.to_bytes(2, "big")


def received(sock, count):
    got = b""
    while len(got) < count and (piece := sock.recv(count - len(got))):
        got += piece
    return got


@pytest.mark.parametrize(
    ("nonsense", "counter", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_version", b""),
        (b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", "bad_version", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 100, "bad_version", b""),
        (b"\x05\x01\x02", "bad_method", b"\x05\xff"),
        (
            b"\x05\x01\x00\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50",
            "bad_command",
            b"\x05\x00\x05\x07\x00\x01" + bytes(6),
        ),
    ],
)
def test_nonsense_is_closed_and_counted(proxied, nonsense, counter, answer):
    before = proxied.status()
    with connected(proxied) as sock:
        sock.sendall(nonsense)
        assert received(sock, 100) == answer  # and then the end, no reset
    proxied.counted(counter, before)
    assert proxied.curl("--socks5", PROXY, f"http://{STACK}/").returncode == 0


def test_who_dribbles_is_closed_while_others_are_served(proxied):
    before = proxied.status()
    with connected(proxied) as sock:
        sock.settimeout(1)
        for octet in b"\x05\xff" + bytes(60):  # a greeting that has 255 methods, one a second
            sock.sendall(bytes((octet,)))
            assert proxied.curl("--socks5", PROXY, f"http://{STACK}/").returncode == 0
            with contextlib.suppress(TimeoutError):
                assert sock.recv(1) == b""
                break
        else:
            pytest.fail("it is served for ever")
    proxied.counted("timeout", before)


def test_a_full_table_refuses_and_counts(proxied):
    before = proxied.status()
    with contextlib.ExitStack() as open_ones:
        for _ in range(8):
            open_ones.enter_context(connected(proxied))
        wait_until(lambda: proxied.status()["open"] == 8, "the table is full")
        with connected(proxied) as sock:
            assert received(sock, 10) == b"\x05\xff"
        proxied.counted("refused_full", before)
    wait_until(lambda: proxied.status()["open"] == 0, "there is room again")
    assert proxied.curl("--socks5", PROXY, f"http://{STACK}/").returncode == 0


# -- ends and resets


@contextlib.contextmanager
def server(proxied):
    """A listening socket of the kernel's on the other side of the stack."""
    with proxied.namespace.entered():
        made = socket.create_server((HOST, 0))
    made.settimeout(10)
    with made:
        yield made


@contextlib.contextmanager
def joined(proxied):
    """A client, and the server's end of its connection."""
    with server(proxied) as listener, connected(proxied) as near:
        near.sendall(asked_for(listener.getsockname()[1]))
        assert received(near, 12)[:4] == b"\x05\x00\x05\x00"
        far, peer = listener.accept()
        assert peer[0] == STACK
        far.settimeout(10)
        with far:
            yield near, far


@pytest.mark.parametrize("client_first", [True, False])
def test_the_end_of_one_direction_leaves_the_other_open(proxied, client_first):
    with joined(proxied) as both:
        one, other = both if client_first else both[::-1]
        one.sendall(b"question")
        one.shutdown(socket.SHUT_WR)
        assert received(other, 100) == b"question"  # and the end
        other.sendall(b"answer after the end" * 1000)
        assert received(one, 20_000) == b"answer after the end" * 1000
        other.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
    wait_until(lambda: proxied.status()["open"] == 0, "nothing is left")


@pytest.mark.parametrize("client_first", [True, False])
@pytest.mark.parametrize("resets", [True, False])
def test_a_reset_is_a_reset_on_the_other_side(proxied, client_first, resets):
    with joined(proxied) as both:
        one, other = both if client_first else both[::-1]
        one.sendall(b"something")
        assert received(other, 9) == b"something"
        if resets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
            with pytest.raises(ConnectionResetError):
                other.recv(1)
        else:  # the control
            one.close()
            assert other.recv(1) == b""
    wait_until(lambda: proxied.status()["open"] == 0, "nothing is left")


def test_a_reader_that_stops_makes_the_writer_stop(proxied):
    memory = proxied.daemon.memory()
    with joined(proxied) as (near, far):
        far.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += far.send(bytes(1 << 16))
        assert sent < 64 << 20
        assert proxied.daemon.memory() < memory + (24 << 20)
        got = 0
        near.settimeout(10)
        while got < sent:
            got += len(near.recv(1 << 20))
        assert got == sent


# -- datagrams


ECHO = 7  # on the stack's own address


@contextlib.contextmanager
def associated(proxied, said=("0.0.0.0", 0)):
    """The TCP connection of an association, and where its datagrams go."""
    with connected(proxied) as control:
        control.sendall(b"\x05\x01\x00\x05\x03\x00" + wrap(*said, b"")[3:])
        answer = received(control, 12)
        assert answer[:6] == b"\x05\x00\x05\x00\x00\x01"
        yield control, (socket.inet_ntoa(answer[6:10]), int.from_bytes(answer[10:], "big"))


@pytest.fixture
def datagrams(proxied):
    """A UDP socket of the client's side."""
    with proxied.namespace.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    with sock:
        yield sock


@rfc("1928", "7", "SOCKS-UDP-END")
def test_datagrams_go_by_an_association_until_its_connection_ends(proxied, datagrams):
    before = proxied.status()
    with associated(proxied) as (_, relay):
        for text in (b"one", b"two", bytes(1400)):
            datagrams.sendto(wrap(STACK, ECHO, text), relay)
            assert datagrams.recvfrom(2000) == (wrap(STACK, ECHO, text), relay)
    wait_until(lambda: proxied.status()["open"] == 0, "it has ended")
    datagrams.connect(relay)
    datagrams.send(wrap(STACK, ECHO, b"late"))
    with pytest.raises(ConnectionRefusedError):  # by ICMP: the port is nobody's any more
        datagrams.recv(100)
    after = proxied.status()
    assert after["udp_in"] - before.get("udp_in", 0) == after["udp_out"] - before.get("udp_out", 0) == 3


def test_datagrams_to_a_name_are_looked_up_by_the_stack(proxied, datagrams):
    with server_of_datagrams(proxied) as target, associated(proxied) as (_, relay):
        port = target.getsockname()[1]
        name = b"www.example.test"
        datagrams.sendto(b"\0\0\0\x03" + bytes((len(name),)) + name + port.to_bytes(2, "big") + b"hello", relay)
        data, peer = target.recvfrom(100)
        assert (data, peer[0]) == (b"hello", STACK)
        target.sendto(b"answer", peer)
        assert datagrams.recv(100) == wrap(HOST, port, b"answer")


@contextlib.contextmanager
def server_of_datagrams(proxied):
    with proxied.namespace.entered():
        target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        target.bind((HOST, 0))
    target.settimeout(10)
    with target:
        yield target


@rfc("1928", "7", "SOCKS-UDP-SOURCE")
@pytest.mark.parametrize("said", [False, True])
def test_only_the_one_socket_may_use_an_association(proxied, datagrams, said):
    with proxied.namespace.entered():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        elsewhere.bind(("127.0.0.9", 0))
        datagrams.bind(("127.0.0.1", 0))
    with other, elsewhere, associated(proxied, datagrams.getsockname() if said else ("0.0.0.0", 0)) as (_, relay):
        before = proxied.status()
        if not said:
            datagrams.sendto(wrap(STACK, ECHO, b"first"), relay)
            datagrams.recv(100)
        for sock in (other, elsewhere):
            sock.sendto(wrap(STACK, ECHO, b"not mine"), relay)
        wait_until(
            lambda: proxied.status().get("udp_refused_source", 0) == before.get("udp_refused_source", 0) + 2,
            "both are refused",
        )
        datagrams.sendto(wrap(STACK, ECHO, b"mine"), relay)
        assert datagrams.recv(100) == wrap(STACK, ECHO, b"mine")


def test_another_users_datagrams_are_refused(proxied, datagrams):
    script = "import socket, sys, time; s = socket.socket(2, 2); s.sendto(b'x', ('127.0.0.1', int(sys.argv[1])))"
    script += "; time.sleep(1)"  # the kernel is asked while it is there
    before = proxied.status()
    with associated(proxied) as (_, relay):
        proxied.namespace.run(
            "setpriv",
            "--reuid=1234",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            f"{script}; time.sleep(1)",
            str(relay[1]),
        )
        proxied.counted("udp_refused_user", before)
        datagrams.sendto(wrap(STACK, ECHO, b"mine"), relay)  # the port is still to be had by its owner
        assert datagrams.recv(100) == wrap(STACK, ECHO, b"mine")


def test_fragments_strangers_and_nonsense_are_dropped_and_counted(proxied, datagrams):
    with (
        server_of_datagrams(proxied) as target,
        server_of_datagrams(proxied) as stranger,
        associated(proxied) as (_, relay),
    ):
        before = proxied.status()
        whole = wrap(HOST, target.getsockname()[1], b"whole")
        for bad in (b"\0\0\x01" + whole[3:], b"nonsense", b""):
            datagrams.sendto(bad, relay)
        datagrams.sendto(whole, relay)
        data, peer = target.recvfrom(100)
        assert data == b"whole"  # and nothing before it
        stranger.sendto(b"unasked", peer)
        target.sendto(b"asked", peer)
        assert datagrams.recv(100) == wrap(HOST, target.getsockname()[1], b"asked")
        after = proxied.status()
        counts = {name: after.get(name, 0) - before.get(name, 0) for name in after if name.startswith("udp_")}
        assert (counts["udp_bad_fragment"], counts["udp_bad_header"], counts["udp_refused_stranger"]) == (1, 2, 1)


PYSOCKS = """
import socket, socks, sys

host, port, udp_port = sys.argv[1], int(sys.argv[2]), 7
tcp = socks.socksocket()
tcp.set_proxy(socks.SOCKS5, "127.0.0.1", 1080, rdns=True)
tcp.settimeout(10)
tcp.connect(("www.example.test", port))
tcp.sendall(b"GET /page.html HTTP/1.0\\r\\n\\r\\n")
got = b""
while piece := tcp.recv(4096):
    got += piece
print(b"by way of the stack" in got)

udp = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
udp.set_proxy(socks.SOCKS5, "127.0.0.1", 1080)
udp.settimeout(10)
for size in (1, 1000):
    udp.sendto(b"x" * size, (host, udp_port))
    data, peer = udp.recvfrom(2000)
    print(len(data), peer)
"""


def test_pysocks_is_served(proxied):
    said = proxied.namespace.run(sys.executable, "-c", PYSOCKS, STACK, str(WEB)).stdout
    assert said.splitlines() == ["True", f"1 ('{STACK}', 7)", f"1000 ('{STACK}', 7)"]


def test_a_browser_is_served(proxied, tmp_path):
    need("chromium")
    page = proxied.namespace.run(
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        f"--proxy-server=socks5://{PROXY}",
        "--proxy-bypass-list=<-loopback>",
        "--virtual-time-budget=2000",
        "--dump-dom",
        f"http://www.example.test:{WEB}/page.html",
        timeout=60,
    ).stdout
    assert "by way of the stack" in page


# -- forwarded ports


@contextlib.contextmanager
def forwarded(proxied, *arguments):
    """`tapstack forward` at work, and what it said."""
    log = proxied.folder / f"forward-{len(list(proxied.folder.iterdir()))}.log"
    command = tapstack("forward", *arguments, "--control", str(proxied.folder / "control.sock"))
    process = proxied.namespace.start(*command, log=log)
    try:
        wait_until(lambda: log.read_text() or process.poll() is not None, "it forwards")
        yield process, log
    finally:
        status = stop(process, signal.SIGINT)
    assert status == 0, log.read_text()
    wait_until(lambda: not proxied.forwards(), "it has ended")


def test_a_port_leads_through_the_stack_until_ctrl_c(proxied):
    with forwarded(proxied, "8080", f"www.example.test:{WEB}") as (_, log):
        assert log.read_text() == (
            f"forwarding the kernel's 127.0.0.1:8080 to www.example.test:{WEB} on the stack's side; Ctrl-C ends it\n"
        )
        got = proxied.curl("http://127.0.0.1:8080/page.html")
        assert "by way of the stack" in got.stdout, got.stderr
        [line] = proxied.forwards()
        assert (line["listen"], line["to"], line["served"]) == ("127.0.0.1:8080", f"www.example.test:{WEB}", 1)
        assert "127.0.0.1:8080" in proxied.daemon.command("status")
        refused = proxied.curl("http://127.0.0.1:8080/page.html", uid=1234)
        assert (refused.returncode in RESET, refused.stdout) == (True, "")
        assert proxied.forwards()[0]["refused_user"] == 1
    assert proxied.curl("http://127.0.0.1:8080/").returncode == 7  # refused: nobody listens any more


def test_anyone_is_served_if_it_is_said(proxied):
    with forwarded(proxied, "--anyone", "8081", f"{HOST}:{WEB}"):
        assert "by way" in proxied.curl("http://127.0.0.1:8081/page.html", uid=1234).stdout


def test_a_port_of_the_stack_leads_to_a_server_of_the_kernel(proxied):
    with forwarded(proxied, "--in", "9000", f"{HOST}:{WEB}") as (_, log):
        assert log.read_text().startswith(f"forwarding the stack's *:9000 to {HOST}:{WEB} on the kernel's side")
        assert "by way of the stack" in proxied.curl(f"http://{STACK}:9000/page.html").stdout
        assert proxied.forwards()[0]["in"] is True


def test_nobody_at_the_target_is_a_reset(proxied):
    with forwarded(proxied, "8082", f"{HOST}:1"):
        assert proxied.curl("http://127.0.0.1:8082/").returncode in RESET
        assert proxied.forwards()[0]["failed"] == 1


@pytest.mark.parametrize("inward", [False, True])
def test_datagrams_are_forwarded_and_answered(proxied, inward):
    with proxied.namespace.entered():
        target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        target.bind((HOST, 0))
        one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    to = f"{HOST}:{target.getsockname()[1]}"
    where = (STACK, 9053) if inward else ("127.0.0.1", 9053)
    with target, one, two, forwarded(proxied, *(["--in"] if inward else []), "9053/udp", to):
        peers = set()
        for sock, text in ((one, b"one"), (two, b"two"), (one, b"one")):
            sock.settimeout(10)
            target.settimeout(10)
            sock.sendto(text, where)
            data, peer = target.recvfrom(100)
            peers.add(peer)
            assert data == text
            target.sendto(b"answer to " + data, peer)
            assert sock.recvfrom(100) == (b"answer to " + text, where)
        assert len(peers) == 2  # each sender has its own
        assert {peer[0] for peer in peers} == {HOST if inward else STACK}
        [line] = proxied.forwards()
        assert (line["open"], line["served"], line["octets_in"]) == (2, 2, 9)


def test_datagrams_of_another_user_go_nowhere(proxied):
    script = "import socket, time; s = socket.socket(2, 2); s.sendto(b'x', ('127.0.0.1', 9054)); time.sleep(1)"
    with forwarded(proxied, "9054/udp", f"{HOST}:9"):
        for uid, count in ((1234, "refused_user"), (65_534, "served")):  # the second one is the control
            assert count not in proxied.forwards()[0]
            proxied.namespace.run("setpriv", f"--reuid={uid}", "--clear-groups", "/usr/bin/python3", "-c", script)
            assert proxied.forwards()[0][count] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("1080", "198.18.0.1:80"), "port 1080 of the kernel's 127.0.0.1 is in use"),
        (("--in", "80", "127.0.0.1:80"), "port *:80 of the stack is in use: choose another"),
        (("--in", "10.0.0.1:81", "127.0.0.1:80"), "10.0.0.1 is not an address of the stack: leave it out"),
        (("--in", "7/udp", "127.0.0.1:80"), "port *:7/udp of the stack is in use: choose another"),
        (("8080", "127.0.0.1:80"), "127.0.0.1 is no target: the stack does not reach this machine's loopback"),
        (("80", "198.18.0.1:80"), "port 80 of the kernel's 127.0.0.1 needs root"),
        (("8080", "198.18.0.1"), "'198.18.0.1' is no target"),
        (("0.0.0.0:8080", "198.18.0.1:80"), "the address 0.0.0.0 is not on loopback"),
        (("9.9.9.9:8080", "198.18.0.1:80", "--anyone"), "9.9.9.9 is not an address of this machine"),
    ],
)
def test_what_cannot_be_forwarded_is_said_in_one_sentence(proxied, arguments, says):
    command = tapstack("forward", *arguments, "--control", str(proxied.folder / "control.sock"))
    result = proxied.namespace.run(*command, check=False)
    assert result.returncode == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
