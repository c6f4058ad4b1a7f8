"""NFS as it is deployed: libnfs and showmount as clients, nfs-ganesha as the server; in the network of rpc_net."""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from stack import nfs, rpc
from stack.aio.network import AsyncHost
from tests.support.rpc_net import PROGRAMS as RPC_PROGRAMS
from tests.support.rpc_net import Place, RpcNet
from tests.support.rpc_ours import host_in
from tools.netns import stop, wait_until

PROGRAMS: Final = (*RPC_PROGRAMS, "nfs-ls", "nfs-cat", "nfs-cp", "showmount", "ganesha.nfsd")
SIZE: Final = 5_000_000
GANESHA: Final = """
NFS_CORE_PARAM {
    Protocols = 3; NFS_Port = 2049; MNT_Port = 20048; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = true;
}
NFSv4 { RecoveryBackend = fs; Graceless = true; Grace_Period = 0; }
EXPORT {
    Export_Id = 1; Path = {path}; Pseudo = /data; Access_Type = RW; Squash = No_Root_Squash; SecType = sys, none;
    Protocols = 3; Transports = TCP, UDP; FSAL { Name = VFS; }
}
"""


class NfsNet(RpcNet):
    """RpcNet, with a server and clients of NFS."""

    @contextlib.contextmanager
    def ganesha(self) -> Iterator[Path]:
        """With nfs-ganesha in the place `server`; it exports the folder that this gives, by its path."""
        with ganesha_at(self.server, self._folder) as data:
            yield data


@contextlib.contextmanager
def ganesha_at(place: Place, folder: Path) -> Iterator[Path]:
    """With nfs-ganesha in a place; it exports the folder that this gives, by its path."""
    data = folder / "ganesha"
    data.mkdir()
    config = folder / "ganesha.conf"
    config.write_text(GANESHA.replace("{path}", str(data)))
    prepare = "mkdir -p /run/ganesha && mount -t tmpfs t /var/lib/nfs && mkdir -p /var/lib/nfs/ganesha"
    place.run("sh", "-c", prepare)
    process = place.start("ganesha.nfsd", "-F", "-f", str(config), "-L", "STDOUT", "-p", "/run/g.pid", log="ganesha")
    try:
        wait_until(lambda: str(data) in place.run("showmount", "-e", "127.0.0.1", check=False).stdout, "it exports", 30)
        yield data
    finally:
        stop(process)
        place.run("umount", "/var/lib/nfs")


def some_file(path: Path, size: int = SIZE) -> str:
    """Write a file of random octets; its SHA-256."""
    data = os.urandom(size)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.asynccontextmanager
async def serving(net: NfsNet, folder: Path, **options) -> AsyncIterator[AsyncHost]:
    """Our host with an rpcbind of ours, and `folder`/data exported as /data and registered with it."""
    (folder / "data").mkdir(exist_ok=True)
    async with (
        host_in(net) as host,
        await rpc.rpcbind_server(host=host),
        await nfs.serve(folder / "data", host=host, register=True, key=folder / "key", **{"writable": True, **options}),
    ):
        yield host
