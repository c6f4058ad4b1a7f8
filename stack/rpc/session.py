"""The private program by which our clients and servers know more of each other than ONC RPC has words for.

    program SESSION {
        version SESSION_V1 {
            unsigned hyper SESSION_HELLO(void) = 1;
            void SESSION_CANCEL(unsigned int) = 2;
        } = 1;
    } = 0x3fa57ac0;

HELLO does nothing, as NULL does, but says which run of the server answers: a number drawn when it was started.  Another
one than before: the server has been started anew, and its duplicate request cache knows nothing of earlier calls.
(Reply verifiers, which could say the same, stay empty: RFC 5531 §9 gives them another meaning.)

CANCEL says that nobody waits any more for the call with this xid, of the same address and port.  It has no reply.

A server that does not have the program says PROG_UNAVAIL to HELLO, and is never asked again.
"""

from struct import Struct
from typing import Final

from stack.rpc.message import call_head
from stack.rpc.program import Procedure
from stack.rpc.xdr import UNSIGNED, UNSIGNED_HYPER, VOID

PROGRAM: Final = 0x3FA57AC0  # RFC 5531 §8.3: 0x20000000 to 0x3fffffff are defined by users
VERSION: Final = 1
HELLO: Final = Procedure("SESSION_HELLO", 1, (), UNSIGNED_HYPER, "SESSION_HELLO")
CANCEL: Final = Procedure("SESSION_CANCEL", 2, (UNSIGNED,), VOID, "SESSION_CANCEL")
HELLO_HEAD: Final = call_head(PROGRAM, VERSION, HELLO.number)
CANCEL_HEAD: Final = call_head(PROGRAM, VERSION, CANCEL.number)
INSTANCE_BITS: Final = 64
_WORD: Final = Struct("!I")


def build_cancel(xid: int, cancelled: int) -> bytes:
    """The message that cancels a call."""
    return _WORD.pack(xid) + CANCEL_HEAD + _WORD.pack(cancelled)
