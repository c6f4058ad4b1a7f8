"""Socket options and the rest of what transports' sockets do, over the kernel and over ours."""

import asyncio
import errno
import pickle
import socket
import struct

import pytest

from stack.aio.sockets import TcpSocket
from stack.aio.sockopt import StackSocket
from stack.tcp.congestion.registry import ALGORITHMS
from tests.support.aio_nets import StackNet
from tests.support.aio_protocols import Recorder, shut

SOL, IP, TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_TCP
LINGER = struct.Struct("ii")


class Pair:
    """A connection of the running loop to a server of its own."""

    def __init__(self, ip, prepare=lambda listener: None):
        self.ip = ip
        self.prepare = prepare

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        def factory():
            accepted.set_result(Recorder())
            return accepted.result()

        self.server = await loop.create_server(factory, self.ip, 0)
        self.prepare(self.server.sockets[0])
        port = self.server.sockets[0].getsockname()[1]
        _, self.client = await loop.create_connection(Recorder, self.ip, port)
        self.peer = await accepted
        await self.peer.made
        self.sock = self.client.transport.get_extra_info("socket")
        self.peer_sock = self.peer.transport.get_extra_info("socket")
        return self

    async def __aexit__(self, *exc_info):
        self.server.close()
        await shut(self.client, self.peer)


def over(place, body, **options):
    """Run `body(pair)`."""

    async def main():
        async with place.net() as net, Pair(net.ip, **options) as pair:
            await body(pair)

    place.run(main())


