from rich.console import Console

from stack.cli.watch import Screen, rates_of


def connection(port, **fields):
    row = {
        "key": f"k{port}", "local_addr": "198.18.0.2", "local_port": 80, "remote_addr": "198.18.0.1",
        "remote_port": port, "state": "ESTABLISHED", "cwnd": 14_480, "srtt_us": 1500, "retransmits": 0,
        "send_queue": 0, "recv_queue": 0, "congestion": "cubic", "delivered": 0, "rcv_nxt": 0,
    }  # fmt: skip
    return row | fields


def status(time, *connections, **fields):
    return {
        "time": time,
        "totals": [time, 5000, 9000, 50, 90, len(connections), 0, 0, 0, 0],
        "before": [time - 1, 4000, 7000, 40, 70, len(connections), 0, 0, 0, 0],
        "loop_lag_us": 0,
        "daemon": {"device": "tapstack0", "address": "198.18.0.2/24", "uptime_s": 3725},
        "counters": {"tcp_retrans_segs": 4},
        "memory": {"used": 4096, "limit": 512 << 20},
        "interfaces": [{"ifindex": 1, "name": "tapstack0", "mtu": 1500, "addrs": ["198.18.0.2/24"]}],
        "neighbors": [{"addr": "198.18.0.1", "mac": "62:00:00:00:00:01", "state": "REACHABLE"}],
        "listeners": [{"addr": "0.0.0.0", "port": 80, "waiting": 0, "backlog": 128}],
        "drops": {"tcp_no_port": 3},
        "connection_count": len(connections),
        "connections": list(connections),
        **fields,
    }


def drawn(screen, width, height):
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(screen.render(width, height))
    text = console.export_text()
    console.file.close()
    return text.splitlines()


def two_seconds():
    screen = Screen()
    screen.update(status(1, connection(1), connection(2)))
    screen.update(status(2, connection(1, delivered=1 << 20), connection(2, rcv_nxt=5 << 20, srtt_us=9)))
    return screen


def order(lines):
    return [int(line.split("198.18.0.1:")[1].split()[0]) for line in lines if "198.18.0.1:" in line]


def test_rates_are_of_the_last_second():
    assert rates_of(status(2)) == {"rx_bytes": 1000, "tx_bytes": 2000, "rx_frames": 10, "tx_frames": 20}
    assert rates_of(status(2, before=None))["rx_bytes"] == 0


def test_what_moves_most_comes_first_and_keys_sort_otherwise():
    screen = two_seconds()
    lines = drawn(screen, 120, 30)
    assert order(lines) == [2, 1]
    assert any("5.0 MiB/s" in line for line in lines)
    screen.on_key("t")
    assert order(drawn(screen, 120, 30)) == [1, 2]
    screen.on_key("z")
    assert screen.sort == "t"


def test_sequence_numbers_that_go_round_are_no_negative_rate():
    screen = Screen()
    screen.update(status(1, connection(1, rcv_nxt=0xFFFF_FF00)))
    screen.update(status(2, connection(1, rcv_nxt=0x100)))
    assert screen.status["connections"][0]["rate"] == 512


def test_everything_is_shown_where_there_is_room():
    text = "\n".join(drawn(two_seconds(), 120, 30))
    for word in ("up 1:02:05", "tcp_no_port", "REACHABLE", "LISTEN", "cubic", "1000 B/s", "q quits", "4 retransmitted"):
        assert word in text


def test_it_fits_every_terminal():
    screen = Screen()
    many = [connection(port, remote_addr="198.118.100.100") for port in range(40_000, 40_100)]
    drops = {f"reason_{number}": number for number in range(40)}
    screen.update(status(1, *many, drops=drops, neighbors=status(1)["neighbors"] * 50))
    for width in (30, 40, 55, 80, 110, 200):
        for height in (8, 12, 24, 60):
            lines = drawn(screen, width, height)
            assert len(lines) <= height, (width, height)
            assert max(map(len, lines)) <= width, (width, height)


def test_eighty_columns_have_room_for_what_matters():
    screen = Screen()
    screen.update(status(1, connection(40_000, remote_addr="198.118.100.100", cwnd=9_999_999, srtt_us=99_990)))
    text = "\n".join(drawn(screen, 80, 24))
    for word in ("198.118.100.100:40000", "ESTABLISHED", "9.5 MiB", "99.99 ms", "a address"):
        assert word in text
    assert "…" not in text.partition("local")[2]


def test_before_the_first_snapshot_it_says_so():
    assert "waiting" in drawn(Screen(), 80, 24)[0]
