"""Two hosts of one process, and certificates."""

import asyncio
import contextlib
import ssl
import subprocess

import pytest

from stack.aio.links import join
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig

QUIET = HostConfig(ip=IpConfig(arp_probe=False))
NAME = "server.test"


class Names:
    """A resolver that knows one name."""

    async def resolve(self, name):
        if name != NAME:
            raise OSError(f"{name} is not known")
        return ["10.0.0.2"]


class Pair:
    """`client` and `server` on a link."""

    def __init__(self):
        self.client = AsyncHost(QUIET, resolver=Names())
        self.server = AsyncHost(QUIET)
        self.client_ip, self.ip = join(self.client, self.server).addresses


@contextlib.asynccontextmanager
async def pair():
    made = Pair()
    try:
        yield made
    finally:
        await made.client.aclose(0.5)
        await made.server.aclose(0.5)


@pytest.fixture
def run():
    """`run(main)` awaits `main(pair)`; fails when the loop was told of an exception."""

    def run_main(main):
        errors = []

        async def guarded():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
            async with asyncio.timeout(30), pair() as hosts:
                return await main(hosts)

        result = asyncio.run(guarded())
        assert errors == []
        return result

    return run_main


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """(server's context, client's context)."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=cert)
