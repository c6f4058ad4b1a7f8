"""What callers can get wrong, and what can happen to their connections.

Peer faults never raise: they are dropped and counted (`stack.stats`).  Each class here is a subclass
of the OSError that the kernel's socket API would give, so that existing `except` clauses work.
"""

import errno


class StackError(OSError):
    """Base of every error that the stack raises at its API edge."""

    code = errno.EIO

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(self.code if code is None else code, message)


class ConfigError(StackError, ValueError):
    """A configuration value cannot be used; the message says which and what would do."""

    code = errno.EINVAL


class DeviceError(StackError):
    """A network device cannot be opened or configured."""

    code = errno.ENODEV


class DeviceGone(DeviceError):
    """The device disappeared while in use (ENODEV); `reason` is the errno that reading it gave, or 0."""

    code = errno.ENODEV

    def __init__(self, message: str, reason: int = 0) -> None:
        super().__init__(message)
        self.reason = reason


class AddressInUse(StackError):
    """The local address and port are taken (EADDRINUSE)."""

    code = errno.EADDRINUSE


class AddressNotAvailable(StackError):
    """The local address does not belong to this host, or no ephemeral port is left (EADDRNOTAVAIL)."""

    code = errno.EADDRNOTAVAIL


class HostClosed(StackError):
    """The host that shall do this was closed (ENETDOWN)."""

    code = errno.ENETDOWN


class NetworkUnreachable(StackError):
    """No route to the destination (ENETUNREACH)."""

    code = errno.ENETUNREACH


class HostUnreachable(StackError):
    """The next hop does not answer, or a router said so (EHOSTUNREACH)."""

    code = errno.EHOSTUNREACH


class InvalidAddress(StackError, ValueError):
    """Not an address that this call can use (EINVAL)."""

    code = errno.EINVAL


class MessageTooLong(StackError):
    """The datagram exceeds what the protocol or the path can carry (EMSGSIZE)."""

    code = errno.EMSGSIZE


class NoBufferSpace(StackError):
    """A bounded queue is full (ENOBUFS)."""

    code = errno.ENOBUFS


class NotConnected(StackError):
    """The operation needs an open connection (ENOTCONN)."""

    code = errno.ENOTCONN


class AlreadyConnected(StackError):
    """The endpoint is connected already (EISCONN)."""

    code = errno.EISCONN


class ConnectionRefused(StackError, ConnectionRefusedError):
    """The peer answered the SYN with RST, or the datagram with port unreachable (ECONNREFUSED)."""

    code = errno.ECONNREFUSED


class ConnectionReset(StackError, ConnectionResetError):
    """The peer reset the connection (ECONNRESET)."""

    code = errno.ECONNRESET


class ConnectionAborted(StackError, ConnectionAbortedError):
    """The local side aborted the connection (ECONNABORTED)."""

    code = errno.ECONNABORTED


class BrokenPipe(StackError, BrokenPipeError):
    """Sending after the local side closed (EPIPE)."""

    code = errno.EPIPE


class ConnectionTimedOut(StackError, TimeoutError):
    """Retransmissions, keep-alive probes or the user timeout ran out (ETIMEDOUT)."""

    code = errno.ETIMEDOUT
