"""The kernel's side of the interop matrix: a process on plain uvloop or asyncio that does what the test tells it.

    python -m tests.support.interop_peer uvloop|asyncio

An order is one line of JSON on standard input, its answer one line on standard output that begins with MARK; what else
is printed there is the libraries' own.
"""

import asyncio
import contextlib
import importlib
import json
import signal
import subprocess
import sys
import traceback
from typing import Any

from tests.support.interop import Site
from tools.netns import Namespace, stop

MARK = "@interop@"


async def obey(order: dict[str, Any], serving: contextlib.AsyncExitStack) -> Any:
    """Carry out one order."""
    if order["do"] == "stop":
        await serving.aclose()
        return None
    program = importlib.import_module(f"tests.interop.rows.{order['row']}")
    site = Site(**order["site"])
    async with asyncio.timeout(order["limit"]):
        if order["do"] == "serve":
            return await serving.enter_async_context(program.serve(site))
        return await program.talk(site, order["served"])


async def main() -> None:
    """Obey until the input ends."""
    serving = contextlib.AsyncExitStack()
    async with serving:
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                answer = {"result": await obey(json.loads(line), serving)}
            except Exception:  # noqa: BLE001  (whatever it is, the test wants to hear of it)
                answer = {"error": traceback.format_exc()}
            print(MARK + json.dumps(answer), flush=True)


class Peer:
    """The process, as the test sees it."""

    __slots__ = ("_process", "heard")

    def __init__(self, namespace: Namespace, loop: str) -> None:
        command = (sys.executable, "-m", "tests.support.interop_peer", loop)
        self._process = namespace.start(*command, stdin=subprocess.PIPE)
        self.heard: list[str] = []

    def order(self, do: str, **details: Any) -> Any:
        """Have it done, and return the result.  Raises with the process's own traceback.  Blocks."""
        out, into = self._process.stdout, self._process.stdin
        assert out is not None
        assert into is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it said before is all there is
            into.write(json.dumps({"do": do, **details}) + "\n")
            into.flush()
        for line in out:
            if line.startswith(MARK):
                answer = json.loads(line.removeprefix(MARK))
                if "error" in answer:
                    raise PeerFailed(answer["error"] + "".join(self.heard[-20:]))
                return answer["result"]
            self.heard.append(line)
        status = self._process.wait(10)
        told = f"the process on the kernel's side ended (status {status}):\n" + "".join(self.heard[-60:])
        raise PeerCrashed(told) if status == -signal.SIGSEGV else PeerFailed(told)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        stop(self._process)


class PeerFailed(AssertionError):
    """An order was not carried out; the message is the traceback from there."""


class PeerCrashed(PeerFailed):
    """The process on the kernel's side, which has no code of ours, ended by SIGSEGV."""


if __name__ == "__main__":
    import uvloop

    factories: dict[str, Any] = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}
    with asyncio.Runner(loop_factory=factories[sys.argv[1]]) as runner:
        runner.run(main())
