"""What the rows of the interop matrix have in common: where an end stands, its certificates, its content.

Nothing here knows a library, and nothing knows our stack: it is also loaded by the process on the kernel's side.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1 << 20
PORT, TLS_PORT, H2_PORT = 8000, 8443, 8444
SERVER_NAME = "server.test"  # in the certificate, as are the addresses


@dataclass(frozen=True, slots=True)
class Site:
    """One end of a cell: its own address, the folder with the certificates, and whether it is on our stack."""

    address: str
    certs: str
    ours: bool = False
    patience: float = 1.0  # on a bad link the time limits of the libraries are this much longer
    own: Any = None  # what of ours an adapter is handed: the AsyncHost, or trio's socket factory

    def limit(self, seconds: float) -> float:
        """A time limit for what takes milliseconds on a good link."""
        return seconds * self.patience

    @property
    def key(self) -> str:
        """File with the server's certificate and private key."""
        return str(Path(self.certs) / "server.pem")

    @property
    def ca(self) -> str:
        """File with the certificate of the authority."""
        return str(Path(self.certs) / "ca.pem")

    def server_tls(self, *alpn: str) -> ssl.SSLContext:
        """For a TLS server."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.key)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def client_tls(self, *alpn: str) -> ssl.SSLContext:
        """For a TLS client that trusts the authority of the tests and nobody else."""
        context = ssl.create_default_context(cafile=self.ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def make_certificates(folder: Path, *addresses: str) -> None:
    """An authority and a server's certificate for these addresses and SERVER_NAME."""
    import trustme  # noqa: PLC0415  (the kernel's side has no use for it)

    authority = trustme.CA()
    server = authority.issue_cert(*addresses, SERVER_NAME)
    server.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    server.private_key_pem.write_to_path(str(folder / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))


def content(size: int, seed: str = "content") -> bytes:
    """Bytes that are the same at both ends and nowhere twice."""
    return hashlib.shake_128(seed.encode()).digest(size)


def digest(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


async def until(condition: Callable[[], bool], task: "asyncio.Task[None] | None" = None, seconds: float = 20.0) -> None:
    """Wait for `condition`; what `task` raises meanwhile is raised here."""
    async with asyncio.timeout(seconds):
        while not condition():
            if task is not None and task.done():
                task.result()
                raise RuntimeError(f"{task!r} ended early")
            await asyncio.sleep(0.005)


async def run_program(*command: str, limit: float = 20.0) -> bytes:
    """What a program prints; raises with all its output when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), limit)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {process.returncode}\n{out.decode()}{errors.decode()}")
    return out


@contextlib.asynccontextmanager
async def running(*command: str, port: int, address: str, seconds: float = 20.0):
    """A server in C, from when it answers on its port until it has ended."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = process.stdout
    assert output is not None
    printed = bytearray()

    async def read() -> None:
        while data := await output.read(4096):
            printed.extend(data)

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(seconds):
            while not await _answers(address, port):
                if process.returncode is not None:
                    raise RuntimeError(f"{' '.join(command)}: status {process.returncode}\n{printed.decode()}")
                await asyncio.sleep(0.02)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading


async def _answers(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
