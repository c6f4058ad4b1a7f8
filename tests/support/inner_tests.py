"""Tests that tests of the pytest plugin run."""

HEAD = """
import asyncio
import pytest

async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()

"""
ECHO = (
    HEAD
    + """
async def say(a, b):
    with b.active():
        server = await asyncio.start_server(echo, port=7)
    with a.active():
        reader, writer = await asyncio.open_connection(b.name, 7)
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    server.close()
    return answer
"""
)
FAILS = """
async def test_it(hosts):
    a, b = hosts(2)
    assert await say(a, b) == b"goodbye"
"""
BESIDE = """
async def test_ours(hosts):
    a, b = hosts(2)
    assert await say(a, b) == b"hello"
    await asyncio.sleep(3000)
"""
