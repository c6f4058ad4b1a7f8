"""Whatever a program asks of the loop, its names are asked of the loop's resolver."""

import asyncio
import socket

import pytest

from tests.unit.aio.test_names import Book


class Heard(asyncio.DatagramProtocol):
    def __init__(self):
        self.datagram = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        self.datagram.set_result(data)


def book_of(**entries):
    book = asyncio.get_running_loop().resolver = Book(**entries)
    return book


def test_a_datagram_endpoint(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        book = book_of(here_test=["127.0.0.1"], peer_test=["127.0.0.1"])
        receiver, heard = await loop.create_datagram_endpoint(Heard, local_addr=("here.test", 0))
        port = receiver.get_extra_info("sockname")[1]
        sender, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("here.test", 0), remote_addr=("peer.test", port)
        )
        assert sender.get_extra_info("peername") == ("127.0.0.1", port)
        sender.sendto(b"hello")
        assert await heard.datagram == b"hello"
        assert book.asked == ["here.test", "here.test", "peer.test"]
        sender.close()
        receiver.close()
        await asyncio.sleep(0)

    on_loop(main())


def test_a_datagram_endpoint_with_the_first_address_that_can_be_had(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        book_of(here_test=["192.0.2.1", "127.0.0.1"], six_test=["::1"])
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("here.test", 0))
        assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
        transport.close()
        with pytest.raises(ValueError, match="can not get address information"):
            await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("here.test", 0), remote_addr=("six.test", 53)
            )
        with pytest.raises(socket.gaierror):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("gone.test", 53))

    on_loop(main())


@pytest.mark.parametrize("hosts", ["here.test", ["here.test", "127.0.0.1"]])
def test_a_server(on_loop, hosts):
    async def main():
        loop = asyncio.get_running_loop()
        book = book_of(here_test=["127.0.0.1"])
        server = await loop.create_server(asyncio.Protocol, hosts, 0)
        assert [sock.getsockname()[0] for sock in server.sockets] == ["127.0.0.1"]
        assert book.asked == ["here.test"]
        server.close()
        await server.wait_closed()
        with pytest.raises(socket.gaierror):
            await loop.create_server(asyncio.Protocol, "gone.test", 0)

    on_loop(main())


def test_a_datagram_of_a_socket_object(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        book = book_of(peer_test=["127.0.0.1"])
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind(("127.0.0.1", 0))
            for sock in (receiver, sender):
                sock.setblocking(False)
            await loop.sock_sendto(sender, b"hello", ("peer.test", receiver.getsockname()[1]))
            assert await loop.sock_recv(receiver, 100) == b"hello"
            assert book.asked == ["peer.test"]

    on_loop(main())
