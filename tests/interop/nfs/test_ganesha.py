"""Our client on our stack, against nfs-ganesha."""

import contextlib
import hashlib
import os

import pytest

from stack import nfs
from tests.support.nfs_net import SIZE
from tests.support.rpc_net import SERVER
from tests.support.rpc_ours import host_in, run

pytestmark = [pytest.mark.netns, pytest.mark.interop]
both = pytest.mark.parametrize("proto", ["tcp", "udp"])
WAYS = ("v-server", "tap0")


@pytest.fixture(scope="module")
def ganesha(net):
    with net.ganesha() as folder:
        yield folder


def mounted(net, ganesha, proto, test):
    """Run a coroutine function with its folder mounted; found by rpcbind."""

    async def main():
        async with host_in(net) as host, nfs.mount(f"{SERVER}:{ganesha}", proto=proto, host=host) as there:
            return await test(there)

    return run(main())


@both
@pytest.mark.parametrize("per_mille", [0, 20])
def test_five_megabytes_both_ways(net, ganesha, proto, per_mille):
    data = os.urandom(SIZE)
    name = f"file-{proto}-{per_mille}"

    async def test(there):
        with net.loss(per_mille, *WAYS) if per_mille else contextlib.nullcontext():
            await there.write(name, data)
            back = await there.read(name)
        assert (ganesha / name).read_bytes() == data
        listed = {one.name: one.size for one in await there.list()}
        await there.remove(name)
        return hashlib.sha256(back).hexdigest(), listed[name]

    assert mounted(net, ganesha, proto, test) == (hashlib.sha256(data).hexdigest(), SIZE)


@both
def test_names(net, ganesha, proto):
    async def test(there):
        await there.mkdir("dir")
        for i in range(200):
            await there.write(f"dir/{i:03}", b"x" * i)
        await there.symlink("link", "dir/123")
        assert [(one.name, one.size) for one in await there.list("dir")] == [(f"{i:03}", i) for i in range(200)]
        assert await there.read("link") == b"x" * 123
        await there.chmod("dir/123", 0o600)
        assert (await there.stat("link")).permissions == "-rw-------"
        await there.rename("dir/123", "dir/moved")
        with pytest.raises(nfs.NfsError, match="there is no such file"):
            await there.read("link")
        with pytest.raises(nfs.NfsError, match="not empty"):
            await there.rmdir("dir")
        for one in await there.list("dir"):
            await there.remove(f"dir/{one.name}")
        await there.rmdir("dir")
        await there.remove("link")
        assert await there.list() == []

    mounted(net, ganesha, proto, test)


def test_what_is_not_exported(net, ganesha):
    async def main():
        async with host_in(net) as host, nfs.mount(f"{SERVER}:/none", host=host):
            pass

    with pytest.raises(nfs.MountError, match=f"{SERVER}:/none cannot be mounted"):
        run(main())
