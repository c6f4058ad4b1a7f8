"""`stack.socket.socket`: the standard library's class, whose connections may be those of a host of ours.

Theory of operation.  A new socket is the kernel's.  With the first address that it is given, by `bind`, `connect` or
`sendto`, it is decided whose it is.  If it is the stack's, the descriptor is replaced, in place, by one end of a pair
(`stack.socket.ends`), and what was set on it before is set again.  From then on reading, writing and waiting is done by
the kernel on that end, by the methods of the base class; here is what else there is to a socket: names, options,
connecting, accepting, and errors, of which the kernel knows less than the End.
"""

import contextlib
import errno
import math
import os
import select
import socket as stdlib
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

from stack.aio.names import address_of, check_port
from stack.aio.network import AsyncHost
from stack.aio.sockets import sockaddr
from stack.errors import AddressInUse
from stack.socket import names
from stack.socket.datagrams import Datagrams
from stack.socket.ends import End, Plain, end_of, make_pair
from stack.socket.listening import TOKEN, Listening
from stack.socket.messages import Messages, fail
from stack.socket.station import Station, current
from stack.socket.stream import Stream, shut_gate
from stack.wire.addr import ANY, format_addr

LINGER_POLL_S: Final = 0.005

Options = dict[tuple[int, int], Any]

# options of the descriptor itself
_OF_THE_PAIR: Final = frozenset({(stdlib.SOL_SOCKET, stdlib.SO_RCVTIMEO), (stdlib.SOL_SOCKET, stdlib.SO_SNDTIMEO)})


class _Meta(type):
    """While the module is patched, sockets that were made before are instances, too."""

    def __instancecheck__(cls, instance: object) -> bool:
        if cls is PatchedSocket:
            return isinstance(instance, Plain)
        return super().__instancecheck__(instance)


