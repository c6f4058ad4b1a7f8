"""mount3.x, compiled by tapstack rpcgen: to change it, change that file."""

# ruff: noqa

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final, TypeAlias, Unpack

from stack.rpc import xdr
from stack.rpc import program as _program

MNTPATHLEN: Final = 1024
MNTNAMLEN: Final = 255
FHSIZE3: Final = 64
MNT_MAX_FLAVORS: Final = 64
MOUNT_PROGRAM: Final = 100005

_PADS: Final = xdr.PADS
_U1: Final = Struct(">I").unpack_from
_P1: Final = Struct(">I").pack
_U2: Final = Struct(">i").unpack_from
_P2: Final = Struct(">i").pack


class mountstat3(IntEnum):
    """enum mountstat3."""

    MNT3_OK = 0
    MNT3ERR_PERM = 1
    MNT3ERR_NOENT = 2
    MNT3ERR_IO = 5
    MNT3ERR_ACCES = 13
    MNT3ERR_NOTDIR = 20
    MNT3ERR_INVAL = 22
    MNT3ERR_NAMETOOLONG = 63
    MNT3ERR_NOTSUPP = 10004
    MNT3ERR_SERVERFAULT = 10006


MNT3_OK: Final = mountstat3.MNT3_OK
MNT3ERR_PERM: Final = mountstat3.MNT3ERR_PERM
MNT3ERR_NOENT: Final = mountstat3.MNT3ERR_NOENT
MNT3ERR_IO: Final = mountstat3.MNT3ERR_IO
MNT3ERR_ACCES: Final = mountstat3.MNT3ERR_ACCES
MNT3ERR_NOTDIR: Final = mountstat3.MNT3ERR_NOTDIR
MNT3ERR_INVAL: Final = mountstat3.MNT3ERR_INVAL
MNT3ERR_NAMETOOLONG: Final = mountstat3.MNT3ERR_NAMETOOLONG
MNT3ERR_NOTSUPP: Final = mountstat3.MNT3ERR_NOTSUPP
MNT3ERR_SERVERFAULT: Final = mountstat3.MNT3ERR_SERVERFAULT
_of_mountstat3: Final[dict[int, mountstat3]] = {each.value: each for each in mountstat3}


@dataclass(slots=True)
class mountres3_ok:
    """struct mountres3_ok."""

    fhandle: fhandle3
    auth_flavors: list[int]


@dataclass(slots=True)
class mountres3:
    """union mountres3: `value` is the member that the first field chooses."""

    fhs_status: mountstat3
    value: mountres3_ok | None = None

    @property
    def mountinfo(self) -> mountres3_ok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.fhs_status != 0:
            raise xdr.other_case(xdr_mountres3, self.fhs_status, "mountinfo")
        found: mountres3_ok = xdr.untyped(self.value)
        return found


@dataclass(slots=True, eq=False, repr=False)
class mountbody(xdr.Nested):
    """struct mountbody."""

    ml_hostname: name
    ml_directory: dirpath
    ml_next: mountbody | None


@dataclass(slots=True, eq=False, repr=False)
class groupnode(xdr.Nested):
    """struct groupnode."""

    gr_name: name
    gr_next: groupnode | None


@dataclass(slots=True, eq=False, repr=False)
class exportnode(xdr.Nested):
    """struct exportnode."""

    ex_dir: dirpath
    ex_groups: groups
    ex_next: exportnode | None


fhandle3: TypeAlias = bytes
dirpath: TypeAlias = str
name: TypeAlias = str
mountlist: TypeAlias = mountbody | None
groups: TypeAlias = groupnode | None
exports: TypeAlias = exportnode | None


def _get_fhandle3(r: xdr.Reader) -> fhandle3:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.take(v1, 64)
    found: fhandle3 = v2
    return found


def _put_fhandle3(w: xdr.Writer, v: fhandle3) -> None:
    out = w.out
    v1 = xdr.octets(v, 64)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_dirpath(r: xdr.Reader) -> dirpath:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 1024)
    found: dirpath = v2
    return found


def _put_dirpath(w: xdr.Writer, v: dirpath) -> None:
    out = w.out
    v1 = xdr.text(v, 1024)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_name(r: xdr.Reader) -> name:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    found: name = v2
    return found


