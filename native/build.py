"""Builds the C core: `python native/build.py` puts both cffi modules into the source tree.

`wire` (pure functions) becomes `stack.wire._wire`, `io` (system calls) `stack.device._io`.  setup.py takes the
same two objects for wheels; it runs in the repository's root, so paths are relative to that.
"""

import os
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "-O3",
    "-std=gnu11",
    "-fno-strict-aliasing",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
]


def _module(name: str, headers: list[str], sources: list[str]) -> FFI:
    ffi = FFI()
    ffi.cdef("".join((ROOT / "native" / header).read_text() for header in headers))
    ffi.set_source(
        name,
        "#include <stddef.h>\n#include <stdint.h>\n" + "".join(f'#include "{header}"\n' for header in headers),
        sources=[f"native/{source}" for source in sources],
        depends=[f"native/{header}" for header in ["bytes.h", "finish.h", "vnet.h", *headers]],
        include_dirs=["native"],
        extra_compile_args=FLAGS,
    )
    return ffi


wire = _module("stack.wire._wire", ["wire.h"], ["checksum.c", "parse.c", "gro.c", "finish.c"])
io = _module("stack.device._io", ["wire.h", "io.h"], ["checksum.c", "parse.c", "gro.c", "finish.c", "io.c", "switch.c"])


def main() -> None:
    """Compile both modules in place."""
    from setuptools import Distribution  # noqa: PLC0415  (needed here only)

    os.chdir(ROOT)
    build = "build/cffi"
    extensions = [ffi.distutils_extension(tmpdir=build, verbose=False) for ffi in (wire, io)]
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.inplace = True
    command.build_temp = build
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main()
