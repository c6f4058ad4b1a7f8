"""asyncssh at both ends: sessions, SFTP, a forwarded port."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import asyncssh

from tests.support.interop import MIB, PORT, Site, content, digest

USER = "guest"


class Guests(asyncssh.SSHServer):
    """Lets one user in by key, and forwards ports."""

    def begin_auth(self, username: str) -> bool:
        return True

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port) -> bool:
        return True


async def session(process: asyncssh.SSHServerProcess) -> None:
    """`reverse` turns standard input round; anything else is an error of status 3."""
    if process.command == "reverse":
        data = await process.stdin.read()
        process.stdout.write(data[::-1])
        await process.stdout.drain()
        process.exit(0)
    else:
        process.stderr.write(b"unknown\n")
        process.exit(3)


@contextlib.asynccontextmanager
async def serve(site: Site):
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        allowed = Path(folder) / "authorized_keys"
        allowed.write_bytes(user_key.export_public_key())
        (Path(folder) / "files").mkdir()
        server = await asyncssh.listen(
            site.address,
            PORT,
            server_factory=Guests,
            server_host_keys=[host_key],
            authorized_client_keys=str(allowed),
            process_factory=session,
            encoding=None,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(Path(folder) / "files")),
            login_timeout=site.limit(10),
        )
        behind = await asyncio.start_server(echo, site.address, PORT + 1)
        async with server, behind:
            yield {
                "address": site.address,
                "host_key": host_key.export_public_key().decode(),
                "user_key": user_key.export_private_key().decode(),
            }
            server.close()
            behind.close()


def trusted(served: dict, where: str) -> asyncssh.SSHKnownHosts:
    """The server's key and no other."""
    return asyncssh.import_known_hosts(f"{where} {served['host_key']}")


async def _files(connection: asyncssh.SSHClientConnection) -> None:
    data = content(MIB, "file")
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder) / "there", Path(folder) / "back"
        there.write_bytes(data)
        async with connection.start_sftp_client() as sftp:
            await sftp.put(str(there), "/there")
            assert (await sftp.stat("/there")).size == len(data)
            await sftp.get("/there", str(back))
        assert digest(back.read_bytes()) == digest(data)


async def _forwarded(connection: asyncssh.SSHClientConnection, served: dict) -> None:
    """A stream through the connection to a port behind the server."""
    reader, writer = await connection.open_connection(served["address"], PORT + 1)
    data = content(300_000, "forwarded")
    writer.write(data)
    writer.write_eof()
    assert digest(await reader.read()) == digest(data)
    writer.close()


async def talk(site: Site, served: dict) -> None:
    connection = await asyncssh.connect(
        served["address"],
        PORT,
        username=USER,
        client_keys=[asyncssh.import_private_key(served["user_key"])],
        known_hosts=trusted(served, f"[{served['address']}]:{PORT}"),
        login_timeout=site.limit(10),
        connect_timeout=site.limit(10),
        config=None,
    )
    async with connection:
        data = content(MIB)
        done = await connection.run("reverse", input=data, encoding=None, check=True, timeout=site.limit(15))
        assert digest(done.stdout) == digest(data[::-1])
        failed = await connection.run("nonsense", encoding=None)
        assert (failed.exit_status, failed.stderr) == (3, b"unknown\n")
        small = [content(1000, str(number)) for number in range(8)]
        answers = await asyncio.gather(*(connection.run("reverse", input=each, encoding=None) for each in small))
        assert [each.stdout for each in answers] == [each[::-1] for each in small]
        await _files(connection)
        await _forwarded(connection, served)
