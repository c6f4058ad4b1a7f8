"""rpcbind.x, compiled by tapstack rpcgen: to change it, change that file."""

# ruff: noqa

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, TypeAlias, Unpack

from stack.rpc import xdr
from stack.rpc import program as _program

RPCB_PORT: Final = 111
RPCB_TEXT_MAX: Final = 255
RPCB_DATA_MAX: Final = 65536
RPCB_NETBUF_MAX: Final = 128
RPCB_PROCEDURES: Final = 13
RPCB_VERSIONS: Final = 3
RPCBIND: Final = 100000

_PADS: Final = xdr.PADS
_U1: Final = Struct(">IIII").unpack_from
_P1: Final = Struct(">IIII").pack
_U2: Final = Struct(">IIIII").unpack_from
_U3: Final = Struct(">I").unpack_from
_P3: Final = Struct(">I").pack
_U4: Final = Struct(">II").unpack_from
_P4: Final = Struct(">II").pack
_U5: Final = Struct(">III").unpack_from
_P5: Final = Struct(">III").pack
_U6: Final = Struct(">IIiiI").unpack_from
_P6: Final = Struct(">IIiiI").pack
_U7: Final = Struct(">IIIiiiI").unpack_from
_P7: Final = Struct(">IIIiiiI").pack
_U8: Final = Struct(">iiiiiiiiiiiiiiiI").unpack_from
_P9: Final = Struct(">13iii").pack


@dataclass(slots=True)
class pmap_mapping:
    """struct pmap_mapping."""

    prog: int
    vers: int
    prot: int
    port: int


@dataclass(slots=True, eq=False, repr=False)
class pmap_node(xdr.Nested):
    """struct pmap_node."""

    map: pmap_mapping
    next: pmap_node | None


@dataclass(slots=True)
class pmap_call:
    """struct pmap_call."""

    prog: int
    vers: int
    proc: int
    args: bytes


@dataclass(slots=True)
class pmap_called:
    """struct pmap_called."""

    port: int
    res: bytes


@dataclass(slots=True)
class rpcb:
    """struct rpcb."""

    prog: int
    vers: int
    netid: str
    addr: str
    owner: str


@dataclass(slots=True, eq=False, repr=False)
class rpcb_node(xdr.Nested):
    """struct rpcb_node."""

    map: rpcb
    next: rpcb_node | None


@dataclass(slots=True)
class rpcb_call:
    """struct rpcb_call."""

    prog: int
    vers: int
    proc: int
    args: bytes


@dataclass(slots=True)
class rpcb_called:
    """struct rpcb_called."""

    addr: str
    results: bytes


@dataclass(slots=True)
class rpcb_netbuf:
    """struct rpcb_netbuf."""

    maxlen: int
    buf: bytes


@dataclass(slots=True)
class rpcb_entry:
    """struct rpcb_entry."""

    maddr: str
    netid: str
    semantics: int
    protofmly: str
    proto: str


@dataclass(slots=True, eq=False, repr=False)
class rpcb_entry_node(xdr.Nested):
    """struct rpcb_entry_node."""

    entry: rpcb_entry
    next: rpcb_entry_node | None


@dataclass(slots=True, eq=False, repr=False)
class rpcb_asked(xdr.Nested):
    """struct rpcb_asked."""

    prog: int
    vers: int
    success: int
    failure: int
    netid: str
    next: rpcb_asked | None


@dataclass(slots=True, eq=False, repr=False)
class rpcb_passed(xdr.Nested):
    """struct rpcb_passed."""

    prog: int
    vers: int
    proc: int
    success: int
    failure: int
    indirect: int
    netid: str
    next: rpcb_passed | None


@dataclass(slots=True)
class rpcb_stat:
    """struct rpcb_stat."""

    info: list[int]
    setinfo: int
    unsetinfo: int
    addrinfo: rpcb_asked_list
    rmtinfo: rpcb_passed_list


pmap_list: TypeAlias = pmap_node | None
rpcb_list: TypeAlias = rpcb_node | None
rpcb_text: TypeAlias = str
rpcb_entry_list: TypeAlias = rpcb_entry_node | None
rpcb_asked_list: TypeAlias = rpcb_asked | None
rpcb_passed_list: TypeAlias = rpcb_passed | None
rpcb_stat_byvers: TypeAlias = list[rpcb_stat]


def _at_pmap_mapping(data: bytes | bytearray | memoryview, at: int) -> pmap_mapping:
    v1, v2, v3, v4 = _U1(data, at)
    found: pmap_mapping = pmap_mapping(v1, v2, v3, v4)
    return found


def _get_pmap_mapping(r: xdr.Reader) -> pmap_mapping:
    v1, v2, v3, v4 = _U1(r.data, r.at)
    r.at += 16
    return pmap_mapping(v1, v2, v3, v4)


def _put_pmap_mapping(w: xdr.Writer, v: pmap_mapping) -> None:
    out = w.out
    out += _P1(v.prog, v.vers, v.prot, v.port)


def _get_pmap_node(r: xdr.Reader) -> pmap_node:
    head: pmap_node | None = None
    while True:
        v1, v2, v3, v4, v5 = _U2(r.data, r.at)
        r.at += 20
        item = pmap_node(pmap_mapping(v1, v2, v3, v4), None)
        if head is None:
            head = end = item
        else:
            end.next = item
            end = item
        if v5 != 1 or not r.left:
            r.end(v5)
            return head
        r.left -= 1


def _put_pmap_node(w: xdr.Writer, v: pmap_node) -> None:
    w.follow(_write_pmap_node, v)


