"""How `tapstack run` has a program use our event loops, without a change to the program.

Theory of operation.  Whoever asks for a loop ends at one of a few functions: `asyncio.new_event_loop` (what
`asyncio.run` and `asyncio.Runner` call), `new_event_loop` of a policy (what `asyncio.get_event_loop` and
`uvloop.install` lead to), uvloop's `new_event_loop` and the default of its `run`, and uvicorn's factories.  Each is
replaced when its module is imported, and not before: an interpreter that never imports asyncio pays for nothing.  A
loop of asyncio's or uvloop's own kind gets a StackLoop over the same kind in its place; any other kind of loop,
which somebody chose on purpose, is left alone.

This module is imported by every interpreter under `tapstack run`, so it imports nothing.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

Factory = Callable[[], Any]


def install() -> None:
    """Replace what is imported already, and have the rest replaced when it is."""
    for name, patch in _PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])
    sys.meta_path.insert(0, _Finder())


def _selector_loop() -> Any:
    from stack.run_loop import SelectorRunLoop  # noqa: PLC0415  (see above)

    return SelectorRunLoop()


def _uv_loop() -> Any:
    from stack.run_loop import UvRunLoop  # noqa: PLC0415

    return UvRunLoop()


def _ours(loop: Any) -> Any:
    """What is to be used in the place of `loop`, which was just made."""
    kind = type(loop)
    if kind.__module__ == "asyncio.unix_events" and kind.__name__ == "_UnixSelectorEventLoop":
        replace: Factory = _selector_loop
    elif kind.__module__ == "uvloop" and kind.__name__ == "Loop":
        replace = _uv_loop
    else:
        return loop
    loop.close()
    return replace()


def _replacing(original: Callable[..., Any]) -> Callable[..., Any]:
    def new_event_loop(*args: Any) -> Any:
        return _ours(original(*args))

    new_event_loop.__doc__ = original.__doc__
    return new_event_loop


def _patch_asyncio(module: Any) -> None:
    events = module.events
    events.new_event_loop = module.new_event_loop = _replacing(events.new_event_loop)
    # until Python 3.13 under its public name; the loop of a policy is wanted by asyncio.get_event_loop(), too
    for name in ("BaseDefaultEventLoopPolicy", "_BaseDefaultEventLoopPolicy"):
        if policy := vars(events).get(name):
            policy.new_event_loop = _replacing(policy.new_event_loop)


def _patch_uvloop(module: Any) -> None:
    module.new_event_loop = _uv_loop
    module.run.__kwdefaults__["loop_factory"] = _uv_loop


def _patch_uvicorn_command(module: Any) -> None:
    """`uvicorn app:app` listens on the program's own address.  Its default is 127.0.0.1, which is the kernel's.

    Not where it makes its socket before there is a loop, or has a loop of another kind: that would be an address of the
    kernel's, which nobody asked for.
    """
    command = module.main
    inner = command.callback

    def main(*args: Any, **options: Any) -> Any:
        if _is_left_to_us(options):
            options["host"] = "0.0.0.0"  # noqa: S104  # of a loop of ours, where it is our address
        return inner(*args, **options)

    command.callback = main


def _is_left_to_us(options: dict[str, Any]) -> bool:
    import os  # noqa: PLC0415  (see above)

    from click import get_current_context  # noqa: PLC0415  # uvicorn has imported it
    from click.core import ParameterSource  # noqa: PLC0415

    processes = str(options.get("workers") or os.environ.get("WEB_CONCURRENCY", "1"))
    return (
        get_current_context().get_parameter_source("host") is ParameterSource.DEFAULT
        and options.get("loop") in {"auto", "asyncio", "uvloop", "none"}
        and not options.get("reload")
        and processes == "1"
    )


def _patch_uvicorn(module: Any) -> None:
    """Uvicorn 0.36 and later has factories of loops; before, it set a policy."""
    if hasattr(module, "asyncio_loop_factory"):
        module.asyncio_loop_factory = lambda use_subprocess=False: _selector_loop  # noqa: ARG005


_PATCHES: Final[dict[str, Callable[[Any], None]]] = {
    "asyncio": _patch_asyncio,
    "uvloop": _patch_uvloop,
    "uvicorn.loops.asyncio": _patch_uvicorn,
    "uvicorn.main": _patch_uvicorn_command,
}


class _Finder:
    """Finds nothing itself: it has the modules of _PATCHES loaded by a _Loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Of a module to be patched, as the other finders have it; None of any other."""
        if fullname not in _PATCHES:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                loader: Any = _Loader(spec.loader, _PATCHES[fullname])  # a loader in all that counts
                spec.loader = loader
                return spec
        return None


class _Loader:
    """Loads as `inner` does, then patches, and leaves no trace of itself on the module."""

    def __init__(self, inner: Any, patch: Callable[[Any], None]) -> None:
        self._inner = inner
        self._patch = patch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As `inner`."""
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """As `inner`, then the patch."""
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        self._patch(module)
