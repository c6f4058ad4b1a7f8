"""A TCP peer made by hand, frame by frame, for scripts that run against our stack and the Linux kernel alike.

A `Wire` is one connection.  What is sent is written with sequence and acknowledgment numbers relative to
the two initial ones, what arrives is noted in `trace` the same way, so that two subjects give equal traces
where they behave alike: `SA seq=0 ack=1 mss sack ts ws`.
"""

import itertools
import select
import socket
import time
from dataclasses import dataclass, field

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

ADDRESS = "198.18.0.9"  # nobody's: the kernels beside leave its packets alone
MAC = "02:00:00:00:00:09"
CE, ECT_0 = 3, 2  # RFC 3168 §5: in the lowest bits of the TOS octet
QUIET_S = 0.2  # longer than a delayed acknowledgment, shorter than any retransmission
NAMES = {"MSS": "mss", "SAckOK": "sack", "Timestamp": "ts", "WScale": "ws"}
ALL_OPTIONS = (("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1000, 0)), ("NOP", None), ("WScale", 7))
STARVED_S = 20  # a loaded machine may keep a subject from running; longer than that it is gone
_ports = itertools.count(20_000)
_pings = itertools.count()


@dataclass
class Subject:
    """A TCP under test: where it answers, and a packet socket on its link."""

    name: str
    address: str
    raw: socket.socket
    mac: str = "ff:ff:ff:ff:ff:ff"

    def send(self, packet: IP) -> None:
        self.raw.send(bytes(Ether(src=MAC, dst=self.mac) / packet))

    def next(self, seconds: float) -> IP | None:
        """The next packet to us, None when it does not come in time; ARP requests for us are answered."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self.raw], [], [], left)[0]:
            frame = Ether(self.raw.recv(65536))
            if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == ADDRESS and frame[ARP].psrc == self.address:
                self.mac = frame.src
                answer = ARP(op=2, hwsrc=MAC, psrc=ADDRESS, hwdst=frame.src, pdst=self.address)
                self.raw.send(bytes(Ether(src=MAC, dst=frame.src) / answer))
            elif IP in frame and frame[IP].dst == ADDRESS and frame[IP].src == self.address:
                packet: IP = frame[IP]
                return packet
        return None

    def meet(self) -> None:
        """Learn the subject's Ethernet address, and have it learn ours."""
        ask = ARP(op=1, hwsrc=MAC, psrc=ADDRESS, pdst=self.address)
        for _ in range(20):
            self.raw.send(bytes(Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ask))
            end = time.monotonic() + 0.5
            while time.monotonic() < end and select.select([self.raw], [], [], 0.5)[0]:
                frame = Ether(self.raw.recv(65536))
                if ARP in frame and frame[ARP].op == 2 and frame[ARP].psrc == self.address:
                    self.mac = frame.src
                    return
        raise TimeoutError(f"{self.name} does not answer ARP")


@dataclass
class Wire:
    """One connection to `port` of a subject, from a port of its own, with our ISN near the wrap."""

    subject: Subject
    port: int
    options: tuple[tuple[str, object], ...] = ALL_OPTIONS
    trace: list[str] = field(default_factory=list)
    iss: int = 0xFFFF_FFF0
    irs: int | None = None
    tsval: int = 1000
    tsecr: int = 0
    rtt_s: float = 0.0  # what the handshake told the subject

    def __post_init__(self) -> None:
        self.sport = next(_ports)
        # Nobody answered ARP since the last script, and a neighbour that does not is given up.
        self.subject.meet()

    def send(
        self,
        flags: str,
        seq: int = 0,
        ack: int = 0,
        data: bytes = b"",
        *,
        window: int = 65535,
        spoil: bool = False,
        ce: bool = False,
        tsval: int | None = None,
        options: tuple[tuple[str, object], ...] | None = None,
    ) -> None:
        """One segment, marked "congestion experienced" if `ce`.  Timestamps are added when they were offered, unless
        `options` says otherwise.
        """
        if options is None:
            stamped = "S" not in flags and dict(self.options).get("Timestamp")
            stamp = ("Timestamp", (self.tsval if tsval is None else tsval, self.tsecr))
            options = (("NOP", None), ("NOP", None), stamp) if stamped else ()
        segment = TCP(
            sport=self.sport,
            dport=self.port,
            flags=flags,
            seq=(self.iss + seq) % 2**32,
            ack=((self.irs or 0) + ack) % 2**32 if "A" in flags else 0,
            window=window,
            options=list(options),
        )
        packet = IP(src=ADDRESS, dst=self.subject.address, tos=CE if ce else 0) / segment / Raw(data)
        if spoil:
            packet = IP(bytes(packet))
            packet[TCP].chksum ^= 0x5555
        self.subject.send(packet)

    def open(self) -> None:
        """The three-way handshake with `options`; it leaves no trace."""
        self.send("S", options=self.options)
        self.gather()
        assert self.irs is not None, f"{self.subject.name} did not answer the SYN: {self.trace}"
        self.send("A", 1, 1)
        self.trace.clear()

    def gather(self, seconds: float = QUIET_S) -> list[str]:
        """Note what arrives until nothing has for `seconds`, in which the subject did run."""
        noted = True
        while noted:
            end = time.monotonic() + seconds
            while (packet := self.subject.next(end - time.monotonic())) is not None:
                if self.note_own(packet):  # another connection may still send something again
                    end = time.monotonic() + seconds
            # What was due went out before the second answer, whether timers or frames come first.
            noted = self.ping() | self.ping()
        return self.trace

    def ping(self) -> bool:
        """Wait for the answer to an echo request; True if the connection's segments came before it."""
        number = next(_pings) % 65536
        self.subject.send(IP(src=ADDRESS, dst=self.subject.address) / ICMP(id=9, seq=number))
        noted = False
        while (packet := self.subject.next(STARVED_S)) is not None:
            if ICMP in packet and (packet[ICMP].type, packet[ICMP].seq) == (0, number):
                return noted
            noted |= self.note_own(packet)
        raise TimeoutError(f"{self.subject.name} does not answer an echo request")

    def note_own(self, packet: IP) -> bool:
        """Note a segment of this connection; False for anything else."""
        if TCP not in packet or packet[TCP].dport != self.sport:
            return False
        self.note(packet)
        return True

    def note(self, packet: IP) -> None:
        tcp = packet[TCP]
        flags = str(tcp.flags).replace("P", "")
        if "S" in flags:
            self.irs = tcp.seq
        options = dict(tcp.options)
        if "Timestamp" in options and not flags.startswith("R"):
            self.tsecr = options["Timestamp"][0]
        length = packet.len - 4 * packet.ihl - 4 * tcp.dataofs
        words = [flags, f"seq={self.relative(tcp.seq, self.irs)}"]
        if "A" in flags:
            words.append(f"ack={self.relative(tcp.ack, self.iss)}")
        words += [f"len={length}"] if length else []
        if "S" in flags:
            words += sorted(NAMES[name] for name in options if name in NAMES)
        elif "SAck" in options:
            edges = [self.relative(edge, self.iss) for edge in options["SAck"]]
            words.append("sack=" + ",".join(f"{a}-{b}" for a, b in zip(edges[::2], edges[1::2], strict=True)))
        words += ["ect"] if packet.tos & CE == ECT_0 else []
        line = " ".join(words)
        if self.trace and length and line.startswith(f"{self.trace[-1]} "):
            self.trace.pop()  # the data could have carried this acknowledgment: which of the two is a matter of threads
        self.trace.append(line)

    @staticmethod
    def relative(number: int, start: int | None) -> int:
        return (number - (start or 0) + 2**31) % 2**32 - 2**31
