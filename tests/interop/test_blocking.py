"""Unmodified blocking libraries over a host of ours, against servers and clients of the kernel's."""

import contextlib
import gc
import http.client
import http.server
import io
import shutil
import smtplib
import socket as stdlib
import socketserver
import ssl
import subprocess
import sys
import threading
from email.message import EmailMessage
from pathlib import Path

import pytest

import stack
from stack import socket
from stack.aio.network import AsyncHost
from stack.device.tap import TapDevice
from stack.socket.ends import end_of
from tests.support.blocking import all_ended, descriptors, eventually
from tests.support.blocking_services import HTTP, HTTPS, SMTP, content
from tests.support.interop import digest
from tests.support.interop_hosts import DEVICE, KERNEL, OURS, PREFIX
from tools.netns import Namespace, stop, wait_until

pytestmark = [pytest.mark.interop, pytest.mark.netns]
PATIENCE_S = 30.0
MB = 1 << 20
SSHD = """
ListenAddress {address}
Port 2222
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp
"""
RESETS = """
import socket, struct, sys
server = socket.create_server((sys.argv[1], 8123))
print("up", flush=True)
connection, _ = server.accept()
connection.sendall(b"x" * 1000)
connection.recv(1)
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
connection.close()
"""


@pytest.fixture(scope="module")
def services(tap_namespace, certificates):
    """The kernel's servers."""
    process = tap_namespace.start(sys.executable, "-m", "tests.support.blocking_services", KERNEL, str(certificates))
    assert process.stdout.readline() == "READY\n"
    yield
    stop(process)


@contextlib.asynccontextmanager
async def on_the_tap():
    device = TapDevice(DEVICE)
    async with AsyncHost() as host:
        host.add_device(device, f"{OURS}/{PREFIX}", gateway=KERNEL)
        yield host


@pytest.fixture
def patched(tap_namespace):
    """In the namespace, with the socket module patched; what a test has closed is gone afterwards."""
    with tap_namespace.entered(), socket.use(on_the_tap) as station:
        assert station.host.addresses()
        with socket.patched():
            yield station
        gc.collect()
        all_ended(station)


@pytest.fixture
def ca(certificates):
    return str(certificates / "ca.pem")


def test_http_client(patched, services):
    connection = http.client.HTTPConnection(KERNEL, HTTP, timeout=PATIENCE_S)
    for size in (10, 100_000, 5 * MB):
        connection.request("GET", f"/{size}")
        assert connection.getresponse().read() == content(size)
    connection.request("GET", "/who")
    assert connection.getresponse().read() == OURS.encode()
    assert end_of(connection.sock.fileno()) is not None
    connection.request("POST", "/", content(3 * MB))
    assert connection.getresponse().read() == content(3 * MB)
    connection.close()


def test_urllib3(patched, services, ca):
    urllib3 = pytest.importorskip("urllib3")
    with urllib3.PoolManager(ca_certs=ca, timeout=PATIENCE_S, maxsize=4) as pool:
        answers = []

        def fetch():
            answers.extend(pool.request("GET", f"https://{KERNEL}:{HTTPS}/50000").data for _ in range(5))

        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [content(50_000)] * 20
        with pytest.raises(urllib3.exceptions.MaxRetryError, match="refused"):
            pool.request("GET", f"http://{KERNEL}:9/", retries=0)


def test_requests_over_tls(patched, services, ca):
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca
        assert session.get(f"https://{KERNEL}:{HTTPS}/who", timeout=PATIENCE_S).text == OURS
        with session.get(f"https://{KERNEL}:{HTTPS}/{8 * MB}", timeout=PATIENCE_S, stream=True) as answer:
            assert digest(b"".join(answer.iter_content(1 << 16))) == digest(content(8 * MB))
        assert session.post(f"https://{KERNEL}:{HTTPS}/", content(2 * MB), timeout=PATIENCE_S).content == content(
            2 * MB
        )
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(f"https://{KERNEL}:9/", timeout=PATIENCE_S)


def test_smtplib(patched, services, ca):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "us@ours.test", "them@kernel.test", "over our TCP"
    message.set_content("a line\n" * 20_000)
    with smtplib.SMTP(KERNEL, SMTP, timeout=PATIENCE_S) as client:
        client.starttls(context=ssl.create_default_context(cafile=ca))
        client.ehlo()
        assert client.send_message(message) == {}
        code, text = client.docmd("NOOP")
        assert (code, text) == (250, b"OK")


