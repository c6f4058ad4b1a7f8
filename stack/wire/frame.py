"""The unit that a device sends: one Ethernet frame with its offload metadata.

Theory of operation.  A Host owns one `TxFrame` and refills it for every frame, so that sending makes
no object per packet.  The transport header always begins at `L4_OFF` of `header`; the IP layer
writes link and IP header right before it and sets `start`.  The payload stays where the application
put it (`payload[payload_off : payload_off + payload_len]`) until the device copies it.

What the C core completes (`finish`), told by `flags`:

* FILL_IP: total length and header checksum of the IPv4 header at `start + ETH_HLEN`.
* NEEDS_CSUM: the transport checksum at `csum_start + csum_offset` (both counted from `start`) over
  everything from `csum_start` on, with the IPv4 pseudo-header.  A device that can offload it gets the
  folded, not inverted pseudo-header sum instead (Linux, virtio_net_hdr).
* PARTIAL_CSUM instead of it, for a forwarded frame: the field holds that sum already.  Such a frame can be
  finished only once, as the sum is gone then.

`header` must keep its length: a device may hold a pointer to it.  `finish` writes to it in place.

`gso_type`/`gso_size` are those of the virtio-net header: GSO_NONE, or a super-segment whose payload is
cut into pieces of `gso_size` bytes by the kernel or by `finish`.
"""

from typing import Final

ETH_HLEN: Final = 14
L4_OFF: Final = 80  # link header 14 + IP header with options 60, rounded up
HEADER_ROOM: Final = 144  # L4_OFF + the longest TCP header (60), rounded up

# virtio_net_hdr.flags (virtio 1.2 §5.1.6)
VNET_NEEDS_CSUM: Final = 1
VNET_DATA_VALID: Final = 2

# virtio_net_hdr.gso_type; Linux UAPI virtio_net.h
GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_UDP_L4: Final = 5
GSO_ECN: Final = 0x80

# TxFrame.flags
NEEDS_CSUM: Final = 1
FILL_IP: Final = 2
ECT: Final = 8  # for the IP layer: the datagram is ECN-capable (RFC 3168 §5)
PARTIAL_CSUM: Final = 4  # the checksum field holds the pseudo-header sum already (a received virtio NEEDS_CSUM)

# Caps as the bits that the C core takes
CAP_CSUM: Final = 1
CAP_TSO4: Final = 2
CAP_USO: Final = 4


class TxFrame:
    """One frame on its way out; reused.  Lengths and offsets are bytes."""

    __slots__ = (
        "core",
        "csum_offset",
        "csum_start",
        "flags",
        "gso_size",
        "gso_type",
        "header",
        "header_end",
        "note",
        "payload",
        "payload_len",
        "payload_off",
        "start",
    )

    def __init__(self) -> None:
        self.header = bytearray(HEADER_ROOM)
        self.start = L4_OFF  # first byte of the frame in `header`
        self.header_end = L4_OFF  # one past the last header byte
        self.payload: bytes | bytearray | memoryview = b""
        self.payload_off = 0
        self.payload_len = 0
        self.flags = 0
        self.gso_type = GSO_NONE
        self.gso_size = 0
        self.csum_start = 0
        self.csum_offset = 0
        self.core: object = None  # where the C core finds `header`; it makes this once
        self.note: str | None = None  # what a capture should say about this frame

    def wire_len(self) -> int:
        """Bytes of the (super-)frame, without the virtio header and the FCS."""
        return self.header_end - self.start + self.payload_len


class Caps:
    """What a sink can carry.  Never changed.

    `max_gso` is the most payload of one super-segment that `send` takes, 0 for none.  Without `tso4` or `uso`
    the device cuts it itself, which is still cheaper than to send its pieces one by one.
    `bare_ip`: the link has no link layer: IP packets pass, all to whoever is at the other end.  Frames keep their
    Ethernet header inside the stack; the device takes it off and puts one on.
    """

    __slots__ = ("bare_ip", "bits", "csum", "max_gso", "tso4", "uso")

    def __init__(
        self,
        *,
        csum: bool = False,
        tso4: bool = False,
        uso: bool = False,
        max_gso: int = 0,
        bare_ip: bool = False,
    ) -> None:
        self.bare_ip = bare_ip
        self.csum = csum
        self.tso4 = tso4
        self.uso = uso
        self.max_gso = max_gso
        self.bits = CAP_CSUM * csum | CAP_TSO4 * tso4 | CAP_USO * uso
