import re
from html.parser import HTMLParser

from stack.daemon import page


def connection(**changes):
    return {
        "local_addr": "198.18.0.2",
        "local_port": 80,
        "remote_addr": "198.18.0.1",
        "remote_port": 40_000,
        "state": "ESTABLISHED",
        "srtt_us": 150,
        "cwnd": 14_480,
        "mss": 1448,
        "snd_wnd": 65_536,
        "delivered": 1 << 20,
        "in_flight": 0,
        "retransmits": 3,
        "options": ["ts", "sack"],
        "congestion": "cubic",
        **changes,
    }


def status(*connections):
    return {
        "daemon": {"device": "tapstack0", "address": "198.18.0.2/24", "uptime_s": 3725, "http_requests": 1},
        "connections": list(connections),
        "connection_count": len(connections),
        "drops": {"udp_no_port": 2, "tcp_paws": 1},
        "counters": {"tcp_retrans_segs": 7},
        "traffic": {"tx_bytes": 5 << 20, "rx_bytes": 100},
    }


class Balance(HTMLParser):
    """Fails on tags that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.text = []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def render(*connections, peer=("198.18.0.1", 40_000)):
    html = page.render(status(*connections), peer)
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    return html, " ".join(parser.text)


def test_page_says_who_is_connected_and_how():
    _, text = render(connection())
    for part in (
        "198.18.0.1:40000",
        "ESTABLISHED",
        "150 µs",
        "14.1 KiB",
        "1448",
        "1.0 MiB",
        "ts sack cubic",
        "1:02:05",
    ):
        assert part in text


def test_the_reader_comes_first_and_is_marked():
    html, _ = render(connection(remote_port=1, delivered=1 << 30), connection(remote_port=40_000))
    rows = re.findall(r"<tr( class=\"you\")?><td.*?>([\d.:]+)<", html)
    assert rows == [(' class="you"', "198.18.0.1:40000"), ("", "198.18.0.1:1")]


def test_it_says_how_many_are_not_shown():
    shown = status(*(connection(remote_port=port) for port in range(page.MAX_ROWS)))
    html = page.render(shown | {"connection_count": 10_000}, ("198.18.0.1", 7))
    assert "and 9800 older ones" in html
    assert "<b>10000</b>" in html
    assert "older ones" not in page.render(shown, ("198.18.0.1", 7))


def test_what_it_shows_is_escaped():
    html, _ = render(connection(state="<script>"))
    assert "<script>" not in html


def test_sizes_and_durations_for_people():
    assert [page.size(n) for n in (0, 1023, 1024, 150 << 10, 3 << 30, 5 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "150 KiB",
        "3.0 GiB",
        "5.0 TiB",
    ]
    assert [page.duration(us) for us in (0, 999, 1500, 2_500_000)] == ["-", "999 µs", "1.50 ms", "2.5 s"]
