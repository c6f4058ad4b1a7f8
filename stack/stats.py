"""Counters.  Every dropped frame has a reason; names follow the MIBs (RFC 4022, 4113, 4293) where one fits."""

from enum import IntEnum, unique


@unique
class DropReason(IntEnum):
    """Why a frame, packet, datagram or segment was dropped.  1-31 are also known to native/wire.h."""

    NONE = 0
    # link (C)
    ETH_SHORT = 1
    ETH_NOT_OURS = 2
    ETH_GROUP_SOURCE = 3
    ETH_LENGTH_FRAME = 4  # 802.3 length, not an ethertype
    ETH_UNKNOWN_TYPE = 5
    ETH_IPV6 = 6
    VNET_BAD = 7  # impossible virtio-net header
    ARP_SHORT = 8
    # IPv4 (C)
    IP_VERSION = 10
    IP_HEADER_LENGTH = 11
    IP_TOTAL_LENGTH = 12
    IP_CHECKSUM = 13
    # transport (C)
    TCP_SHORT = 16
    TCP_OFFSET = 17
    UDP_SHORT = 18
    UDP_LENGTH = 19
    ICMP_SHORT = 20
    ICMP_CHECKSUM = 21
    # ARP
    ARP_MALFORMED = 32
    ARP_BAD_SENDER = 33
    ARP_TABLE_FULL = 35
    ARP_QUEUE_FULL = 36
    ARP_FAILED = 37
    # IPv4
    IP_MARTIAN_SOURCE = 48
    IP_MARTIAN_DESTINATION = 49
    IP_NOT_OURS = 50
    IP_WRONG_INTERFACE = 51
    IP_LINK_BROADCAST = 52
    IP_BAD_OPTIONS = 53
    IP_SOURCE_ROUTE = 54
    IP_NO_ROUTE = 55
    IP_TTL_EXPIRED = 56
    IP_NEEDS_FRAG = 57
    IP_UNKNOWN_PROTOCOL = 58
    IP_FORWARD_FORBIDDEN = 59
    IP_FRAG_OVERLAP = 60
    IP_FRAG_TINY = 61
    IP_FRAG_TOO_LONG = 62
    IP_FRAG_TIMEOUT = 63
    IP_FRAG_MEMORY = 64
    IP_FRAG_BAD_LENGTH = 65
    # ICMP
    ICMP_MALFORMED = 72
    ICMP_UNKNOWN_TYPE = 73
    ICMP_RATE_LIMIT = 74
    ICMP_BROADCAST_ECHO = 75
    ICMP_NO_MATCH = 76
    ICMP_REDIRECT_REFUSED = 77
    # UDP
    UDP_CHECKSUM = 84
    UDP_NO_PORT = 85
    UDP_QUEUE_FULL = 86
    # TCP
    TCP_CHECKSUM = 96
    TCP_NO_PORT = 97
    TCP_BAD_FLAGS = 99
    TCP_OUT_OF_WINDOW = 100
    TCP_PAWS = 101
    TCP_BAD_ACK = 102
    TCP_BLIND_RST = 103
    TCP_BLIND_SYN = 104
    TCP_NO_ACK = 105
    TCP_LISTEN_OVERFLOW = 106
    TCP_REASSEMBLY_FULL = 108
    TCP_AFTER_CLOSE = 109
    TCP_TIME_WAIT = 110
    TCP_MISSING_TIMESTAMP = 111
    TCP_DUPLICATE = 112
    TCP_REPLY_QUEUE_FULL = 113
    TCP_TABLE_FULL = 114
    TCP_MEMORY = 115  # the host's budget (HostConfig.memory_bytes) is used up
    # device
    TX_DEVICE_FULL = 124
    RX_NO_BUFFER = 126


N_REASONS = 128


@unique
class Counter(IntEnum):
    """What happened, counted."""

    RX_FRAMES = 0
    IP_IN_DELIVERS = 4
    IP_FORWARDED = 5
    IP_FRAGS_CREATED = 6
    IP_FRAGS_RECEIVED = 7
    IP_REASSEMBLED = 8
    ICMP_IN = 9
    ICMP_OUT = 10
    ICMP_ECHO_REPLIES = 11
    ARP_IN_REQUESTS = 12
    ARP_IN_REPLIES = 13
    ARP_OUT_REQUESTS = 14
    ARP_OUT_REPLIES = 15
    ARP_CONFLICTS = 16
    UDP_IN = 17
    UDP_OUT = 18
    TCP_IN_SEGS = 19
    TCP_OUT_SEGS = 20
    TCP_RETRANS_SEGS = 21
    TCP_ACTIVE_OPENS = 22
    TCP_PASSIVE_OPENS = 23
    TCP_ATTEMPT_FAILS = 24
    TCP_ESTAB_RESETS = 25
    TCP_OUT_RSTS = 26
    TCP_CHALLENGE_ACKS = 27
    TCP_SYN_COOKIES_SENT = 28
    TCP_SYN_COOKIES_RECV = 29
    TCP_TIME_WAIT_REUSED = 32
    TCP_TIME_WAITS = 33
    TCP_ABORTS_TIMEOUT = 34
    TCP_SYN_RECYCLED = 40  # half-open connections that made room for newer ones
    TCP_ORPHANS_RESET = 41


N_COUNTERS = 64


class Stats:
    """The counters of one host.  `drops[reason]` and `counts[counter]` are plain ints."""

    __slots__ = ("counts", "drops")

    def __init__(self) -> None:
        self.drops = [0] * N_REASONS
        self.counts = [0] * N_COUNTERS

    def drops_by_name(self) -> dict[str, int]:
        """Reasons that occurred, by lower-case name."""
        return {r.name.lower(): self.drops[r] for r in DropReason if self.drops[r]}

    def counts_by_name(self) -> dict[str, int]:
        """All counters by lower-case name."""
        return {c.name.lower(): self.counts[c] for c in Counter}
