"""The same octets, and the same values, as C: what rpcgen and libtirpc make of all types of our file and Sun's.

For each type random values are encoded here.  The C program decodes them with rpcgen's `xdr_TYPE`, says what it found
in each member, and encodes that again: both must agree.
"""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support.netns import need
from tests.support.rpc_values import RPCSVC, Corpus, Dumper

pytestmark = pytest.mark.interop

CALC = Path(__file__).parents[2] / "support" / "rpc" / "calc.x"
THOROUGH = [CALC, *(RPCSVC / f"{name}.x" for name in ("mount", "nfs_prot", "nlm_prot", "rstat", "yp"))]
# all but nis.x, of which rpcgen makes no header, and nis_callback.x, which includes that
QUICK = [
    RPCSVC / f"{name}.x"
    for name in (
        "bootparam_prot", "key_prot", "klm_prot", "nis_object", "rex", "rquota", "rusers", "sm_inter", "spray",
        "yppasswd",
    )
]  # fmt: skip


def build(corpus: Corpus, folder: Path) -> Path:
    """The C program."""
    need("rpcgen", "gcc", "pkg-config")
    name = corpus.path.stem
    shutil.copy(corpus.path, folder)
    for option, output in (("-h", f"{name}.h"), ("-c", f"{name}_xdr.c")):
        subprocess.run(["rpcgen", "-N", option, "-o", output, f"{name}.x"], cwd=folder, check=True)
    (folder / "main.c").write_text(Dumper(corpus).program())
    flags = subprocess.check_output(["pkg-config", "--cflags", "--libs", "libtirpc"], text=True).split()
    sources = ["main.c", f"{name}_xdr.c"]
    # rpcgen's code has a variable of the type `bool`, which its headers lack
    subprocess.run(["gcc", "-w", "-O1", "-Dbool=bool_t", "-o", "dump", *sources, *flags], cwd=folder, check=True)
    return folder / "dump"


@pytest.mark.parametrize(
    ("path", "count"),
    [*((path, 1000) for path in THOROUGH), *((path, 100) for path in QUICK)],
    ids=lambda given: given.stem if isinstance(given, Path) else str(given),
)
def test_octets_are_those_of_rpcgen(path, count, tmp_path):
    corpus = Corpus(path)
    program = build(corpus, tmp_path)
    calls, wanted = [], []
    for number, xtype in enumerate(corpus.types()):
        codec = corpus.codec(xtype)
        for _ in range(count):
            value = corpus.value(xtype)
            data = codec.encode(value)
            assert codec.decode(data) == value
            calls.append(struct.pack(">II", number, len(data)) + data)
            wanted.append((xtype.name, f"{corpus.text(xtype, value)}|x{data.hex()}"))
    done = subprocess.run([program], input=b"".join(calls), capture_output=True, check=True)
    answers = done.stdout.decode().splitlines()
    assert len(answers) == len(wanted) == count * len(corpus.types()) > 0
    for (name, want), answer in zip(wanted, answers, strict=True):
        assert (name, "|".join(part.strip() for part in answer.split("|"))) == (name, want)


def test_a_difference_would_be_seen(tmp_path):
    """The control: octets of another value, and a struct whose members are exchanged, do not pass."""
    corpus = Corpus(RPCSVC / "rquota.x")
    program = build(corpus, tmp_path)
    number, args = next((n, xtype) for n, xtype in enumerate(corpus.types()) if xtype.name == "getquota_args")
    value = corpus.made(args)("path", 7)
    data = corpus.codec(args).encode(value)
    bent = data[:-1] + b"\x08"
    head = struct.pack(">II", number, len(bent))
    done = subprocess.run([program], input=head + bent + head + bent, capture_output=True, check=True)
    texts = [line.split("|")[0].strip() for line in done.stdout.decode().splitlines()]
    assert texts == ["x70617468 8"] * 2
    assert corpus.text(args, value) == "x70617468 7"