def _write_pmap_node(w: xdr.Writer, v: pmap_node) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    out += _P1(v.map.prog, v.map.vers, v.map.prot, v.map.port)
    tail = v.next
    if tail is None:
        out += xdr.NO
        return None
    out += _P3(1)
    return _write_pmap_node, tail


def _get_pmap_list(r: xdr.Reader) -> pmap_list:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2: pmap_node | None = None
    if r.present(v1):
        v3 = _get_pmap_node(r)
        v2 = v3
    found: pmap_list = v2
    return found


def _put_pmap_list(w: xdr.Writer, v: pmap_list) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P3(1)
        _put_pmap_node(w, v1)


def _get_pmap_call(r: xdr.Reader) -> pmap_call:
    v1, v2, v3, v4 = _U1(r.data, r.at)
    r.at += 16
    v5 = r.take(v4, 65536)
    return pmap_call(v1, v2, v3, v5)


def _put_pmap_call(w: xdr.Writer, v: pmap_call) -> None:
    out = w.out
    v1 = xdr.octets(v.args, 65536)
    out += _P1(v.prog, v.vers, v.proc, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_pmap_called(r: xdr.Reader) -> pmap_called:
    v1, v2 = _U4(r.data, r.at)
    r.at += 8
    v3 = r.take(v2, 65536)
    return pmap_called(v1, v3)


def _put_pmap_called(w: xdr.Writer, v: pmap_called) -> None:
    out = w.out
    v1 = xdr.octets(v.res, 65536)
    out += _P4(v.port, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_rpcb(r: xdr.Reader) -> rpcb:
    v1, v2, v3 = _U5(r.data, r.at)
    r.at += 12
    v4 = r.text(v3, 255)
    (v5,) = _U3(r.data, r.at)
    r.at += 4
    v6 = r.text(v5, 255)
    (v7,) = _U3(r.data, r.at)
    r.at += 4
    v8 = r.text(v7, 255)
    return rpcb(v1, v2, v4, v6, v8)


def _put_rpcb(w: xdr.Writer, v: rpcb) -> None:
    out = w.out
    v1 = xdr.text(v.netid, 255)
    out += _P5(v.prog, v.vers, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.text(v.addr, 255)
    out += _P3(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]
    v3 = xdr.text(v.owner, 255)
    out += _P3(len(v3))
    out += v3
    out += _PADS[len(v3) & 3]


def _get_rpcb_node(r: xdr.Reader) -> rpcb_node:
    head: rpcb_node | None = None
    while True:
        v1 = _get_rpcb(r)
        (v2,) = _U3(r.data, r.at)
        r.at += 4
        item = rpcb_node(v1, None)
        if head is None:
            head = end = item
        else:
            end.next = item
            end = item
        if v2 != 1 or not r.left:
            r.end(v2)
            return head
        r.left -= 1


def _put_rpcb_node(w: xdr.Writer, v: rpcb_node) -> None:
    w.follow(_write_rpcb_node, v)


def _write_rpcb_node(w: xdr.Writer, v: rpcb_node) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    _put_rpcb(w, v.map)
    tail = v.next
    if tail is None:
        out += xdr.NO
        return None
    out += _P3(1)
    return _write_rpcb_node, tail


def _get_rpcb_list(r: xdr.Reader) -> rpcb_list:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2: rpcb_node | None = None
    if r.present(v1):
        v3 = _get_rpcb_node(r)
        v2 = v3
    found: rpcb_list = v2
    return found


def _put_rpcb_list(w: xdr.Writer, v: rpcb_list) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P3(1)
        _put_rpcb_node(w, v1)


def _get_rpcb_text(r: xdr.Reader) -> rpcb_text:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    found: rpcb_text = v2
    return found


def _put_rpcb_text(w: xdr.Writer, v: rpcb_text) -> None:
    out = w.out
    v1 = xdr.text(v, 255)
    out += _P3(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_rpcb_call(r: xdr.Reader) -> rpcb_call:
    v1, v2, v3, v4 = _U1(r.data, r.at)
    r.at += 16
    v5 = r.take(v4, 65536)
    return rpcb_call(v1, v2, v3, v5)


def _put_rpcb_call(w: xdr.Writer, v: rpcb_call) -> None:
    out = w.out
    v1 = xdr.octets(v.args, 65536)
    out += _P1(v.prog, v.vers, v.proc, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_rpcb_called(r: xdr.Reader) -> rpcb_called:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    (v3,) = _U3(r.data, r.at)
    r.at += 4
    v4 = r.take(v3, 65536)
    return rpcb_called(v2, v4)


def _put_rpcb_called(w: xdr.Writer, v: rpcb_called) -> None:
    out = w.out
    v1 = xdr.text(v.addr, 255)
    out += _P3(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.octets(v.results, 65536)
    out += _P3(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]


def _get_rpcb_netbuf(r: xdr.Reader) -> rpcb_netbuf:
    v1, v2 = _U4(r.data, r.at)
    r.at += 8
    v3 = r.take(v2, 128)
    return rpcb_netbuf(v1, v3)


def _put_rpcb_netbuf(w: xdr.Writer, v: rpcb_netbuf) -> None:
    out = w.out
    v1 = xdr.octets(v.buf, 128)
    out += _P4(v.maxlen, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]


def _get_rpcb_entry(r: xdr.Reader) -> rpcb_entry:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2 = r.text(v1, 255)
    (v3,) = _U3(r.data, r.at)
    r.at += 4
    v4 = r.text(v3, 255)
    v5, v6 = _U4(r.data, r.at)
    r.at += 8
    v7 = r.text(v6, 255)
    (v8,) = _U3(r.data, r.at)
    r.at += 4
    v9 = r.text(v8, 255)
    return rpcb_entry(v2, v4, v5, v7, v9)


def _put_rpcb_entry(w: xdr.Writer, v: rpcb_entry) -> None:
    out = w.out
    v1 = xdr.text(v.maddr, 255)
    out += _P3(len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    v2 = xdr.text(v.netid, 255)
    out += _P3(len(v2))
    out += v2
    out += _PADS[len(v2) & 3]
    v3 = xdr.text(v.protofmly, 255)
    out += _P4(v.semantics, len(v3))
    out += v3
    out += _PADS[len(v3) & 3]
    v4 = xdr.text(v.proto, 255)
    out += _P3(len(v4))
    out += v4
    out += _PADS[len(v4) & 3]


def _get_rpcb_entry_node(r: xdr.Reader) -> rpcb_entry_node:
    head: rpcb_entry_node | None = None
    while True:
        v1 = _get_rpcb_entry(r)
        (v2,) = _U3(r.data, r.at)
        r.at += 4
        item = rpcb_entry_node(v1, None)
        if head is None:
            head = end = item
        else:
            end.next = item
            end = item
        if v2 != 1 or not r.left:
            r.end(v2)
            return head
        r.left -= 1


def _put_rpcb_entry_node(w: xdr.Writer, v: rpcb_entry_node) -> None:
    w.follow(_write_rpcb_entry_node, v)


def _write_rpcb_entry_node(w: xdr.Writer, v: rpcb_entry_node) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    _put_rpcb_entry(w, v.entry)
    tail = v.next
    if tail is None:
        out += xdr.NO
        return None
    out += _P3(1)
    return _write_rpcb_entry_node, tail


def _get_rpcb_entry_list(r: xdr.Reader) -> rpcb_entry_list:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2: rpcb_entry_node | None = None
    if r.present(v1):
        v3 = _get_rpcb_entry_node(r)
        v2 = v3
    found: rpcb_entry_list = v2
    return found


def _put_rpcb_entry_list(w: xdr.Writer, v: rpcb_entry_list) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P3(1)
        _put_rpcb_entry_node(w, v1)


def _get_rpcb_asked(r: xdr.Reader) -> rpcb_asked:
    head: rpcb_asked | None = None
    while True:
        v1, v2, v3, v4, v5 = _U6(r.data, r.at)
        r.at += 20
        v6 = r.text(v5, 255)
        (v7,) = _U3(r.data, r.at)
        r.at += 4
        item = rpcb_asked(v1, v2, v3, v4, v6, None)
        if head is None:
            head = end = item
        else:
            end.next = item
            end = item
        if v7 != 1 or not r.left:
            r.end(v7)
            return head
        r.left -= 1


def _put_rpcb_asked(w: xdr.Writer, v: rpcb_asked) -> None:
    w.follow(_write_rpcb_asked, v)


def _write_rpcb_asked(w: xdr.Writer, v: rpcb_asked) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    v1 = xdr.text(v.netid, 255)
    out += _P6(v.prog, v.vers, v.success, v.failure, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    tail = v.next
    if tail is None:
        out += xdr.NO
        return None
    out += _P3(1)
    return _write_rpcb_asked, tail


def _get_rpcb_asked_list(r: xdr.Reader) -> rpcb_asked_list:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2: rpcb_asked | None = None
    if r.present(v1):
        v3 = _get_rpcb_asked(r)
        v2 = v3
    found: rpcb_asked_list = v2
    return found


def _put_rpcb_asked_list(w: xdr.Writer, v: rpcb_asked_list) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P3(1)
        _put_rpcb_asked(w, v1)


def _get_rpcb_passed(r: xdr.Reader) -> rpcb_passed:
    head: rpcb_passed | None = None
    while True:
        v1, v2, v3, v4, v5, v6, v7 = _U7(r.data, r.at)
        r.at += 28
        v8 = r.text(v7, 255)
        (v9,) = _U3(r.data, r.at)
        r.at += 4
        item = rpcb_passed(v1, v2, v3, v4, v5, v6, v8, None)
        if head is None:
            head = end = item
        else:
            end.next = item
            end = item
        if v9 != 1 or not r.left:
            r.end(v9)
            return head
        r.left -= 1


def _put_rpcb_passed(w: xdr.Writer, v: rpcb_passed) -> None:
    w.follow(_write_rpcb_passed, v)


def _write_rpcb_passed(w: xdr.Writer, v: rpcb_passed) -> tuple[xdr.WriteStep, object] | None:
    out = w.out
    v1 = xdr.text(v.netid, 255)
    out += _P7(v.prog, v.vers, v.proc, v.success, v.failure, v.indirect, len(v1))
    out += v1
    out += _PADS[len(v1) & 3]
    tail = v.next
    if tail is None:
        out += xdr.NO
        return None
    out += _P3(1)
    return _write_rpcb_passed, tail


def _get_rpcb_passed_list(r: xdr.Reader) -> rpcb_passed_list:
    (v1,) = _U3(r.data, r.at)
    r.at += 4
    v2: rpcb_passed | None = None
    if r.present(v1):
        v3 = _get_rpcb_passed(r)
        v2 = v3
    found: rpcb_passed_list = v2
    return found


def _put_rpcb_passed_list(w: xdr.Writer, v: rpcb_passed_list) -> None:
    out = w.out
    v1 = v
    if v1 is None:
        out += xdr.NO
    else:
        out += _P3(1)
        _put_rpcb_passed(w, v1)


def _get_rpcb_stat(r: xdr.Reader) -> rpcb_stat:
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16 = _U8(r.data, r.at)
    r.at += 64
    v17: rpcb_asked | None = None
    if r.present(v16):
        v18 = _get_rpcb_asked(r)
        v17 = v18
    (v19,) = _U3(r.data, r.at)
    r.at += 4
    v20: rpcb_passed | None = None
    if r.present(v19):
        v21 = _get_rpcb_passed(r)
        v20 = v21
    return rpcb_stat([v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13], v14, v15, v17, v20)


def _put_rpcb_stat(w: xdr.Writer, v: rpcb_stat) -> None:
    out = w.out
    out += _P9(*xdr.exact(v.info, 13), v.setinfo, v.unsetinfo)
    v1 = v.addrinfo
    if v1 is None:
        out += xdr.NO
    else:
        out += _P3(1)
        _put_rpcb_asked(w, v1)
    v2 = v.rmtinfo
    if v2 is None:
        out += xdr.NO
    else:
        out += _P3(1)
        _put_rpcb_passed(w, v2)


def _get_rpcb_stat_byvers(r: xdr.Reader) -> rpcb_stat_byvers:
    v1 = [_get_rpcb_stat(r) for _ in range(r.count(3, 3, 68))]
    found: rpcb_stat_byvers = v1
    return found


def _put_rpcb_stat_byvers(w: xdr.Writer, v: rpcb_stat_byvers) -> None:
    xdr.exact(v, 3)
    for v1 in v:
        _put_rpcb_stat(w, v1)


xdr_pmap_mapping: Final[xdr.Codec[pmap_mapping]] = xdr.Codec(
    "pmap_mapping", _get_pmap_mapping, _put_pmap_mapping, _at_pmap_mapping
)
xdr_pmap_node: Final[xdr.Codec[pmap_node]] = xdr.Codec("pmap_node", _get_pmap_node, _put_pmap_node)
xdr_pmap_list: Final[xdr.Codec[pmap_list]] = xdr.Codec("pmap_list", _get_pmap_list, _put_pmap_list)
xdr_pmap_call: Final[xdr.Codec[pmap_call]] = xdr.Codec("pmap_call", _get_pmap_call, _put_pmap_call)
xdr_pmap_called: Final[xdr.Codec[pmap_called]] = xdr.Codec("pmap_called", _get_pmap_called, _put_pmap_called)
xdr_rpcb: Final[xdr.Codec[rpcb]] = xdr.Codec("rpcb", _get_rpcb, _put_rpcb)
xdr_rpcb_node: Final[xdr.Codec[rpcb_node]] = xdr.Codec("rpcb_node", _get_rpcb_node, _put_rpcb_node)
xdr_rpcb_list: Final[xdr.Codec[rpcb_list]] = xdr.Codec("rpcb_list", _get_rpcb_list, _put_rpcb_list)
xdr_rpcb_text: Final[xdr.Codec[rpcb_text]] = xdr.Codec("rpcb_text", _get_rpcb_text, _put_rpcb_text)
xdr_rpcb_call: Final[xdr.Codec[rpcb_call]] = xdr.Codec("rpcb_call", _get_rpcb_call, _put_rpcb_call)
xdr_rpcb_called: Final[xdr.Codec[rpcb_called]] = xdr.Codec("rpcb_called", _get_rpcb_called, _put_rpcb_called)
xdr_rpcb_netbuf: Final[xdr.Codec[rpcb_netbuf]] = xdr.Codec("rpcb_netbuf", _get_rpcb_netbuf, _put_rpcb_netbuf)
xdr_rpcb_entry: Final[xdr.Codec[rpcb_entry]] = xdr.Codec("rpcb_entry", _get_rpcb_entry, _put_rpcb_entry)
xdr_rpcb_entry_node: Final[xdr.Codec[rpcb_entry_node]] = xdr.Codec(
    "rpcb_entry_node", _get_rpcb_entry_node, _put_rpcb_entry_node
)
xdr_rpcb_entry_list: Final[xdr.Codec[rpcb_entry_list]] = xdr.Codec(
    "rpcb_entry_list", _get_rpcb_entry_list, _put_rpcb_entry_list
)
xdr_rpcb_asked: Final[xdr.Codec[rpcb_asked]] = xdr.Codec("rpcb_asked", _get_rpcb_asked, _put_rpcb_asked)
xdr_rpcb_asked_list: Final[xdr.Codec[rpcb_asked_list]] = xdr.Codec(
    "rpcb_asked_list", _get_rpcb_asked_list, _put_rpcb_asked_list
)
xdr_rpcb_passed: Final[xdr.Codec[rpcb_passed]] = xdr.Codec("rpcb_passed", _get_rpcb_passed, _put_rpcb_passed)
xdr_rpcb_passed_list: Final[xdr.Codec[rpcb_passed_list]] = xdr.Codec(
    "rpcb_passed_list", _get_rpcb_passed_list, _put_rpcb_passed_list
)
xdr_rpcb_stat: Final[xdr.Codec[rpcb_stat]] = xdr.Codec("rpcb_stat", _get_rpcb_stat, _put_rpcb_stat)
xdr_rpcb_stat_byvers: Final[xdr.Codec[rpcb_stat_byvers]] = xdr.Codec(
    "rpcb_stat_byvers", _get_rpcb_stat_byvers, _put_rpcb_stat_byvers
)

xdr_pmap_mapping.made_of = xdr.Members(prog=xdr.UNSIGNED, vers=xdr.UNSIGNED, prot=xdr.UNSIGNED, port=xdr.UNSIGNED)
xdr_pmap_node.made_of = xdr.Members(map=xdr_pmap_mapping, next=xdr.Maybe(xdr_pmap_node))
xdr_pmap_list.made_of = xdr.Maybe(xdr_pmap_node)
xdr_pmap_call.made_of = xdr.Members(prog=xdr.UNSIGNED, vers=xdr.UNSIGNED, proc=xdr.UNSIGNED, args=xdr.Octets(65536))
xdr_pmap_called.made_of = xdr.Members(port=xdr.UNSIGNED, res=xdr.Octets(65536))
xdr_rpcb.made_of = xdr.Members(
    prog=xdr.UNSIGNED, vers=xdr.UNSIGNED, netid=xdr.Text(255), addr=xdr.Text(255), owner=xdr.Text(255)
)
xdr_rpcb_node.made_of = xdr.Members(map=xdr_rpcb, next=xdr.Maybe(xdr_rpcb_node))
xdr_rpcb_list.made_of = xdr.Maybe(xdr_rpcb_node)
xdr_rpcb_text.made_of = xdr.Text(255)
xdr_rpcb_call.made_of = xdr.Members(prog=xdr.UNSIGNED, vers=xdr.UNSIGNED, proc=xdr.UNSIGNED, args=xdr.Octets(65536))
xdr_rpcb_called.made_of = xdr.Members(addr=xdr.Text(255), results=xdr.Octets(65536))
xdr_rpcb_netbuf.made_of = xdr.Members(maxlen=xdr.UNSIGNED, buf=xdr.Octets(128))
xdr_rpcb_entry.made_of = xdr.Members(
    maddr=xdr.Text(255), netid=xdr.Text(255), semantics=xdr.UNSIGNED, protofmly=xdr.Text(255), proto=xdr.Text(255)
)
xdr_rpcb_entry_node.made_of = xdr.Members(entry=xdr_rpcb_entry, next=xdr.Maybe(xdr_rpcb_entry_node))
xdr_rpcb_entry_list.made_of = xdr.Maybe(xdr_rpcb_entry_node)
xdr_rpcb_asked.made_of = xdr.Members(
    prog=xdr.UNSIGNED,
    vers=xdr.UNSIGNED,
    success=xdr.INT,
    failure=xdr.INT,
    netid=xdr.Text(255),
    next=xdr.Maybe(xdr_rpcb_asked),
)
xdr_rpcb_asked_list.made_of = xdr.Maybe(xdr_rpcb_asked)
xdr_rpcb_passed.made_of = xdr.Members(
    prog=xdr.UNSIGNED,
    vers=xdr.UNSIGNED,
    proc=xdr.UNSIGNED,
    success=xdr.INT,
    failure=xdr.INT,
    indirect=xdr.INT,
    netid=xdr.Text(255),
    next=xdr.Maybe(xdr_rpcb_passed),
)
xdr_rpcb_passed_list.made_of = xdr.Maybe(xdr_rpcb_passed)
xdr_rpcb_stat.made_of = xdr.Members(
    info=xdr.Items(xdr.INT, 13, exact=True),
    setinfo=xdr.INT,
    unsetinfo=xdr.INT,
    addrinfo=xdr_rpcb_asked_list,
    rmtinfo=xdr_rpcb_passed_list,
)
xdr_rpcb_stat_byvers.made_of = xdr.Items(xdr_rpcb_stat, 3, exact=True)


_of_PMAP_V2: Final = {
    0: _program.Procedure("NULL", 0, (), xdr.VOID, "NULL"),
    1: _program.Procedure("PMAPPROC_SET", 1, (xdr_pmap_mapping,), xdr.BOOL, "PMAPPROC_SET"),
    2: _program.Procedure("PMAPPROC_UNSET", 2, (xdr_pmap_mapping,), xdr.BOOL, "PMAPPROC_UNSET"),
    3: _program.Procedure("PMAPPROC_GETPORT", 3, (xdr_pmap_mapping,), xdr.UNSIGNED, "PMAPPROC_GETPORT"),
    4: _program.Procedure("PMAPPROC_DUMP", 4, (), xdr_pmap_list, "PMAPPROC_DUMP"),
    5: _program.Procedure("PMAPPROC_CALLIT", 5, (xdr_pmap_call,), xdr_pmap_called, "PMAPPROC_CALLIT"),
}


class PMAP_V2(_program.Version):
    """Version 2 of RPCBIND."""

    program = 100000
    version = 2
    name = "PMAP_V2"
    program_name = "RPCBIND"
    procedures = _of_PMAP_V2

    class Server(_program.Server):
        """To be derived from: a procedure that is not overridden is not there, for callers."""

        __slots__ = ()

        async def NULL(self, ctx: _program.Context, /) -> None:
            """Procedure 0: NULL."""

        async def PMAPPROC_SET(self, ctx: _program.Context, a: pmap_mapping, /) -> bool:
            """Procedure 1: PMAPPROC_SET."""
            raise NotImplementedError

        async def PMAPPROC_UNSET(self, ctx: _program.Context, a: pmap_mapping, /) -> bool:
            """Procedure 2: PMAPPROC_UNSET."""
            raise NotImplementedError

        async def PMAPPROC_GETPORT(self, ctx: _program.Context, a: pmap_mapping, /) -> int:
            """Procedure 3: PMAPPROC_GETPORT."""
            raise NotImplementedError

        async def PMAPPROC_DUMP(self, ctx: _program.Context, /) -> pmap_list:
            """Procedure 4: PMAPPROC_DUMP."""
            raise NotImplementedError

        async def PMAPPROC_CALLIT(self, ctx: _program.Context, a: pmap_call, /) -> pmap_called:
            """Procedure 5: PMAPPROC_CALLIT."""
            raise NotImplementedError

    class Client(_program.Client):
        """Makes the calls."""

        __slots__ = ()

        async def NULL(self, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 0: NULL."""
            await self._call(_of_PMAP_V2[0], (), options)

        async def PMAPPROC_SET(self, a: pmap_mapping, /, **options: Unpack[_program.CallOptions]) -> bool:
            """Procedure 1: PMAPPROC_SET."""
            found: bool = await self._call(_of_PMAP_V2[1], (a,), options)
            return found

        async def PMAPPROC_UNSET(self, a: pmap_mapping, /, **options: Unpack[_program.CallOptions]) -> bool:
            """Procedure 2: PMAPPROC_UNSET."""
            found: bool = await self._call(_of_PMAP_V2[2], (a,), options)
            return found

        async def PMAPPROC_GETPORT(self, a: pmap_mapping, /, **options: Unpack[_program.CallOptions]) -> int:
            """Procedure 3: PMAPPROC_GETPORT."""
            found: int = await self._call(_of_PMAP_V2[3], (a,), options)
            return found

        async def PMAPPROC_DUMP(self, /, **options: Unpack[_program.CallOptions]) -> pmap_list:
            """Procedure 4: PMAPPROC_DUMP."""
            found: pmap_list = await self._call(_of_PMAP_V2[4], (), options)
            return found

        async def PMAPPROC_CALLIT(self, a: pmap_call, /, **options: Unpack[_program.CallOptions]) -> pmap_called:
            """Procedure 5: PMAPPROC_CALLIT."""
            found: pmap_called = await self._call(_of_PMAP_V2[5], (a,), options)
            return found


_of_RPCB_V3: Final = {
    0: _program.Procedure("NULL", 0, (), xdr.VOID, "NULL"),
    1: _program.Procedure("RPCBPROC_SET", 1, (xdr_rpcb,), xdr.BOOL, "RPCBPROC_SET"),
    2: _program.Procedure("RPCBPROC_UNSET", 2, (xdr_rpcb,), xdr.BOOL, "RPCBPROC_UNSET"),
    3: _program.Procedure("RPCBPROC_GETADDR", 3, (xdr_rpcb,), xdr_rpcb_text, "RPCBPROC_GETADDR"),
    4: _program.Procedure("RPCBPROC_DUMP", 4, (), xdr_rpcb_list, "RPCBPROC_DUMP"),
    5: _program.Procedure("RPCBPROC_CALLIT", 5, (xdr_rpcb_call,), xdr_rpcb_called, "RPCBPROC_CALLIT"),
    6: _program.Procedure("RPCBPROC_GETTIME", 6, (), xdr.UNSIGNED, "RPCBPROC_GETTIME"),
    7: _program.Procedure("RPCBPROC_UADDR2TADDR", 7, (xdr_rpcb_text,), xdr_rpcb_netbuf, "RPCBPROC_UADDR2TADDR"),
    8: _program.Procedure("RPCBPROC_TADDR2UADDR", 8, (xdr_rpcb_netbuf,), xdr_rpcb_text, "RPCBPROC_TADDR2UADDR"),
}


class RPCB_V3(_program.Version):
    """Version 3 of RPCBIND."""

    program = 100000
    version = 3
    name = "RPCB_V3"
    program_name = "RPCBIND"
    procedures = _of_RPCB_V3

    class Server(_program.Server):
        """To be derived from: a procedure that is not overridden is not there, for callers."""

        __slots__ = ()

        async def NULL(self, ctx: _program.Context, /) -> None:
            """Procedure 0: NULL."""

        async def RPCBPROC_SET(self, ctx: _program.Context, a: rpcb, /) -> bool:
            """Procedure 1: RPCBPROC_SET."""
            raise NotImplementedError

        async def RPCBPROC_UNSET(self, ctx: _program.Context, a: rpcb, /) -> bool:
            """Procedure 2: RPCBPROC_UNSET."""
            raise NotImplementedError

        async def RPCBPROC_GETADDR(self, ctx: _program.Context, a: rpcb, /) -> rpcb_text:
            """Procedure 3: RPCBPROC_GETADDR."""
            raise NotImplementedError

        async def RPCBPROC_DUMP(self, ctx: _program.Context, /) -> rpcb_list:
            """Procedure 4: RPCBPROC_DUMP."""
            raise NotImplementedError

        async def RPCBPROC_CALLIT(self, ctx: _program.Context, a: rpcb_call, /) -> rpcb_called:
            """Procedure 5: RPCBPROC_CALLIT."""
            raise NotImplementedError

        async def RPCBPROC_GETTIME(self, ctx: _program.Context, /) -> int:
            """Procedure 6: RPCBPROC_GETTIME."""
            raise NotImplementedError

        async def RPCBPROC_UADDR2TADDR(self, ctx: _program.Context, a: rpcb_text, /) -> rpcb_netbuf:
            """Procedure 7: RPCBPROC_UADDR2TADDR."""
            raise NotImplementedError

        async def RPCBPROC_TADDR2UADDR(self, ctx: _program.Context, a: rpcb_netbuf, /) -> rpcb_text:
            """Procedure 8: RPCBPROC_TADDR2UADDR."""
            raise NotImplementedError

    class Client(_program.Client):
        """Makes the calls."""

        __slots__ = ()

        async def NULL(self, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 0: NULL."""
            await self._call(_of_RPCB_V3[0], (), options)

        async def RPCBPROC_SET(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> bool:
            """Procedure 1: RPCBPROC_SET."""
            found: bool = await self._call(_of_RPCB_V3[1], (a,), options)
            return found

        async def RPCBPROC_UNSET(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> bool:
            """Procedure 2: RPCBPROC_UNSET."""
            found: bool = await self._call(_of_RPCB_V3[2], (a,), options)
            return found

        async def RPCBPROC_GETADDR(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> rpcb_text:
            """Procedure 3: RPCBPROC_GETADDR."""
            found: rpcb_text = await self._call(_of_RPCB_V3[3], (a,), options)
            return found

        async def RPCBPROC_DUMP(self, /, **options: Unpack[_program.CallOptions]) -> rpcb_list:
            """Procedure 4: RPCBPROC_DUMP."""
            found: rpcb_list = await self._call(_of_RPCB_V3[4], (), options)
            return found

        async def RPCBPROC_CALLIT(self, a: rpcb_call, /, **options: Unpack[_program.CallOptions]) -> rpcb_called:
            """Procedure 5: RPCBPROC_CALLIT."""
            found: rpcb_called = await self._call(_of_RPCB_V3[5], (a,), options)
            return found

        async def RPCBPROC_GETTIME(self, /, **options: Unpack[_program.CallOptions]) -> int:
            """Procedure 6: RPCBPROC_GETTIME."""
            found: int = await self._call(_of_RPCB_V3[6], (), options)
            return found

        async def RPCBPROC_UADDR2TADDR(self, a: rpcb_text, /, **options: Unpack[_program.CallOptions]) -> rpcb_netbuf:
            """Procedure 7: RPCBPROC_UADDR2TADDR."""
            found: rpcb_netbuf = await self._call(_of_RPCB_V3[7], (a,), options)
            return found

        async def RPCBPROC_TADDR2UADDR(self, a: rpcb_netbuf, /, **options: Unpack[_program.CallOptions]) -> rpcb_text:
            """Procedure 8: RPCBPROC_TADDR2UADDR."""
            found: rpcb_text = await self._call(_of_RPCB_V3[8], (a,), options)
            return found


_of_RPCB_V4: Final = {
    0: _program.Procedure("NULL", 0, (), xdr.VOID, "NULL"),
    1: _program.Procedure("RPCBPROC_SET", 1, (xdr_rpcb,), xdr.BOOL, "RPCBPROC_SET"),
    2: _program.Procedure("RPCBPROC_UNSET", 2, (xdr_rpcb,), xdr.BOOL, "RPCBPROC_UNSET"),
    3: _program.Procedure("RPCBPROC_GETADDR", 3, (xdr_rpcb,), xdr_rpcb_text, "RPCBPROC_GETADDR"),
    4: _program.Procedure("RPCBPROC_DUMP", 4, (), xdr_rpcb_list, "RPCBPROC_DUMP"),
    5: _program.Procedure("RPCBPROC_BCAST", 5, (xdr_rpcb_call,), xdr_rpcb_called, "RPCBPROC_BCAST"),
    6: _program.Procedure("RPCBPROC_GETTIME", 6, (), xdr.UNSIGNED, "RPCBPROC_GETTIME"),
    7: _program.Procedure("RPCBPROC_UADDR2TADDR", 7, (xdr_rpcb_text,), xdr_rpcb_netbuf, "RPCBPROC_UADDR2TADDR"),
    8: _program.Procedure("RPCBPROC_TADDR2UADDR", 8, (xdr_rpcb_netbuf,), xdr_rpcb_text, "RPCBPROC_TADDR2UADDR"),
    9: _program.Procedure("RPCBPROC_GETVERSADDR", 9, (xdr_rpcb,), xdr_rpcb_text, "RPCBPROC_GETVERSADDR"),
    10: _program.Procedure("RPCBPROC_INDIRECT", 10, (xdr_rpcb_call,), xdr_rpcb_called, "RPCBPROC_INDIRECT"),
    11: _program.Procedure("RPCBPROC_GETADDRLIST", 11, (xdr_rpcb,), xdr_rpcb_entry_list, "RPCBPROC_GETADDRLIST"),
    12: _program.Procedure("RPCBPROC_GETSTAT", 12, (), xdr_rpcb_stat_byvers, "RPCBPROC_GETSTAT"),
}


class RPCB_V4(_program.Version):
    """Version 4 of RPCBIND."""

    program = 100000
    version = 4
    name = "RPCB_V4"
    program_name = "RPCBIND"
    procedures = _of_RPCB_V4

    class Server(_program.Server):
        """To be derived from: a procedure that is not overridden is not there, for callers."""

        __slots__ = ()

        async def NULL(self, ctx: _program.Context, /) -> None:
            """Procedure 0: NULL."""

        async def RPCBPROC_SET(self, ctx: _program.Context, a: rpcb, /) -> bool:
            """Procedure 1: RPCBPROC_SET."""
            raise NotImplementedError

        async def RPCBPROC_UNSET(self, ctx: _program.Context, a: rpcb, /) -> bool:
            """Procedure 2: RPCBPROC_UNSET."""
            raise NotImplementedError

        async def RPCBPROC_GETADDR(self, ctx: _program.Context, a: rpcb, /) -> rpcb_text:
            """Procedure 3: RPCBPROC_GETADDR."""
            raise NotImplementedError

        async def RPCBPROC_DUMP(self, ctx: _program.Context, /) -> rpcb_list:
            """Procedure 4: RPCBPROC_DUMP."""
            raise NotImplementedError

        async def RPCBPROC_BCAST(self, ctx: _program.Context, a: rpcb_call, /) -> rpcb_called:
            """Procedure 5: RPCBPROC_BCAST."""
            raise NotImplementedError

        async def RPCBPROC_GETTIME(self, ctx: _program.Context, /) -> int:
            """Procedure 6: RPCBPROC_GETTIME."""
            raise NotImplementedError

        async def RPCBPROC_UADDR2TADDR(self, ctx: _program.Context, a: rpcb_text, /) -> rpcb_netbuf:
            """Procedure 7: RPCBPROC_UADDR2TADDR."""
            raise NotImplementedError

        async def RPCBPROC_TADDR2UADDR(self, ctx: _program.Context, a: rpcb_netbuf, /) -> rpcb_text:
            """Procedure 8: RPCBPROC_TADDR2UADDR."""
            raise NotImplementedError

        async def RPCBPROC_GETVERSADDR(self, ctx: _program.Context, a: rpcb, /) -> rpcb_text:
            """Procedure 9: RPCBPROC_GETVERSADDR."""
            raise NotImplementedError

        async def RPCBPROC_INDIRECT(self, ctx: _program.Context, a: rpcb_call, /) -> rpcb_called:
            """Procedure 10: RPCBPROC_INDIRECT."""
            raise NotImplementedError

        async def RPCBPROC_GETADDRLIST(self, ctx: _program.Context, a: rpcb, /) -> rpcb_entry_list:
            """Procedure 11: RPCBPROC_GETADDRLIST."""
            raise NotImplementedError

        async def RPCBPROC_GETSTAT(self, ctx: _program.Context, /) -> rpcb_stat_byvers:
            """Procedure 12: RPCBPROC_GETSTAT."""
            raise NotImplementedError

    class Client(_program.Client):
        """Makes the calls."""

        __slots__ = ()

        async def NULL(self, /, **options: Unpack[_program.CallOptions]) -> None:
            """Procedure 0: NULL."""
            await self._call(_of_RPCB_V4[0], (), options)

        async def RPCBPROC_SET(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> bool:
            """Procedure 1: RPCBPROC_SET."""
            found: bool = await self._call(_of_RPCB_V4[1], (a,), options)
            return found

        async def RPCBPROC_UNSET(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> bool:
            """Procedure 2: RPCBPROC_UNSET."""
            found: bool = await self._call(_of_RPCB_V4[2], (a,), options)
            return found

        async def RPCBPROC_GETADDR(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> rpcb_text:
            """Procedure 3: RPCBPROC_GETADDR."""
            found: rpcb_text = await self._call(_of_RPCB_V4[3], (a,), options)
            return found

        async def RPCBPROC_DUMP(self, /, **options: Unpack[_program.CallOptions]) -> rpcb_list:
            """Procedure 4: RPCBPROC_DUMP."""
            found: rpcb_list = await self._call(_of_RPCB_V4[4], (), options)
            return found

        async def RPCBPROC_BCAST(self, a: rpcb_call, /, **options: Unpack[_program.CallOptions]) -> rpcb_called:
            """Procedure 5: RPCBPROC_BCAST."""
            found: rpcb_called = await self._call(_of_RPCB_V4[5], (a,), options)
            return found

        async def RPCBPROC_GETTIME(self, /, **options: Unpack[_program.CallOptions]) -> int:
            """Procedure 6: RPCBPROC_GETTIME."""
            found: int = await self._call(_of_RPCB_V4[6], (), options)
            return found

        async def RPCBPROC_UADDR2TADDR(self, a: rpcb_text, /, **options: Unpack[_program.CallOptions]) -> rpcb_netbuf:
            """Procedure 7: RPCBPROC_UADDR2TADDR."""
            found: rpcb_netbuf = await self._call(_of_RPCB_V4[7], (a,), options)
            return found

        async def RPCBPROC_TADDR2UADDR(self, a: rpcb_netbuf, /, **options: Unpack[_program.CallOptions]) -> rpcb_text:
            """Procedure 8: RPCBPROC_TADDR2UADDR."""
            found: rpcb_text = await self._call(_of_RPCB_V4[8], (a,), options)
            return found

        async def RPCBPROC_GETVERSADDR(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> rpcb_text:
            """Procedure 9: RPCBPROC_GETVERSADDR."""
            found: rpcb_text = await self._call(_of_RPCB_V4[9], (a,), options)
            return found

        async def RPCBPROC_INDIRECT(self, a: rpcb_call, /, **options: Unpack[_program.CallOptions]) -> rpcb_called:
            """Procedure 10: RPCBPROC_INDIRECT."""
            found: rpcb_called = await self._call(_of_RPCB_V4[10], (a,), options)
            return found

        async def RPCBPROC_GETADDRLIST(self, a: rpcb, /, **options: Unpack[_program.CallOptions]) -> rpcb_entry_list:
            """Procedure 11: RPCBPROC_GETADDRLIST."""
            found: rpcb_entry_list = await self._call(_of_RPCB_V4[11], (a,), options)
            return found

        async def RPCBPROC_GETSTAT(self, /, **options: Unpack[_program.CallOptions]) -> rpcb_stat_byvers:
            """Procedure 12: RPCBPROC_GETSTAT."""
            found: rpcb_stat_byvers = await self._call(_of_RPCB_V4[12], (), options)
            return found
