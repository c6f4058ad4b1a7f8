"""The capture checker: a clean conversation passes, every planted fault is caught."""

from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

from stack.device.pcapng import INBOUND, OUTBOUND, PcapngWriter
from tests.support import tshark
from tests.support.frames import A, B, Conversation, arp_frame, inet_sum, ipv4_frame, tcp_frame, udp_frame

OURS = ("10.0.0.1",)


def write(path: Path, frames: list[tuple[bool, bytes]]) -> Path:
    with path.open("wb") as file:
        writer = PcapngWriter(file)
        interface = writer.add_interface("tap0")
        for number, (ours, data) in enumerate(frames):
            writer.write(interface, number * 1_000, OUTBOUND if ours else INBOUND, data)
    return path


def clean() -> list[tuple[bool, bytes]]:
    talk = Conversation()
    talk.a("PA", b"x" * 1000)
    talk.b("A")
    talk.b("PA", b"y" * 1000)
    talk.a("A")
    talk.close()
    return [(True, arp_frame(A, B)), (True, udp_frame(A, B, b"hello")), *talk.frames]


def findings(tmp_path: Path, frames: list[tuple[bool, bytes]], *, loss_free: bool = False) -> list[str]:
    return tshark.check(write(tmp_path / "capture.pcapng", frames), OURS, loss_free=loss_free)


def insert(ours: bool, data: bytes) -> list[tuple[bool, bytes]]:
    """The clean conversation with one frame more, after the first data and its ACK."""
    frames = clean()
    return [*frames[:7], (ours, data), *frames[7:]]


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("loss_free", [True, False])
def test_a_clean_conversation_passes(tmp_path: Path, loss_free: bool) -> None:
    assert findings(tmp_path, clean(), loss_free=loss_free) == []


def test_what_tcp_carries_is_not_judged(tmp_path: Path) -> None:
    talk = Conversation()
    talk.a("PA", b"GET / HTTP/1.1\r\n\x00\xff: \x01\r\n\r\n")  # to port 80
    talk.b("PA", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
    talk.a("A")
    assert findings(tmp_path, talk.frames, loss_free=True) == []


def our_segment(**changed: int) -> bytes:
    numbers = {"seq": 2_001, "ack": 5_001} | changed
    return tcp_frame(A, B, "PA", numbers["seq"], numbers["ack"], data=b"z" * 10)


def bogus_header_length() -> bytes:
    """A data offset of 16 bytes, and a checksum that agrees."""
    good = our_segment()
    segment = good[34:46] + b"\x40" + good[47:50] + bytes(2) + good[52:]
    checksum = inet_sum(A.ip + B.ip + pack("!HH", 6, len(segment)) + segment)
    return ipv4_frame(A, B, 6, segment[:16] + pack("!H", checksum) + segment[18:])


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "TCP checksum": (lambda: flip(our_segment(), 60), "bad tcp checksum"),
    "IP checksum": (lambda: flip(our_segment(), 22), "bad ip checksum"),
    "UDP checksum": (lambda: flip(udp_frame(A, B, b"hello"), 44), "bad udp checksum"),
    "TCP header length": (bogus_header_length, "malformed packet"),
    "malformed": (lambda: arp_frame(A, B)[:30], "malformed packet"),
    "beyond window": (lambda: our_segment(seq=2_001 + 65_535 - 9), "1 bytes beyond the window of the peer"),
    "ACK of unseen data": (lambda: our_segment(ack=5_002), "acknowledges 5002, but the peer has sent up to 5001 only"),
}


@pytest.mark.parametrize("loss_free", [True, False])
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(tmp_path: Path, name: str, loss_free: bool) -> None:
    make, expected = FAULTS[name]
    found = findings(tmp_path, insert(True, make()), loss_free=loss_free)
    assert any(line == f"frame 8: {expected}" for line in found), found


def test_the_last_byte_of_the_window_may_be_used(tmp_path: Path) -> None:
    assert findings(tmp_path, insert(True, our_segment(seq=2_001 + 65_535 - 10))) == []


@pytest.mark.parametrize("name", ["TCP checksum", "malformed"])
def test_a_fault_of_the_peer_is_not_ours(tmp_path: Path, name: str) -> None:
    data = {"TCP checksum": flip(tcp_frame(B, A, "A", 5_001, 2_001), 50), "malformed": arp_frame(B, A)[:30]}[name]
    assert findings(tmp_path, insert(False, data)) == []


def test_a_damaged_segment_of_the_peer_offers_no_window(tmp_path: Path) -> None:
    # It claims to acknowledge 10000 bytes that were never sent; believing it would hide the fault behind it.
    lie = flip(tcp_frame(B, A, "A", 5_001, 12_001), 51)
    fault = our_segment(seq=2_001 + 65_535 - 9)
    frames = insert(False, lie)
    found = findings(tmp_path, [*frames[:8], (True, fault), *frames[8:]])
    assert found == ["frame 9: 1 bytes beyond the window of the peer"]


def test_a_warning_counts_only_where_nothing_may_be_lost(tmp_path: Path) -> None:
    gap = insert(True, tcp_frame(A, B, "PA", 3_001, 5_001, data=b"z"))  # bytes 2001 to 3000 were never captured
    assert any("tshark: Previous segment" in line for line in findings(tmp_path, gap, loss_free=True))
    assert findings(tmp_path, gap, loss_free=False) == []


def test_an_allowed_warning_passes_and_is_needed(tmp_path: Path) -> None:
    reset = insert(True, tcp_frame(A, B, "RA", 2_001, 5_001))
    path = write(tmp_path / "reset.pcapng", reset)
    control = tshark.check(path, OURS, loss_free=True, allowed=())
    assert any("reset" in line for line in control)
    assert not any("reset" in line for line in tshark.check(path, OURS, loss_free=True))


def test_a_capture_without_our_packets_proves_nothing(tmp_path: Path) -> None:
    found = tshark.check(write(tmp_path / "c.pcapng", clean()), ["192.0.2.1"], loss_free=False)
    assert "no packet is from 192.0.2.1" in found


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "no.pcapng"
    path.write_bytes(b"this is not a capture")
    with pytest.raises(ValueError, match="cannot read"):
        tshark.check(path, OURS, loss_free=True)
