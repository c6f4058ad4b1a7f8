# The cffi module made from native/io.h; see there for the meaning of the arguments.

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
    mac: bytes

class _Ffi:
    def from_buffer(self, cdecl: str, buffer: Buffer, /) -> CData: ...
    def new(self, cdecl: str, init: dict[str, int | bytes | CData], /) -> Tap: ...

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
    def ts_timer_open(self) -> int: ...
    def ts_timer_set(self, fd: int, at_us: int, /) -> int: ...

ffi: _Ffi
lib: _Lib
