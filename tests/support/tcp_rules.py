"""What must hold for every segment that the product sends, whatever the test is about.

Theory of operation.  `WireRules` sees both directions of one connection and keeps only what an observer on
the wire can know: the options of the SYNs, the highest numbers sent, the farthest window edges offered and
what the application wrote.  `check` raises AssertionError on the first broken rule of
`rfc-checklist` "cross-cutting properties" 2 and 3.  Numbers are relative: 0 is the SYN of their side.
"""

from tests.support.tcp_codec import ACK, CWR, FIN, PSH, RST, SYN, URG, Sent

MASK = 0xFFFFFFFF
SMALLEST_MSS = 64  # a peer that announces less is not believed (CVE-2019-11479)


def signed(n: int) -> int:
    """`n` modulo 2^32 as a number in -2^31 .. 2^31-1."""
    n &= MASK
    return n - (1 << 32) if n >> 31 else n


class WireRules:
    """An observer of one connection; `iss` is the product's, `irs` the scripted peer's initial number."""

    def __init__(self, iss: int, irs: int, mtu_mss: int, max_gso: int) -> None:
        self.iss = iss
        self.irs = irs
        self.mtu_mss = mtu_mss  # largest payload + options of one packet
        self.max_gso = max_gso
        self.written = bytearray()  # everything the application wrote
        self.our_syn: Sent | None = None
        self.peer_syn_seen = False
        self.peer_mss: int | None = None
        self.peer_wscale: int | None = None
        self.peer_sack = False
        self.peer_ts = False
        self.snd_max = 0  # highest number we sent, plus one
        self.snd_una = 0  # highest acceptable ACK of the peer
        self.edge_in = 0  # farthest right edge the peer offered
        self.peer_max = 0  # highest number the peer sent, plus one
        self.last_ack = -(1 << 31)
        self.edge_out = 0  # farthest right edge we offered
        self.trusting = True  # the peer's numbers are meant: off for scripts that make them up
        self.guessing = False  # which SYN of the peer counts is not known: its options cannot be held against us

    # -- what the peer does ---------------------------------------------------------------------------------

    def on_peer(self, seq: int, ack: int, flags: int, wnd: int, seg_len: int, options: dict[str, object]) -> None:
        """The peer sent a segment (relative numbers, `wnd` as in the header)."""
        if flags & SYN and not self.peer_syn_seen and not flags & RST:
            self.peer_syn_seen = True
            self.peer_mss = options.get("mss")  # type: ignore[assignment]
            self.peer_wscale = options.get("wscale")  # type: ignore[assignment]
            self.peer_sack = bool(options.get("sack_ok"))
            self.peer_ts = options.get("ts") is not None
        self.peer_max = max(self.peer_max, seq + seg_len)
        if flags & ACK and not flags & RST and ack <= self.snd_max:
            scale = 0 if flags & SYN or not self.scaled else min(self.peer_wscale or 0, 14)
            self.snd_una = max(self.snd_una, ack)
            self.edge_in = max(self.edge_in, ack + (wnd << scale))
        elif flags & SYN:
            self.edge_in = max(self.edge_in, 1 + wnd)

    @property
    def scaled(self) -> bool:
        """RFC 7323 §2.2: window scaling is on when both SYNs had the option."""
        return self.peer_wscale is not None and self.our_syn is not None and self.our_syn.wscale is not None

    @property
    def timestamps(self) -> bool:
        """RFC 7323 §3.2: timestamps are on when both SYNs had the option."""
        return self.peer_ts and self.our_syn is not None and self.our_syn.ts is not None

    @property
    def sack(self) -> bool:
        """RFC 2018 §2: we may send SACK once the peer permitted it."""
        return self.peer_sack and self.our_syn is not None and self.our_syn.sack_ok

    @property
    def send_mss(self) -> int:
        """RFC 9293 §3.7.1: the most payload and options of one packet of ours (RFC 6691)."""
        return min(max(self.peer_mss, SMALLEST_MSS) if self.peer_mss else 536, self.mtu_mss)

    # -- what the product does ------------------------------------------------------------------------------

    def check(self, s: Sent) -> None:
        """Raise AssertionError if segment `s` breaks a rule, else remember it."""
        seq = signed(s.seq - self.iss)
        ack = signed(s.ack - self.irs)
        if s.flags & RST:
            assert not s.data, "we never put data into a RST"
            return
        self._check_flags(s)
        self._check_ack(s, ack)
        self._check_ecn(s, seq)
        if not self.guessing:
            self._check_options(s, ack)
            self._check_size(s)
        self._check_sequence(s, seq)
        if s.flags & SYN and self.our_syn is None:
            self.our_syn = s
        self.snd_max = max(self.snd_max, seq + s.length)

    def _check_flags(self, s: Sent) -> None:
        assert s.flags & (ACK | SYN), "RFC 9293 §3.10: a segment without ACK that is not the first SYN"
        assert not (s.flags & SYN and s.flags & FIN), "SYN and FIN together"
        if not s.flags & URG:
            assert s.up == 0, "urgent pointer without URG"

    def _check_options(self, s: Sent, ack: int) -> None:
        if s.flags & SYN:
            if s.flags & ACK:
                assert s.wscale is None or self.peer_wscale is not None, "RFC 7323 §2.2: wscale not offered by the SYN"
                assert s.ts is None or self.peer_ts, "RFC 7323 §3.2: timestamps not offered by the SYN"
                assert not s.sack_ok or self.peer_sack, "RFC 2018 §2: SACK not offered by the SYN"
            assert s.wscale is None or s.wscale <= 14, "RFC 7323 §2.3: shift above 14"
            assert not s.sack, "SACK blocks on a SYN"
            if self.our_syn is not None and s.flags == self.our_syn.flags:
                assert (s.mss, s.wscale, s.sack_ok) == (self.our_syn.mss, self.our_syn.wscale, self.our_syn.sack_ok), (
                    "T-HS-2: the retransmitted SYN has other options"
                )
            return
        assert s.mss is None, "RFC 9293 §3.7.1 (MUST-65): MSS on a segment without SYN"
        assert s.wscale is None, "RFC 7323 §2.2: window scale on a segment without SYN"
        assert not s.sack_ok, "RFC 2018 §2: SACK-permitted on a segment without SYN"
        assert (s.ts is not None) == self.timestamps, "RFC 7323 §3.2: timestamps on all segments or on none"
        if s.sack:
            assert self.sack, "RFC 2018 §2: SACK blocks without SACK-permitted"
            assert len(s.sack) <= (3 if s.ts is not None else 4), "too many SACK blocks"
            self._check_sack(s, ack)

    def _check_sack(self, s: Sent, ack: int) -> None:
        for i, (left_wire, right_wire) in enumerate(s.sack):
            left, right = signed(left_wire - self.irs), signed(right_wire - self.irs)
            assert left < right, f"SACK block {left}:{right} is empty or reversed"
            assert right <= self.peer_max, f"SACK block {left}:{right} was never sent to us"
            if i > 0:
                assert left > ack, f"RFC 2018 §4: SACK block {left}:{right} at or below the ACK {ack}"

    def _check_ack(self, s: Sent, ack: int) -> None:
        if not s.flags & ACK:
            assert s.ack == 0, "ACK field without ACK"
            return
        assert ack <= self.peer_max, f"ACK {ack} of what the peer never sent (it sent up to {self.peer_max})"
        # RFC 9293 §3.10.7.4, fourth check: another SYN sends a listener back to LISTEN, and the next begins anew
        begins_anew = s.flags & SYN and not self.trusting
        assert ack >= self.last_ack or begins_anew, f"ACK goes back from {self.last_ack} to {ack}"
        self.last_ack = ack
        scale = self.our_syn.wscale or 0 if self.scaled and self.our_syn is not None and not s.flags & SYN else 0
        edge = ack + (s.wnd << scale)
        closed = s.flags & FIN or self.peer_max > self.edge_out  # a FIN may take the number past a closed window
        if not closed and self.trusting:
            assert edge >= self.edge_out, (
                f"RFC 9293 §3.8.6 (MUST-34): the window was shrunk, right edge from {self.edge_out} to {edge}"
            )
        self.edge_out = max(self.edge_out, edge)

    def _check_ecn(self, s: Sent, seq: int) -> None:
        """RFC 3168 §6.1.4-6: ECT on new data alone; §6.1.2: CWR on nothing else, but for a SYN that asks."""
        new = bool(s.data) and (seq >= self.snd_max or not self.trusting)
        assert not s.ect or new, "ECT on what is not new data"
        if s.flags & CWR and not s.flags & SYN:
            assert s.ect, "CWR on what is not new data of an ECN-capable connection"

    def _check_size(self, s: Sent) -> None:
        room = self.send_mss - len(s.option_bytes)
        if not s.gso_size:
            assert len(s.data) <= max(room, 1), f"RFC 9293 §3.7.1 (MUST-16): {len(s.data)} bytes, {room} fit"
            return
        assert self.max_gso, "super-segment for a device without segmentation offload"
        assert len(s.data) <= self.max_gso, f"super-segment of {len(s.data)} bytes, the device takes {self.max_gso}"
        assert s.gso_size <= room, f"super-segment cut at {s.gso_size} bytes, {room} fit"
        assert len(s.data) > s.gso_size, "a super-segment of one segment needs no offload"
        assert not s.flags & (URG | SYN), "URG and SYN are never super-segments"

    def _check_sequence(self, s: Sent, seq: int) -> None:
        if not self.trusting:
            return
        assert seq >= self.snd_una - 1, f"seq {seq} is below what the peer acked ({self.snd_una})"
        assert seq <= self.snd_max, f"seq {seq} leaves a hole after {self.snd_max}"
        limit = self.edge_in + (1 if len(s.data) <= 1 or s.flags & FIN else 0)  # a window probe, or the FIN
        if not s.flags & SYN:
            assert seq + s.length <= max(limit, self.snd_una), (
                f"data up to {seq + s.length} is past the peer's window {self.edge_in}"
            )
        if not s.data or seq < self.snd_una:
            return
        first = seq - 1 + bool(s.flags & SYN)
        assert s.data == self.written[first : first + len(s.data)], f"payload at {seq} is not what was written"
        end = first + len(s.data)
        if end == len(self.written) and end + 1 > self.snd_max:
            assert s.flags & PSH, "RFC 9293 §3.9.1.2 (MUST-61): the last buffered segment without PSH"
