"""A Linux TUN device: the kernel is the host at the other end of a link that carries IP packets and no frames.

Theory of operation.  As TapDevice, whose offloads and whose calls into C it shares; only the link header is missing on
the descriptor.  C (or `PlainTap`) puts one in front of each packet read, in the room where the virtio header was, and
leaves it out when it writes; inside the stack nothing differs.  There is no ARP on such a link: `Caps.bare_ip` tells
the host so.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.device.bare_ip import BARE_MAC
from stack.device.tap import TapDevice

IFF_TUN: Final = 0x0001  # Linux UAPI linux/if_tun.h


@mypyc_attr(allow_interpreted_subclasses=True)
class TunDevice(TapDevice):
    """TUN interface `name`, made if it does not exist.  It goes away on `close` unless it was made persistent.

    `mtu` 0 keeps the interface's.  Raises ConfigError, or DeviceError with a sentence for the user.
    """

    __slots__ = ()

    KIND = "TUN"
    IFF = IFF_TUN
    BARE_IP = True

    def __init__(self, name: str, *, mtu: int = 0, offload: bool = True) -> None:
        super().__init__(name, BARE_MAC, mtu=mtu, offload=offload)
