"""Capture files: what was written is read back, by ourselves and by tshark."""

import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from stack.device.pcapng import INBOUND, OUTBOUND, PcapngWriter, read_pcapng
from tests.support.frames import A, B, arp_frame, tcp_frame, udp_frame

FRAMES = [arp_frame(A, B), udp_frame(A, B, b"odd"), tcp_frame(A, B, "S", 1), bytes(14) + b"\x00\x01"]


def written(**options: int) -> tuple[BytesIO, PcapngWriter]:
    file = BytesIO()
    return file, PcapngWriter(file, snaplen=options.get("snaplen", 0), max_bytes=options.get("max_bytes", 0))


def test_packets_read_back_as_written() -> None:
    file, writer = written()
    tap, other = writer.add_interface("tap0"), writer.add_interface("änderung")
    writer.write(tap, 0, OUTBOUND, FRAMES[0])
    writer.write(other, (1 << 40) + 7, INBOUND, FRAMES[1], "dropped: ü")
    writer.write(tap, 5, INBOUND, FRAMES[2], "x" * 3)
    file.seek(0)
    capture = read_pcapng(file)
    assert capture.interfaces == ("tap0", "änderung")
    assert [(p.interface, p.time, p.direction, p.data, p.comments) for p in capture.packets] == [
        (0, 0, OUTBOUND, FRAMES[0], ()),
        (1, (1 << 40) + 7, INBOUND, FRAMES[1], ("dropped: ü",)),
        (0, 5, INBOUND, FRAMES[2], ("xxx",)),
    ]


def test_snap_length_cuts_and_keeps_the_true_length() -> None:
    file, writer = written(snaplen=21)
    writer.write(writer.add_interface("i"), 0, OUTBOUND, FRAMES[1])
    file.seek(0)
    packet = read_pcapng(file).packets[0]
    assert (packet.data, packet.original_len) == (FRAMES[1][:21], len(FRAMES[1]))


def test_the_file_never_grows_past_its_bound() -> None:
    file, writer = written(max_bytes=1_000)
    interface = writer.add_interface("i")
    for time in range(100):
        writer.write(interface, time, OUTBOUND, bytes(60), "why")
    assert writer.size == len(file.getvalue()) <= 1_000
    file.seek(0)
    packets = read_pcapng(file).packets
    assert len(packets) + writer.skipped == 100
    assert [p.time for p in packets] == list(range(len(packets)))  # the first ones, without a gap
    assert len(packets) > 5


def test_a_long_comment_is_cut_between_characters() -> None:
    file, writer = written()
    writer.write(writer.add_interface("i"), 0, OUTBOUND, b"", "a" + "ü" * 40_000)
    file.seek(0)
    comment = read_pcapng(file).packets[0].comments[0]
    assert set(comment[1:]) == {"ü"}


def test_tshark_reads_names_times_directions_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "c.pcapng"
    with path.open("wb") as file:
        writer = PcapngWriter(file)
        interfaces = [writer.add_interface("tap0"), writer.add_interface("other")]
        for number, frame in enumerate(FRAMES):
            writer.write(interfaces[number % 2], number * 1_000_001, 1 + number % 2, frame, f"say {number}, ü")
    fields = ["frame.interface_name", "frame.time_epoch", "frame.packet_flags_direction", "frame.len", "frame.comment"]
    command = ["tshark", "-r", str(path), "-T", "fields", *[word for name in fields for word in ("-e", name)]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        [("tap0", "other")[n % 2], f"{n}.00000{n}000", f"0x0000000{1 + n % 2}", str(len(frame)), f"say {n}, ü"]
        for n, frame in enumerate(FRAMES)
    ]


def good_file() -> bytes:
    file, writer = written()
    writer.write(writer.add_interface("i"), 0, OUTBOUND, FRAMES[0], "c")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("no section header", 0, 6),
        ("byte order", 8, 0),
        ("version", 12, 2),
        ("block length odd", 4, 29),
        ("block length past the end", 4, 250),
        ("trailing length", 24, 0),
    ],
)
def test_a_malformed_file_is_refused(name: str, at: int, value: int) -> None:
    data = bytearray(good_file())
    read_pcapng(BytesIO(data))  # the control: it was good
    data[at] = value
    with pytest.raises(ValueError):
        read_pcapng(BytesIO(data))


def test_no_cut_file_is_taken_for_whole() -> None:
    data = good_file()
    whole = {0, 28, 28 + int.from_bytes(data[32:36], "little"), len(data)}  # ends of blocks
    for length in range(len(data)):
        if length in whole - {0}:
            read_pcapng(BytesIO(data[:length]))
        else:
            with pytest.raises(ValueError):
                read_pcapng(BytesIO(data[:length]))


def test_every_flipped_bit_is_read_or_refused() -> None:
    data = good_file()
    outcomes = set()
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        try:
            read_pcapng(BytesIO(damaged))
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
