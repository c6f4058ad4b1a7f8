"""The kernel's side of the device: its address, the way out for `--uplink`, and their removal.

Theory of operation.  Everything here runs as root, before the daemon gives its rights up, through the
system's own `ip` and `nft`.  What must be undone at the end and needs root is handed to a `Janitor`: a shell
that does nothing but wait for its standard input to end, which happens when the daemon ends in whatever
way (also by SIGKILL), and then runs the commands it was started with.
"""

import ipaddress
import json
import shlex
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from stack.errors import AddressInUse, DeviceError, StackError

_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_COMMAND_S = 10.0
_JANITOR_S = 10.0
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TABLE_PREFIX = "tapstack_"
_WAS_OFF = "forwarding_was_off"


def find_program(name: str) -> str:
    """The full path of a system program; StackError when it is not installed."""
    path = shutil.which(name, path=_SYSTEM_PATH)
    if path is None:
        raise StackError(f"the program {name!r} is missing; scripts/bootstrap.sh run (as root) installs it")
    return path


def _run(*argv: str, text: str | None = None) -> str:
    command = [find_program(argv[0]), *argv[1:]]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        raise DeviceError(f"'{' '.join(argv)}' did not end in {_COMMAND_S:.0f} s") from None
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()
        raise DeviceError(f"'{' '.join(argv)}' failed: {reason[0] if reason else 'no reason given'}")
    return done.stdout


def check_free(device: str, network: ipaddress.IPv4Network) -> None:
    """Raise AddressInUse when another interface of this machine has an address inside `network`."""
    links: list[dict[str, Any]] = json.loads(_run("ip", "-json", "-4", "address", "show") or "[]")
    for link in links:
        for info in link.get("addr_info", []):
            if link.get("ifname") != device and ipaddress.IPv4Address(info["local"]) in network:
                raise AddressInUse(
                    f"address {info['local']} of {network} is in use already on {link['ifname']}; "
                    "choose addresses of another network for the stack and its host"
                )


def exists(device: str) -> bool:
    """Whether our network namespace has a device of that name."""
    return any(name == device for _, name in socket.if_nameindex())


def traffic(device: str) -> dict[str, int]:
    """What the kernel counted on `device`, as the stack sees it: frames and bytes in and out; zeros when it is gone."""
    # /proc/net/dev is that of our own namespace, which /sys need not be.
    for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == device:
            fields = [int(number) for number in numbers.split()]
            return {"rx_frames": fields[9], "rx_bytes": fields[8], "tx_frames": fields[1], "tx_bytes": fields[0]}
    return {"rx_frames": 0, "rx_bytes": 0, "tx_frames": 0, "tx_bytes": 0}


def configure(device: str, address: ipaddress.IPv4Interface, mtu: int) -> None:
    """Give the kernel's end of `device` its address and MTU and bring it up.  Raises DeviceError."""
    # A stack answers for itself: the kernel must not send router solicitations and the like into it.
    with suppress(OSError):  # no IPv6 here, or a container that may not set this: it only makes for some noise
        Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6").write_text("1\n", encoding="ascii")
    _run("ip", "address", "replace", str(address), "dev", device)
    _run("ip", "link", "set", "dev", device, "mtu", str(mtu), "txqueuelen", "10000", "up")


def loopback_up() -> None:
    """In a new network namespace loopback is down, and nobody else is there to bring it up.  Raises DeviceError."""
    _run("ip", "link", "set", "dev", "lo", "up")


def table_name(device: str) -> str:
    """The nftables table that belongs to the daemon on `device`."""
    return _TABLE_PREFIX + "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in device)


class Uplink:
    """A way out for what comes from `network` on `device`: forwarding and masquerading on this host.

    Only connections begun by the stack are let through, whatever else the host forwards.  `undo` holds the
    commands that take it back; they are known before `open` changes anything.
    """

    __slots__ = ("_rules", "undo")

    def __init__(self, device: str, network: ipaddress.IPv4Network) -> None:
        table = table_name(device)
        # The empty chain remembers, for this and any later daemon, that forwarding was off to begin with.
        was_off = _IP_FORWARD.read_text(encoding="ascii").strip() == "0" or _WAS_OFF in _run("nft", "list", "ruleset")
        self._rules = f"""
            table ip {table}
            delete table ip {table}
            table ip {table} {{
                {f"chain {_WAS_OFF} {{ }}" if was_off else ""}
                chain postrouting {{
                    type nat hook postrouting priority srcnat; policy accept;
                    ip saddr {network} oifname != "{device}" masquerade
                }}
                chain forward {{
                    type filter hook forward priority filter; policy accept;
                    oifname "{device}" ct state established,related accept
                    oifname "{device}" drop
                }}
            }}
            """
        self.undo = [["nft", "delete", "table", "ip", table]]
        if was_off:  # the last daemon with an uplink switches it off again
            self.undo.append(["sh", "-c", f"nft list tables ip | grep -q ' {_TABLE_PREFIX}' || echo 0 >{_IP_FORWARD}"])

    def open(self) -> None:
        """Set the rules and switch forwarding on.  Raises DeviceError."""
        _run("nft", "-f", "-", text=self._rules)
        try:
            _IP_FORWARD.write_text("1\n", encoding="ascii")
        except OSError as error:
            raise DeviceError(f"uplink: {_IP_FORWARD} cannot be set: {error.strerror}") from None


class Janitor:
    """A child process, still privileged, that undoes what was set up once this process has ended."""

    __slots__ = ("_process",)

    def __init__(self, commands: list[list[str]]) -> None:
        script = "; ".join(["trap '' INT TERM HUP QUIT", "cat", *(shlex.join(command) for command in commands)])
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={"PATH": _SYSTEM_PATH},
        )

    def finish(self) -> None:
        """Have it run now and wait for it, at most ten seconds."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):  # then it goes on alone
            self._process.wait(_JANITOR_S)
