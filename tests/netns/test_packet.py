"""`stack.open_packet` in namespaces: a host of ours at a veth end, and at a bridge that is there; only CAP_NET_RAW.

There a machine of the kernel's has an address of its own at the same interface, and passes packets on: it must not
answer in our place, nor we in its.
"""

import re
import sys

import pytest

from tests.support.netns import CLIENT, HOST, PREFIX, ROOT, STACK, Namespace, need, wait_until

pytestmark = pytest.mark.netns

KERNEL = "198.18.0.4"  # has the interface that our host is at
SERVER = """
import asyncio, sys
import stack

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    body = b"packet" * 200_000
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    writer.close()

async def main(interface, mac):
    address = bytes.fromhex(mac) if mac else None
    async with stack.open_packet(interface, "198.18.0.2/24", gateway="198.18.0.1", mac=address) as host:
        await host.start_server(answer, port=80)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            reader, writer = await host.open_connection("198.18.0.1", int(line))
            writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
            print((await reader.readline()).decode().strip(), len(await reader.read()), flush=True)
            writer.close()

asyncio.run(main(*sys.argv[1:]))
"""
NET_RAW_ONLY = ("setpriv", "--bounding-set=-all,+net_raw", "--inh-caps=-all,+net_raw")


def begin(namespace: Namespace, interface: str, mac: str = ""):
    """Our host, with the right for packet sockets and no other."""
    process = namespace.start(*NET_RAW_ONLY, sys.executable, "-c", SERVER, interface, mac, stdin=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def pair(namespace):
    """The kernel's namespace, and one at the other end of its veth pair, which has no address."""
    need("ping", "curl")
    with Namespace() as near:
        namespace.ip(f"link add veth0 type veth peer name veth1 netns {near.name}")
        namespace.ip(f"address add {HOST}/{PREFIX} dev veth0")
        namespace.ip("link set veth0 up")
        near.ip("link set veth1 up")
        yield namespace, near


def fetch(client: Namespace) -> str:
    """What curl says of our page."""
    command = ("curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"http://{STACK}/")
    return client.run(*command).stdout


def test_ping_curl_and_our_client(pair, tmp_path):
    kernel, near = pair
    process = begin(near, "veth1")
    assert "3 received, 0% packet loss" in kernel.run("ping", "-c", "3", "-i", "0.2", "-s", "1400", STACK).stdout
    assert fetch(kernel) == "200 1200000"
    (tmp_path / "index.html").write_bytes(b"x" * 700_000)
    kernel.start(sys.executable, "-m", "http.server", "8000", "--bind", HOST, "--directory", str(tmp_path))
    wait_until(lambda: kernel.run("nc", "-z", HOST, "8000", check=False).returncode == 0, "the server answers")
    process.stdin.write("8000\n")
    process.stdin.flush()
    status, size = process.stdout.readline().rsplit(" ", 1)
    assert status.startswith("HTTP/1.0 200")
    assert int(size) > 700_000
    super_segments = kernel.link_statistics("veth0")
    assert super_segments["rx_packets"] < 1_200_000 / 1448  # they came whole


def test_down_up_and_gone(pair):
    kernel, near = pair
    process = begin(near, "veth1")
    near.ip("link set veth1 down")
    near.ip("link set veth1 up")
    wait_until(lambda: kernel.run("ping", "-c", "1", "-W", "1", STACK, check=False).returncode == 0, "it answers again")
    assert fetch(kernel) == "200 1200000"
    near.ip("link set veth1 down")
    near.ip("link delete veth1")
    line = process.stdout.readline()
    assert line.startswith("veth1 disappeared (No such device): the host on it has ended")


@pytest.fixture
def bridged(namespace):
    """A bridge that is there, in a namespace with an address and forwarding, and a client at it; our host joins."""
    need("ping", "curl")
    with Namespace() as client:
        namespace.ip("link add br0 type bridge")
        namespace.ip(f"link add port type veth peer name eth0 netns {client.name}")
        namespace.ip("link set port master br0 up")
        namespace.ip(f"address add {KERNEL}/{PREFIX} dev br0")
        namespace.ip("link set br0 up")
        namespace.sysctl("net.ipv4.ip_forward=1")
        client.ip(f"address add {CLIENT}/{PREFIX} dev eth0")
        client.ip("link set eth0 up")
        yield namespace, client


def test_at_a_bridge_beside_the_kernel(bridged):
    machine, client = bridged
    begin(machine, "br0")
    assert "3 received, 0% packet loss" in client.run("ping", "-c", "3", "-i", "0.2", STACK).stdout
    assert "3 received, 0% packet loss" in client.run("ping", "-c", "3", "-i", "0.2", KERNEL).stdout
    assert fetch(client) == "200 1200000"
    table = client.run("ip", "neighbour", "show").stdout
    macs = {line.split()[0]: line.split()[4] for line in table.splitlines()}
    assert macs[STACK] != macs[KERNEL]
    resets = client.run("nstat", "-asz", "TcpOutRsts", "TcpEstabResets").stdout
    assert re.search(r"TcpEstabResets\s+0\s", resets)
    assert redirects(machine) == 0


def test_with_the_address_of_the_kernels_interface_it_meddles(bridged):
    """The control: a MAC address of our own is what keeps the kernel out; else it passes our packets on."""
    machine, client = bridged
    theirs = machine.run("cat", "/sys/class/net/br0/address").stdout.strip().replace(":", "")
    begin(machine, "br0", theirs)
    client.run("ping", "-c", "3", "-i", "0.2", "-W", "1", STACK, check=False)
    assert redirects(machine) > 0


def redirects(machine: Namespace) -> int:
    """How often the kernel has told somebody of a better way to us: it took our packets."""
    return int(machine.run("nstat", "-asz", "IcmpOutRedirects").stdout.split()[-2])


def test_the_program_of_the_page(pair):
    kernel, near = pair
    page = (ROOT / "docs" / "links.md").read_text()
    [program] = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "open_packet" in block]
    near.start(*NET_RAW_ONLY, sys.executable, "-c", program)
    curl = ("curl", "-sS", "--retry", "50", "--retry-delay", "1", "--retry-all-errors", "-m", "20", f"http://{STACK}/")
    assert kernel.run(*curl).stdout == "hello\n"
