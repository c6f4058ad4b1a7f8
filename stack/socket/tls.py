"""`ssl.SSLSocket` over our descriptors: the same, with the names, options and errors of the connection.

An SSLSocket takes the descriptor of the socket that it wraps, and reads and writes it itself, which works on ours as it
is.  What it asks of its base class is answered by ours, which stands between the two in TlsSocket.
"""

import ssl
from typing import Any

from stack.socket.face import PatchedSocket, socket


class TlsSocket(ssl.SSLSocket, PatchedSocket):  # type: ignore[misc]  # SSLSocket refuses some methods
    """See the head of this file.  `SSLContext.sslsocket_class` of `tls_context`, and within `patched`."""

    # Without __slots__, as SSLSocket.

    def _accepted(self, fileno: int) -> Any:
        return socket(fileno=fileno)  # SSLSocket.accept wraps it


def tls_context(context: ssl.SSLContext) -> ssl.SSLContext:
    """`context`, whose sockets know the names and options of connections of the stack.  Within `patched` all do."""
    context.sslsocket_class = TlsSocket
    return context
