"""Our calc server on kernel sockets, in a process in the server's place of rpc_net."""

import contextlib
import signal
import sys

from tests.support.rpc_net import SERVER
from tools.netns import stop, wait_until

PORT = 2051


class KernelServer:
    """Our server on kernel sockets in the server's place, as a process; `executed` is how often it counted, ever."""

    def __init__(self, net, folder, cache="cached"):
        self.net, self.cache = net, cache
        self.file, self.log = folder / "executed", folder / "server.log"
        self.file.touch()

    @property
    def executed(self):
        return self.file.stat().st_size

    def start(self):
        self.log.unlink(missing_ok=True)
        command = self.net.server.inside(
            sys.executable, "-m", "tests.support.rpc_kernel_server", SERVER, str(PORT), str(self.file), self.cache
        )
        self.process = self.net.server.namespace.start(*command, log=self.log)

        def ready():
            assert self.process.poll() is None, self.log.read_text()
            return "serving" in self.log.read_text()

        wait_until(ready, "our server serves")

    def kill(self):
        stop(self.process, signal.SIGKILL)

    @contextlib.contextmanager
    def running(self):
        self.start()
        try:
            yield self
        finally:
            stop(self.process)
