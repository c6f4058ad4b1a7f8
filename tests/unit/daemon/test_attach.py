"""Who may attach, and what is said to those who may not."""

import asyncio
import contextlib
import errno
import ipaddress
import itertools
import json
import os
import random
import socket
import stat
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack import app
from stack.daemon import control
from stack.daemon.attach import server as server_module
from stack.daemon.attach.pool import AddressPool, parse_pool
from stack.daemon.attach.server import MAX_HELLOS, AttachServer, candidates, default_path, link_address
from stack.daemon.settings import load
from stack.device import attached
from stack.device.attached import AttachedDevice, attach
from stack.device.attaching import (
    MAX_HELLO,
    VERSION,
    Hello,
    Lease,
    pack_hello,
    pack_lease,
    pack_refusal,
    parse_answer,
    parse_hello,
)
from stack.device.switch import MAX_PORTS
from stack.errors import ConfigError, DeviceError, DeviceGone, StackError
from stack.wire.burst import Burst
from stack.wire.frame import Caps
from tests.support.frames import A, B, udp_frame
from tests.support.tx import finished

NETWORK = ipaddress.IPv4Network("198.18.0.0/24")
ENDS = frozenset({ipaddress.IPv4Address("198.18.0.1"), ipaddress.IPv4Address("198.18.0.2")})
OFFER = Lease("", 24, "", 1500, csum=True, tso4=True, uso=True, gateway="198.18.0.1", stack="198.18.0.2")


# --- addresses


def test_an_address_keeps_its_link_address():
    macs = {link_address(b"\x02abcde", ipaddress.IPv4Address(n)) for n in range(1000)}
    assert len(macs) == 1000
    assert all(mac[0] == 2 and len(mac) == 6 for mac in macs)
    one = ipaddress.IPv4Address("198.18.0.9")
    assert link_address(b"\x02abcde", one) == link_address(b"\x02abcde", one) != link_address(b"\x02other", one)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("ports = 0", "attach.ports is 0: use 1 to 64"),
        ("ports = 65", "attach.ports is 65"),
        ("queue_bytes = 5", "attach.queue_bytes is 5"),
        ("broadcasts = 0", "attach.broadcasts is 0"),
        ('pool = "10.0.0.0/8"', "not within 198.18.0.0/24"),
        ('socket = "a\\u0000"', "NUL"),
        ("port = 1", "attach.port is not a setting"),
        ('enabled = "yes"', "attach.enabled: expected"),
    ],
)
def test_settings_that_cannot_be(tmp_path, table, why):
    file = tmp_path / "file.toml"
    file.write_text(f"[attach]\n{table}\n")
    with pytest.raises(ConfigError, match=why):
        load(str(file), {})


def test_where_to_look():
    assert default_path("tap7", "/x/control") == candidates("tap7", "/x/control")[0]
    assert str(default_path("tap7", "/x/control")) == "/x/control.attach"
    assert [path.name for path in candidates("tap7")] == ["attach"] * len(control.candidates("tap7"))


# --- what is said


@pytest.mark.parametrize("hello", [Hello(), Hello("web", "198.18.0.9")])
def test_a_hello_arrives_as_it_was_sent(hello):
    assert parse_hello(pack_hello(hello)) == hello


def test_a_lease_too():
    lease = Lease(
        "198.18.0.9", 24, "02:00:00:00:00:09", 1500, True, False, True, "198.18.0.1", "198.18.0.2", "off", 1080
    )
    assert parse_answer(pack_lease(lease)) == lease
    assert (lease.caps().csum, lease.caps().tso4, lease.caps().uso) == (True, False, True)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no request of theirs"),
        (b"\x00" * 64, "no request of theirs"),
        (b"[" * MAX_HELLO, "no request of theirs"),
        (b"[1]", "no request of theirs"),
        (b'{"op": "status"}', "no request of theirs"),
        (b'{"attach": 2}', "version 1 of the attach protocol"),
        (b'{"attach": true}', "version 1"),
        (b'{"attach": "1"}', "version 1"),
        (b'{"attach": 1, "name": 7}', "name: use up to"),
        (json.dumps({"attach": 1, "name": "x" * 65}).encode(), "name: use up to"),
        (json.dumps({"attach": 1, "name": "a\nb"}).encode(), "name: use up to"),
        (b'{"attach": 1, "address": 7}', "address: use a text"),
        (b'{"attach": 1, "address": "::1"}', "no IPv4 address"),
        (b'{"attach": 1, "address": "198.18.0.9/24"}', "no IPv4 address"),
    ],
)
def test_hellos_that_cannot_be(data, why):
    with pytest.raises(ConfigError, match=why):
        parse_hello(data)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_no_hello_does_harm(data):
    with contextlib.suppress(ConfigError):
        parse_hello(data)
    with contextlib.suppress(StackError):
        parse_answer(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no daemon of this version"),
        (b"{}", "no daemon of this version"),
        (b'{"ok": true, "attach": 2}', "no daemon of this version"),
        (b'{"ok": true, "attach": 1}', "lacks something"),
        (pack_refusal("go away"), "^.*go away"),
    ],
)
def test_answers_that_cannot_be(data, why):
    with pytest.raises(StackError, match=why):
        parse_answer(data)


