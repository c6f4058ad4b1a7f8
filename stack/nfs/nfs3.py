"""nfs3.x, compiled by tapstack rpcgen: to change it, change that file."""

# ruff: noqa

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final, TypeAlias, Unpack

from stack.rpc import xdr
from stack.rpc import program as _program

NFS3_FHSIZE: Final = 64
NFS3_COOKIEVERFSIZE: Final = 8
NFS3_CREATEVERFSIZE: Final = 8
NFS3_WRITEVERFSIZE: Final = 8
ACCESS3_READ: Final = 1
ACCESS3_LOOKUP: Final = 2
ACCESS3_MODIFY: Final = 4
ACCESS3_EXTEND: Final = 8
ACCESS3_DELETE: Final = 16
ACCESS3_EXECUTE: Final = 32
FSF3_LINK: Final = 1
FSF3_SYMLINK: Final = 2
FSF3_HOMOGENEOUS: Final = 8
FSF3_CANSETTIME: Final = 16
NFS_PROGRAM: Final = 100003

_BOOLS: Final = xdr.BOOLS
_PADS: Final = xdr.PADS
_U1: Final = Struct(">Q").unpack_from
_P1: Final = Struct(">Q").pack
_U2: Final = Struct(">I").unpack_from
_P2: Final = Struct(">I").pack
_U3: Final = Struct(">8s").unpack_from
_P3: Final = Struct(">8s").pack
_U4: Final = Struct(">i").unpack_from
_P4: Final = Struct(">i").pack
_U5: Final = Struct(">II").unpack_from
_P5: Final = Struct(">II").pack
_U6: Final = Struct(">iIIIIQQIIQQIIIII").unpack_from
_P6: Final = Struct(">iIIIIQQIIQQIIIII").pack
_U7: Final = Struct(">QIIII").unpack_from
_P7: Final = Struct(">QIIII").pack
_P8: Final = Struct(">IQIIII").pack
_P9: Final = Struct(">IQ").pack
_P10: Final = Struct(">iII").pack
_U11: Final = Struct(">III").unpack_from
_P11: Final = Struct(">III").pack
_U12: Final = Struct(">QI").unpack_from
_P12: Final = Struct(">QI").pack
_U13: Final = Struct(">QIiI").unpack_from
_P13: Final = Struct(">QIiI").pack
_U14: Final = Struct(">Ii8s").unpack_from
_P14: Final = Struct(">Ii8s").pack
_P15: Final = Struct(">i8s").pack
_U16: Final = Struct(">Q8sI").unpack_from
_P16: Final = Struct(">Q8sI").pack
_U17: Final = Struct(">Q8sII").unpack_from
_P17: Final = Struct(">Q8sII").pack
_U18: Final = Struct(">QQQQQQI").unpack_from
_P18: Final = Struct(">QQQQQQI").pack
_U19: Final = Struct(">IIIIIIIQIII").unpack_from
_P19: Final = Struct(">IIIIIIIQIII").pack
_U20: Final = Struct(">IIIIII").unpack_from
_P20: Final = Struct(">IIIIII").pack


class nfsstat3(IntEnum):
    """enum nfsstat3."""

    NFS3_OK = 0
    NFS3ERR_PERM = 1
    NFS3ERR_NOENT = 2
    NFS3ERR_IO = 5
    NFS3ERR_NXIO = 6
    NFS3ERR_ACCES = 13
    NFS3ERR_EXIST = 17
    NFS3ERR_XDEV = 18
    NFS3ERR_NODEV = 19
    NFS3ERR_NOTDIR = 20
    NFS3ERR_ISDIR = 21
    NFS3ERR_INVAL = 22
    NFS3ERR_FBIG = 27
    NFS3ERR_NOSPC = 28
    NFS3ERR_ROFS = 30
    NFS3ERR_MLINK = 31
    NFS3ERR_NAMETOOLONG = 63
    NFS3ERR_NOTEMPTY = 66
    NFS3ERR_DQUOT = 69
    NFS3ERR_STALE = 70
    NFS3ERR_REMOTE = 71
    NFS3ERR_BADHANDLE = 10001
    NFS3ERR_NOT_SYNC = 10002
    NFS3ERR_BAD_COOKIE = 10003
    NFS3ERR_NOTSUPP = 10004
    NFS3ERR_TOOSMALL = 10005
    NFS3ERR_SERVERFAULT = 10006
    NFS3ERR_BADTYPE = 10007
    NFS3ERR_JUKEBOX = 10008


NFS3_OK: Final = nfsstat3.NFS3_OK
NFS3ERR_PERM: Final = nfsstat3.NFS3ERR_PERM
NFS3ERR_NOENT: Final = nfsstat3.NFS3ERR_NOENT
NFS3ERR_IO: Final = nfsstat3.NFS3ERR_IO
NFS3ERR_NXIO: Final = nfsstat3.NFS3ERR_NXIO
NFS3ERR_ACCES: Final = nfsstat3.NFS3ERR_ACCES
NFS3ERR_EXIST: Final = nfsstat3.NFS3ERR_EXIST
NFS3ERR_XDEV: Final = nfsstat3.NFS3ERR_XDEV
NFS3ERR_NODEV: Final = nfsstat3.NFS3ERR_NODEV
NFS3ERR_NOTDIR: Final = nfsstat3.NFS3ERR_NOTDIR
NFS3ERR_ISDIR: Final = nfsstat3.NFS3ERR_ISDIR
NFS3ERR_INVAL: Final = nfsstat3.NFS3ERR_INVAL
NFS3ERR_FBIG: Final = nfsstat3.NFS3ERR_FBIG
NFS3ERR_NOSPC: Final = nfsstat3.NFS3ERR_NOSPC
NFS3ERR_ROFS: Final = nfsstat3.NFS3ERR_ROFS
NFS3ERR_MLINK: Final = nfsstat3.NFS3ERR_MLINK
NFS3ERR_NAMETOOLONG: Final = nfsstat3.NFS3ERR_NAMETOOLONG
NFS3ERR_NOTEMPTY: Final = nfsstat3.NFS3ERR_NOTEMPTY
NFS3ERR_DQUOT: Final = nfsstat3.NFS3ERR_DQUOT
NFS3ERR_STALE: Final = nfsstat3.NFS3ERR_STALE
NFS3ERR_REMOTE: Final = nfsstat3.NFS3ERR_REMOTE
NFS3ERR_BADHANDLE: Final = nfsstat3.NFS3ERR_BADHANDLE
NFS3ERR_NOT_SYNC: Final = nfsstat3.NFS3ERR_NOT_SYNC
NFS3ERR_BAD_COOKIE: Final = nfsstat3.NFS3ERR_BAD_COOKIE
NFS3ERR_NOTSUPP: Final = nfsstat3.NFS3ERR_NOTSUPP
NFS3ERR_TOOSMALL: Final = nfsstat3.NFS3ERR_TOOSMALL
NFS3ERR_SERVERFAULT: Final = nfsstat3.NFS3ERR_SERVERFAULT
NFS3ERR_BADTYPE: Final = nfsstat3.NFS3ERR_BADTYPE
NFS3ERR_JUKEBOX: Final = nfsstat3.NFS3ERR_JUKEBOX
_of_nfsstat3: Final[dict[int, nfsstat3]] = {each.value: each for each in nfsstat3}


class ftype3(IntEnum):
    """enum ftype3."""

    NF3REG = 1
    NF3DIR = 2
    NF3BLK = 3
    NF3CHR = 4
    NF3LNK = 5
    NF3SOCK = 6
    NF3FIFO = 7


NF3REG: Final = ftype3.NF3REG
NF3DIR: Final = ftype3.NF3DIR
NF3BLK: Final = ftype3.NF3BLK
NF3CHR: Final = ftype3.NF3CHR
NF3LNK: Final = ftype3.NF3LNK
NF3SOCK: Final = ftype3.NF3SOCK
NF3FIFO: Final = ftype3.NF3FIFO
_of_ftype3: Final[dict[int, ftype3]] = {each.value: each for each in ftype3}


class time_how(IntEnum):
    """enum time_how."""

    DONT_CHANGE = 0
    SET_TO_SERVER_TIME = 1
    SET_TO_CLIENT_TIME = 2


DONT_CHANGE: Final = time_how.DONT_CHANGE
SET_TO_SERVER_TIME: Final = time_how.SET_TO_SERVER_TIME
SET_TO_CLIENT_TIME: Final = time_how.SET_TO_CLIENT_TIME
_of_time_how: Final[dict[int, time_how]] = {each.value: each for each in time_how}


class stable_how(IntEnum):
    """enum stable_how."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


UNSTABLE: Final = stable_how.UNSTABLE
DATA_SYNC: Final = stable_how.DATA_SYNC
FILE_SYNC: Final = stable_how.FILE_SYNC
_of_stable_how: Final[dict[int, stable_how]] = {each.value: each for each in stable_how}


class createmode3(IntEnum):
    """enum createmode3."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


UNCHECKED: Final = createmode3.UNCHECKED
GUARDED: Final = createmode3.GUARDED
EXCLUSIVE: Final = createmode3.EXCLUSIVE
_of_createmode3: Final[dict[int, createmode3]] = {each.value: each for each in createmode3}


@dataclass(slots=True)
class specdata3:
    """struct specdata3."""

    specdata1: uint32
    specdata2: uint32


@dataclass(slots=True)
class nfs_fh3:
    """struct nfs_fh3."""

    data: bytes


@dataclass(slots=True)
class nfstime3:
    """struct nfstime3."""

    seconds: uint32
    nseconds: uint32


@dataclass(slots=True)
class fattr3:
    """struct fattr3."""

    type: ftype3
    mode: mode3
    nlink: uint32
    uid: uid3
    gid: gid3
    size: size3
    used: size3
    rdev: specdata3
    fsid: uint64
    fileid: fileid3
    atime: nfstime3
    mtime: nfstime3
    ctime: nfstime3


@dataclass(slots=True)
class post_op_attr:
    """union post_op_attr: `value` is the member that the first field chooses."""

    attributes_follow: bool
    value: fattr3 | None = None

    @property
    def attributes(self) -> fattr3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.attributes_follow != 1:
            raise xdr.other_case(xdr_post_op_attr, self.attributes_follow, "attributes")
        found: fattr3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class wcc_attr:
    """struct wcc_attr."""

    size: size3
    mtime: nfstime3
    ctime: nfstime3


@dataclass(slots=True)
class pre_op_attr:
    """union pre_op_attr: `value` is the member that the first field chooses."""

    attributes_follow: bool
    value: wcc_attr | None = None

    @property
    def attributes(self) -> wcc_attr:
        """The value, if this is its case; otherwise AttributeError."""
        if self.attributes_follow != 1:
            raise xdr.other_case(xdr_pre_op_attr, self.attributes_follow, "attributes")
        found: wcc_attr = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class wcc_data:
    """struct wcc_data."""

    before: pre_op_attr
    after: post_op_attr


@dataclass(slots=True)
class post_op_fh3:
    """union post_op_fh3: `value` is the member that the first field chooses."""

    handle_follows: bool
    value: nfs_fh3 | None = None

    @property
    def handle(self) -> nfs_fh3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.handle_follows != 1:
            raise xdr.other_case(xdr_post_op_fh3, self.handle_follows, "handle")
        found: nfs_fh3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class set_mode3:
    """union set_mode3: `value` is the member that the first field chooses."""

    set_it: bool
    value: mode3 | None = None

    @property
    def mode(self) -> mode3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.set_it != 1:
            raise xdr.other_case(xdr_set_mode3, self.set_it, "mode")
        found: mode3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class set_uid3:
    """union set_uid3: `value` is the member that the first field chooses."""

    set_it: bool
    value: uid3 | None = None

    @property
    def uid(self) -> uid3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.set_it != 1:
            raise xdr.other_case(xdr_set_uid3, self.set_it, "uid")
        found: uid3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class set_gid3:
    """union set_gid3: `value` is the member that the first field chooses."""

    set_it: bool
    value: gid3 | None = None

    @property
    def gid(self) -> gid3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.set_it != 1:
            raise xdr.other_case(xdr_set_gid3, self.set_it, "gid")
        found: gid3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class set_size3:
    """union set_size3: `value` is the member that the first field chooses."""

    set_it: bool
    value: size3 | None = None

    @property
    def size(self) -> size3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.set_it != 1:
            raise xdr.other_case(xdr_set_size3, self.set_it, "size")
        found: size3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class set_atime:
    """union set_atime: `value` is the member that the first field chooses."""

    set_it: time_how
    value: nfstime3 | None = None

    @property
    def atime(self) -> nfstime3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.set_it != 2:
            raise xdr.other_case(xdr_set_atime, self.set_it, "atime")
        found: nfstime3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class set_mtime:
    """union set_mtime: `value` is the member that the first field chooses."""

    set_it: time_how
    value: nfstime3 | None = None

    @property
    def mtime(self) -> nfstime3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.set_it != 2:
            raise xdr.other_case(xdr_set_mtime, self.set_it, "mtime")
        found: nfstime3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class sattr3:
    """struct sattr3."""

    mode: set_mode3
    uid: set_uid3
    gid: set_gid3
    size: set_size3
    atime: set_atime
    mtime: set_mtime


@dataclass(slots=True)
class diropargs3:
    """struct diropargs3."""

    dir: nfs_fh3
    name: filename3


@dataclass(slots=True)
class GETATTR3args:
    """struct GETATTR3args."""

    object: nfs_fh3


@dataclass(slots=True)
class GETATTR3resok:
    """struct GETATTR3resok."""

    obj_attributes: fattr3


@dataclass(slots=True)
class GETATTR3res:
    """union GETATTR3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: GETATTR3resok | None = None

    @property
    def resok(self) -> GETATTR3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_GETATTR3res, self.status, "resok")
        found: GETATTR3resok = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class sattrguard3:
    """union sattrguard3: `value` is the member that the first field chooses."""

    check: bool
    value: nfstime3 | None = None

    @property
    def obj_ctime(self) -> nfstime3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.check != 1:
            raise xdr.other_case(xdr_sattrguard3, self.check, "obj_ctime")
        found: nfstime3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class SETATTR3args:
    """struct SETATTR3args."""

    object: nfs_fh3
    new_attributes: sattr3
    guard: sattrguard3


@dataclass(slots=True)
class SETATTR3resok:
    """struct SETATTR3resok."""

    obj_wcc: wcc_data


@dataclass(slots=True)
class SETATTR3resfail:
    """struct SETATTR3resfail."""

    obj_wcc: wcc_data


@dataclass(slots=True)
class SETATTR3res:
    """union SETATTR3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: SETATTR3resok | SETATTR3resfail

    @property
    def resok(self) -> SETATTR3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_SETATTR3res, self.status, "resok")
        found: SETATTR3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> SETATTR3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_SETATTR3res, self.status, "resfail")
        found: SETATTR3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class LOOKUP3args:
    """struct LOOKUP3args."""

    what: diropargs3


@dataclass(slots=True)
class LOOKUP3resok:
    """struct LOOKUP3resok."""

    object: nfs_fh3
    obj_attributes: post_op_attr
    dir_attributes: post_op_attr


@dataclass(slots=True)
class LOOKUP3resfail:
    """struct LOOKUP3resfail."""

    dir_attributes: post_op_attr


@dataclass(slots=True)
class LOOKUP3res:
    """union LOOKUP3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: LOOKUP3resok | LOOKUP3resfail

    @property
    def resok(self) -> LOOKUP3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_LOOKUP3res, self.status, "resok")
        found: LOOKUP3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> LOOKUP3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_LOOKUP3res, self.status, "resfail")
        found: LOOKUP3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class ACCESS3args:
    """struct ACCESS3args."""

    object: nfs_fh3
    access: uint32


@dataclass(slots=True)
class ACCESS3resok:
    """struct ACCESS3resok."""

    obj_attributes: post_op_attr
    access: uint32


@dataclass(slots=True)
class ACCESS3resfail:
    """struct ACCESS3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class ACCESS3res:
    """union ACCESS3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: ACCESS3resok | ACCESS3resfail

    @property
    def resok(self) -> ACCESS3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_ACCESS3res, self.status, "resok")
        found: ACCESS3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> ACCESS3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_ACCESS3res, self.status, "resfail")
        found: ACCESS3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class READLINK3args:
    """struct READLINK3args."""

    symlink: nfs_fh3


@dataclass(slots=True)
class READLINK3resok:
    """struct READLINK3resok."""

    symlink_attributes: post_op_attr
    data: nfspath3


@dataclass(slots=True)
class READLINK3resfail:
    """struct READLINK3resfail."""

    symlink_attributes: post_op_attr


@dataclass(slots=True)
class READLINK3res:
    """union READLINK3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: READLINK3resok | READLINK3resfail

    @property
    def resok(self) -> READLINK3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_READLINK3res, self.status, "resok")
        found: READLINK3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> READLINK3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_READLINK3res, self.status, "resfail")
        found: READLINK3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class READ3args:
    """struct READ3args."""

    file: nfs_fh3
    offset: offset3
    count: count3


@dataclass(slots=True)
class READ3resok:
    """struct READ3resok."""

    file_attributes: post_op_attr
    count: count3
    eof: bool
    data: bytes


@dataclass(slots=True)
class READ3resfail:
    """struct READ3resfail."""

    file_attributes: post_op_attr


