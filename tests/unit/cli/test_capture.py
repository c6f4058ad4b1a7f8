"""`tapstack capture -w FILE`: whatever ends it, the file is a capture, and it is told what is in it."""

import contextlib
import io
import resource
import signal
import socket

import pytest

from stack.cli import capture
from stack.device.pcapng import INBOUND, PcapngWriter, read_pcapng

FRAME = bytes(1000)


def sent(count):
    """A capture of so many packets, as the daemon sends it."""
    file = io.BytesIO()
    writer = PcapngWriter(file)
    interface = writer.add_interface("tap0")
    for number in range(count):
        writer.write(interface, number, INBOUND, FRAME)
    return file.getvalue(), lambda: writer.statistics(interface, count, 0) or file.getvalue()


@pytest.fixture
def daemon(monkeypatch):
    """The daemon's end of the socket; what it sends must fit into the socket's buffer."""
    near, far = socket.socketpair()
    monkeypatch.setattr("stack.cli.client.stream", lambda *_: contextlib.nullcontext(near))
    with near, far:
        yield far


def run(path, words=()):
    return capture.run("tapstack0", None, words, file=str(path), count=None, snaplen=None)


def test_all_is_written_and_none_left_out_is_said_so(daemon, tmp_path, capsys):
    _, whole = sent(3)
    daemon.sendall(whole())
    daemon.shutdown(socket.SHUT_WR)
    assert run(tmp_path / "a") == 0
    assert capsys.readouterr().err == "3 packets captured, none left out\n"
    with (tmp_path / "a").open("rb") as file:
        assert len(read_pcapng(file).packets) == 3


def test_a_daemon_that_goes_away_within_a_packet_leaves_whole_ones(daemon, tmp_path, capsys):
    data, _ = sent(3)
    daemon.sendall(data[:-500])
    daemon.shutdown(socket.SHUT_WR)
    assert run(tmp_path / "a") == 1
    assert capsys.readouterr().err == "2 packets captured\ntapstack: the daemon went away\n"
    with (tmp_path / "a").open("rb") as file:
        assert len(read_pcapng(file).packets) == 2


def test_a_full_disk_is_told_with_the_file_and_what_is_in_it(daemon, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(capture, "_CHUNK", 4096)
    data, _ = sent(20)
    daemon.sendall(data)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the limit is an error then, as a full disk is
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError) as told:
            run(tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert told.value.filename == str(tmp_path / "a")
    with (tmp_path / "a").open("rb") as file:
        kept = len(read_pcapng(file).packets)
    assert 0 < kept < 10
    assert capsys.readouterr().err == f"{kept} packets captured\n"