# --- the server


class FakeSwitch:
    """Takes ports and passes nothing."""

    mac = b"\x02\0\0\0\0\x01"

    def __init__(self):
        self.on_gone = None
        self.ports = {}
        self.indexes = itertools.count()

    def add_port(self, fd, addr, mac, queue_bytes):
        index = next(self.indexes)
        self.ports[index] = (fd, addr, mac, queue_bytes)
        return index

    def remove_port(self, index):
        del self.ports[index]

    def port_counts(self, _index):
        return {"rx_frames": 0}


class Running:
    """A server on a loop in a thread, so that `attach` can wait for it."""

    def __init__(self, path, pool="198.18.0.9-198.18.0.10", ports=64, owners=None, server=AttachServer):
        self.path = path
        self.switch = FakeSwitch()
        listener = control.listen(path, os.getuid(), os.getgid(), own_folder=False, kind=socket.SOCK_SEQPACKET)
        listener.listen(64)
        addresses = AddressPool(parse_pool(pool, NETWORK, ENDS))
        self.server = server(self.switch, addresses, OFFER, listener, ports=ports, queue_bytes=1 << 20, owners=owners)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self):
        self.thread.start()
        self.call(self.server.start)
        return self

    def __exit__(self, *_):
        self.call(self.server.stop)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def call(self, function, *arguments):
        async def run():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def status(self):
        return self.call(self.server.status)

    def raw(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(10)
        sock.connect(os.fspath(self.path))
        return sock

    def said_to(self, packet):
        """The answer to a packet; the server closes afterwards."""
        with self.raw() as sock:
            sock.send(packet)
            answer = json.loads(sock.recv(MAX_HELLO))
            assert sock.recv(1) == b""
            return answer


@pytest.fixture
def running(tmp_path):
    with Running(tmp_path / "attach") as made:
        yield made


def test_each_process_gets_an_address_of_its_own(running):
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o600
    one, lease = attach(running.path, name="web")
    two, other = attach(running.path, address="198.18.0.10")
    with one, two:
        assert (lease.address, other.address) == ("198.18.0.9", "198.18.0.10")
        assert lease.mac != other.mac
        assert (lease.prefix_len, lease.mtu, lease.gateway, lease.stack) == (24, 1500, "198.18.0.1", "198.18.0.2")
        status = running.status()
        assert [(port["address"], port["name"], port["pid"]) for port in status["ports"]] == [
            ("198.18.0.9", "web", os.getpid()),
            ("198.18.0.10", "", os.getpid()),
        ]
        assert (status["pool"], status["free"], status["attaches"], status["refused"]) == (2, 0, 2, {})
        with pytest.raises(DeviceError, match="all 2 addresses for attached processes are in use: end one of them"):
            attach(running.path)
        running.call(running.switch.on_gone, 0)
        assert running.status()["free"] == 1
        third, lease = attach(running.path)
        with third:
            assert lease.address == "198.18.0.9"
    assert running.status()["refused"] == {"full": 1}


def test_an_address_that_cannot_be_had(running):
    sock, _ = attach(running.path, address="198.18.0.10")
    with sock:
        with pytest.raises(DeviceError, match=r"198.18.0.10 is in use by another attached process"):
            attach(running.path, address="198.18.0.10")
        with pytest.raises(
            DeviceError, match=r"198.18.0.99 is not among the 2 .*: use one from 198.18.0.9 to 198.18.0.10"
        ):
            attach(running.path, address="198.18.0.99")
        with pytest.raises(DeviceError, match="no IPv4 address"):
            attach(running.path, address="nonsense")
    assert running.status()["refused"] == {"address": 2, "bad_hello": 1}


def test_ports_are_bounded(tmp_path):
    with Running(tmp_path / "attach", ports=1) as running:
        sock, _ = attach(running.path)
        with (
            sock,
            pytest.raises(DeviceError, match=r"all 1 places .* are in use: end one of them, or give .* more ports"),
        ):
            attach(running.path)
        assert running.status()["free"] == 1


def test_the_most_ports_that_can_be_are_not_to_be_raised(tmp_path):
    with Running(tmp_path / "attach", pool="198.18.0.100-198.18.0.199") as running, contextlib.ExitStack() as stack:
        for _ in range(MAX_PORTS):
            stack.enter_context(attach(running.path)[0])
        with pytest.raises(DeviceError, match=r"all 64 places for attached processes are in use: end one of them$"):
            attach(running.path)


@pytest.mark.parametrize("packet", [b"nonsense", b'{"attach": 99}', b"x" * (MAX_HELLO + 1), b"x" * 100_000])
def test_what_is_no_hello_gets_one_sentence(running, packet):
    answer = running.said_to(packet)
    assert answer["ok"] is False
    assert "\n" not in answer["error"]
    assert running.status()["refused"] == {"bad_hello": 1}
    attach(running.path)[0].close()  # it goes on


def test_another_version_is_told_so(running):
    assert "version 1" in running.said_to(json.dumps({"attach": VERSION + 1}).encode())["error"]


def test_another_user_is_refused(tmp_path):
    with Running(tmp_path / "attach", owners=frozenset({12345})) as running:
        with pytest.raises(DeviceError, match="belongs to another user"):
            attach(running.path)
        assert running.status()["refused"] == {"not_owner": 1}
        assert running.switch.ports == {}
    with Running(tmp_path / "other", owners=frozenset({os.getuid()})) as running:  # the control
        attach(running.path)[0].close()


def test_who_says_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "HELLO_S", 0.05)
    with Running(tmp_path / "attach") as running, running.raw() as sock:
        assert json.loads(sock.recv(MAX_HELLO))["error"] == "no hello came"
        assert sock.recv(1) == b""
        assert running.status()["refused"] == {"silent": 1}


