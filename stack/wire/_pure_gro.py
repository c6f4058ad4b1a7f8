"""Merging of TCP rows in Python: native/gro.c, function by function (its comments say why)."""

from struct import Struct

from stack.wire.burst import KIND_TCP, META, ROW, ROW_CE, ROW_ECT, ROW_GSO, ROW_PARTIAL, ROW_TS, Burst
from stack.wire.frame import ETH_HLEN, GSO_TCPV4, VNET_NEEDS_CSUM

TCP_ACK = 0x10
TCP_PSH = 0x08
PLAIN_FLAGS = ~(ROW_TS | ROW_CE | ROW_ECT | ROW_PARTIAL)
HALF = 1 << 31
MASK = (1 << 32) - 1

# places in an unpacked row and meta row
KEY, DST, PAY_OFF, PAY_LEN, SEQ, ACK, TSVAL, TSECR, WND, FLAGS, KIND, TCP_FLAGS, _ = range(13)
OFF, LEN, L3_OFF, L4_OFF, VNET_FLAGS, GSO_TYPE, GSO_SIZE, CSUM_START, CSUM_OFFSET, SEGS = range(10)

_TWO = Struct("!H")


def _sum(data: bytes) -> int:
    number = int.from_bytes(data, "big")  # of even length; see _pure.partial_sum
    return number % 0xFFFF or (0xFFFF if number else 0)


def _same_flow(a: list[int], b: list[int]) -> bool:
    return a[KIND] == b[KIND] == KIND_TCP and a[KEY] == b[KEY] and a[DST] == b[DST]


def _same_ip(a: bytes, b: bytes) -> bool:
    return a[1] == b[1] and a[8] == b[8] and a[6:8] == b[6:8]  # TOS, TTL, DF


def _continues(burst: Burst, meta: list[int], row: list[int], next_meta: list[int], following: list[int]) -> bool:
    if (
        not _same_flow(row, following)
        or row[TCP_FLAGS] != TCP_ACK
        or following[TCP_FLAGS] & ~TCP_PSH != TCP_ACK
        or row[FLAGS] != following[FLAGS]
        or row[FLAGS] & PLAIN_FLAGS
        or row[PAY_LEN] == 0
        or following[PAY_LEN] == 0
    ):
        return False
    size = meta[GSO_SIZE] if meta[SEGS] > 1 else row[PAY_LEN]
    header = row[PAY_OFF] - meta[OFF]
    return (
        following[PAY_LEN] <= size
        and row[PAY_LEN] % size == 0
        and following[SEQ] == (row[SEQ] + row[PAY_LEN]) & MASK
        and all(row[i] == following[i] for i in (ACK, WND, TSVAL, TSECR))
        and header == following[PAY_OFF] - next_meta[OFF]
        and row[PAY_OFF] + row[PAY_LEN] <= following[PAY_OFF]
        and header - ETH_HLEN + row[PAY_LEN] + following[PAY_LEN] <= 0xFFFF
        and _same_ip(_ip_start(burst, meta), _ip_start(burst, next_meta))
    )


def _ip_start(burst: Burst, meta: list[int]) -> bytes:
    return burst.pool[meta[OFF] + ETH_HLEN : meta[OFF] + ETH_HLEN + 20]


def _append(burst: Burst, meta: list[int], row: list[int], following: list[int]) -> None:
    burst.pool.move(row[PAY_OFF] + row[PAY_LEN], following[PAY_OFF], following[PAY_LEN])
    if meta[SEGS] == 1:
        meta[GSO_SIZE] = row[PAY_LEN]
    meta[SEGS] += 1
    row[PAY_LEN] += following[PAY_LEN]
    row[TCP_FLAGS] |= following[TCP_FLAGS]


def _seal(burst: Burst, meta: list[int], row: list[int]) -> None:
    if meta[SEGS] == 1 or row[PAY_LEN] == 0 or row[FLAGS] & ROW_GSO:
        return
    ip = meta[OFF] + ETH_HLEN
    tcp = meta[OFF] + meta[L4_OFF]
    pool = burst.pool
    meta[LEN] = row[PAY_OFF] - meta[OFF] + row[PAY_LEN]
    meta[VNET_FLAGS] = VNET_NEEDS_CSUM
    meta[GSO_TYPE] = GSO_TCPV4
    meta[CSUM_START] = meta[L4_OFF]
    meta[CSUM_OFFSET] = 16
    row[FLAGS] |= ROW_GSO | ROW_PARTIAL
    _TWO.pack_into(pool, ip + 2, meta[LEN] - ETH_HLEN)
    _TWO.pack_into(pool, ip + 10, 0)
    _TWO.pack_into(pool, ip + 10, ~_sum(pool[ip:tcp]) & 0xFFFF)
    pool[tcp + 13] = row[TCP_FLAGS]
    pseudo = pool[ip + 12 : ip + 20] + _TWO.pack(pool[ip + 9]) + _TWO.pack(meta[LEN] - meta[L4_OFF])
    _TWO.pack_into(pool, tcp + 16, _sum(pseudo))


def _pure_ack(row: list[int]) -> bool:
    return row[TCP_FLAGS] == TCP_ACK and row[PAY_LEN] == 0 and not row[FLAGS] & PLAIN_FLAGS


def _rises(start: int, end: int) -> bool:
    return 0 < (end - start) & MASK < HALF


def _superseded(before: list[int], row: list[int], following: list[int]) -> bool:
    return (
        _same_flow(before, row)
        and _same_flow(row, following)
        and _pure_ack(before)
        and _pure_ack(row)
        and _pure_ack(following)
        and before[FLAGS] == row[FLAGS] == following[FLAGS]
        and before[SEQ] == row[SEQ] == following[SEQ]
        and _rises(before[ACK], row[ACK])
        and _rises(row[ACK], following[ACK])
    )


def merge_burst(burst: Burst) -> int:
    """Merge TCP rows that continue each other; returns and sets `burst.count`."""
    metas: list[list[int]] = []
    rows: list[list[int]] = []
    for index in range(burst.count):
        meta, row = list(burst.meta_at(index)), list(burst.row_at(index))
        if rows and _continues(burst, metas[-1], rows[-1], meta, row):
            _append(burst, metas[-1], rows[-1], row)
            continue
        if rows:
            _seal(burst, metas[-1], rows[-1])
        if len(rows) >= 2 and _superseded(rows[-2], rows[-1], row):
            meta[SEGS] += metas.pop()[SEGS]
            rows.pop()
        metas.append(meta)
        rows.append(row)
    if rows:
        _seal(burst, metas[-1], rows[-1])
    for index, (meta, row) in enumerate(zip(metas, rows, strict=True)):
        META.pack_into(burst.meta, index * META.size, *meta)
        ROW.pack_into(burst.rows, index * ROW.size, *row)
    burst.count = len(rows)
    return burst.count
