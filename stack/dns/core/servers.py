"""What is known of each server: round-trip time, EDNS, cookies, whether it keeps the letters of a question, lameness.

Theory of operation.  One bounded table, least recently used first out.  Facts are about an address and a port, not
about a zone, apart from `lame`.  All of them age: `expires_at` is set when an entry is made, and an entry that is older
begins anew, so that whatever was concluded about a server - dead, without EDNS, lame - is tried again in the end.

The timeout of a try is that of RFC 6298 over the server's round-trip times, doubled for each time that it stayed
silent.  A server never met has `rto_unknown_us`, so it is preferred over slow ones and is not waited for too long.
"""

from collections import OrderedDict
from typing import Final

from stack.config import Rng
from stack.dns.core.config import ResolverConfig, Server
from stack.dns.core.query import build_opt

COOKIE_LEN: Final = 8  # RFC 7873 §4: of a client's


class ServerFacts:
    """One server.  Times in microseconds."""

    # fmt: off
    __slots__ = (
        "address", "client_cookie", "cookies", "edns", "expires_at", "failures", "keeps_case", "lame", "opt",
        "probe_at", "rto", "rttvar", "server_cookie", "srtt",
    )
    # fmt: on

    def __init__(self, address: Server, config: ResolverConfig, cookie: bytes, now: int) -> None:
        self.address = address
        self.expires_at = now + config.facts_ttl_us
        self.srtt = 0  # 0: never measured
        self.rttvar = 0
        self.rto = config.rto_unknown_us
        self.failures = 0  # tries without a reply, since the last one
        self.probe_at = 0  # a failed forwarder is worth a probe then
        self.edns = config.edns
        self.opt = b""  # the OPT record of what it is asked
        self.cookies = False  # it has sent one
        # RFC 7873 §4.1, RFC 9018 §3: a secret of its own for each server is as good as a hash over its address
        self.client_cookie = cookie
        self.server_cookie = b""
        self.keeps_case = True
        self._set_opt(config)
        self.lame: dict[bytes, int] = {}  # key of a zone that it was expected to serve, and does not -> until when

    def on_reply(self, rtt_us: int, config: ResolverConfig) -> None:
        """A reply to a datagram came in this time.  RFC 6298 §2.2, §2.3."""
        if self.srtt:
            self.rttvar += (abs(self.srtt - rtt_us) - self.rttvar) >> 2
            self.srtt += (rtt_us - self.srtt) >> 3
        else:
            self.srtt = rtt_us or 1
            self.rttvar = rtt_us >> 1
        rto = self.srtt + 4 * self.rttvar
        self.rto = (
            rto if config.rto_min_us < rto < config.rto_max_us else min(max(rto, config.rto_min_us), config.rto_max_us)
        )
        self.failures = 0

    def on_silence(self, waited_us: int, config: ResolverConfig, now: int) -> None:
        """No reply came in this time; the timeout is doubled unless another try has done so meanwhile."""
        if self.rto <= waited_us:
            self.rto = min(2 * self.rto, config.rto_max_us)
        self.on_failure(config, now)

    def on_failure(self, config: ResolverConfig, now: int) -> None:
        """A try ended without a reply."""
        self.failures += 1
        self.probe_at = now + config.probe_us

    def on_cookie(self, server_cookie: bytes, config: ResolverConfig) -> None:
        """It sent a cookie for us, along with ours; none: it was seen, where nobody can forge, to answer without.

        RFC 7873 §5.3.
        """
        self.cookies = bool(server_cookie)
        if server_cookie != self.server_cookie:
            self.server_cookie = server_cookie
            self._set_opt(config)

    def on_no_edns(self) -> None:
        """It does not know EDNS, nor what depends on it."""
        self.edns = self.cookies = False
        self.opt = b""

    def _set_opt(self, config: ResolverConfig) -> None:
        if self.edns:
            cookie = self.client_cookie + self.server_cookie if config.guards.cookies else b""
            self.opt = build_opt(config.udp_size, cookie)


class Servers:
    """The table."""

    __slots__ = ("_config", "_rng", "_table")

    def __init__(self, config: ResolverConfig, rng: Rng) -> None:
        self._config = config
        self._rng = rng
        self._table: OrderedDict[Server, ServerFacts] = OrderedDict()

    def __len__(self) -> int:
        return len(self._table)

    def get(self, address: Server, now: int) -> ServerFacts:
        """The facts of a server, made if there are none or they are too old."""
        table = self._table
        facts = table.get(address)
        if facts is not None and now < facts.expires_at:
            table.move_to_end(address)
            return facts
        if facts is None and len(table) >= self._config.limits.servers:
            table.popitem(last=False)
        facts = table[address] = ServerFacts(address, self._config, self._rng.randbytes(COOKIE_LEN), now)
        table.move_to_end(address)
        return facts

    def mark_lame(self, facts: ServerFacts, zone: bytes, now: int) -> None:
        """It does not serve a zone (its key) that was delegated to it."""
        facts.lame.pop(zone, None)
        if len(facts.lame) >= self._config.limits.lame_zones:
            del facts.lame[next(iter(facts.lame))]
        facts.lame[zone] = now + self._config.lame_ttl_us

    def choose(self, tried: dict[ServerFacts, int]) -> ServerFacts | None:
        """One of the fast among these, of those the one tried least, at random; None when there are none.

        At random, because that gives a forger more sources to guess, and spreads the load.
        """
        if len(tried) < 2:
            return next(iter(tried), None)
        limit = min([facts.rto for facts in tried]) + self._config.rtt_band_us
        fast = [facts for facts in tried if facts.rto <= limit]
        least = min([tried[facts] for facts in fast])
        fresh = [facts for facts in fast if tried[facts] == least]
        return fresh[self._rng.randrange(len(fresh))]
