"""A directory for whoever can reach 198.18.0.2: an NFS server and an rpcbind on a TAP device.

    sudo .venv/bin/python examples/nfs_server.py DIRECTORY [--writable]

    showmount -e 198.18.0.2
    nfs-ls 'nfs://198.18.0.2/data?version=3'
    tapstack nfs put FILE 198.18.0.2:/data

Everything is done as root here, who made the device; `allow` says from where it may be asked for.
"""

import argparse
import asyncio
import contextlib
from pathlib import Path

import stack
from stack import nfs, rpc

ADDRESS = "198.18.0.2"
NETWORK = f"{ADDRESS}/24"


async def main(directory: Path, *, writable: bool) -> None:
    """Serve until Ctrl-C."""
    policy = rpc.allow(networks=["198.18.0.0/24"])
    async with (
        stack.open_tap("tapstack0", NETWORK, host_address="198.18.0.1") as host,
        await rpc.rpcbind_server(host=host),
        await nfs.serve(directory, path="/data", host=host, writable=writable, register=True, auth=policy),
    ):
        print(f"{directory} is nfs://{ADDRESS}/data; Ctrl-C ends it", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--writable", action="store_true", help="let clients change it")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        stack.run(main(options.directory, writable=options.writable))
