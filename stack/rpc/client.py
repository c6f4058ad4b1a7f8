"""A client of one server: calls in flight, over whatever channel leads there.

Theory of operation.  `Calls` decides what is sent, sent again, and given up; here is its timer, and a future for each
call.  The channel is the Link's business (`stack.rpc.link`): when it is lost, one like it is opened, from the same local
port, and then the calls that wait are sent again, or given up, as their semantics say.

*The run of the server.*  At-most-once holds as long as the server's duplicate request cache does, so not beyond a new
start of the server.  Servers of ours say which run of theirs answers (see `session`).  It is asked for when a channel is
new, before a call that was sent already is sent on it; over UDP before a call is sent again at all.  Another run than
before: those calls fail with ServerRebooted, and may have been executed.  A server that does not say is taken at its
word: that it has a cache, and did not start anew.

*Back-pressure.*  At most `max_in_flight` calls are in flight; further ones wait, as they do while the channel is full.
A call that is cancelled or given up before it was sent has not run.  If it was sent, a server of ours is told that
nobody waits.

*Deadlines.*  A call ends at its timeout, whatever it is waiting for.  TCP learns of it as its user timeout: a connection
on which nothing is acknowledged for as long as the longest of its calls may take is given up.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from stack.config import NEVER, SECOND, Rng
from stack.errors import ConfigError
from stack.rpc import session
from stack.rpc.auth import NOBODY, Credential
from stack.rpc.calls import Calls, Pending, Semantics
from stack.rpc.channel import Channel
from stack.rpc.dispatch import UDP
from stack.rpc.errors import BadReply, ClientClosed, RpcError, RpcTimeout, Unreachable
from stack.rpc.message import call_head
from stack.rpc.program import CallOptions, Procedure, Version
from stack.rpc.record import RecordFault
from stack.rpc.xdr import LIMITS, Limits, XdrError

T = TypeVar("T")
TIMEOUT_S: Final = 25.0  # of a call that is given none; the same as of rpcgen's stubs
MAX_IN_FLIGHT: Final = 1024
HELLO_S: Final = 3.0  # for the server to say which run of it this is
_SPARE: Final = 8  # calls of ours that are not counted
_ALONE_US: Final = 2 * SECOND  # a refusal that comes so long after all messages but one is that one's
