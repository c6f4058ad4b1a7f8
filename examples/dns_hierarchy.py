"""A DNS of one's own on virtual time: root, top level and leaf servers, and a resolver that explains each step.

python examples/dns_hierarchy.py [NAME] [TYPE]
"""

import sys

import stack.sim
from stack import dns

HEAD = "$TTL 300\n@ SOA ns hostmaster 1 1800 900 604800 60\n"


async def main(net: stack.sim.VirtualNet) -> None:
    """Resolve one name, twice."""
    name = sys.argv[1] if len(sys.argv) > 1 else "www.example.test"
    rrtype = sys.argv[2] if len(sys.argv) > 2 else "A"
    root, tld, leaf, client = net.add_hosts("root", "tld", "leaf", "client")
    zones = {
        root: (".", f"@ NS a.root.\na.root. A {root.address}\ntest. NS ns.test.\nns.test. A {tld.address}"),
        tld: ("test", f"@ NS ns\nns A {tld.address}\nexample NS ns.example\nns.example A {leaf.address}"),
        leaf: ("example.test", f"@ NS ns\nns A {leaf.address}\nwww A 192.0.2.80\nalias CNAME www\n*.wild TXT wild"),
    }
    servers = [
        await dns.serve([dns.Zone.parse(HEAD + text, dns.Name.parse(origin))], host=host)
        for host, (origin, text) in zones.items()
    ]
    async with dns.Resolver.iterative(hints=[root.address], host=client) as resolver:
        print(await resolver.explain(name, rrtype))
        asked = [server.stats["queries"] for server in servers]
        print(f"\nThe servers of root, test and example.test were asked {asked} times.  Once more:\n")
        print(await resolver.explain(name, rrtype))
        print(f"\nand still they were asked {[server.stats['queries'] for server in servers]} times.")
    for server in servers:
        await server.aclose()


stack.sim.run(main, seed=1)
