"""The loop of `stack.aio:factory`: plain asyncio programs on a TAP of its own."""

import asyncio
import re
import shlex
import signal
import socket
import sys
import threading
from importlib import import_module

import pytest

from stack.aio.transports import StackTransport
from tests.support.netns import ROOT, STACK, wait_until
from tools.netns import stop

pytestmark = pytest.mark.netns


@pytest.fixture
def factory(monkeypatch):
    """As uvicorn gets it from "stack.aio:factory"."""
    monkeypatch.setenv("TAPSTACK_DEV", "tap9")
    monkeypatch.setenv("TAPSTACK_ADDRESS", "198.18.9.2/24")
    monkeypatch.setenv("TAPSTACK_HOST_ADDRESS", "198.18.9.1")
    return getattr(import_module("stack.aio"), "factory")  # noqa: B009  (the name is text there, too)


def devices():
    return {name for _, name in socket.if_nameindex()}


def test_what_was_written_arrives_though_the_program_and_its_loop_end(namespace, factory):
    size = 2_000_000  # more than both ends hold while nobody reads
    got = bytearray()

    async def main(address):
        _, writer = await asyncio.open_connection(*address)
        assert type(writer.transport) is StackTransport
        assert writer.get_extra_info("sockname")[0] == "198.18.9.2"
        writer.write(bytes(size))
        writer.close()

    def read(conn):
        with conn:
            while data := conn.recv(1 << 16):
                got.extend(data)

    with namespace.entered():
        loop = factory()
        assert "tap9" in devices()
        with socket.create_server(("198.18.9.1", 0)) as listener:
            loop.run_until_complete(main(listener.getsockname()))
            reader = threading.Thread(target=read, args=(listener.accept()[0],))
        assert len(got) == 0
        reader.start()
        loop.close()
        reader.join(20)
        assert "tap9" not in devices()
    assert len(got) == size


def test_a_second_loop_on_the_same_device_is_told(namespace, factory):
    with namespace.entered():
        loop = factory()
        with pytest.raises(SystemExit, match="in use"):
            factory()
        loop.close()
        factory().close()


APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{scope['client'][0]} to {scope['server']}".encode()})
"""


@pytest.fixture
def uvicorn(namespace, tmp_path):
    """Starts the command of docs/event-loop.md, with other words in place of some."""
    [command] = re.findall(r"^sudo \.venv/bin/(uvicorn .*)$", (ROOT / "docs/event-loop.md").read_text(), re.MULTILINE)
    (tmp_path / "app.py").write_text(APP)
    log = tmp_path / "log"

    def begin(*variables, host=STACK):
        words = [sys.executable, "-m", *shlex.split(command.replace(STACK, host)), "--app-dir", str(tmp_path)]
        return namespace.start("env", *variables, *words, log=log), log

    return begin


def test_uvicorn_as_the_page_says_it(namespace, uvicorn):
    process, log = uvicorn()
    wait_until(lambda: "running on" in log.read_text() or process.poll() is not None, "it listens")
    assert namespace.run("curl", "-sS", "-m", "10", f"http://{STACK}/").stdout == f"198.18.0.1 to ('{STACK}', 80)"
    second, _ = uvicorn("TAPSTACK_ADDRESS=198.19.0.2/24", "TAPSTACK_HOST_ADDRESS=198.19.0.1")
    assert second.wait(20) != 0
    assert "TAP tapstack0 is in use by another process: choose another name" in log.read_text()
    stop(process, signal.SIGINT)
    assert "Finished server process" in log.read_text()
    assert namespace.run("ip", "-br", "link").stdout.split()[0] == "lo"
    assert len(namespace.run("ip", "-br", "link").stdout.splitlines()) == 1


def test_uvicorn_tells_that_its_device_was_lost(namespace, uvicorn):
    process, log = uvicorn()
    wait_until(lambda: "running on" in log.read_text() or process.poll() is not None, "it listens")
    namespace.ip("link delete tapstack0")
    wait_until(lambda: "disappeared" in log.read_text(), "the loss is told")
    stop(process, signal.SIGINT)
    [line] = [line for line in log.read_text().splitlines() if "the host on it has ended" in line]
    assert line.startswith("tapstack0 disappeared")
    assert "start the program again" in line
    assert "Traceback" not in log.read_text()
    assert "Finished server process" in log.read_text()


def test_uvicorn_on_an_address_that_nobody_has(uvicorn):
    process, log = uvicorn(host="198.18.0.9")
    assert process.wait(20) != 0
    assert "Traceback" not in log.read_text()
    [line] = [line for line in log.read_text().splitlines() if line.startswith("ERROR")]
    assert "198.18.0.9" in line
    assert f"the hosts of this loop have {STACK}, and no interface of the kernel has it" in line
