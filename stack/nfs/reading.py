"""The procedures that change nothing.  Plain functions: `service` says when and where they run.

What goes wrong is a Fault or an OSError; each procedure has a result for it, with the attributes of what was asked for
if these can still be had.
"""

import os
import stat
from collections.abc import Callable
from typing import Any, Final, TypeVar

from stack.nfs import nfs3 as p
from stack.nfs.attributes import MAX_OFFSET, NO_ATTRIBUTES, Wcc, attributes_of, handle_of
from stack.nfs.errors import Fault, WouldWaitError, status_of
from stack.nfs.nfs3 import nfsstat3
from stack.nfs.system import Entry, read_cached, read_directory
from stack.nfs.tree import NAME_MAX, Node, Tree
from stack.rpc import Pieces

T = TypeVar("T")
READ_MAX: Final = 1 << 20  # octets of a READ over a connection
WRITE_MAX: Final = 1 << 19  # of a WRITE
UDP_MAX: Final = 1 << 15  # over UDP: 23 fragments, each of which may be lost
DIRECTORY_MAX: Final = 1 << 16  # octets of a READDIR
LISTED_MIN: Final = 1024  # octets asked of the kernel, which take any one entry
VERIFIER: Final = bytes(8)  # of cookies: they are the file system's own, and stay right
_ALL: Final = (
    p.ACCESS3_READ | p.ACCESS3_LOOKUP | p.ACCESS3_MODIFY | p.ACCESS3_EXTEND | p.ACCESS3_DELETE | p.ACCESS3_EXECUTE
)
_HEAD: Final = 4 + 88 + 8 + 8  # octets of a listing besides its entries: status, attributes, verifier, the two ends
_ENTRY: Final = 24  # of an entry besides its name: that it follows, number, length, cookie
_PLUS: Final = 88 + 48  # attributes and handle


class Export:
    """A directory that is exported, and how."""

    __slots__ = ("fsid", "tree", "writable")

    def __init__(self, tree: Tree, *, writable: bool) -> None:
        self.tree = tree
        self.writable = writable
        self.fsid = tree.handles.export

    def attributes(self, node: Node) -> p.post_op_attr:
        """Of a file, as it was when it was reached."""
        return p.post_op_attr(True, attributes_of(node.stat, self.fsid))

    def using(
        self,
        handle: p.nfs_fh3,
        work: Callable[[Node], T],
        failed: Callable[[nfsstat3, Wcc], T],
        *,
        search: bool = True,
    ) -> T:
        """The result of `work` with what has this handle; of `failed`, with what is known of it, if that raises.

        Raises WouldWaitError where it would have to be searched for and is not to be.
        """
        try:
            node = self.tree.at(handle.data, search=search)
        except (Fault, OSError) as error:
            return failed(status_of(error), Wcc(None, self.fsid))
        with node:
            try:
                return work(node)
            except (Fault, OSError) as error:
                return failed(status_of(error), Wcc(node, self.fsid))


def in_pieces(found: Any) -> Any:
    """A result of READ as it is sent, with its data in a piece of their own; whatever else is given, as it is."""
    if not isinstance(found, p.READ3res) or found.status != nfsstat3.NFS3_OK:
        return found
    ok = found.resok
    data = ok.data
    without = p.xdr_READ3res.encode(p.READ3res(found.status, p.READ3resok(ok.file_attributes, ok.count, ok.eof, b"")))
    return Pieces(without[:-4] + len(data).to_bytes(4, "big"), data, bytes(-len(data) % 4))


