"""Numbers of ONC RPC with names (RFC 5531 §9, and the flavors and states of IANA "RPC Authentication").

What comes from the wire stays an int; members of these enumerations are ints too, so both compare equal.
"""

from enum import IntEnum, unique
from typing import Final

RPC_VERSION: Final = 2
MAX_AUTH: Final = 400  # octets of the body of a credential or a verifier (RFC 5531 §8.2)
MAX_MACHINE_NAME: Final = 255  # RFC 5531 appendix A
MAX_GIDS: Final = 16  # RFC 5531 appendix A
# xid, type, version, program, version, procedure, and a credential and a verifier as long as they may be
MAX_CALL_HEADER: Final = 4 * 10 + 2 * MAX_AUTH
MAX_DATAGRAM: Final = 65_507  # octets in a datagram of IPv4: 65535 less the headers of IP and UDP
NULL_PROCEDURE: Final = 0


@unique
class Flavor(IntEnum):
    """Kinds of credentials and verifiers."""

    NONE = 0
    SYS = 1
    SHORT = 2
    DH = 3
    KERB = 4
    RSA = 5
    GSS = 6
    TLS = 7


@unique
class Status(IntEnum):
    """What a reply says: the accept_stat of an accepted call, or why it was denied."""

    SUCCESS = 0
    PROG_UNAVAIL = 1
    PROG_MISMATCH = 2
    PROC_UNAVAIL = 3
    GARBAGE_ARGS = 4
    SYSTEM_ERR = 5
    # of denied calls, as on the wire + 6
    RPC_MISMATCH = 6
    AUTH_ERROR = 7


@unique
class AuthStat(IntEnum):
    """Why a credential or a verifier was refused."""

    OK = 0
    BADCRED = 1
    REJECTEDCRED = 2
    BADVERF = 3
    REJECTEDVERF = 4
    TOOWEAK = 5
    INVALIDRESP = 6
    FAILED = 7
    # of flavors that are not taken here; other servers may say so
    KERB_GENERIC = 8
    TIMEEXPIRE = 9
    TKT_FILE = 10
    DECODE = 11
    NET_ADDR = 12
    GSS_CREDPROBLEM = 13
    GSS_CTXPROBLEM = 14


_AUTH_TEXT: Final[dict[int, str]] = {
    AuthStat.BADCRED: "the credential is malformed",
    AuthStat.REJECTEDCRED: "credentials of this kind are not taken",
    AuthStat.BADVERF: "the verifier is malformed",
    AuthStat.REJECTEDVERF: "the verifier has expired or was seen before",
    AuthStat.TOOWEAK: "the caller is not allowed to",
    AuthStat.INVALIDRESP: "the reply's verifier is wrong",
    AuthStat.FAILED: "authentication failed",
    AuthStat.KERB_GENERIC: "Kerberos failed",
    AuthStat.TIMEEXPIRE: "the credential has expired",
    AuthStat.TKT_FILE: "the ticket file is of no use",
    AuthStat.DECODE: "the authenticator cannot be decoded",
    AuthStat.NET_ADDR: "the ticket is for another address",
    AuthStat.GSS_CREDPROBLEM: "the server has no GSS context for these credentials",
    AuthStat.GSS_CTXPROBLEM: "the GSS context is of no use any more",
}


def auth_text(stat: int) -> str:
    """Why, in words."""
    return _AUTH_TEXT.get(stat) or f"auth_stat {stat}"
