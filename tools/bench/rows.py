"""The rows of `make bench`: how each is measured, in what namespaces, and which number of a sample counts."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tools.bench import blocking, crowd, daemons, dns, forwarding, loss, nfs, packet, plain, rpc, rpc_xdr, witnesses
from tools.bench.sides import (
    ADDRESS,
    ECHO,
    KERNEL,
    Sample,
    Setting,
    Side,
    connect_close,
    loopback,
    services,
    uvicorns,
    wrk,
)
from tools.netns import ROOT, stop

SINK, SOURCE = "5001", "5002"
MANY = "64"  # connections, or datagrams on their way
MOST_OF_KERNEL = 10_000  # connections: the kernel's server has a descriptor for each


def netbench(side: Side, setting: Setting, *arguments: str) -> Sample:
    """One run of the client."""
    sample: Sample = json.loads(side.run(setting.netbench, "-C", setting.congestion, *arguments))
    return sample


def bulk_rx(side: Side, setting: Setting) -> Sample:
    """The client sends, the stack receives."""
    return netbench(side, setting, "send", ADDRESS, SINK, str(setting.seconds))


def bulk_tx(side: Side, setting: Setting) -> Sample:
    """The stack sends."""
    return netbench(side, setting, "receive", ADDRESS, SOURCE, str(setting.seconds))


def bulk_rx64(side: Side, setting: Setting) -> Sample:
    """64 connections to the stack; the sum."""
    return netbench(side, setting, "send", ADDRESS, SINK, str(setting.seconds), MANY)


def bulk_tx64(side: Side, setting: Setting) -> Sample:
    """64 connections that the stack sends to; the sum."""
    return netbench(side, setting, "receive", ADDRESS, SOURCE, str(setting.seconds), MANY)


def udp64(side: Side, setting: Setting) -> Sample:
    """Datagrams of 64 bytes to and fro, 64 of them on their way."""
    return netbench(side, setting, "udp-echo", ADDRESS, ECHO, str(setting.seconds), MANY)


def tcp_rr(side: Side, setting: Setting) -> Sample:
    """One byte to and fro."""
    return netbench(side, setting, "tcp-rr", ADDRESS, ECHO, str(setting.rounds), "1")


def udp_rr(side: Side, setting: Setting) -> Sample:
    """A datagram of 64 bytes to and fro."""
    return netbench(side, setting, "udp-rr", ADDRESS, ECHO, str(setting.rounds), "64")


def crr(side: Side, setting: Setting) -> Sample:
    """Connect, 16 bytes echoed, close; one at a time."""
    return netbench(side, setting, "connect", ADDRESS, ECHO, str(setting.seconds), "1")


def crr32(side: Side, setting: Setting) -> Sample:
    """The same, 32 at a time."""
    return netbench(side, setting, "connect", ADDRESS, ECHO, str(setting.seconds), "32")


def ping(side: Side, setting: Setting) -> Sample:
    """Flood ping."""
    out = side.run("ping", "-q", "-f", "-c", str(setting.rounds), "-w", "20", ADDRESS)
    average = re.search(r"= [\d.]+/([\d.]+)/", out)
    received = re.search(r"(\d+) received", out)
    if not average or not received or int(received[1]) < setting.rounds:
        return {"error": f"{received[1] if received else 0} of {setting.rounds} pings answered"}
    return {"average_us": float(average[1]) * 1000, "rounds": setting.rounds}


def idle(side: Side, setting: Setting) -> Sample:
    """Server memory per held connection."""
    count, before = min(setting.idle, MOST_OF_KERNEL), side.memory()
    script = str(ROOT / "tools/bench/idle_client.py")
    client = side.client.start(sys.executable, script, ADDRESS, ECHO, str(count), stdin=subprocess.PIPE)
    assert client.stdin is not None
    assert client.stdout is not None
    opened = client.stdout.readline()
    each = (side.memory() - before) / count
    client.stdin.write("\n")
    client.stdin.flush()
    echoed = client.stdout.readline()
    stop(client)
    if opened != f"opened {count}\n" or echoed != f"echoed {count}\n":
        return {"error": f"{opened.strip()}, {echoed.strip()}"}
    return {"bytes_each": each}


@dataclass(frozen=True)
class Metric:
    """How to measure, and which number of the sample counts."""

    measure: Callable[[Side, Setting], Sample]
    key: str
    unit: str
    runs: int | None = None  # however many are asked for
    sides: Callable[[ExitStack, Path, Setting], list[Side]] = services
    peer: str = KERNEL
    beside: str = ""  # another row of ours that this one is compared with, in place of a peer
    is_timed: bool = True  # else what others do meanwhile changes nothing

    @property
    def is_less_better(self) -> bool:
        """Whether it is a time, or room, or a share of a core."""
        return self.unit.startswith(("µs", "ms", "bytes", "%"))


METRICS = {
    "bulk_rx": Metric(bulk_rx, "gbps", "Gbit/s"),
    "bulk_tx": Metric(bulk_tx, "gbps", "Gbit/s"),
    "bulk_rx64": Metric(bulk_rx64, "gbps", "Gbit/s"),
    "bulk_tx64": Metric(bulk_tx64, "gbps", "Gbit/s"),
    "tcp_rr": Metric(tcp_rr, "p50_us", "µs p50"),
    "tcp_rr_p99": Metric(tcp_rr, "p99_us", "µs p99"),
    "udp_rr": Metric(udp_rr, "p50_us", "µs p50"),
    "udp64": Metric(udp64, "per_second", "echoes/s"),
    "crr": Metric(crr, "per_second", "conn/s"),
    "crr32": Metric(crr32, "per_second", "conn/s"),
    "http": Metric(wrk, "per_second", "req/s"),
    "ping": Metric(ping, "average_us", "µs avg"),
    "idle": Metric(idle, "bytes_each", "bytes", runs=1, is_timed=False),
    "uvicorn": Metric(wrk, "per_second", "req/s", sides=uvicorns),
    "connect_close": Metric(connect_close, "us_each", "µs", runs=10, sides=loopback),
}
METRICS["loss_rx"] = Metric(loss.towards_server(bulk_rx), "gbps", "Gbit/s", sides=loss.sides)
METRICS["loss_tx"] = Metric(loss.towards_client(bulk_tx), "gbps", "Gbit/s", sides=loss.sides)
for name, bulk in (("plain_rx", bulk_rx), ("plain_tx", bulk_tx)):
    METRICS[name] = Metric(bulk, "gbps", "Gbit/s", sides=plain.sides, peer=plain.LWIP)
for name, bulk in (("packet_rx", bulk_rx), ("packet_tx", bulk_tx)):
    METRICS[name] = Metric(bulk, "gbps", "Gbit/s", sides=packet.sides, peer=packet.TAP)
METRICS["packet_rr"] = Metric(tcp_rr, "p50_us", "µs p50", sides=packet.sides, peer=packet.TAP)
METRICS["forward"] = Metric(forwarding.forward, "per_second", "frames/s", sides=forwarding.sides)
ALONE = "busy_10"
METRICS[ALONE] = Metric(crowd.busy(crowd.BUSY), "per_second", "req/s", sides=crowd.sides, peer="")
METRICS["busy_10_10k"] = Metric(crowd.busy(crowd.SOME), "per_second", "req/s", sides=crowd.sides, peer="", beside=ALONE)
METRICS["held"] = Metric(crowd.held, "bytes_each", "bytes", runs=1, sides=crowd.sides, peer="", is_timed=False)
METRICS["busy_10_all"] = Metric(crowd.busy(None), "per_second", "req/s", sides=crowd.sides, peer="", beside=ALONE)
everybody = crowd.busy(None, all_of_them=True)
METRICS["busy_all"] = Metric(everybody, "per_second", "req/s", sides=crowd.sides, peer="", beside=ALONE)
METRICS["start_ping"] = Metric(daemons.start_smallest, "ms", "ms", sides=daemons.empty, peer="")
METRICS["start_ping_daemon"] = Metric(daemons.start_daemon, "ms", "ms", sides=daemons.empty, peer="")
for name, cpu in (("idle_cpu", daemons.idle_cpu), ("idle_cpu_1000", daemons.idle_cpu_connected)):
    METRICS[name] = Metric(cpu, "percent", "% of a core", runs=3, sides=daemons.waiting, peer="", is_timed=False)
METRICS["blocking_bulk_in"] = Metric(bulk_rx, "gbps", "Gbit/s", sides=blocking.sides)
METRICS["blocking_bulk_out"] = Metric(bulk_tx, "gbps", "Gbit/s", sides=blocking.sides)
METRICS["blocking_rtt"] = Metric(tcp_rr, "p50_us", "µs p50", sides=blocking.sides)
for name, bulk in (("iperf3_in", witnesses.iperf3_in), ("iperf3_out", witnesses.iperf3_out), ("curl", witnesses.curl)):
    METRICS[name] = Metric(bulk, "gbps", "Gbit/s", sides=witnesses.sides)
for name, datagrams in (("iperf3_udp_in", witnesses.iperf3_udp_in), ("iperf3_udp_out", witnesses.iperf3_udp_out)):
    METRICS[name] = Metric(datagrams, "per_second", "datagrams/s", sides=witnesses.sides)
METRICS["dns_server"] = Metric(dns.dnsperf, "per_second", "q/s", sides=dns.serving, peer="echo")
for peer in ("dnspython", "aiodns", "bare"):  # on kernel sockets all of them; 32 at a time, then one
    sides = dns.beside(peer)
    METRICS[f"dns_{peer}"] = Metric(dns.many, "per_second", "q/s", sides=sides, peer=peer)
    METRICS[f"dns_{peer}_1"] = Metric(dns.one, "per_second", "q/s", sides=sides, peer=peer)
for peer in ("echo", "bare"):  # all of them on our stack: to and fro on one port; a fresh port for each question
    sides = dns.on_our_stack(peer)
    METRICS[f"dns_stack_{peer}"] = Metric(dns.many_on_our_stack, "per_second", "q/s", sides=sides, peer=peer)
    METRICS[f"dns_stack_{peer}_1"] = Metric(dns.one_on_our_stack, "per_second", "q/s", sides=sides, peer=peer)
for case in ("cache", "answer", "referral"):
    METRICS[f"dns_{case}"] = Metric(dns.micro(case), "us_each", "µs", sides=dns.beside("dnspython"), peer="dnspython")

for proto in ("udp", "tcp"):
    many, one = rpc.null(proto, rpc.AT_A_TIME), rpc.null(proto, 1)
    METRICS[f"rpc_null_{proto}"] = Metric(many, "per_second", "calls/s", sides=rpc.clients, peer=rpc.BARE)
    METRICS[f"rpc_null_{proto}_1"] = Metric(one, "per_second", "calls/s", sides=rpc.clients, peer=rpc.BARE)
for proto in ("udp", "tcp"):
    many, one = rpc.null(proto, rpc.AT_A_TIME, tap=True), rpc.null(proto, 1, tap=True)
    METRICS[f"rpc_stack_{proto}"] = Metric(many, "per_second", "calls/s", sides=rpc.clients_on_our_stack, peer=rpc.BARE)
    METRICS[f"rpc_stack_{proto}_1"] = Metric(
        one, "per_second", "calls/s", sides=rpc.clients_on_our_stack, peer=rpc.BARE
    )
for name, at_a_time in (("rpc_grpcio", rpc.AT_A_TIME), ("rpc_grpcio_1", 1)):
    calls = rpc.null("tcp", at_a_time, server="")
    METRICS[name] = Metric(calls, "per_second", "calls/s", sides=rpc.systems, peer=rpc.GRPCIO)
sides = rpc.servers(rpc.BARE)  # a C client's calls from here on
for proto in ("udp", "tcp"):
    METRICS[f"rpc_server_{proto}"] = Metric(rpc.load(proto), "per_second", "calls/s", sides=sides, peer=rpc.BARE)
sides = rpc.servers(rpc.UNCACHED)
METRICS["rpc_cache"] = Metric(rpc.load("udp", rpc.ECHOED), "per_second", "calls/s", sides=sides, peer=rpc.UNCACHED)
for proto in ("udp", "tcp"):
    calls = rpc.load(proto, address=ADDRESS)
    sides = rpc.servers_on_our_stack
    METRICS[f"rpc_stack_server_{proto}"] = Metric(calls, "per_second", "calls/s", sides=sides, peer=rpc.BARE)

for case in rpc_xdr.CASES:
    sides = rpc_xdr.sides
    METRICS[f"rpc_xdr_{case}"] = Metric(rpc_xdr.micro(case), "us_each", "µs", sides=sides, peer=rpc_xdr.THEIRS)

for what in (nfs.FILE, nfs.MEMORY):
    METRICS[f"nfs_{what}"] = Metric(nfs.measure, "mb_per_second", "MB/s", sides=nfs.sides(what), peer=what)
