"""What the page is made of, over an HTTP connection that keeps what is written."""

import asyncio
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack.daemon import report, view
from stack.daemon.services.http import IDLE_S, HttpConnection, HttpService, Site
from stack.daemon.settings import Settings, load
from stack.daemon.view import MAX_WATCHERS, View, load_files
from stack.errors import ConfigError
from stack.observe.observer import Observer
from tests.support.aio_nets import SERVER_IP, StackNet
from tests.support.memory_transport import MemoryTransport, settle

TRAFFIC = dict.fromkeys(("rx_bytes", "tx_bytes", "rx_frames", "tx_frames"), 7)


class Page:
    """A page of a host on a virtual link."""

    def __init__(self, net, settings=None):
        def status(most):
            daemon = {"device": net.server.driver.devices()[1].name, "address": "198.18.0.2/24"}
            daemon |= {"uptime_s": 5, "http_requests": 1}
            return {"daemon": daemon, "traffic": TRAFFIC, **report.from_host(net.server.host, most)}

        settings = settings or Settings()
        self.observer = Observer(net.server.driver, status, lambda: TRAFFIC)
        self.names = []
        made = View(
            settings, self.observer, load_files(), lambda peer: f"<p>{peer[0]}</p>", lambda most: self.names[:most]
        )
        self.service = HttpService(Site(lambda peer: "index", view=made))

    def open(self, path, host="198.18.0.2", peer="198.18.0.1", **kwargs):
        connection = HttpConnection(self.service)
        transport = MemoryTransport(connection, peer=(peer, 40_000), **kwargs)
        connection.data_received(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return connection, transport

    def get(self, path, **kwargs):
        """(status, headers, body)"""
        head, _, body = self.open(path, **kwargs)[1].take().partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:]), body


def run(scenario, settings=None):
    async def whole():
        async with StackNet() as net:
            return await scenario(net, Page(net, settings))

    return asyncio.run(asyncio.wait_for(whole(), 30))


def chunks(data):
    """The events in a chunked body."""
    return [json.loads(line[6:]) for line in data.split(b"\r\n") if line.startswith(b"data: ")]


# -- files and snapshots


def test_the_page_and_its_files_are_served_under_a_strict_policy():
    async def scenario(_net, page):
        return {path: page.get(path) for path in ("/", *(f"/view/{name}" for name in load_files()))}

    for path, (status, headers, body) in run(scenario).items():
        assert status == 200, path
        assert body
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_has_no_script_or_style_within_and_asks_nobody_else():
    files = {name: data.decode() for name, data in load_files().items()}
    assert "uPlot.js" in files
    assert "style=" not in files["index.html"]
    assert "<script>" not in files["index.html"]
    for name, text in files.items():
        outside = [word for word in text.split('"') if word.startswith(("http:", "https:", "//"))]
        assert [word for word in outside if "w3.org" not in word] == [], name
    assert "innerHTML" not in "".join(files[name] for name in ("app.js", "parts.js", "packets.js"))


def test_nothing_leads_out_of_the_folder():
    async def scenario(_net, page):
        paths = ("/view/../view.py", "/view/..%2fview.py", "/view/", "/view/uPlot.LICENSE", "/view/nothing")
        return [page.get(path)[0] for path in paths]

    assert run(scenario) == [404] * 5


def test_snapshot_history_and_names():
    async def scenario(net, page):
        async with await net.server.start_server(lambda _r, _w: None, port=7):
            _, writer = await net.client.open_connection(SERVER_IP, 7)
            await asyncio.sleep(0.02)  # the last ACK of the handshake
            page.observer.start()
            page.observer.stop()
            page.names = [("www.example.", "A", 60, "192.0.2.1")]
            status = json.loads(page.get("/view/status")[2])
            key = status["connections"][0]["key"].replace(":", "%3A")
            told = [
                json.loads(page.get(path)[2])
                for path in ("/view/history", f"/view/history?connection={key}", "/view/names")
            ]
            writer.close()
            return status, *told

    status, totals, points, names = run(scenario)
    assert (status["connection_count"], status["connections"][0]["state"]) == (1, "ESTABLISHED")
    assert totals["rows"][0][totals["columns"].index("connections")] == 1
    assert points["rows"][0][points["columns"].index("cwnd")] > 0
    assert names["entries"] == [{"name": "www.example.", "type": "A", "ttl": 60, "data": "192.0.2.1"}]


