"""Segments much smaller than SMSS: a window of bytes is then many packets, and a short queue drops most of them."""

import pytest

from stack.config import MS, SECOND, TcpConfig
from stack.device.fault import Faults
from stack.sim.record import OUTBOUND
from stack.tcp.congestion.bbr import Bbr
from stack.tcp.connection import Connection
from tests.support.net import TestNet
from tests.support.one_flow import Sink
from tests.support.rfc import rfc

RATE = 125_000  # bytes of frames per second: 1 Mbit/s
MESSAGE = bytes(200)
JUMBO = 9_000  # two segments of this size are as many bytes as ninety messages


class Talker:
    """An application that writes 200 bytes, and no more before they have left."""

    def __init__(self, net: TestNet, conn: Connection) -> None:
        self.net, self.conn = net, conn
        conn.user = self

    def on_events(self, events: int) -> None:
        while self.conn.send_room() > 0:
            self.conn.send(MESSAGE, self.net.now)
        self.net.a.wake(self.conn)


class Storm:
    """A Talker over a link with a queue of four packets; counts what enters the link, in bytes of frames."""

    def __init__(self, config: TcpConfig, *, mtu: int, invariants: bool = False) -> None:
        self.net = TestNet(1, Faults(rate=RATE, queue_frames=4), mtu=mtu, invariants=invariants)
        self.conn, server = self.net.connect(client_config=config)
        self.offered = 0
        self.sink = Sink(self.net, server)
        self.net.link.a.tap = self._tap
        Talker(self.net, self.conn).on_events(0)

    def _tap(self, now: int, direction: int, frame: bytes, on_its_way: bool) -> None:
        if direction == OUTBOUND:
            self.offered += len(frame)

    def run(self, duration_us: int) -> tuple[float, float]:
        """Go on for so long: the rate of what was sent, and of what arrived, as shares of the link's."""
        offered, received = self.offered, self.sink.received
        self.net.run_for(duration_us)
        share = duration_us * RATE / SECOND
        return (self.offered - offered) / share, (self.sink.received - received) / share


def settings(congestion: str, detection: str) -> TcpConfig:
    sack = detection != "dupack"
    return TcpConfig(
        congestion=congestion,
        sack=sack,
        loss_detection=detection if sack else "rfc6675",
        notsent_lowat=len(MESSAGE),
        nodelay=True,
        rto_min_us=50 * MS,
    )


@rfc("5681", "3.1")
@pytest.mark.parametrize("detection", ["dupack", "rfc6675", "rack"])
@pytest.mark.parametrize("congestion", ["newreno", "cubic", "bbr"])
def test_small_segments_do_not_flood_a_short_queue(congestion: str, detection: str) -> None:
    """Sent again one by one, as many bytes as two full segments were 14 times what the link carries, for ever.

    What is left is the price of the floors (two segments of SMSS, four in BBR): new messages that the queue drops, and
    that go out a second time, but then in few packets.
    """
    storm = Storm(settings(congestion, detection), mtu=JUMBO)
    storm.run(2 * SECOND)
    sent, arrived = storm.run(4 * SECOND)
    assert sent < 2.3
    assert arrived > 0.5


@pytest.mark.parametrize("detection", ["dupack", "rfc6675", "rack"])
def test_bbr_is_not_deceived_by_holes_that_are_filled_late(detection: str) -> None:
    """Neither what arrived behind a hole long before the ACK that says so, nor the ACK of another copy than the last,
    nor data that waits for the pacer makes the path look faster than it is.
    """
    storm = Storm(settings("bbr", detection), mtu=JUMBO)
    storm.run(6 * SECOND)
    controller = storm.conn.snd.controller
    assert isinstance(controller, Bbr)
    assert controller.full_bw_reached
    assert 0.5 * RATE < controller.max_bw < 1.2 * RATE


@pytest.mark.parametrize("congestion", ["newreno", "bbr"])
def test_the_same_with_ordinary_segments(congestion: str) -> None:
    storm = Storm(settings(congestion, "dupack"), mtu=1500, invariants=True)
    storm.run(SECOND)
    sent, arrived = storm.run(2 * SECOND)
    assert sent < 1.6
    assert arrived > 0.4
