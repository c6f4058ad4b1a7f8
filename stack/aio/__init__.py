"""Layer 4: asyncio drives a Host, and runs on it.

    with asyncio.Runner(loop_factory=stack.aio.new_event_loop) as runner:
        runner.run(main())

`stack.aio:factory` is the loop with a host on a TAP of its own, for programs that take the name of a loop:
`uvicorn --loop stack.aio:factory --host 198.18.0.2 app:app`; see `stack.app.factory`.

The names below are the public ones; each is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.aio.loop import SelectorLoop, StackLoop, UvLoop, new_event_loop
    from stack.aio.names import Resolver
    from stack.aio.network import AsyncHost

__all__ = ["AsyncHost", "Resolver", "SelectorLoop", "StackLoop", "UvLoop", "new_event_loop"]

_HOME = {
    "AsyncHost": "stack.aio.network",
    "Resolver": "stack.aio.names",
    "SelectorLoop": "stack.aio.loop",
    "StackLoop": "stack.aio.loop",
    "UvLoop": "stack.aio.loop",
    "factory": "stack.app",  # by name only: what puts the parts together stands above this layer
    "new_event_loop": "stack.aio.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
