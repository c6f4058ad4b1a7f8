"""Handles over restarts, renames and removals; and those that are none."""

import asyncio
import os
from pathlib import Path

import pytest

from stack import nfs
from stack.errors import ConfigError
from stack.nfs import nfs3 as p
from stack.nfs.errors import Fault
from stack.nfs.handles import HANDLE_SIZE, Handles, load_key
from stack.nfs.nfs3 import nfsstat3
from stack.nfs.places import Places
from stack.nfs.system import stat_of
from stack.nfs.tree import Tree
from tests.support.nfs_ours import OK, with_export
from tests.support.rfc import rfc

STALE, BAD = nfsstat3.NFS3ERR_STALE, nfsstat3.NFS3ERR_BADHANDLE


async def patiently(call, handle):
    """As a client does it: what is JUKEBOX is asked again."""
    while True:
        found = await call(handle)
        if found.status != nfsstat3.NFS3ERR_JUKEBOX:
            return found


@rfc("1813", "2.6", "NFS-HANDLE-STABLE")
def test_handles_outlive_the_server(tmp_path):
    top = tmp_path / "export"
    (top / "a" / "b").mkdir(parents=True)
    for i in range(50):
        (top / "a" / "b" / f"{i}").write_text(f"{i}")

    async def first(c):
        return c.root, await c.find("a/b"), [await c.find(f"a/b/{i}") for i in range(50)]

    root, dir_, files = with_export(tmp_path, first)
    (top / "a" / "b").rename(top / "b")  # while no server runs
    (top / "b" / "7").rename(top / "seven")
    (top / "b" / "8").unlink()
    (top / "b" / "8").write_text("another")

    async def second(c):
        assert c.root == root
        assert (await c.getattr(dir_)).status == OK
        for i, handle in enumerate(files):
            found = await patiently(c.read, handle)
            assert (found.status == STALE) if i == 8 else found.resok.data == b"%d" % i
        assert await c.find("b/8") != files[8]
        assert await c.find("seven") == files[7]
        assert c.server.stats["searches"] <= 2  # one learns all there is, one for what is gone

    with_export(tmp_path, second)


def test_what_is_moved_by_others_is_found(tmp_path):
    async def test(c):
        top = tmp_path / "export"
        (top / "a").mkdir()
        (top / "a" / "file").write_text("x")
        file, dir_ = await c.find("a/file"), await c.find("a")
        (top / "a").rename(top / "c")
        (top / "a").mkdir()
        (top / "a" / "file").write_text("y")  # the name leads to another file now
        assert (await c.read(file)).resok.data == b"x"
        assert (await c.lookup(dir_, "..")).resok.object.data == c.root

    with_export(tmp_path, test)


@rfc("1813", "2.6", "NFS-HANDLE-STALE")
def test_files_that_were_removed_by_others_are_stale(tmp_path):
    async def test(c):
        top = tmp_path / "export"
        for i in range(20):
            (top / "file").write_text("x")
            handle = await c.find("file")
            (top / "file").unlink()
            (top / "file").write_text("y")  # perhaps the same inode
            found = await patiently(c.read, handle)
            assert found.status == STALE, i
            assert (await c.read(handle)).status == STALE

    with_export(tmp_path, test)


def test_what_is_moved_out_is_out_of_reach(tmp_path):
    """Also with all that is in it, and with what is known of the way there."""

    async def test(c):
        top = tmp_path / "export"
        (top / "a" / "b").mkdir(parents=True)
        (top / "a" / "b" / "file").write_text("x")
        handles = [await c.find("a"), await c.find("a/b"), await c.find("a/b/file")]
        assert (await c.getattr(handles[2])).status == OK
        (top / "a").rename(tmp_path / "outside")
        for handle in handles:
            found = await patiently(c.getattr, handle)
            assert found.status == STALE
        assert (await c.create(handles[1], "new")).status == STALE
        assert list((tmp_path / "outside" / "b").iterdir()) == [tmp_path / "outside" / "b" / "file"]

    with_export(tmp_path, test)


def test_handles_of_others(tmp_path):
    """Made up, damaged, of another key: told before a file is looked at.  Of another export: stale."""
    (tmp_path / "export" / "sub").mkdir(parents=True)

    async def test(c):
        good = await c.find("sub")
        assert len(good) == HANDLE_SIZE <= p.NFS3_FHSIZE
        damaged = [good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1 :] for i in range(len(good)) for bit in range(8)]
        for handle in (b"", good[:-1], good + b"x", bytes(40), bytes(64), os.urandom(40), *damaged):
            assert (await c.getattr(handle)).status == BAD
        real = (tmp_path / "export" / "sub").stat().st_ino
        assert (await c.getattr(Handles(bytes(32), c.server._tree.handles.export).seal(real, 0))).status == BAD
        assert (await c.getattr(Handles(load_key(tmp_path / "key"), 1).seal(real, 0))).status == STALE
        assert c.server.stats["searches"] == 0

    with_export(tmp_path, test)


