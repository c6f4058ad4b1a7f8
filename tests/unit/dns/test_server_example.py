"""What the head of stack/dns/server.py shows runs as it stands."""

from stack import dns
from stack.dns import server as server_module
from stack.sim import run
from tests.support import dns_zones


def test_the_example_at_the_head_of_the_module(tmp_path, monkeypatch):
    (tmp_path / "example.zone").write_text(dns_zones.EXAMPLE_ZONE)
    monkeypatch.chdir(tmp_path)
    lines = [line for line in server_module.__doc__.splitlines() if line.startswith("    server = ")]
    assert len(lines) == 2

    async def main(net):
        hosts = net.add_hosts("one", "two")
        for line, host in zip(lines, hosts, strict=True):
            scope = {"dns": dns, "host": host.stack}
            exec(f"async def example():\n{line}\n    return server", scope)
            async with await scope["example"]() as server:
                assert (len(server.zones), server.port) == (line is lines[0], 53)

    run(main, seed=1)
