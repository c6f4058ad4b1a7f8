import json

from stack.cli import render


def status(**changes):
    return {
        "daemon": {"device": "tap0", "address": "10.0.0.2/24", "uptime_s": 9, "http_requests": 0},
        "traffic": {"rx_frames": 3, "rx_bytes": 2048, "tx_frames": 4, "tx_bytes": 100},
        "interfaces": [
            {"ifindex": 1, "name": "tap0", "mac": "02:00:00:00:00:01", "mtu": 1500, "addrs": ["10.0.0.2/24"]}
        ],
        "addresses": {"10.0.0.2": "probing"},
        "neighbors": [{"ifindex": 1, "addr": "10.0.0.1", "mac": None, "state": "INCOMPLETE", "queued": 0}],
        "routes": [{"dst": "0.0.0.0/0", "gateway": "10.0.0.1", "ifindex": 1, "src": None, "metric": 0}],
        "listeners": [{"addr": "0.0.0.0", "port": 80, "backlog": 10, "embryonic": 0, "waiting": 2}],
        "udp": [{"local_addr": "0.0.0.0", "local_port": 7, "queued": 5}],
        "connections": [],
        "drops": {"udp_no_port": 1, "tcp_paws": 20},
        **changes,
    }


def connection(**changes):
    return {
        "local_addr": "10.0.0.2",
        "local_port": 80,
        "remote_addr": "10.0.0.1",
        "remote_port": 4000,
        "state": "FIN-WAIT-1",
        "options": ["ts", "sack", "wscale:7,8"],
        "congestion": "cubic",
        "rto_us": 201_500,
        "srtt_us": 1500,
        "rttvar_us": 250,
        "min_rtt_us": 90,
        "mss": 1448,
        "cwnd": 14_480,
        "ssthresh": 1 << 62,
        "snd_wnd": 65_000,
        "rcv_wnd": 65_001,
        "delivered": 7,
        "in_flight": 0,
        "unsent": 0,
        "retransmits": 0,
        "sacked": 0,
        "lost": 0,
        "out_of_order": 0,
        "backoff": 0,
        "recv_queue": 11,
        "send_queue": 12,
        "timers": {"retransmit": 5},
        **changes,
    }


def test_sections_line_up():
    text = render.as_text(status())
    assert "tapstack on tap0: 10.0.0.2/24, up 9 s, 3 frames in (2.0 KiB), 4 out (100 B)" in text
    assert "  tap0  02:00:00:00:00:01  1500  10.0.0.2/24 (probing)" in text
    assert "  10.0.0.1  tap0  -    INCOMPLETE" in text
    assert "  0.0.0.0/0    10.0.0.1  tap0  -" in text
    assert "  tcp  0.0.0.0:80  2/10" in text
    assert "  udp  0.0.0.0:7   5" in text


def test_drops_are_sorted_by_their_number():
    text = render.as_text(status())
    assert text.index("tcp_paws") < text.index("udp_no_port")


def test_connections_as_ss_shows_them():
    first, second = render.as_text(status(connections=[connection()])).partition("Connections\n")[2].splitlines()[:2]
    assert first == "  FIN-WAIT-1   recv-q 11      send-q 12      10.0.0.2:80  10.0.0.1:4000"
    assert second == (
        "      ts sack wscale:7,8 cubic rto:201.5 rtt:1.5/0.25 mss:1448 cwnd:14480 snd_wnd:65000 rcv_wnd:65001 "
        "delivered:7 minrtt:90µs timers:retransmit"
    )


def test_only_what_is_there_is_said():
    text = render.as_text(status(connections=[connection(lost=3, ssthresh=9)], drops={}))
    assert " ssthresh:9 " in text
    assert " lost:3 " in text
    assert "sacked" not in text
    assert text.endswith("Dropped\n  none")


def test_an_address_that_is_simply_ours_needs_no_remark():
    assert "(" not in render.as_text(status(addresses={"10.0.0.2": "held"})).split("Interfaces")[1]


def test_json_is_all_of_it():
    assert json.loads(render.as_json(status())) == status()