@dataclass(slots=True)
class READ3res:
    """union READ3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: READ3resok | READ3resfail

    @property
    def resok(self) -> READ3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_READ3res, self.status, "resok")
        found: READ3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> READ3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_READ3res, self.status, "resfail")
        found: READ3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class WRITE3args:
    """struct WRITE3args."""

    file: nfs_fh3
    offset: offset3
    count: count3
    stable: stable_how
    data: bytes


@dataclass(slots=True)
class WRITE3resok:
    """struct WRITE3resok."""

    file_wcc: wcc_data
    count: count3
    committed: stable_how
    verf: writeverf3


@dataclass(slots=True)
class WRITE3resfail:
    """struct WRITE3resfail."""

    file_wcc: wcc_data


@dataclass(slots=True)
class WRITE3res:
    """union WRITE3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: WRITE3resok | WRITE3resfail

    @property
    def resok(self) -> WRITE3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_WRITE3res, self.status, "resok")
        found: WRITE3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> WRITE3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_WRITE3res, self.status, "resfail")
        found: WRITE3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class createhow3:
    """union createhow3: `value` is the member that the first field chooses."""

    mode: createmode3
    value: sattr3 | createverf3

    @property
    def obj_attributes(self) -> sattr3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.mode not in {0, 1}:
            raise xdr.other_case(xdr_createhow3, self.mode, "obj_attributes")
        found: sattr3 = xdr.untyped(self.value)
        return found

    @property
    def verf(self) -> createverf3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.mode != 2:
            raise xdr.other_case(xdr_createhow3, self.mode, "verf")
        found: createverf3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class CREATE3args:
    """struct CREATE3args."""

    where: diropargs3
    how: createhow3


@dataclass(slots=True)
class CREATE3resok:
    """struct CREATE3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class CREATE3resfail:
    """struct CREATE3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class CREATE3res:
    """union CREATE3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: CREATE3resok | CREATE3resfail

    @property
    def resok(self) -> CREATE3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_CREATE3res, self.status, "resok")
        found: CREATE3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> CREATE3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_CREATE3res, self.status, "resfail")
        found: CREATE3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class MKDIR3args:
    """struct MKDIR3args."""

    where: diropargs3
    attributes: sattr3


@dataclass(slots=True)
class MKDIR3resok:
    """struct MKDIR3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class MKDIR3resfail:
    """struct MKDIR3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class MKDIR3res:
    """union MKDIR3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: MKDIR3resok | MKDIR3resfail

    @property
    def resok(self) -> MKDIR3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_MKDIR3res, self.status, "resok")
        found: MKDIR3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> MKDIR3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_MKDIR3res, self.status, "resfail")
        found: MKDIR3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class symlinkdata3:
    """struct symlinkdata3."""

    symlink_attributes: sattr3
    symlink_data: nfspath3


@dataclass(slots=True)
class SYMLINK3args:
    """struct SYMLINK3args."""

    where: diropargs3
    symlink: symlinkdata3


@dataclass(slots=True)
class SYMLINK3resok:
    """struct SYMLINK3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class SYMLINK3resfail:
    """struct SYMLINK3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class SYMLINK3res:
    """union SYMLINK3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: SYMLINK3resok | SYMLINK3resfail

    @property
    def resok(self) -> SYMLINK3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_SYMLINK3res, self.status, "resok")
        found: SYMLINK3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> SYMLINK3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_SYMLINK3res, self.status, "resfail")
        found: SYMLINK3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class devicedata3:
    """struct devicedata3."""

    dev_attributes: sattr3
    spec: specdata3


@dataclass(slots=True)
class mknoddata3:
    """union mknoddata3: `value` is the member that the first field chooses."""

    type: ftype3
    value: devicedata3 | sattr3 | None = None

    @property
    def device(self) -> devicedata3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.type not in {4, 3}:
            raise xdr.other_case(xdr_mknoddata3, self.type, "device")
        found: devicedata3 = xdr.untyped(self.value)
        return found

    @property
    def pipe_attributes(self) -> sattr3:
        """The value, if this is its case; otherwise AttributeError."""
        if self.type not in {6, 7}:
            raise xdr.other_case(xdr_mknoddata3, self.type, "pipe_attributes")
        found: sattr3 = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class MKNOD3args:
    """struct MKNOD3args."""

    where: diropargs3
    what: mknoddata3


@dataclass(slots=True)
class MKNOD3resok:
    """struct MKNOD3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class MKNOD3resfail:
    """struct MKNOD3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class MKNOD3res:
    """union MKNOD3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: MKNOD3resok | MKNOD3resfail

    @property
    def resok(self) -> MKNOD3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_MKNOD3res, self.status, "resok")
        found: MKNOD3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> MKNOD3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_MKNOD3res, self.status, "resfail")
        found: MKNOD3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class REMOVE3args:
    """struct REMOVE3args."""

    object: diropargs3


@dataclass(slots=True)
class REMOVE3resok:
    """struct REMOVE3resok."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class REMOVE3resfail:
    """struct REMOVE3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class REMOVE3res:
    """union REMOVE3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: REMOVE3resok | REMOVE3resfail

    @property
    def resok(self) -> REMOVE3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_REMOVE3res, self.status, "resok")
        found: REMOVE3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> REMOVE3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_REMOVE3res, self.status, "resfail")
        found: REMOVE3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class RMDIR3args:
    """struct RMDIR3args."""

    object: diropargs3


@dataclass(slots=True)
class RMDIR3resok:
    """struct RMDIR3resok."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class RMDIR3resfail:
    """struct RMDIR3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class RMDIR3res:
    """union RMDIR3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: RMDIR3resok | RMDIR3resfail

    @property
    def resok(self) -> RMDIR3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_RMDIR3res, self.status, "resok")
        found: RMDIR3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> RMDIR3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_RMDIR3res, self.status, "resfail")
        found: RMDIR3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class RENAME3args:
    """struct RENAME3args."""

    from_: diropargs3
    to: diropargs3


@dataclass(slots=True)
class RENAME3resok:
    """struct RENAME3resok."""

    fromdir_wcc: wcc_data
    todir_wcc: wcc_data


@dataclass(slots=True)
class RENAME3resfail:
    """struct RENAME3resfail."""

    fromdir_wcc: wcc_data
    todir_wcc: wcc_data


@dataclass(slots=True)
class RENAME3res:
    """union RENAME3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: RENAME3resok | RENAME3resfail

    @property
    def resok(self) -> RENAME3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_RENAME3res, self.status, "resok")
        found: RENAME3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> RENAME3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_RENAME3res, self.status, "resfail")
        found: RENAME3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class LINK3args:
    """struct LINK3args."""

    file: nfs_fh3
    link: diropargs3


@dataclass(slots=True)
class LINK3resok:
    """struct LINK3resok."""

    file_attributes: post_op_attr
    linkdir_wcc: wcc_data


@dataclass(slots=True)
class LINK3resfail:
    """struct LINK3resfail."""

    file_attributes: post_op_attr
    linkdir_wcc: wcc_data


@dataclass(slots=True)
class LINK3res:
    """union LINK3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: LINK3resok | LINK3resfail

    @property
    def resok(self) -> LINK3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_LINK3res, self.status, "resok")
        found: LINK3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> LINK3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_LINK3res, self.status, "resfail")
        found: LINK3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class READDIR3args:
    """struct READDIR3args."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    count: count3


@dataclass(slots=True, eq=False, repr=False)
class entry3(xdr.Nested):
    """struct entry3."""

    fileid: fileid3
    name: filename3
    cookie: cookie3
    nextentry: entry3 | None


@dataclass(slots=True)
class dirlist3:
    """struct dirlist3."""

    entries: entry3 | None
    eof: bool


@dataclass(slots=True)
class READDIR3resok:
    """struct READDIR3resok."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    reply: dirlist3


@dataclass(slots=True)
class READDIR3resfail:
    """struct READDIR3resfail."""

    dir_attributes: post_op_attr


@dataclass(slots=True)
class READDIR3res:
    """union READDIR3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: READDIR3resok | READDIR3resfail

    @property
    def resok(self) -> READDIR3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_READDIR3res, self.status, "resok")
        found: READDIR3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> READDIR3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_READDIR3res, self.status, "resfail")
        found: READDIR3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class READDIRPLUS3args:
    """struct READDIRPLUS3args."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    dircount: count3
    maxcount: count3


@dataclass(slots=True, eq=False, repr=False)
class entryplus3(xdr.Nested):
    """struct entryplus3."""

    fileid: fileid3
    name: filename3
    cookie: cookie3
    name_attributes: post_op_attr
    name_handle: post_op_fh3
    nextentry: entryplus3 | None


@dataclass(slots=True)
class dirlistplus3:
    """struct dirlistplus3."""

    entries: entryplus3 | None
    eof: bool


@dataclass(slots=True)
class READDIRPLUS3resok:
    """struct READDIRPLUS3resok."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    reply: dirlistplus3


@dataclass(slots=True)
class READDIRPLUS3resfail:
    """struct READDIRPLUS3resfail."""

    dir_attributes: post_op_attr


@dataclass(slots=True)
class READDIRPLUS3res:
    """union READDIRPLUS3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: READDIRPLUS3resok | READDIRPLUS3resfail

    @property
    def resok(self) -> READDIRPLUS3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_READDIRPLUS3res, self.status, "resok")
        found: READDIRPLUS3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> READDIRPLUS3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_READDIRPLUS3res, self.status, "resfail")
        found: READDIRPLUS3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class FSSTAT3args:
    """struct FSSTAT3args."""

    fsroot: nfs_fh3


@dataclass(slots=True)
class FSSTAT3resok:
    """struct FSSTAT3resok."""

    obj_attributes: post_op_attr
    tbytes: size3
    fbytes: size3
    abytes: size3
    tfiles: size3
    ffiles: size3
    afiles: size3
    invarsec: uint32


@dataclass(slots=True)
class FSSTAT3resfail:
    """struct FSSTAT3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class FSSTAT3res:
    """union FSSTAT3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: FSSTAT3resok | FSSTAT3resfail

    @property
    def resok(self) -> FSSTAT3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_FSSTAT3res, self.status, "resok")
        found: FSSTAT3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> FSSTAT3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_FSSTAT3res, self.status, "resfail")
        found: FSSTAT3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class FSINFO3args:
    """struct FSINFO3args."""

    fsroot: nfs_fh3


@dataclass(slots=True)
class FSINFO3resok:
    """struct FSINFO3resok."""

    obj_attributes: post_op_attr
    rtmax: uint32
    rtpref: uint32
    rtmult: uint32
    wtmax: uint32
    wtpref: uint32
    wtmult: uint32
    dtpref: uint32
    maxfilesize: size3
    time_delta: nfstime3
    properties: uint32


@dataclass(slots=True)
class FSINFO3resfail:
    """struct FSINFO3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class FSINFO3res:
    """union FSINFO3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: FSINFO3resok | FSINFO3resfail

    @property
    def resok(self) -> FSINFO3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_FSINFO3res, self.status, "resok")
        found: FSINFO3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> FSINFO3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_FSINFO3res, self.status, "resfail")
        found: FSINFO3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class PATHCONF3args:
    """struct PATHCONF3args."""

    object: nfs_fh3


@dataclass(slots=True)
class PATHCONF3resok:
    """struct PATHCONF3resok."""

    obj_attributes: post_op_attr
    linkmax: uint32
    name_max: uint32
    no_trunc: bool
    chown_restricted: bool
    case_insensitive: bool
    case_preserving: bool


@dataclass(slots=True)
class PATHCONF3resfail:
    """struct PATHCONF3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class PATHCONF3res:
    """union PATHCONF3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: PATHCONF3resok | PATHCONF3resfail

    @property
    def resok(self) -> PATHCONF3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_PATHCONF3res, self.status, "resok")
        found: PATHCONF3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> PATHCONF3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_PATHCONF3res, self.status, "resfail")
        found: PATHCONF3resfail = xdr.untyped(self.value)
        return found


@dataclass(slots=True)
class COMMIT3args:
    """struct COMMIT3args."""

    file: nfs_fh3
    offset: offset3
    count: count3


@dataclass(slots=True)
class COMMIT3resok:
    """struct COMMIT3resok."""

    file_wcc: wcc_data
    verf: writeverf3


@dataclass(slots=True)
class COMMIT3resfail:
    """struct COMMIT3resfail."""

    file_wcc: wcc_data


@dataclass(slots=True)
class COMMIT3res:
    """union COMMIT3res: `value` is the member that the first field chooses."""

    status: nfsstat3
    value: COMMIT3resok | COMMIT3resfail

    @property
    def resok(self) -> COMMIT3resok:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status != 0:
            raise xdr.other_case(xdr_COMMIT3res, self.status, "resok")
        found: COMMIT3resok = xdr.untyped(self.value)
        return found

    @property
    def resfail(self) -> COMMIT3resfail:
        """The value, if this is its case; otherwise AttributeError."""
        if self.status in {0}:
            raise xdr.other_case(xdr_COMMIT3res, self.status, "resfail")
        found: COMMIT3resfail = xdr.untyped(self.value)
        return found


uint64: TypeAlias = int
uint32: TypeAlias = int
filename3: TypeAlias = str
nfspath3: TypeAlias = str
fileid3: TypeAlias = uint64
cookie3: TypeAlias = uint64
cookieverf3: TypeAlias = bytes
createverf3: TypeAlias = bytes
writeverf3: TypeAlias = bytes
uid3: TypeAlias = uint32
gid3: TypeAlias = uint32
size3: TypeAlias = uint64
offset3: TypeAlias = uint64
mode3: TypeAlias = uint32
count3: TypeAlias = uint32


def _at_uint64(data: bytes | bytearray | memoryview, at: int) -> uint64:
    (v1,) = _U1(data, at)
    found: uint64 = v1
    return found


def _get_uint64(r: xdr.Reader) -> uint64:
    (v1,) = _U1(r.data, r.at)
    r.at += 8
    found: uint64 = v1
    return found


def _put_uint64(w: xdr.Writer, v: uint64) -> None:
    out = w.out
    out += _P1(v)


def _at_uint32(data: bytes | bytearray | memoryview, at: int) -> uint32:
    (v1,) = _U2(data, at)
    found: uint32 = v1
    return found


def _get_uint32(r: xdr.Reader) -> uint32:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    found: uint32 = v1
    return found


def _put_uint32(w: xdr.Writer, v: uint32) -> None:
    out = w.out
    out += _P2(v)


def _get_filename3(r: xdr.Reader) -> filename3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    v2 = r.text(v1)
    found: filename3 = v2
    return found