class Reading:
    """See the head of this file."""

    __slots__ = ("_export",)

    def __init__(self, export: Export) -> None:
        self._export = export

    def getattr(self, a: p.GETATTR3args) -> p.GETATTR3res:
        """RFC 1813 §3.3.1."""
        return self._export.using(
            a.object,
            lambda node: p.GETATTR3res(nfsstat3.NFS3_OK, p.GETATTR3resok(attributes_of(node.stat, self._export.fsid))),
            lambda status, _: p.GETATTR3res(status),
        )

    def lookup(self, a: p.LOOKUP3args) -> p.LOOKUP3res:
        """RFC 1813 §3.3.3."""

        def work(directory: Node) -> p.LOOKUP3res:
            with self._export.tree.child(directory, a.what.name) as node:
                attributes = self._export.attributes
                return p.LOOKUP3res(
                    nfsstat3.NFS3_OK,
                    p.LOOKUP3resok(p.nfs_fh3(node.handle), attributes(node), attributes(directory)),
                )

        return self._export.using(
            a.what.dir, work, lambda status, wcc: p.LOOKUP3res(status, p.LOOKUP3resfail(wcc.after()))
        )

    def access(self, a: p.ACCESS3args) -> p.ACCESS3res:
        """RFC 1813 §3.3.4: what the server's own user may do, for that is who does it."""

        def work(node: Node) -> p.ACCESS3res:
            allowed = self._allowed(node) & a.access & _ALL
            return p.ACCESS3res(nfsstat3.NFS3_OK, p.ACCESS3resok(self._export.attributes(node), allowed))

        return self._export.using(
            a.object, work, lambda status, wcc: p.ACCESS3res(status, p.ACCESS3resfail(wcc.after()))
        )

    def _allowed(self, node: Node) -> int:
        if node.kind == stat.S_IFLNK:
            return p.ACCESS3_READ
        found = 0
        if os.access(node.itself, os.R_OK, effective_ids=True):
            found |= p.ACCESS3_READ
        runs = os.access(node.itself, os.X_OK, effective_ids=True)
        if runs:
            found |= p.ACCESS3_LOOKUP if node.is_directory else p.ACCESS3_EXECUTE
        if self._export.writable and os.access(node.itself, os.W_OK, effective_ids=True):
            found |= p.ACCESS3_MODIFY | p.ACCESS3_EXTEND
            if node.is_directory and runs:
                found |= p.ACCESS3_DELETE
        return found

    def readlink(self, a: p.READLINK3args) -> p.READLINK3res:
        """RFC 1813 §3.3.5."""

        def work(node: Node) -> p.READLINK3res:
            node.need(stat.S_IFLNK, nfsstat3.NFS3ERR_INVAL)
            target = os.readlink(b"", dir_fd=node.fd).decode("utf-8", "surrogateescape")
            return p.READLINK3res(nfsstat3.NFS3_OK, p.READLINK3resok(self._export.attributes(node), target))

        return self._export.using(
            a.symlink, work, lambda status, wcc: p.READLINK3res(status, p.READLINK3resfail(wcc.after()))
        )

    def read(self, a: p.READ3args, most: int = READ_MAX) -> p.READ3res:
        """RFC 1813 §3.3.6; at most `most` octets."""
        return self._read(a, most, lambda fd, size: os.pread(fd, size, a.offset), search=True)

    def read_at_once(self, a: p.READ3args, most: int = READ_MAX) -> p.READ3res | None:
        """The same, if the kernel has the data in its memory; else None."""

        def take(fd: int, size: int) -> bytes:
            data = read_cached(fd, size, a.offset)
            if data is None:
                raise WouldWaitError
            return data

        try:
            return self._read(a, most, take, search=False)
        except WouldWaitError:
            return None

    def _read(self, a: p.READ3args, most: int, take: Callable[[int, int], bytes], *, search: bool) -> p.READ3res:
        def work(node: Node) -> p.READ3res:
            node.need(stat.S_IFREG, nfsstat3.NFS3ERR_INVAL)
            fd = node.open(os.O_RDONLY)
            try:
                size = min(a.count, most, node.stat.size - a.offset)
                data = take(fd, size) if size > 0 else b""
            finally:
                os.close(fd)
            end = a.offset + len(data) >= node.stat.size or (not data and a.count > 0)
            attributes = self._export.attributes(node)
            return p.READ3res(nfsstat3.NFS3_OK, p.READ3resok(attributes, len(data), end, data))

        def failed(status: nfsstat3, wcc: Wcc) -> p.READ3res:
            return p.READ3res(status, p.READ3resfail(wcc.after()))

        return self._export.using(a.file, work, failed, search=search)

    # -- directories

    def readdir(self, a: p.READDIR3args, most: int = DIRECTORY_MAX) -> p.READDIR3res:
        """RFC 1813 §3.3.16."""

        def work(node: Node) -> p.READDIR3res:
            entries, end = self._entries(node, a.cookie, a.cookieverf, min(a.count, most) - _HEAD, 0, most)
            head: p.entry3 | None = None
            for one in reversed(entries):
                head = p.entry3(one.ino, one.name.decode("utf-8", "surrogateescape"), one.cookie, head)
            attributes = self._export.attributes(node)
            return p.READDIR3res(nfsstat3.NFS3_OK, p.READDIR3resok(attributes, VERIFIER, p.dirlist3(head, end)))

        return self._export.using(
            a.dir, work, lambda status, wcc: p.READDIR3res(status, p.READDIR3resfail(wcc.after()))
        )

    def readdirplus(self, a: p.READDIRPLUS3args, most: int = DIRECTORY_MAX) -> p.READDIRPLUS3res:
        """RFC 1813 §3.3.17."""

        def work(node: Node) -> p.READDIRPLUS3res:
            entries, end = self._entries(
                node, a.cookie, a.cookieverf, min(a.maxcount, most) - _HEAD, _PLUS, max(a.dircount, 1)
            )
            head: p.entryplus3 | None = None
            for one in reversed(entries):
                name = one.name.decode("utf-8", "surrogateescape")
                attributes, handle = self._more(node, name)
                head = p.entryplus3(one.ino, name, one.cookie, attributes, handle, head)
            return p.READDIRPLUS3res(
                nfsstat3.NFS3_OK,
                p.READDIRPLUS3resok(self._export.attributes(node), VERIFIER, p.dirlistplus3(head, end)),
            )

        return self._export.using(
            a.dir, work, lambda status, wcc: p.READDIRPLUS3res(status, p.READDIRPLUS3resfail(wcc.after()))
        )

    def _more(self, directory: Node, name: str) -> tuple[p.post_op_attr, p.post_op_fh3]:
        """Attributes and handle of what is listed; neither, of what only has a name for clients."""
        try:
            with self._export.tree.child(directory, name) as node:
                return self._export.attributes(node), handle_of(node)
        except (Fault, OSError):
            return NO_ATTRIBUTES, p.post_op_fh3(False)

    def _entries(
        self, node: Node, cookie: int, verifier: bytes, room: int, more: int, names: int
    ) -> tuple[list[Entry], bool]:
        """The entries from a cookie on, and whether they are the last; each takes `more` octets besides its own.

        `room` is for all octets of all of them, `names` for those without `more`.  Raises Fault, OSError.
        """
        node.need_directory()
        if (cookie and verifier != VERIFIER) or cookie > MAX_OFFSET:
            raise Fault(nfsstat3.NFS3ERR_BAD_COOKIE)
        found: list[Entry] = []
        fd = node.open(os.O_RDONLY | os.O_DIRECTORY)
        try:
            if cookie:
                try:
                    os.lseek(fd, cookie, os.SEEK_SET)
                except OSError:
                    raise Fault(nfsstat3.NFS3ERR_BAD_COOKIE) from None
            while entries := read_directory(fd, max(min(room, DIRECTORY_MAX), LISTED_MIN)):
                for one in entries:
                    size = _ENTRY + (len(one.name) + 3 & ~3)
                    room -= size + more
                    names -= size
                    if (found and names < 0) or room < 0:
                        if not found:
                            raise Fault(nfsstat3.NFS3ERR_TOOSMALL)
                        return found, False
                    found.append(self._listed(node, one))
        finally:
            os.close(fd)
        return found, True

    def _listed(self, directory: Node, one: Entry) -> Entry:
        """What is told of an entry: nothing of what is above the root."""
        if one.name == b".." and directory.stat.ino == self._export.tree.root.ino:
            return one._replace(ino=directory.stat.ino)
        return one

    # -- the file system

    def fsstat(self, a: p.FSSTAT3args) -> p.FSSTAT3res:
        """RFC 1813 §3.3.18."""

        def work(node: Node) -> p.FSSTAT3res:
            found = os.fstatvfs(node.fd)
            block = found.f_frsize
            return p.FSSTAT3res(
                nfsstat3.NFS3_OK,
                p.FSSTAT3resok(
                    self._export.attributes(node),
                    found.f_blocks * block,
                    found.f_bfree * block,
                    found.f_bavail * block,
                    found.f_files,
                    found.f_ffree,
                    found.f_favail,
                    0,
                ),
            )

        return self._export.using(
            a.fsroot, work, lambda status, wcc: p.FSSTAT3res(status, p.FSSTAT3resfail(wcc.after()))
        )

    def fsinfo(self, a: p.FSINFO3args, most: int = READ_MAX, most_written: int = WRITE_MAX) -> p.FSINFO3res:
        """RFC 1813 §3.3.19."""

        def work(node: Node) -> p.FSINFO3res:
            can = p.FSF3_LINK | p.FSF3_SYMLINK | p.FSF3_HOMOGENEOUS | p.FSF3_CANSETTIME
            listing = min(most, DIRECTORY_MAX)
            return p.FSINFO3res(
                nfsstat3.NFS3_OK,
                p.FSINFO3resok(
                    self._export.attributes(node),
                    most,
                    most,
                    4096,
                    most_written,
                    most_written,
                    4096,
                    listing,
                    MAX_OFFSET,
                    p.nfstime3(0, 1),
                    can,
                ),
            )

        return self._export.using(
            a.fsroot, work, lambda status, wcc: p.FSINFO3res(status, p.FSINFO3resfail(wcc.after()))
        )

    def pathconf(self, a: p.PATHCONF3args) -> p.PATHCONF3res:
        """RFC 1813 §3.3.20."""

        def work(node: Node) -> p.PATHCONF3res:
            links = os.pathconf(node.itself, "PC_LINK_MAX")
            return p.PATHCONF3res(
                nfsstat3.NFS3_OK,
                p.PATHCONF3resok(
                    self._export.attributes(node), min(links, 0xFFFF_FFFF), NAME_MAX, True, True, False, True
                ),
            )

        return self._export.using(
            a.object, work, lambda status, wcc: p.PATHCONF3res(status, p.PATHCONF3resfail(wcc.after()))
        )
