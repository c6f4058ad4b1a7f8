"""The client, with our server: over the loopback interface, and between simulated hosts."""

import asyncio
import hashlib
import os

import pytest

from stack import nfs, rpc
from stack.device.fault_settings import Faults
from stack.errors import ConfigError, StackError
from stack.nfs import nfs3 as p
from stack.nfs.mounting import parse_target
from stack.nfs.nfs3 import nfsstat3
from stack.nfs.reading import Reading
from stack.sim import run

both = pytest.mark.parametrize("proto", ["tcp", "udp"])


def with_mounted(folder, test, *, proto="tcp", path="/data", **options):
    """Run a coroutine function with `folder`/data, served and mounted."""
    (folder / "data").mkdir(exist_ok=True)
    options = {"writable": True, "sync": False, **options}

    async def main():
        async with await nfs.serve(folder / "data", port=0, key=folder / "key", **options) as server:
            port = server.port if proto == "tcp" else server.rpc.udp_port
            async with nfs.mount(f"127.0.0.1:{path}", proto=proto, port=port) as there:
                return await test(there)

    return asyncio.run(main())


@both
def test_there_and_back(tmp_path, proto):
    data = os.urandom(3_000_000)

    async def test(there):
        done = []
        await there.write("big", data, mode=0o640, progress=done.append)
        assert done == sorted(done)
        assert done[-1] == len(data)
        assert await there.read("big") == data
        assert await there.read("/big", 1_000_000, 10) == data[1_000_000:1_000_010]
        assert await there.read("big", 2_999_999) == data[-1:]
        assert await there.read("big", 3_000_000) == b""
        await there.write("empty", b"")
        assert await there.read("empty") == b""

        async def parts():
            for at in range(0, 100_000, 777):
                yield data[at : min(at + 777, 100_000)]

        await there.write("big", parts())  # replaced
        assert await there.read("big") == data[:100_000]

    with_mounted(tmp_path, test, proto=proto)
    assert sorted(one.name for one in (tmp_path / "data").iterdir()) == ["big", "empty"]
    assert (tmp_path / "data" / "empty").stat().st_mode & 0o7777 == 0o644


def test_names(tmp_path):
    async def test(there):
        await there.mkdir("a", mode=0o700)
        await there.mkdir("a/b")
        for i in range(500):
            (tmp_path / "data" / "a" / "b" / f"{i:03}").touch()
        listed = await there.list("a/b")
        assert [one.name for one in listed] == [f"{i:03}" for i in range(500)]
        assert listed[0].permissions.startswith("-rw-")
        await there.rename("a/b/007", "seven")
        await there.remove("a/b/008")
        assert len(await there.list("/a/./b/")) == 498
        (found,) = [one for one in await there.list() if one.name == "a"]
        assert (found.kind, found.permissions) == (nfs.FileKind.DIRECTORY, "drwx------")
        await there.chmod("seven", 0o600)
        entry = await there.stat("seven")
        assert (entry.name, entry.mode, entry.size, entry.links) == ("seven", 0o600, 0, 1)
        assert entry.number == (tmp_path / "data" / "seven").stat().st_ino
        space = await there.space()
        assert space.total > space.free >= space.available > 0
        await there.mkdir("empty")
        await there.rmdir("empty")
        os.mkfifo(tmp_path / "data" / "fifo")
        (fifo,) = [one for one in await there.list() if one.name == "fifo"]
        assert (fifo.kind, fifo.permissions) == (nfs.FileKind.UNKNOWN, "??????????")

    with_mounted(tmp_path, test)


def test_links_are_followed_within_the_directory(tmp_path):
    (tmp_path / "secret").write_text("secret")

    async def test(there):
        await there.mkdir("a")
        await there.write("a/file", b"x")
        await there.symlink("a/link", "../a/./file")
        await there.symlink("dir", "a")
        assert await there.readlink("dir/link") == "../a/./file"
        assert await there.read("dir/link") == b"x"
        assert (await there.stat("dir/link", follow=False)).kind is nfs.FileKind.LINK
        assert (await there.stat("dir/link")).kind is nfs.FileKind.FILE
        await there.symlink("loop", "loop")
        await there.symlink("absolute", "/etc/passwd")
        await there.symlink("up", "../secret")
        for name in ("loop", "absolute"):
            with pytest.raises(StackError, match="does not lead to a place here"):
                await there.read(name)
        with pytest.raises(nfs.NfsError, match="no such file"):  # ".." at the root is the root
            await there.read("up")

    with_mounted(tmp_path, test)