def fails(code, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code


def test_what_kind_of_socket_it_is(place):
    async def body(pair):
        sock = pair.sock
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock.getsockopt(SOL, socket.SO_TYPE) == socket.SOCK_STREAM
        assert sock.getsockopt(SOL, socket.SO_DOMAIN) == socket.AF_INET
        assert sock.getsockopt(SOL, socket.SO_PROTOCOL) == TCP
        assert sock.getsockopt(SOL, socket.SO_ERROR) == 0
        assert sock.getsockopt(SOL, socket.SO_ACCEPTCONN) == 0
        assert pair.server.sockets[0].getsockopt(SOL, socket.SO_ACCEPTCONN) == 1
        assert pair.server.sockets[0].getsockopt(SOL, socket.SO_REUSEADDR) == 1
        assert sock.gettimeout() == 0
        sock.setblocking(False)
        with pytest.raises(ValueError):
            sock.setblocking(True)
        assert str(pair.sock.getsockname()) in repr(pair.sock)

    over(place, body)


@pytest.mark.parametrize(
    ("level", "option", "values"),
    [
        (SOL, socket.SO_KEEPALIVE, (1, 0)),
        (TCP, socket.TCP_NODELAY, (0, 1)),
        (TCP, socket.TCP_KEEPIDLE, (1, 77, 32767)),
        (TCP, socket.TCP_KEEPINTVL, (5,)),
        (TCP, socket.TCP_KEEPCNT, (127,)),
        (TCP, socket.TCP_USER_TIMEOUT, (12_345, 0)),
        (TCP, socket.TCP_NOTSENT_LOWAT, (16_384,)),
        (IP, socket.IP_TOS, (0x28, 0)),
        (IP, socket.IP_TTL, (9, 255)),
    ],
    ids=str,
)
def test_an_option_is_what_it_was_set_to(place, level, option, values):
    async def body(pair):
        for value in values:
            pair.sock.setsockopt(level, option, value)
            assert pair.sock.getsockopt(level, option) == value
            pair.sock.setsockopt(level, option, value.to_bytes(4, "little"))
            assert pair.sock.getsockopt(level, option, 4) == value.to_bytes(4, "little")

    over(place, body)


def test_options_begin_as_asyncio_and_linux_have_them(place):
    async def body(pair):
        get = pair.sock.getsockopt
        assert get(TCP, socket.TCP_NODELAY) == 1  # asyncio and uvloop switch it on
        assert pair.peer_sock.getsockopt(TCP, socket.TCP_NODELAY) == 1
        assert get(SOL, socket.SO_KEEPALIVE) == 0
        assert (get(TCP, socket.TCP_KEEPIDLE), get(TCP, socket.TCP_KEEPINTVL), get(TCP, socket.TCP_KEEPCNT)) == (
            7200,
            75,
            9,
        )
        assert get(TCP, socket.TCP_USER_TIMEOUT) == 0
        assert get(IP, socket.IP_TTL) == 64
        assert get(IP, socket.IP_TOS) == 0
        assert LINGER.unpack(get(SOL, socket.SO_LINGER, 8)) == (0, 0)
        assert len(get(TCP, socket.TCP_CONGESTION, 16)) == 16
        assert not place.is_ours or get(TCP, socket.TCP_CONGESTION, 16) == b"cubic".ljust(16, b"\0")
        assert get(TCP, socket.TCP_MAXSEG) > 500

    over(place, body)


@pytest.mark.parametrize(
    ("level", "option", "value"),
    [
        (TCP, socket.TCP_KEEPIDLE, 0),
        (TCP, socket.TCP_KEEPIDLE, 32768),
        (TCP, socket.TCP_KEEPCNT, 128),
        (TCP, socket.TCP_KEEPINTVL, -1),
        (TCP, socket.TCP_USER_TIMEOUT, -1),
        (TCP, socket.TCP_NODELAY, b"\1"),
        (TCP, socket.TCP_MAXSEG, 87),
        (IP, socket.IP_TTL, 0),
        (IP, socket.IP_TTL, 256),
        (SOL, socket.SO_KEEPALIVE, b"\1\0"),
        (SOL, socket.SO_LINGER, 1),
    ],
    ids=str,
)
def test_a_bad_value_is_refused(place, level, option, value):
    async def body(pair):
        before = pair.sock.getsockopt(level, option, 8)
        fails(errno.EINVAL, pair.sock.setsockopt, level, option, value)
        assert pair.sock.getsockopt(level, option, 8) == before

    over(place, body)


def test_what_is_not_there_is_refused(place):
    async def body(pair):
        fails(errno.ENOPROTOOPT, pair.sock.setsockopt, TCP, 9999, 1)
        fails(errno.ENOPROTOOPT, pair.sock.getsockopt, TCP, 9999)
        fails(errno.ENOPROTOOPT, pair.sock.setsockopt, SOL, socket.SO_TYPE, 1)
        fails(errno.EFAULT, pair.sock.setsockopt, TCP, socket.TCP_NODELAY, None, 4)
        for value in ("cubic", 1.0, [1]):
            with pytest.raises(TypeError, match=f"bytes-like object.*, not '{type(value).__name__}'"):
                pair.sock.setsockopt(TCP, socket.TCP_CONGESTION, value)
        with pytest.raises(TypeError):
            pair.sock.setsockopt(TCP, socket.TCP_NODELAY, None)
        with pytest.raises(TypeError, match="bytes-like object"):
            pair.sock.setsockopt(TCP, socket.TCP_NODELAY, 1 << 31)
        with pytest.raises(OSError):
            pair.sock.getsockopt(TCP, socket.TCP_NODELAY, -1)
        with pytest.raises(OSError):
            pair.sock.getsockopt(TCP, socket.TCP_NODELAY, 1025)

    over(place, body)


def test_an_option_that_is_not_there_is_named_and_a_str_is_corrected():
    sock = StackSocket()
    for level, option, name in [
        (TCP, socket.TCP_CORK, "no TCP_CORK"),
        (SOL, socket.SO_MARK, "no SO_MARK"),
        (IP, socket.IP_MULTICAST_TTL, "no IP_MULTICAST_TTL"),
        (TCP, 9999, "no option 9999 of level 6"),
        (77, 1, "no option 1 of level 77"),
    ]:
        with pytest.raises(OSError, match=name):
            sock.setsockopt(level, option, 1)
        with pytest.raises(OSError, match=name):
            sock.getsockopt(level, option)
    with pytest.raises(TypeError, match="use b'cubic'"):
        sock.setsockopt(SOL, socket.SO_REUSEADDR, "cubic")


def test_an_answer_is_cut_to_the_length_that_was_asked_for(place):
    async def body(pair):
        get = pair.sock.getsockopt
        pair.sock.setsockopt(IP, socket.IP_TOS, 0x48)
        pair.sock.setsockopt(TCP, socket.TCP_KEEPIDLE, 0x102)
        assert get(TCP, socket.TCP_KEEPIDLE, 2) == b"\2\1"
        assert get(TCP, socket.TCP_KEEPIDLE, 100) == b"\2\1\0\0"
        assert get(IP, socket.IP_TOS, 1) == b"\x48"
        assert get(IP, socket.IP_TOS, 3) == b"\x48"
        pair.sock.setsockopt(TCP, socket.TCP_CONGESTION, b"cubic")
        assert get(TCP, socket.TCP_CONGESTION, 3) == b"cub"
        assert get(TCP, socket.TCP_CONGESTION) == int.from_bytes(b"cubi", "little")
        assert len(get(TCP, socket.TCP_CONGESTION, 64)) == 16
        pair.sock.setsockopt(IP, socket.IP_TOS, b"\x28")
        assert get(IP, socket.IP_TOS) == 0x28
        pair.sock.setsockopt(SOL, socket.SO_LINGER, LINGER.pack(5, 7))
        assert get(SOL, socket.SO_LINGER) == 1
        assert get(SOL, socket.SO_LINGER, 8) == LINGER.pack(1, 7)
        pair.sock.setsockopt(SOL, socket.SO_LINGER, LINGER.pack(0, 0))

    over(place, body)


@pytest.mark.parametrize(
    ("option", "asked", "got"),
    [
        (socket.SO_RCVBUF, 50_000, 100_000),
        (socket.SO_SNDBUF, 50_000, 100_000),
        (socket.SO_RCVBUF, 1, 2304),
        (socket.SO_SNDBUF, 1, 4608),
    ],
    ids=str,
)
def test_buffers_are_twice_what_was_asked_for(place, option, asked, got):
    async def body(pair):
        pair.sock.setsockopt(SOL, option, asked)
        assert pair.sock.getsockopt(SOL, option) == got
        pair.sock.setsockopt(SOL, option, 60_000)

    over(place, body)


def test_data_passes_through_the_smallest_buffers(place):
    async def body(pair):
        pair.peer_sock.setsockopt(SOL, socket.SO_RCVBUF, 1)
        pair.sock.setsockopt(SOL, socket.SO_SNDBUF, 1)
        pair.client.transport.write(bytes(50_000))
        assert "pause" not in pair.client.log or pair.client.transport.get_write_buffer_size()
        await pair.peer.received(50_000)

    over(place, body)


def test_congestion_control_can_be_exchanged(place):
    async def body(pair):
        for name in (b"reno", b"cubic\0", b"reno\0rubbish"):
            pair.sock.setsockopt(TCP, socket.TCP_CONGESTION, name)
            assert pair.sock.getsockopt(TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == name.partition(b"\0")[0]
        fails(errno.ENOENT, pair.sock.setsockopt, TCP, socket.TCP_CONGESTION, b"no such thing")
        with pytest.raises(FileNotFoundError):
            pair.sock.setsockopt(TCP, socket.TCP_CONGESTION, b"vegas of the moon")
        fails(errno.EINVAL, pair.sock.setsockopt, TCP, socket.TCP_CONGESTION, b"")

    over(place, body)


def test_tcp_info_has_the_layout_of_linux(place):
    async def body(pair):
        pair.client.transport.write(bytes(100_000))
        await pair.peer.received(100_000)
        unacked = slice(24, 28)
        for _ in range(2000):  # the last acknowledgement comes after the data has arrived
            info = pair.sock.getsockopt(TCP, socket.TCP_INFO, 1024)
            if not any(info[unacked]):
                break
            await asyncio.sleep(0.001)
        assert len(info) >= 232
        assert len(pair.sock.getsockopt(TCP, socket.TCP_INFO, 104)) == 104
        assert pair.sock.getsockopt(TCP, socket.TCP_INFO, 1) == b"\1"
        small = info[:8]
        words = dict(zip(WORDS, struct.unpack("=24I", info[8:104]), strict=True))
        assert small[0] == 1  # TCP_ESTABLISHED
        assert small[1] == 0  # TCP_CA_Open
        assert small[5] & 7 == 7  # timestamps, SACK, window scaling
        assert 0 < small[6] & 15 <= 14
        assert 0 < small[6] >> 4 <= 14
        assert 200_000 <= words["rto"] <= 3_000_000
        assert words["snd_mss"] == pair.sock.getsockopt(TCP, socket.TCP_MAXSEG)
        assert words["snd_mss"] < words["pmtu"] <= 65_535
        assert 0 < words["rtt"] < 1_000_000
        assert words["snd_cwnd"] >= 2
        assert words["unacked"] == words["lost"] == words["retrans"] == words["total_retrans"] == 0
        assert words["last_data_sent"] < 5_000
        _, _, acked, received = struct.unpack("=4Q", info[104:136])
        assert 100_000 <= acked <= 100_001  # Linux counts the SYN
        assert received == 0
        [snd_wnd] = struct.unpack("=I", info[228:232])
        assert snd_wnd > 0

    over(place, body)


WORDS = """
rto ato snd_mss rcv_mss unacked sacked lost retrans fackets last_data_sent last_ack_sent last_data_recv last_ack_recv
pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans
""".split()  # noqa: SIM905  (a list would take a page)


def test_lingering_for_no_time_resets_at_close(place):
    async def body(pair):
        pair.sock.setsockopt(SOL, socket.SO_LINGER, LINGER.pack(1, 0))
        pair.client.transport.close()
        assert isinstance(await pair.peer.closed, ConnectionResetError)
        assert await pair.client.closed is None
        assert pair.peer.log == ["made", "lost"]

    over(place, body)


def test_a_reset_at_close_waits_for_what_the_transport_holds(place):
    async def body(pair):
        pair.sock.setsockopt(SOL, socket.SO_LINGER, LINGER.pack(1, 0))
        pair.peer.transport.pause_reading()
        while "pause" not in pair.client.log:
            pair.client.transport.write(bytes(1 << 18))
            await asyncio.sleep(0)
        pair.client.transport.close()
        await asyncio.sleep(0.01)
        assert "lost" not in pair.client.log
        pair.peer.transport.resume_reading()
        assert isinstance(await pair.peer.closed, ConnectionResetError)
        assert await pair.client.closed is None

    over(place, body)


def test_accepted_connections_have_the_options_of_their_listener(place):
    def prepare(listener):
        listener.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(TCP, socket.TCP_KEEPIDLE, 33)
        listener.setsockopt(SOL, socket.SO_RCVBUF, 30_000)
        listener.setsockopt(SOL, socket.SO_LINGER, LINGER.pack(1, 0))
        listener.setsockopt(TCP, socket.TCP_CONGESTION, b"reno")
        listener.setsockopt(IP, socket.IP_TTL, 17)
        assert listener.getsockopt(SOL, socket.SO_RCVBUF) == 60_000

    async def body(pair):
        get = pair.peer_sock.getsockopt
        assert get(SOL, socket.SO_KEEPALIVE) == 1
        assert get(TCP, socket.TCP_KEEPIDLE) == 33
        assert get(SOL, socket.SO_RCVBUF) == 60_000
        assert get(SOL, socket.SO_LINGER, 8) == LINGER.pack(1, 0)
        assert get(TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"
        assert get(IP, socket.IP_TTL) == 17
        pair.peer.transport.close()
        assert isinstance(await pair.client.closed, ConnectionResetError)

    over(place, body, prepare=prepare)


def test_the_listeners_segment_size_is_announced(place):
    async def body(pair):
        assert pair.sock.getsockopt(TCP, socket.TCP_MAXSEG) <= 600
        pair.sock.setsockopt(TCP, socket.TCP_MAXSEG, 1000)

    over(place, body, prepare=lambda listener: listener.setsockopt(TCP, socket.TCP_MAXSEG, 600))


# What uvloop's own sockets refuse.


def test_shutdown_for_writing_is_seen_as_the_end(asyncio_place):
    async def body(pair):
        pair.client.transport.write(b"last")
        pair.sock.shutdown(socket.SHUT_WR)
        await pair.peer.eof
        assert pair.peer.data == b"last"
        await pair.client.closed

    over(asyncio_place, body)


def test_writing_after_shutdown_loses_the_connection(asyncio_place):
    async def body(pair):
        pair.peer.keep_open = True
        pair.sock.shutdown(socket.SHUT_WR)
        pair.client.transport.write(b"too late")
        assert isinstance(await pair.client.closed, BrokenPipeError)

    over(asyncio_place, body)


def test_shutdown_for_reading_ends_reading(asyncio_place):
    async def body(pair):
        pair.client.keep_open = True
        pair.sock.shutdown(socket.SHUT_RD)
        await pair.client.eof
        pair.client.transport.write(b"still")
        await pair.peer.received(5)
        fails(errno.EINVAL, pair.sock.shutdown, 99)

    over(asyncio_place, body)


def test_what_a_transport_socket_refuses(asyncio_place):
    async def body(pair):
        for name in ("close", "detach", "send", "recv", "accept", "connect", "listen", "makefile"):
            assert not hasattr(pair.sock, name)
        with pytest.raises(TypeError):
            pickle.dumps(pair.sock)
        with pytest.raises(ValueError):
            pair.sock.settimeout(1)
        pair.sock.settimeout(0)
        assert pair.sock.get_inheritable() is False

    over(asyncio_place, body)


def test_a_datagram_socket(place):
    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(net.ip, 0))
            sock = transport.get_extra_info("socket")
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
            assert sock.getsockname() == transport.get_extra_info("sockname")
            for level, option, value in (
                (SOL, socket.SO_BROADCAST, 1),
                (SOL, socket.SO_REUSEADDR, 1),
                (IP, socket.IP_TOS, 0x28),
                (IP, socket.IP_TTL, 5),
            ):
                sock.setsockopt(level, option, value)
                assert sock.getsockopt(level, option) == value
            sock.setsockopt(IP, socket.IP_TTL, -1)
            assert sock.getsockopt(IP, socket.IP_TTL) == 64
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(SOL, option, 50_000)
                assert sock.getsockopt(SOL, option) == 100_000
            assert sock.getsockopt(SOL, socket.SO_TYPE) == socket.SOCK_DGRAM
            assert sock.getsockopt(SOL, socket.SO_PROTOCOL) == socket.IPPROTO_UDP
            assert sock.getsockopt(SOL, socket.SO_ERROR) == 0
            fails(errno.ENOPROTOOPT, sock.getsockopt, SOL, 9999)
            fails(errno.ENOTCONN, sock.getpeername)
            transport.close()

    place.run(main())


# -- ours alone


def test_every_algorithm_of_the_stack_can_be_chosen(on_loop):
    async def main():
        async with StackPlace() as pair:
            for name in ALGORITHMS:
                pair.sock.setsockopt(TCP, socket.TCP_CONGESTION, name.encode())
                pair.client.transport.write(bytes(50_000))
            await pair.peer.received(50_000 * len(ALGORITHMS))
            assert pair.client.transport.get_extra_info("tcp_info").congestion == name

    on_loop(main())


class StackPlace:
    async def __aenter__(self):

        self.net = StackNet()
        await self.net.__aenter__()
        self.pair = Pair(self.net.ip)
        return await self.pair.__aenter__()

    async def __aexit__(self, *exc_info):
        await self.pair.__aexit__(*exc_info)
        await self.net.__aexit__(*exc_info)


def test_the_error_of_a_lost_connection_is_told_once(on_loop):
    async def main():
        async with StackPlace() as pair:
            assert isinstance(pair.sock, TcpSocket)
            told = []
            tell = pair.client.connection_lost

            def lost(exc):  # the last moment at which the socket answers
                told.extend(pair.sock.getsockopt(SOL, socket.SO_ERROR) for _ in range(2))
                fails(errno.ENOTCONN, pair.sock.shutdown, socket.SHUT_WR)
                tell(exc)

            pair.client.connection_lost = lost
            pair.peer.transport.get_extra_info("socket").setsockopt(SOL, socket.SO_LINGER, LINGER.pack(1, 0))
            pair.peer.transport.abort()
            await pair.client.closed
            assert told == [errno.ECONNRESET, 0]
            fails(errno.EBADF, pair.sock.dup)
            assert pair.sock.fileno() == -1

    on_loop(main())


def every_call_fails(sock):
    """With EBADF."""
    calls = [
        sock.getsockname,
        sock.getpeername,
        lambda: sock.getsockopt(SOL, socket.SO_TYPE),
        lambda: sock.setsockopt(SOL, socket.SO_REUSEADDR, 1),
        lambda: sock.shutdown(socket.SHUT_WR),
    ]
    for call in calls:
        fails(errno.EBADF, call)
    assert sock.fileno() == -1
    assert "laddr" not in repr(sock)


def test_the_socket_of_a_closed_transport_is_a_closed_socket(asyncio_place):
    async def body(pair):
        client, listening = pair.client.transport, pair.server.sockets[0]
        client.close()
        assert pair.sock.getpeername() == client.get_extra_info("peername")  # not before connection_lost
        await pair.client.closed
        await asyncio.sleep(0)
        every_call_fails(pair.sock)
        assert pair.sock.family == socket.AF_INET
        every_call_fails(client.get_extra_info("socket"))
        assert client.get_extra_info("sockname")
        pair.server.close()
        every_call_fails(listening)

    over(asyncio_place, body)


def test_the_socket_of_a_closed_endpoint_is_a_closed_socket(asyncio_place):
    async def main():
        async with asyncio_place.net() as net:
            loop = asyncio.get_running_loop()
            lost = loop.create_future()

            class Endpoint(asyncio.DatagramProtocol):
                def connection_lost(self, exc):
                    lost.set_result(transport.get_extra_info("socket").getsockname())

            transport, _ = await loop.create_datagram_endpoint(Endpoint, local_addr=(net.ip, 0))
            sock = transport.get_extra_info("socket")
            transport.close()
            assert await lost == transport.get_extra_info("sockname")
            await asyncio.sleep(0)
            every_call_fails(sock)

    asyncio_place.run(main())
