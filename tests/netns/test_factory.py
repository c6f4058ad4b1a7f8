"""The loop of `stack.aio:factory`: plain asyncio programs on a TAP of its own."""

import asyncio
import socket
import threading
from importlib import import_module

import pytest

from stack.aio.transports import StackTransport

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
        with pytest.raises(OSError, match="in use"):
            factory()
        loop.close()
        factory().close()
