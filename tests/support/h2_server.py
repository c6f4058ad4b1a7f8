"""A small HTTP/2 server that sends each body back, on h2 and a plain asyncio protocol, with flow control both ways."""

import asyncio

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated

from tests.support.interop import digest


class H2Protocol(asyncio.Protocol):
    """One connection with its streams."""

    def __init__(self) -> None:
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._bodies: dict[int, bytearray] = {}
        self._waiting: dict[int, bytes] = {}  # what the peer's windows have not let out yet

    def connection_made(self, transport) -> None:
        self._transport = transport
        assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        self._http.initiate_connection()
        transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            match event:
                case RequestReceived():
                    self._bodies[event.stream_id] = bytearray()
                case DataReceived():
                    self._bodies[event.stream_id] += event.data
                    self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self._answer(event.stream_id)
                case StreamReset():
                    self._bodies.pop(event.stream_id, None)
                    self._waiting.pop(event.stream_id, None)
                case WindowUpdated():
                    for stream in list(self._waiting):
                        self._send(stream)
                case ConnectionTerminated():
                    self._transport.close()
        self._transport.write(self._http.data_to_send())

    def _answer(self, stream: int) -> None:
        body = bytes(self._bodies.pop(stream))
        headers = [(":status", "200"), ("content-length", str(len(body))), ("x-arrived", digest(body))]
        self._http.send_headers(stream, headers)
        self._waiting[stream] = body
        self._send(stream)

    def _send(self, stream: int) -> None:
        body = self._waiting.pop(stream)
        while body and (room := min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)):
            self._http.send_data(stream, body[:room])
            body = body[room:]
        if body:
            self._waiting[stream] = body
        else:
            self._http.end_stream(stream)
