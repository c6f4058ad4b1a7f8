# The cffi module made from native/io.h; see there for the meaning of the arguments.

from typing import Literal, overload

from typing_extensions import Buffer

class CData: ...  # a C pointer

class Tap(CData):
    fd: int
    vnet: int
    gro: int
    caps: int
    max_gso: int
    header: CData
    header_room: int
    error: int
    more: int
    mac: bytes

class Port(CData):
    fd: int
    addr: int
    mac: bytes
    open: int
    gone: int
    ring: CData
    ring_len: int
    ring_used: int
    ring_frames: int
    rx_frames: int
    rx_bytes: int
    tx_frames: int
    tx_bytes: int
    tx_dropped: int
    refused: list[int]

class Switch(CData):
    epoll_fd: int
    count: int
    gone: int
    now_us: int
    ports: list[Port]

class _Ffi:
    def from_buffer(self, cdecl: str, buffer: Buffer, /) -> CData: ...
    @overload
    def new(self, cdecl: Literal["ts_tap *"], init: dict[str, int | bytes | CData], /) -> Tap: ...
    @overload
    def new(self, cdecl: Literal["ts_switch *"], init: dict[str, int | bytes | CData], /) -> Switch: ...

class _Lib:
    def ts_rx_burst(
        self,
        tap: Tap,
        pool: CData,
        pool_len: int,
        meta: CData,
        rows: CData,
        max_frames: int,
        /,
    ) -> int: ...
    def ts_tx_send(
        self,
        tap: Tap,
        start: int,
        end: int,
        payload: CData | bytes,
        pay_room: int,
        pay_off: int,
        pay_len: int,
        flags: int,
        gso_type: int,
        gso_size: int,
        csum_start: int,
        csum_offset: int,
        /,
    ) -> int: ...
    def ts_tx_pass(self, tap: Tap, pool: CData, pool_len: int, meta: CData, count: int, link: bytes, /) -> int: ...
    def ts_tx_flush(self, tap: Tap, /) -> int: ...
    def ts_switch_open(self, switch: Switch, /) -> int: ...
    def ts_switch_add(self, switch: Switch, index: int, /) -> int: ...
    def ts_switch_remove(self, switch: Switch, index: int, /) -> None: ...
    def ts_switch_rx(
        self,
        switch: Switch,
        pool: CData,
        pool_len: int,
        meta: CData,
        rows: CData,
        max_frames: int,
        /,
    ) -> int: ...
    def ts_switch_send(
        self,
        switch: Switch,
        start: int,
        end: int,
        payload: CData | bytes,
        pay_room: int,
        pay_off: int,
        pay_len: int,
        flags: int,
        gso_type: int,
        gso_size: int,
        csum_start: int,
        csum_offset: int,
        /,
    ) -> int: ...
    def ts_timer_open(self) -> int: ...
    def ts_timer_set(self, fd: int, at_us: int, /) -> int: ...

ffi: _Ffi
lib: _Lib
