"""asyncssh and the programs of OpenSSH: our client at Debian's sshd, Debian's ssh at our server."""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

import asyncssh

from tests.interop.rows import asyncssh_both
from tests.support.interop import MIB, PORT, Site, content, digest, running

USER = "root"
SSHD = """
ListenAddress {address}
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp
"""


@contextlib.asynccontextmanager
async def serve(site: Site):
    if site.ours:
        async with asyncssh_both.serve(site) as served:
            yield served
        return
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host_key.write_private_key(str(folder / "host"))
        (folder / "host").chmod(0o600)
        user_key.write_public_key(str(folder / "authorized"))
        (folder / "config").write_text(SSHD.format(address=site.address, port=PORT, folder=folder))
        sshd = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
        if sshd is None:
            raise RuntimeError("sshd is not installed: scripts/bootstrap.sh test installs it")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in before a login
        command = (sshd, "-D", "-e", "-f", str(folder / "config"))
        async with running(*command, address=site.address, port=PORT):
            yield {
                "address": site.address,
                "host_key": host_key.export_public_key().decode(),
                "user_key": user_key.export_private_key().decode(),
            }


async def talk(site: Site, served: dict) -> None:
    if site.ours:
        await _asyncssh(site, served)
    else:
        await _ssh(site, served)


async def _asyncssh(site: Site, served: dict) -> None:
    """Our client at sshd."""
    connection = await asyncssh.connect(
        served["address"],
        PORT,
        username=USER,
        client_keys=[asyncssh.import_private_key(served["user_key"])],
        known_hosts=asyncssh_both.trusted(served, f"[{served['address']}]:{PORT}"),
        connect_timeout=site.limit(10),
        config=None,
    )
    async with connection:
        data = content(MIB)
        done = await connection.run("cat", input=data, encoding=None, check=True, timeout=site.limit(15))
        assert digest(done.stdout) == digest(data)
        assert (await connection.run("exit 3")).exit_status == 3
        seen = await connection.run("echo $SSH_CLIENT", check=True)
        assert seen.stdout.split()[0] == site.address
        with tempfile.TemporaryDirectory() as folder:
            there, back = Path(folder) / "there", Path(folder) / "back"
            there.write_bytes(data)
            async with connection.start_sftp_client() as sftp:
                await sftp.get(str(there), str(back))
            assert digest(back.read_bytes()) == digest(data)


async def _ssh(site: Site, served: dict) -> None:
    """The ssh program at our server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "known").write_text(f"[{served['address']}]:{PORT} {served['host_key']}\n")
        (folder / "key").write_text(served["user_key"])
        (folder / "key").chmod(0o600)
        options = (f"UserKnownHostsFile={folder}/known", "StrictHostKeyChecking=yes", "BatchMode=yes", "IPQoS=none")
        flags = [part for option in options for part in ("-o", option)]
        command = ("ssh", "-F", "none", "-i", str(folder / "key"), "-p", str(PORT), *flags)
        process = await asyncio.create_subprocess_exec(
            *command,
            f"{asyncssh_both.USER}@{served['address']}",
            "reverse",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        data = content(MIB)
        out, errors = await asyncio.wait_for(process.communicate(data), site.limit(20))
        assert process.returncode == 0, errors.decode()
        assert digest(out) == digest(data[::-1])
