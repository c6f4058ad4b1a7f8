"""`stack.open_tun` in a namespace: ping and curl towards us, our client towards the kernel's server."""

import re
import sys

import pytest

from tests.support.netns import HOST, ROOT, STACK, Namespace, need, wait_until

pytestmark = pytest.mark.netns

SERVER = """
import asyncio, sys
import stack

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    body = b"tun" * 400_000
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    writer.close()

async def main():
    async with stack.open_tun("tun7", offload=sys.argv[1] == "offload") as host:
        await host.start_server(answer, port=80)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            reader, writer = await host.open_connection("198.18.0.1", int(line))
            writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
            print((await reader.readline()).decode().strip(), len(await reader.read()), flush=True)
            writer.close()

asyncio.run(main())
"""


@pytest.fixture(params=["offload", "plain"])
def host(request, namespace):
    need("ping", "curl")
    process = namespace.start(sys.executable, "-c", SERVER, request.param, stdin=-1)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()


def test_ping_and_curl(namespace: Namespace, host):
    pinged = namespace.run("ping", "-c", "3", "-i", "0.2", "-s", "1400", STACK).stdout
    assert "3 received, 0% packet loss" in pinged
    size = namespace.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"http://{STACK}/")
    assert size.stdout == "200 1200000"
    neighbours = namespace.run("ip", "neighbour", "show", "dev", "tun7").stdout
    assert neighbours == ""


def test_our_client_reaches_the_kernels_server(namespace: Namespace, host, tmp_path):
    (tmp_path / "index.html").write_bytes(b"x" * 700_000)
    namespace.start(sys.executable, "-m", "http.server", "8000", "--bind", HOST, "--directory", str(tmp_path))
    wait_until(lambda: namespace.run("nc", "-z", HOST, "8000", check=False).returncode == 0, "the server answers")
    host.stdin.write("8000\n")
    host.stdin.flush()
    status, *rest = host.stdout.readline().rsplit(" ", 1)
    assert status.startswith("HTTP/1.0 200")
    assert int(rest[0]) > 700_000


def test_the_program_of_the_page(namespace: Namespace):
    need("curl")
    page = (ROOT / "docs" / "links.md").read_text()
    whole = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "stack.run(main())" in block]
    [program] = [block for block in whole if "open_tun" in block and "start_server" in block]
    namespace.start(sys.executable, "-c", program)
    curl = ("curl", "-sS", "--retry", "50", "--retry-delay", "1", "--retry-all-errors", "-m", "20", f"http://{STACK}/")
    assert namespace.run(*curl).stdout == "hello\n"


def test_the_transparent_program_of_the_page(namespace: Namespace):
    need("nc")
    page = (ROOT / "docs" / "links.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [program] = [block for block in blocks if "start_transparent_server" in block]
    namespace.start(sys.executable, "-c", program)
    wait_until(lambda: "UP" in namespace.run("ip", "link", "show", "tun7", check=False).stdout, "the device is there")
    namespace.ip("route add 203.0.113.0/24 dev tun7")
    wanted = ("nc", "-w", "20", "203.0.113.9", "4321")
    wait_until(
        lambda: namespace.run(*wanted, check=False).stdout == "you wanted 203.0.113.9, port 4321\n", "it answers"
    )


TRANSPARENT = """
import asyncio
import stack

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    body = ("%s %d" % writer.get_extra_info("sockname")).encode()
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    writer.close()

async def main():
    async with stack.open_tun("tun7") as host:
        await host.start_transparent_server(answer, "203.0.113.0/24")
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_curl_reaches_any_address_of_a_transparent_server(namespace: Namespace):
    need("curl")
    process = namespace.start(sys.executable, "-c", TRANSPARENT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    namespace.ip("route add 203.0.113.0/24 dev tun7")
    for address, port in (("203.0.113.9", 80), ("203.0.113.200", 4321)):
        out = namespace.run("curl", "-sS", "--max-time", "20", f"http://{address}:{port}/").stdout
        assert out == f"{address} {port}"
