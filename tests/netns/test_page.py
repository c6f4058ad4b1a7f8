"""The daemon's web page in a real browser: every tab, plots that move, on a laptop and on a phone.

`TAPSTACK_PICTURES=FOLDER` keeps screenshots for people to look at.
"""

import itertools
import os
import signal
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.netns import STACK, need

pytestmark = pytest.mark.netns
TABS = ["overview", "connections", "neighbours", "routes", "counters", "packets", "names", "services"]
PORTS = itertools.count(45_001)
KEYS = {"End": 35, "Home": 36, "ArrowRight": 39}
PIXELS = "document.querySelector('%s canvas').toDataURL()"
POINTS = "Number(document.querySelector('%s').dataset.points)"


@pytest.fixture(scope="module")
def browser(stack):
    need("chromium", "curl")
    with Browser(stack.namespace) as made:
        made.size(1280, 800)
        made.call("Page.navigate", url=f"http://{STACK}/")
        made.until("document.readyState === 'complete' && document.querySelector('#live')?.textContent === 'live'")
        yield made


@pytest.fixture
def download(stack):
    """A long one, at 2 MB/s."""
    port = next(PORTS)
    process = stack.namespace.start(
        *("curl", "-s", "--limit-rate", "2M", "-o", "/dev/null"),
        *("--local-port", str(port), f"http://{STACK}/bytes/900000000"),
    )
    yield port
    process.kill()
    process.wait()


def show(browser, tab):
    browser.evaluate(f"document.getElementById('tab-{tab}').click()")
    browser.until(f"!document.getElementById('{tab}').hidden && page.tab === '{tab}'")


def picture(browser, name):
    if folder := os.environ.get("TAPSTACK_PICTURES"):
        browser.picture(Path(folder) / f"{name}.png")


def moves(browser, plot):
    """Wait until a plot has more points and looks otherwise."""
    browser.until(f"document.querySelector('{plot} canvas') !== null")
    points, pixels = browser.evaluate(POINTS % plot), browser.evaluate(PIXELS % plot)
    browser.until(f"{POINTS % plot} > {points} && {PIXELS % plot} !== {pixels!r}")


def complaints(browser):
    """Errors of scripts, violations of the policy, requests to anywhere else."""
    wrong = []
    for event in browser.events():
        method, told = event["method"], event["params"]
        if method == "Runtime.exceptionThrown" or (method == "Log.entryAdded" and told["entry"]["level"] == "error"):
            wrong.append(told)
        if method == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning"}:
            wrong.append(told)
        if method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(f"http://{STACK}/"):
            wrong.append(told["request"]["url"])
    return wrong


def test_every_tab_opens_and_the_plots_move(browser, download):
    for tab in TABS:
        show(browser, tab)
        assert browser.evaluate("document.querySelectorAll('main > section:not([hidden])').length") == 1
        assert browser.evaluate("document.getElementById('main').innerText.trim().length") > 20
        picture(browser, tab)
    show(browser, "overview")
    moves(browser, "#plots .plot")
    browser.until("document.querySelector('#plots figcaption').innerText.includes('MiB/s')")
    assert complaints(browser) == []


def test_a_connection_that_is_clicked_shows_its_window_rtt_and_throughput(browser, download):
    show(browser, "connections")
    first = "document.querySelector('#conntable tbody tr')"  # sorted by rate
    browser.until(f"{first}?.innerText.includes(':{download}') && {first}.innerText.includes('MiB/s')")
    browser.evaluate(f"{first}.click()")
    browser.until("document.querySelectorAll('#detail .plot canvas').length === 3")
    moves(browser, "#detail .plot")
    picture(browser, "detail")
    facts = browser.evaluate("document.querySelector('#detail dl').innerText")
    assert "ESTABLISHED" in facts
    assert "cubic" in facts
    browser.evaluate("document.querySelector('#detail > button').click()")
    browser.until("document.getElementById('detail').hidden")
    assert complaints(browser) == []


def test_packets_are_listed_decoded_filtered_and_held(browser, stack):
    show(browser, "packets")
    browser.evaluate(
        "document.getElementById('filter').value = 'icmp'; document.querySelector('#packetform button').click()"
    )
    browser.until("page.packets.source?.readyState === 1")
    stack.namespace.run("ping", "-c", "3", "-i", "0.05", STACK)
    rows = "document.querySelectorAll('#packetlist tbody tr')"
    browser.until(f"{rows}.length === 6")
    browser.evaluate(f"{rows}[5].querySelector('button').click()")
    detail = browser.evaluate("document.getElementById('packetdetail').innerText")
    assert all(word in detail for word in ("Ethernet", "IPv4", "ICMP", "echo request", "TTL", STACK))
    picture(browser, "packet")
    browser.evaluate("document.getElementById('pause').click()")
    stack.namespace.run("ping", "-c", "1", STACK)
    assert browser.evaluate(f"{rows}.length") == 6
    browser.evaluate("document.getElementById('filter').value = 'tpc'; document.getElementById('pause').click()")
    browser.evaluate("document.querySelector('#packetform button').click()")
    browser.until("document.getElementById('packetcount').innerText.includes('unknown word')")
    browser.evaluate("document.getElementById('filter').value = ''")
    refused = [one for one in complaints(browser) if "400" not in str(one)]  # the refusal of the filter is logged
    assert refused == []


def test_it_can_be_used_with_the_keyboard_and_read_to_people(browser):
    browser.evaluate("document.getElementById('tab-overview').focus(); document.getElementById('tab-overview').click()")
    for key, tab in (
        ("ArrowRight", "connections"),
        ("ArrowRight", "neighbours"),
        ("End", "services"),
        ("Home", "overview"),
    ):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])
        browser.until(f"page.tab === '{tab}' && document.activeElement.id === 'tab-{tab}'")
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in tree if not node["ignored"]]
    assert roles.count("tab") == len(TABS)
    assert "tabpanel" in roles
    names = [node.get("name", {}).get("value") for node in tree if node["role"]["value"] in {"image", "tab", "button"}]
    assert all(names)


def test_on_a_phone_nothing_is_wider_than_the_screen_by_day_and_night(browser, download):
    browser.size(390, 844, mobile=True)
    try:
        for dark in (False, True):
            browser.dark(dark)
            for tab in TABS:
                show(browser, tab)
                browser.evaluate("new Promise((done) => setTimeout(done, 200))")
                assert browser.evaluate("document.documentElement.scrollWidth") <= 390, tab
                picture(browser, f"phone-{tab}-{'dark' if dark else 'light'}")
            colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, colour[4:-1].split(","))) < 200) == dark
        show(browser, "overview")
        moves(browser, "#plots .plot")
    finally:
        browser.dark(False)
        browser.size(1280, 800)


def test_a_daemon_that_falls_silent_is_told_and_found_again(browser, stack):
    """The connection does not end: as when a daemon is killed, and its TCP with it."""
    badge = "document.getElementById('live').textContent"
    show(browser, "packets")
    browser.evaluate(
        "document.getElementById('filter').value = ''; document.querySelector('#packetform button').click()"
    )
    browser.until("page.packets.source?.readyState === 1")
    browser.evaluate("page.patience = 1500; page.silent = [page.source, page.packets.source]; 0")
    stack.process.send_signal(signal.SIGSTOP)
    try:
        browser.until(f"{badge} === 'no answer, trying again'")
        browser.until("page.source !== page.silent[0] && page.packets.source !== page.silent[1]")
        picture(browser, "silent")
    finally:
        stack.process.send_signal(signal.SIGCONT)
    browser.until(f"{badge} === 'live' && page.packets.source?.readyState === 1")
