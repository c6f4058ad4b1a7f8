"""Who may call a program: by network, and within that by the uid or gid that the caller claims.

    rpc.allow(networks=["198.18.0.0/24"])                    anybody there
    rpc.allow(uids={1000}, networks=["198.18.0.0/24"])       there, with AUTH_SYS and this uid
    rpc.allow(uids={0}, networks=["local"])                  over a Unix socket, or in the same process

A uid is only a claim (AUTH_SYS proves nothing): whoever can send from an allowed address can claim any uid.  So uids
and gids without networks are refused when the policy is made.  A privileged source port proves nothing here either.

Refusals are AUTH_TOOWEAK, as rpcbind says it: other states make clients try again with a credential made anew.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from stack.errors import ConfigError
from stack.rpc.auth import AuthSys, Credential
from stack.rpc.constants import AuthStat

LOCAL: Final = "local"  # what has no network address: Unix sockets, calls within the process
MAX_KNOWN: Final = 4096  # addresses whose verdict is remembered

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Policy:
    """Decides on callers; see `allow`."""

    __slots__ = ("_gids", "_known", "_local", "_networks", "_uids")

    def __init__(
        self,
        uids: frozenset[int] | None,
        gids: frozenset[int] | None,
        networks: tuple[Network, ...] | None,
        *,
        local: bool,
    ) -> None:
        self._uids = uids
        self._gids = gids
        self._networks = networks
        self._local = local
        self._known: dict[str, bool] = {}

    def check(self, credential: Credential, address: str) -> AuthStat | None:
        """None if the caller may; else why not.  `address` is the caller's, "" for one without."""
        if self._networks is not None:
            near = self._known.get(address)
            if near is None:
                near = self._look_at(address)
            if not near:
                return AuthStat.TOOWEAK
        if self._uids is None and self._gids is None:
            return None
        if not isinstance(credential, AuthSys):
            return AuthStat.TOOWEAK
        if self._uids is not None and credential.uid in self._uids:
            return None
        if self._gids is not None and (credential.gid in self._gids or not self._gids.isdisjoint(credential.gids)):
            return None
        return AuthStat.TOOWEAK

    def _look_at(self, address: str) -> bool:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        near = self._known[address] = self._is_near(address)
        return near

    def _is_near(self, address: str) -> bool:
        if not address:
            return self._local
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:  # what a transport calls its peer is not ours to trust
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped  # what an IPv6 socket of the kernel calls IPv4 clients
        return any(parsed in network for network in self._networks or () if network.version == parsed.version)


def allow(
    *, uids: Iterable[int] | None = None, gids: Iterable[int] | None = None, networks: Iterable[str] | None = None
) -> Policy:
    """A policy: callers from one of `networks` (all, if None), with one of `uids` or one of `gids` if any are given.

    Networks are written like "198.18.0.0/24" or "local"; an address alone is a network of one.  Raises ConfigError,
    which is a ValueError: for what is no network, and for uids or gids without networks.
    """
    if (uids is not None or gids is not None) and networks is None:
        raise ConfigError(
            "uids and gids are what a caller claims, and prove nothing: say from which networks they are believed, "
            'like networks=["198.18.0.0/24"], or networks=["local"] for Unix sockets'
        )
    if isinstance(networks, str):
        raise ConfigError(f"{networks!r} is one text: give a list of networks, like [{networks!r}]")
    found: list[Network] = []
    local = networks is None
    for text in networks or ():
        if text == LOCAL:
            local = True
            continue
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(f'{text!r} is not a network: {error}; write it like 198.18.0.0/24, or "local"') from None
    return Policy(
        None if uids is None else frozenset(uids),
        None if gids is None else frozenset(gids),
        None if networks is None else tuple(found),
        local=local,
    )
