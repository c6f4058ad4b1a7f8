"""READDIR and READDIRPLUS."""

import pytest

from stack.nfs import nfs3 as p
from stack.nfs.nfs3 import nfsstat3
from tests.support.nfs_ours import listed, with_export
from tests.support.rfc import rfc


@rfc("1813", "3.3.16", "NFS-READDIR")
@pytest.mark.parametrize("plus", [False, True])
def test_listings_in_parts_while_names_come_and_go(tmp_path, plus):
    """What is there all the time is listed once, whatever else happens between the calls."""
    stay = {f"stay-{i:03}" for i in range(200)}

    async def test(c):
        top = tmp_path / "export"
        for i in range(200):
            (top / f"stay-{i:03}").touch()
            (top / f"go-{i:03}").touch()
        seen, cookie, calls = [], 0, 0
        while True:
            ask = c.readdirplus(c.root, cookie, maxcount=2000) if plus else c.readdir(c.root, cookie, count=600)
            found = (await ask).resok
            entries = listed(found.reply.entries)
            seen += [one.name for one in entries]
            (top / f"go-{calls:03}").unlink()
            (top / f"new-{calls:03}").touch()
            calls += 1
            if found.reply.eof:
                break
            assert entries
            cookie = entries[-1].cookie
        assert calls > 10
        assert sorted(one for one in seen if one.startswith("stay")) == sorted(stay)
        assert len(seen) == len(set(seen))

    with_export(tmp_path, test)


def test_listings_that_cannot_be(tmp_path):
    async def test(c):
        (tmp_path / "export" / ("n" * 200)).touch()
        everything = (await c.readdir(c.root)).resok
        assert everything.reply.eof
        for found in (
            await c.readdir(c.root, 5, b"12345678"),
            await c.readdir(c.root, 2**64 - 1),
            await c.readdirplus(c.root, 5, b"12345678"),
        ):
            assert found.status == nfsstat3.NFS3ERR_BAD_COOKIE
        assert (await c.readdir(c.root, count=100)).status == nfsstat3.NFS3ERR_TOOSMALL
        assert (await c.readdirplus(c.root, maxcount=100)).status == nfsstat3.NFS3ERR_TOOSMALL
        file = (await c.create(c.root, "file")).resok.obj.handle.data
        assert (await c.readdir(file)).status == nfsstat3.NFS3ERR_NOTDIR
        above = {one.name: one.fileid for one in listed(everything.reply.entries)}[".."]
        assert above == (tmp_path / "export").stat().st_ino  # nothing is said of what is above the root

    with_export(tmp_path, test)


def test_a_listing_takes_no_more_octets_than_asked_for(tmp_path):
    async def test(c):
        for i in range(100):
            (tmp_path / "export" / f"{i}{'x' * (i % 50)}").touch()
        for count in (300, 500, 1000, 3000):
            found = await c.readdir(c.root, count=count)
            assert count * 0.4 < len(p.xdr_READDIR3res.encode(found)) <= count
            found = await c.readdirplus(c.root, dircount=count, maxcount=count)
            assert count * 0.2 < len(p.xdr_READDIRPLUS3res.encode(found)) <= count
        few = listed((await c.readdirplus(c.root, dircount=100, maxcount=30_000)).resok.reply.entries)
        assert 1 <= len(few) <= 4

    with_export(tmp_path, test)