def _put_filename3(w: xdr.Writer, v: filename3) -> None:
    out = w.out
    v1 = xdr.text(v)
    out += _P2(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_nfspath3(r: xdr.Reader) -> nfspath3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    v2 = r.text(v1)
    found: nfspath3 = v2
    return found


def _put_nfspath3(w: xdr.Writer, v: nfspath3) -> None:
    out = w.out
    v1 = xdr.text(v)
    out += _P2(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _at_fileid3(data: bytes | bytearray | memoryview, at: int) -> fileid3:
    (v1,) = _U1(data, at)
    found: fileid3 = v1
    return found


def _get_fileid3(r: xdr.Reader) -> fileid3:
    (v1,) = _U1(r.data, r.at)
    r.at += 8
    found: fileid3 = v1
    return found


def _put_fileid3(w: xdr.Writer, v: fileid3) -> None:
    out = w.out
    out += _P1(v)


def _at_cookie3(data: bytes | bytearray | memoryview, at: int) -> cookie3:
    (v1,) = _U1(data, at)
    found: cookie3 = v1
    return found


def _get_cookie3(r: xdr.Reader) -> cookie3:
    (v1,) = _U1(r.data, r.at)
    r.at += 8
    found: cookie3 = v1
    return found


def _put_cookie3(w: xdr.Writer, v: cookie3) -> None:
    out = w.out
    out += _P1(v)


def _at_cookieverf3(data: bytes | bytearray | memoryview, at: int) -> cookieverf3:
    (v1,) = _U3(data, at)
    found: cookieverf3 = v1
    return found


def _get_cookieverf3(r: xdr.Reader) -> cookieverf3:
    (v1,) = _U3(r.data, r.at)
    r.at += 8
    found: cookieverf3 = v1
    return found


def _put_cookieverf3(w: xdr.Writer, v: cookieverf3) -> None:
    out = w.out
    out += _P3(xdr.exact_octets(v, 8))


def _at_createverf3(data: bytes | bytearray | memoryview, at: int) -> createverf3:
    (v1,) = _U3(data, at)
    found: createverf3 = v1
    return found


def _get_createverf3(r: xdr.Reader) -> createverf3:
    (v1,) = _U3(r.data, r.at)
    r.at += 8
    found: createverf3 = v1
    return found


def _put_createverf3(w: xdr.Writer, v: createverf3) -> None:
    out = w.out
    out += _P3(xdr.exact_octets(v, 8))


def _at_writeverf3(data: bytes | bytearray | memoryview, at: int) -> writeverf3:
    (v1,) = _U3(data, at)
    found: writeverf3 = v1
    return found


def _get_writeverf3(r: xdr.Reader) -> writeverf3:
    (v1,) = _U3(r.data, r.at)
    r.at += 8
    found: writeverf3 = v1
    return found


def _put_writeverf3(w: xdr.Writer, v: writeverf3) -> None:
    out = w.out
    out += _P3(xdr.exact_octets(v, 8))


def _at_uid3(data: bytes | bytearray | memoryview, at: int) -> uid3:
    (v1,) = _U2(data, at)
    found: uid3 = v1
    return found


def _get_uid3(r: xdr.Reader) -> uid3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    found: uid3 = v1
    return found


def _put_uid3(w: xdr.Writer, v: uid3) -> None:
    out = w.out
    out += _P2(v)


def _at_gid3(data: bytes | bytearray | memoryview, at: int) -> gid3:
    (v1,) = _U2(data, at)
    found: gid3 = v1
    return found


def _get_gid3(r: xdr.Reader) -> gid3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    found: gid3 = v1
    return found


def _put_gid3(w: xdr.Writer, v: gid3) -> None:
    out = w.out
    out += _P2(v)


def _at_size3(data: bytes | bytearray | memoryview, at: int) -> size3:
    (v1,) = _U1(data, at)
    found: size3 = v1
    return found


def _get_size3(r: xdr.Reader) -> size3:
    (v1,) = _U1(r.data, r.at)
    r.at += 8
    found: size3 = v1
    return found


def _put_size3(w: xdr.Writer, v: size3) -> None:
    out = w.out
    out += _P1(v)


def _at_offset3(data: bytes | bytearray | memoryview, at: int) -> offset3:
    (v1,) = _U1(data, at)
    found: offset3 = v1
    return found


def _get_offset3(r: xdr.Reader) -> offset3:
    (v1,) = _U1(r.data, r.at)
    r.at += 8
    found: offset3 = v1
    return found


def _put_offset3(w: xdr.Writer, v: offset3) -> None:
    out = w.out
    out += _P1(v)


def _at_mode3(data: bytes | bytearray | memoryview, at: int) -> mode3:
    (v1,) = _U2(data, at)
    found: mode3 = v1
    return found


def _get_mode3(r: xdr.Reader) -> mode3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    found: mode3 = v1
    return found


def _put_mode3(w: xdr.Writer, v: mode3) -> None:
    out = w.out
    out += _P2(v)


def _at_count3(data: bytes | bytearray | memoryview, at: int) -> count3:
    (v1,) = _U2(data, at)
    found: count3 = v1
    return found


def _get_count3(r: xdr.Reader) -> count3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    found: count3 = v1
    return found


def _put_count3(w: xdr.Writer, v: count3) -> None:
    out = w.out
    out += _P2(v)


def _at_nfsstat3(data: bytes | bytearray | memoryview, at: int) -> nfsstat3:
    (v1,) = _U4(data, at)
    found: nfsstat3 = _of_nfsstat3[v1]
    return found


def _get_nfsstat3(r: xdr.Reader) -> nfsstat3:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    found: nfsstat3 = _of_nfsstat3[v1]
    return found


def _put_nfsstat3(w: xdr.Writer, v: nfsstat3) -> None:
    out = w.out
    out += _P4(_of_nfsstat3[v])


def _at_ftype3(data: bytes | bytearray | memoryview, at: int) -> ftype3:
    (v1,) = _U4(data, at)
    found: ftype3 = _of_ftype3[v1]
    return found


def _get_ftype3(r: xdr.Reader) -> ftype3:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    found: ftype3 = _of_ftype3[v1]
    return found


def _put_ftype3(w: xdr.Writer, v: ftype3) -> None:
    out = w.out
    out += _P4(_of_ftype3[v])


def _at_specdata3(data: bytes | bytearray | memoryview, at: int) -> specdata3:
    v1, v2 = _U5(data, at)
    found: specdata3 = specdata3(v1, v2)
    return found


def _get_specdata3(r: xdr.Reader) -> specdata3:
    v1, v2 = _U5(r.data, r.at)
    r.at += 8
    return specdata3(v1, v2)


def _put_specdata3(w: xdr.Writer, v: specdata3) -> None:
    out = w.out
    out += _P5(v.specdata1, v.specdata2)


def _get_nfs_fh3(r: xdr.Reader) -> nfs_fh3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    v2 = r.take(v1, 64)
    return nfs_fh3(v2)


def _put_nfs_fh3(w: xdr.Writer, v: nfs_fh3) -> None:
    out = w.out
    v1 = xdr.octets(v.data, 64)
    out += _P2(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _at_nfstime3(data: bytes | bytearray | memoryview, at: int) -> nfstime3:
    v1, v2 = _U5(data, at)
    found: nfstime3 = nfstime3(v1, v2)
    return found


def _get_nfstime3(r: xdr.Reader) -> nfstime3:
    v1, v2 = _U5(r.data, r.at)
    r.at += 8
    return nfstime3(v1, v2)


def _put_nfstime3(w: xdr.Writer, v: nfstime3) -> None:
    out = w.out
    out += _P5(v.seconds, v.nseconds)


def _get_fattr3(r: xdr.Reader) -> fattr3:
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16 = _U6(r.data, r.at)
    r.at += 80
    (v17,) = _U2(r.data, r.at)
    r.at += 4
    return fattr3(
        _of_ftype3[v1],
        v2,
        v3,
        v4,
        v5,
        v6,
        v7,
        specdata3(v8, v9),
        v10,
        v11,
        nfstime3(v12, v13),
        nfstime3(v14, v15),
        nfstime3(v16, v17),
    )


def _put_fattr3(w: xdr.Writer, v: fattr3) -> None:
    out = w.out
    out += _P6(
        _of_ftype3[v.type],
        v.mode,
        v.nlink,
        v.uid,
        v.gid,
        v.size,
        v.used,
        v.rdev.specdata1,
        v.rdev.specdata2,
        v.fsid,
        v.fileid,
        v.atime.seconds,
        v.atime.nseconds,
        v.mtime.seconds,
        v.mtime.nseconds,
        v.ctime.seconds,
    )
    out += _P2(v.ctime.nseconds)


def _get_post_op_attr(r: xdr.Reader) -> post_op_attr:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        v2 = _get_fattr3(r)
        return post_op_attr(kind, v2)
    if v1 == 0:
        return post_op_attr(kind, None)
    raise xdr.bad_union(v1)


def _put_post_op_attr(w: xdr.Writer, v: post_op_attr) -> None:
    out = w.out
    kind = 1 if v.attributes_follow else 0
    value: Any = v.value
    if kind == 1:
        out += _P2(kind)
        _put_fattr3(w, value)
    elif kind == 0:
        xdr.no_value(value)
        out += _P2(kind)
    else:
        raise xdr.bad_union(kind)


def _at_wcc_attr(data: bytes | bytearray | memoryview, at: int) -> wcc_attr:
    v1, v2, v3, v4, v5 = _U7(data, at)
    found: wcc_attr = wcc_attr(v1, nfstime3(v2, v3), nfstime3(v4, v5))
    return found


def _get_wcc_attr(r: xdr.Reader) -> wcc_attr:
    v1, v2, v3, v4, v5 = _U7(r.data, r.at)
    r.at += 24
    return wcc_attr(v1, nfstime3(v2, v3), nfstime3(v4, v5))


def _put_wcc_attr(w: xdr.Writer, v: wcc_attr) -> None:
    out = w.out
    out += _P7(v.size, v.mtime.seconds, v.mtime.nseconds, v.ctime.seconds, v.ctime.nseconds)


def _get_pre_op_attr(r: xdr.Reader) -> pre_op_attr:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        v2, v3, v4, v5, v6 = _U7(r.data, r.at)
        r.at += 24
        return pre_op_attr(kind, wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6)))
    if v1 == 0:
        return pre_op_attr(kind, None)
    raise xdr.bad_union(v1)


def _put_pre_op_attr(w: xdr.Writer, v: pre_op_attr) -> None:
    out = w.out
    kind = 1 if v.attributes_follow else 0
    value: Any = v.value
    if kind == 1:
        out += _P8(
            kind, value.size, value.mtime.seconds, value.mtime.nseconds, value.ctime.seconds, value.ctime.nseconds
        )
    elif kind == 0:
        xdr.no_value(value)
        out += _P2(kind)
    else:
        raise xdr.bad_union(kind)


def _get_wcc_data(r: xdr.Reader) -> wcc_data:
    v1 = _get_pre_op_attr(r)
    v2 = _get_post_op_attr(r)
    return wcc_data(v1, v2)


def _put_wcc_data(w: xdr.Writer, v: wcc_data) -> None:
    _put_pre_op_attr(w, v.before)
    _put_post_op_attr(w, v.after)


def _get_post_op_fh3(r: xdr.Reader) -> post_op_fh3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        v2 = _get_nfs_fh3(r)
        return post_op_fh3(kind, v2)
    if v1 == 0:
        return post_op_fh3(kind, None)
    raise xdr.bad_union(v1)


def _put_post_op_fh3(w: xdr.Writer, v: post_op_fh3) -> None:
    out = w.out
    kind = 1 if v.handle_follows else 0
    value: Any = v.value
    if kind == 1:
        out += _P2(kind)
        _put_nfs_fh3(w, value)
    elif kind == 0:
        xdr.no_value(value)
        out += _P2(kind)
    else:
        raise xdr.bad_union(kind)


def _at_time_how(data: bytes | bytearray | memoryview, at: int) -> time_how:
    (v1,) = _U4(data, at)
    found: time_how = _of_time_how[v1]
    return found


def _get_time_how(r: xdr.Reader) -> time_how:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    found: time_how = _of_time_how[v1]
    return found


def _put_time_how(w: xdr.Writer, v: time_how) -> None:
    out = w.out
    out += _P4(_of_time_how[v])


def _get_set_mode3(r: xdr.Reader) -> set_mode3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        (v2,) = _U2(r.data, r.at)
        r.at += 4
        return set_mode3(kind, v2)
    return set_mode3(kind, None)


def _put_set_mode3(w: xdr.Writer, v: set_mode3) -> None:
    out = w.out
    kind = 1 if v.set_it else 0
    value: Any = v.value
    if kind == 1:
        out += _P5(kind, value)
    else:
        xdr.no_value(value)
        out += _P2(kind)


def _get_set_uid3(r: xdr.Reader) -> set_uid3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        (v2,) = _U2(r.data, r.at)
        r.at += 4
        return set_uid3(kind, v2)
    return set_uid3(kind, None)


def _put_set_uid3(w: xdr.Writer, v: set_uid3) -> None:
    out = w.out
    kind = 1 if v.set_it else 0
    value: Any = v.value
    if kind == 1:
        out += _P5(kind, value)
    else:
        xdr.no_value(value)
        out += _P2(kind)


def _get_set_gid3(r: xdr.Reader) -> set_gid3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        (v2,) = _U2(r.data, r.at)
        r.at += 4
        return set_gid3(kind, v2)
    return set_gid3(kind, None)


def _put_set_gid3(w: xdr.Writer, v: set_gid3) -> None:
    out = w.out
    kind = 1 if v.set_it else 0
    value: Any = v.value
    if kind == 1:
        out += _P5(kind, value)
    else:
        xdr.no_value(value)
        out += _P2(kind)


def _get_set_size3(r: xdr.Reader) -> set_size3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        (v2,) = _U1(r.data, r.at)
        r.at += 8
        return set_size3(kind, v2)
    return set_size3(kind, None)


def _put_set_size3(w: xdr.Writer, v: set_size3) -> None:
    out = w.out
    kind = 1 if v.set_it else 0
    value: Any = v.value
    if kind == 1:
        out += _P9(kind, value)
    else:
        xdr.no_value(value)
        out += _P2(kind)


def _get_set_atime(r: xdr.Reader) -> set_atime:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_time_how[v1]
    if v1 == 2:
        v2, v3 = _U5(r.data, r.at)
        r.at += 8
        return set_atime(kind, nfstime3(v2, v3))
    return set_atime(kind, None)


def _put_set_atime(w: xdr.Writer, v: set_atime) -> None:
    out = w.out
    kind = _of_time_how[v.set_it]
    value: Any = v.value
    if kind == 2:
        out += _P10(kind, value.seconds, value.nseconds)
    else:
        xdr.no_value(value)
        out += _P4(kind)


def _get_set_mtime(r: xdr.Reader) -> set_mtime:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_time_how[v1]
    if v1 == 2:
        v2, v3 = _U5(r.data, r.at)
        r.at += 8
        return set_mtime(kind, nfstime3(v2, v3))
    return set_mtime(kind, None)


def _put_set_mtime(w: xdr.Writer, v: set_mtime) -> None:
    out = w.out
    kind = _of_time_how[v.set_it]
    value: Any = v.value
    if kind == 2:
        out += _P10(kind, value.seconds, value.nseconds)
    else:
        xdr.no_value(value)
        out += _P4(kind)


def _get_sattr3(r: xdr.Reader) -> sattr3:
    v1 = _get_set_mode3(r)
    v2 = _get_set_uid3(r)
    v3 = _get_set_gid3(r)
    v4 = _get_set_size3(r)
    v5 = _get_set_atime(r)
    v6 = _get_set_mtime(r)
    return sattr3(v1, v2, v3, v4, v5, v6)


def _put_sattr3(w: xdr.Writer, v: sattr3) -> None:
    _put_set_mode3(w, v.mode)
    _put_set_uid3(w, v.uid)
    _put_set_gid3(w, v.gid)
    _put_set_size3(w, v.size)
    _put_set_atime(w, v.atime)
    _put_set_mtime(w, v.mtime)


def _get_diropargs3(r: xdr.Reader) -> diropargs3:
    v1 = _get_nfs_fh3(r)
    (v2,) = _U2(r.data, r.at)
    r.at += 4
    v3 = r.text(v2)
    return diropargs3(v1, v3)


def _put_diropargs3(w: xdr.Writer, v: diropargs3) -> None:
    out = w.out
    _put_nfs_fh3(w, v.dir)
    v1 = xdr.text(v.name)
    out += _P2(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_GETATTR3args(r: xdr.Reader) -> GETATTR3args:
    v1 = _get_nfs_fh3(r)
    return GETATTR3args(v1)


def _put_GETATTR3args(w: xdr.Writer, v: GETATTR3args) -> None:
    _put_nfs_fh3(w, v.object)


def _get_GETATTR3resok(r: xdr.Reader) -> GETATTR3resok:
    v1 = _get_fattr3(r)
    return GETATTR3resok(v1)


def _put_GETATTR3resok(w: xdr.Writer, v: GETATTR3resok) -> None:
    _put_fattr3(w, v.obj_attributes)


def _get_GETATTR3res(r: xdr.Reader) -> GETATTR3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_GETATTR3resok(r)
        return GETATTR3res(kind, v2)
    return GETATTR3res(kind, None)


def _put_GETATTR3res(w: xdr.Writer, v: GETATTR3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_GETATTR3resok(w, value)
    else:
        xdr.no_value(value)
        out += _P4(kind)


def _get_sattrguard3(r: xdr.Reader) -> sattrguard3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    kind = _BOOLS[v1]
    if v1 == 1:
        v2, v3 = _U5(r.data, r.at)
        r.at += 8
        return sattrguard3(kind, nfstime3(v2, v3))
    if v1 == 0:
        return sattrguard3(kind, None)
    raise xdr.bad_union(v1)


def _put_sattrguard3(w: xdr.Writer, v: sattrguard3) -> None:
    out = w.out
    kind = 1 if v.check else 0
    value: Any = v.value
    if kind == 1:
        out += _P11(kind, value.seconds, value.nseconds)
    elif kind == 0:
        xdr.no_value(value)
        out += _P2(kind)
    else:
        raise xdr.bad_union(kind)


def _get_SETATTR3args(r: xdr.Reader) -> SETATTR3args:
    v1 = _get_nfs_fh3(r)
    v2 = _get_sattr3(r)
    v3 = _get_sattrguard3(r)
    return SETATTR3args(v1, v2, v3)


def _put_SETATTR3args(w: xdr.Writer, v: SETATTR3args) -> None:
    _put_nfs_fh3(w, v.object)
    _put_sattr3(w, v.new_attributes)
    _put_sattrguard3(w, v.guard)


def _get_SETATTR3resok(r: xdr.Reader) -> SETATTR3resok:
    v1 = _get_wcc_data(r)
    return SETATTR3resok(v1)


def _put_SETATTR3resok(w: xdr.Writer, v: SETATTR3resok) -> None:
    _put_wcc_data(w, v.obj_wcc)


def _get_SETATTR3resfail(r: xdr.Reader) -> SETATTR3resfail:
    v1 = _get_wcc_data(r)
    return SETATTR3resfail(v1)


def _put_SETATTR3resfail(w: xdr.Writer, v: SETATTR3resfail) -> None:
    _put_wcc_data(w, v.obj_wcc)


def _get_SETATTR3res(r: xdr.Reader) -> SETATTR3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_SETATTR3resok(r)
        return SETATTR3res(kind, v2)
    v3 = _get_SETATTR3resfail(r)
    return SETATTR3res(kind, v3)


def _put_SETATTR3res(w: xdr.Writer, v: SETATTR3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_SETATTR3resok(w, value)
    else:
        out += _P4(kind)
        _put_SETATTR3resfail(w, value)


def _get_LOOKUP3args(r: xdr.Reader) -> LOOKUP3args:
    v1 = _get_diropargs3(r)
    return LOOKUP3args(v1)


def _put_LOOKUP3args(w: xdr.Writer, v: LOOKUP3args) -> None:
    _put_diropargs3(w, v.what)


def _get_LOOKUP3resok(r: xdr.Reader) -> LOOKUP3resok:
    v1 = _get_nfs_fh3(r)
    v2 = _get_post_op_attr(r)
    v3 = _get_post_op_attr(r)
    return LOOKUP3resok(v1, v2, v3)


def _put_LOOKUP3resok(w: xdr.Writer, v: LOOKUP3resok) -> None:
    _put_nfs_fh3(w, v.object)
    _put_post_op_attr(w, v.obj_attributes)
    _put_post_op_attr(w, v.dir_attributes)


def _get_LOOKUP3resfail(r: xdr.Reader) -> LOOKUP3resfail:
    v1 = _get_post_op_attr(r)
    return LOOKUP3resfail(v1)


def _put_LOOKUP3resfail(w: xdr.Writer, v: LOOKUP3resfail) -> None:
    _put_post_op_attr(w, v.dir_attributes)


def _get_LOOKUP3res(r: xdr.Reader) -> LOOKUP3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_LOOKUP3resok(r)
        return LOOKUP3res(kind, v2)
    v3 = _get_LOOKUP3resfail(r)
    return LOOKUP3res(kind, v3)


def _put_LOOKUP3res(w: xdr.Writer, v: LOOKUP3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_LOOKUP3resok(w, value)
    else:
        out += _P4(kind)
        _put_LOOKUP3resfail(w, value)


def _get_ACCESS3args(r: xdr.Reader) -> ACCESS3args:
    v1 = _get_nfs_fh3(r)
    (v2,) = _U2(r.data, r.at)
    r.at += 4
    return ACCESS3args(v1, v2)


def _put_ACCESS3args(w: xdr.Writer, v: ACCESS3args) -> None:
    out = w.out
    _put_nfs_fh3(w, v.object)
    out += _P2(v.access)


def _get_ACCESS3resok(r: xdr.Reader) -> ACCESS3resok:
    v1 = _get_post_op_attr(r)
    (v2,) = _U2(r.data, r.at)
    r.at += 4
    return ACCESS3resok(v1, v2)


def _put_ACCESS3resok(w: xdr.Writer, v: ACCESS3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.obj_attributes)
    out += _P2(v.access)


def _get_ACCESS3resfail(r: xdr.Reader) -> ACCESS3resfail:
    v1 = _get_post_op_attr(r)
    return ACCESS3resfail(v1)


def _put_ACCESS3resfail(w: xdr.Writer, v: ACCESS3resfail) -> None:
    _put_post_op_attr(w, v.obj_attributes)


def _get_ACCESS3res(r: xdr.Reader) -> ACCESS3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_ACCESS3resok(r)
        return ACCESS3res(kind, v2)
    v3 = _get_ACCESS3resfail(r)
    return ACCESS3res(kind, v3)


def _put_ACCESS3res(w: xdr.Writer, v: ACCESS3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_ACCESS3resok(w, value)
    else:
        out += _P4(kind)
        _put_ACCESS3resfail(w, value)


def _get_READLINK3args(r: xdr.Reader) -> READLINK3args:
    v1 = _get_nfs_fh3(r)
    return READLINK3args(v1)


def _put_READLINK3args(w: xdr.Writer, v: READLINK3args) -> None:
    _put_nfs_fh3(w, v.symlink)


def _get_READLINK3resok(r: xdr.Reader) -> READLINK3resok:
    v1 = _get_post_op_attr(r)
    (v2,) = _U2(r.data, r.at)
    r.at += 4
    v3 = r.text(v2)
    return READLINK3resok(v1, v3)


def _put_READLINK3resok(w: xdr.Writer, v: READLINK3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.symlink_attributes)
    v1 = xdr.text(v.data)
    out += _P2(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_READLINK3resfail(r: xdr.Reader) -> READLINK3resfail:
    v1 = _get_post_op_attr(r)
    return READLINK3resfail(v1)


def _put_READLINK3resfail(w: xdr.Writer, v: READLINK3resfail) -> None:
    _put_post_op_attr(w, v.symlink_attributes)


def _get_READLINK3res(r: xdr.Reader) -> READLINK3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_READLINK3resok(r)
        return READLINK3res(kind, v2)
    v3 = _get_READLINK3resfail(r)
    return READLINK3res(kind, v3)


def _put_READLINK3res(w: xdr.Writer, v: READLINK3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_READLINK3resok(w, value)
    else:
        out += _P4(kind)
        _put_READLINK3resfail(w, value)


def _get_READ3args(r: xdr.Reader) -> READ3args:
    v1 = _get_nfs_fh3(r)
    v2, v3 = _U12(r.data, r.at)
    r.at += 12
    return READ3args(v1, v2, v3)


def _put_READ3args(w: xdr.Writer, v: READ3args) -> None:
    out = w.out
    _put_nfs_fh3(w, v.file)
    out += _P12(v.offset, v.count)


def _get_READ3resok(r: xdr.Reader) -> READ3resok:
    v1 = _get_post_op_attr(r)
    v2, v3, v4 = _U11(r.data, r.at)
    r.at += 12
    v5 = r.take(v4)
    return READ3resok(v1, v2, _BOOLS[v3], v5)


def _put_READ3resok(w: xdr.Writer, v: READ3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.file_attributes)
    v1 = xdr.octets(v.data)
    out += _P11(v.count, 1 if v.eof else 0, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_READ3resfail(r: xdr.Reader) -> READ3resfail:
    v1 = _get_post_op_attr(r)
    return READ3resfail(v1)


def _put_READ3resfail(w: xdr.Writer, v: READ3resfail) -> None:
    _put_post_op_attr(w, v.file_attributes)


def _get_READ3res(r: xdr.Reader) -> READ3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_READ3resok(r)
        return READ3res(kind, v2)
    v3 = _get_READ3resfail(r)
    return READ3res(kind, v3)


def _put_READ3res(w: xdr.Writer, v: READ3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_READ3resok(w, value)
    else:
        out += _P4(kind)
        _put_READ3resfail(w, value)


def _at_stable_how(data: bytes | bytearray | memoryview, at: int) -> stable_how:
    (v1,) = _U4(data, at)
    found: stable_how = _of_stable_how[v1]
    return found


def _get_stable_how(r: xdr.Reader) -> stable_how:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    found: stable_how = _of_stable_how[v1]
    return found


def _put_stable_how(w: xdr.Writer, v: stable_how) -> None:
    out = w.out
    out += _P4(_of_stable_how[v])


def _get_WRITE3args(r: xdr.Reader) -> WRITE3args:
    v1 = _get_nfs_fh3(r)
    v2, v3, v4, v5 = _U13(r.data, r.at)
    r.at += 20
    v6 = r.take(v5)
    return WRITE3args(v1, v2, v3, _of_stable_how[v4], v6)


def _put_WRITE3args(w: xdr.Writer, v: WRITE3args) -> None:
    out = w.out
    _put_nfs_fh3(w, v.file)
    v1 = xdr.octets(v.data)
    out += _P13(v.offset, v.count, _of_stable_how[v.stable], len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_WRITE3resok(r: xdr.Reader) -> WRITE3resok:
    v1 = _get_wcc_data(r)
    v2, v3, v4 = _U14(r.data, r.at)
    r.at += 16
    return WRITE3resok(v1, v2, _of_stable_how[v3], v4)


def _put_WRITE3resok(w: xdr.Writer, v: WRITE3resok) -> None:
    out = w.out
    _put_wcc_data(w, v.file_wcc)
    out += _P14(v.count, _of_stable_how[v.committed], xdr.exact_octets(v.verf, 8))


def _get_WRITE3resfail(r: xdr.Reader) -> WRITE3resfail:
    v1 = _get_wcc_data(r)
    return WRITE3resfail(v1)


def _put_WRITE3resfail(w: xdr.Writer, v: WRITE3resfail) -> None:
    _put_wcc_data(w, v.file_wcc)


def _get_WRITE3res(r: xdr.Reader) -> WRITE3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_WRITE3resok(r)
        return WRITE3res(kind, v2)
    v3 = _get_WRITE3resfail(r)
    return WRITE3res(kind, v3)


def _put_WRITE3res(w: xdr.Writer, v: WRITE3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_WRITE3resok(w, value)
    else:
        out += _P4(kind)
        _put_WRITE3resfail(w, value)


def _at_createmode3(data: bytes | bytearray | memoryview, at: int) -> createmode3:
    (v1,) = _U4(data, at)
    found: createmode3 = _of_createmode3[v1]
    return found


def _get_createmode3(r: xdr.Reader) -> createmode3:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    found: createmode3 = _of_createmode3[v1]
    return found


def _put_createmode3(w: xdr.Writer, v: createmode3) -> None:
    out = w.out
    out += _P4(_of_createmode3[v])


def _get_createhow3(r: xdr.Reader) -> createhow3:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_createmode3[v1]
    if v1 in {0, 1}:
        v2 = _get_sattr3(r)
        return createhow3(kind, v2)
    if v1 == 2:
        (v3,) = _U3(r.data, r.at)
        r.at += 8
        return createhow3(kind, v3)
    raise xdr.bad_union(v1)


def _put_createhow3(w: xdr.Writer, v: createhow3) -> None:
    out = w.out
    kind = _of_createmode3[v.mode]
    value: Any = v.value
    if kind in {0, 1}:
        out += _P4(kind)
        _put_sattr3(w, value)
    elif kind == 2:
        out += _P15(kind, xdr.exact_octets(value, 8))
    else:
        raise xdr.bad_union(kind)


def _get_CREATE3args(r: xdr.Reader) -> CREATE3args:
    v1 = _get_diropargs3(r)
    v2 = _get_createhow3(r)
    return CREATE3args(v1, v2)


def _put_CREATE3args(w: xdr.Writer, v: CREATE3args) -> None:
    _put_diropargs3(w, v.where)
    _put_createhow3(w, v.how)


def _get_CREATE3resok(r: xdr.Reader) -> CREATE3resok:
    v1 = _get_post_op_fh3(r)
    v2 = _get_post_op_attr(r)
    v3 = _get_wcc_data(r)
    return CREATE3resok(v1, v2, v3)


def _put_CREATE3resok(w: xdr.Writer, v: CREATE3resok) -> None:
    _put_post_op_fh3(w, v.obj)
    _put_post_op_attr(w, v.obj_attributes)
    _put_wcc_data(w, v.dir_wcc)


def _get_CREATE3resfail(r: xdr.Reader) -> CREATE3resfail:
    v1 = _get_wcc_data(r)
    return CREATE3resfail(v1)


def _put_CREATE3resfail(w: xdr.Writer, v: CREATE3resfail) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_CREATE3res(r: xdr.Reader) -> CREATE3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_CREATE3resok(r)
        return CREATE3res(kind, v2)
    v3 = _get_CREATE3resfail(r)
    return CREATE3res(kind, v3)


def _put_CREATE3res(w: xdr.Writer, v: CREATE3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_CREATE3resok(w, value)
    else:
        out += _P4(kind)
        _put_CREATE3resfail(w, value)


def _get_MKDIR3args(r: xdr.Reader) -> MKDIR3args:
    v1 = _get_diropargs3(r)
    v2 = _get_sattr3(r)
    return MKDIR3args(v1, v2)


def _put_MKDIR3args(w: xdr.Writer, v: MKDIR3args) -> None:
    _put_diropargs3(w, v.where)
    _put_sattr3(w, v.attributes)


def _get_MKDIR3resok(r: xdr.Reader) -> MKDIR3resok:
    v1 = _get_post_op_fh3(r)
    v2 = _get_post_op_attr(r)
    v3 = _get_wcc_data(r)
    return MKDIR3resok(v1, v2, v3)


def _put_MKDIR3resok(w: xdr.Writer, v: MKDIR3resok) -> None:
    _put_post_op_fh3(w, v.obj)
    _put_post_op_attr(w, v.obj_attributes)
    _put_wcc_data(w, v.dir_wcc)


def _get_MKDIR3resfail(r: xdr.Reader) -> MKDIR3resfail:
    v1 = _get_wcc_data(r)
    return MKDIR3resfail(v1)


def _put_MKDIR3resfail(w: xdr.Writer, v: MKDIR3resfail) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_MKDIR3res(r: xdr.Reader) -> MKDIR3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_MKDIR3resok(r)
        return MKDIR3res(kind, v2)
    v3 = _get_MKDIR3resfail(r)
    return MKDIR3res(kind, v3)


def _put_MKDIR3res(w: xdr.Writer, v: MKDIR3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_MKDIR3resok(w, value)
    else:
        out += _P4(kind)
        _put_MKDIR3resfail(w, value)


def _get_symlinkdata3(r: xdr.Reader) -> symlinkdata3:
    v1 = _get_sattr3(r)
    (v2,) = _U2(r.data, r.at)
    r.at += 4
    v3 = r.text(v2)
    return symlinkdata3(v1, v3)


def _put_symlinkdata3(w: xdr.Writer, v: symlinkdata3) -> None:
    out = w.out
    _put_sattr3(w, v.symlink_attributes)
    v1 = xdr.text(v.symlink_data)
    out += _P2(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_SYMLINK3args(r: xdr.Reader) -> SYMLINK3args:
    v1 = _get_diropargs3(r)
    v2 = _get_symlinkdata3(r)
    return SYMLINK3args(v1, v2)


def _put_SYMLINK3args(w: xdr.Writer, v: SYMLINK3args) -> None:
    _put_diropargs3(w, v.where)
    _put_symlinkdata3(w, v.symlink)


def _get_SYMLINK3resok(r: xdr.Reader) -> SYMLINK3resok:
    v1 = _get_post_op_fh3(r)
    v2 = _get_post_op_attr(r)
    v3 = _get_wcc_data(r)
    return SYMLINK3resok(v1, v2, v3)


def _put_SYMLINK3resok(w: xdr.Writer, v: SYMLINK3resok) -> None:
    _put_post_op_fh3(w, v.obj)
    _put_post_op_attr(w, v.obj_attributes)
    _put_wcc_data(w, v.dir_wcc)


def _get_SYMLINK3resfail(r: xdr.Reader) -> SYMLINK3resfail:
    v1 = _get_wcc_data(r)
    return SYMLINK3resfail(v1)


def _put_SYMLINK3resfail(w: xdr.Writer, v: SYMLINK3resfail) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_SYMLINK3res(r: xdr.Reader) -> SYMLINK3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_SYMLINK3resok(r)
        return SYMLINK3res(kind, v2)
    v3 = _get_SYMLINK3resfail(r)
    return SYMLINK3res(kind, v3)


def _put_SYMLINK3res(w: xdr.Writer, v: SYMLINK3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_SYMLINK3resok(w, value)
    else:
        out += _P4(kind)
        _put_SYMLINK3resfail(w, value)


def _get_devicedata3(r: xdr.Reader) -> devicedata3:
    v1 = _get_sattr3(r)
    v2, v3 = _U5(r.data, r.at)
    r.at += 8
    return devicedata3(v1, specdata3(v2, v3))


def _put_devicedata3(w: xdr.Writer, v: devicedata3) -> None:
    out = w.out
    _put_sattr3(w, v.dev_attributes)
    out += _P5(v.spec.specdata1, v.spec.specdata2)


def _get_mknoddata3(r: xdr.Reader) -> mknoddata3:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_ftype3[v1]
    if v1 in {4, 3}:
        v2 = _get_devicedata3(r)
        return mknoddata3(kind, v2)
    if v1 in {6, 7}:
        v3 = _get_sattr3(r)
        return mknoddata3(kind, v3)
    return mknoddata3(kind, None)


def _put_mknoddata3(w: xdr.Writer, v: mknoddata3) -> None:
    out = w.out
    kind = _of_ftype3[v.type]
    value: Any = v.value
    if kind in {4, 3}:
        out += _P4(kind)
        _put_devicedata3(w, value)
    elif kind in {6, 7}:
        out += _P4(kind)
        _put_sattr3(w, value)
    else:
        xdr.no_value(value)
        out += _P4(kind)


def _get_MKNOD3args(r: xdr.Reader) -> MKNOD3args:
    v1 = _get_diropargs3(r)
    v2 = _get_mknoddata3(r)
    return MKNOD3args(v1, v2)


def _put_MKNOD3args(w: xdr.Writer, v: MKNOD3args) -> None:
    _put_diropargs3(w, v.where)
    _put_mknoddata3(w, v.what)


def _get_MKNOD3resok(r: xdr.Reader) -> MKNOD3resok:
    v1 = _get_post_op_fh3(r)
    v2 = _get_post_op_attr(r)
    v3 = _get_wcc_data(r)
    return MKNOD3resok(v1, v2, v3)


def _put_MKNOD3resok(w: xdr.Writer, v: MKNOD3resok) -> None:
    _put_post_op_fh3(w, v.obj)
    _put_post_op_attr(w, v.obj_attributes)
    _put_wcc_data(w, v.dir_wcc)


def _get_MKNOD3resfail(r: xdr.Reader) -> MKNOD3resfail:
    v1 = _get_wcc_data(r)
    return MKNOD3resfail(v1)


def _put_MKNOD3resfail(w: xdr.Writer, v: MKNOD3resfail) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_MKNOD3res(r: xdr.Reader) -> MKNOD3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_MKNOD3resok(r)
        return MKNOD3res(kind, v2)
    v3 = _get_MKNOD3resfail(r)
    return MKNOD3res(kind, v3)


def _put_MKNOD3res(w: xdr.Writer, v: MKNOD3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_MKNOD3resok(w, value)
    else:
        out += _P4(kind)
        _put_MKNOD3resfail(w, value)


def _get_REMOVE3args(r: xdr.Reader) -> REMOVE3args:
    v1 = _get_diropargs3(r)
    return REMOVE3args(v1)


def _put_REMOVE3args(w: xdr.Writer, v: REMOVE3args) -> None:
    _put_diropargs3(w, v.object)


def _get_REMOVE3resok(r: xdr.Reader) -> REMOVE3resok:
    v1 = _get_wcc_data(r)
    return REMOVE3resok(v1)


def _put_REMOVE3resok(w: xdr.Writer, v: REMOVE3resok) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_REMOVE3resfail(r: xdr.Reader) -> REMOVE3resfail:
    v1 = _get_wcc_data(r)
    return REMOVE3resfail(v1)


def _put_REMOVE3resfail(w: xdr.Writer, v: REMOVE3resfail) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_REMOVE3res(r: xdr.Reader) -> REMOVE3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_REMOVE3resok(r)
        return REMOVE3res(kind, v2)
    v3 = _get_REMOVE3resfail(r)
    return REMOVE3res(kind, v3)


def _put_REMOVE3res(w: xdr.Writer, v: REMOVE3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_REMOVE3resok(w, value)
    else:
        out += _P4(kind)
        _put_REMOVE3resfail(w, value)


def _get_RMDIR3args(r: xdr.Reader) -> RMDIR3args:
    v1 = _get_diropargs3(r)
    return RMDIR3args(v1)


def _put_RMDIR3args(w: xdr.Writer, v: RMDIR3args) -> None:
    _put_diropargs3(w, v.object)


def _get_RMDIR3resok(r: xdr.Reader) -> RMDIR3resok:
    v1 = _get_wcc_data(r)
    return RMDIR3resok(v1)


def _put_RMDIR3resok(w: xdr.Writer, v: RMDIR3resok) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_RMDIR3resfail(r: xdr.Reader) -> RMDIR3resfail:
    v1 = _get_wcc_data(r)
    return RMDIR3resfail(v1)


def _put_RMDIR3resfail(w: xdr.Writer, v: RMDIR3resfail) -> None:
    _put_wcc_data(w, v.dir_wcc)


def _get_RMDIR3res(r: xdr.Reader) -> RMDIR3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_RMDIR3resok(r)
        return RMDIR3res(kind, v2)
    v3 = _get_RMDIR3resfail(r)
    return RMDIR3res(kind, v3)


def _put_RMDIR3res(w: xdr.Writer, v: RMDIR3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_RMDIR3resok(w, value)
    else:
        out += _P4(kind)
        _put_RMDIR3resfail(w, value)


def _get_RENAME3args(r: xdr.Reader) -> RENAME3args:
    v1 = _get_diropargs3(r)
    v2 = _get_diropargs3(r)
    return RENAME3args(v1, v2)


def _put_RENAME3args(w: xdr.Writer, v: RENAME3args) -> None:
    _put_diropargs3(w, v.from_)
    _put_diropargs3(w, v.to)


def _get_RENAME3resok(r: xdr.Reader) -> RENAME3resok:
    v1 = _get_wcc_data(r)
    v2 = _get_wcc_data(r)
    return RENAME3resok(v1, v2)


def _put_RENAME3resok(w: xdr.Writer, v: RENAME3resok) -> None:
    _put_wcc_data(w, v.fromdir_wcc)
    _put_wcc_data(w, v.todir_wcc)


def _get_RENAME3resfail(r: xdr.Reader) -> RENAME3resfail:
    v1 = _get_wcc_data(r)
    v2 = _get_wcc_data(r)
    return RENAME3resfail(v1, v2)


def _put_RENAME3resfail(w: xdr.Writer, v: RENAME3resfail) -> None:
    _put_wcc_data(w, v.fromdir_wcc)
    _put_wcc_data(w, v.todir_wcc)


def _get_RENAME3res(r: xdr.Reader) -> RENAME3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_RENAME3resok(r)
        return RENAME3res(kind, v2)
    v3 = _get_RENAME3resfail(r)
    return RENAME3res(kind, v3)


def _put_RENAME3res(w: xdr.Writer, v: RENAME3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_RENAME3resok(w, value)
    else:
        out += _P4(kind)
        _put_RENAME3resfail(w, value)


def _get_LINK3args(r: xdr.Reader) -> LINK3args:
    v1 = _get_nfs_fh3(r)
    v2 = _get_diropargs3(r)
    return LINK3args(v1, v2)


def _put_LINK3args(w: xdr.Writer, v: LINK3args) -> None:
    _put_nfs_fh3(w, v.file)
    _put_diropargs3(w, v.link)


def _get_LINK3resok(r: xdr.Reader) -> LINK3resok:
    v1 = _get_post_op_attr(r)
    v2 = _get_wcc_data(r)
    return LINK3resok(v1, v2)


def _put_LINK3resok(w: xdr.Writer, v: LINK3resok) -> None:
    _put_post_op_attr(w, v.file_attributes)
    _put_wcc_data(w, v.linkdir_wcc)


def _get_LINK3resfail(r: xdr.Reader) -> LINK3resfail:
    v1 = _get_post_op_attr(r)
    v2 = _get_wcc_data(r)
    return LINK3resfail(v1, v2)


def _put_LINK3resfail(w: xdr.Writer, v: LINK3resfail) -> None:
    _put_post_op_attr(w, v.file_attributes)
    _put_wcc_data(w, v.linkdir_wcc)


def _get_LINK3res(r: xdr.Reader) -> LINK3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_LINK3resok(r)
        return LINK3res(kind, v2)
    v3 = _get_LINK3resfail(r)
    return LINK3res(kind, v3)


def _put_LINK3res(w: xdr.Writer, v: LINK3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_LINK3resok(w, value)
    else:
        out += _P4(kind)
        _put_LINK3resfail(w, value)


def _get_READDIR3args(r: xdr.Reader) -> READDIR3args:
    v1 = _get_nfs_fh3(r)
    v2, v3, v4 = _U16(r.data, r.at)
    r.at += 20
    return READDIR3args(v1, v2, v3, v4)


def _put_READDIR3args(w: xdr.Writer, v: READDIR3args) -> None:
    out = w.out
    _put_nfs_fh3(w, v.dir)
    out += _P16(v.cookie, xdr.exact_octets(v.cookieverf, 8), v.count)


def _get_entry3(r: xdr.Reader) -> entry3:
    head: entry3 | None = None
    while True:
        v1, v2 = _U12(r.data, r.at)
        r.at += 12
        v3 = r.text(v2)
        v4, v5 = _U12(r.data, r.at)
        r.at += 12
        item = entry3(v1, v3, v4, None)
        if head is None:
            head = end = item
        else:
            end.nextentry = item
            end = item
        if v5 != 1 or not r.left:
            r.end(v5)
            return head
        r.left -= 1


def _put_entry3(w: xdr.Writer, v: entry3) -> None:
    w.follow(_write_entry3, v)


def _write_entry3(w: xdr.Writer, v: entry3) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    v1 = xdr.text(v.name)
    out += _P12(v.fileid, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    out += _P1(v.cookie)
    tail = v.nextentry
    if tail is None:
        out += xdr.NO
        return None
    out += _P2(1)
    return _write_entry3, tail


def _get_dirlist3(r: xdr.Reader) -> dirlist3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    v2: entry3 | None = None
    if r.present(v1):
        v3 = _get_entry3(r)
        v2 = v3
    (v4,) = _U2(r.data, r.at)
    r.at += 4
    return dirlist3(v2, _BOOLS[v4])


def _put_dirlist3(w: xdr.Writer, v: dirlist3) -> None:
    out = w.out
    v1 = v.entries
    if v1 is None:
        out += xdr.NO
    else:
        out += _P2(1)
        _put_entry3(w, v1)
    out += _P2(1 if v.eof else 0)


def _get_READDIR3resok(r: xdr.Reader) -> READDIR3resok:
    v1 = _get_post_op_attr(r)
    (v2,) = _U3(r.data, r.at)
    r.at += 8
    v3 = _get_dirlist3(r)
    return READDIR3resok(v1, v2, v3)


def _put_READDIR3resok(w: xdr.Writer, v: READDIR3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.dir_attributes)
    out += _P3(xdr.exact_octets(v.cookieverf, 8))
    _put_dirlist3(w, v.reply)


def _get_READDIR3resfail(r: xdr.Reader) -> READDIR3resfail:
    v1 = _get_post_op_attr(r)
    return READDIR3resfail(v1)


def _put_READDIR3resfail(w: xdr.Writer, v: READDIR3resfail) -> None:
    _put_post_op_attr(w, v.dir_attributes)


def _get_READDIR3res(r: xdr.Reader) -> READDIR3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_READDIR3resok(r)
        return READDIR3res(kind, v2)
    v3 = _get_READDIR3resfail(r)
    return READDIR3res(kind, v3)


def _put_READDIR3res(w: xdr.Writer, v: READDIR3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_READDIR3resok(w, value)
    else:
        out += _P4(kind)
        _put_READDIR3resfail(w, value)


def _get_READDIRPLUS3args(r: xdr.Reader) -> READDIRPLUS3args:
    v1 = _get_nfs_fh3(r)
    v2, v3, v4, v5 = _U17(r.data, r.at)
    r.at += 24
    return READDIRPLUS3args(v1, v2, v3, v4, v5)


def _put_READDIRPLUS3args(w: xdr.Writer, v: READDIRPLUS3args) -> None:
    out = w.out
    _put_nfs_fh3(w, v.dir)
    out += _P17(v.cookie, xdr.exact_octets(v.cookieverf, 8), v.dircount, v.maxcount)


def _get_entryplus3(r: xdr.Reader) -> entryplus3:
    head: entryplus3 | None = None
    while True:
        v1, v2 = _U12(r.data, r.at)
        r.at += 12
        v3 = r.text(v2)
        (v4,) = _U1(r.data, r.at)
        r.at += 8
        v5 = _get_post_op_attr(r)
        v6 = _get_post_op_fh3(r)
        (v7,) = _U2(r.data, r.at)
        r.at += 4
        item = entryplus3(v1, v3, v4, v5, v6, None)
        if head is None:
            head = end = item
        else:
            end.nextentry = item
            end = item
        if v7 != 1 or not r.left:
            r.end(v7)
            return head
        r.left -= 1


def _put_entryplus3(w: xdr.Writer, v: entryplus3) -> None:
    w.follow(_write_entryplus3, v)


def _write_entryplus3(w: xdr.Writer, v: entryplus3) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    v1 = xdr.text(v.name)
    out += _P12(v.fileid, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    out += _P1(v.cookie)
    _put_post_op_attr(w, v.name_attributes)
    _put_post_op_fh3(w, v.name_handle)
    tail = v.nextentry
    if tail is None:
        out += xdr.NO
        return None
    out += _P2(1)
    return _write_entryplus3, tail


def _get_dirlistplus3(r: xdr.Reader) -> dirlistplus3:
    (v1,) = _U2(r.data, r.at)
    r.at += 4
    v2: entryplus3 | None = None
    if r.present(v1):
        v3 = _get_entryplus3(r)
        v2 = v3
    (v4,) = _U2(r.data, r.at)
    r.at += 4
    return dirlistplus3(v2, _BOOLS[v4])


def _put_dirlistplus3(w: xdr.Writer, v: dirlistplus3) -> None:
    out = w.out
    v1 = v.entries
    if v1 is None:
        out += xdr.NO
    else:
        out += _P2(1)
        _put_entryplus3(w, v1)
    out += _P2(1 if v.eof else 0)


def _get_READDIRPLUS3resok(r: xdr.Reader) -> READDIRPLUS3resok:
    v1 = _get_post_op_attr(r)
    (v2,) = _U3(r.data, r.at)
    r.at += 8
    v3 = _get_dirlistplus3(r)
    return READDIRPLUS3resok(v1, v2, v3)


def _put_READDIRPLUS3resok(w: xdr.Writer, v: READDIRPLUS3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.dir_attributes)
    out += _P3(xdr.exact_octets(v.cookieverf, 8))
    _put_dirlistplus3(w, v.reply)


def _get_READDIRPLUS3resfail(r: xdr.Reader) -> READDIRPLUS3resfail:
    v1 = _get_post_op_attr(r)
    return READDIRPLUS3resfail(v1)


def _put_READDIRPLUS3resfail(w: xdr.Writer, v: READDIRPLUS3resfail) -> None:
    _put_post_op_attr(w, v.dir_attributes)


def _get_READDIRPLUS3res(r: xdr.Reader) -> READDIRPLUS3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_READDIRPLUS3resok(r)
        return READDIRPLUS3res(kind, v2)
    v3 = _get_READDIRPLUS3resfail(r)
    return READDIRPLUS3res(kind, v3)


def _put_READDIRPLUS3res(w: xdr.Writer, v: READDIRPLUS3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_READDIRPLUS3resok(w, value)
    else:
        out += _P4(kind)
        _put_READDIRPLUS3resfail(w, value)


def _get_FSSTAT3args(r: xdr.Reader) -> FSSTAT3args:
    v1 = _get_nfs_fh3(r)
    return FSSTAT3args(v1)


def _put_FSSTAT3args(w: xdr.Writer, v: FSSTAT3args) -> None:
    _put_nfs_fh3(w, v.fsroot)


def _get_FSSTAT3resok(r: xdr.Reader) -> FSSTAT3resok:
    v1 = _get_post_op_attr(r)
    v2, v3, v4, v5, v6, v7, v8 = _U18(r.data, r.at)
    r.at += 52
    return FSSTAT3resok(v1, v2, v3, v4, v5, v6, v7, v8)


def _put_FSSTAT3resok(w: xdr.Writer, v: FSSTAT3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.obj_attributes)
    out += _P18(v.tbytes, v.fbytes, v.abytes, v.tfiles, v.ffiles, v.afiles, v.invarsec)


def _get_FSSTAT3resfail(r: xdr.Reader) -> FSSTAT3resfail:
    v1 = _get_post_op_attr(r)
    return FSSTAT3resfail(v1)


def _put_FSSTAT3resfail(w: xdr.Writer, v: FSSTAT3resfail) -> None:
    _put_post_op_attr(w, v.obj_attributes)


def _get_FSSTAT3res(r: xdr.Reader) -> FSSTAT3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_FSSTAT3resok(r)
        return FSSTAT3res(kind, v2)
    v3 = _get_FSSTAT3resfail(r)
    return FSSTAT3res(kind, v3)


def _put_FSSTAT3res(w: xdr.Writer, v: FSSTAT3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_FSSTAT3resok(w, value)
    else:
        out += _P4(kind)
        _put_FSSTAT3resfail(w, value)


def _get_FSINFO3args(r: xdr.Reader) -> FSINFO3args:
    v1 = _get_nfs_fh3(r)
    return FSINFO3args(v1)


def _put_FSINFO3args(w: xdr.Writer, v: FSINFO3args) -> None:
    _put_nfs_fh3(w, v.fsroot)


def _get_FSINFO3resok(r: xdr.Reader) -> FSINFO3resok:
    v1 = _get_post_op_attr(r)
    v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12 = _U19(r.data, r.at)
    r.at += 48
    return FSINFO3resok(v1, v2, v3, v4, v5, v6, v7, v8, v9, nfstime3(v10, v11), v12)


def _put_FSINFO3resok(w: xdr.Writer, v: FSINFO3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.obj_attributes)
    out += _P19(
        v.rtmax,
        v.rtpref,
        v.rtmult,
        v.wtmax,
        v.wtpref,
        v.wtmult,
        v.dtpref,
        v.maxfilesize,
        v.time_delta.seconds,
        v.time_delta.nseconds,
        v.properties,
    )


def _get_FSINFO3resfail(r: xdr.Reader) -> FSINFO3resfail:
    v1 = _get_post_op_attr(r)
    return FSINFO3resfail(v1)


def _put_FSINFO3resfail(w: xdr.Writer, v: FSINFO3resfail) -> None:
    _put_post_op_attr(w, v.obj_attributes)


def _get_FSINFO3res(r: xdr.Reader) -> FSINFO3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_FSINFO3resok(r)
        return FSINFO3res(kind, v2)
    v3 = _get_FSINFO3resfail(r)
    return FSINFO3res(kind, v3)


def _put_FSINFO3res(w: xdr.Writer, v: FSINFO3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_FSINFO3resok(w, value)
    else:
        out += _P4(kind)
        _put_FSINFO3resfail(w, value)


def _get_PATHCONF3args(r: xdr.Reader) -> PATHCONF3args:
    v1 = _get_nfs_fh3(r)
    return PATHCONF3args(v1)


def _put_PATHCONF3args(w: xdr.Writer, v: PATHCONF3args) -> None:
    _put_nfs_fh3(w, v.object)


def _get_PATHCONF3resok(r: xdr.Reader) -> PATHCONF3resok:
    v1 = _get_post_op_attr(r)
    v2, v3, v4, v5, v6, v7 = _U20(r.data, r.at)
    r.at += 24
    return PATHCONF3resok(v1, v2, v3, _BOOLS[v4], _BOOLS[v5], _BOOLS[v6], _BOOLS[v7])


def _put_PATHCONF3resok(w: xdr.Writer, v: PATHCONF3resok) -> None:
    out = w.out
    _put_post_op_attr(w, v.obj_attributes)
    out += _P20(
        v.linkmax,
        v.name_max,
        1 if v.no_trunc else 0,
        1 if v.chown_restricted else 0,
        1 if v.case_insensitive else 0,
        1 if v.case_preserving else 0,
    )


def _get_PATHCONF3resfail(r: xdr.Reader) -> PATHCONF3resfail:
    v1 = _get_post_op_attr(r)
    return PATHCONF3resfail(v1)


def _put_PATHCONF3resfail(w: xdr.Writer, v: PATHCONF3resfail) -> None:
    _put_post_op_attr(w, v.obj_attributes)


def _get_PATHCONF3res(r: xdr.Reader) -> PATHCONF3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_PATHCONF3resok(r)
        return PATHCONF3res(kind, v2)
    v3 = _get_PATHCONF3resfail(r)
    return PATHCONF3res(kind, v3)


def _put_PATHCONF3res(w: xdr.Writer, v: PATHCONF3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_PATHCONF3resok(w, value)
    else:
        out += _P4(kind)
        _put_PATHCONF3resfail(w, value)


def _get_COMMIT3args(r: xdr.Reader) -> COMMIT3args:
    v1 = _get_nfs_fh3(r)
    v2, v3 = _U12(r.data, r.at)
    r.at += 12
    return COMMIT3args(v1, v2, v3)


def _put_COMMIT3args(w: xdr.Writer, v: COMMIT3args) -> None:
    out = w.out
    _put_nfs_fh3(w, v.file)
    out += _P12(v.offset, v.count)


def _get_COMMIT3resok(r: xdr.Reader) -> COMMIT3resok:
    v1 = _get_wcc_data(r)
    (v2,) = _U3(r.data, r.at)
    r.at += 8
    return COMMIT3resok(v1, v2)


def _put_COMMIT3resok(w: xdr.Writer, v: COMMIT3resok) -> None:
    out = w.out
    _put_wcc_data(w, v.file_wcc)
    out += _P3(xdr.exact_octets(v.verf, 8))


def _get_COMMIT3resfail(r: xdr.Reader) -> COMMIT3resfail:
    v1 = _get_wcc_data(r)
    return COMMIT3resfail(v1)


def _put_COMMIT3resfail(w: xdr.Writer, v: COMMIT3resfail) -> None:
    _put_wcc_data(w, v.file_wcc)


def _get_COMMIT3res(r: xdr.Reader) -> COMMIT3res:
    (v1,) = _U4(r.data, r.at)
    r.at += 4
    kind = _of_nfsstat3[v1]
    if v1 == 0:
        v2 = _get_COMMIT3resok(r)
        return COMMIT3res(kind, v2)
    v3 = _get_COMMIT3resfail(r)
    return COMMIT3res(kind, v3)


def _put_COMMIT3res(w: xdr.Writer, v: COMMIT3res) -> None:
    out = w.out
    kind = _of_nfsstat3[v.status]
    value: Any = v.value
    if kind == 0:
        out += _P4(kind)
        _put_COMMIT3resok(w, value)
    else:
        out += _P4(kind)
        _put_COMMIT3resfail(w, value)


xdr_uint64: Final[xdr.Codec[uint64]] = xdr.Codec("uint64", _get_uint64, _put_uint64, _at_uint64)
xdr_uint32: Final[xdr.Codec[uint32]] = xdr.Codec("uint32", _get_uint32, _put_uint32, _at_uint32)
xdr_filename3: Final[xdr.Codec[filename3]] = xdr.Codec("filename3", _get_filename3, _put_filename3)
xdr_nfspath3: Final[xdr.Codec[nfspath3]] = xdr.Codec("nfspath3", _get_nfspath3, _put_nfspath3)
xdr_fileid3: Final[xdr.Codec[fileid3]] = xdr.Codec("fileid3", _get_fileid3, _put_fileid3, _at_fileid3)
xdr_cookie3: Final[xdr.Codec[cookie3]] = xdr.Codec("cookie3", _get_cookie3, _put_cookie3, _at_cookie3)
xdr_cookieverf3: Final[xdr.Codec[cookieverf3]] = xdr.Codec(
    "cookieverf3", _get_cookieverf3, _put_cookieverf3, _at_cookieverf3
)
xdr_createverf3: Final[xdr.Codec[createverf3]] = xdr.Codec(
    "createverf3", _get_createverf3, _put_createverf3, _at_createverf3
)
xdr_writeverf3: Final[xdr.Codec[writeverf3]] = xdr.Codec("writeverf3", _get_writeverf3, _put_writeverf3, _at_writeverf3)
xdr_uid3: Final[xdr.Codec[uid3]] = xdr.Codec("uid3", _get_uid3, _put_uid3, _at_uid3)
xdr_gid3: Final[xdr.Codec[gid3]] = xdr.Codec("gid3", _get_gid3, _put_gid3, _at_gid3)
xdr_size3: Final[xdr.Codec[size3]] = xdr.Codec("size3", _get_size3, _put_size3, _at_size3)
xdr_offset3: Final[xdr.Codec[offset3]] = xdr.Codec("offset3", _get_offset3, _put_offset3, _at_offset3)
xdr_mode3: Final[xdr.Codec[mode3]] = xdr.Codec("mode3", _get_mode3, _put_mode3, _at_mode3)
xdr_count3: Final[xdr.Codec[count3]] = xdr.Codec("count3", _get_count3, _put_count3, _at_count3)
xdr_nfsstat3: Final[xdr.Codec[nfsstat3]] = xdr.Codec("nfsstat3", _get_nfsstat3, _put_nfsstat3, _at_nfsstat3)
xdr_ftype3: Final[xdr.Codec[ftype3]] = xdr.Codec("ftype3", _get_ftype3, _put_ftype3, _at_ftype3)
xdr_specdata3: Final[xdr.Codec[specdata3]] = xdr.Codec("specdata3", _get_specdata3, _put_specdata3, _at_specdata3)
xdr_nfs_fh3: Final[xdr.Codec[nfs_fh3]] = xdr.Codec("nfs_fh3", _get_nfs_fh3, _put_nfs_fh3)
xdr_nfstime3: Final[xdr.Codec[nfstime3]] = xdr.Codec("nfstime3", _get_nfstime3, _put_nfstime3, _at_nfstime3)
xdr_fattr3: Final[xdr.Codec[fattr3]] = xdr.Codec("fattr3", _get_fattr3, _put_fattr3)
xdr_post_op_attr: Final[xdr.Codec[post_op_attr]] = xdr.Codec("post_op_attr", _get_post_op_attr, _put_post_op_attr)
xdr_wcc_attr: Final[xdr.Codec[wcc_attr]] = xdr.Codec("wcc_attr", _get_wcc_attr, _put_wcc_attr, _at_wcc_attr)
xdr_pre_op_attr: Final[xdr.Codec[pre_op_attr]] = xdr.Codec("pre_op_attr", _get_pre_op_attr, _put_pre_op_attr)
xdr_wcc_data: Final[xdr.Codec[wcc_data]] = xdr.Codec("wcc_data", _get_wcc_data, _put_wcc_data)
xdr_post_op_fh3: Final[xdr.Codec[post_op_fh3]] = xdr.Codec("post_op_fh3", _get_post_op_fh3, _put_post_op_fh3)
xdr_time_how: Final[xdr.Codec[time_how]] = xdr.Codec("time_how", _get_time_how, _put_time_how, _at_time_how)
xdr_set_mode3: Final[xdr.Codec[set_mode3]] = xdr.Codec("set_mode3", _get_set_mode3, _put_set_mode3)
xdr_set_uid3: Final[xdr.Codec[set_uid3]] = xdr.Codec("set_uid3", _get_set_uid3, _put_set_uid3)
xdr_set_gid3: Final[xdr.Codec[set_gid3]] = xdr.Codec("set_gid3", _get_set_gid3, _put_set_gid3)
xdr_set_size3: Final[xdr.Codec[set_size3]] = xdr.Codec("set_size3", _get_set_size3, _put_set_size3)
xdr_set_atime: Final[xdr.Codec[set_atime]] = xdr.Codec("set_atime", _get_set_atime, _put_set_atime)
xdr_set_mtime: Final[xdr.Codec[set_mtime]] = xdr.Codec("set_mtime", _get_set_mtime, _put_set_mtime)
xdr_sattr3: Final[xdr.Codec[sattr3]] = xdr.Codec("sattr3", _get_sattr3, _put_sattr3)
xdr_diropargs3: Final[xdr.Codec[diropargs3]] = xdr.Codec("diropargs3", _get_diropargs3, _put_diropargs3)
xdr_GETATTR3args: Final[xdr.Codec[GETATTR3args]] = xdr.Codec("GETATTR3args", _get_GETATTR3args, _put_GETATTR3args)
xdr_GETATTR3resok: Final[xdr.Codec[GETATTR3resok]] = xdr.Codec("GETATTR3resok", _get_GETATTR3resok, _put_GETATTR3resok)
xdr_GETATTR3res: Final[xdr.Codec[GETATTR3res]] = xdr.Codec("GETATTR3res", _get_GETATTR3res, _put_GETATTR3res)
xdr_sattrguard3: Final[xdr.Codec[sattrguard3]] = xdr.Codec("sattrguard3", _get_sattrguard3, _put_sattrguard3)
xdr_SETATTR3args: Final[xdr.Codec[SETATTR3args]] = xdr.Codec("SETATTR3args", _get_SETATTR3args, _put_SETATTR3args)
xdr_SETATTR3resok: Final[xdr.Codec[SETATTR3resok]] = xdr.Codec("SETATTR3resok", _get_SETATTR3resok, _put_SETATTR3resok)
xdr_SETATTR3resfail: Final[xdr.Codec[SETATTR3resfail]] = xdr.Codec(
    "SETATTR3resfail", _get_SETATTR3resfail, _put_SETATTR3resfail
)
xdr_SETATTR3res: Final[xdr.Codec[SETATTR3res]] = xdr.Codec("SETATTR3res", _get_SETATTR3res, _put_SETATTR3res)
xdr_LOOKUP3args: Final[xdr.Codec[LOOKUP3args]] = xdr.Codec("LOOKUP3args", _get_LOOKUP3args, _put_LOOKUP3args)
xdr_LOOKUP3resok: Final[xdr.Codec[LOOKUP3resok]] = xdr.Codec("LOOKUP3resok", _get_LOOKUP3resok, _put_LOOKUP3resok)
xdr_LOOKUP3resfail: Final[xdr.Codec[LOOKUP3resfail]] = xdr.Codec(
    "LOOKUP3resfail", _get_LOOKUP3resfail, _put_LOOKUP3resfail
)
xdr_LOOKUP3res: Final[xdr.Codec[LOOKUP3res]] = xdr.Codec("LOOKUP3res", _get_LOOKUP3res, _put_LOOKUP3res)
xdr_ACCESS3args: Final[xdr.Codec[ACCESS3args]] = xdr.Codec("ACCESS3args", _get_ACCESS3args, _put_ACCESS3args)
xdr_ACCESS3resok: Final[xdr.Codec[ACCESS3resok]] = xdr.Codec("ACCESS3resok", _get_ACCESS3resok, _put_ACCESS3resok)
xdr_ACCESS3resfail: Final[xdr.Codec[ACCESS3resfail]] = xdr.Codec(
    "ACCESS3resfail", _get_ACCESS3resfail, _put_ACCESS3resfail
)
xdr_ACCESS3res: Final[xdr.Codec[ACCESS3res]] = xdr.Codec("ACCESS3res", _get_ACCESS3res, _put_ACCESS3res)
xdr_READLINK3args: Final[xdr.Codec[READLINK3args]] = xdr.Codec("READLINK3args", _get_READLINK3args, _put_READLINK3args)
xdr_READLINK3resok: Final[xdr.Codec[READLINK3resok]] = xdr.Codec(
    "READLINK3resok", _get_READLINK3resok, _put_READLINK3resok
)
xdr_READLINK3resfail: Final[xdr.Codec[READLINK3resfail]] = xdr.Codec(
    "READLINK3resfail", _get_READLINK3resfail, _put_READLINK3resfail
)
xdr_READLINK3res: Final[xdr.Codec[READLINK3res]] = xdr.Codec("READLINK3res", _get_READLINK3res, _put_READLINK3res)
xdr_READ3args: Final[xdr.Codec[READ3args]] = xdr.Codec("READ3args", _get_READ3args, _put_READ3args)
xdr_READ3resok: Final[xdr.Codec[READ3resok]] = xdr.Codec("READ3resok", _get_READ3resok, _put_READ3resok)
xdr_READ3resfail: Final[xdr.Codec[READ3resfail]] = xdr.Codec("READ3resfail", _get_READ3resfail, _put_READ3resfail)
xdr_READ3res: Final[xdr.Codec[READ3res]] = xdr.Codec("READ3res", _get_READ3res, _put_READ3res)
xdr_stable_how: Final[xdr.Codec[stable_how]] = xdr.Codec("stable_how", _get_stable_how, _put_stable_how, _at_stable_how)
xdr_WRITE3args: Final[xdr.Codec[WRITE3args]] = xdr.Codec("WRITE3args", _get_WRITE3args, _put_WRITE3args)
xdr_WRITE3resok: Final[xdr.Codec[WRITE3resok]] = xdr.Codec("WRITE3resok", _get_WRITE3resok, _put_WRITE3resok)
xdr_WRITE3resfail: Final[xdr.Codec[WRITE3resfail]] = xdr.Codec("WRITE3resfail", _get_WRITE3resfail, _put_WRITE3resfail)
xdr_WRITE3res: Final[xdr.Codec[WRITE3res]] = xdr.Codec("WRITE3res", _get_WRITE3res, _put_WRITE3res)
xdr_createmode3: Final[xdr.Codec[createmode3]] = xdr.Codec(
    "createmode3", _get_createmode3, _put_createmode3, _at_createmode3
)
xdr_createhow3: Final[xdr.Codec[createhow3]] = xdr.Codec("createhow3", _get_createhow3, _put_createhow3)
xdr_CREATE3args: Final[xdr.Codec[CREATE3args]] = xdr.Codec("CREATE3args", _get_CREATE3args, _put_CREATE3args)
xdr_CREATE3resok: Final[xdr.Codec[CREATE3resok]] = xdr.Codec("CREATE3resok", _get_CREATE3resok, _put_CREATE3resok)
xdr_CREATE3resfail: Final[xdr.Codec[CREATE3resfail]] = xdr.Codec(
    "CREATE3resfail", _get_CREATE3resfail, _put_CREATE3resfail
)
xdr_CREATE3res: Final[xdr.Codec[CREATE3res]] = xdr.Codec("CREATE3res", _get_CREATE3res, _put_CREATE3res)
xdr_MKDIR3args: Final[xdr.Codec[MKDIR3args]] = xdr.Codec("MKDIR3args", _get_MKDIR3args, _put_MKDIR3args)
xdr_MKDIR3resok: Final[xdr.Codec[MKDIR3resok]] = xdr.Codec("MKDIR3resok", _get_MKDIR3resok, _put_MKDIR3resok)
xdr_MKDIR3resfail: Final[xdr.Codec[MKDIR3resfail]] = xdr.Codec("MKDIR3resfail", _get_MKDIR3resfail, _put_MKDIR3resfail)
xdr_MKDIR3res: Final[xdr.Codec[MKDIR3res]] = xdr.Codec("MKDIR3res", _get_MKDIR3res, _put_MKDIR3res)
xdr_symlinkdata3: Final[xdr.Codec[symlinkdata3]] = xdr.Codec("symlinkdata3", _get_symlinkdata3, _put_symlinkdata3)
xdr_SYMLINK3args: Final[xdr.Codec[SYMLINK3args]] = xdr.Codec("SYMLINK3args", _get_SYMLINK3args, _put_SYMLINK3args)
xdr_SYMLINK3resok: Final[xdr.Codec[SYMLINK3resok]] = xdr.Codec("SYMLINK3resok", _get_SYMLINK3resok, _put_SYMLINK3resok)
xdr_SYMLINK3resfail: Final[xdr.Codec[SYMLINK3resfail]] = xdr.Codec(
    "SYMLINK3resfail", _get_SYMLINK3resfail, _put_SYMLINK3resfail
)
xdr_SYMLINK3res: Final[xdr.Codec[SYMLINK3res]] = xdr.Codec("SYMLINK3res", _get_SYMLINK3res, _put_SYMLINK3res)
xdr_devicedata3: Final[xdr.Codec[devicedata3]] = xdr.Codec("devicedata3", _get_devicedata3, _put_devicedata3)
xdr_mknoddata3: Final[xdr.Codec[mknoddata3]] = xdr.Codec("mknoddata3", _get_mknoddata3, _put_mknoddata3)
xdr_MKNOD3args: Final[xdr.Codec[MKNOD3args]] = xdr.Codec("MKNOD3args", _get_MKNOD3args, _put_MKNOD3args)
xdr_MKNOD3resok: Final[xdr.Codec[MKNOD3resok]] = xdr.Codec("MKNOD3resok", _get_MKNOD3resok, _put_MKNOD3resok)
xdr_MKNOD3resfail: Final[xdr.Codec[MKNOD3resfail]] = xdr.Codec("MKNOD3resfail", _get_MKNOD3resfail, _put_MKNOD3resfail)
xdr_MKNOD3res: Final[xdr.Codec[MKNOD3res]] = xdr.Codec("MKNOD3res", _get_MKNOD3res, _put_MKNOD3res)
xdr_REMOVE3args: Final[xdr.Codec[REMOVE3args]] = xdr.Codec("REMOVE3args", _get_REMOVE3args, _put_REMOVE3args)
xdr_REMOVE3resok: Final[xdr.Codec[REMOVE3resok]] = xdr.Codec("REMOVE3resok", _get_REMOVE3resok, _put_REMOVE3resok)
xdr_REMOVE3resfail: Final[xdr.Codec[REMOVE3resfail]] = xdr.Codec(
    "REMOVE3resfail", _get_REMOVE3resfail, _put_REMOVE3resfail
)
xdr_REMOVE3res: Final[xdr.Codec[REMOVE3res]] = xdr.Codec("REMOVE3res", _get_REMOVE3res, _put_REMOVE3res)
xdr_RMDIR3args: Final[xdr.Codec[RMDIR3args]] = xdr.Codec("RMDIR3args", _get_RMDIR3args, _put_RMDIR3args)
xdr_RMDIR3resok: Final[xdr.Codec[RMDIR3resok]] = xdr.Codec("RMDIR3resok", _get_RMDIR3resok, _put_RMDIR3resok)
xdr_RMDIR3resfail: Final[xdr.Codec[RMDIR3resfail]] = xdr.Codec("RMDIR3resfail", _get_RMDIR3resfail, _put_RMDIR3resfail)
xdr_RMDIR3res: Final[xdr.Codec[RMDIR3res]] = xdr.Codec("RMDIR3res", _get_RMDIR3res, _put_RMDIR3res)
xdr_RENAME3args: Final[xdr.Codec[RENAME3args]] = xdr.Codec("RENAME3args", _get_RENAME3args, _put_RENAME3args)
xdr_RENAME3resok: Final[xdr.Codec[RENAME3resok]] = xdr.Codec("RENAME3resok", _get_RENAME3resok, _put_RENAME3resok)
xdr_RENAME3resfail: Final[xdr.Codec[RENAME3resfail]] = xdr.Codec(
    "RENAME3resfail", _get_RENAME3resfail, _put_RENAME3resfail
)
xdr_RENAME3res: Final[xdr.Codec[RENAME3res]] = xdr.Codec("RENAME3res", _get_RENAME3res, _put_RENAME3res)
xdr_LINK3args: Final[xdr.Codec[LINK3args]] = xdr.Codec("LINK3args", _get_LINK3args, _put_LINK3args)
xdr_LINK3resok: Final[xdr.Codec[LINK3resok]] = xdr.Codec("LINK3resok", _get_LINK3resok, _put_LINK3resok)
xdr_LINK3resfail: Final[xdr.Codec[LINK3resfail]] = xdr.Codec("LINK3resfail", _get_LINK3resfail, _put_LINK3resfail)
xdr_LINK3res: Final[xdr.Codec[LINK3res]] = xdr.Codec("LINK3res", _get_LINK3res, _put_LINK3res)
xdr_READDIR3args: Final[xdr.Codec[READDIR3args]] = xdr.Codec("READDIR3args", _get_READDIR3args, _put_READDIR3args)
xdr_entry3: Final[xdr.Codec[entry3]] = xdr.Codec("entry3", _get_entry3, _put_entry3)
xdr_dirlist3: Final[xdr.Codec[dirlist3]] = xdr.Codec("dirlist3", _get_dirlist3, _put_dirlist3)
xdr_READDIR3resok: Final[xdr.Codec[READDIR3resok]] = xdr.Codec("READDIR3resok", _get_READDIR3resok, _put_READDIR3resok)
xdr_READDIR3resfail: Final[xdr.Codec[READDIR3resfail]] = xdr.Codec(
    "READDIR3resfail", _get_READDIR3resfail, _put_READDIR3resfail
)
xdr_READDIR3res: Final[xdr.Codec[READDIR3res]] = xdr.Codec("READDIR3res", _get_READDIR3res, _put_READDIR3res)
xdr_READDIRPLUS3args: Final[xdr.Codec[READDIRPLUS3args]] = xdr.Codec(
    "READDIRPLUS3args", _get_READDIRPLUS3args, _put_READDIRPLUS3args
)
xdr_entryplus3: Final[xdr.Codec[entryplus3]] = xdr.Codec("entryplus3", _get_entryplus3, _put_entryplus3)
xdr_dirlistplus3: Final[xdr.Codec[dirlistplus3]] = xdr.Codec("dirlistplus3", _get_dirlistplus3, _put_dirlistplus3)
xdr_READDIRPLUS3resok: Final[xdr.Codec[READDIRPLUS3resok]] = xdr.Codec(
    "READDIRPLUS3resok", _get_READDIRPLUS3resok, _put_READDIRPLUS3resok
)
xdr_READDIRPLUS3resfail: Final[xdr.Codec[READDIRPLUS3resfail]] = xdr.Codec(
    "READDIRPLUS3resfail", _get_READDIRPLUS3resfail, _put_READDIRPLUS3resfail
)
xdr_READDIRPLUS3res: Final[xdr.Codec[READDIRPLUS3res]] = xdr.Codec(
    "READDIRPLUS3res", _get_READDIRPLUS3res, _put_READDIRPLUS3res
)
xdr_FSSTAT3args: Final[xdr.Codec[FSSTAT3args]] = xdr.Codec("FSSTAT3args", _get_FSSTAT3args, _put_FSSTAT3args)
xdr_FSSTAT3resok: Final[xdr.Codec[FSSTAT3resok]] = xdr.Codec("FSSTAT3resok", _get_FSSTAT3resok, _put_FSSTAT3resok)
xdr_FSSTAT3resfail: Final[xdr.Codec[FSSTAT3resfail]] = xdr.Codec(
    "FSSTAT3resfail", _get_FSSTAT3resfail, _put_FSSTAT3resfail
)
xdr_FSSTAT3res: Final[xdr.Codec[FSSTAT3res]] = xdr.Codec("FSSTAT3res", _get_FSSTAT3res, _put_FSSTAT3res)
xdr_FSINFO3args: Final[xdr.Codec[FSINFO3args]] = xdr.Codec("FSINFO3args", _get_FSINFO3args, _put_FSINFO3args)
xdr_FSINFO3resok: Final[xdr.Codec[FSINFO3resok]] = xdr.Codec("FSINFO3resok", _get_FSINFO3resok, _put_FSINFO3resok)
xdr_FSINFO3resfail: Final[xdr.Codec[FSINFO3resfail]] = xdr.Codec(
    "FSINFO3resfail", _get_FSINFO3resfail, _put_FSINFO3resfail
)
xdr_FSINFO3res: Final[xdr.Codec[FSINFO3res]] = xdr.Codec("FSINFO3res", _get_FSINFO3res, _put_FSINFO3res)
xdr_PATHCONF3args: Final[xdr.Codec[PATHCONF3args]] = xdr.Codec("PATHCONF3args", _get_PATHCONF3args, _put_PATHCONF3args)
xdr_PATHCONF3resok: Final[xdr.Codec[PATHCONF3resok]] = xdr.Codec(
    "PATHCONF3resok", _get_PATHCONF3resok, _put_PATHCONF3resok
)
xdr_PATHCONF3resfail: Final[xdr.Codec[PATHCONF3resfail]] = xdr.Codec(
    "PATHCONF3resfail", _get_PATHCONF3resfail, _put_PATHCONF3resfail
)
xdr_PATHCONF3res: Final[xdr.Codec[PATHCONF3res]] = xdr.Codec("PATHCONF3res", _get_PATHCONF3res, _put_PATHCONF3res)
xdr_COMMIT3args: Final[xdr.Codec[COMMIT3args]] = xdr.Codec("COMMIT3args", _get_COMMIT3args, _put_COMMIT3args)
xdr_COMMIT3resok: Final[xdr.Codec[COMMIT3resok]] = xdr.Codec("COMMIT3resok", _get_COMMIT3resok, _put_COMMIT3resok)
xdr_COMMIT3resfail: Final[xdr.Codec[COMMIT3resfail]] = xdr.Codec(
    "COMMIT3resfail", _get_COMMIT3resfail, _put_COMMIT3resfail
)
xdr_COMMIT3res: Final[xdr.Codec[COMMIT3res]] = xdr.Codec("COMMIT3res", _get_COMMIT3res, _put_COMMIT3res)

xdr_uint64.made_of = xdr.UNSIGNED_HYPER
xdr_uint32.made_of = xdr.UNSIGNED
xdr_filename3.made_of = xdr.Text()
xdr_nfspath3.made_of = xdr.Text()
xdr_fileid3.made_of = xdr_uint64
xdr_cookie3.made_of = xdr_uint64
xdr_cookieverf3.made_of = xdr.Octets(8, exact=True)
xdr_createverf3.made_of = xdr.Octets(8, exact=True)
xdr_writeverf3.made_of = xdr.Octets(8, exact=True)
xdr_uid3.made_of = xdr_uint32
xdr_gid3.made_of = xdr_uint32
xdr_size3.made_of = xdr_uint64
xdr_offset3.made_of = xdr_uint64
xdr_mode3.made_of = xdr_uint32
xdr_count3.made_of = xdr_uint32
xdr_nfsstat3.made_of = xdr.Choice(nfsstat3)
xdr_ftype3.made_of = xdr.Choice(ftype3)
xdr_specdata3.made_of = xdr.Members(specdata1=xdr_uint32, specdata2=xdr_uint32)
xdr_nfs_fh3.made_of = xdr.Members(data=xdr.Octets(64))
xdr_nfstime3.made_of = xdr.Members(seconds=xdr_uint32, nseconds=xdr_uint32)
xdr_fattr3.made_of = xdr.Members(
    type=xdr_ftype3,
    mode=xdr_mode3,
    nlink=xdr_uint32,
    uid=xdr_uid3,
    gid=xdr_gid3,
    size=xdr_size3,
    used=xdr_size3,
    rdev=xdr_specdata3,
    fsid=xdr_uint64,
    fileid=xdr_fileid3,
    atime=xdr_nfstime3,
    mtime=xdr_nfstime3,
    ctime=xdr_nfstime3,
)
xdr_post_op_attr.made_of = xdr.Arms(
    "attributes_follow", xdr.BOOL, xdr.Arm("attributes", xdr_fattr3, 1), xdr.Arm("", None, 0)
)
xdr_wcc_attr.made_of = xdr.Members(size=xdr_size3, mtime=xdr_nfstime3, ctime=xdr_nfstime3)
xdr_pre_op_attr.made_of = xdr.Arms(
    "attributes_follow", xdr.BOOL, xdr.Arm("attributes", xdr_wcc_attr, 1), xdr.Arm("", None, 0)
)
xdr_wcc_data.made_of = xdr.Members(before=xdr_pre_op_attr, after=xdr_post_op_attr)
xdr_post_op_fh3.made_of = xdr.Arms("handle_follows", xdr.BOOL, xdr.Arm("handle", xdr_nfs_fh3, 1), xdr.Arm("", None, 0))
xdr_time_how.made_of = xdr.Choice(time_how)
xdr_set_mode3.made_of = xdr.Arms("set_it", xdr.BOOL, xdr.Arm("mode", xdr_mode3, 1), xdr.Arm("", None))
xdr_set_uid3.made_of = xdr.Arms("set_it", xdr.BOOL, xdr.Arm("uid", xdr_uid3, 1), xdr.Arm("", None))
xdr_set_gid3.made_of = xdr.Arms("set_it", xdr.BOOL, xdr.Arm("gid", xdr_gid3, 1), xdr.Arm("", None))
xdr_set_size3.made_of = xdr.Arms("set_it", xdr.BOOL, xdr.Arm("size", xdr_size3, 1), xdr.Arm("", None))
xdr_set_atime.made_of = xdr.Arms("set_it", xdr_time_how, xdr.Arm("atime", xdr_nfstime3, 2), xdr.Arm("", None))
xdr_set_mtime.made_of = xdr.Arms("set_it", xdr_time_how, xdr.Arm("mtime", xdr_nfstime3, 2), xdr.Arm("", None))
xdr_sattr3.made_of = xdr.Members(
    mode=xdr_set_mode3, uid=xdr_set_uid3, gid=xdr_set_gid3, size=xdr_set_size3, atime=xdr_set_atime, mtime=xdr_set_mtime
)
xdr_diropargs3.made_of = xdr.Members(dir=xdr_nfs_fh3, name=xdr_filename3)
xdr_GETATTR3args.made_of = xdr.Members(object=xdr_nfs_fh3)
xdr_GETATTR3resok.made_of = xdr.Members(obj_attributes=xdr_fattr3)
xdr_GETATTR3res.made_of = xdr.Arms("status", xdr_nfsstat3, xdr.Arm("resok", xdr_GETATTR3resok, 0), xdr.Arm("", None))
xdr_sattrguard3.made_of = xdr.Arms("check", xdr.BOOL, xdr.Arm("obj_ctime", xdr_nfstime3, 1), xdr.Arm("", None, 0))
xdr_SETATTR3args.made_of = xdr.Members(object=xdr_nfs_fh3, new_attributes=xdr_sattr3, guard=xdr_sattrguard3)
xdr_SETATTR3resok.made_of = xdr.Members(obj_wcc=xdr_wcc_data)
xdr_SETATTR3resfail.made_of = xdr.Members(obj_wcc=xdr_wcc_data)
xdr_SETATTR3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_SETATTR3resok, 0), xdr.Arm("resfail", xdr_SETATTR3resfail)
)
xdr_LOOKUP3args.made_of = xdr.Members(what=xdr_diropargs3)
xdr_LOOKUP3resok.made_of = xdr.Members(
    object=xdr_nfs_fh3, obj_attributes=xdr_post_op_attr, dir_attributes=xdr_post_op_attr
)
xdr_LOOKUP3resfail.made_of = xdr.Members(dir_attributes=xdr_post_op_attr)
xdr_LOOKUP3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_LOOKUP3resok, 0), xdr.Arm("resfail", xdr_LOOKUP3resfail)
)
xdr_ACCESS3args.made_of = xdr.Members(object=xdr_nfs_fh3, access=xdr_uint32)
xdr_ACCESS3resok.made_of = xdr.Members(obj_attributes=xdr_post_op_attr, access=xdr_uint32)
xdr_ACCESS3resfail.made_of = xdr.Members(obj_attributes=xdr_post_op_attr)
xdr_ACCESS3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_ACCESS3resok, 0), xdr.Arm("resfail", xdr_ACCESS3resfail)
)
xdr_READLINK3args.made_of = xdr.Members(symlink=xdr_nfs_fh3)
xdr_READLINK3resok.made_of = xdr.Members(symlink_attributes=xdr_post_op_attr, data=xdr_nfspath3)
xdr_READLINK3resfail.made_of = xdr.Members(symlink_attributes=xdr_post_op_attr)
xdr_READLINK3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_READLINK3resok, 0), xdr.Arm("resfail", xdr_READLINK3resfail)
)
xdr_READ3args.made_of = xdr.Members(file=xdr_nfs_fh3, offset=xdr_offset3, count=xdr_count3)
xdr_READ3resok.made_of = xdr.Members(
    file_attributes=xdr_post_op_attr, count=xdr_count3, eof=xdr.BOOL, data=xdr.Octets()
)
xdr_READ3resfail.made_of = xdr.Members(file_attributes=xdr_post_op_attr)
xdr_READ3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_READ3resok, 0), xdr.Arm("resfail", xdr_READ3resfail)
)
xdr_stable_how.made_of = xdr.Choice(stable_how)
xdr_WRITE3args.made_of = xdr.Members(
    file=xdr_nfs_fh3, offset=xdr_offset3, count=xdr_count3, stable=xdr_stable_how, data=xdr.Octets()
)
xdr_WRITE3resok.made_of = xdr.Members(
    file_wcc=xdr_wcc_data, count=xdr_count3, committed=xdr_stable_how, verf=xdr_writeverf3
)
xdr_WRITE3resfail.made_of = xdr.Members(file_wcc=xdr_wcc_data)
xdr_WRITE3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_WRITE3resok, 0), xdr.Arm("resfail", xdr_WRITE3resfail)
)
xdr_createmode3.made_of = xdr.Choice(createmode3)
xdr_createhow3.made_of = xdr.Arms(
    "mode", xdr_createmode3, xdr.Arm("obj_attributes", xdr_sattr3, 0, 1), xdr.Arm("verf", xdr_createverf3, 2)
)
xdr_CREATE3args.made_of = xdr.Members(where=xdr_diropargs3, how=xdr_createhow3)
xdr_CREATE3resok.made_of = xdr.Members(obj=xdr_post_op_fh3, obj_attributes=xdr_post_op_attr, dir_wcc=xdr_wcc_data)
xdr_CREATE3resfail.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_CREATE3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_CREATE3resok, 0), xdr.Arm("resfail", xdr_CREATE3resfail)
)
xdr_MKDIR3args.made_of = xdr.Members(where=xdr_diropargs3, attributes=xdr_sattr3)
xdr_MKDIR3resok.made_of = xdr.Members(obj=xdr_post_op_fh3, obj_attributes=xdr_post_op_attr, dir_wcc=xdr_wcc_data)
xdr_MKDIR3resfail.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_MKDIR3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_MKDIR3resok, 0), xdr.Arm("resfail", xdr_MKDIR3resfail)
)
xdr_symlinkdata3.made_of = xdr.Members(symlink_attributes=xdr_sattr3, symlink_data=xdr_nfspath3)
xdr_SYMLINK3args.made_of = xdr.Members(where=xdr_diropargs3, symlink=xdr_symlinkdata3)
xdr_SYMLINK3resok.made_of = xdr.Members(obj=xdr_post_op_fh3, obj_attributes=xdr_post_op_attr, dir_wcc=xdr_wcc_data)
xdr_SYMLINK3resfail.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_SYMLINK3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_SYMLINK3resok, 0), xdr.Arm("resfail", xdr_SYMLINK3resfail)
)
xdr_devicedata3.made_of = xdr.Members(dev_attributes=xdr_sattr3, spec=xdr_specdata3)
xdr_mknoddata3.made_of = xdr.Arms(
    "type",
    xdr_ftype3,
    xdr.Arm("device", xdr_devicedata3, 4, 3),
    xdr.Arm("pipe_attributes", xdr_sattr3, 6, 7),
    xdr.Arm("", None),
)
xdr_MKNOD3args.made_of = xdr.Members(where=xdr_diropargs3, what=xdr_mknoddata3)
xdr_MKNOD3resok.made_of = xdr.Members(obj=xdr_post_op_fh3, obj_attributes=xdr_post_op_attr, dir_wcc=xdr_wcc_data)
xdr_MKNOD3resfail.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_MKNOD3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_MKNOD3resok, 0), xdr.Arm("resfail", xdr_MKNOD3resfail)
)
xdr_REMOVE3args.made_of = xdr.Members(object=xdr_diropargs3)
xdr_REMOVE3resok.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_REMOVE3resfail.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_REMOVE3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_REMOVE3resok, 0), xdr.Arm("resfail", xdr_REMOVE3resfail)
)
xdr_RMDIR3args.made_of = xdr.Members(object=xdr_diropargs3)
xdr_RMDIR3resok.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_RMDIR3resfail.made_of = xdr.Members(dir_wcc=xdr_wcc_data)
xdr_RMDIR3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_RMDIR3resok, 0), xdr.Arm("resfail", xdr_RMDIR3resfail)
)
xdr_RENAME3args.made_of = xdr.Members(from_=xdr_diropargs3, to=xdr_diropargs3)
xdr_RENAME3resok.made_of = xdr.Members(fromdir_wcc=xdr_wcc_data, todir_wcc=xdr_wcc_data)
xdr_RENAME3resfail.made_of = xdr.Members(fromdir_wcc=xdr_wcc_data, todir_wcc=xdr_wcc_data)
xdr_RENAME3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_RENAME3resok, 0), xdr.Arm("resfail", xdr_RENAME3resfail)
)
xdr_LINK3args.made_of = xdr.Members(file=xdr_nfs_fh3, link=xdr_diropargs3)
xdr_LINK3resok.made_of = xdr.Members(file_attributes=xdr_post_op_attr, linkdir_wcc=xdr_wcc_data)
xdr_LINK3resfail.made_of = xdr.Members(file_attributes=xdr_post_op_attr, linkdir_wcc=xdr_wcc_data)
xdr_LINK3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_LINK3resok, 0), xdr.Arm("resfail", xdr_LINK3resfail)
)
xdr_READDIR3args.made_of = xdr.Members(
    dir=xdr_nfs_fh3, cookie=xdr_cookie3, cookieverf=xdr_cookieverf3, count=xdr_count3
)
xdr_entry3.made_of = xdr.Members(
    fileid=xdr_fileid3, name=xdr_filename3, cookie=xdr_cookie3, nextentry=xdr.Maybe(xdr_entry3)
)
xdr_dirlist3.made_of = xdr.Members(entries=xdr.Maybe(xdr_entry3), eof=xdr.BOOL)
xdr_READDIR3resok.made_of = xdr.Members(dir_attributes=xdr_post_op_attr, cookieverf=xdr_cookieverf3, reply=xdr_dirlist3)
xdr_READDIR3resfail.made_of = xdr.Members(dir_attributes=xdr_post_op_attr)
xdr_READDIR3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_READDIR3resok, 0), xdr.Arm("resfail", xdr_READDIR3resfail)
)
xdr_READDIRPLUS3args.made_of = xdr.Members(
    dir=xdr_nfs_fh3, cookie=xdr_cookie3, cookieverf=xdr_cookieverf3, dircount=xdr_count3, maxcount=xdr_count3
)
xdr_entryplus3.made_of = xdr.Members(
    fileid=xdr_fileid3,
    name=xdr_filename3,
    cookie=xdr_cookie3,
    name_attributes=xdr_post_op_attr,
    name_handle=xdr_post_op_fh3,
    nextentry=xdr.Maybe(xdr_entryplus3),
)
xdr_dirlistplus3.made_of = xdr.Members(entries=xdr.Maybe(xdr_entryplus3), eof=xdr.BOOL)
xdr_READDIRPLUS3resok.made_of = xdr.Members(
    dir_attributes=xdr_post_op_attr, cookieverf=xdr_cookieverf3, reply=xdr_dirlistplus3
)
xdr_READDIRPLUS3resfail.made_of = xdr.Members(dir_attributes=xdr_post_op_attr)
xdr_READDIRPLUS3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_READDIRPLUS3resok, 0), xdr.Arm("resfail", xdr_READDIRPLUS3resfail)
)
xdr_FSSTAT3args.made_of = xdr.Members(fsroot=xdr_nfs_fh3)
xdr_FSSTAT3resok.made_of = xdr.Members(
    obj_attributes=xdr_post_op_attr,
    tbytes=xdr_size3,
    fbytes=xdr_size3,
    abytes=xdr_size3,
    tfiles=xdr_size3,
    ffiles=xdr_size3,
    afiles=xdr_size3,
    invarsec=xdr_uint32,
)
xdr_FSSTAT3resfail.made_of = xdr.Members(obj_attributes=xdr_post_op_attr)
xdr_FSSTAT3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_FSSTAT3resok, 0), xdr.Arm("resfail", xdr_FSSTAT3resfail)
)
xdr_FSINFO3args.made_of = xdr.Members(fsroot=xdr_nfs_fh3)
xdr_FSINFO3resok.made_of = xdr.Members(
    obj_attributes=xdr_post_op_attr,
    rtmax=xdr_uint32,
    rtpref=xdr_uint32,
    rtmult=xdr_uint32,
    wtmax=xdr_uint32,
    wtpref=xdr_uint32,
    wtmult=xdr_uint32,
    dtpref=xdr_uint32,
    maxfilesize=xdr_size3,
    time_delta=xdr_nfstime3,
    properties=xdr_uint32,
)
xdr_FSINFO3resfail.made_of = xdr.Members(obj_attributes=xdr_post_op_attr)
xdr_FSINFO3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_FSINFO3resok, 0), xdr.Arm("resfail", xdr_FSINFO3resfail)
)
xdr_PATHCONF3args.made_of = xdr.Members(object=xdr_nfs_fh3)
xdr_PATHCONF3resok.made_of = xdr.Members(
    obj_attributes=xdr_post_op_attr,
    linkmax=xdr_uint32,
    name_max=xdr_uint32,
    no_trunc=xdr.BOOL,
    chown_restricted=xdr.BOOL,
    case_insensitive=xdr.BOOL,
    case_preserving=xdr.BOOL,
)
xdr_PATHCONF3resfail.made_of = xdr.Members(obj_attributes=xdr_post_op_attr)
xdr_PATHCONF3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_PATHCONF3resok, 0), xdr.Arm("resfail", xdr_PATHCONF3resfail)
)
xdr_COMMIT3args.made_of = xdr.Members(file=xdr_nfs_fh3, offset=xdr_offset3, count=xdr_count3)
xdr_COMMIT3resok.made_of = xdr.Members(file_wcc=xdr_wcc_data, verf=xdr_writeverf3)
xdr_COMMIT3resfail.made_of = xdr.Members(file_wcc=xdr_wcc_data)
xdr_COMMIT3res.made_of = xdr.Arms(
    "status", xdr_nfsstat3, xdr.Arm("resok", xdr_COMMIT3resok, 0), xdr.Arm("resfail", xdr_COMMIT3resfail)
)