def test_mistakes_are_told_in_a_sentence(tmp_path):
    async def test(there):
        await there.mkdir("dir")
        await there.write("file", b"x")
        for how, kind, message in (
            (there.read("none"), FileNotFoundError, "none: there is no such file or directory"),
            (there.read("dir"), IsADirectoryError, "dir: it is a directory"),
            (there.list("file"), NotADirectoryError, "file: it is not a directory"),
            (there.list("file/x"), NotADirectoryError, "file/x: it is not a directory"),
            (there.mkdir("dir"), FileExistsError, "dir: it exists already"),
            (there.write("none/x", b""), FileNotFoundError, "none/x: there is no such file or directory"),
            (there.remove("n" * 300), OSError, f"{'n' * 300}: its name is too long"),
        ):
            with pytest.raises(nfs.NfsError) as failed:
                await how
            assert failed.value.strerror == message
            assert failed.value.errno == {FileNotFoundError: 2, IsADirectoryError: 21, NotADirectoryError: 20,
                                          FileExistsError: 17, OSError: 36}[kind]  # fmt: skip
        for path in ("", "/", ".", "dir/.."):
            with pytest.raises(ConfigError, match="names no file"):
                await there.write(path, b"x")

    with_mounted(tmp_path, test)

    async def read_only(there):
        with pytest.raises(nfs.NfsError, match="the export is read-only"):
            await there.write("new", b"x")

    with_mounted(tmp_path, read_only, writable=False)
    with pytest.raises(nfs.MountError, match=r"127\.0\.0\.1:/none cannot be mounted: the server has no such export"):
        with_mounted(tmp_path, test, path="/none")
    for target in ("", "host", "host:", ":/x", "host:x", "[::1]/x", "/x"):
        with pytest.raises(ConfigError, match="nothing to mount"):
            parse_target(target)
    assert parse_target("[2001:db8::2]:/a:b") == ("2001:db8::2", "/a:b")
    assert parse_target("host:/") == ("host", "/")
    with pytest.raises(ConfigError, match="use 'tcp' or 'udp'"):
        nfs.mount("host:/x", proto="sctp")


def test_what_fails_in_the_middle_leaves_nothing(tmp_path):
    async def test(there):
        await there.write("file", b"old")

        async def breaks():
            yield b"new" * 100_000
            raise ValueError("the source is broken")

        with pytest.raises(ValueError, match="broken"):
            await there.write("file", breaks())
        assert await there.read("file") == b"old"
        assert [one.name for one in await there.list()] == ["file"]

    with_mounted(tmp_path, test)


def test_a_busy_server_is_asked_again(tmp_path, monkeypatch):
    left = [3]
    real = Reading.getattr

    def busy(self, a):
        if left[0]:
            left[0] -= 1
            return p.GETATTR3res(nfsstat3.NFS3ERR_JUKEBOX)
        return real(self, a)

    async def test(there):
        monkeypatch.setattr(Reading, "getattr", busy)
        assert (await there.stat("")).kind is nfs.FileKind.DIRECTORY
        assert left == [0]
        left[0] = 1000
        monkeypatch.setattr("stack.nfs.client.JUKEBOX_S", (0.001, 0.001))
        with pytest.raises(nfs.NfsError, match="try again later"):
            await there.stat("")

    with_mounted(tmp_path, test)


def test_a_server_that_is_started_anew_in_the_middle(tmp_path):
    """What it had not committed is sent again; what is read goes on."""
    (tmp_path / "data").mkdir()
    data = os.urandom(6_000_000)

    async def main():
        def serve(port):
            return nfs.serve(tmp_path / "data", port=port, key=tmp_path / "key", writable=True, sync=False)

        server = await serve(0)
        port = server.port

        async def again():
            nonlocal server
            await server.aclose()
            server = await serve(port)

        async def parts():
            for at in range(0, len(data), 500_000):
                if at == 3_000_000:
                    await again()
                yield data[at : at + 500_000]

        async with nfs.mount("127.0.0.1:/data", port=port) as there:
            await there.write("file", parts())
            resent, got = there.resent, b""
            async for block in there.blocks("file"):
                if not got:
                    await again()
                got += block
        await server.aclose()
        return resent, got

    resent, got = asyncio.run(main())
    assert 0 < resent < len(data)
    assert got == data == (tmp_path / "data" / "file").read_bytes()


def test_a_file_that_shrinks_meanwhile(tmp_path):
    async def test(there):
        await there.write("file", bytes(4_000_000))
        got = 0
        with pytest.raises(StackError, match="became shorter"):
            async for block in there.blocks("file"):
                got += len(block)
                os.truncate(tmp_path / "data" / "file", 100)
        assert got < 4_000_000

    with_mounted(tmp_path, test)


@both
def test_between_simulated_hosts_with_loss(tmp_path, proto):
    """Registered with our rpcbind, found by it, and a fiftieth of all frames lost."""
    (tmp_path / "data").mkdir()
    data = os.urandom(400_000)

    async def main(net):
        here = net.add_host("here", faults=Faults(delay_us=1000, loss=0.02))
        other = net.add_host("other")
        async with (
            await rpc.rpcbind_server(host=other),
            await nfs.serve(tmp_path / "data", host=other, writable=True, register=True, key=tmp_path / "key"),
            nfs.mount("other:/data", proto=proto, host=here) as there,
        ):
            await there.write("file", data)
            return await there.read("file")

    assert hashlib.sha256(run(main, seed=1)).digest() == hashlib.sha256(data).digest()
