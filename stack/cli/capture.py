"""`tapstack capture`: the packets of the running daemon, with what the stack says of them."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

import click

from stack.cli import client
from stack.device.pcapng import Packet, PcapngStream
from stack.errors import ConfigError, StackError
from stack.observe.decode import line
from stack.observe.filter import compile_filter

_CHUNK: Final = 256 << 10
_LAST_WORDS_S: Final = 3.0


class Capture:
    """One capture; `file` gets it as pcapng, without it `echo` a line for each packet."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._size = self._whole = 0  # bytes written, and those of them that are whole blocks
        self._stream = PcapngStream()
        self._stopping = False
        self._sock: socket.socket | None = None
        self.packets = 0

    def stop(self) -> None:
        """Ask the daemon to finish; it tells what it left out.  The second time, end at once."""
        if self._stopping or self._sock is None:
            raise KeyboardInterrupt
        self._stopping = True
        self._sock.shutdown(socket.SHUT_WR)
        self._sock.settimeout(_LAST_WORDS_S)

    def run(self, sock: socket.socket) -> bool:
        """Until the daemon ends it; whether it said how it ended.  Raises StackError for what is no capture."""
        self._sock = sock
        while True:
            try:
                data = sock.recv(_CHUNK)
            except (TimeoutError, ConnectionError):
                return False
            if not data:
                return self._stream.captured is not None
            try:
                packets = self._stream.feed(data)
            except ValueError as error:
                raise StackError(f"the daemon sent something that is no capture: {error}") from None
            if self._file is not None:
                _write(self._file, data)
                self._size += len(data)
                self._whole = self._size - self._stream.unfinished
            self.packets += len(packets)
            if self._file is None:
                for packet in packets:
                    click.echo(_line(packet))
                sys.stdout.flush()

    def cut(self) -> None:
        """Take half a block from the end of the file: Wireshark complains of one."""
        if self._file is not None and self._file.seekable():
            with suppress(OSError):  # a device
                self._file.truncate(self._whole)

    def counts(self) -> str:
        """What came, and what did not."""
        dropped = self._stream.dropped
        text = f"{self.packets} packet{'' if self.packets == 1 else 's'} captured"
        if dropped is None:
            return text
        return f"{text}, {f'{dropped} left out because this was too slow' if dropped else 'none left out'}"


def _write(file: BinaryIO, data: bytes) -> None:
    """All of it, now."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    file.flush()


def _line(packet: Packet) -> str:
    seconds, micros = divmod(packet.time, 1_000_000)
    clock = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{micros:06d}"
    return line(clock, packet.direction, packet.data, "; ".join(packet.comments), packet.original_len)


@contextmanager
def _output(name: str | None) -> Iterator[BinaryIO | None]:
    """The file to write to; None: lines are to be printed.  Raises ConfigError."""
    if name is None:
        yield None
    elif name == "-":
        if sys.stdout.isatty():
            raise ConfigError("-w - writes pcapng, which is not for a terminal: pipe it into tshark -r - or wireshark")
        yield sys.stdout.buffer
    else:
        # Without a buffer: what does not fit on the disk is not tried again when the file is closed.
        with open(name, "wb", buffering=0) as file:  # noqa: PTH123  (its OSError names the file as it was given)
            yield file


def run(
    dev: str, control: str | None, words: tuple[str, ...], *, file: str | None, count: int | None, snaplen: int | None
) -> int:
    """Until there are `count`, Ctrl-C, or the end of the daemon (1); the exit code.  Raises StackError."""
    text = " ".join(words)
    compile_filter(text)  # a mistake is told before anything is opened
    request = {"op": "capture", "filter": text, "count": count or 0, "snaplen": snaplen or 0}
    with client.stream(dev, control, request) as sock, _output(file) as output:
        capture = Capture(output)
        before = {
            number: signal.signal(number, lambda *_: capture.stop()) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            complete = capture.run(sock)
        except KeyboardInterrupt:
            complete = True
        except BrokenPipeError:  # who reads has enough
            _drop_output()
            complete = True
        except OSError as error:  # a full disk
            click.echo(capture.counts(), err=True)
            raise OSError(error.errno, error.strerror, None if file == "-" else file) from None
        finally:
            if file != "-":
                capture.cut()
            for number, handler in before.items():
                signal.signal(number, handler)
    click.echo(capture.counts(), err=True)
    if not complete:
        click.echo("tapstack: the daemon went away", err=True)
    return 0 if complete else 1


def _drop_output() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
