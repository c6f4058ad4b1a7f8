"""Bits of the `events` masks that endpoints raise for whoever drives them."""

from typing import Final

CONNECTED: Final = 1  # the connection reached ESTABLISHED
READABLE: Final = 2  # data waits to be read
EOF: Final = 4  # the peer closed its sending side; everything before it can be read
WRITABLE: Final = 8  # the send buffer fell below its low-water mark
CLOSED: Final = 16  # the connection is gone; `error` tells why, None for a normal close
URGENT: Final = 32  # the urgent mark advanced
ACCEPTABLE: Final = 64  # a listener has a connection to accept
