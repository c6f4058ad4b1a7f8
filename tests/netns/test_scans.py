"""nmap finds what is open, nothing else, and does no harm."""

import re

import pytest

from tests.support.netns import STACK, need
from tests.support.rfc import rfc

pytestmark = [pytest.mark.netns, pytest.mark.interop]
SERVICES = {7, 9, 13, 19}


def ports(output: str) -> dict[int, str]:
    """Port and state of each line of nmap's grepable output."""
    return {int(port): state for port, state in re.findall(r"[ \t](\d+)/([a-z|]+)/", output)}


def scan(namespace, *arguments, timeout=100.0):
    need("nmap")
    return namespace.run("nmap", "-n", "-Pn", *arguments, "-oG", "-", STACK, timeout=timeout).stdout


@rfc("9293", "3.10.7.1", "T-RST-1")
def test_a_syn_scan_of_all_ports_finds_exactly_the_open_ones(stack):
    out = scan(stack.namespace, "-sS", "-p-")
    assert {port for port, state in ports(out).items() if state == "open"} == SERVICES | {80}
    assert re.search(r"Ignored State: closed \(65530\)", out), out


@rfc("1122", "4.1.3.1", "UDP-3")
def test_a_udp_scan_tells_open_from_closed(stack):
    found = ports(scan(stack.namespace, "-sU", "-p", "7,9,13,19,20-60", "--max-retries", "3"))
    assert {port: found.pop(port, "") for port in SERVICES} == {7: "open", 9: "open|filtered", 13: "open", 19: "open"}
    assert set(found.values()) <= {"closed"}


@pytest.mark.timeout(180)
def test_os_detection_finishes_while_ping_is_answered_throughout(stack):
    need("nmap")
    ping = stack.namespace.start("ping", "-i", "0.1", "-w", "120", STACK)
    out = stack.namespace.run("nmap", "-n", "-Pn", "-O", "-p", "80,81", STACK, timeout=110).stdout
    assert "OS detection performed" in out
    ping.send_signal(2)  # SIGINT: ping ends with its summary
    summary = ping.communicate(timeout=10)[0]
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", summary).groups())
    assert sent > 10
    assert received >= sent - 1, summary  # the last one may be on its way
