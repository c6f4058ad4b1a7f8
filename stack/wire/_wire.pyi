# The cffi module made from native/wire.h; see there for the meaning of the arguments.

from typing_extensions import Buffer

class CData: ...  # a C pointer

class _Ffi:
    NULL: CData
    def from_buffer(self, cdecl: str, buffer: Buffer, /) -> CData: ...
    def new(self, cdecl: str, init: int = ..., /) -> CData: ...
    def buffer(self, cdata: CData, size: int, /) -> memoryview: ...

class _Lib:
    def ts_sum(self, data: CData | bytes, length: int, start: int, /) -> int: ...
    def ts_update_checksum(self, checksum: int, old16: int, new16: int, /) -> int: ...
    def ts_parse(self, pool: CData, mac: bytes, meta: CData, rows: CData, n: int, /) -> None: ...
    def ts_gro(self, pool: CData, meta: CData, rows: CData, n: int, /) -> int: ...
    def ts_header_len(self, frame: CData | bytes, length: int, /) -> int: ...
    def ts_tx_complete(
        self,
        header: CData,
        start: int,
        end: int,
        payload: CData | bytes,
        pay_off: int,
        pay_len: int,
        flags: int,
        gso_type: int,
        gso_size: int,
        csum_start: int,
        csum_offset: int,
        caps: int,
        max_gso: int,
        /,
    ) -> int: ...
    def ts_tx_emit(
        self,
        header: CData,
        start: int,
        end: int,
        payload: CData | bytes,
        pay_off: int,
        pay_len: int,
        gso_type: int,
        gso_size: int,
        caps: int,
        index: int,
        out: CData,
        /,
    ) -> int: ...

ffi: _Ffi
lib: _Lib
