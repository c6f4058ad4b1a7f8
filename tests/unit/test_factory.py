"""What `stack.aio:factory` reads from the environment, and what it says when that cannot be."""

import asyncio
import subprocess
import sys
from functools import partial

import pytest

from stack import app
from stack.aio.loop import new_event_loop
from stack.device.virtual import link
from stack.errors import DeviceError
from stack.wire.addr import parse_addr


def test_without_a_word_it_is_what_the_daemon_would_have():
    settings, wildcard = app._from_environment({})
    assert (settings.dev, settings.address, settings.host_address) == ("tapstack0", "198.18.0.2/24", "198.18.0.1")
    assert (settings.mtu, wildcard) == (1500, "kernel")


def test_variables_that_others_read_are_none_of_its_business():
    settings, _ = app._from_environment({"TAPSTACK_FORM": "interpreted", "TAPSTACK_PURE": "1", "TAPSTACK_MTU": "1400"})
    assert settings.mtu == 1400


def test_the_environment_goes_before_the_file(tmp_path):
    file = tmp_path / "stack.toml"
    file.write_text(
        """
        dev = "tap7"
        address = "10.7.0.2/24"
        host_address = "10.7.0.1"
        mtu = 9000
        [tcp]
        sack = false
        """
    )
    environment = {
        "TAPSTACK_CONFIG": str(file),
        "TAPSTACK_DEV": "tap8",
        "TAPSTACK_MTU": "1400",
        "TAPSTACK_WILDCARD": "both",
    }
    settings, wildcard = app._from_environment(environment)
    assert (settings.dev, settings.address, settings.mtu, wildcard) == ("tap8", "10.7.0.2/24", 1400, "both")
    assert settings.host_config().tcp.sack is False


@pytest.mark.parametrize(
    ("environment", "toml", "what"),
    [
        ({"TAPSTACK_MTU": "many"}, None, "TAPSTACK_MTU is 'many'"),
        ({"TAPSTACK_ADDRESS": "10.0.0.2"}, None, "prefix length"),
        ({"TAPSTACK_DEV": "a/b"}, None, "cannot name a device"),
        ({"TAPSTACK_WILDCARD": "all"}, None, "wildcard"),
        ({"TAPSTACK_MTUU": "1400"}, None, "TAPSTACK_MTUU is no setting: there are .*TAPSTACK_MTU,"),
        ({"TAPSTACK_CONFIG": "/no/such/file"}, None, "no such file"),
        ({}, "uplink = true", "uplink is set"),
        ({}, 'user = "nobody"', "user is set"),
        ({}, "colour = 1", "colour is not a setting"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(monkeypatch, tmp_path, environment, toml, what):
    for name in ("TAPSTACK_CONFIG", "TAPSTACK_DEV", "TAPSTACK_ADDRESS", "TAPSTACK_HOST_ADDRESS", "TAPSTACK_MTU"):
        monkeypatch.delenv(name, raising=False)
    if toml is not None:
        file = tmp_path / "stack.toml"
        file.write_text(toml)
        monkeypatch.setenv("TAPSTACK_CONFIG", str(file))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^tapstack: .*{what}") as info:
        app.factory()
    assert "\n" not in str(info.value)
    assert "Errno" not in str(info.value)


def test_a_device_that_cannot_be_opened_leaves_no_loop_open(monkeypatch):
    def refuse(*args, **options):
        raise DeviceError("no permission to open TAP")

    monkeypatch.setattr(app, "open_device", refuse)
    monkeypatch.setattr(app.hostside, "check_free", lambda *args: None)
    with pytest.raises(SystemExit, match=r"^tapstack: no permission"):
        app.factory()  # a loop left open would be a ResourceWarning, which is an error here


@pytest.mark.parametrize(
    ("opened", "kind"),
    [
        (partial(app.open_tap, host_address=None), "stack.app.open_device"),
        (partial(app.open_tun, host_address=None), "stack.app.TunDevice"),
        (partial(app.open_packet, "veth1", "198.18.0.2/24"), "stack.device.packet.PacketDevice"),
    ],
    ids=["tap", "tun", "packet"],
)
def test_a_host_on_a_device_takes_the_options_of_a_host(monkeypatch, opened, kind):
    class Book:
        async def resolve(self, name):
            return ["198.18.0.1"]

    async def main():
        loop = asyncio.get_running_loop()
        async with opened(capture="all", resolver=book) as host:
            assert host.resolver is book
            assert loop.source_for(parse_addr("8.8.8.8")) is host
        async with opened(prefixes=["10.0.0.0/8"]) as host:
            assert loop.source_for(parse_addr("10.8.8.8")) is host
            assert loop.source_for(parse_addr("8.8.8.8")) is None

    book = Book()
    monkeypatch.setattr(kind, lambda *_, **__: link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2")[0])
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def test_uvicorn_shows_the_sentence_and_nothing_else(monkeypatch, tmp_path):
    """The command as it is typed."""
    monkeypatch.setenv("TAPSTACK_WILDCARD", "all")
    (tmp_path / "pages.py").write_text("async def app(scope, receive, send): ...")
    options = ["--loop", "stack.aio:factory", "--host", "198.18.0.2", "--app-dir", str(tmp_path), "pages:app"]
    command = [sys.executable, "-m", "uvicorn", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "tapstack: wildcard 'all': use 'kernel', 'stack' or 'both'\n"
