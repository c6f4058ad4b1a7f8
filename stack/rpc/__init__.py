"""Remote procedure calls: ONC RPC (RFC 5531) with XDR (RFC 4506).

    calc = rpc.compile_x("calc.x")

    async with await rpc.serve([Calc()], host=host) as server: ...

    async with rpc.connect(calc.CALC_V1, "srv.test") as client:
        result = await client.CALC_DO(calc.args(calc.op.ADD, 1, 2), timeout=2)

The names below are the public ones; each is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.rpc.auth import AuthNone, AuthSys
    from stack.rpc.calls import Calls, Semantics
    from stack.rpc.client import connect
    from stack.rpc.connections import ServerLimits
    from stack.rpc.constants import AuthStat
    from stack.rpc.dispatch import NO_REPLY, Dispatcher, Invocation, Pieces
    from stack.rpc.duplicates import Bounds, Duplicates
    from stack.rpc.durable import DurableDuplicates
    from stack.rpc.errors import (
        AuthError,
        BadReply,
        CallTooLarge,
        ClientClosed,
        ConnectionLost,
        GarbageArgs,
        NotRegistered,
        ProcUnavail,
        ProgMismatch,
        ProgUnavail,
        Rejected,
        RpcError,
        RpcMismatch,
        RpcTimeout,
        ServerRebooted,
        SystemErr,
        TooManyCalls,
        Unreachable,
    )
    from stack.rpc.mailboxes import Letter, Mailbox, mailbox
    from stack.rpc.policy import Policy, allow
    from stack.rpc.pooling.entry import Pooling, pool
    from stack.rpc.pooling.members import Choice, Place
    from stack.rpc.program import Context
    from stack.rpc.rpcbind.binding import connect_service, find_port, registered, services
    from stack.rpc.rpcbind.server import RpcbindServer, rpcbind_server
    from stack.rpc.server import RpcServer, proc, serve
    from stack.rpc.within import local
    from stack.rpc.x.compile import compile_x
    from stack.rpc.x.errors import InterfaceError
    from stack.rpc.xdr import Codec, Limits, XdrError, XdrReason

__all__ = [
    "NO_REPLY",
    "AuthError",
    "AuthNone",
    "AuthStat",
    "AuthSys",
    "BadReply",
    "Bounds",
    "CallTooLarge",
    "Calls",
    "Choice",
    "ClientClosed",
    "Codec",
    "ConnectionLost",
    "Context",
    "Dispatcher",
    "Duplicates",
    "DurableDuplicates",
    "GarbageArgs",
    "InterfaceError",
    "Invocation",
    "Letter",
    "Limits",
    "Mailbox",
    "NotRegistered",
    "Pieces",
    "Place",
    "Policy",
    "Pooling",
    "ProcUnavail",
    "ProgMismatch",
    "ProgUnavail",
    "Rejected",
    "RpcError",
    "RpcMismatch",
    "RpcServer",
    "RpcTimeout",
    "RpcbindServer",
    "Semantics",
    "ServerLimits",
    "ServerRebooted",
    "SystemErr",
    "TooManyCalls",
    "Unreachable",
    "XdrError",
    "XdrReason",
    "allow",
    "compile_x",
    "connect",
    "connect_service",
    "find_port",
    "local",
    "mailbox",
    "pool",
    "proc",
    "registered",
    "rpcbind_server",
    "serve",
    "services",
]

_HOME = {
    "RpcbindServer": "stack.rpc.rpcbind.server",
    "connect_service": "stack.rpc.rpcbind.binding",
    "find_port": "stack.rpc.rpcbind.binding",
    "registered": "stack.rpc.rpcbind.binding",
    "rpcbind_server": "stack.rpc.rpcbind.server",
    "services": "stack.rpc.rpcbind.binding",
    "Context": "stack.rpc.program",
    "Letter": "stack.rpc.mailboxes",
    "Mailbox": "stack.rpc.mailboxes",
    "mailbox": "stack.rpc.mailboxes",
    "ServerLimits": "stack.rpc.connections",
    "RpcServer": "stack.rpc.server",
    "proc": "stack.rpc.server",
    "serve": "stack.rpc.server",
    "local": "stack.rpc.within",
    "connect": "stack.rpc.client",
    "NO_REPLY": "stack.rpc.dispatch",
    "AuthError": "stack.rpc.errors",
    "AuthNone": "stack.rpc.auth",
    "AuthStat": "stack.rpc.constants",
    "AuthSys": "stack.rpc.auth",
    "BadReply": "stack.rpc.errors",
    "Bounds": "stack.rpc.duplicates",
    "Choice": "stack.rpc.pooling.members",
    "Place": "stack.rpc.pooling.members",
    "Pooling": "stack.rpc.pooling.entry",
    "pool": "stack.rpc.pooling.entry",
    "CallTooLarge": "stack.rpc.errors",
    "Calls": "stack.rpc.calls",
    "ClientClosed": "stack.rpc.errors",
    "Codec": "stack.rpc.xdr",
    "ConnectionLost": "stack.rpc.errors",
    "Dispatcher": "stack.rpc.dispatch",
    "Duplicates": "stack.rpc.duplicates",
    "DurableDuplicates": "stack.rpc.durable",
    "GarbageArgs": "stack.rpc.errors",
    "InterfaceError": "stack.rpc.x.errors",
    "Invocation": "stack.rpc.dispatch",
    "Limits": "stack.rpc.xdr",
    "NotRegistered": "stack.rpc.errors",
    "Pieces": "stack.rpc.dispatch",
    "Policy": "stack.rpc.policy",
    "ProcUnavail": "stack.rpc.errors",
    "ProgMismatch": "stack.rpc.errors",
    "ProgUnavail": "stack.rpc.errors",
    "Rejected": "stack.rpc.errors",
    "RpcError": "stack.rpc.errors",
    "RpcMismatch": "stack.rpc.errors",
    "RpcTimeout": "stack.rpc.errors",
    "Semantics": "stack.rpc.calls",
    "ServerRebooted": "stack.rpc.errors",
    "SystemErr": "stack.rpc.errors",
    "TooManyCalls": "stack.rpc.errors",
    "Unreachable": "stack.rpc.errors",
    "XdrError": "stack.rpc.xdr",
    "XdrReason": "stack.rpc.xdr",
    "allow": "stack.rpc.policy",
    "compile_x": "stack.rpc.x.compile",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
