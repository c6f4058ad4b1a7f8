"""One ICMP echo request and the wait for what comes back (RFC 792, RFC 1122 §3.2.2.6)."""

import asyncio

from stack.aio.driver import Driver, Ended
from stack.host.icmp_layer import EchoReply
from stack.udp.endpoint import to_exception


class Ping:
    """An echo endpoint of its own for one request; `answer` has the reply or the error."""

    __slots__ = ("_driver", "_endpoint", "answer")

    def __init__(self, driver: Driver) -> None:
        """Raises NoBufferSpace when too many are under way."""
        self._driver = driver
        self._endpoint = driver.host.icmp_open()
        self._endpoint.user = self
        self.answer: asyncio.Future[EchoReply] = driver.loop.create_future()
        driver.admit(self)

    def send(self, addr: int, seq: int, data: bytes, ttl: int) -> None:
        """Send the request; `ttl` 0 is the host's default.  Raises NetworkUnreachable, AddressNotAvailable."""
        driver = self._driver
        driver.host.ip.icmp.send_echo(self._endpoint, addr, seq, data, driver.time(), ttl=ttl)
        driver.schedule()

    def on_events(self, events: int) -> None:  # noqa: ARG002  (the queues tell)
        """The driver's call."""
        endpoint, answer = self._endpoint, self.answer
        if answer.done():
            return
        if endpoint.replies:
            answer.set_result(endpoint.replies.popleft())
        elif endpoint.errors:
            answer.set_exception(to_exception(endpoint.errors.popleft()[0]))

    def on_callback_error(self, exc: BaseException) -> None:
        """No callbacks of others are called."""

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        if not self.answer.done():
            self.answer.set_exception(exc)

    def close(self) -> None:
        """Give the identifier back."""
        self._endpoint.user = None
        self._driver.host.ip.icmp.close_echo(self._endpoint)
        self._driver.release(self)
        self.answer.cancel()

    abort = close