def _put_name(w: xdr.Writer, v: name) -> None:
    out = w.out
    v1 = xdr.text(v, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _at_mountstat3(data: bytes | bytearray | memoryview, at: int) -> mountstat3:
    (v1,) = _U2(data, at)
    found: mountstat3 = _of_mountstat3[v1]
    return found


def _get_mountstat3(r: xdr.Reader) -> mountstat3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    found: mountstat3 = _of_mountstat3[v1]
    return found


def _put_mountstat3(w: xdr.Writer, v: mountstat3) -> None:
    out = w.out
    out += _P2(_of_mountstat3[v])


def _get_mountres3_ok(r: xdr.Reader) -> mountres3_ok:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2 = r.take(v1, 64)
    (v3,) = _U1(r.data, r.at)
    r.at += 4
    v4 = list(r.run("i", 4, v3, 64))
    return mountres3_ok(v2, v4)


def _put_mountres3_ok(w: xdr.Writer, v: mountres3_ok) -> None:
    out = w.out
    v1 = xdr.octets(v.fhandle, 64)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    out += _P1(xdr.counted(v.auth_flavors, 64))
    out += xdr.pack_run("i", v.auth_flavors)


def _get_mountres3(r: xdr.Reader) -> mountres3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _of_mountstat3[v1]
    if v1 == 0:
        v2 = _get_mountres3_ok(r)
        return mountres3(kind, v2)
    return mountres3(kind, None)


def _put_mountres3(w: xdr.Writer, v: mountres3) -> None:
    out = w.out
    kind = _of_mountstat3[v.fhs_status]
    value: Any = v.value
    if kind == 0:
        out += _P2(kind)
        _put_mountres3_ok(w, value)
    else:
        xdr.no_value(value)
        out += _P2(kind)


def _get_mountbody(r: xdr.Reader) -> mountbody:
    head: mountbody | None = None
    while True:
        (v1,) = _U1(r.data, r.at)
        r.at += 4
        v2 = r.text(v1, 255)
        (v3,) = _U1(r.data, r.at)
        r.at += 4
        v4 = r.text(v3, 1024)
        (v5,) = _U1(r.data, r.at)
        r.at += 4
        item = mountbody(v2, v4, None)
        if head is None:
            head = end = item
        else:
            end.ml_next = item
            end = item
        if v5 != 1 or not r.left:
            r.end(v5)
            return head
        r.left -= 1


def _put_mountbody(w: xdr.Writer, v: mountbody) -> None:
    w.follow(_write_mountbody, v)


def _write_mountbody(w: xdr.Writer, v: mountbody) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    v1 = xdr.text(v.ml_hostname, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.text(v.ml_directory, 1024)
    out += _P1(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]
    tail = v.ml_next
    if tail is None:
        out += xdr.NO
        return None
    out += _P1(1)
    return _write_mountbody, tail


def _get_mountlist(r: xdr.Reader) -> mountlist:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2: mountbody | None = None
    if r.present(v1):
        v3 = _get_mountbody(r)
        v2 = v3
    found: mountlist = v2
    return found


def _put_mountlist(w: xdr.Writer, v: mountlist) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P1(1)
        _put_mountbody(w, v1)


def _get_groupnode(r: xdr.Reader) -> groupnode:
    head: groupnode | None = None
    while True:
        (v1,) = _U1(r.data, r.at)
        r.at += 4
        v2 = r.text(v1, 255)
        (v3,) = _U1(r.data, r.at)
        r.at += 4
        item = groupnode(v2, None)
        if head is None:
            head = end = item
        else:
            end.gr_next = item
            end = item
        if v3 != 1 or not r.left:
            r.end(v3)
            return head
        r.left -= 1


def _put_groupnode(w: xdr.Writer, v: groupnode) -> None:
    w.follow(_write_groupnode, v)


def _write_groupnode(w: xdr.Writer, v: groupnode) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    v1 = xdr.text(v.gr_name, 255)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    tail = v.gr_next
    if tail is None:
        out += xdr.NO
        return None
    out += _P1(1)
    return _write_groupnode, tail


def _get_groups(r: xdr.Reader) -> groups:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2: groupnode | None = None
    if r.present(v1):
        v3 = _get_groupnode(r)
        v2 = v3
    found: groups = v2
    return found


def _put_groups(w: xdr.Writer, v: groups) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P1(1)
        _put_groupnode(w, v1)


def _get_exportnode(r: xdr.Reader) -> exportnode:
    head: exportnode | None = None
    while True:
        (v1,) = _U1(r.data, r.at)
        r.at += 4
        v2 = r.text(v1, 1024)
        (v3,) = _U1(r.data, r.at)
        r.at += 4
        v4: groupnode | None = None
        if r.present(v3):
            v5 = _get_groupnode(r)
            v4 = v5
        (v6,) = _U1(r.data, r.at)
        r.at += 4
        item = exportnode(v2, v4, None)
        if head is None:
            head = end = item
        else:
            end.ex_next = item
            end = item
        if v6 != 1 or not r.left:
            r.end(v6)
            return head
        r.left -= 1


def _put_exportnode(w: xdr.Writer, v: exportnode) -> None:
    w.follow(_write_exportnode, v)


def _write_exportnode(w: xdr.Writer, v: exportnode) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    v1 = xdr.text(v.ex_dir, 1024)
    out += _P1(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = v.ex_groups
    if v2 is None:
        out += xdr.NO
    else:
        out += _P1(1)
        _put_groupnode(w, v2)
    tail = v.ex_next
    if tail is None:
        out += xdr.NO
        return None
    out += _P1(1)
    return _write_exportnode, tail


def _get_exports(r: xdr.Reader) -> exports:
    (v1,) = _U1(r.data, r.at)
    r.at += 4
    v2: exportnode | None = None
    if r.present(v1):
        v3 = _get_exportnode(r)
        v2 = v3
    found: exports = v2
    return found


def _put_exports(w: xdr.Writer, v: exports) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P1(1)
        _put_exportnode(w, v1)


xdr_fhandle3: Final[xdr.Codec[fhandle3]] = xdr.Codec("fhandle3", _get_fhandle3, _put_fhandle3)
xdr_dirpath: Final[xdr.Codec[dirpath]] = xdr.Codec("dirpath", _get_dirpath, _put_dirpath)
xdr_name: Final[xdr.Codec[name]] = xdr.Codec("name", _get_name, _put_name)
xdr_mountstat3: Final[xdr.Codec[mountstat3]] = xdr.Codec("mountstat3", _get_mountstat3, _put_mountstat3, _at_mountstat3)
xdr_mountres3_ok: Final[xdr.Codec[mountres3_ok]] = xdr.Codec("mountres3_ok", _get_mountres3_ok, _put_mountres3_ok)
xdr_mountres3: Final[xdr.Codec[mountres3]] = xdr.Codec("mountres3", _get_mountres3, _put_mountres3)
xdr_mountbody: Final[xdr.Codec[mountbody]] = xdr.Codec("mountbody", _get_mountbody, _put_mountbody)
xdr_mountlist: Final[xdr.Codec[mountlist]] = xdr.Codec("mountlist", _get_mountlist, _put_mountlist)
xdr_groupnode: Final[xdr.Codec[groupnode]] = xdr.Codec("groupnode", _get_groupnode, _put_groupnode)
xdr_groups: Final[xdr.Codec[groups]] = xdr.Codec("groups", _get_groups, _put_groups)
xdr_exportnode: Final[xdr.Codec[exportnode]] = xdr.Codec("exportnode", _get_exportnode, _put_exportnode)
xdr_exports: Final[xdr.Codec[exports]] = xdr.Codec("exports", _get_exports, _put_exports)

xdr_fhandle3.made_of = xdr.Octets(64)
xdr_dirpath.made_of = xdr.Text(1024)
xdr_name.made_of = xdr.Text(255)
xdr_mountstat3.made_of = xdr.Choice(mountstat3)
xdr_mountres3_ok.made_of = xdr.Members(fhandle=xdr_fhandle3, auth_flavors=xdr.Items(xdr.INT, 64))
xdr_mountres3.made_of = xdr.Arms(
    "fhs_status", xdr_mountstat3, xdr.Arm("mountinfo", xdr_mountres3_ok, 0), xdr.Arm("", None)
)
xdr_mountbody.made_of = xdr.Members(ml_hostname=xdr_name, ml_directory=xdr_dirpath, ml_next=xdr.Maybe(xdr_mountbody))
xdr_mountlist.made_of = xdr.Maybe(xdr_mountbody)
xdr_groupnode.made_of = xdr.Members(gr_name=xdr_name, gr_next=xdr.Maybe(xdr_groupnode))
xdr_groups.made_of = xdr.Maybe(xdr_groupnode)
xdr_exportnode.made_of = xdr.Members(ex_dir=xdr_dirpath, ex_groups=xdr_groups, ex_next=xdr.Maybe(xdr_exportnode))
xdr_exports.made_of = xdr.Maybe(xdr_exportnode)


_of_MOUNT_V3: Final = {
    0: _program.Procedure("MOUNTPROC3_NULL", 0, (), xdr.VOID, "MOUNTPROC3_NULL"),
    1: _program.Procedure("MOUNTPROC3_MNT", 1, (xdr_dirpath,), xdr_mountres3, "MOUNTPROC3_MNT"),
    2: _program.Procedure("MOUNTPROC3_DUMP", 2, (), xdr_mountlist, "MOUNTPROC3_DUMP"),
    3: _program.Procedure("MOUNTPROC3_UMNT", 3, (xdr_dirpath,), xdr.VOID, "MOUNTPROC3_UMNT"),
    4: _program.Procedure("MOUNTPROC3_UMNTALL", 4, (), xdr.VOID, "MOUNTPROC3_UMNTALL"),
    5: _program.Procedure("MOUNTPROC3_EXPORT", 5, (), xdr_exports, "MOUNTPROC3_EXPORT"),
}


class MOUNT_V3(_program.Version):
    """Version 3 of MOUNT_PROGRAM."""

    program = 100005
    version = 3
    name = "MOUNT_V3"
    program_name = "MOUNT_PROGRAM"
    procedures = _of_MOUNT_V3

    class Server(_program.Server):
        """To be derived from: a procedure that is not overridden is not there, for callers."""

        __slots__ = ()

        async def MOUNTPROC3_NULL(self, ctx: _program.Context, /) -> None:
            """Procedure 0: MOUNTPROC3_NULL."""

        async def MOUNTPROC3_MNT(self, ctx: _program.Context, a: dirpath, /) -> mountres3:
            """Procedure 1: MOUNTPROC3_MNT."""
            raise NotImplementedError

        async def MOUNTPROC3_DUMP(self, ctx: _program.Context, /) -> mountlist:
            """Procedure 2: MOUNTPROC3_DUMP."""
            raise NotImplementedError

        async def MOUNTPROC3_UMNT(self, ctx: _program.Context, a: dirpath, /) -> None:
            """Procedure 3: MOUNTPROC3_UMNT."""
            raise NotImplementedError

        async def MOUNTPROC3_UMNTALL(self, ctx: _program.Context, /) -> None:
            """Procedure 4: MOUNTPROC3_UMNTALL."""
            raise NotImplementedError

        async def MOUNTPROC3_EXPORT(self, ctx: _program.Context, /) -> exports:
            """Procedure 5: MOUNTPROC3_EXPORT."""
            raise NotImplementedError

    class Client(_program.Client):
        """Makes the calls."""

        __slots__ = ()

        async def MOUNTPROC3_NULL(self, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 0: MOUNTPROC3_NULL."""
            await self._call(_of_MOUNT_V3[0], (), options)

        async def MOUNTPROC3_MNT(self, a: dirpath, /, **options: Unpack[_program.CallOptions]) -> mountres3:
            """Procedure 1: MOUNTPROC3_MNT."""
            found: mountres3 = await self._call(_of_MOUNT_V3[1], (a,), options)
            return found

        async def MOUNTPROC3_DUMP(self, /, **options: Unpack[_program.CallOptions]) -> mountlist:
            """Procedure 2: MOUNTPROC3_DUMP."""
            found: mountlist = await self._call(_of_MOUNT_V3[2], (), options)
            return found

        async def MOUNTPROC3_UMNT(self, a: dirpath, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 3: MOUNTPROC3_UMNT."""
            await self._call(_of_MOUNT_V3[3], (a,), options)

        async def MOUNTPROC3_UMNTALL(self, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 4: MOUNTPROC3_UMNTALL."""
            await self._call(_of_MOUNT_V3[4], (), options)

        async def MOUNTPROC3_EXPORT(self, /, **options: Unpack[_program.CallOptions]) -> exports:
            """Procedure 5: MOUNTPROC3_EXPORT."""
            found: exports = await self._call(_of_MOUNT_V3[5], (), options)
            return found
