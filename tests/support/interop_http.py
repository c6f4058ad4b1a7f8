"""A small HTTP/1.1 server that sends each body back, on h11 and a plain asyncio protocol.

Bodies are read whole: what is tested is the transport below, with h11 as the judge of what arrives.
"""

import asyncio

import h11

from tests.support.interop import digest


class H11Protocol(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER)
        self._body = bytearray()

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return
            if isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._answer()

    def _answer(self) -> None:
        body, self._body = bytes(self._body), bytearray()
        headers = [("content-length", str(len(body))), ("x-arrived", digest(body))]
        http, write = self._http, self._transport.write
        write(http.send(h11.Response(status_code=200, headers=headers)))
        write(http.send(h11.Data(data=body)))
        write(http.send(h11.EndOfMessage()))
        if http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        else:
            http.start_next_cycle()
