import logging
import os

import pytest

from stack import app
from stack.daemon import run
from stack.daemon.privileges import User
from stack.device.virtual import link
from stack.errors import StackError
from tests.support.frames import MAC_A, MAC_B, A, B, udp_frame
from tests.support.tx import finished

US = User(os.geteuid(), os.getegid())


def test_capture_is_a_new_file_or_an_old_one_emptied(tmp_path):
    path = tmp_path / "capture"
    for _ in range(2):
        with run._open_capture(str(path), US) as file:
            file.write(b"one")
        assert path.read_bytes() == b"one"


def test_capture_refuses_everything_else(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("kept")
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "fifo")
    for name in (tmp_path / "link", tmp_path / "dangling", tmp_path / "fifo", tmp_path, "/dev/full"):
        with pytest.raises(StackError, match="is not a regular file"):
            run._open_capture(str(name), US)
    assert kept.read_text() == "kept"
    assert not (tmp_path / "absent").exists()
    with pytest.raises(StackError, match="no such file"):
        run._open_capture(str(tmp_path / "absent" / "capture"), US)


def test_capture_that_existed_keeps_its_owner(tmp_path, monkeypatch):
    owners = []
    monkeypatch.setattr(run.os, "geteuid", lambda: 0)
    monkeypatch.setattr(run.os, "fchown", lambda _fd, uid, gid: owners.append((uid, gid)))
    for _ in range(2):
        run._open_capture(str(tmp_path / "capture"), User(7, 8)).close()
    assert owners == [(7, 8)]


def test_full_disk_stops_the_capture_and_nothing_else(caplog):
    file = open("/dev/full", "wb")  # noqa: SIM115, PTH123  # closed by what is tested
    inner, _far = link(MAC_A, MAC_B, queue_frames=100)
    device = app.wrap_device(inner, capture=file)
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            assert device.send(finished(udp_frame(A, B, bytes(1000))))
            device.flush()
        device.close()
        run._close_capture(file)
    assert file.closed
    assert [record.getMessage() for record in caplog.records] == [
        "the capture stops here, the stack goes on: no space left on device"
    ]
