"""`tapstack ping` and `tapstack nc`, from the stack's address or through kernel sockets."""

import os
import socket
import sys
import threading

import click

from stack.cli import client
from stack.cli.via import Way
from stack.daemon.control import CHUNK
from stack.errors import StackError
from stack.proxy.rules import parse


def ping(way: Way, host: str, *, count: int | None, size: int, interval: float, timeout: float) -> int:
    """Print replies as they come, then the sum.  0 when any came.  Raises StackError."""
    address, answers = way.pings(host, count=count, size=size, interval=interval, timeout=timeout)
    click.echo(f"PING {address} {way.how}: {size} bytes of data")
    sent, rtts = 0, []
    try:
        for answer in answers:
            sent += 1
            if "rtt_us" in answer:
                rtts.append(answer["rtt_us"])
                click.echo(
                    f"{size + 8} bytes from {address}: icmp_seq={answer['seq']} ttl={answer['ttl']} "
                    f"time={answer['rtt_us'] / 1000:.3f} ms"
                )
            else:
                click.echo(f"icmp_seq={answer['seq']} {answer.get('error', 'no answer')}")
    except StackError as error:
        click.echo(f"tapstack: {error.strerror}", err=True)
    except KeyboardInterrupt:
        click.echo()
    lost = 100 * (sent - len(rtts)) / sent if sent else 0
    click.echo(f"{sent} sent, {len(rtts)} received, {lost:.0f}% lost")
    if rtts:
        click.echo(
            f"rtt min/avg/max = {min(rtts) / 1000:.3f}/{sum(rtts) / len(rtts) / 1000:.3f}/{max(rtts) / 1000:.3f} ms"
        )
    return 0 if rtts else 1


def nc(way: Way, host: str, port: int, timeout: float) -> int:
    """Standard input and output over a connection.  Raises StackError."""
    with way.connection(host, port, timeout) as sock:
        # A thread, because reading standard input cannot be interrupted; a daemon one, so that it holds nobody up.
        threading.Thread(target=_send_input, args=(sock,), daemon=True).start()
        try:
            while data := sock.recv(CHUNK):
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        except KeyboardInterrupt:
            return 130
        except OSError:
            return 1
    return 0


def forward(dev: str, control: str | None, listen: str, target: str, *, inward: bool, anyone: bool) -> int:
    """Have the daemon forward a port until Ctrl-C; 1 when the daemon ends before.  Raises StackError."""
    parse(listen, target, inward=inward, anyone=anyone)  # what cannot be is said without a daemon, too
    request = {"listen": listen, "to": target, "in": inward, "anyone": anyone}
    with client.forwarded(dev, control, request) as (sock, answer):
        sides = "the stack's", "the kernel's"
        near, far = sides if inward else sides[::-1]
        click.echo(f"forwarding {near} {answer['listen']} to {answer['to']} on {far} side; Ctrl-C ends it")
        try:
            sock.recv(1)
        except KeyboardInterrupt:
            return 0
    click.echo("tapstack: the daemon went away", err=True)
    return 1


def _send_input(sock: socket.socket) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), CHUNK):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction reports it