def test_who_has_the_key_gets_no_further(tmp_path):
    """A handle says which file, and never where: those outside are not found."""
    (tmp_path / "secret").write_text("canary")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "secret").write_text("canary")

    async def test(c):
        handles = c.server._tree.handles
        for path in (tmp_path / "secret", tmp_path / "beside", tmp_path / "beside" / "secret", tmp_path, Path("/etc")):
            fd = os.open(path, os.O_PATH)
            found = stat_of(fd)
            os.close(fd)
            sealed = handles.seal(found.ino, found.birth)
            assert (await patiently(c.getattr, sealed)).status == STALE
            assert (await patiently(c.read, sealed)).status == STALE

    with_export(tmp_path, test)


def test_searches_take_a_tenth_of_the_time(tmp_path, monkeypatch):
    """While none may begin, the client is told to come again."""
    now = [100.0]
    monkeypatch.setattr("stack.nfs.tree.time.monotonic", lambda: now[0])
    (tmp_path / "export").mkdir()
    tree = Tree(tmp_path / "export", bytes(32))
    walk = tree._walk

    def slow(ino):
        now[0] += 2.0
        return walk(ino)

    monkeypatch.setattr(Tree, "_walk", lambda _, ino: slow(ino))
    gone = [tree.handles.seal(i, 1) for i in range(3, 6)]
    with pytest.raises(Fault, match="STALE"):
        tree.at(gone[0])
    for elapsed, status in ((0, "JUKEBOX"), (17.9, "JUKEBOX"), (0.2, "STALE")):
        now[0] += elapsed
        with pytest.raises(Fault, match=status):
            tree.at(gone[1])
    with pytest.raises(Fault, match="STALE"):
        tree.at(gone[0])  # known to be gone, at no cost
    assert tree.searches == 2
    tree.close()


def test_places_are_bounded(tmp_path):
    """What is not known any more is searched for, and found."""
    top = tmp_path / "export" / "a" / "b"
    top.mkdir(parents=True)
    for i in range(100):
        (top / f"{i}").touch()
    tree = Tree(tmp_path / "export", bytes(32), places=20)
    with tree.top() as root, tree.child(root, "a") as a, tree.child(a, "b") as b:
        handles = []
        for i in range(100):
            with tree.child(b, f"{i}") as file:
                handles.append(file.handle)
    for handle in handles:
        tree._may_search_at = 0.0
        with tree.at(handle) as node:
            assert node.handle == handle
        assert len(tree.places) <= 20
    tree.close()


def test_places():
    places = Places(1, 3)
    places.learn(2, 1, b"a")
    places.learn(3, 2, b"b")
    assert places.way_to(3) == [b"a", b"b"]
    assert places.way_to(1) == []
    places.learn(4, 1, b"c")
    assert places.way_to(3) == [b"a", b"b"]
    places.learn(5, 1, b"d")  # 4 was not used for the longest
    assert places.way_to(4) is None
    assert places.way_to(3) == [b"a", b"b"]
    places.learn(2, 3, b"loop")  # nonsense, as of a table that is behind the times, ends
    assert places.way_to(3) is None
    places.bury(5, 9)
    assert places.is_gone(5, 9)
    places.learn(5, 1, b"d", 9)  # it was seen
    assert not places.is_gone(5, 9)


def test_the_key_file(tmp_path):
    path = tmp_path / "state" / "key"
    key = load_key(path)
    assert (len(key), path.stat().st_mode & 0o7777) == (32, 0o600)
    assert load_key(path) == key
    assert [one.name for one in path.parent.iterdir()] == ["key"]
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_key(path)
    path.chmod(0o600)
    for content in (b"", bytes(31), bytes(33)):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="no key file"):
            load_key(path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot be used"):
        load_key(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="no key file"):
        load_key(path)


def test_mistakes_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "export").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "inside").symlink_to(tmp_path / "export")

    async def serve(directory="export", **options):
        await nfs.serve(tmp_path / directory, **{"port": None, "key": tmp_path / "key", **options})

    for match, options in (
        ("no such file", {"directory": "none"}),
        ("not a directory", {"directory": "file"}),
        ("within the export", {"key": tmp_path / "export" / "key"}),
        ("within the export", {"key": tmp_path / "inside" / "key"}),
        ("use 0 to 64", {"threads": 65}),
        ("use 0 to 64", {"threads": -1}),
        ("no path of an export", {"path": "data"}),
        ("no path of an export", {"path": "/a/../b"}),
        ("no path of an export", {"path": "/" + "x" * 1024}),
    ):
        with pytest.raises(ConfigError, match=match):
            asyncio.run(serve(**options))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    asyncio.run(serve(key=None))
    assert (tmp_path / "state" / "tapstack" / "nfs.key").stat().st_size == 32