class socket(Messages, metaclass=_Meta):  # noqa: N801  (its name in the standard library)
    """See the head of this file.  All addresses but those of 127/8 and 0/8 are the stack's."""

    __slots__ = ("_options", "_station")

    everything: ClassVar[bool] = True  # whether addresses in no prefix of a host are the stack's, and the wildcard

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:  # noqa: A002
        self._end: End | None = None if fileno is None else end_of(fileno)
        self._options: Options = {}
        self._station: Station | None = current()
        if self._end is not None:
            super().__init__(stdlib.AF_INET, self._end.kind, self._end.proto, fileno)
        else:
            super().__init__(family, type, proto, fileno)

    # -- whose it is

    def _may_be_ours(self) -> Station | None:
        """The Station that is asked about an address; None: this is the kernel's, whatever the address."""
        station = self._station
        if station is None and self.everything:
            raise OSError(
                errno.ENETDOWN, "no host was given to blocking sockets: call them within stack.socket.use(...)"
            )
        if station is None or super().family != stdlib.AF_INET or station.is_own_thread():
            return None
        return station if super().type in {stdlib.SOCK_STREAM, stdlib.SOCK_DGRAM} else None

    def _target(self, address: Any, call: str) -> tuple[int, int] | None:
        """(address, port) in numbers, names looked up; None for what the base class shall have a look at."""
        if not isinstance(address, tuple) or len(address) != 2 or not isinstance(address[1], int):
            return None
        host, port = address
        if isinstance(host, (bytes, bytearray)):
            host = host.decode("latin-1")
        if not isinstance(host, str):
            return None
        check_port(port, call)
        if host in {"", "0.0.0.0"}:  # noqa: S104
            return ANY, port
        addr = address_of(host)
        if addr is None and host != "<broadcast>":
            addr = address_of(names.getaddrinfo(host, port, stdlib.AF_INET, self.type)[0][4][0])
        return None if addr is None else (addr, port)

    def _take(self, make: Callable[..., End], kind: int, *, shut: bool = False) -> None:
        """Become the outside of a new pair; `make(outside, inside)` is called in the loop's thread.

        With `shut` it is not writable before the End says so, and `make` gets also the size of the gate.
        """
        assert self._station is not None
        timeout = self.gettimeout()
        outside, inside = make_pair(kind)
        before = os.dup(self.fileno())

        def begin(*arguments: Any) -> None:
            self._end = make(*arguments)

        try:
            gate = (shut_gate(outside),) if shut else ()
            # first of all: another thread may use this socket as soon as the peer has answered, before we return
            os.dup2(outside.fileno(), self.fileno(), inheritable=False)
            self.settimeout(timeout)
            self._station.run(begin, outside, inside, *gate)
        except BaseException:
            os.dup2(before, self.fileno(), inheritable=False)
            self.settimeout(timeout)
            inside.close()
            raise
        finally:
            outside.close()
            os.close(before)

    # -- connecting

    def connect(self, address: Any) -> None:
        """Connect.  Raises what a kernel socket would; with a timeout of 0 BlockingIOError (EINPROGRESS)."""
        if not self._dial(address):
            super().connect(address)
            return
        error = self._await_connected()
        if error is not None:
            raise error

    def connect_ex(self, address: Any) -> int:
        """As `connect`, and the errno in place of OSError; other errors are raised."""
        try:
            if not self._dial(address):
                return super().connect_ex(address)
            error = self._await_connected()
        except stdlib.gaierror:
            raise
        except OSError as exc:
            error = exc
        if isinstance(error, TimeoutError) and error.errno is None:
            return errno.EAGAIN  # as the base class
        return 0 if error is None else error.errno or 0

    def _dial(self, address: Any) -> bool:
        """Begin to connect, or go on with it; False: this is the kernel's."""
        if self.type == stdlib.SOCK_DGRAM:
            return self._connect_datagrams(address)
        end = self._end
        if isinstance(end, Stream):
            if not end.finished or end.reported:
                return True
        elif isinstance(end, Listening) and end.listens:
            fail(errno.EISCONN)
        station = self._may_be_ours() if end is None else self._station
        if station is None or (target := self._target(address, "connect")) is None:
            return False
        addr, port = target
        bound = isinstance(end, Listening)
        source = station.source_for(addr, everything=self.everything or bound)
        if source is None:
            if bound:
                fail(errno.EINVAL, "this socket is bound to an address of the stack, and that one is the kernel's")
            return False
        self._open_stream(station, source, addr, port)
        return True

    def _open_stream(self, station: Station, source: AsyncHost, addr: int, port: int) -> None:
        options = self._options
        end = self._end
        chosen = super().getsockname()[1] if end is None else 0  # a port that was bound without an address

        def make(outside: stdlib.socket, inside: stdlib.socket, gate: int) -> End:
            local, local_port = ANY, chosen
            if isinstance(end, Listening):
                local, local_port = end.release()
            host = station.ownership.owner(local) or source
            reuse = bool(options.get((stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR)))
            driver, conn = host.dial(addr, port, local, local_port, reuse=reuse)
            made = Stream(station, driver, conn, outside, inside, gate)
            replay(options, made)
            driver.wake(conn)
            return made

        self._take(make, stdlib.SOCK_STREAM, shut=True)

    def _await_connected(self) -> OSError | None:
        """Wait, as long as the timeout says, until the peer has answered; what went wrong, or None."""
        end = self._end
        if not isinstance(end, Stream):
            return None  # of datagrams
        if end.reported:
            return OSError(errno.EISCONN, os.strerror(errno.EISCONN))
        timeout = self.gettimeout()
        if timeout == 0 and not end.asked:
            end.asked = True
            return BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        if not poll.poll(None if timeout is None else math.ceil(timeout * 1000)):
            if timeout == 0:
                return BlockingIOError(errno.EALREADY, os.strerror(errno.EALREADY))
            return TimeoutError("timed out")
        error = end.take_error()
        if error is None and not end.connected:
            return OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        if error is None or end.connected:
            end.reported = True
        return error

    # -- binding, listening, accepting

    def bind(self, address: Any) -> None:
        """Take an address and a port.  Raises AddressInUse, AddressNotAvailable."""
        if self._end is not None:
            fail(errno.EINVAL, "this socket has an address already")
        station = self._may_be_ours()
        target = None if station is None else self._target(address, "bind")
        source = None
        if station is not None and target is not None:
            wildcard = station.host if self.everything else None
            source = wildcard if target[0] == ANY else station.owner(target[0])
        if station is None or target is None or source is None:
            super().bind(address)
            return
        if self.type == stdlib.SOCK_DGRAM:
            self._open_datagrams(station, source, target)
        else:
            self._take_port(station, source, target)

    def _take_port(self, station: Station, source: AsyncHost, local: tuple[int, int]) -> None:
        options = self._options

        def make(outside: stdlib.socket, inside: stdlib.socket) -> End:
            driver = source.open_driver()
            share = bool(options.get((stdlib.SOL_SOCKET, stdlib.SO_REUSEPORT)))
            reuse = share or bool(options.get((stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR)))
            if local[1] and source.host.tcp.is_taken(*local, listening_only=True) and not share:
                raise AddressInUse(f"TCP port {local[1]} is in use on {format_addr(local[0])}")
            if local[1] and not reuse and source.host.tcp.is_taken(*local):
                raise AddressInUse(f"TCP port {local[1]} has connections; set SO_REUSEADDR to listen on it")
            listener = source.host.listen(*local, 1, None, driver.time(), accepting=False, share=share)
            made = Listening(station, driver, listener, outside, inside)
            replay(options, made)
            return made

        self._take(make, stdlib.SOCK_STREAM)

    def listen(self, backlog: int = 128) -> None:
        """Begin to accept connections."""
        if self._end is None and self.everything and self.type == stdlib.SOCK_STREAM and self._may_be_ours():
            self.bind(("", 0))
        end = self._end
        if end is None:
            super().listen(backlog)
        elif isinstance(end, Listening) and self._station is not None:
            self._station.run(end.listen, backlog)
        else:
            fail(errno.EOPNOTSUPP if end.kind == stdlib.SOCK_DGRAM else errno.EINVAL)

    def accept(self) -> tuple[stdlib.socket, Any]:
        """(socket, address of the peer) of the next connection.  Raises TimeoutError, BlockingIOError."""
        end = self._end
        if end is None:
            return super().accept()
        if not isinstance(end, Listening) or not end.listens:
            fail(errno.EINVAL, "call listen() before")
        if Plain.recv(self, len(TOKEN)) != TOKEN:
            raise end.take_error() or OSError(errno.EINVAL, "this socket was shut down, or its host closed")
        stream, outside = end.ready.popleft()
        end.station.post(end.refill)
        made = self._accepted(outside.detach())
        made._station = self._station  # noqa: SLF001
        if stdlib.getdefaulttimeout() is None and self.gettimeout():
            made.setblocking(True)
        return made, stream.peername

    def _accepted(self, fileno: int) -> "socket":
        return self.__class__(fileno=fileno)

    # -- names

    def getsockname(self) -> Any:
        """The local address and port."""
        if self._end is None:
            return super().getsockname()
        self._check_open()
        return self._end.sockname

    def getpeername(self) -> Any:
        """The peer's.  Raises OSError(ENOTCONN)."""
        end = self._end
        if end is None:
            return super().getpeername()
        self._check_open()
        if end.peername is None or (isinstance(end, Stream) and (not end.connected or end.finished)):
            fail(errno.ENOTCONN)
        return end.peername

    def _check_open(self) -> None:
        if self.fileno() < 0:
            fail(errno.EBADF)

    # -- options

    def setsockopt(self, *args: Any) -> None:
        """Acts on the connection, once there is one."""
        end = self._end
        if end is None or tuple(args[:2]) in _OF_THE_PAIR:
            super().setsockopt(*args)
            if len(args) == 3:
                self._options[args[0], args[1]] = args[2]
            return
        self._check_open()
        end.station.run(end.face.setsockopt, *args)

    def getsockopt(self, *args: Any) -> Any:
        """Asks the connection, once there is one."""
        end = self._end
        if end is None or tuple(args[:2]) in _OF_THE_PAIR:
            return super().getsockopt(*args)
        self._check_open()
        if args == (stdlib.SOL_SOCKET, stdlib.SO_ERROR):
            super().getsockopt(*args)  # the kernel's, which says only that it was reset
            error = end.take_error()
            if error is None:
                if isinstance(end, Stream) and end.connected:
                    end.reported = True
                return 0
            return error.errno or errno.ECONNRESET
        if args == (stdlib.SOL_SOCKET, stdlib.SO_TYPE):
            return end.kind
        if args == (stdlib.SOL_SOCKET, stdlib.SO_ACCEPTCONN):
            return int(isinstance(end, Listening) and end.listens)
        return end.station.run(end.face.getsockopt, *args)

    # -- datagrams

    def sendto(self, data: Any, *args: Any) -> int:
        """As the base class: `sendto(data, address)` or `sendto(data, flags, address)`."""
        if not args or len(args) > 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(args)} given)")
        address, flags = args[-1], args[0] if len(args) == 2 else 0
        if self._end is None and self.type == stdlib.SOCK_DGRAM:
            self._choose(address)
        if self._end is None:
            return super().sendto(data, *args)
        if not isinstance(self._end, Datagrams):
            return self.send(data, flags)
        target = self._target(address, "sendto")
        return self._send_datagram([data], flags, address if target is None else sockaddr(*target))

    def _choose(self, address: Any) -> None:
        """Become the stack's, on any port, if `address` is."""
        station = self._may_be_ours()
        target = None if station is None else self._target(address, "sendto")
        if station is not None and target is not None:
            source = station.source_for(target[0], everything=self.everything)
            if source is not None:
                self._open_datagrams(station, source, (ANY, 0))

    def _open_datagrams(self, station: Station, source: AsyncHost, local: tuple[int, int]) -> None:
        options = self._options

        def make(outside: stdlib.socket, inside: stdlib.socket) -> End:
            reuse = bool(options.get((stdlib.SOL_SOCKET, stdlib.SO_REUSEPORT)))
            made = Datagrams(station, source, local, outside, inside, reuse=reuse)
            replay(options, made)
            return made

        self._take(make, stdlib.SOCK_SEQPACKET)

    def _connect_datagrams(self, address: Any) -> bool:
        """Fix the peer; False: this is the kernel's."""
        if self._end is None:
            self._choose(address)
        end = self._end
        if end is None:
            return False
        target = self._target(address, "connect")
        if not isinstance(end, Datagrams) or target is None:
            fail(errno.EINVAL, "connect() takes an IPv4 address and a port")
        end.station.run(end.connect, *target)
        return True

    # -- the end

    def shutdown(self, how: int) -> None:
        """SHUT_WR sends FIN after what was sent.  Raises OSError(ENOTCONN)."""
        end = self._end
        if isinstance(end, Stream) and (not end.connected or end.finished):
            fail(errno.ENOTCONN)
        super().shutdown(how)

    def dup(self) -> "socket":
        """Another socket object of the same connection."""
        made = self.__class__(self.family, self.type, self.proto, fileno=os.dup(self.fileno()))
        made.settimeout(self.gettimeout())
        made._station = self._station  # noqa: SLF001
        return made

    def _real_close(self) -> None:
        end = self._end
        waits = self.gettimeout() != 0 if self.fileno() >= 0 else False
        super()._real_close()  # type: ignore[misc]
        if end is None:
            return
        with contextlib.suppress(OSError, RuntimeError):  # the host was closed, or this is its own thread
            if not isinstance(end, Stream):
                end.station.run(end.look)  # the port is free when this returns
            elif waits and end.face.linger[0] and end.face.linger[1]:
                end.station.run(end.look)
                self._linger(end, end.face.linger[1])

    @staticmethod
    def _linger(end: Stream, seconds: int) -> None:
        """Wait until the peer has everything, or for `seconds`."""
        until = time.monotonic() + seconds
        while not end.station.run(end.is_flushed) and time.monotonic() < until:
            time.sleep(LINGER_POLL_S)


def replay(options: Options, end: End) -> None:
    """Set on `end` what was set before it was there; what the stack does not have is left out."""
    for (level, option), value in options.items():
        try:
            end.face.setsockopt(level, option, value)
        except OSError as exc:
            if exc.errno not in {errno.ENOPROTOOPT, errno.EINVAL}:
                raise


class PatchedSocket(socket):
    """`socket.socket` within `patched`: the kernel's but for addresses that are ours."""

    __slots__ = ()

    everything: ClassVar[bool] = False
