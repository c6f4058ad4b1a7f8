"""The servers of the DNS hierarchy: configurations of NSD, Knot, BIND, unbound, pdns-recursor and dnsmasq.

Each function writes what one server needs into its folder and returns the command that runs it in the foreground.
Nothing of the machine's own configuration is read, and nothing is written elsewhere.
"""

from pathlib import Path

from tests.support.dns_zones import AUTH, AUTH_TOO, BIND, DNSMASQ, HINTS, PDNS, ROOT, TLD, UNBOUND

Command = tuple[str, ...]


def nsd(folder: Path, zones: dict[str, Path]) -> Command:
    """The root.  NSD ignores cookies."""
    lines = [
        "server:",
        f"  ip-address: {ROOT}",
        '  username: ""',
        '  chroot: ""',
        f'  zonesdir: "{folder}"',
        '  database: ""',
        f'  pidfile: "{folder}/nsd.pid"',
        f'  xfrdfile: "{folder}/xfrd.state"',
        f'  zonelistfile: "{folder}/zone.list"',
        f'  xfrdir: "{folder}"',
        "  server-count: 1",
        "  rrl-ratelimit: 0",
        "remote-control:",
        "  control-enable: no",
    ]
    for name, file in zones.items():
        lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{file}"']
    return "nsd", "-d", "-c", written(folder / "nsd.conf", lines)


def knot(folder: Path, zones: dict[str, Path]) -> Command:
    """The top level.  The first query with a client cookie alone gets BADCOOKIE."""
    lines = [
        "server:",
        f"  listen: {TLD}@53",
        f'  rundir: "{folder}"',
        "  udp-workers: 1",
        "  tcp-workers: 1",
        "  background-workers: 1",
        "  user: root",
        "database:",
        f'  storage: "{folder}"',
        "log:",
        "  - target: stderr",
        "    any: info",
        "mod-cookies:",
        "  - id: c",
        "zone:",
    ]
    for name, file in zones.items():
        lines += [f'  - domain: "{name}"', f'    file: "{file}"', "    zonefile-sync: -1", "    module: mod-cookies/c"]
    return "knotd", "-c", written(folder / "knot.conf", lines)


def bind_authority(folder: Path, zones: dict[str, Path]) -> Command:
    """The leaf zones, at two addresses."""
    lines = [
        *_named_options(folder, f"{AUTH}; {AUTH_TOO};"),
        "  recursion no; dnssec-validation no; minimal-responses no; answer-cookie yes; notify no;",
        "  check-names primary ignore;",
        "};",
    ]
    lines += [f'zone "{name}" {{ type primary; file "{file}"; }};' for name, file in zones.items()]
    return "named", "-g", "-n", "1", "-c", written(folder / "named.conf", lines)


def bind_resolver(folder: Path, anchor: str) -> Command:
    """BIND from the root, validating."""
    lines = [
        *_named_options(folder, f"{BIND};"),
        f"  query-source address {BIND};",
        "  recursion yes; allow-query { any; }; allow-recursion { any; }; dnssec-validation yes;",
        "  empty-zones-enable no; qname-minimization strict;",
        "};",
        f'zone "." {{ type hint; file "{written(folder / "root.hints", HINTS.splitlines())}"; }};',
        f"trust-anchors {{ . static-key {_static_key(anchor)}; }};",
    ]
    return "named", "-g", "-n", "1", "-c", written(folder / "named.conf", lines)


def unbound(folder: Path, anchor: str, address: str = UNBOUND, *settings: str) -> Command:
    """unbound from the root, validating; it hands out what has expired, and answers pipelined queries out of order."""
    hints = written(folder / "root.hints", HINTS.splitlines())
    lines = [
        "server:",
        f"  interface: {address}",
        f"  outgoing-interface: {address}",
        "  access-control: 10.53.0.0/24 allow",
        "  do-ip6: no",
        '  username: ""',
        '  chroot: ""',
        f'  directory: "{folder}"',
        '  pidfile: ""',
        "  use-syslog: no",
        '  logfile: ""',
        "  num-threads: 1",
        f'  root-hints: "{hints}"',
        f'  trust-anchor-file: "{written(folder / "root.key", [anchor])}"',
        '  local-zone: "test." nodefault',
        '  local-zone: "10.in-addr.arpa." nodefault',
        "  serve-expired: yes",
        "  aggressive-nsec: yes",
        "  ede: yes",
        "  incoming-num-tcp: 200",
        *(f"  {setting}" for setting in settings),
        "remote-control:",
        "  control-enable: no",
    ]
    return "unbound", "-d", "-c", written(folder / "unbound.conf", lines)


def pdns(folder: Path) -> Command:
    """PowerDNS recursor from the root."""
    empty = folder / "conf"
    empty.mkdir(exist_ok=True)
    settings = {
        "config-dir": str(empty),
        "socket-dir": str(folder),
        "hint-file": written(folder / "root.hints", HINTS.splitlines()),
        "dont-query": "",
        "serve-rfc1918": "no",
        "dnssec": "off",
        "daemon": "no",
        "local-address": PDNS,
        "query-local-address": PDNS,
        "allow-from": "10.53.0.0/24",
        "threads": "1",
        "write-pid": "no",
        "security-poll-suffix": "",
    }
    return "pdns_recursor", *(f"--{name}={value}" for name, value in settings.items())


def dnsmasq(folder: Path) -> Command:
    """A forwarder to unbound, as home routers run it."""
    return (
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
        f"--listen-address={DNSMASQ}", f"--server={UNBOUND}", "--user=root", "--log-facility=-",
        f"--pid-file={folder}/dnsmasq.pid",
    )  # fmt: skip


def written(path: Path, lines: list[str]) -> str:
    """The name of a file with these lines."""
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _named_options(folder: Path, addresses: str) -> list[str]:
    return [
        "controls { };",
        "options {",
        f'  directory "{folder}"; pid-file none; lock-file none; session-keyfile "{folder}/session.key";',
        f'  managed-keys-directory "{folder}"; listen-on {{ {addresses} }}; listen-on-v6 {{ none; }};',
    ]


def _static_key(anchor: str) -> str:
    """`. IN DNSKEY 257 3 13 KEY...` as BIND writes it in trust-anchors."""
    flags, protocol, algorithm, *key = anchor.split("DNSKEY")[1].split()
    return f'{flags} {protocol} {algorithm} "{"".join(key)}"'
