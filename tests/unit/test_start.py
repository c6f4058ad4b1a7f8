"""What is not imported by who has to answer soon: lists of modules, since a duration would be of this machine."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

IMPORT = "import stack"
HOST = "import stack; stack.open_tap, stack.open_device, stack.run"
DAEMON = """
import stack.cli.start
import stack.cli.main
from stack.daemon import private, run, settings
run.StatusLine()
settings.load(None, {})
"""

# what most programs with a host of their own never use
NOT_OF_A_HOST = [
    "click",
    "h11",
    "msgspec",
    "prometheus_client",
    "rich",
    "stack.cli",
    "stack.commit",
    "stack.daemon.attach",
    "stack.daemon.lookups",
    "stack.daemon.server",
    "stack.daemon.settings",
    "stack.device.attached",
    "stack.device.fault",
    "stack.device.fault_device",
    "stack.device.pcap",
    "stack.device.pcapng",
    "stack.device.queues",
    "stack.device.switch",
    "stack.dns",
    "stack.nfs",
    "stack.observe",
    "stack.proxy",
    "stack.rpc",
    "stack.sim",
    "stack.socket",
    "stack.testing",
]
# what the daemon has no use for unless it is set, asked for, or shown on a terminal
NOT_OF_THE_DAEMON = [
    "anyio",
    "dns",
    "httpcore",
    "httpx",
    "matplotlib",
    "rich",
    "stack.adapters",
    "stack.commit",
    "stack.daemon.services.dns",
    "stack.device.fault_device",
    "stack.device.queues",
    "stack.dns.authority",
    "stack.dns.server",
    "stack.dns.zonefile",
    "stack.nfs",
    "stack.rpc.pooling",
    "stack.rpc.rpcbind.server",
    "stack.rpc.rpcbind.service",
    "stack.rpc.server",
    "stack.rpc.x",
    "stack.sim",
    "stack.socket",
    "stack.testing",
]


def imported(program: str, *names: str, **environment: str) -> list[str]:
    """Which of `names` a new Python has after `program`, of packages also by a module of theirs."""
    tell = "import sys; print(*sys.modules, sep='\\n', file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\n{tell}"],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    modules = result.stderr.split()
    assert "stack" in modules
    return [name for name in names if any(module == name or module.startswith(f"{name}.") for module in modules)]


def test_of_the_package_itself_nothing_is_imported_but_the_choice_of_its_form():
    assert imported(IMPORT, "asyncio", "ctypes", "socket", "stack.aio", "stack.app", "stack.errors") == []


def test_a_host_on_a_tap_imports_no_more_than_it_is_made_of():
    assert imported(HOST, *NOT_OF_A_HOST) == []


def test_the_daemon_imports_what_it_serves_and_nothing_else():
    assert imported(DAEMON, *NOT_OF_THE_DAEMON) == []


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (HOST, "asyncio"),
        (HOST, "stack.tcp"),
        (f"{HOST}; stack.app.factory; from stack.daemon import settings", "msgspec"),
        (DAEMON, "stack.dns"),
        (DAEMON, "stack.daemon.server"),
    ],
)
def test_what_is_imported_is_seen(program, name):
    assert imported(program, name) == [name]


def test_on_a_terminal_the_daemon_has_what_draws_its_line_before_it_gives_up_root():
    assert imported(DAEMON, "rich.live", "rich.text", TTY_COMPATIBLE="1") == ["rich.live", "rich.text"]
