"""Compiles the C core.  Everything else about the package is in pyproject.toml.

The core is optional: where no C compiler is found the package still installs and runs, slower, on the
Python form of the same functions (`stack/wire/_pure.py`).
"""

import runpy

from cffi import FFI
from setuptools import setup

extensions = []
for value in runpy.run_path("native/build.py").values():
    if isinstance(value, FFI):
        extension = value.distutils_extension(tmpdir="build/cffi", verbose=False)
        extension.optional = True
        extensions.append(extension)

setup(ext_modules=extensions)
