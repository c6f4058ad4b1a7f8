"""What needs file systems of its own: `python -m tests.support.nfs_mounts FOLDER`, within a mount namespace, as root.

The export is a small tmpfs, with another tmpfs below it, and a directory from beside it mounted once more below it.
Prints what happened as JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stack.nfs import nfs3 as p
from tests.support.nfs_ours import OK, exported, listed

SIZE = 256 << 10


def mount(*words: str) -> None:
    """Mount something."""
    subprocess.run(["mount", *words], check=True)


async def full_disk(c: Any, top: Path) -> dict[str, Any]:
    """Write until it is full, and a little more."""
    kept = (await c.create(c.root, "kept")).resok.obj.handle.data
    await c.write(kept, 0, b"kept", p.FILE_SYNC)
    handle = (await c.create(c.root, "big")).resok.obj.handle.data
    offset, data, statuses = 0, os.urandom(60_000), []
    while True:
        found = await c.write(handle, offset, data)
        statuses.append(found.status.name)
        if found.status != OK:
            break
        offset += found.resok.count
    size = (await c.getattr(handle)).resok.obj_attributes.size
    made = {name: (await how).status.name for name, how in (
        ("create", c.create(c.root, "sized", p.GUARDED, size=100)),
        ("symlink", c.symlink(c.root, "link", "x" * 4000)),
        ("commit", c.commit(handle)),
    )}  # fmt: skip
    names = sorted(one.name for one in top.iterdir())
    await c.remove(c.root, "big")
    again = (await c.write(kept, 4, data)).status.name
    return {
        "statuses": sorted(set(statuses)), "written": offset, "size": size, "made": made, "names": names,
        "kept": (top / "kept").read_bytes()[:4].decode(), "again": again,
    }  # fmt: skip


async def other_mounts(c: Any, folder: Path) -> dict[str, Any]:
    """What is mounted below."""
    said = {}
    for name in ("other", "again", "file"):
        found = await c.lookup(c.root, name)
        entry = next(one for one in listed((await c.readdirplus(c.root)).resok.reply.entries) if one.name == name)
        said[name] = {
            "lookup": found.status.name,
            "handle": entry.name_handle.handle_follows,
            "mount": (await c.mnt(f"/x/{name}")).fhs_status.name,
            "remove": (await c.remove(c.root, name)).status.name,
            "rmdir": (await c.rmdir(c.root, name)).status.name,
        }
    before = await c.find("dir/file")
    mount("-t", "tmpfs", "later", str(folder / "export" / "dir"))  # over what has a handle
    while (covered := await c.getattr(before)).status == p.NFS3ERR_JUKEBOX:
        pass
    said["covered"] = {"getattr": covered.status.name}
    return said


async def main(folder: Path) -> dict[str, Any]:
    """Both."""
    top = folder / "export"
    top.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SIZE}", "full", str(top))
    async with exported(folder, sync=True) as c:
        full = await full_disk(c, top)
    beside = folder / "second"
    (beside / "export" / "dir").mkdir(parents=True)
    (beside / "export" / "dir" / "file").touch()
    (beside / "outside").mkdir()
    for name in ("other", "again", "file"):
        (beside / "export" / name).touch() if name == "file" else (beside / "export" / name).mkdir()
    mount("-t", "tmpfs", "other", str(beside / "export" / "other"))
    mount("--bind", str(beside / "outside"), str(beside / "export" / "again"))  # the same file system
    mount("--bind", "/etc/passwd", str(beside / "export" / "file"))
    async with exported(beside) as c:
        return {"full": full, "mounts": await other_mounts(c, beside)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
