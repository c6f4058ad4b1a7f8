"""asyncpg and Debian's PostgreSQL, as an unprivileged user in a folder of its own; plain and over TLS."""

import asyncio
import contextlib
import pwd
import shutil
import tempfile
from pathlib import Path

import asyncpg

from tests.support.interop import MIB, PORT, Site, content, digest, run_program, running

USER = "postgres"
SETTINGS = """
fsync = off
full_page_writes = off
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.pem'
"""


def programs() -> Path:
    """Where Debian keeps those of the newest version installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: scripts/bootstrap.sh test installs it")
    return found[-1]


def as_user(*command: str) -> tuple[str, ...]:
    """The command line of a program that refuses to run as root."""
    return ("runuser", "-u", USER, "--", *command)


@contextlib.asynccontextmanager
async def serve(site: Site):
    owner = pwd.getpwnam(USER)
    with tempfile.TemporaryDirectory(prefix="tapstack-pg-") as folder:
        shutil.chown(folder, owner.pw_uid, owner.pw_gid)
        data, binaries = Path(folder) / "data", programs()
        initdb = (str(binaries / "initdb"), "-D", str(data), "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8")
        await run_program(*as_user(*initdb), limit=60)
        key = data / "server.pem"
        shutil.copy(site.key, key)
        key.chmod(0o600)
        shutil.chown(key, owner.pw_uid, owner.pw_gid)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        with (data / "pg_hba.conf").open("a") as allowed:
            allowed.write("host all all 198.18.0.0/24 trust\n")
        listen = ("-h", site.address, "-p", str(PORT), "-k", folder)
        command = as_user(str(binaries / "postgres"), "-D", str(data), *listen)
        async with running(*command, address=site.address, port=PORT):
            ready = (str(binaries / "pg_isready"), "-q", "-h", site.address, "-p", str(PORT))
            while await (await asyncio.create_subprocess_exec(*ready)).wait():  # it listens before it can be used
                await asyncio.sleep(0.02)
            yield {"address": site.address, "port": PORT}


async def _use(connection: asyncpg.Connection) -> None:
    data = content(MIB)
    assert digest(await connection.fetchval("SELECT $1::bytea", data)) == digest(data)
    await connection.execute("CREATE TABLE numbers (n integer PRIMARY KEY, square bigint)")
    rows = [(n, n * n) for n in range(5000)]
    await connection.copy_records_to_table("numbers", records=rows)
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM numbers ORDER BY n")] == rows
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM numbers")
            await connection.execute("INSERT INTO numbers VALUES (1, 1), (1, 1)")
    except asyncpg.UniqueViolationError:
        pass
    assert await connection.fetchval("SELECT count(*) FROM numbers") == len(rows)
    seen = 0
    async with connection.transaction():
        async for row in connection.cursor("SELECT n FROM numbers ORDER BY n", prefetch=100):
            assert row["n"] == seen
            seen += 1
    assert seen == len(rows)
    await connection.execute("DROP TABLE numbers")


async def _cancel(connection: asyncpg.Connection) -> None:
    """A query that is given up is cancelled on the server, by a second connection."""
    try:
        await connection.execute("SELECT pg_sleep(60)", timeout=0.1)
    except TimeoutError:
        pass
    else:
        raise AssertionError("the query did not time out")
    assert await connection.fetchval("SELECT 1") == 1


async def _listen(connection: asyncpg.Connection, other: asyncpg.Connection) -> None:
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    await connection.add_listener("news", lambda *said: heard.set_result(said[-1]))
    await other.execute("NOTIFY news, 'hello'")
    assert await asyncio.wait_for(heard, 10) == "hello"


async def talk(site: Site, served: dict) -> None:
    where = {"host": served["address"], "port": served["port"], "user": USER, "database": "postgres"}
    for tls in (False, site.client_tls()):
        options = {**where, "ssl": tls, "timeout": site.limit(15), "command_timeout": site.limit(15)}
        connection, other = await asyncpg.connect(**options), await asyncpg.connect(**options)
        try:
            encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert await connection.fetchval(encrypted) is bool(tls)
            assert str(await connection.fetchval("SELECT host(inet_client_addr())")) == site.address
            await _use(connection)
            await _cancel(connection)
            await _listen(connection, other)
        finally:
            await connection.close()
            await other.close()
    async with asyncpg.create_pool(**where, ssl=False, min_size=4, max_size=8) as pool:
        squares = await asyncio.gather(*(pool.fetchval("SELECT $1::int * $1::int", n) for n in range(50)))
    assert squares == [n * n for n in range(50)]