def test_who_goes_away_is_forgotten(running):
    for _ in range(3):
        running.raw().close()
    attach(running.path)[0].close()  # is answered after those
    assert running.status()["refused"] == {"went_away": 3}


def test_hellos_under_way_are_bounded(running):
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(running.raw()) for _ in range(MAX_HELLOS)]
        answer = json.loads(stack.enter_context(running.raw()).recv(MAX_HELLO))
        assert "too many processes ask at once" in answer["error"]
        for _ in range(20):  # closed before or after it asks: it hears why
            with pytest.raises(DeviceError, match="too many processes ask at once: try again"):
                attach(running.path)
        waiting[0].send(pack_hello(Hello()))
        assert parse_answer(waiting[0].recv(MAX_HELLO)).address == "198.18.0.9"


class Exhausted:
    """A listener of a process that has no descriptor left, for a while."""

    def __init__(self, listener):
        self.listener = listener
        self.until = time.monotonic() + 0.3
        self.asked = 0

    def accept(self):
        self.asked += 1
        if time.monotonic() < self.until:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.listener.accept()

    def fileno(self):
        return self.listener.fileno()

    def close(self):
        self.listener.close()


@pytest.mark.parametrize(("rest_s", "busy"), [(0.05, False), (0, True)], ids=["rest", "control"])
def test_without_descriptors_the_daemon_rests(tmp_path, monkeypatch, caplog, rest_s, busy):
    monkeypatch.setattr(server_module, "REST_S", rest_s)
    made = []

    def server(switch, addresses, offer, listener, **options):
        made.append(Exhausted(listener))
        return AttachServer(switch, addresses, offer, made[0], **options)

    with Running(tmp_path / "attach", server=server) as running:
        attach(running.path)[0].close()  # whoever waits is met again
        assert (made[0].asked > 20) is busy
        assert (len(caplog.records) > 20) is busy


def test_a_rest_ends_with_the_server(tmp_path):
    with (
        Running(
            tmp_path / "attach",
            server=lambda one, two, three, sock, **rest: AttachServer(one, two, three, Exhausted(sock), **rest),
        ) as running,
        running.raw(),
    ):
        running.call(running.server._accept)
        assert running.server._resting is not None
        running.call(running.server.stop)
        assert running.server._resting is None


@pytest.mark.parametrize("unread", [False, True])
def test_a_refusal_is_heard_from_a_daemon_that_has_closed(unread):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here:
        if unread:  # then the kernel says ECONNRESET before it gives what was said
            here.send(b"x")
        there.send(pack_refusal("not today"))
        there.close()
        with pytest.raises(DeviceError, match="not today"):
            attached._say_hello(here, "/x", Hello())


