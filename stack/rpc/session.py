"""The private program by which our clients and servers know more of each other than ONC RPC has words for.

    program SESSION {
        version SESSION_V1 {
            unsigned hyper SESSION_HELLO(void) = 1;
            void SESSION_CANCEL(unsigned int) = 2;
            unsigned hyper SESSION_AGAIN(unsigned hyper, opaque<>) = 3;
        } = 1;
    } = 0x3fa57ac0;

HELLO does nothing, as NULL does, but says which run of the server answers: a number drawn when it was started.  Another
one than before: the server has been started anew, and its duplicate request cache knows nothing of earlier calls.
(Reply verifiers, which could say the same, stay empty: RFC 5531 §9 gives them another meaning.)

CANCEL says that nobody waits any more for the call with this xid, of the same address and port.  It has no reply.

AGAIN is how a call that must not be executed twice is sent again over datagrams: the whole message, and the run that
it was sent to first.  That run takes it as if it had come by itself, and its reply is that of the call.  Another one
leaves it alone, and says which run it is, as HELLO does.  So there is no moment at which a server that was just
started anew could take the copy for a new call.

A server that does not have the program says PROG_UNAVAIL to HELLO, and is never asked again.
"""

from struct import Struct
from typing import Final

from stack.rpc.message import call_head
from stack.rpc.program import Procedure
from stack.rpc.xdr import OPAQUE, UNSIGNED, UNSIGNED_HYPER, VOID

PROGRAM: Final = 0x3FA57AC0  # RFC 5531 §8.3: 0x20000000 to 0x3fffffff are defined by users
VERSION: Final = 1
HELLO: Final = Procedure("SESSION_HELLO", 1, (), UNSIGNED_HYPER, "SESSION_HELLO")
CANCEL: Final = Procedure("SESSION_CANCEL", 2, (UNSIGNED,), VOID, "SESSION_CANCEL")
AGAIN: Final = Procedure("SESSION_AGAIN", 3, (UNSIGNED_HYPER, OPAQUE), UNSIGNED_HYPER, "SESSION_AGAIN")
HELLO_HEAD: Final = call_head(PROGRAM, VERSION, HELLO.number)
CANCEL_HEAD: Final = call_head(PROGRAM, VERSION, CANCEL.number)
AGAIN_HEAD: Final = call_head(PROGRAM, VERSION, AGAIN.number)
AGAIN_ROOM: Final = 4 + len(AGAIN_HEAD) + 12 + 3  # octets that it adds to a message
INSTANCE_BITS: Final = 64
_PROGRAM_AT: Final = slice(12, 16)  # of a call
_PROGRAM_WIRE: Final = PROGRAM.to_bytes(4, "big")
_WORD: Final = Struct("!I")


def build_cancel(xid: int, cancelled: int) -> bytes:
    """The message that cancels a call."""
    return _WORD.pack(xid) + CANCEL_HEAD + _WORD.pack(cancelled)


def build_again(xid: int, instance: int, message: bytes) -> bytes:
    """The message that sends a call again, to one run of a server."""
    return _WORD.pack(xid) + AGAIN_HEAD + AGAIN.encode_args((instance, message))


def is_session(message: bytes) -> bool:
    """Whether it is a call of this program."""
    return message[_PROGRAM_AT] == _PROGRAM_WIRE
