"""The procedures that change something.  Plain functions: `service` says when and where they run.

Theory of operation.  What a procedure has answered is on the disk (`sync`; RFC 1813 §4.7), but for data of UNSTABLE
writes: these are when a COMMIT has been answered.  A client keeps such data until then, and sends them again if the
`verifier` that it gets with the COMMIT is not the one that it got with the WRITE.  It is another one after each start,
and after each time that the disk failed to take what was written, for nobody knows then what it has lost.

A new file that cannot be given what was asked for (a size that does not fit, say) is taken away again: a call does all
of it, or nothing.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from stack.nfs import nfs3 as p
from stack.nfs.attributes import MAX_OFFSET, Wcc, apply, handle_of, mode_of, set_times, size_of, time_of
from stack.nfs.errors import Fault
from stack.nfs.kept import KeptFiles
from stack.nfs.nfs3 import createmode3, nfsstat3, stable_how
from stack.nfs.reading import Export
from stack.nfs.tree import Node, octets_of

T = TypeVar("T")
NEW_FILE: Final = 0o666  # less the umask of the server, where a client says nothing
NEW_DIRECTORY: Final = 0o777
MAX_TARGET: Final = 4095  # octets of a symbolic link
_DOTS: Final = frozenset({b".", b".."})
_SECOND: Final = 1_000_000_000
_TIME: Final = 0x7FFF_FFFF  # of a verifier that is kept as a time


class Changing:
    """See the head of this file.  `sync`: whether the disk is waited for."""

    __slots__ = ("_export", "_kept", "_sync", "_verifier", "failed_syncs")

    def __init__(self, export: Export, *, sync: bool = True) -> None:
        self._export = export
        self._sync = sync
        self._verifier = os.urandom(8)
        self._kept = KeptFiles()
        self.failed_syncs = 0

    def close(self) -> None:
        """Let go of all files."""
        self._kept.close()

    @property
    def verifier(self) -> bytes:
        """What clients compare; see the head of this file."""
        return self._verifier

    # -- one file

    def setattr(self, a: p.SETATTR3args) -> p.SETATTR3res:
        """RFC 1813 §3.3.2."""

        def work(node: Node) -> p.SETATTR3res:
            self._need_writable()
            if a.guard.check and a.guard.obj_ctime != time_of(node.stat.ctime):
                raise Fault(nfsstat3.NFS3ERR_NOT_SYNC)
            apply(a.new_attributes, node)
            self._flush(node)
            return p.SETATTR3res(nfsstat3.NFS3_OK, p.SETATTR3resok(self._wcc(node)))

        return self._export.using(
            a.object, work, lambda status, wcc: p.SETATTR3res(status, p.SETATTR3resfail(wcc.both()))
        )

    def write(self, a: p.WRITE3args) -> p.WRITE3res:
        """RFC 1813 §3.3.7."""

        def work(node: Node) -> p.WRITE3res:
            self._need_writable()
            node.need(stat.S_IFREG, nfsstat3.NFS3ERR_INVAL)
            if a.count != len(a.data):
                raise Fault(nfsstat3.NFS3ERR_INVAL)
            if a.offset + a.count > MAX_OFFSET:
                raise Fault(nfsstat3.NFS3ERR_FBIG)
            verifier = self._verifier  # as it was: if the disk fails meanwhile, nobody knows whose data are lost
            fd = self._open_to_write(node)
            try:
                written = os.pwrite(fd, a.data, a.offset)
                if a.stable == stable_how.DATA_SYNC:
                    self._durable(os.fdatasync, fd)
                elif a.stable == stable_how.FILE_SYNC:
                    self._durable(os.fsync, fd)
            finally:
                os.close(fd)
            return p.WRITE3res(nfsstat3.NFS3_OK, p.WRITE3resok(self._wcc(node), written, a.stable, verifier))

        return self._export.using(a.file, work, lambda status, wcc: p.WRITE3res(status, p.WRITE3resfail(wcc.both())))

    def commit(self, a: p.COMMIT3args) -> p.COMMIT3res:
        """RFC 1813 §3.3.21; of the whole file, whatever part is asked for."""

        def work(node: Node) -> p.COMMIT3res:
            self._need_writable()
            node.need(stat.S_IFREG, nfsstat3.NFS3ERR_INVAL)
            readable = os.access(node.itself, os.R_OK, effective_ids=True)
            fd = node.open(os.O_RDONLY) if readable else self._open_to_write(node)
            try:
                self._durable(os.fsync, fd)
            finally:
                os.close(fd)
            return p.COMMIT3res(nfsstat3.NFS3_OK, p.COMMIT3resok(self._wcc(node), self._verifier))

        return self._export.using(a.file, work, lambda status, wcc: p.COMMIT3res(status, p.COMMIT3resfail(wcc.both())))

    def _open_to_write(self, node: Node) -> int:
        """A descriptor.  Raises OSError."""
        try:
            return node.open(os.O_WRONLY)
        except PermissionError:
            fd = self._kept.copy(node.stat.ino, node.stat.birth)
            if fd is None:
                raise
            return fd

    # -- something new

    def create(self, a: p.CREATE3args) -> p.CREATE3res:
        """RFC 1813 §3.3.8."""

        def work(directory: Node) -> p.CREATE3res:
            name = self._new_name(directory, a.where.name)
            with self._created(directory, name, a) as node:
                return p.CREATE3res(
                    nfsstat3.NFS3_OK, p.CREATE3resok(handle_of(node), self._now(node), self._wcc(directory))
                )

        return self._export.using(
            a.where.dir, work, lambda status, wcc: p.CREATE3res(status, p.CREATE3resfail(wcc.both()))
        )

    def _created(self, directory: Node, name: bytes, a: p.CREATE3args) -> Node:
        exclusive = a.how.mode == createmode3.EXCLUSIVE
        wanted = None if exclusive else a.how.obj_attributes
        mode = None if wanted is None else mode_of(wanted)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, NEW_FILE if mode is None else 0o600, dir_fd=directory.fd)
        except FileExistsError:
            return self._existing(directory, a)

        def finish(node: Node) -> None:
            if exclusive:
                set_times(node, _as_times(a.how.verf))
            else:
                assert wanted is not None
                apply(without_owner(wanted), node, size=size_of(wanted) != 0)

        try:
            node = self._finished(directory, name, a.where.name, finish, os.unlink)
            if mode is not None and not mode & stat.S_IWUSR:
                with suppress(OSError):  # no more descriptors: it cannot be written, then
                    self._kept.keep(node.stat.ino, node.stat.birth, fd)
        finally:
            os.close(fd)
        return node

    def _existing(self, directory: Node, a: p.CREATE3args) -> Node:
        """A file of that name is there already.  Raises Fault, unless that is right."""
        if a.how.mode == createmode3.GUARDED:
            raise Fault(nfsstat3.NFS3ERR_EXIST)
        node = self._export.tree.child(directory, a.where.name)
        try:
            self._use(node, a.how)
        except BaseException:
            node.close()
            raise
        return node

    def _use(self, node: Node, how: p.createhow3) -> None:
        node.need(stat.S_IFREG, nfsstat3.NFS3ERR_EXIST)
        if how.mode == createmode3.EXCLUSIVE:
            # the same call once more: its first copy has made it, and its reply was lost
            if (node.stat.atime, node.stat.mtime) != _as_times(how.verf):
                raise Fault(nfsstat3.NFS3ERR_EXIST)
        elif size_of(how.obj_attributes) is not None:
            apply(only_size(how.obj_attributes), node)
            self._flush(node)

    def mkdir(self, a: p.MKDIR3args) -> p.MKDIR3res:
        """RFC 1813 §3.3.9."""

        def work(directory: Node) -> p.MKDIR3res:
            name = self._new_name(directory, a.where.name)
            mode = mode_of(a.attributes)
            os.mkdir(name, NEW_DIRECTORY if mode is None else mode, dir_fd=directory.fd)

            def finish(node: Node) -> None:
                apply(without_owner(a.attributes), node, size=False)

            with self._finished(directory, name, a.where.name, finish, os.rmdir) as node:
                return p.MKDIR3res(
                    nfsstat3.NFS3_OK, p.MKDIR3resok(handle_of(node), self._now(node), self._wcc(directory))
                )

        return self._export.using(
            a.where.dir, work, lambda status, wcc: p.MKDIR3res(status, p.MKDIR3resfail(wcc.both()))
        )

    def symlink(self, a: p.SYMLINK3args) -> p.SYMLINK3res:
        """RFC 1813 §3.3.10.  Where it leads to is never looked at here."""

        def work(directory: Node) -> p.SYMLINK3res:
            name = self._new_name(directory, a.where.name)
            target = a.symlink.symlink_data.encode("utf-8", "surrogateescape")
            if not target or b"\0" in target:
                raise Fault(nfsstat3.NFS3ERR_INVAL)
            if len(target) > MAX_TARGET:
                raise Fault(nfsstat3.NFS3ERR_NAMETOOLONG)
            os.symlink(target, name, dir_fd=directory.fd)
            with self._finished(directory, name, a.where.name, lambda _: None, os.unlink) as node:
                return p.SYMLINK3res(
                    nfsstat3.NFS3_OK, p.SYMLINK3resok(handle_of(node), self._now(node), self._wcc(directory))
                )

        return self._export.using(
            a.where.dir, work, lambda status, wcc: p.SYMLINK3res(status, p.SYMLINK3resfail(wcc.both()))
        )

    def mknod(self, a: p.MKNOD3args) -> p.MKNOD3res:
        """RFC 1813 §3.3.11: no devices, FIFOs and sockets here."""

        def work(_: Node) -> p.MKNOD3res:
            self._need_writable()
            special = {p.NF3CHR, p.NF3BLK, p.NF3SOCK, p.NF3FIFO}
            raise Fault(nfsstat3.NFS3ERR_NOTSUPP if a.what.type in special else nfsstat3.NFS3ERR_BADTYPE)

        return self._export.using(
            a.where.dir, work, lambda status, wcc: p.MKNOD3res(status, p.MKNOD3resfail(wcc.both()))
        )

    def link(self, a: p.LINK3args) -> p.LINK3res:
        """RFC 1813 §3.3.15: another name for what has a handle, and so is within the export."""

        def work(node: Node) -> p.LINK3res:
            def inner(directory: Node) -> p.LINK3res:
                name = self._new_name(directory, a.link.name)
                node.need(stat.S_IFREG, nfsstat3.NFS3ERR_INVAL)
                os.link(node.itself, name, dst_dir_fd=directory.fd, follow_symlinks=True)
                self._export.tree.places.learn(node.stat.ino, directory.stat.ino, name)
                self._flush(directory)
                return p.LINK3res(nfsstat3.NFS3_OK, p.LINK3resok(self._now(node), self._wcc(directory)))

            return self._export.using(
                a.link.dir, inner, lambda status, wcc: p.LINK3res(status, p.LINK3resfail(self._now(node), wcc.both()))
            )

        return self._export.using(
            a.file,
            work,
            lambda status, wcc: p.LINK3res(status, p.LINK3resfail(wcc.after(), Wcc(None, self._export.fsid).both())),
        )

    # -- something less

    def remove(self, a: p.REMOVE3args) -> p.REMOVE3res:
        """RFC 1813 §3.3.12."""

        def work(directory: Node) -> p.REMOVE3res:
            name = self._old_name(directory, a.object.name)
            if name in _DOTS:
                raise Fault(nfsstat3.NFS3ERR_INVAL)
            self._gone(directory, name, lambda: os.unlink(name, dir_fd=directory.fd))
            return p.REMOVE3res(nfsstat3.NFS3_OK, p.REMOVE3resok(self._wcc(directory)))

        return self._export.using(
            a.object.dir, work, lambda status, wcc: p.REMOVE3res(status, p.REMOVE3resfail(wcc.both()))
        )

    def rmdir(self, a: p.RMDIR3args) -> p.RMDIR3res:
        """RFC 1813 §3.3.13."""

        def work(directory: Node) -> p.RMDIR3res:
            name = self._old_name(directory, a.object.name)
            if name in _DOTS:
                raise Fault(nfsstat3.NFS3ERR_INVAL if name == b"." else nfsstat3.NFS3ERR_EXIST)
            self._gone(directory, name, lambda: os.rmdir(name, dir_fd=directory.fd))
            return p.RMDIR3res(nfsstat3.NFS3_OK, p.RMDIR3resok(self._wcc(directory)))

        return self._export.using(
            a.object.dir, work, lambda status, wcc: p.RMDIR3res(status, p.RMDIR3resfail(wcc.both()))
        )

    def rename(self, a: p.RENAME3args) -> p.RENAME3res:
        """RFC 1813 §3.3.14."""

        def work(source: Node) -> p.RENAME3res:
            def inner(target: Node) -> p.RENAME3res:
                self._move(source, a.from_.name, target, a.to.name)
                return p.RENAME3res(nfsstat3.NFS3_OK, p.RENAME3resok(self._wcc(source), self._wcc(target)))

            return self._export.using(
                a.to.dir,
                inner,
                lambda status, wcc: p.RENAME3res(status, p.RENAME3resfail(self._wcc(source), wcc.both())),
            )

        return self._export.using(
            a.from_.dir,
            work,
            lambda status, wcc: p.RENAME3res(status, p.RENAME3resfail(wcc.both(), Wcc(None, self._export.fsid).both())),
        )

    def _move(self, source: Node, old: str, target: Node, new: str) -> None:
        from_name, to_name = self._old_name(source, old), self._old_name(target, new)
        if from_name in _DOTS or to_name in _DOTS:
            raise Fault(nfsstat3.NFS3ERR_INVAL)
        moved = self._peek(source, from_name)

        def do() -> None:
            try:
                os.rename(from_name, to_name, src_dir_fd=source.fd, dst_dir_fd=target.fd)
            except (NotADirectoryError, IsADirectoryError):  # both are directories, or neither is
                raise Fault(nfsstat3.NFS3ERR_EXIST) from None

        if moved is not None and moved == self._peek(target, to_name):
            do()  # two names of one file: nothing happens (rename(2))
        else:
            self._gone(target, to_name, do)
            if moved is not None:
                self._export.tree.places.learn(moved[0], target.stat.ino, to_name)
        if source.stat.ino != target.stat.ino:
            self._flush(source)

    # -- what they share

    def _need_writable(self) -> None:
        if not self._export.writable:
            raise Fault(nfsstat3.NFS3ERR_ROFS)

    def _old_name(self, directory: Node, name: str) -> bytes:
        """A name in a directory that shall change.  Raises Fault."""
        self._need_writable()
        directory.need_directory()
        return octets_of(name)

    def _new_name(self, directory: Node, name: str) -> bytes:
        """A name that shall be made; the two that all directories have are there already.  Raises Fault."""
        octets = self._old_name(directory, name)
        if octets in _DOTS:
            raise Fault(nfsstat3.NFS3ERR_EXIST)
        return octets

    def _finished(
        self,
        directory: Node,
        octets: bytes,
        name: str,
        finish: Callable[[Node], None],
        undo: Callable[..., None],
    ) -> Node:
        """What was just made, with all that was asked for, and on the disk; or not there at all.  Raises OSError."""
        try:
            node = self._export.tree.child(directory, name)
            try:
                finish(node)
                self._flush(node)
                self._flush(directory)
            except BaseException:
                node.close()
                raise
        except BaseException:
            with suppress(OSError):
                undo(octets, dir_fd=directory.fd)
            raise
        return node

    def _peek(self, directory: Node, name: bytes) -> tuple[int, int, bool] | None:
        """Inode, birth, and whether it has one name only; None if there is nothing."""
        tree = self._export.tree
        try:
            found = tree.glance(directory, name)
        except OSError:
            return None
        return found.ino, found.birth, found.nlink <= 1 or stat.S_ISDIR(found.mode)

    def _gone(self, directory: Node, name: bytes, do: Callable[[], None]) -> None:
        """Take away a name, and remember it if that was the last of its file.  Raises OSError."""
        was = self._peek(directory, name)
        do()
        if was is not None:
            places = self._export.tree.places
            if was[2]:
                places.bury(was[0], was[1])
                self._kept.drop(was[0], was[1])
            elif places.parent_of(was[0]) == directory.stat.ino:
                places.forget(was[0])
        self._flush(directory)

    def _flush(self, node: Node) -> None:
        """Wait until the disk has it.  Raises OSError."""
        if not self._sync or node.kind == stat.S_IFLNK:  # links are in their directory
            return
        try:
            fd = node.open(os.O_RDONLY)
        except PermissionError:  # a file that its owner must not read: it has just been made, or changed
            fd = node.open(os.O_WRONLY) if os.access(node.itself, os.W_OK) else -1
        if fd < 0:
            return
        try:
            self._durable(os.fsync, fd)
        finally:
            os.close(fd)

    def _durable(self, how: Callable[[int], Any], fd: int) -> None:
        """Wait for the disk; if it fails, what was written before may be lost, of all clients.  Raises OSError."""
        if not self._sync:
            return
        try:
            how(fd)
        except OSError:
            self.failed_syncs += 1
            self._verifier = os.urandom(8)
            raise

    def _wcc(self, node: Node) -> p.wcc_data:
        return Wcc(node, self._export.fsid).both()

    def _now(self, node: Node) -> p.post_op_attr:
        return Wcc(node, self._export.fsid).after()


def _as_times(verifier: bytes) -> tuple[int, int]:
    """The verifier of an exclusive CREATE, as the two times where it is kept until the client sets them."""
    first, second = int.from_bytes(verifier[:4], "big"), int.from_bytes(verifier[4:], "big")
    return (first & _TIME) * _SECOND, (second & _TIME) * _SECOND


def without_owner(wanted: p.sattr3) -> p.sattr3:
    """What is made belongs to the server's user, whoever asks for it."""
    return p.sattr3(wanted.mode, p.set_uid3(False), p.set_gid3(False), wanted.size, wanted.atime, wanted.mtime)


def only_size(wanted: p.sattr3) -> p.sattr3:
    """What CREATE does to a file that is there."""
    keep = p.time_how.DONT_CHANGE
    return p.sattr3(
        p.set_mode3(False),
        p.set_uid3(False),
        p.set_gid3(False),
        wanted.size,
        p.set_atime(keep),
        p.set_mtime(keep),
    )