_of_NFS_V3: Final = {
    0: _program.Procedure("NFSPROC3_NULL", 0, (), xdr.VOID, "NFSPROC3_NULL"),
    1: _program.Procedure("NFSPROC3_GETATTR", 1, (xdr_GETATTR3args,), xdr_GETATTR3res, "NFSPROC3_GETATTR"),
    2: _program.Procedure("NFSPROC3_SETATTR", 2, (xdr_SETATTR3args,), xdr_SETATTR3res, "NFSPROC3_SETATTR"),
    3: _program.Procedure("NFSPROC3_LOOKUP", 3, (xdr_LOOKUP3args,), xdr_LOOKUP3res, "NFSPROC3_LOOKUP"),
    4: _program.Procedure("NFSPROC3_ACCESS", 4, (xdr_ACCESS3args,), xdr_ACCESS3res, "NFSPROC3_ACCESS"),
    5: _program.Procedure("NFSPROC3_READLINK", 5, (xdr_READLINK3args,), xdr_READLINK3res, "NFSPROC3_READLINK"),
    6: _program.Procedure("NFSPROC3_READ", 6, (xdr_READ3args,), xdr_READ3res, "NFSPROC3_READ"),
    7: _program.Procedure("NFSPROC3_WRITE", 7, (xdr_WRITE3args,), xdr_WRITE3res, "NFSPROC3_WRITE"),
    8: _program.Procedure("NFSPROC3_CREATE", 8, (xdr_CREATE3args,), xdr_CREATE3res, "NFSPROC3_CREATE"),
    9: _program.Procedure("NFSPROC3_MKDIR", 9, (xdr_MKDIR3args,), xdr_MKDIR3res, "NFSPROC3_MKDIR"),
    10: _program.Procedure("NFSPROC3_SYMLINK", 10, (xdr_SYMLINK3args,), xdr_SYMLINK3res, "NFSPROC3_SYMLINK"),
    11: _program.Procedure("NFSPROC3_MKNOD", 11, (xdr_MKNOD3args,), xdr_MKNOD3res, "NFSPROC3_MKNOD"),
    12: _program.Procedure("NFSPROC3_REMOVE", 12, (xdr_REMOVE3args,), xdr_REMOVE3res, "NFSPROC3_REMOVE"),
    13: _program.Procedure("NFSPROC3_RMDIR", 13, (xdr_RMDIR3args,), xdr_RMDIR3res, "NFSPROC3_RMDIR"),
    14: _program.Procedure("NFSPROC3_RENAME", 14, (xdr_RENAME3args,), xdr_RENAME3res, "NFSPROC3_RENAME"),
    15: _program.Procedure("NFSPROC3_LINK", 15, (xdr_LINK3args,), xdr_LINK3res, "NFSPROC3_LINK"),
    16: _program.Procedure("NFSPROC3_READDIR", 16, (xdr_READDIR3args,), xdr_READDIR3res, "NFSPROC3_READDIR"),
    17: _program.Procedure(
        "NFSPROC3_READDIRPLUS", 17, (xdr_READDIRPLUS3args,), xdr_READDIRPLUS3res, "NFSPROC3_READDIRPLUS"
    ),
    18: _program.Procedure("NFSPROC3_FSSTAT", 18, (xdr_FSSTAT3args,), xdr_FSSTAT3res, "NFSPROC3_FSSTAT"),
    19: _program.Procedure("NFSPROC3_FSINFO", 19, (xdr_FSINFO3args,), xdr_FSINFO3res, "NFSPROC3_FSINFO"),
    20: _program.Procedure("NFSPROC3_PATHCONF", 20, (xdr_PATHCONF3args,), xdr_PATHCONF3res, "NFSPROC3_PATHCONF"),
    21: _program.Procedure("NFSPROC3_COMMIT", 21, (xdr_COMMIT3args,), xdr_COMMIT3res, "NFSPROC3_COMMIT"),
}


