"""Every test here runs on plain asyncio and on uvloop."""

import asyncio
import ssl
import subprocess
import warnings

import pytest
import uvloop

from stack import _form
from stack.aio.loop import SelectorLoop, UvLoop
from tests.support.aio_nets import KernelNet, StackNet

# A compiled driver takes no scripted host and no scripted connection: these are of the interpreted form
collect_ignore = ["test_attempt.py", "test_driver.py", "test_transports.py"] if _form.running() == "compiled" else []


@pytest.fixture(params=[KernelNet, StackNet], ids=["kernel", "stack"])
def net(request):
    """Two ends that can talk."""
    return request.param()


def runner_on(factory):
    """`run(coroutine)`; fails when the loop was told of an exception that the test did not collect."""

    def run_main(main, *, expect_errors=False):
        errors = []

        async def guarded():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: errors.append(context))
            async with asyncio.timeout(30):
                return await main

        runner = asyncio.Runner(loop_factory=factory)
        try:
            result = runner.run(guarded())
        except BaseException:
            # uvloop never finishes closing when its warning of a transport left open is an error
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                runner.close()
            raise
        runner.close()
        if expect_errors:
            return errors
        assert not errors
        return result

    return run_main


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """On the loops as they are."""
    return runner_on(uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop)


@pytest.fixture(params=[SelectorLoop, UvLoop])
def on_loop(request):
    """On ours."""
    return runner_on(request.param)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for "stack.example": (server context, client context)."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=a"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:stack.example", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
        timeout=30,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=cert)


class Place:
    """Where a test body runs: over the kernel on a loop as it is, which is what is right, or over ours on our loops."""

    def __init__(self, factory, *, is_ours):
        self.factory = factory
        self.is_ours = is_ours
        self.run = runner_on(factory)

    def net(self):
        """An async context; `ip` is where a server listens, and clients of the running loop reach it there."""
        return StackNet() if self.is_ours else KernelNet()


_OURS = ((SelectorLoop, True), (UvLoop, True))
_ASYNCIO = (asyncio.SelectorEventLoop, False)


def _name(param):
    factory, is_ours = param
    return f"{'stack' if is_ours else 'kernel'}-{'asyncio' if 'Selector' in factory.__name__ else 'uvloop'}"


@pytest.fixture(params=[_ASYNCIO, (uvloop.new_event_loop, False), *_OURS], ids=_name)
def place(request):
    """The kernel is the oracle."""
    factory, is_ours = request.param
    return Place(factory, is_ours=is_ours)


@pytest.fixture(params=[_ASYNCIO, *_OURS], ids=_name)
def asyncio_place(request):
    """The same, for what uvloop itself does not do."""
    factory, is_ours = request.param
    return Place(factory, is_ours=is_ours)


@pytest.fixture(params=[_ASYNCIO, (UvLoop, False), *_OURS], ids=_name)
def sendfile_place(request):
    """The same, and uvloop's transports on our loop, which gives them what uvloop has not."""
    factory, is_ours = request.param
    return Place(factory, is_ours=is_ours)
