"""`tapstack run`: programs that know nothing of us, with an address of their own."""

import json
import os
import signal
import socket
import stat
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.netns import HOST, STACK, Daemon, tapstack, wait_until
from tools.netns import Namespace, stop

pytestmark = pytest.mark.netns

FIRST = "198.18.0.128"
BIN = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"

HELLO = """
import asyncio

async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\nConnection: close\\r\\n\\r\\nhello\\n")
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 8000)
    await server.serve_forever()

asyncio.run(main())
"""

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{scope['client'][0]} to {scope['server'][0]}".encode()})
"""

KIND = "print(type(asyncio.get_running_loop()).__name__, flush=True)"


class Runner:
    """`tapstack run` for the daemon of the test, in a folder of the test's own."""

    def __init__(self, daemon, folder):
        self.daemon = daemon
        self.folder = folder
        self.path = daemon.log.parent / "control.sock.attach"
        self.started = []

    def command(self, *words, options=()):
        return [*tapstack("run", *options, "--socket", str(self.path), "--"), *words]

    def run(self, *words, options=(), env=(), **more):
        return self.daemon.namespace.run("env", *env, *self.command(*words, options=options), check=False, **more)

    def start(self, *words, env=()):
        log = self.folder / "log"
        process = self.daemon.namespace.start("env", "-C", str(self.folder), *env, *self.command(*words), log=log)
        self.started.append(process)
        return process, log

    def script(self, text, name="app.py"):
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    def kinds(self, text, **more):
        """What a program prints that runs `KIND` in its loops, without what we say."""
        result = self.run(sys.executable, self.script("import asyncio\n" + textwrap.dedent(text)), **more)
        assert result.returncode == 0, result.stderr
        return result.stdout.split()

    def curl(self, url):
        return self.daemon.namespace.run("curl", "-sS", "-m", "10", url).stdout

    def ports(self):
        return json.loads(self.daemon.command("status", "--json"))["attach"]["ports"]

    def address(self, process):
        """Of the program, once it is attached."""
        wait_until(lambda: self.ports() or process.poll() is not None, "it is attached")
        assert process.poll() is None
        return self.ports()[-1]["address"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with Namespace() as namespace, Daemon(namespace, tmp_path_factory.mktemp("daemon")) as made:
        yield made


@pytest.fixture
def runner(daemon, tmp_path):
    made = Runner(daemon, tmp_path)
    yield made
    for process in made.started:
        stop(process)
    wait_until(lambda: not made.ports(), "whoever was attached has left")


def test_a_plain_asyncio_program_is_reached_by_curl(runner):
    process, log = runner.start(sys.executable, runner.script(HELLO))
    address = runner.address(process)
    assert [port["name"] for port in runner.ports()] == ["app.py"]
    wait_until(
        lambda: "hello" in runner.daemon.namespace.run("curl", "-sS", f"http://{address}:8000/", check=False).stdout, ""
    )
    assert runner.curl(f"http://{address}:8000/") == "hello\n"
    assert f"tapstack: app.py (pid {process.pid}) is {address}\n" == log.read_text()
    stop(process, signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("loop", ["auto", "uvloop", "asyncio"])
def test_uvicorn_is_reached_by_curl(runner, loop):
    runner.script(APP)
    options = [] if loop == "auto" else ["--loop", loop]
    process, log = runner.start("uvicorn", *options, "app:app", env=[BIN])
    address = runner.address(process)
    wait_until(lambda: "running on" in log.read_text() or process.poll() is not None, "it listens")
    assert runner.curl(f"http://{address}:8000/") == f"{HOST} to {address}"
    stop(process, signal.SIGINT)
    assert "Finished server process" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_uvicorns_that_make_their_socket_before_the_loop_stay_where_they_were(runner):
    """On 127.0.0.1: an address of the kernel that others can reach is not what was asked for."""
    runner.script(APP)
    process, log = runner.start("uvicorn", "--workers", "2", "app:app", env=[BIN])
    wait_until(lambda: log.read_text().count("startup complete") == 2 or process.poll() is not None, "they listen")
    assert "running on http://127.0.0.1:8000" in log.read_text()
    assert len({port["address"] for port in runner.ports()}) == 2
    assert runner.curl("http://127.0.0.1:8000/") == "127.0.0.1 to 127.0.0.1"
    stop(process, signal.SIGINT)


def test_python_m_uvicorn_too_and_a_host_that_was_given_is_kept(runner):
    runner.script(APP)
    process, log = runner.start(sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "app:app")
    address = runner.address(process)
    wait_until(lambda: "running on" in log.read_text() or process.poll() is not None, "it listens")
    assert runner.ports()[0]["name"] == "uvicorn"
    assert runner.curl("http://127.0.0.1:8000/") == "127.0.0.1 to 127.0.0.1"
    assert runner.daemon.namespace.run("curl", "-m", "5", f"http://{address}:8000/", check=False).returncode == 7
    stop(process, signal.SIGINT)


ASYNCIO = f"""
    from asyncio import new_event_loop

    async def m():
        {KIND}

    asyncio.run(m())
    with asyncio.Runner() as runner:
        runner.run(m())
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(m())
    for loop in (asyncio.new_event_loop(), asyncio.get_event_loop_policy().new_event_loop()):
        loop.run_until_complete(m())
        loop.close()
    """
UVLOOP = f"""
    import uvloop

    async def m():
        {KIND}

    uvloop.run(m())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(m())
    uvloop.install()
    asyncio.run(m())
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(m())
    loop = asyncio.new_event_loop()
    loop.run_until_complete(m())
    loop.close()
    """


@pytest.mark.parametrize(("ways", "kind"), [(ASYNCIO, "SelectorRunLoop"), (UVLOOP, "UvRunLoop")])
def test_whichever_way_a_loop_is_asked_for(runner, ways, kind):
    assert runner.kinds(ways) == [kind] * 5


def test_a_loop_that_was_chosen_on_purpose_is_left_alone(runner):
    own = f"""
        class Own(asyncio.SelectorEventLoop):
            pass

        class Policy(asyncio.DefaultEventLoopPolicy):
            _loop_factory = Own

        async def m():
            {KIND}

        with asyncio.Runner(loop_factory=Own) as r:
            r.run(m())
        asyncio.set_event_loop_policy(Policy())
        asyncio.run(m())
        """
    assert runner.kinds(own) == ["Own", "Own"]


def test_one_loop_after_the_other_has_the_same_address_and_two_at_once_have_two(runner):
    text = """
        import sys, threading

        async def address():
            loop = asyncio.get_running_loop()
            sys.stdout.write(f"{loop.ownership.hosts[0].addresses()[0][0] & 255}\\n")  # at once: two threads do
            return loop

        for _ in range(3):
            asyncio.run(address())
        both = threading.Barrier(2)

        async def at_once():
            await address()
            await asyncio.to_thread(both.wait)

        threads = [threading.Thread(target=asyncio.run, args=(at_once(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.new_event_loop().close()  # one that never runs has none
        """
    found = runner.kinds(text)
    assert len(found) == 5
    assert len(set(found[:3])) == 1
    assert len(set(found[3:])) == 2


def test_what_a_program_wrote_arrives_though_it_does_not_close_its_loop(runner):
    size = 3_000_000  # more than both ends hold while nobody reads
    text = f"""
        async def main():
            _, writer = await asyncio.open_connection("{HOST}", int(sys.argv[1]))
            writer.write(bytes({size}))
            writer.close()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        """
    with runner.daemon.namespace.entered():
        listener = socket.create_server((HOST, 0))
    with listener:
        process, _ = runner.start(
            sys.executable,
            runner.script("import asyncio, sys\n" + textwrap.dedent(text)),
            str(listener.getsockname()[1]),
        )
        listener.settimeout(20)
        connection, _ = listener.accept()
    got = 0
    with connection:
        wait_until(lambda: process.poll() is None, "it waits for us")
        while data := connection.recv(1 << 20):
            got += len(data)
    assert got == size
    assert process.wait(10) == 0


def test_a_program_reaches_the_daemon_the_kernel_and_the_other_program(runner):
    server, _ = runner.start(sys.executable, runner.script(HELLO))
    address = runner.address(server)
    text = f"""
        async def get(host, port):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET / HTTP/1.0\\r\\nHost: {{host}}\\r\\n\\r\\n".encode())
            print(type(writer.transport).__name__, (await reader.read()).split()[1].decode())
            writer.close()

        async def main():
            inside = await asyncio.start_server(lambda r, w: (w.write(b"x 200 x"), w.close()), "127.0.0.1", 0)
            await get("{address}", 8000)
            await get("{STACK}", 80)
            await get("127.0.0.1", inside.sockets[0].getsockname()[1])

        asyncio.run(main())
        """
    ours, kernels = ["StackTransport", "200"], ["_SelectorSocketTransport", "200"]
    assert runner.kinds(text) == [*ours, *ours, *kernels]
    stop(server)


@pytest.mark.parametrize("everything", [True, False])
def test_other_networks_are_the_kernels_unless_all_is_to_be_ours(runner, everything):
    far = "203.0.113.5"
    runner.daemon.namespace.ip(f"address replace {far}/32 dev lo")
    with runner.daemon.namespace.entered():
        listener = socket.create_server((far, 0))
    text = f"""
        async def main():
            _, writer = await asyncio.open_connection("{far}", {listener.getsockname()[1]})
            print(writer.get_extra_info("sockname")[0].startswith("198.18.0."))
            writer.close()

        asyncio.run(main())
        """
    with listener:
        assert runner.kinds(text, options=["--all"] if everything else []) == [str(everything)]


ZONE = """
$ORIGIN example.test.
@ 60 SOA ns hostmaster 1 3600 600 86400 60
  60 NS ns
ns 60 A 198.18.0.2
www 60 A 198.18.0.2
"""


def test_names_are_looked_up_as_the_daemon_does(namespace, tmp_path):
    (tmp_path / "zone").write_text(ZONE)
    (tmp_path / "settings.toml").write_text('[dns]\nzones = { "example.test" = "zone" }\n')
    with Daemon(namespace, tmp_path, "--config", str(tmp_path / "settings.toml")) as daemon:
        runner = Runner(daemon, tmp_path)
        text = """
            async def main():
                reader, writer = await asyncio.open_connection("www.example.test", 13)
                print(writer.get_extra_info("peername"), len(await reader.read()) > 10)
                writer.close()

            asyncio.run(main())
            """
        assert runner.kinds(text) == ["('198.18.0.2',", "13)", "True"]
        program = textwrap.dedent(text).replace("asyncio.open_connection", "host.open_connection")
        program = program.replace("async def main():", "async def main(host):")
        program = program.replace("asyncio.run(main())", "")
        attached = f"""{program}
import stack
async def whole():
    async with stack.attach({str(runner.path)!r}) as host:
        await main(host)
stack.run(whole())
"""
        assert namespace.run(sys.executable, "-c", attached).stdout == "('198.18.0.2', 13) True\n"


def test_the_environments_own_sitecustomize_runs_too(runner):
    folder = runner.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.custom = __name__\n")
    text = f"""
        import sys, sitecustomize
        async def m():
            {KIND}
        asyncio.run(m())
        print(sys.custom, sitecustomize.__file__.endswith("site/sitecustomize.py"), any("inject" in p for p in
        sys.path))
        """
    env = [f"PYTHONPATH={folder}:{os.environ.get('PYTHONPATH', '')}:{Path.cwd()}"]
    assert runner.kinds(text, env=env) == ["SelectorRunLoop", "sitecustomize", "True", "False"]


def test_children_in_python_have_addresses_of_their_own(runner):
    child = runner.script(f"import asyncio\nasync def m(): {KIND}\nasyncio.run(m())", "child.py")
    text = f"""
        import subprocess, sys, multiprocessing

        async def m():
            {KIND}
            process = await asyncio.create_subprocess_exec(sys.executable, {child!r})
            await process.wait()

        asyncio.run(m())
        """
    result = runner.run(sys.executable, runner.script("import asyncio\n" + textwrap.dedent(text)))
    assert result.stdout.split() == ["SelectorRunLoop"] * 2
    assert len({line.split()[-1] for line in result.stderr.splitlines()}) == 2


def test_scripts_with_a_shebang(runner):
    script = runner.folder / "tool"
    first = f"#!/usr/bin/env {Path(sys.executable).name}"
    script.write_text(f"{first}\nimport asyncio\nasync def m(): {KIND}\nasyncio.run(m())\n")
    script.chmod(0o755)
    result = runner.run(str(script), env=[BIN])
    assert (result.stdout, result.returncode) == ("SelectorRunLoop\n", 0)
    assert result.stderr.startswith("tapstack: tool (pid ")
    assert len(result.stderr.splitlines()) == 1


def test_a_program_that_is_not_python_is_told_what_to_use(runner):
    result = runner.run("sh", "-c", "echo out; exit 7")
    assert (result.stdout, result.returncode) == ("out\n", 7)
    [line] = result.stderr.splitlines()
    assert "sh is no Python program" in line
    assert "'tapstack forward'" in line
    assert "SOCKS proxy ('tapstack up --socks 1080')" in line


def test_or_the_proxy_that_there_is(namespace, tmp_path):
    with Daemon(namespace, tmp_path, "--socks", "1081") as daemon:
        assert "its SOCKS proxy on port 1081" in Runner(daemon, tmp_path).run("true").stderr


def test_a_test_of_the_programs_own(runner):
    runner.script(f"import asyncio\ndef test_it():\n    async def m(): {KIND}\n    asyncio.run(m())\n", "test_it.py")
    result = runner.run("pytest", "-sq", "-p", "no:cacheprovider", str(runner.folder / "test_it.py"), env=[BIN])
    assert "SelectorRunLoop" in result.stdout
    assert result.returncode == 0


def test_exit_codes_and_signals_are_the_programs_own(runner):
    assert runner.run(sys.executable, "-c", "raise SystemExit(5)").returncode == 5
    killed = "import os, signal; print('last', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    result = runner.run("sh", "-c", f'{sys.executable} -c "{killed}"; echo $?')
    assert result.stdout == "last\n137\n"
    # as it would be without us: the end of a pipe ends it, quietly
    result = runner.run("sh", "-c", "yes | head -1")
    assert (result.stdout, result.stderr.count("Broken")) == ("y\n", 0)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["/nonsense"], 127, "/nonsense: not found"),
        (["/etc"], 126, "/etc: not executable"),
        ([__file__], 126, "is no command: use 'tapstack run -- python "),
        ([sys.executable, "-I", "-c", "0"], 2, "-I leaves out what brings the program to the stack"),
        ([sys.executable, "-sE", "-c", "0"], 2, "-sE leaves out"),
    ],
)
def test_what_cannot_be_run(runner, words, code, why):
    result = runner.run(*words)
    assert result.returncode == code
    [line] = result.stderr.splitlines()
    assert why in line


