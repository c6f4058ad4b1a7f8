"""A transport that keeps what is written, for testing protocols without any network."""

import asyncio


class Options:
    """The socket of such a transport: remembers what was set."""

    def __init__(self):
        self.set = {}

    def setsockopt(self, level, option, value):
        self.set[level, option] = value


class MemoryTransport(asyncio.Transport):
    """Holds what `protocol` wrote; `full_at` bytes make it call `pause_writing`, `take` calls `resume_writing`."""

    def __init__(self, protocol, full_at=1 << 62, peer=("198.18.0.1", 40_000)):
        super().__init__({"peername": peer, "socket": Options()})
        self.protocol = protocol
        self.full_at = full_at
        self.written = bytearray()
        self.total = 0
        self.largest = 0
        self.writing_paused = False
        self.reading_paused = False
        self.closed = False
        self.aborted = False
        self.eof = False
        protocol.connection_made(self)

    def write(self, data):
        assert not self.eof
        self.written += data
        self.total += len(data)
        self.largest = max(self.largest, len(self.written))
        if len(self.written) >= self.full_at and not self.writing_paused:
            self.writing_paused = True
            self.protocol.pause_writing()

    def take(self):
        """What has been written since the last time, as if the peer had read it."""
        taken = bytes(self.written)
        self.written.clear()
        if self.writing_paused:
            self.writing_paused = False
            self.protocol.resume_writing()
        return taken

    def write_eof(self):
        self.eof = True

    def can_write_eof(self):
        return True

    def pause_reading(self):
        self.reading_paused = True

    def resume_reading(self):
        self.reading_paused = False

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True


async def settle():
    """Let everything run that `call_soon` has scheduled, and what that schedules."""
    for _ in range(50):
        await asyncio.sleep(0)
