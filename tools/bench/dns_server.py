"""unbound as the DNS benchmarks ask it: alone, at one address, with an answer of its own to every name of one zone.

`configuration` is all it needs; nothing is resolved, so that what is measured is who asks.
"""

from pathlib import Path

from tools.bench.dns_clients import ADDRESSES, ZONE

CONFIGURATION = """\
server:
  interface: {address}
  access-control: 0.0.0.0/0 allow
  do-ip6: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  num-threads: 1
  local-zone: "{zone}." redirect
{addresses}
remote-control:
  control-enable: no
"""


def command(folder: Path, address: str) -> tuple[str, ...]:
    """Writes the configuration; the command that runs it in the foreground."""
    addresses = "\n".join(f'  local-data: "{ZONE}. 60 A {each}"' for each in ADDRESSES)
    file = folder / "bench-unbound.conf"
    file.write_text(CONFIGURATION.format(address=address, folder=folder, zone=ZONE, addresses=addresses))
    return "unbound", "-d", "-c", str(file)