class NFS_V3(_program.Version):
    """Version 3 of NFS_PROGRAM."""

    program = 100003
    version = 3
    name = "NFS_V3"
    program_name = "NFS_PROGRAM"
    procedures = _of_NFS_V3

    class Server(_program.Server):
        """To be derived from: a procedure that is not overridden is not there, for callers."""

        __slots__ = ()

        async def NFSPROC3_NULL(self, ctx: _program.Context, /) -> None:
            """Procedure 0: NFSPROC3_NULL."""

        async def NFSPROC3_GETATTR(self, ctx: _program.Context, a: GETATTR3args, /) -> GETATTR3res:
            """Procedure 1: NFSPROC3_GETATTR."""
            raise NotImplementedError

        async def NFSPROC3_SETATTR(self, ctx: _program.Context, a: SETATTR3args, /) -> SETATTR3res:
            """Procedure 2: NFSPROC3_SETATTR."""
            raise NotImplementedError

        async def NFSPROC3_LOOKUP(self, ctx: _program.Context, a: LOOKUP3args, /) -> LOOKUP3res:
            """Procedure 3: NFSPROC3_LOOKUP."""
            raise NotImplementedError

        async def NFSPROC3_ACCESS(self, ctx: _program.Context, a: ACCESS3args, /) -> ACCESS3res:
            """Procedure 4: NFSPROC3_ACCESS."""
            raise NotImplementedError

        async def NFSPROC3_READLINK(self, ctx: _program.Context, a: READLINK3args, /) -> READLINK3res:
            """Procedure 5: NFSPROC3_READLINK."""
            raise NotImplementedError

        async def NFSPROC3_READ(self, ctx: _program.Context, a: READ3args, /) -> READ3res:
            """Procedure 6: NFSPROC3_READ."""
            raise NotImplementedError

        async def NFSPROC3_WRITE(self, ctx: _program.Context, a: WRITE3args, /) -> WRITE3res:
            """Procedure 7: NFSPROC3_WRITE."""
            raise NotImplementedError

        async def NFSPROC3_CREATE(self, ctx: _program.Context, a: CREATE3args, /) -> CREATE3res:
            """Procedure 8: NFSPROC3_CREATE."""
            raise NotImplementedError

        async def NFSPROC3_MKDIR(self, ctx: _program.Context, a: MKDIR3args, /) -> MKDIR3res:
            """Procedure 9: NFSPROC3_MKDIR."""
            raise NotImplementedError

        async def NFSPROC3_SYMLINK(self, ctx: _program.Context, a: SYMLINK3args, /) -> SYMLINK3res:
            """Procedure 10: NFSPROC3_SYMLINK."""
            raise NotImplementedError

        async def NFSPROC3_MKNOD(self, ctx: _program.Context, a: MKNOD3args, /) -> MKNOD3res:
            """Procedure 11: NFSPROC3_MKNOD."""
            raise NotImplementedError

        async def NFSPROC3_REMOVE(self, ctx: _program.Context, a: REMOVE3args, /) -> REMOVE3res:
            """Procedure 12: NFSPROC3_REMOVE."""
            raise NotImplementedError

        async def NFSPROC3_RMDIR(self, ctx: _program.Context, a: RMDIR3args, /) -> RMDIR3res:
            """Procedure 13: NFSPROC3_RMDIR."""
            raise NotImplementedError

        async def NFSPROC3_RENAME(self, ctx: _program.Context, a: RENAME3args, /) -> RENAME3res:
            """Procedure 14: NFSPROC3_RENAME."""
            raise NotImplementedError

        async def NFSPROC3_LINK(self, ctx: _program.Context, a: LINK3args, /) -> LINK3res:
            """Procedure 15: NFSPROC3_LINK."""
            raise NotImplementedError

        async def NFSPROC3_READDIR(self, ctx: _program.Context, a: READDIR3args, /) -> READDIR3res:
            """Procedure 16: NFSPROC3_READDIR."""
            raise NotImplementedError

        async def NFSPROC3_READDIRPLUS(self, ctx: _program.Context, a: READDIRPLUS3args, /) -> READDIRPLUS3res:
            """Procedure 17: NFSPROC3_READDIRPLUS."""
            raise NotImplementedError

        async def NFSPROC3_FSSTAT(self, ctx: _program.Context, a: FSSTAT3args, /) -> FSSTAT3res:
            """Procedure 18: NFSPROC3_FSSTAT."""
            raise NotImplementedError

        async def NFSPROC3_FSINFO(self, ctx: _program.Context, a: FSINFO3args, /) -> FSINFO3res:
            """Procedure 19: NFSPROC3_FSINFO."""
            raise NotImplementedError

        async def NFSPROC3_PATHCONF(self, ctx: _program.Context, a: PATHCONF3args, /) -> PATHCONF3res:
            """Procedure 20: NFSPROC3_PATHCONF."""
            raise NotImplementedError

        async def NFSPROC3_COMMIT(self, ctx: _program.Context, a: COMMIT3args, /) -> COMMIT3res:
            """Procedure 21: NFSPROC3_COMMIT."""
            raise NotImplementedError

    class Client(_program.Client):
        """Makes the calls."""

        __slots__ = ()

        async def NFSPROC3_NULL(self, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 0: NFSPROC3_NULL."""
            await self._call(_of_NFS_V3[0], (), options)

        async def NFSPROC3_GETATTR(self, a: GETATTR3args, /, **options: Unpack[_program.CallOptions]) -> GETATTR3res:
            """Procedure 1: NFSPROC3_GETATTR."""
            found: GETATTR3res = await self._call(_of_NFS_V3[1], (a,), options)
            return found

        async def NFSPROC3_SETATTR(self, a: SETATTR3args, /, **options: Unpack[_program.CallOptions]) -> SETATTR3res:
            """Procedure 2: NFSPROC3_SETATTR."""
            found: SETATTR3res = await self._call(_of_NFS_V3[2], (a,), options)
            return found

        async def NFSPROC3_LOOKUP(self, a: LOOKUP3args, /, **options: Unpack[_program.CallOptions]) -> LOOKUP3res:
            """Procedure 3: NFSPROC3_LOOKUP."""
            found: LOOKUP3res = await self._call(_of_NFS_V3[3], (a,), options)
            return found

        async def NFSPROC3_ACCESS(self, a: ACCESS3args, /, **options: Unpack[_program.CallOptions]) -> ACCESS3res:
            """Procedure 4: NFSPROC3_ACCESS."""
            found: ACCESS3res = await self._call(_of_NFS_V3[4], (a,), options)
            return found

        async def NFSPROC3_READLINK(self, a: READLINK3args, /, **options: Unpack[_program.CallOptions]) -> READLINK3res:
            """Procedure 5: NFSPROC3_READLINK."""
            found: READLINK3res = await self._call(_of_NFS_V3[5], (a,), options)
            return found

        async def NFSPROC3_READ(self, a: READ3args, /, **options: Unpack[_program.CallOptions]) -> READ3res:
            """Procedure 6: NFSPROC3_READ."""
            found: READ3res = await self._call(_of_NFS_V3[6], (a,), options)
            return found

        async def NFSPROC3_WRITE(self, a: WRITE3args, /, **options: Unpack[_program.CallOptions]) -> WRITE3res:
            """Procedure 7: NFSPROC3_WRITE."""
            found: WRITE3res = await self._call(_of_NFS_V3[7], (a,), options)
            return found

        async def NFSPROC3_CREATE(self, a: CREATE3args, /, **options: Unpack[_program.CallOptions]) -> CREATE3res:
            """Procedure 8: NFSPROC3_CREATE."""
            found: CREATE3res = await self._call(_of_NFS_V3[8], (a,), options)
            return found

        async def NFSPROC3_MKDIR(self, a: MKDIR3args, /, **options: Unpack[_program.CallOptions]) -> MKDIR3res:
            """Procedure 9: NFSPROC3_MKDIR."""
            found: MKDIR3res = await self._call(_of_NFS_V3[9], (a,), options)
            return found

        async def NFSPROC3_SYMLINK(self, a: SYMLINK3args, /, **options: Unpack[_program.CallOptions]) -> SYMLINK3res:
            """Procedure 10: NFSPROC3_SYMLINK."""
            found: SYMLINK3res = await self._call(_of_NFS_V3[10], (a,), options)
            return found

        async def NFSPROC3_MKNOD(self, a: MKNOD3args, /, **options: Unpack[_program.CallOptions]) -> MKNOD3res:
            """Procedure 11: NFSPROC3_MKNOD."""
            found: MKNOD3res = await self._call(_of_NFS_V3[11], (a,), options)
            return found

        async def NFSPROC3_REMOVE(self, a: REMOVE3args, /, **options: Unpack[_program.CallOptions]) -> REMOVE3res:
            """Procedure 12: NFSPROC3_REMOVE."""
            found: REMOVE3res = await self._call(_of_NFS_V3[12], (a,), options)
            return found

        async def NFSPROC3_RMDIR(self, a: RMDIR3args, /, **options: Unpack[_program.CallOptions]) -> RMDIR3res:
            """Procedure 13: NFSPROC3_RMDIR."""
            found: RMDIR3res = await self._call(_of_NFS_V3[13], (a,), options)
            return found

        async def NFSPROC3_RENAME(self, a: RENAME3args, /, **options: Unpack[_program.CallOptions]) -> RENAME3res:
            """Procedure 14: NFSPROC3_RENAME."""
            found: RENAME3res = await self._call(_of_NFS_V3[14], (a,), options)
            return found

        async def NFSPROC3_LINK(self, a: LINK3args, /, **options: Unpack[_program.CallOptions]) -> LINK3res:
            """Procedure 15: NFSPROC3_LINK."""
            found: LINK3res = await self._call(_of_NFS_V3[15], (a,), options)
            return found

        async def NFSPROC3_READDIR(self, a: READDIR3args, /, **options: Unpack[_program.CallOptions]) -> READDIR3res:
            """Procedure 16: NFSPROC3_READDIR."""
            found: READDIR3res = await self._call(_of_NFS_V3[16], (a,), options)
            return found

        async def NFSPROC3_READDIRPLUS(
            self, a: READDIRPLUS3args, /, **options: Unpack[_program.CallOptions]
        ) -> READDIRPLUS3res:
            """Procedure 17: NFSPROC3_READDIRPLUS."""
            found: READDIRPLUS3res = await self._call(_of_NFS_V3[17], (a,), options)
            return found

        async def NFSPROC3_FSSTAT(self, a: FSSTAT3args, /, **options: Unpack[_program.CallOptions]) -> FSSTAT3res:
            """Procedure 18: NFSPROC3_FSSTAT."""
            found: FSSTAT3res = await self._call(_of_NFS_V3[18], (a,), options)
            return found

        async def NFSPROC3_FSINFO(self, a: FSINFO3args, /, **options: Unpack[_program.CallOptions]) -> FSINFO3res:
            """Procedure 19: NFSPROC3_FSINFO."""
            found: FSINFO3res = await self._call(_of_NFS_V3[19], (a,), options)
            return found

        async def NFSPROC3_PATHCONF(self, a: PATHCONF3args, /, **options: Unpack[_program.CallOptions]) -> PATHCONF3res:
            """Procedure 20: NFSPROC3_PATHCONF."""
            found: PATHCONF3res = await self._call(_of_NFS_V3[20], (a,), options)
            return found

        async def NFSPROC3_COMMIT(self, a: COMMIT3args, /, **options: Unpack[_program.CallOptions]) -> COMMIT3res:
            """Procedure 21: NFSPROC3_COMMIT."""
            found: COMMIT3res = await self._call(_of_NFS_V3[21], (a,), options)
            return found
