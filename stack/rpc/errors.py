"""What can come of a call, and of bytes from the network.

Callers see an RpcError, which is an OSError and never a bare one: it says in one sentence what was called, what went
wrong, and whether the call may have run all the same (`maybe_executed`).  False is a promise: the procedure was not
entered on behalf of this call.  True means that nobody on this side can know.

Who implements a procedure may raise ProcUnavail, GarbageArgs, SystemErr or AuthError: the caller gets it.  One that is
the answer to a call of its own to another server (`received`) is not for the caller, who gets SYSTEM_ERR.

MessageError is what a peer got wrong; it stays within: who parses a message counts its `reason` and drops the message.
"""

import errno
from enum import IntEnum, unique
from typing import Final

from stack.errors import ConfigError, StackError
from stack.rpc.constants import AuthStat, auth_text

_MAX_STAT: Final = 0xFFFF_FFFF


@unique
class MessageReason(IntEnum):
    """Why a message was refused, for counting."""

    SHORT = 0  # it ends within its header
    NOT_A_CALL = 1  # a reply, or of no known type, where calls are taken
    NOT_A_REPLY = 2  # a call, or of no known type, where replies are taken
    RPC_VERSION = 3  # a call of another version than 2: this one is answered
    AUTH_TOO_LONG = 4  # a credential or a verifier of more than 400 octets (RFC 5531 §8.2)
    BAD_STATUS = 5  # a reply with a status that does not exist


class MessageError(ValueError):
    """A peer's message that breaks the format; `reason` says how, for counting."""

    def __init__(self, reason: MessageReason) -> None:
        super().__init__(reason.name.lower())
        self.reason = reason


class RpcError(StackError):
    """A call without a result.  `maybe_executed`: it may have run all the same; False: it certainly has not.

    `what` names the call, like "CALC_DO at 198.18.0.2"; `because` is added in brackets.
    """

    code = errno.EIO
    sentence = "{what} failed"
    unknown = False  # whether it may have run, where nothing else is known

    def __init__(self, what: str = "the call", *, maybe_executed: bool | None = None, because: str = "") -> None:
        self.maybe_executed = self.unknown if maybe_executed is None else maybe_executed
        text = self.sentence.format(what=what, self=self)
        reason = f" ({because})" if because else ""
        super().__init__(f"{text}{reason}; it {'may have run' if self.maybe_executed else 'has not run'}")


class RpcTimeout(RpcError, TimeoutError):
    """No reply in time (ETIMEDOUT)."""

    code = errno.ETIMEDOUT
    sentence = "no reply to {what} in time"
    unknown = True


class ConnectionLost(RpcError, ConnectionError):
    """The connection ended before the reply, and sending the call again is not safe or of no use (ECONNRESET).

    A call that must not run twice is not sent again from another local port: the server would not know it.
    """

    code = errno.ECONNRESET
    sentence = "the connection was lost before the reply to {what}"
    unknown = True


class Unreachable(RpcError, ConnectionError):
    """There is no way to the server: refused, no route, no such name (ECONNREFUSED)."""

    code = errno.ECONNREFUSED
    sentence = "the server of {what} cannot be reached"


class NotRegistered(RpcError):
    """The server's rpcbind knows no such program, version and transport (ENOENT)."""

    code = errno.ENOENT
    sentence = "{what} is not registered"


class ServerRebooted(RpcError):
    """The server is another one than the one that the call was meant for: it was started anew (ESTALE)."""

    code = errno.ESTALE
    sentence = "the server of {what} has been started anew"
    unknown = True


class ClientClosed(RpcError):
    """The client was closed: it takes no calls any more, and waits for no replies (EBADF)."""

    code = errno.EBADF
    sentence = "the client of {what} was closed"


class TooManyCalls(RpcError):
    """The bound on calls in flight is reached: wait for some of them first (EAGAIN)."""

    code = errno.EAGAIN
    sentence = "too many calls in flight for {what}"


class CallTooLarge(RpcError):
    """The transport, or the bound on records, cannot carry this call (EMSGSIZE)."""

    code = errno.EMSGSIZE
    sentence = "the arguments of {what} are too large"


class BadReply(RpcError):
    """The server did it, but its results cannot be decoded: client and server do not mean the same (EBADMSG)."""

    code = errno.EBADMSG
    sentence = "the results of {what} cannot be decoded"
    unknown = True


class Rejected(RpcError):
    """The server answered, and says that it did not do it; its subclasses say why.

    `received`: it came from a server, and was not made here.
    """

    received = False


class ProgUnavail(Rejected):
    """The server does not have the program (EPROTONOSUPPORT)."""

    code = errno.EPROTONOSUPPORT
    sentence = "the server does not have the program of {what}"


class ProgMismatch(Rejected):
    """The server has the program, but in the versions `low` to `high` (EPROTONOSUPPORT)."""

    code = errno.EPROTONOSUPPORT
    sentence = "the server has the program of {what} in versions {self.low} to {self.high} only"

    def __init__(
        self, low: int, high: int, what: str = "the call", *, maybe_executed: bool | None = None, because: str = ""
    ) -> None:
        self.low, self.high = low, high
        super().__init__(what, maybe_executed=maybe_executed, because=because)


class ProcUnavail(Rejected):
    """The program has no such procedure (ENOSYS)."""

    code = errno.ENOSYS
    sentence = "the server does not have the procedure {what}"


class GarbageArgs(Rejected, ValueError):
    """The server cannot decode the arguments, or they exceed its limits (EINVAL)."""

    code = errno.EINVAL
    sentence = "the server cannot decode the arguments of {what}"


class SystemErr(Rejected):
    """The server failed while it did it, for a reason of its own (EREMOTEIO): it may have run in part."""

    code = errno.EREMOTEIO
    sentence = "the server failed in {what}"
    unknown = True


class RpcMismatch(Rejected):
    """The server speaks versions `low` to `high` of the RPC protocol (EPROTO)."""

    code = errno.EPROTO
    sentence = "the server of {what} speaks RPC versions {self.low} to {self.high} only"

    def __init__(
        self, low: int, high: int, what: str = "the call", *, maybe_executed: bool | None = None, because: str = ""
    ) -> None:
        self.low, self.high = low, high
        super().__init__(what, maybe_executed=maybe_executed, because=because)


class AuthError(Rejected, PermissionError):
    """The server refuses the caller; `stat` says why (EACCES).  Raises ConfigError for what is no number of 32 bits."""

    code = errno.EACCES
    sentence = "the server refuses {what}: {self.why}"

    def __init__(
        self,
        stat: int = AuthStat.TOOWEAK,
        what: str = "the call",
        *,
        maybe_executed: bool | None = None,
        because: str = "",
    ) -> None:
        if not 0 <= stat <= _MAX_STAT:
            raise ConfigError(f"{stat} is not a number of 32 bits without a sign: use a member of AuthStat")
        self.stat = stat
        self.why = auth_text(stat)
        super().__init__(what, maybe_executed=maybe_executed, because=because)
