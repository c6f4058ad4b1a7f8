"""Imported by every Python that `tapstack run` starts, before the program: has our event loops used, then makes way.

Whatever `sitecustomize` the program's environment has of its own is run as it would have been without us.
"""

import sys


def _make_way() -> None:
    """This folder is for nothing else, so it leaves `sys.path` at once; the next `sitecustomize`, if any, is run."""
    import importlib.machinery  # noqa: PLC0415  (the namespace of this module is the next one's)
    import importlib.util  # noqa: PLC0415
    import os.path  # noqa: PLC0415

    here = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120  (pathlib would double the start's time)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here or not entry]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _install() -> None:
    try:
        from stack import injected  # noqa: PLC0415
    except ImportError:
        if sys.stderr is not None:
            told = f"{sys.executable} has no tapstack, so what it runs stays on the kernel: install it there"
            sys.stderr.write(f"tapstack run: {told}\n")
    else:
        injected.install()


_install()
_make_way()
