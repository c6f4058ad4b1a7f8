"""The daemon as a process: rights, signals, what it leaves behind, what it says when it cannot begin."""

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.netns import DEVICE, HOST, STACK, Daemon, Namespace, need, tapstack, wait_until
from tools.netns import ENVIRONMENT, stop

pytestmark = pytest.mark.netns
NOBODY = 65_534


def status_of(pid):
    """/proc/PID/status as a dict."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def links(namespace):
    return [link["ifname"] for link in json.loads(namespace.run("ip", "-j", "link").stdout)]


def up_in(folder):
    """The command line of a daemon whose control socket is in `folder`: the default path is another run's as well."""
    return tapstack("up", "--control", str(folder / "control.sock"))


def up(namespace, folder, *options):
    """A daemon that is expected to end by itself."""
    return namespace.run(*up_in(folder), *options, check=False)


def processes(namespace):
    found = subprocess.run(["ip", "netns", "pids", namespace.name], capture_output=True, text=True, check=True)
    return found.stdout.split()


def refused(result, says):
    """One clear sentence, exit code 2, no traceback."""
    assert (result.returncode, result.stdout) == (2, "")
    assert re.search(says, result.stderr)
    assert result.stderr.count("\n") == 1, result.stderr


# -- rights


def test_root_is_given_up_for_good(stack):
    status = status_of(stack.process.pid)
    assert status["Uid"] == status["Gid"] == [str(NOBODY)] * 4
    assert status["Groups"] == []
    assert {status[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == ["1"]


def test_under_sudo_it_becomes_the_invoking_user_unless_told_otherwise(namespace, tmp_path, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "SUDO_UID", "1234")
    monkeypatch.setitem(ENVIRONMENT, "SUDO_GID", "1235")
    with Daemon(namespace, tmp_path) as daemon:
        status = status_of(daemon.process.pid)
        assert (status["Uid"][0], status["Gid"][0]) == ("1234", "1235")
        owner = (tmp_path / "control.sock").stat()
        assert (owner.st_uid, stat.S_IMODE(owner.st_mode)) == (1234, 0o600)
    with Daemon(namespace, tmp_path, "--user", "daemon") as daemon:
        assert status_of(daemon.process.pid)["Uid"][0] == "1"


PROBE = """
import atexit, sys
from stack.daemon import privileges
from stack.cli.main import main
at_drop = []
drop = privileges.drop
def watched(user):
    drop(user)
    at_drop.extend(sys.modules)
privileges.drop = watched
def tell():
    late = sorted(set(sys.modules) - set(at_drop))
    print("imported after the drop:", late, flush=True)
atexit.register(tell)
main()
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_is_imported_after_the_drop(namespace, tmp_path, terminal):
    control, log = str(tmp_path / "control"), tmp_path / "log"
    command = [sys.executable, "-c", PROBE, "up", "--control", control, "--log-level", "debug", "--socks", "1080"]
    command += ["--duplicate", "0.01", "--capture", str(tmp_path / "capture")]  # wrapped devices are modules, too
    if terminal:
        need("script")
        command = ["script", "-qec", " ".join(f"'{word}'" for word in command), "/dev/null"]
    process = namespace.start(*command, log=log)
    wait_until(lambda: namespace.run("nc", "-z", STACK, "80", check=False).returncode == 0, "the daemon answers")
    out = ("-o", "/dev/null")
    namespace.run("curl", "-sS", *out, f"http://{STACK}/", *out, f"http://{STACK}/bytes/1000000")
    namespace.run("curl", "-sS", "-T", "/etc/passwd", f"http://{STACK}/upload")
    namespace.run("nc", STACK, "80", text="garbage\r\n\r\n")
    namespace.run("nc", "-N", STACK, "7", text="hello")
    namespace.run("nc", "-d", STACK, "13")
    namespace.run("nc", "-u", "-w", "1", STACK, "7", text="hello", check=False)
    for host in (STACK, "no.such.test", "no..name", f"{HOST}:1"):
        namespace.run(
            "curl", "-sS", "-m", "2", *out, "--socks5-hostname", "127.0.0.1:1080", f"http://{host}/", check=False
        )
    forward = namespace.start(*tapstack("forward", "8080", f"{STACK}:80", "--control", control))
    wait_until(lambda: namespace.run("nc", "-z", "127.0.0.1", "8080", check=False).returncode == 0, "it forwards")
    namespace.run("curl", "-sS", *out, "http://127.0.0.1:8080/")
    stop(forward)
    for arguments in (
        ["status"],
        ["ping", "-c", "1", HOST],
        ["ping", "-c", "1", "-W", "0.1", "198.18.0.99"],
        ["nc", HOST, "1"],
        ["get", f"http://{HOST}:1/"],
        ["dig", "no.such.test", f"@{HOST}", "-W", "0.3"],
        ["dig", "no.such.test", "+trace", f"@{HOST}", "-W", "0.3"],
        ["resolve", "no.such.test", "-W", "0.3"],
        ["rpcinfo", HOST, "-W", "0.3"],
        ["rpcinfo", HOST, "nfs", "-W", "0.3"],
    ):
        namespace.run(*tapstack(*arguments, "--control", control), check=False)
    time.sleep(1.2)  # the status line is drawn a few times
    [daemon] = [
        pid
        for pid in processes(namespace)
        if b"imported after" in Path(f"/proc/{pid}/cmdline").read_bytes() and status_of(pid)["Uid"][0] == str(NOBODY)
    ]
    os.kill(int(daemon), signal.SIGTERM)
    assert process.wait(15) == 0
    assert "imported after the drop: []" in log.read_text()


def test_only_its_owner_and_root_may_use_the_control_socket(stack, tmp_path):
    control = stack.log.parent / "control.sock"
    script = f"import socket; socket.socket(socket.AF_UNIX).connect({str(control)!r})"
    for folder in (control.parent, control.parent.parent, control.parent.parent.parent):
        folder.chmod(0o755)
    result = stack.namespace.run(
        "setpriv", "--reuid=1234", "--clear-groups", "/usr/bin/python3", "-c", script, check=False
    )
    assert "PermissionError" in result.stderr
    assert stack.namespace.run("/usr/bin/python3", "-c", script, check=False).returncode == 0


# -- the end


def begun(namespace, folder, *options):
    """A daemon that answers; the test itself ends it."""
    return contextlib.ExitStack().enter_context(Daemon(namespace, folder, *options))


def assert_nothing_left(namespace, folder):
    assert links(namespace) == ["lo"]
    assert namespace.run("ip", "route").stdout == ""
    assert processes(namespace) == []
    assert not (folder / "control.sock").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(namespace, tmp_path, how):
    daemon = begun(namespace, tmp_path)
    assert DEVICE in links(namespace)
    assert stop(daemon.process, how) == 0
    assert_nothing_left(namespace, tmp_path)


def test_sigkill_leaves_nothing_behind(namespace, tmp_path):
    namespace.sysctl("net.ipv4.ip_forward=0")
    daemon = begun(namespace, tmp_path, "--uplink")
    assert stop(daemon.process, signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: processes(namespace) == [], "the janitor is done")
    assert_nothing_left(namespace, tmp_path)
    assert namespace.run("nft", "list", "ruleset").stdout == ""
    assert namespace.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "0\n"


def test_a_device_that_was_there_before_stays_without_our_address(namespace, tmp_path):
    namespace.ip(f"tuntap add dev {DEVICE} mode tap")
    daemon = begun(namespace, tmp_path)
    assert stop(daemon.process) == 0
    assert links(namespace) == ["lo", DEVICE]
    assert HOST not in namespace.run("ip", "address").stdout


def test_sigterm_lets_a_download_finish(namespace, tmp_path):
    daemon = begun(namespace, tmp_path)
    size = 40_000_000
    curl = namespace.start(
        "curl", "-sS", "--limit-rate", "20M", "-o", str(tmp_path / "got"), f"http://{STACK}/bytes/{size}"
    )
    wait_until(lambda: (tmp_path / "got").exists() and (tmp_path / "got").stat().st_size > 1_000_000, "it has begun")
    daemon.process.send_signal(signal.SIGTERM)
    assert curl.wait(20) == 0, curl.stdout.read()
    curl.stdout.close()
    assert daemon.process.wait(20) == 0
    assert (tmp_path / "got").stat().st_size == size


def test_draining_is_bounded_and_a_second_signal_ends_it(namespace, tmp_path):
    for signals, least, most in ((1, 1.9, 8.0), (2, 0.0, 1.5)):
        daemon = begun(namespace, tmp_path, "--drain", "2")
        with namespace.entered(), socket.create_connection((STACK, 80), 5) as deaf:
            deaf.sendall(b"GET /bytes/1000000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            deaf.recv(1000)
            begin = time.monotonic()
            for _ in range(signals):
                daemon.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            assert daemon.process.wait(20) == 0
        assert least <= time.monotonic() - begin <= most
        assert_nothing_left(namespace, tmp_path)


def test_device_disappearing_under_it_is_told_to_all(namespace, tmp_path):
    daemon = begun(namespace, tmp_path)
    control = str(tmp_path / "control.sock")
    with socket.create_server(("127.0.0.1", 0)):
        listening = namespace.start("nc", "-l", "-d", HOST, "9999")
        client = namespace.start(*tapstack("nc", "--control", control, HOST, "9999"), stdin=subprocess.PIPE)
        wait_until(lambda: daemon.command("status").count(f"{HOST}:9999"), "the relayed connection is there")
        namespace.ip(f"link delete {DEVICE}")
        assert daemon.process.wait(10) == 1
        client.wait(10)
        stop(listening)
        client.stdin.close()
        client.stdout.close()
    log = daemon.log.read_text()
    assert log.count(f"error {DEVICE} disappeared") == 1
    assert "Traceback" not in log
    assert_nothing_left(namespace, tmp_path)


# -- what it says when it cannot begin


def test_second_daemon_on_the_same_device(stack, tmp_path):
    refused(
        up(stack.namespace, tmp_path, "--address", "10.5.5.2/24", "--host-address", "10.5.5.1"),
        rf"tapstack: .*{DEVICE}.* (in use|busy)",
    )


def test_second_daemon_with_the_same_address(stack, tmp_path):
    refused(
        up(stack.namespace, tmp_path, "--dev", "tap9"),
        rf"tapstack: address {HOST} of 198\.18\.0\.0/24 is in use already on {DEVICE}",
    )
    assert "tap9" not in links(stack.namespace)


def test_second_daemon_on_the_same_control_socket(stack):
    addresses = ("--address", "10.5.5.2/24", "--host-address", "10.5.5.1")
    result = up(stack.namespace, stack.log.parent, "--dev", "tap9", *addresses)
    refused(result, "tapstack: another tapstack daemon is listening on ")
    assert "tap9" not in links(stack.namespace)


def test_device_that_is_no_tap(namespace, tmp_path):
    refused(up(namespace, tmp_path, "--dev", "lo"), "tapstack: .*lo")


def test_no_tap_devices_on_this_machine(namespace, tmp_path):
    script = 'mount -t tmpfs none /dev/net && exec "$@"'
    result = namespace.run("unshare", "-m", "sh", "-c", script, "sh", *up_in(tmp_path), check=False)
    refused(result, "tapstack: /dev/net/tun is missing")


def test_capture_that_cannot_be_written(namespace, tmp_path):
    result = up(namespace, tmp_path, "--capture", "/absent/file")
    refused(result, "tapstack: capture /absent/file: no such file or directory")
    assert links(namespace) == ["lo"]


def test_user_that_does_not_exist(namespace, tmp_path):
    refused(up(namespace, tmp_path, "--user", "no-such-user"), "tapstack: user 'no-such-user' does not exist")


# -- without root


# Maps our id, so that files stay readable, to one that is not root and has no capabilities.
AS_USER = ("unshare", "--map-user=1234", "--map-group=1234", "--")


def test_without_root_it_makes_a_namespace_of_its_own(namespace, tmp_path):
    log, control = tmp_path / "log", str(tmp_path / "control")
    process = namespace.start(*AS_USER, *tapstack("up", "--control", control), log=log)
    wait_until(lambda: "Ctrl-C ends it" in log.read_text() or process.poll() is not None, "it is up")
    assert process.poll() is None, log.read_text()
    assert DEVICE not in links(namespace)
    enter = re.search(r"nsenter .*-t (\d+) curl", log.read_text())
    page = namespace.run("nsenter", "-n", "-t", enter[1], "curl", "-sS", "-m", "5", f"http://{STACK}/")
    assert "<title>tapstack" in page.stdout
    status = status_of(enter[1])
    assert {status[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (
        json.loads(namespace.run(*tapstack("status", "--json", "--control", control)).stdout)["daemon"]["device"]
        == DEVICE
    )
    assert stop(process) == 0
    assert processes(namespace) == []


def test_without_root_and_without_the_right_to_the_device(namespace, tmp_path):
    hide = "mknod -m 600 /mnt/tun c 10 200 && chown 7777 /mnt/tun && mount --bind /mnt/tun /dev/net/tun && rm /mnt/tun"
    script = f'mount -t tmpfs none /mnt && {hide}; exec setpriv --reuid=1 --bounding-set=-all --inh-caps=-all "$@"'
    probe = (sys.executable, "-c", "import os; os.close(os.open('/dev/net/tun', os.O_RDWR))")
    if namespace.run("unshare", "-m", "sh", "-c", script, "sh", "true", check=False).returncode:
        pytest.fail("cannot hide the device")
    script = f'mount -t tmpfs none /mnt && {hide}; exec "$@"'
    limited = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    result = namespace.run("unshare", "-m", "sh", "-c", script, "sh", *limited, *up_in(tmp_path), check=False)
    assert namespace.run("unshare", "-m", "sh", "-c", script, "sh", *limited, *probe, check=False).returncode
    refused(result, "tapstack: /dev/net/tun may not be opened by this user: run it with sudo")


# -- a link of one's choice


def test_faults_of_the_link(namespace, tmp_path):
    with Daemon(namespace, tmp_path, "--delay", "20", "--loss", "0.1", "--seed", "3") as daemon:
        out = namespace.run("ping", "-q", "-c", "100", "-i", "0.01", "-W", "1", STACK, check=False).stdout
        assert 50 <= int(re.search(r"(\d+) received", out)[1]) <= 95
        assert float(re.search(r"= ([\d.]+)/", out)[1]) >= 40
        assert "tapstack0" in daemon.command("status")


@pytest.mark.parametrize("options", [["--no-offload"], ["--mtu", "9000"], ["--mtu", "576", "--no-offload"]])
def test_other_links_carry_the_same(namespace, tmp_path, options):
    with Daemon(namespace, tmp_path, *options):
        namespace.run("curl", "-sS", "--fail", "-m", "20", "-o", str(tmp_path / "got"), f"http://{STACK}/bytes/5000000")
        answer = namespace.run(
            "curl", "-sS", "--fail", "-m", "20", "-T", str(tmp_path / "got"), f"http://{STACK}/upload"
        )
    digest = hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest()
    assert json.loads(answer.stdout) == {"bytes": 5_000_000, "sha256": digest}


def test_capture_belongs_to_the_user_and_holds_the_frames(namespace, tmp_path):
    need("tshark")
    with Daemon(namespace, tmp_path, "--capture", str(tmp_path / "capture.pcapng")):
        namespace.run("ping", "-c", "1", STACK)
    assert (tmp_path / "capture.pcapng").stat().st_uid == NOBODY
    out = namespace.run("tshark", "-r", str(tmp_path / "capture.pcapng"), "-Y", "icmp").stdout
    assert out.count("Echo (ping)") == 2


def test_too_large_an_upload_is_told_so_although_it_keeps_coming(namespace, tmp_path):
    (tmp_path / "settings.toml").write_text("max_upload = 1000\n")
    (tmp_path / "large").write_bytes(bytes(20_000_000))
    with Daemon(namespace, tmp_path, "--config", str(tmp_path / "settings.toml")):
        arguments = ("-sS", "-m", "10", "-H", "Expect:", "-T", str(tmp_path / "large"), "-w", "%{http_code}")
        out = namespace.run("curl", *arguments, f"http://{STACK}/upload", check=False).stdout
    assert out == "at most 1000 bytes\n413"


# -- the way out


def test_uplink_reaches_what_is_behind_the_host_and_is_taken_back(namespace, tmp_path):
    with Namespace() as outside:
        namespace.ip(f"link add out type veth peer name in netns {outside.name}")
        namespace.ip("address add 10.9.9.1/24 dev out")
        namespace.ip("link set out up")
        outside.ip("address add 10.9.9.2/24 dev in")
        outside.ip("link set in up")  # and no route to 198.18.0.0/24
        namespace.sysctl("net.ipv4.ip_forward=0")
        server = outside.start(
            sys.executable,
            "-m",
            "http.server",
            "8000",
            "--bind",
            "10.9.9.2",
            "-d",
            str(tmp_path),
            log=tmp_path / "server.log",
        )
        (tmp_path / "hello").write_text("hello from outside")
        wait_until(lambda: outside.run("nc", "-z", "10.9.9.2", "8000", check=False).returncode == 0, "the server is up")

        with Daemon(namespace, tmp_path) as daemon:  # the control: no way out without --uplink
            assert "0 received" in daemon_ping(daemon, "10.9.9.2")
        with Daemon(namespace, tmp_path, "--uplink") as daemon:
            assert daemon.command("get", "http://10.9.9.2:8000/hello") == "hello from outside"
            assert "1 received" in daemon_ping(daemon, "10.9.9.2")
            outside.ip("route add 198.18.0.0/24 via 10.9.9.1")
            assert "0 received" in outside.run("ping", "-c", "1", "-W", "1", STACK, check=False).stdout
        stop(server)
    assert "10.9.9.1 - - " in (tmp_path / "server.log").read_text()
    assert namespace.run("nft", "list", "ruleset").stdout == ""
    assert namespace.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "0\n"


def daemon_ping(daemon, address):
    command = tapstack("ping", "-c", "1", "-W", "1", address, "--control", str(daemon.log.parent / "control.sock"))
    return daemon.namespace.run(*command, check=False).stdout


@pytest.mark.parametrize("before", ["0", "1"])
def test_the_last_of_two_uplinks_restores_forwarding(namespace, tmp_path, before):
    namespace.sysctl(f"net.ipv4.ip_forward={before}")
    (tmp_path / "b").mkdir()
    first = begun(namespace, tmp_path, "--uplink")
    second = namespace.start(
        *tapstack(
            "up",
            "--dev",
            "tap9",
            "--address",
            "10.5.5.2/24",
            "--host-address",
            "10.5.5.1",
            "--uplink",
            "--control",
            str(tmp_path / "b" / "c"),
        ),
        log=tmp_path / "second.log",
    )
    wait_until(lambda: "Ctrl-C" in (tmp_path / "second.log").read_text(), "the second is up")
    assert stop(first.process) == 0
    assert namespace.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"
    assert stop(second) == 0
    assert namespace.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == f"{before}\n"
    assert namespace.run("nft", "list", "ruleset").stdout == ""


# -- the commands that act through it


def test_status_shows_everything_as_text_and_json(stack):
    with stack.namespace.entered(), socket.create_connection((STACK, 7), 5) as echo:
        port = echo.getsockname()[1]
        text = stack.command("status")
        status = json.loads(stack.command("status", "--json"))
    assert re.search(rf"ESTABLISHED .*{STACK}:7  {HOST}:{port}", text)
    assert re.search(r"ts sack wscale:\d+,\d+ cubic rto:\d+ rtt:[\d.]+/[\d.]+ mss:1448 cwnd:\d+", text)
    for part in ("Interfaces", "Neighbours", "Routes", "Listening", "Dropped", HOST, "0.0.0.0:80"):
        assert part in text
    [connection] = [one for one in status["connections"] if one["remote_port"] == port]
    assert (connection["local_port"], connection["state"]) == (7, "ESTABLISHED")
    assert set(status) >= {"daemon", "interfaces", "neighbors", "routes", "listeners", "udp", "counters", "drops"}


def test_ping_from_the_stack(stack):
    out = stack.command("ping", "-c", "3", "-i", "0.01", "-s", "20000", HOST)
    assert out.count(f"20008 bytes from {HOST}") == 3
    assert "3 sent, 3 received, 0% lost" in out


def test_ping_of_nobody_says_so(stack):
    command = tapstack("ping", "-c", "1", "-W", "5", "198.18.0.99", "--control", str(stack.log.parent / "control.sock"))
    result = stack.namespace.run(*command, check=False)
    assert result.returncode == 1
    assert "icmp_seq=1 " in result.stdout


def test_nc_from_the_stack_with_half_close(stack):
    text = "".join(f"line {number}\n" for number in range(20_000))
    kernel = (
        "import socket, sys; s = socket.create_server(('198.18.0.1', 9998)); c, p = s.accept()\n"
        "d = b''.join(iter(lambda: c.recv(65536), b'')); c.sendall(p[0].encode() + b' ' + d); c.close()"
    )
    server = stack.namespace.start(sys.executable, "-c", kernel)
    wait_until(lambda: "9998" in stack.namespace.run("ss", "-ltn").stdout, "the server listens")
    command = tapstack("nc", "--control", str(stack.log.parent / "control.sock"), HOST, "9998")
    assert stack.namespace.run(*command, text=text).stdout == f"{STACK} {text}"
    assert stop(server) == 0


def test_nc_to_a_closed_port_is_refused(stack):
    command = tapstack("nc", "--control", str(stack.log.parent / "control.sock"), HOST, "9997")
    refused(stack.namespace.run(*command, check=False), "tapstack: .*refused")
