"""What one call into the core costs: `python tools/bench/micro.py` prints nanoseconds per stage.

Needs root for the last part, which writes to a TAP in a network namespace of its own.  Each number is that of
the least disturbed of several rounds.
"""

import contextlib
import ctypes
import json
import os
import struct
import sys
import time
from collections.abc import Callable

from stack.device.tap import TapDevice
from stack.wire import _pure, accel
from stack.wire.burst import ROW, Burst
from stack.wire.frame import FILL_IP, GSO_TCPV4, L4_OFF, NEEDS_CSUM, Caps, TxFrame

MAC = bytes.fromhex("020000000002")
PEER = bytes.fromhex("020000000001")
CLONE_NEWNET = 0x40000000
OFFLOADS = Caps(csum=True, tso4=True, uso=True, max_gso=65_000)
FACTOR_WANTED = 20  # the C checksum of 1460 bytes against the Python one


def ns_per_call(call: Callable[[], object], rounds: int = 15, seconds: float = 0.02) -> float:
    """Least mean cost of one call over `rounds`."""
    call()
    count = 1
    while (took := _time(call, count)) < seconds:
        count = max(count * 2, int(count * seconds / max(took, 1e-6)))
    return min(_time(call, count) for _ in range(rounds)) / count * 1e9


def _time(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start


def tcp_frame(payload: bytes = b"", gso_size: int = 0) -> TxFrame:
    """A data segment with timestamps, as the Host hands it to a device."""
    frame = TxFrame()
    link = MAC + PEER + b"\x08\x00"
    network = struct.pack("!BBHHHBBHII", 0x45, 0, 0, 0, 0x4000, 64, 6, 0, 0xC6120001, 0xC6120002)
    transport = struct.pack("!HHIIBBHHHBBBBII", 80, 4000, 1, 2, 0x80, 0x10, 512, 0, 0, 1, 1, 8, 10, 3, 4)
    frame.start = L4_OFF - 34
    frame.header_end = L4_OFF + len(transport)
    frame.header[frame.start : frame.header_end] = link + network + transport
    frame.payload = payload
    frame.payload_len = len(payload)
    frame.flags = NEEDS_CSUM | FILL_IP
    frame.csum_start, frame.csum_offset = 34, 16
    frame.gso_type, frame.gso_size = (GSO_TCPV4, gso_size) if gso_size else (0, 0)
    return frame


def measure_checksum() -> dict[str, float]:
    """RFC 1071 over one full segment."""
    data = os.urandom(1460)
    c = ns_per_call(lambda: accel.partial_sum(data))
    python = ns_per_call(lambda: loop_sum(data))
    return {
        "checksum 1460 B": c,
        "checksum 1460 B, _pure": ns_per_call(lambda: _pure.partial_sum(data)),
        "checksum 1460 B, Python loop": python,
        "checksum factor (loop)": python / c,
    }


def loop_sum(data: bytes) -> int:
    """The usual Python form: words by struct, folded."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def measure_parse(label: str, frame: TxFrame) -> dict[str, float]:
    """Per frame: parsing a burst of 32 and walking its rows."""
    burst = Burst()
    frames = accel.finish(frame, Caps()) * 32
    accel.load_burst(burst, frames, MAC)
    rows = memoryview(burst.rows)[: 32 * ROW.size]
    return {
        f"parse {label}": ns_per_call(lambda: accel.parse_burst(burst, MAC, 32)) / 32,
        f"load and parse {label}": ns_per_call(lambda: accel.load_burst(burst, frames, MAC)) / 32,
        f"walk rows {label}": ns_per_call(lambda: [0 for _ in ROW.iter_unpack(rows)]) / 32,
    }


def measure_finish() -> dict[str, float]:
    """Per call: completing frames for a virtual device."""
    small, full, large = tcp_frame(), tcp_frame(bytes(1448)), tcp_frame(bytes(64_000), 1448)
    none = Caps()
    return {
        "finish ACK": ns_per_call(lambda: accel.finish(small, none)),
        "finish 1448 B": ns_per_call(lambda: accel.finish(full, none)),
        "finish 1448 B, offload": ns_per_call(lambda: accel.finish(full, OFFLOADS)),
        "finish 64000 B, offload": ns_per_call(lambda: accel.finish(large, OFFLOADS)),
        "finish 64000 B into 45 segments": ns_per_call(lambda: accel.finish(large, none)),
    }


def measure_tap(label: str, *, offload: bool) -> dict[str, float]:
    """Per call: writing to a TAP whose other end drops everything, and an empty read."""
    with contextlib.closing(TapDevice("tap0", offload=offload)) as tap:
        tap.set_up()
        burst = Burst()
        while tap.rx_burst(burst):
            pass
        small, full, large = tcp_frame(), tcp_frame(bytes(1448)), tcp_frame(bytes(64_000), 1448)
        return {
            f"{label}: empty read": ns_per_call(lambda: tap.rx_burst(burst)),
            f"{label}: send ACK": ns_per_call(lambda: tap.send(small)),
            f"{label}: send 1448 B": ns_per_call(lambda: tap.send(full)),
            f"{label}: send 64000 B": ns_per_call(lambda: tap.send(large)),
        }


def own_namespace() -> None:
    """Leave the machine's network alone."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")


def main() -> int:
    """Print the table (with --json the numbers); status 1 if the checksum is not fast enough."""
    results = measure_checksum()
    results |= measure_parse("1514 B", tcp_frame(bytes(1448))) | measure_parse("66 B", tcp_frame())
    results |= measure_finish()
    if os.geteuid() == 0 and os.access("/dev/net/tun", os.W_OK):
        own_namespace()
        results |= measure_tap("tap with offload", offload=True) | measure_tap("tap", offload=False)
    if "--json" in sys.argv[1:]:
        print(json.dumps({"backend": accel.backend} | results))
    else:
        print(f"{accel.backend} core, nanoseconds")
        for name, value in results.items():
            print(f"  {name:42} {value:12.0f}")
    return 0 if results["checksum factor (loop)"] >= FACTOR_WANTED or accel.backend != "c" else 1


if __name__ == "__main__":
    sys.exit(main())