def test_metrics_parse_and_have_no_label_of_a_peer():
    async def scenario(net, page):
        async with await net.server.start_server(lambda _r, _w: None, port=7):
            _, writer = await net.client.open_connection(SERVER_IP, 7)
            await asyncio.sleep(0.02)  # the last ACK of the handshake
            status, headers, body = page.get("/metrics")
            writer.close()
            return status, headers, body.decode()

    status, headers, text = run(scenario)
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    states = {sample.labels["state"]: sample.value for sample in families["tapstack_connections"].samples}
    assert (states["ESTABLISHED"], sum(states.values())) == (1, 1)
    assert families["tapstack_tcp_in_segs"].type == "counter"
    labels = {value for family in families.values() for sample in family.samples for value in sample.labels.values()}
    assert not any("10.0.0." in label for label in labels)


# -- who may look


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("198.18.0.2", 200),
        ("198.18.0.2:80", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("LocalHost", 200),
        ("stack.example:80", 200),
        ("evil.example", 421),
        ("198.18.0.2.evil.example", 421),
        ("", 421),
    ],
)
def test_a_name_that_is_not_ours_is_refused(host, status):
    settings = load(None, {"page": {"names": ["Stack.example"]}})

    async def scenario(_net, page):
        return [page.get(path, host=host)[0] for path in ("/", "/view/events", "/metrics", "/plain")]

    assert set(run(scenario, settings)) == {status}


@pytest.mark.parametrize(("allow", "status"), [([], 403), (["203.0.113.0/24"], 200)])
def test_who_is_in_no_network_that_may_look_is_refused(allow, status):
    async def scenario(_net, page):
        return page.get("/", peer="203.0.113.5")[0]

    assert run(scenario, load(None, {"page": {"allow": allow}})) == status


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ({"allow": ["198.18.0.2/24"]}, "page.allow: .* is no network"),
        ({"allow": ["everybody"]}, "page.allow"),
        ({"names": ["http://x"]}, "page.names has 'http://x'"),
        ({"colour": 1}, "page.colour is not a setting"),
    ],
)
def test_settings_that_cannot_be_are_told(page, says):
    with pytest.raises(ConfigError, match=says):
        load(None, {"page": page})


# -- streams


def test_events_begin_with_a_snapshot_and_go_on_until_the_watcher_leaves():
    async def scenario(_net, page):
        connection, transport = page.open("/view/events")
        first = chunks(transport.take())
        page.observer.ticks.publish(b'{"n":1}', 7)
        second = chunks(transport.take())
        during = dict(page.observer.watchers)
        connection.connection_lost(None)
        return len(first), second, during, page.observer.watchers, len(page.observer.ticks.subscriptions)

    assert run(scenario) == (1, [{"n": 1}], {"page": 1}, {"page": 0}, 0)


def test_a_watcher_that_does_not_read_gets_the_newest_when_it_does():
    async def scenario(_net, page):
        _, transport = page.open("/view/events", full_at=1)
        assert transport.writing_paused
        for number in range(50):
            page.observer.ticks.publish(b'{"n":%d}' % number, 10)
        held = len(page.observer.ticks.subscriptions.copy().popitem()[0])
        told = chunks(b"".join(transport.take() for _ in range(5)))
        return held, len(told), told[-1]

    assert run(scenario) == (1, 2, {"n": 49})


def test_watchers_are_bounded_and_their_places_come_back():
    async def scenario(_net, page):
        opened = [page.open("/view/events")[0] for _ in range(MAX_WATCHERS)]
        refused = page.get("/view/packets")
        opened[0].connection_lost(None)
        return refused[0], refused[2], page.get("/view/packets")[0]

    status, text, later = run(scenario)
    assert (status, later) == (503, 200)
    assert b"watchers already" in text


