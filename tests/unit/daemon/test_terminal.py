import io
import os

from rich.console import Console

from stack.daemon import settings, terminal


def test_announcement_tells_what_to_type():
    text = terminal.announce(
        settings.load(None, {"address": "10.9.8.7/24", "host_address": "10.9.8.1", "dev": "tap3", "control": "/x/c"})
    )
    for part in ("ping 10.9.8.7", "curl http://10.9.8.7/", "tapstack status --dev tap3 --control /x/c", "Ctrl-C"):
        assert part in text


def test_announcement_tells_where_the_proxy_is():
    with_proxy = terminal.announce(settings.load(None, {"socks": 1090}))
    assert "SOCKS5 for other programs: 127.0.0.1:1090\n" in with_proxy
    assert "SOCKS5" not in terminal.announce(settings.load(None, {}))


def test_announcement_in_a_namespace_tells_how_to_get_in(monkeypatch):
    monkeypatch.setattr(terminal, "in_own_namespace", lambda: True)
    text = terminal.announce(settings.load(None, {}))
    assert f"nsenter --preserve-credentials -U -n -t {os.getpid()} curl http://198.18.0.2/" in text


def test_status_line_shows_rates_and_leaves_nothing():
    out = io.StringIO()
    line = terminal.StatusLine(Console(file=out, force_terminal=True, width=100))
    line.start()
    line.update(10.0, 0, 0, 0, 0)
    line.update(12.0, 250_000_000, 2500, 1, 3)
    shown = out.getvalue()
    line.stop()
    assert "in 1.0 Gbit/s" in shown
    assert "out 10.0 kbit/s" in shown
    assert "1 connection\x1b" in shown
    assert "3 dropped" in shown
    assert out.getvalue().endswith("\x1b[2K") or "\x1b[2K" in out.getvalue()[len(shown) :]


def test_no_status_line_without_a_terminal():
    out = io.StringIO()
    line = terminal.StatusLine(Console(file=out))
    line.start()
    line.update(1.0, 0, 0, 0, 0)
    line.stop()
    assert out.getvalue() == ""


def test_rates_for_people():
    assert [terminal.rate(n) for n in (0, 100, 12_500, 1_250_000, 125_000_000)] == [
        "0 bit/s",
        "800 bit/s",
        "100 kbit/s",
        "10.0 Mbit/s",
        "1.0 Gbit/s",
    ]


def test_the_command_is_named_as_it_can_be_called(monkeypatch, tmp_path):
    script = tmp_path / ".venv" / "bin" / "tapstack"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(terminal.sys, "executable", str(script.with_name("python")))
    monkeypatch.chdir(tmp_path)
    assert terminal.command() == ".venv/bin/tapstack"
    monkeypatch.chdir(script.parent.parent)
    assert terminal.command() == "bin/tapstack"
    monkeypatch.chdir("/usr")
    assert terminal.command() == str(script)
    monkeypatch.setenv("PATH", str(script.parent))
    assert terminal.command() == "tapstack"


def test_saying_without_standard_output(monkeypatch):
    monkeypatch.setattr(terminal.sys, "stdout", None)
    terminal.say("unheard")
