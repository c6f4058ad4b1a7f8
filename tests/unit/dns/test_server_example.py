"""What the head of stack/dns/server.py shows runs as it stands; and what is said of a zone file."""

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


def test_what_is_doubtful_in_a_zone_is_logged(tmp_path, caplog):
    file = tmp_path / "a.zone"
    file.write_text("$TTL 5\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n@ MX 1 m\nm CNAME ns\n")
    zone = dns.load_zone(file, "a.test")
    assert [record.getMessage() for record in caplog.records] == list(zone.warnings)
    assert zone.warnings[0].startswith(f"{file}:4: the mail host m.a.test. has a CNAME record")