@pytest.fixture
def sshd(tap_namespace, tmp_path):
    """OpenSSH's server; gives the folder with its key and the user's."""
    program = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs the program sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (tmp_path / "config").write_text(SSHD.format(address=KERNEL, folder=tmp_path))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = tap_namespace.start(program, "-D", "-e", "-f", str(tmp_path / "config"))
    wait_until(lambda: tap_namespace.run("nc", "-z", KERNEL, "2222", check=False).returncode == 0, "sshd answers")
    yield tmp_path
    stop(process)


def test_paramiko(patched, sshd):
    paramiko = pytest.importorskip("paramiko")
    data = content(4 * MB)
    with paramiko.SSHClient() as client:
        client.get_host_keys().add(f"[{KERNEL}]:2222", "ssh-ed25519", paramiko.PKey.from_path(sshd / "host"))
        client.connect(
            KERNEL, 2222, "root", pkey=paramiko.PKey.from_path(sshd / "user"), timeout=PATIENCE_S,
            look_for_keys=False, allow_agent=False,
        )  # fmt: skip
        assert client.get_transport().sock.getpeername() == (KERNEL, 2222)
        _, out, _ = client.exec_command("echo $SSH_CLIENT; exit 3", timeout=PATIENCE_S)
        assert out.read().split()[0] == OURS.encode()
        assert out.channel.recv_exit_status() == 3
        into, out, _ = client.exec_command("sha256sum", timeout=PATIENCE_S)
        into.write(data)
        into.channel.shutdown_write()
        there = out.read().split()[0]
        with client.open_sftp() as sftp:
            sftp.putfo(io.BytesIO(data), str(sshd / "there"))
            back = io.BytesIO()
            sftp.getfo(str(sshd / "there"), back)
        assert back.getvalue() == data == (sshd / "there").read_bytes()
        assert there == subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.split()[0]


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = content(int(self.path.strip("/")))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_blocking_web_server_and_curl(patched, tap_namespace, certificates, ca, tls, tmp_path):
    server = http.server.ThreadingHTTPServer((OURS, 0), Page)
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(str(certificates / "server.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    upload = tmp_path / "upload"
    upload.write_bytes(content(3 * MB))
    with serving(server) as port:
        url = f"{'https' if tls else 'http'}://{OURS}:{port}"
        for arguments, size in (([f"{url}/{2 * MB}"], 2 * MB), (["--data-binary", f"@{upload}", url], 3 * MB)):
            target = tmp_path / "answer"
            tap_namespace.run(
                "curl", "-sS", "--fail", "--max-time", "30", "--cacert", ca, "-o", str(target), *arguments
            )
            assert target.read_bytes() == content(size)
        got = tap_namespace.run("curl", "-sS", "--parallel", "--max-time", "30", "--cacert", ca, f"{url}/[1-40]")
        assert len(got.stdout) == sum(range(1, 41))


class Shout(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


def test_a_forking_server(patched, tap_namespace):
    """A child has the descriptor; the connection is carried by the parent."""

    class Forking(socketserver.ForkingTCPServer):
        pass

    with serving(Forking((OURS, 0), Shout)) as port:
        for _ in range(3):
            got = tap_namespace.run("sh", "-c", f"printf 'hello\\n' | nc -N -w 10 {OURS} {port}")
            assert got.stdout == "HELLO\n"


def test_the_kernel_resets(patched, tap_namespace):
    """What the kernel sent before its reset is read first; then the reset is told."""
    process = tap_namespace.start(sys.executable, "-c", RESETS, KERNEL)
    assert process.stdout.readline() == "up\n"
    with stdlib.create_connection((KERNEL, 8123), PATIENCE_S) as sock:
        assert sock.recv(10, stdlib.MSG_WAITALL) == b"x" * 10
        sock.sendall(b"!")
        process.wait(PATIENCE_S)
        got = 10
        with pytest.raises(ConnectionResetError):
            while data := sock.recv(10_000):
                got += len(data)
        assert got == 1000
    stop(process)


def test_open_tap(namespace_of_its_own):
    """`use` with stack.open_tap, which makes the device and the kernel's end."""
    with namespace_of_its_own.entered():
        before = descriptors()
        with socket.use(lambda: stack.open_tap("blocking0", "198.18.0.2/24")) as station:
            assert station.host.addresses()
            server = namespace_of_its_own.start("nc", "-l", "198.18.0.1", "7000")
            sock = None
            for _ in range(200):
                with contextlib.suppress(ConnectionRefusedError):
                    sock = socket.create_connection(("198.18.0.1", 7000), PATIENCE_S)
                    break
            with sock:
                sock.sendall(b"hello\n")
            assert server.stdout.readline() == "hello\n"
            stop(server)
        eventually(lambda: descriptors() <= before + 2, "the closing of descriptors")


@pytest.fixture
def namespace_of_its_own():
    with Namespace() as made:
        yield made