def test_whoever_says_something_more_during_a_stream_is_left():
    async def scenario(_net, page):
        connection, transport = page.open("/view/events")
        connection.data_received(b"x")
        return transport.closed

    assert run(scenario)


def test_draining_ends_streams():
    async def scenario(_net, page):
        connection, transport = page.open("/view/events")
        connection.close_if_idle()
        return transport.closed, transport.take()[-5:], page.observer.watchers

    assert run(scenario) == (True, b"0\r\n\r\n", {"page": 0})


def test_packets_come_in_batches_with_their_headers(monkeypatch):
    monkeypatch.setattr(view, "PACKETS_EVERY_S", 0.01)

    async def scenario(net, page):
        connection, transport = page.open("/view/packets?filter=icmp%20and%20in")
        opened = chunks(transport.take())
        await net.client.ping(SERVER_IP)
        with pytest.raises(OSError):
            await net.client.open_connection(SERVER_IP, 9)
        await asyncio.sleep(0.05)
        got = chunks(transport.take())
        connection.connection_lost(None)
        await settle()
        return opened, got, net.server.host.trace, page.observer.watchers

    opened, got, trace, watchers = run(scenario)
    assert opened == [{"packets": [], "lost": 0}]
    assert [packet["text"].partition(",")[0] for event in got for packet in event["packets"]] == ["echo request"]
    assert (trace, watchers) == (None, {"packets": 0})


def test_a_packet_has_its_remark_and_layers(monkeypatch):
    monkeypatch.setattr(view, "PACKETS_EVERY_S", 0.01)

    async def scenario(net, page):
        connection, transport = page.open("/view/packets?filter=tcp")
        with pytest.raises(OSError):
            await net.client.open_connection(SERVER_IP, 9)
        await asyncio.sleep(0.05)
        got = chunks(transport.take())
        connection.connection_lost(None)
        return [packet for event in got for packet in event["packets"]]

    syn, reset = run(scenario)
    assert (syn["in"], syn["note"], [name for name, _ in syn["layers"]]) == (
        True,
        "dropped: tcp_no_port",
        ["Ethernet", "IPv4", "TCP"],
    )
    assert (reset["in"], reset["note"]) == (False, "reset: no such connection")
    assert "[RST ACK]" in reset["text"]
    assert dict(reset["layers"][1][1])["total length"] == "40"


def test_a_stream_without_packets_is_kept_and_a_viewer_that_does_not_read_is_not(monkeypatch):
    monkeypatch.setattr(view, "QUIET_S", 0.01)

    async def scenario(_net, page):
        quiet, stalled = page.open("/view/packets?filter=icmp"), page.open("/view/packets?filter=icmp", full_at=1)
        quiet[1].take()
        for connection, _ in (quiet, stalled):
            connection.moved_at -= IDLE_S + 1
        await asyncio.sleep(0.1)
        page.service.sweep()
        told = quiet[1].take()
        for connection, _ in (quiet, stalled):
            connection.connection_lost(None)
        return told, quiet[1].aborted, stalled[1].aborted

    told, *aborted = run(scenario)
    assert set(told.split(b"\r\n")) == {b"3", b":\n\n", b""}
    assert aborted == [False, True]


def test_too_many_packets_are_counted_and_not_kept(monkeypatch):
    monkeypatch.setattr(view, "PACKETS_EVERY_S", 0.01)

    async def scenario(net, page):
        connection, transport = page.open("/view/packets")
        for _ in range(200):
            with pytest.raises(OSError):
                await net.client.open_connection(SERVER_IP, 9)
            if transport.total > 10_000:
                break
        queue = next(iter(page.observer.packets.topic.subscriptions))
        for _ in range(100):
            queue.put(object(), 1)
        lost = queue.lost
        connection.connection_lost(None)
        return lost, page.observer.packets.topic.total_lost()

    lost, total = run(scenario)
    assert lost >= 40
    assert total == lost


def test_a_wrong_filter_is_told_in_one_sentence():
    async def scenario(_net, page):
        return page.get("/view/packets?filter=tpc")

    status, _, body = run(scenario)
    assert (status, body.count(b"\n")) == (400, 1)
    assert b"unknown word 'tpc'" in body
