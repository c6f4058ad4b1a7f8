"""What a request that comes with its connection is acknowledged by: the answer, though the application hears of it one
round of the loop later.
"""

import asyncio

import pytest

from stack.device.wrapper import WrapperDevice
from stack.tcp.segment import ACK, FIN, SYN
from stack.wire.frame import L4_OFF
from tests.support.aio_nets import CLIENT_IP, StackNet
from tests.support.rfc import rfc


class Watched(WrapperDevice):
    """`sent`: flags and payload of each TCP segment that leaves.  What comes after the SYN-ACK comes in one burst."""

    __slots__ = ("_rounds", "sent")

    def __init__(self, inner):
        super().__init__(inner)
        self.sent = []
        self._rounds = 0  # of the loop, in which nothing is heard

    def rx_burst(self, burst):
        if not self._rounds:
            return super().rx_burst(burst)
        self._rounds -= 1
        asyncio.get_running_loop().call_soon(self.on_readable)
        return 0

    def send(self, frame):
        if frame.header[frame.start + 12 : frame.start + 14] == b"\x08\x00":
            self.sent.append((frame.header[L4_OFF + 13], frame.payload_len))
            if frame.header[L4_OFF + 13] == SYN | ACK:
                self._rounds = 10
        return super().send(frame)

    def acks(self):
        return [one for one in self.sent if one == (ACK, 0)]


class Asks(asyncio.Protocol):
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.write(b"question")

    def data_received(self, data):
        self.answer.set_result(data)


class Answers(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(b"answer")


class Listens(asyncio.Protocol):
    def __init__(self, heard):
        self.heard = heard

    def data_received(self, data):
        self.heard.set_result(data)


@rfc("9293", "3.8.6.3", "MUST-40")
@pytest.mark.parametrize("answers", [True, False])
def test_the_first_data_is_acknowledged_by_the_answer_or_else_at_once(run, answers):
    async def main():
        async with StackNet(wrap=Watched) as net:
            ours, theirs = net.client, net.server  # the watched one is the server here
            [server] = ours.driver.devices().values()
            heard = asyncio.get_running_loop().create_future()
            await ours.create_server(Answers if answers else lambda: Listens(heard), None, 7)
            _, asks = await theirs.create_connection(Asks, CLIENT_IP, 7)
            assert await (asks.answer if answers else heard) == (b"answer" if answers else b"question")
            for _ in range(10):
                await asyncio.sleep(0)
            assert server.sent[0][0] == SYN | ACK
            assert len(server.acks()) == (0 if answers else 1)
            assert not any(flags & FIN for flags, _ in server.sent)

    run(main())
