"""`tapstack nfs` through kernel sockets, with our server in a thread."""

import asyncio
import json
import os
import pty
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner

from stack import nfs
from stack.cli.main import main
from stack.cli.nfs_run import shown


class Serving:
    """Our server, in a thread with a loop of its own."""

    def __init__(self, folder, **options):
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._options = {"port": 0, "key": folder / "key", "path": "/data", "writable": True, "sync": False, **options}
        self._folder = folder / "data"
        self._thread = threading.Thread(target=self._run)
        self.port = self.udp_port = 0

    def _run(self):
        async def serve():
            async with await nfs.serve(self._folder, **self._options) as server:
                self.port, self.udp_port = server.port, server.rpc.udp_port
                self._done = asyncio.Event()
                self._ready.set()
                await self._done.wait()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def __enter__(self):
        self._folder.mkdir(exist_ok=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *of):
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)


@pytest.fixture
def server(tmp_path):
    with Serving(tmp_path) as made:
        yield made


def command(server, *words, proto="tcp", code=0, **options):
    port = server.udp_port if proto == "udp" else server.port
    line = ["nfs", words[0], "--via", "kernel", "--proto", proto, "--port", str(port), *words[1:]]
    done = CliRunner().invoke(main, line, **options)
    assert done.exit_code == code, (done.output, done.exception)
    return done


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_there_and_back(server, tmp_path, proto):
    data = os.urandom(1_000_000)
    (tmp_path / "file").write_bytes(data)
    (tmp_path / "file").chmod(0o750)
    (tmp_path / "data" / "dir").mkdir()
    (tmp_path / "back").mkdir()
    assert command(server, "put", str(tmp_path / "file"), "127.0.0.1:/data/dir", proto=proto).output == ""
    assert (tmp_path / "data" / "dir" / "file").stat().st_mode & 0o777 == 0o750
    assert command(server, "cat", "127.0.0.1:/data/dir/file", proto=proto).stdout_bytes == data
    command(server, "get", "127.0.0.1:/data/dir/file", str(tmp_path / "back"), proto=proto)
    command(server, "get", "127.0.0.1:/data/dir/file", str(tmp_path / "back" / "other"), proto=proto)
    command(server, "put", "-", "127.0.0.1:/data/new", input=b"from a pipe", proto=proto)
    assert (tmp_path / "data" / "new").read_bytes() == b"from a pipe"
    assert [one.read_bytes() for one in sorted((tmp_path / "back").iterdir())] == [data, data]


def test_listings(server, tmp_path):
    top = tmp_path / "data"
    (top / "file").write_bytes(b"12345")
    os.utime(top / "file", (0, 86_400 * 365))
    (top / "dir").mkdir()
    (top / "link").symlink_to("file")
    (top / "\x1b[2Jname\n").touch()
    assert command(server, "ls", "127.0.0.1").output == "/data\n"
    assert json.loads(command(server, "ls", "--json", "127.0.0.1").output) == ["/data"]
    rows = command(server, "ls", "127.0.0.1:/data").output.splitlines()
    assert [row.split(" ", 5)[-1].split()[-1] for row in rows] == ["\\x1b[2Jname\\n", "dir", "file", "file"]
    assert rows[2].startswith("-rw")
    assert " 5 1971-01-01 " in rows[2]
    assert rows[3].endswith(" link -> file")
    found = {one["name"]: one for one in json.loads(command(server, "ls", "--json", "127.0.0.1:/data").output)}
    assert found["file"]["size"] == 5
    assert found["link"]["target"] == "file"
    assert "\x1b[2Jname\n" in found
    assert command(server, "ls", "127.0.0.1:/data/file").output.split() == rows[2].split()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("cat", "127.0.0.1:/data/none"), 1, "none: there is no such file or directory"),
        (("cat", "127.0.0.1:/data"), 1, ": it is a directory"),
        (("cat", "127.0.0.1:/other/file"), 1, "the server has no such export; it has /data"),
        (("cat", "127.0.0.1"), 2, "say which file of it, like 127.0.0.1:/data/file"),
        (("ls", "127.0.0.1:data"), 2, "nothing to mount"),
        (("ls", ""), 2, "the name of the host is empty"),
        (("get", "127.0.0.1:/data/none", "/none/x"), 1, "none: there is no such file or directory"),
        (("get", "127.0.0.1:/data/file", "/none/x"), 2, "/none/x: no such file or directory"),
        (("put", "/none", "127.0.0.1:/data/x"), 2, "/none: no such file or directory"),
        (("put", "-", "127.0.0.1:/data"), 2, "is a directory: say what the file shall be called there"),
        (("put", "-", "127.0.0.1:/data/none/"), 1, "none: there is no such file or directory"),
        (("ls", "--port", "1", "127.0.0.1:/data"), 1, "cannot be reached"),
    ],
)
def test_mistakes_are_one_sentence(server, tmp_path, words, code, said):
    (tmp_path / "data" / "file").write_text("x")
    printed = command(server, *words, code=code).output
    assert said in printed
    assert printed.startswith("tapstack: ")
    assert printed.count("\n") == 1


def test_udp_is_not_by_the_daemon(server):
    done = CliRunner().invoke(main, ["nfs", "ls", "--via", "daemon", "--proto", "udp", "127.0.0.1:/data"])
    assert done.exit_code == 2
    assert "use --proto tcp, or --via kernel" in done.output


def test_a_read_only_server(tmp_path):
    (tmp_path / "file").write_text("x")
    with Serving(tmp_path, writable=False) as server:
        said = command(server, "put", str(tmp_path / "file"), "127.0.0.1:/data/new", code=1).output
    assert said == "tapstack: new: the export is read-only\n"
    assert list((tmp_path / "data").iterdir()) == []


def test_what_fails_leaves_the_old_file(server, tmp_path, monkeypatch):
    (tmp_path / "data" / "file").write_bytes(bytes(3_000_000))
    (tmp_path / "old").write_text("old")

    async def breaks(self, path):
        yield b"new"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stack.nfs.client.Mounted.blocks", breaks)
    said = command(server, "get", "127.0.0.1:/data/file", str(tmp_path / "old"), code=1).output
    assert said == "tapstack: no space left on device\n"
    assert (tmp_path / "old").read_text() == "old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "key", "old"]


def test_a_bar_on_a_terminal(server, tmp_path):
    (tmp_path / "data" / "file").write_bytes(bytes(2_000_000))
    master, terminal = pty.openpty()
    words = [
        "nfs",
        "get",
        "--via",
        "kernel",
        "--port",
        str(server.port),
        "127.0.0.1:/data/file",
        str(tmp_path / "back"),
    ]
    for quiet in (False, True):
        line = [sys.executable, "-m", "stack.cli", *words, *(["-q"] if quiet else [])]
        done = subprocess.run(line, stderr=terminal, env={**os.environ, "TERM": "xterm"}, check=False, timeout=60)
        assert done.returncode == 0
        os.write(terminal, b"END")
        said = b""
        while not said.endswith(b"END"):
            said += os.read(master, 65_536)
        assert (b"2.0/2.0 MB" in said) != quiet
    os.close(master)
    os.close(terminal)


def test_names_do_nothing_to_a_terminal():
    assert shown("plain é") == "plain é"
    assert shown("\x1b[31m\udcff\n") == "\\x1b[31m\\udcff\\n"