def test_the_end_of_the_daemon_is_that_of_the_device(tmp_path):
    with Running(tmp_path / "attach") as running:
        device = AttachedDevice(*attach(running.path))
        assert device.rx_burst(Burst()) == 0
    with (
        contextlib.closing(device),
        pytest.raises(DeviceGone, match="the daemon that attached0 was attached to has gone"),
    ):
        device.rx_burst(Burst())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "no daemon listens on"),
        (lambda path: path.write_text("x"), "no daemon listens on"),
        (lambda path: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).bind(os.fspath(path)), "no"),
        (lambda path: path.mkdir(), "no daemon listens on"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_nobody_there(tmp_path, make, why):
    make(tmp_path / "attach")
    with pytest.raises(DeviceError, match=why):
        attach(tmp_path / "attach")


def test_where_a_daemon_is_looked_for(tmp_path, monkeypatch):
    paths = [tmp_path / "none", tmp_path / "file", tmp_path / "attach"]
    monkeypatch.setattr(server_module, "candidates", lambda _dev: paths)
    with pytest.raises(DeviceError, match=r"no daemon is running on tap7 \(looked for .*none, .*file, .*attach\)"):
        app.probe_daemon(dev="tap7")
    with Running(paths[2]):
        assert app.probe_daemon(dev="tap7") == OFFER
        app.open_attached(dev="tap7").close()
    paths[1] = tmp_path / "file" / "attach"
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match="is no socket for attached processes: not a directory"):
        app.probe_daemon(dev="tap7")


def test_who_is_cancelled_while_it_attaches_keeps_no_place(running, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    open_attached = app.open_attached

    def slowly(*args, **options):
        begun.set()
        assert go_on.wait(10)
        return open_attached(*args, **options)

    async def main():
        opening = asyncio.ensure_future(app.attach(running.path).__aenter__())
        await asyncio.to_thread(begun.wait, 10)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()

    monkeypatch.setattr(app, "open_attached", slowly)
    asyncio.run(main())  # which waits for its threads
    assert running.status()["attaches"] == 1
    fd = next(iter(running.switch.ports.values()))[0]
    with socket.socket(fileno=os.dup(fd)) as there:
        assert there.recv(1) == b""  # the other end is closed


def test_a_daemon_that_does_not_answer(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(os.fspath(tmp_path / "attach"))
        listener.listen(1)
        with pytest.raises(DeviceError, match=r"did not answer within 0.05 s: is it stopped\?"):
            attach(tmp_path / "attach", timeout_s=0.05)


# --- the device


LEASE = Lease("198.18.0.9", 24, "02:00:00:00:00:02", 1500, False, False, False, "198.18.0.1", "198.18.0.2")


@pytest.fixture(params=[True, False], ids=["c", "plain"])
def pair(request):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setblocking(False)
    there.setblocking(False)
    with there, contextlib.closing(AttachedDevice(here, LEASE, native=request.param)) as device:
        yield device, there


def sent(device, data):
    return device.send(finished(data)) and not device.flush()


def test_frames_pass_both_ways(pair):
    device, there = pair
    assert sent(device, udp_frame(B, A, b"out"))
    assert there.recv(2000) == bytes(10) + udp_frame(B, A, b"out")
    for number in range(3):
        there.send(bytes(10) + udp_frame(A, B, b"%d" % number))
    burst = Burst()
    assert device.rx_burst(burst) == 3
    assert [burst.frame(i) for i in range(3)] == [udp_frame(A, B, b"%d" % number) for number in range(3)]
    assert device.rx_burst(burst) == 0
    there.close()
    with pytest.raises(DeviceGone):
        device.rx_burst(burst)
    assert not sent(device, udp_frame(B, A, b"out"))
    assert device.tx_errors == 1


def test_a_daemon_that_does_not_read_costs_a_frame(pair):
    device, there = pair
    frame = udp_frame(B, A, bytes(1000))
    taken = 0
    while sent(device, frame):
        taken += 1
    assert taken > 50
    for _ in range(1000):  # it is waited for only once
        assert not sent(device, frame)
    assert device.tx_dropped == 1001
    got = 0
    with contextlib.suppress(BlockingIOError):
        while there.recv(2000):
            got += 1
    assert got == taken
    assert sent(device, frame)


def test_small_frames_leave_together_and_in_order(pair):
    device, there = pair
    frames = [udp_frame(B, A, bytes([number]) * size) for number, size in enumerate((1, 1000, 1, 3000, 1))]
    for frame in frames:
        assert device.send(finished(frame))
    assert device.flush() == 0
    assert [there.recv(4000)[10:] for _ in frames] == frames
    for _ in range(1000):  # far more than are kept, and than there is room for: they leave on their own
        device.send(finished(frames[1]))
    device.flush()
    got = 0
    with contextlib.suppress(BlockingIOError):
        while there.recv(2000):
            got += 1
    assert got + device.tx_dropped == 1000
    assert device.tx_dropped > 0


def test_what_is_no_frame_is_dropped(pair):
    device, there = pair
    rng = random.Random(3)
    burst = Burst()
    for _ in range(300):
        there.send(rng.randbytes(rng.randrange(10, 300)))
        device.rx_burst(burst)
    there.send(bytes(10) + udp_frame(A, B, b"good"))
    device.rx_burst(burst)
    assert burst.frame(burst.count - 1) == udp_frame(A, B, b"good")
    assert isinstance(device.caps, Caps)