def test_no_daemon(runner):
    result = runner.daemon.namespace.run(
        *tapstack("run", "--socket", str(runner.folder / "none"), "--", "true"), check=False
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "no daemon listens on" in line
    result = runner.daemon.namespace.run(*tapstack("run", "--dev", "tap77", "--", "true"), check=False)
    assert "no daemon is running on tap77" in result.stderr
    assert result.returncode == 2


def test_an_address_that_cannot_be_had_ends_the_program(runner):
    program = runner.script(HELLO)
    result = runner.run(sys.executable, program, options=["--address", "10.0.0.1"])
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("tapstack run: 10.0.0.1 is not among")


def test_a_daemon_that_ends_is_told(tmp_path):
    with Namespace() as namespace:
        with Daemon(namespace, tmp_path) as daemon:
            runner = Runner(daemon, tmp_path)
            process, log = runner.start(sys.executable, runner.script(HELLO))
            assert runner.address(process) == FIRST
        wait_until(lambda: "has gone" in log.read_text(), "it is told")
        assert process.wait(10) == 1
        assert "the daemon that attached0 was attached to has gone" in log.read_text()


def test_with_a_tap_of_its_own(namespace, tmp_path):
    (tmp_path / "app.py").write_text(HELLO)
    process = namespace.start(*tapstack("run", "--tap", "--", sys.executable, str(tmp_path / "app.py")))
    wait_until(lambda: namespace.run("curl", "-sS", "-m", "5", f"http://{STACK}:8000/", check=False).stdout == "hello\n", "it answers")  # fmt: skip  # noqa: E501
    stop(process)
    program = "import asyncio; asyncio.run(asyncio.sleep(0))"
    options = ["--tap", "--dev", "tap9", "--address", "198.18.7.2/24"]  # the kernel's end is on that network, too
    result = namespace.run(*tapstack("run", *options, "--", sys.executable, "-c", program))
    assert result.stderr.endswith(" is 198.18.7.2\n")
    result = namespace.run(*tapstack("run", *options, "--", "true"))
    [line] = result.stderr.splitlines()
    assert "start a daemon ('tapstack up --socks 1080') for its SOCKS proxy" in line
    assert namespace.run("ip", "-br", "link").stdout.split()[0] == "lo"
    assert len(namespace.run("ip", "-br", "link").stdout.splitlines()) == 1


# -- without root

AS_OWNER = """
import asyncio, os, sys, stack, stack.app
os.setgroups([])
os.setresgid({uid}, {uid}, {uid})
os.setresuid({uid}, {uid}, {uid})

async def main():
    async with stack.attach(sys.argv[1]) as host:
        print((await host.ping("198.18.0.2")).ttl, open("/proc/self/status").read().split("CapEff:")[1].split()[0])

stack.run(main())
"""


def test_the_daemons_user_attaches_without_any_rights_and_nobody_else_does(runner):
    for folder in runner.path.parents:
        if not folder.stat().st_mode & stat.S_IXOTH:  # those that pytest has made
            folder.chmod(0o755)
    uid = runner.path.stat().st_uid
    assert uid != 0
    assert stat.S_IMODE(runner.path.stat().st_mode) == 0o600
    namespace = runner.daemon.namespace
    result = namespace.run(sys.executable, "-c", AS_OWNER.format(uid=uid), str(runner.path))
    assert result.stdout == f"64 {0:016x}\n"
    result = namespace.run(sys.executable, "-c", AS_OWNER.format(uid=1234), str(runner.path), check=False)
    assert "belongs to another user: attach as root or as that user" in result.stderr
