"""The numbers of native/wire.h are those of burst.py, frame.py and stats.py."""

import re
from pathlib import Path

import pytest

from stack.stats import DropReason
from stack.wire import burst, frame

HEADER = (Path(__file__).parents[3] / "native" / "wire.h").read_text()
DEFINES = {name: int(value) for name, value in re.findall(r"#define TS_(\w+) (\d+)", HEADER)}


@pytest.mark.parametrize("name", DEFINES)
def test_constant(name):
    for prefix, home in (
        ("KIND_", burst),
        ("ROW_", burst),
        ("VNET_", frame),
        ("GSO_", frame),
        ("CAP_", frame),
        ("HEADER_ROOM", frame),
    ):
        if name.startswith(prefix) and name not in {"GSO_UDP", "GSO_TCPV6"}:  # only C tells these apart
            assert getattr(home, name) == DEFINES[name]
            return
    if name.startswith("DROP_"):
        assert DropReason[name.removeprefix("DROP_")] == DEFINES[name]
    elif name.startswith("TX_"):
        python = {"TX_NEEDS_CSUM": "NEEDS_CSUM", "TX_FILL_IP": "FILL_IP", "TX_PARTIAL": "PARTIAL_CSUM"}
        assert getattr(frame, python[name]) == DEFINES[name]
    else:
        assert name in {"GSO_UDP", "GSO_TCPV6"}


def test_structures():
    wire = pytest.importorskip("stack.wire._wire")
    ffi = wire.ffi
    assert ffi.sizeof("ts_row") == burst.ROW.size
    assert ffi.sizeof("ts_meta") == burst.META.size
    names = [name for name, field in ffi.typeof("ts_row").fields if name != "reserved"]
    row = ffi.new("ts_row *")
    for name in names:
        setattr(row, name, 7 + names.index(name))
    assert burst.ROW.unpack(ffi.buffer(row)[:]) == tuple(range(7, 7 + len(names)))
    names = [name for name, field in ffi.typeof("ts_meta").fields if name != "reserved"]
    meta = ffi.new("ts_meta *")
    for name in names:
        setattr(meta, name, 7 + names.index(name))
    assert burst.META.unpack(ffi.buffer(meta)[:]) == tuple(range(7, 7 + len(names)))
